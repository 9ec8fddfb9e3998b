// The results are the same bit for bit on every instruction set: CMakeLists.txt lets the compiler fuse no product with a sum here.
#include "../kernels/ends.h"
#include "../kernels/ops.h"
#include "../kernels/philox.h"
#include "flat.h"
#include "random_words.h"
#include "../kernels/table.h"

namespace castor::CASTOR_ISA {

// The random words of a tile, and its second words where the type needs more than 32 bits.
struct TileWords {
  alignas(64) uint32_t word[TILE], second[TILE];

  TileWords(RandomStream s, int64_t begin, int64_t n, bool both) {
    random_words(word, s, begin, n);
    if (both) random_words(second, s, begin, n, SECOND_WORDS);
  }
  uint64_t both(int64_t i) const { return uint64_t(word[i]) << 32 | second[i]; }
};

template <class T> constexpr bool wide = std::is_same_v<T, double>;

template <class T> void uniform_tile(T *to, const TileWords &w, int64_t n, T low, T width, T highest) {
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) {
    T u;
    if constexpr (wide<T>) u = uniform(w.word[i], w.second[i]);
    else u = uniform(w.word[i]);
    T x = low + times(u, width);
    to[i] = x > highest ? highest : x;
  }
}

template <class T> NormalPair<T> pair_at(const TileWords &w, int64_t i) {
  if constexpr (wide<T>) return normal_pair(w.both(i), w.both(i + 1));
  else return normal_pair(w.word[i], w.word[i + 1]);
}

template <class T> void normal_tile(T *to, const TileWords &w, int64_t n, T mean, T deviation) {
  int64_t even = n & ~int64_t(1);
  CASTOR_IVDEP
  for (int64_t i = 0; i < even; i += 2) {
    NormalPair<T> z = pair_at<T>(w, i);
    to[i] = mean + times(z.even, deviation);
    to[i + 1] = mean + times(z.odd, deviation);
  }
  if (even < n) to[even] = mean + times(pair_at<T>(w, even).even, deviation);
}

template <class T> void exponential_tile(T *to, const TileWords &w, int64_t n, T rate) {
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) {
    if constexpr (wide<T>) to[i] = exponential(w.word[i], w.second[i]) / rate;
    else to[i] = exponential(w.word[i]) / rate;
  }
}

template <class T> void random_floats(Random op, const View &out, RandomStream s, double p0, double p1) {
  T highest = T(op == Random::uniform ? most_uniform(p0, p1, out.dtype) : 0);
  generate<T>(out, [&](T *to, int64_t begin, int64_t n) {
    TileWords w(s, begin, n, wide<T>);
    if (op == Random::uniform) uniform_tile(to, w, n, T(p0), T(p1 - p0), highest);
    else if (op == Random::normal) normal_tile(to, w, n, T(p0), T(p1));
    else exponential_tile(to, w, n, T(p0));
  });
}

static void bernoulli(const View &out, RandomStream s, double p) {
  uint32_t limit = threshold(p);
  generate<float>(out, [&](float *to, int64_t begin, int64_t n) {
    TileWords w(s, begin, n, false);
    for (int64_t i = 0; i < n; i++) to[i] = w.word[i] >> 8 < limit;
  });
}

template <bool Wide> void randint_tile(int64_t *to, const TileWords &w, int64_t n, int64_t low, uint64_t range, int64_t most) {
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) {
    uint64_t above = Wide ? below_wide(range, w.both(i)) : below(range, w.word[i]);
    int64_t x = int64_t(uint64_t(low) + above);
    to[i] = x > most ? most : x;
  }
}

static void randint(const View &out, RandomStream s, int64_t low, int64_t high) {
  uint64_t range = uint64_t(high) - uint64_t(low);
  bool wide = range > NARROW_RANGE;
  int64_t most = most_integer(high, out.dtype);
  generate<int64_t>(out, [&](int64_t *to, int64_t begin, int64_t n) {
    TileWords w(s, begin, n, wide);
    wide ? randint_tile<true>(to, w, n, low, range, most) : randint_tile<false>(to, w, n, low, range, most);
  });
}

void random(int op, const View &out, uint64_t seed, uint64_t offset, double p0, double p1) {
  RandomStream s{seed, offset};
  if (Random(op) == Random::bernoulli) return bernoulli(out, s, p0);
  if (Random(op) == Random::randint) return randint(out, s, convert<int64_t>(p0), convert<int64_t>(p1));
  if (out.dtype == DType::f64) return random_floats<double>(Random(op), out, s, p0, p1);
  random_floats<float>(Random(op), out, s, p0, p1);
}

template <class T> void dropout_tile(T *to, const T *x, const uint32_t *word, int64_t n, uint32_t limit, T scale) {
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) to[i] = word[i] >> 8 < limit ? T(0) : x[i] * scale;
}

void dropout(const View &a, const View &out, double p, uint64_t seed, uint64_t offset) {
  uint32_t limit = threshold(p);
  Loop<1> loop = flat_loop(a);
  with_compute_type(compute_type(a.dtype, out.dtype), [&](auto t) {
    using T = decltype(t);
    T scale = convert<T>(1 / (1 - p));
    generate<T>(out, [&](T *to, int64_t begin, int64_t n) {
      alignas(64) T x[TILE];
      alignas(64) uint32_t word[TILE];
      random_words(word, {seed, offset}, begin, n);
      load_flat(x, a, loop, begin, n);
      dropout_tile(to, x, word, n, limit, scale);
    });
  });
}

}  // namespace castor::CASTOR_ISA
