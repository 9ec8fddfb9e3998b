// Reductions of contiguous elements in compute type, vectorised over many lanes.
#pragma once
#include <algorithm>
#include "../kernels/fold.h"
#include "../kernels/math.h"
#include "tile.h"
#include "vectors.h"

namespace castor::CASTOR_ISA {

// Combines N lanes, always the lower half of them with the upper one. A half that fits into a vector is combined as a vector, because the
// compiler turns a loop over so few elements into one instruction for each. That took a third of the time of the maxima of rows of 1024.
template <int N, class T, class Combine> static inline T fold_lanes(T *lane, Combine combine) {
  constexpr int HALF = N / 2;
  if constexpr (HALF > 1 && HALF <= LANES<T> && std::is_floating_point_v<T>) {
    typedef T Vector __attribute__((vector_size(HALF * sizeof(T)), aligned(alignof(T)), may_alias));
    Vector *const halves = reinterpret_cast<Vector *>(lane);
    halves[0] = combine(halves[0], halves[1]);
  } else {
    for (int j = 0; j < HALF; j++) lane[j] = combine(lane[j], lane[j + HALF]);
  }
  if constexpr (HALF > 1) return fold_lanes<HALF>(lane, combine);
  else return lane[0];
}

// Lanes of 256 bytes together, which the compiler keeps in vector registers.
template <class T> constexpr int FOLD_LANES = 256 / sizeof(T);

// Combines term(0) .. term(n - 1) with the lanes. combine() takes two T, or two vectors of them.
template <class T, class Combine, class Term> static inline void fold_into(T *lane, int64_t n, Combine combine, Term term) {
  constexpr int COUNT = FOLD_LANES<T>;
  int64_t i = 0;
  for (; i + COUNT <= n; i += COUNT)
    for (int j = 0; j < COUNT; j++) lane[j] = combine(lane[j], term(i + j));
  for (int j = 0; j < n - i; j++) lane[j] = combine(lane[j], term(i + j));
}

// Combines start, term(0), .. term(n - 1).
template <class T, class Combine, class Term> static inline T fold(int64_t n, T start, Combine combine, Term term) {
  if (n < 16) {
    for (int64_t i = 0; i < n; i++) start = combine(start, term(i));
    return start;
  }
  T lane[FOLD_LANES<T>];
  for (T &each : lane) each = start;
  fold_into(lane, n, combine, term);
  return fold_lanes<FOLD_LANES<T>>(lane, combine);
}

// The sum of term(i), a T. It is summed by tiles, so that the rounding error does not grow with n.
template <class T, class Term> static inline Total<T> sum_of(int64_t n, Term term) {
  Total<T> total = 0;
  for (int64_t begin = 0; begin < n; begin += TILE) {
    auto combine = [](auto a, auto b) { return m::add(a, b); };
    total = m::add(total, Total<T>(fold(std::min<int64_t>(TILE, n - begin), T(0), combine, [=](int64_t i) { return term(begin + i); })));
  }
  return total;
}

// The sum of the terms of many runs. The lanes are added up when they hold about a tile of them, because that takes as long as some hundred
// terms do.
template <class T> class SumOfRuns {
 public:
  template <class Term> void add(int64_t n, Term term) {
    for (int64_t begin = 0; begin < n; begin += TILE) {
      const int64_t length = std::min<int64_t>(TILE, n - begin);
      fold_into(lane_, length, plus, [=](int64_t i) { return term(begin + i); });
      if ((held_ += length) >= TILE) settle();
    }
  }
  Total<T> total() {
    settle();
    return total_;
  }

 private:
  T lane_[FOLD_LANES<T>] = {};
  int64_t held_ = 0;
  Total<T> total_ = 0;

  static constexpr auto plus = [](auto a, auto b) { return m::add(a, b); };
  void settle() {
    total_ = m::add(total_, Total<T>(fold_lanes<FOLD_LANES<T>>(lane_, plus)));
    std::fill_n(lane_, FOLD_LANES<T>, T(0));
    held_ = 0;
  }
};

template <class T> static inline T max_of(const T *x, int64_t n) {
  return fold(n, lowest<T>, [](auto a, auto b) { return m::maximum(a, b); }, [=](int64_t i) { return x[i]; });
}

// Calls f with the function term for which the p-norm is norm_root(sum of term(x), p). p is finite.
template <class T, class F> void with_norm_term(double p, F f) {
  if (p == 0) return f([](T x) { return T(x != 0); });
  if (p == 1) return f([](T x) { return m::abs(x); });
  if (p == 2) return f([](T x) { return x * x; });
  f([p = T(p)](T x) { return m::pow(m::abs(x), p); });
}

}  // namespace castor::CASTOR_ISA
