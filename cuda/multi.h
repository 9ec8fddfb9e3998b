// Ops on many tensors in one launch. There are K lists of tensors. The tensors at the same place of each list have the same sizes and are
// visited together.
#pragma once
#include <deque>
#include "element.h"
#include "floats.h"
#include "launch.h"
#include "layout.h"

namespace castor::cuda {

constexpr int64_t CHUNK = 1 << 14;   // elements of one tensor, for a block
constexpr int MOST_TENSORS = 256;    // of a launch: their descriptions take 15 KB of its 32 KB of arguments

// One float32 on the device, or a constant.
struct Number {
  const float *data;
  float value;

  __device__ __forceinline__ float get() const { return data ? *data : value; }
};
inline Number number(const View *v, float absent = 0) {
  Number n{v && !v->constant ? v->as<const float>() : nullptr, absent};
  if (v && v->constant) memcpy(&n.value, v->value, sizeof n.value);
  return n;
}

// The part of a tensor that a block computes.
template <int K> struct Piece {
  int tensor;
  int64_t begin;  // first element
  int n;
  char *data[K];
  DType dtype[K];
  bool alike;     // all have one dtype and can be accessed 16 bytes at a time
};

// Tensors that are contiguous in all lists.
template <int K> struct Batch {
  static constexpr bool FLAT = true;
  int count;
  uint32_t chunk[MOST_TENSORS + 1];  // first chunk of each tensor, then the number of all chunks
  int tensor[MOST_TENSORS];          // the position of the tensor in the lists
  int64_t elements[MOST_TENSORS];
  char *data[K][MOST_TENSORS];
  uint8_t dtype[K][MOST_TENSORS];
  bool alike[MOST_TENSORS];

  int64_t chunks() const { return chunk[count]; }

  __device__ Piece<K> piece() const {
    int low = 0, high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (chunk[middle] <= blockIdx.x ? low : high) = middle;
    }
    const int64_t begin = int64_t(blockIdx.x - chunk[low]) * CHUNK;
    Piece<K> p{tensor[low], begin, int(min(CHUNK, elements[low] - begin)), {}, {}, alike[low]};
    GPU_UNROLL for (int k = 0; k < K; k++) {
      p.data[k] = data[k][low];
      p.dtype[k] = DType(dtype[k][low]);
    }
    return p;
  }
  __device__ __forceinline__ void offsets(int64_t i, int64_t (&offset)[K]) const {
    GPU_UNROLL for (int k = 0; k < K; k++) offset[k] = i;
  }
};

// One tensor, or a part of one, of any layout.
template <int K> struct Strided {
  static constexpr bool FLAT = false;
  int tensor;
  int64_t elements;
  char *data[K];
  DType dtype[K];
  Layout<K> layout;

  int64_t chunks() const { return blocks_for(elements, CHUNK); }

  __device__ Piece<K> piece() const {
    const int64_t begin = int64_t(blockIdx.x) * CHUNK;
    Piece<K> p{tensor, begin, int(min(CHUNK, elements - begin)), {}, {}, false};
    GPU_UNROLL for (int k = 0; k < K; k++) {
      p.data[k] = data[k];
      p.dtype[k] = dtype[k];
    }
    return p;
  }
  __device__ __forceinline__ void offsets(int64_t i, int64_t (&offset)[K]) const { layout.offsets(uint32_t(i), offset); }
};

// Calls f(x) with the K values at each position, which are of type S in all lists, and writes back those whose bit is set in WRITTEN.
template <class S, unsigned WRITTEN, class Where, int K, class F>
__device__ __forceinline__ void for_each_alike(const Where &where, const Piece<K> &piece, F f) {
  constexpr int LANES = 16 / sizeof(S), AHEAD = K == 1 ? 4 : sizeof(S) == 2 ? 1 : 2;  // accesses in flight, for each list
  using Wide = Access<S, LANES>;
  int done = 0;
  if (Where::FLAT && piece.alike) {
    done = piece.n / LANES * LANES;
    for (int i = threadIdx.x * LANES; i < done; i += blockDim.x * LANES * AHEAD) {
      Wide wide[K][AHEAD];
      GPU_UNROLL for (int k = 0; k < K; k++)
        GPU_UNROLL for (int a = 0; a < AHEAD; a++)
          if (const int at = i + a * blockDim.x * LANES; at < done)
            wide[k][a] = *reinterpret_cast<const Wide *>(reinterpret_cast<const S *>(piece.data[k]) + piece.begin + at);
      GPU_UNROLL for (int a = 0; a < AHEAD; a++) {
        const int at = i + a * blockDim.x * LANES;
        if (at >= done) break;
        GPU_UNROLL for (int j = 0; j < LANES; j++) {
          S x[K];
          GPU_UNROLL for (int k = 0; k < K; k++) x[k] = wide[k][a].v[j];
          f(x);
          GPU_UNROLL for (int k = 0; k < K; k++) wide[k][a].v[j] = x[k];
        }
        GPU_UNROLL for (int k = 0; k < K; k++)
          if (WRITTEN >> k & 1) *reinterpret_cast<Wide *>(reinterpret_cast<S *>(piece.data[k]) + piece.begin + at) = wide[k][a];
      }
    }
  }
  for (int i = done + threadIdx.x; i < piece.n; i += blockDim.x) {
    int64_t offset[K];
    where.offsets(piece.begin + i, offset);
    S x[K];
    GPU_UNROLL for (int k = 0; k < K; k++) x[k] = reinterpret_cast<const S *>(piece.data[k])[offset[k]];
    f(x);
    GPU_UNROLL for (int k = 0; k < K; k++)
      if (WRITTEN >> k & 1) reinterpret_cast<S *>(piece.data[k])[offset[k]] = x[k];
  }
}

// Calls f with a value of the element type, for float dtypes.
template <class F> __device__ __forceinline__ void with_float_dtype(DType dtype, F f) {
  switch (dtype) {
    case DType::f16: return f(Half{});
    case DType::bf16: return f(BFloat{});
    case DType::f64: return f(double{});
    default: return f(float{});
  }
}

// The type that elements of type S are computed in.
template <class S> using Arithmetic = std::conditional_t<std::is_same_v<S, double>, double, float>;

// ---- host -----------------------------------------------------------------------------------------------------------------------

// The tensors of the lists numbered `which`, in batches.
template <int K> class Gathered {
 public:
  Gathered(const View *lists, int count, const int (&which)[K]) : count_(count) {
    for (int k = 0; k < K; k++)
      for (int i = 0; i < count; i++) views_[k].push_back(&on_device(lists[which[k] * count + i]));
  }

  // Calls f with one Batch or Strided after the other.
  template <class F> void for_each_launch(F f) {
    Batch<K> batch;
    batch.count = 0;
    batch.chunk[0] = 0;
    for (int i = 0; i < count_; i++) {
      const Loop<K> loop = loop_of(i);
      if (views_[0][i]->numel() == 0) continue;
      if (!flat(loop)) {
        for_each_part(loop, [&](const Loop<K> &part, const int64_t (&offset)[K], int64_t) { f(strided(i, part, offset)); });
        continue;
      }
      add(batch, i);
      if (batch.count == MOST_TENSORS) {
        f(batch);
        batch.count = 0;
      }
    }
    if (batch.count > 0) f(batch);
  }

  int64_t chunks() const {
    int64_t sum = 0;
    for (int i = 0; i < count_; i++) {
      const Loop<K> loop = loop_of(i);
      const int64_t n = views_[0][i]->numel();
      if (flat(loop)) sum += blocks_for(n, CHUNK);
      else if (n > 0)
        for_each_part(loop, [&](const Loop<K> &part, const int64_t (&)[K], int64_t) { sum += blocks_for(elements(part), CHUNK); });
    }
    return sum;
  }

 private:
  int count_;
  std::vector<const View *> views_[K];
  std::deque<Floats> constants_;

  const View &on_device(const View &v) {
    if (!v.constant) return v;
    constants_.emplace_back(v, compute_type(v.dtype));
    constants_.back().read();
    return constants_.back().view();
  }

  Loop<K> loop_of(int i) const {
    Loop<K> loop;
    for (int d = 0; d < views_[0][i]->rank; d++) {
      int64_t stride[K];
      for (int k = 0; k < K; k++) stride[k] = views_[k][i]->stride[d];
      append_dimension(loop, views_[0][i]->size[d], stride);
    }
    order_by_stride(loop);
    return loop;
  }
  static bool flat(const Loop<K> &loop) {
    bool result = loop.rank <= 1;
    for (int k = 0; k < K; k++) result = result && (loop.rank == 0 || loop.stride[k][0] == 1);
    return result;
  }

  void add(Batch<K> &batch, int i) const {
    const int to = batch.count++;
    batch.tensor[to] = i;
    batch.elements[to] = views_[0][i]->numel();
    batch.chunk[to + 1] = batch.chunk[to] + uint32_t(blocks_for(batch.elements[to], CHUNK));
    batch.alike[to] = true;
    for (int k = 0; k < K; k++) {
      const View &v = *views_[k][i];
      batch.data[k][to] = v.as<char>();
      batch.dtype[k][to] = uint8_t(v.dtype);
      batch.alike[to] = batch.alike[to] && v.dtype == views_[0][i]->dtype && reinterpret_cast<uintptr_t>(v.data) % 16 == 0;
    }
  }
  Strided<K> strided(int i, const Loop<K> &part, const int64_t (&offset)[K]) const {
    Strided<K> one{i, elements(part), {}, {}, make_layout(part, part.rank)};
    for (int k = 0; k < K; k++) {
      one.data[k] = at(*views_[k][i], offset[k]);
      one.dtype[k] = views_[k][i]->dtype;
    }
    return one;
  }
};

}  // namespace castor::cuda
