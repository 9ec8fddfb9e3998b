// Random numbers (kernels/philox.h), and the checks of weights to sample from. A thread computes WIDTH neighbouring elements, which share
// the words of Philox blocks.
#include "random.h"
#include "../kernels/ends.h"
#include "../kernels/ops.h"
#include "../kernels/philox.h"
#include "../kernels/table.h"
#include "generate.h"

namespace castor::cuda {

static_assert(WIDTH == 4, "a vector is a block of Philox");

template <class T> constexpr bool wide = std::is_same_v<T, double>;

// The random words of four elements that begin at a multiple of four, and their second words where the type needs more than 32 bits.
template <bool Both> struct BlockWords {
  Words word, second;

  __device__ __forceinline__ BlockWords(const RandomState &state, int64_t first) : second{} {
    const RandomState s = state.now();
    const uint64_t block = uint64_t(first) / 4;
    word = philox(s.seed, s.offset, block);
    if constexpr (Both) second = philox(s.seed, s.offset, SECOND_WORDS + block);
  }
  __device__ __forceinline__ uint64_t both(int i) const { return uint64_t(word.w[i]) << 32 | second.w[i]; }
};

template <class T> struct Uniform {
  RandomState state;
  T low, width, highest;
  __device__ __forceinline__ void operator()(int64_t first, Vector<T, WIDTH> &x) const {
    const BlockWords<wide<T>> words(state, first);
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) {
      T u;
      if constexpr (wide<T>) u = uniform(words.word.w[j], words.second.w[j]);
      else u = uniform(words.word.w[j]);
      const T y = low + times(u, width);
      x.v[j] = y > highest ? highest : y;
    }
  }
};

template <class T> struct Gaussian {
  RandomState state;
  T mean, deviation;
  __device__ __forceinline__ void operator()(int64_t first, Vector<T, WIDTH> &x) const {
    const BlockWords<wide<T>> words(state, first);
    GPU_UNROLL for (int j = 0; j < WIDTH; j += 2) {
      NormalPair<T> z;
      if constexpr (wide<T>) z = normal_pair(words.both(j), words.both(j + 1));
      else z = normal_pair(words.word.w[j], words.word.w[j + 1]);
      x.v[j] = mean + times(z.even, deviation);
      x.v[j + 1] = mean + times(z.odd, deviation);
    }
  }
};

template <class T> struct Exponential {
  RandomState state;
  T rate;
  __device__ __forceinline__ void operator()(int64_t first, Vector<T, WIDTH> &x) const {
    const BlockWords<wide<T>> words(state, first);
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) {
      if constexpr (wide<T>) x.v[j] = exponential(words.word.w[j], words.second.w[j]) / rate;
      else x.v[j] = exponential(words.word.w[j]) / rate;
    }
  }
};

struct Bernoulli {
  RandomState state;
  uint32_t limit;
  __device__ __forceinline__ void operator()(int64_t first, Vector<float, WIDTH> &x) const {
    const BlockWords<false> words(state, first);
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) x.v[j] = words.word.w[j] >> 8 < limit;
  }
};

template <bool Wide> struct Integers {
  RandomState state;
  int64_t low;
  uint64_t range;
  int64_t most;
  __device__ __forceinline__ void operator()(int64_t first, Vector<int64_t, WIDTH> &x) const {
    const BlockWords<Wide> words(state, first);
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) {
      const uint64_t above = Wide ? below_wide(range, words.both(j)) : below(range, words.word.w[j]);
      const int64_t y = int64_t(uint64_t(low) + above);
      x.v[j] = y > most ? most : y;
    }
  }
};

// Each thread checks one element.
__global__ void expect_kernel(const uint8_t *holds, int64_t n, Defect defect, Fault *fault) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n && holds[i] == 0) report(defect, Site::multinomial, fault);
}

void expect(int op, const View &holds) {
  Context &context = context_of(holds);
  const int threads = block_threads(256);
  const int64_t n = holds.numel();
  launch(context, "expect", expect_kernel, blocks_for(n, threads), threads, 0, holds.as<const uint8_t>(), n,
         defect_of(Expect(op)), context.fault);
}

template <class T> struct Dropout {
  RandomState state;
  uint32_t limit;
  T scale;
  __device__ __forceinline__ void operator()(int64_t first, Vector<T, WIDTH> &x) const {
    const BlockWords<false> words(state, first);
    GPU_UNROLL for (int j = 0; j < WIDTH; j++) x.v[j] = words.word.w[j] >> 8 < limit ? T(0) : x.v[j] * scale;
  }
};

template <class T> void random_floats(Random op, const View &out, const RandomState &state, double p0, double p1) {
  if (op == Random::normal) return generate<T, 0>("normal", out, nullptr, Gaussian<T>{state, T(p0), T(p1)});
  if (op == Random::exponential) return generate<T, 0>("exponential", out, nullptr, Exponential<T>{state, T(p0)});
  generate<T, 0>("uniform", out, nullptr, Uniform<T>{state, T(p0), T(p1 - p0), T(most_uniform(p0, p1, out.dtype))});
}

static void randint(const View &out, const RandomState &state, int64_t low, int64_t high) {
  const uint64_t range = uint64_t(high) - uint64_t(low);
  const int64_t most = most_integer(high, out.dtype);
  if (range > NARROW_RANGE) return generate<int64_t, 0>("randint", out, nullptr, Integers<true>{state, low, range, most});
  generate<int64_t, 0>("randint", out, nullptr, Integers<false>{state, low, range, most});
}

void random(int op, const View &out, uint64_t seed, uint64_t offset, double p0, double p1) {
  const RandomState state{seed, offset, context_of(out).random_base};
  if (Random(op) == Random::bernoulli) return generate<float, 0>("bernoulli", out, nullptr, Bernoulli{state, threshold(p0)});
  if (Random(op) == Random::randint) return randint(out, state, convert<int64_t>(p0), convert<int64_t>(p1));
  if (out.dtype == DType::f64) return random_floats<double>(Random(op), out, state, p0, p1);
  random_floats<float>(Random(op), out, state, p0, p1);
}

void dropout(const View &a, const View &out, double p, uint64_t seed, uint64_t offset) {
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    const View *const inputs[] = {&a};
    generate<T, 1>("dropout", out, inputs, Dropout<T>{{seed, offset, context_of(out).random_base}, threshold(p), convert<T>(1 / (1 - p))});
  });
}

}  // namespace castor::cuda
