// Elementary functions of a float: formulas of our own for the CPU, CUDA's own on the device.
#pragma once
#include <cmath>
#include "convert.h"
#if defined(CASTOR_ON_DEVICE)
#include "../cuda/gpu.h"
#endif

namespace castor::CASTOR_ISA::m {

constexpr float INF = std::numeric_limits<float>::infinity();
constexpr float QUIET_NAN = std::numeric_limits<float>::quiet_NaN();

// 1 / x where neither is denormal.
CASTOR_HD inline double reciprocal(double x) { return 1 / x; }
#if defined(CASTOR_ON_DEVICE)
CASTOR_HD inline float reciprocal(float x) { return gpu::reciprocal_approx(x); }
#else
CASTOR_HD inline float reciprocal(float x) { return 1 / x; }
#endif

// Phi(-a), the normal distribution, for a >= 0, from s = TAIL_SLOPE a and e = e^(-a^2 / 2): e t P(1 - t) with t = 1 / (1 + s), relative
// error 2.7e-9 where e is not 0 (a <= 14.5). 1 - t is taken as s t, which keeps its last bits near a = 0.
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
#include "elementary_host.h"
#endif
