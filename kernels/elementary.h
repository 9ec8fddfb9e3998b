// Elementary functions of a float. The CPU uses the formulas of elementary_host.h, a GPU the functions of CUDA.
#pragma once
#include <cmath>
#include "convert.h"
#if defined(CASTOR_ON_DEVICE)
#include "../cuda/gpu.h"
#endif

namespace castor::CASTOR_ISA::m {

constexpr float INF = std::numeric_limits<float>::infinity();
constexpr float QUIET_NAN = std::numeric_limits<float>::quiet_NaN();

// 1 / x, where neither x nor the result is denormal.
CASTOR_HD inline double reciprocal(double x) { return 1 / x; }
#if defined(CASTOR_ON_DEVICE)
CASTOR_HD inline float reciprocal(float x) { return gpu::reciprocal_approx(x); }
#else
CASTOR_HD inline float reciprocal(float x) { return 1 / x; }
#endif

// The lower tail of the standard normal distribution, Phi(-a) for a >= 0, from s = TAIL_SLOPE a and e = e^(-a^2 / 2):
// Phi(-a) = e t P(1 - t), t = 1 / (1 + s), with a polynomial P. The relative error is below 2.7e-9 where e is not 0 (a <= 14.5). 1 - t is
// computed as s t, which stays accurate near a = 0.
constexpr float TAIL_SLOPE = 0.297f;
CASTOR_HD inline float normal_tail(float s, float e) {
  float t = reciprocal(1 + s), v = s * t;
  float p = 2.0439923e-02f;
  p = p * v - 6.929532e-02f;
  p = p * v + 6.0248084e-02f;
  p = p * v + 1.8069467e-02f;
  p = p * v + 2.8494388e-02f;
  p = p * v - 1.4094034e-01f;
  p = p * v - 1.0297159e-01f;
  p = p * v + 6.476876e-01f;
  p = p * v - 8.4323984e-01f;
  p = p * v + 0.5f;
  float y = p * t * e;
  return e == 0 ? 0 : y;
}

}  // namespace castor::CASTOR_ISA::m

#if defined(CASTOR_ON_DEVICE)
#include "elementary_device.h"
#else
#include "elementary_more.h"
#endif
