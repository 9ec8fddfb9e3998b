// Dispatch from a dtype that is known at run time to a type that is known at compile time.
#pragma once
#include <type_traits>
#include "../abi/backend.h"
#include "convert.h"

namespace castor::CASTOR_ISA {

static inline char *at(const View &v, int64_t element_offset) {
  return static_cast<char *>(v.data) + element_offset * size_of(v.dtype);
}

// The type that arithmetic on these dtypes runs in: float64 if any of them is float64, else float32 if any is a float dtype, else int64.
static inline DType compute_type(DType t) { return t == DType::f64 ? DType::f64 : is_float(t) ? DType::f32 : DType::i64; }
template <class... Rest> DType compute_type(DType first, Rest... rest) {
  DType a = compute_type(first), b = compute_type(rest...);
  if (a == DType::f64 || b == DType::f64) return DType::f64;
  return a == DType::f32 ? a : b;
}

template <class F> void with_compute_type(DType d, F f) {
  switch (compute_type(d)) {
    case DType::f64: return f(double{});
    case DType::f32: return f(float{});
    default: return f(int64_t{});
  }
}

// Calls f with a value of the element type: float, Half, BFloat, double, int32_t, int64_t, uint8_t, Bool.
template <class F> void with_dtype(DType d, F f) {
  switch (d) {
    case DType::f32: return f(float{});
    case DType::f16: return f(Half{});
    case DType::bf16: return f(BFloat{});
    case DType::f64: return f(double{});
    case DType::i32: return f(int32_t{});
    case DType::i64: return f(int64_t{});
    case DType::u8: return f(uint8_t{});
    case DType::boolean: return f(Bool{});
  }
}

// The dtype of the types that arithmetic runs in, and of BFloat, which units for matrix products read.
template <class T> constexpr DType dtype_of = std::is_same_v<T, float> ? DType::f32 : std::is_same_v<T, double> ? DType::f64
                                            : std::is_same_v<T, BFloat> ? DType::bf16 : DType::i64;

}  // namespace castor::CASTOR_ISA
