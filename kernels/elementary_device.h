// The functions of elementary.h on a GPU are CUDA's own. Their error is at most 4 ulps (CUDA C++ Programming Guide, "Mathematical
// Functions"). They use the hardware's instructions for powers of two, logarithms and reciprocals where there is one.
#pragma once
#include <cmath>
#include "elementary.h"

namespace castor::CASTOR_ISA::m {

CASTOR_HD inline float exp(float x) { return ::expf(x); }
CASTOR_HD inline float exp2(float x) { return ::exp2f(x); }
CASTOR_HD inline float expm1(float x) { return ::expm1f(x); }
CASTOR_HD inline float log(float x) { return ::logf(x); }
CASTOR_HD inline float log2(float x) { return ::log2f(x); }
CASTOR_HD inline float log10(float x) { return ::log10f(x); }
CASTOR_HD inline float log1p(float x) { return ::log1pf(x); }
CASTOR_HD inline float sin(float x) { return ::sinf(x); }
CASTOR_HD inline float cos(float x) { return ::cosf(x); }
CASTOR_HD inline float tan(float x) { return ::tanf(x); }
CASTOR_HD inline float tanh(float x) { return ::tanhf(x); }
CASTOR_HD inline float erf(float x) { return ::erff(x); }
CASTOR_HD inline float erfc(float x) { return ::erfcf(x); }

// e^(-a^2 b) for a >= 0. An FMA gives the rounding error of the square, which is corrected: the exponential would magnify it by a factor of
// a^2 b.
CASTOR_HD inline float exp_minus_square(float a, float b) {
  const float square = a * a, rest = ::fmaf(a, a, -square), y = ::expf(-square * b);
  return square * b > 104 ? 0 : y - y * (rest * b);
}

// e^-a for a >= 0.
CASTOR_HD inline float exp_minus(float a) { return ::expf(-a); }

// log(1 + e^-a) for a >= 0.
CASTOR_HD inline float log1p_exp_minus(float a) { return ::log1pf(::expf(-a)); }

}  // namespace castor::CASTOR_ISA::m
