// Folds over many lanes: sums and extremes of contiguous elements in compute type.
#pragma once
#include <algorithm>
#include "../kernels/fold.h"
#include "../kernels/math.h"
#include "tile.h"

namespace castor::CASTOR_ISA {

template <int N, class T, class Join> static inline T fold_lanes(T *lane, Join join) {
  for (int j = 0; j < N / 2; j++) lane[j] = join(lane[j], lane[j + N / 2]);
  if constexpr (N > 2) return fold_lanes<N / 2>(lane, join);
  else return lane[0];
}

// Folds term(0) .. term(n - 1) in 256 bytes of lanes, which the compiler keeps in vector registers.
template <class T, class Join, class Term> static inline T fold(int64_t n, T start, Join join, Term term) {
  constexpr int LANES = 256 / sizeof(T);
  int64_t i = 0;
  if (n < 16) {
    for (; i < n; i++) start = join(start, term(i));
    return start;
  }
  T lane[LANES];
  for (int j = 0; j < LANES; j++) lane[j] = start;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) lane[j] = join(lane[j], term(i + j));
  for (int j = 0; j < n - i; j++) lane[j] = join(lane[j], term(i + j));
  return fold_lanes<LANES>(lane, join);
}

// The sum of term(i), a T: by tiles, so that the error does not grow with n.
template <class T, class Term> static inline Total<T> sum_of(int64_t n, Term term) {
  Total<T> total = 0;
  for (int64_t begin = 0; begin < n; begin += TILE) {
    auto join = [](T a, T b) { return m::add(a, b); };
    total = m::add(total, Total<T>(fold(std::min<int64_t>(TILE, n - begin), T(0), join, [=](int64_t i) { return term(begin + i); })));
  }
  return total;
}

template <class T> static inline T max_of(const T *x, int64_t n) {
  return fold(n, lowest<T>, [](T a, T b) { return m::maximum(a, b); }, [=](int64_t i) { return x[i]; });
}

// A p-norm is norm_root(the sum of term(x), p), for finite p.
template <class T, class F> void with_norm_term(double p, F f) {
  if (p == 0) return f([](T x) { return T(x != 0); });
  if (p == 1) return f([](T x) { return m::abs(x); });
  if (p == 2) return f([](T x) { return x * x; });
  f([p = T(p)](T x) { return m::pow(m::abs(x), p); });
}

}  // namespace castor::CASTOR_ISA
