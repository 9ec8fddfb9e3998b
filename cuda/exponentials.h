// The sum of exponentials in one pass, kept relative to the largest argument so far (Milakov, Gimelshein: Online normalizer calculation for
// softmax; 2018).
#pragma once
#include <limits>
#include "block.h"
#include "element.h"

namespace castor::cuda {

template <class T> constexpr T LOWEST = -std::numeric_limits<T>::infinity();

// e^x, as accurate as the precision of S requires: for 16-bit dtypes an approximation is enough.
template <class S, class T> __device__ __forceinline__ T exponential(T x) {
  if constexpr (std::is_same_v<S, Half> || std::is_same_v<S, BFloat>) return gpu::exp2_approx(x * 1.44269504f);
  else return std::exp(x);
}

// sum = the sum of e^(x - base), where base is the largest x, or 0 if that is infinite.
template <class T> struct Exponentials {
  T top = LOWEST<T>, sum = 0;

  __device__ __forceinline__ T base() const { return std::isinf(top) ? T(0) : top; }
};

template <class T> __device__ __forceinline__ Exponentials<T> from_lane_xor(Exponentials<T> x, int distance) {
  return {from_lane_xor(x.top, distance), from_lane_xor(x.sum, distance)};
}

template <class S> struct JoinExponentials {
  template <class T> __device__ __forceinline__ Exponentials<T> operator()(Exponentials<T> x, Exponentials<T> y) const {
    Exponentials<T> both{Largest{}(x.top, y.top), 0};
    both.sum = x.sum * exponential<S>(x.top - both.base()) + y.sum * exponential<S>(y.top - both.base());
    return both;
  }
};

template <class S, class T, int N> __device__ __forceinline__ void absorb(Exponentials<T> &all, const T (&x)[N]) {
  Exponentials<T> now{all.top, 0};
  GPU_UNROLL for (int i = 0; i < N; i++) now.top = Largest{}(now.top, x[i]);
  const T base = now.base();
  GPU_UNROLL for (int i = 0; i < N; i++) now.sum += exponential<S>(x[i] - base);
  now.sum += all.sum * exponential<S>(all.top - base);
  all = now;
}

}  // namespace castor::cuda
