// Reductions of contiguous elements in compute type, vectorised over many lanes.
#pragma once
#include <algorithm>
#include "../kernels/fold.h"
#include "../kernels/math.h"
#include "tile.h"

namespace castor::CASTOR_ISA {

template <int N, class T, class Combine> static inline T fold_lanes(T *lane, Combine combine) {
  for (int j = 0; j < N / 2; j++) lane[j] = combine(lane[j], lane[j + N / 2]);
  if constexpr (N > 2) return fold_lanes<N / 2>(lane, combine);
  else return lane[0];
}

// Combines term(0) .. term(n - 1) in lanes of 256 bytes together, which the compiler keeps in vector registers.
template <class T, class Combine, class Term> static inline T fold(int64_t n, T start, Combine combine, Term term) {
  constexpr int LANES = 256 / sizeof(T);
  int64_t i = 0;
  if (n < 16) {
    for (; i < n; i++) start = combine(start, term(i));
    return start;
  }
  T lane[LANES];
  for (int j = 0; j < LANES; j++) lane[j] = start;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) lane[j] = combine(lane[j], term(i + j));
  for (int j = 0; j < n - i; j++) lane[j] = combine(lane[j], term(i + j));
  return fold_lanes<LANES>(lane, combine);
}

// The sum of term(i), a T. It is summed by tiles, so that the rounding error does not grow with n.
template <class T, class Term> static inline Total<T> sum_of(int64_t n, Term term) {
  Total<T> total = 0;
  for (int64_t begin = 0; begin < n; begin += TILE) {
    auto combine = [](T a, T b) { return m::add(a, b); };
    total = m::add(total, Total<T>(fold(std::min<int64_t>(TILE, n - begin), T(0), combine, [=](int64_t i) { return term(begin + i); })));
  }
  return total;
}

template <class T> static inline T max_of(const T *x, int64_t n) {
  return fold(n, lowest<T>, [](T a, T b) { return m::maximum(a, b); }, [=](int64_t i) { return x[i]; });
}

// Calls f with the function term for which the p-norm is norm_root(sum of term(x), p). p is finite.
template <class T, class F> void with_norm_term(double p, F f) {
  if (p == 0) return f([](T x) { return T(x != 0); });
  if (p == 1) return f([](T x) { return m::abs(x); });
  if (p == 2) return f([](T x) { return x * x; });
  f([p = T(p)](T x) { return m::pow(m::abs(x), p); });
}

}  // namespace castor::CASTOR_ISA
