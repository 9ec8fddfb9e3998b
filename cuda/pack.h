// A few elements at a time, as they are in memory. Inside one branch on the dtype, a kernel can start the loads of several packs before it
// converts the first. The vectors of element.h, which branch for each load, are loaded one after the other.
#pragma once
#include "element.h"

namespace castor::cuda {

// N elements, which are accessed in units of up to 16 bytes. The address has to be a multiple of alignof(Pack).
template <class S, int N> struct alignas(sizeof(S) * N < 16 ? sizeof(S) * N : 16) Pack { S v[N]; };

// Calls f with a value of the element type, for the dtypes that are computed in T. For double, integers are included.
template <class T, class F> __device__ __forceinline__ void with_input(DType d, F f) {
  if constexpr (std::is_same_v<T, float>) {
    if (d == DType::f32) return f(float{});
    return d == DType::f16 ? f(Half{}) : f(BFloat{});
  } else {
    if constexpr (std::is_same_v<T, double>)
      if (d == DType::f64) return f(double{});
    switch (d) {
      case DType::i32: return f(int32_t{});
      case DType::i64: return f(int64_t{});
      case DType::u8: return f(uint8_t{});
      default: return f(Bool{});
    }
  }
}

// A bit for each of N positions from `begin` on: whether it is in [0, size).
template <int N> __device__ __forceinline__ uint32_t inside(int64_t begin, int64_t size) {
  const int low = begin < 0 ? int(-begin) : 0, high = size - begin < N ? int(size - begin) : N;
  return high > low ? (~0u >> (32 - high)) & (~0u << low) : 0;
}

}  // namespace castor::cuda
