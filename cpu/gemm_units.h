// The units that compute matrix products. A unit says which type operands are read as (Line) and which type their products are summed in
// (Sum). Which units there are depends on the instruction set; with_unit() chooses the one for a dtype.
#pragma once
#include "../kernels/dtype.h"

namespace castor::CASTOR_ISA {

// Multiply-add instructions of T: float, double or int64_t. Operands of 16 bits are converted to float once, when they are packed.
template <class T> struct Fma {
  using Line = T;
  using Sum = T;
};

// Instructions that add the products of two pairs of bfloat16 to a float. An operand is the sum of PARTS matrices of bfloat16, and TERMS
// products of parts are summed:
//   1 part:  it is bfloat16, or a float32 that is rounded to bfloat16;
//   2 parts: every finite float16 is exactly the sum of two bfloat16, so that its products are exact in four terms. Of a float32 two parts
//            keep 16 bits. Three terms are enough for it: they leave out the product of the low parts, which is at most 2^-18 of the whole.
// The instructions take subnormal bfloat16 and sums as zero.
template <int PARTS, int TERMS> struct Pairs {
  using Line = std::conditional_t<PARTS == 1, BFloat, float>;
  using Sum = float;
};

// The dtype of a product: that of all operands, or the type that arithmetic on them runs in.
template <class... Rest> DType product_type(DType first, Rest... rest) {
  return ((first == rest) && ...) ? first : compute_type(first, rest...);
}

// Calls f with the unit for products of a dtype.
template <class F> void with_unit(DType d, F f) {
#if defined(CASTOR_PAIRS)
  const bool f32 = d == DType::f32;
  if (d == DType::bf16 || (f32 && float32_precision() == Precision::medium)) return f(Pairs<1, 1>{});
#if defined(CASTOR_TILES)
  if (d == DType::f16) return f(Pairs<2, 4>{});
  if (f32 && float32_precision() == Precision::high) return f(Pairs<2, 3>{});
#endif
#endif
  with_compute_type(d, [&](auto zero) { f(Fma<decltype(zero)>{}); });
}

}  // namespace castor::CASTOR_ISA
