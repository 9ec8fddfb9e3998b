// Further functions of elementary.h on the CPU: powers, the hyperbolic functions and the inverses of the trigonometric ones. Like those of
// elementary_host.h they have no branches, calls or tables, so that loops over them vectorise.
#pragma once
#include "elementary_host.h"

namespace castor::CASTOR_ISA::m {

// log2(x) for x >= 0, in double, relative error 2e-11.
CASTOR_HD inline double fine_log2(float x) {
  Mantissa y = mantissa(x);
  double f = y.f, p = 0.07736965080410317;
  p = p * f - 0.14283878681190862;
  p = p * f + 0.1447485457283014;
  p = p * f - 0.1431566027826809;
  p = p * f + 0.15876980683952052;
  p = p * f - 0.18030058776855923;
  p = p * f + 0.20617535812819643;
  p = p * f - 0.2404531661533893;
  p = p * f + 0.28853729353639723;
  p = p * f - 0.36067367481860624;
  p = p * f + 0.4808983613945186;
  p = p * f - 0.7213475208687937;
  p = p * f + 1.4426950408687058;
  double log = f * p + y.k, outside = x == 0 ? -INF : x;
  return ((x > 0) & (x < INF)) ? log : outside;
}

// 2^t, rounded to float.
CASTOR_HD inline float exp2_of(double t) {
  constexpr double ROUNDER64 = 0x1.8p52, LN2 = 0.6931471805599453;
  t = t < -200 ? -200 : t;
  t = t > 200 ? 200 : t;
  double shifted = t + ROUNDER64;
  float y = 1 + expm1_near_zero(float((t - (shifted - ROUNDER64)) * LN2));
  return scale(y, uint32_t(bit_cast<uint64_t>(shifted)) << 23);
}

// Whether y >= 0 is an integer. Floats from 2^23 on are.
CASTOR_HD inline bool is_whole(float y) { return (y >= 0x1p23f) | ((y + 0x1p23f) - 0x1p23f == y); }

// x^y = 2^(y log2 |x|), with the sign of x if y is odd. It is 1 for y = 0 and for x = 1 even if the other is NaN, and for x = -1 and an
// infinite y. It is NaN for a negative finite x if y is not an integer.
CASTOR_HD inline float pow(float x, float y) {
  float a = std::fabs(x), b = std::fabs(y);
  double t = y * fine_log2(a);
  t = (y == 0) | ((a == 1) & ((x == 1) | (y == y))) ? 0 : t;
  bool whole = is_whole(b), odd = whole & !is_whole(0.5f * b);
  uint32_t sign = odd ? bit_cast<uint32_t>(x) & 0x80000000u : 0u;
  float power = bit_cast<float>(bit_cast<uint32_t>(exp2_of(t)) | sign);
  return ((x < 0) & (a < INF) & !whole) ? QUIET_NAN : power;
}

// e^a / 2 for a >= 0, which is in range for some a for which e^a is not.
CASTOR_HD inline float half_exp(float a) {
  Octave o = octave(a, a);
  float quarter = shift(0.25f, o.n);
  return 2 * (quarter + quarter * expm1_near_zero(o.r));
}

CASTOR_HD inline float cosh(float x) {
  float a = std::fabs(x), half = half_exp(a), y = half + 0.25f / half;
  return a > 89.5f ? INF : y;
}

// With q = (e^|x| - 1) / 2, sinh(|x|) is q + q / (1 + 2 q). Near 0 it is |x|, of which q would lose bits if it were denormal.
CASTOR_HD inline float sinh(float x) {
  float a = std::fabs(x);
  Octave o = octave(a, a);
  float quarter = shift(0.25f, o.n), q = 2 * (quarter * expm1_near_zero(o.r) + (quarter - 0.25f)), y = q * (1 + 1 / (1 + 2 * q));
  y = a < 0x1p-12f ? a : y;
  return std::copysign(a > 89.5f ? INF : y, x);
}

// atan(z) for z in [0, 1], relative error 1.7e-8.
CASTOR_HD inline float atan_near_zero(float z) {
  float s = z * z;
  float p = 2.9206867e-03f;
  p = p * s - 1.6367909e-02f;
  p = p * s + 4.3211833e-02f;
  p = p * s - 7.5522125e-02f;
  p = p * s + 1.0666004e-01f;
  p = p * s - 1.4211056e-01f;
  p = p * s + 1.9993773e-01f;
  p = p * s - 3.3333153e-01f;
  return z + z * (s * p);
}

// pi and pi/2 as sums of two floats.
constexpr float PI_HI = 0x1.921fb6p+1f, PI_LO = -0x1.777a5cp-24f, HALF_PI_HI = 0x1.921fb6p+0f, HALF_PI_LO = -0x1.777a5cp-25f;

CASTOR_HD inline float atan(float x) {
  float a = std::fabs(x);
  bool steep = a > 1;
  float p = atan_near_zero(steep ? 1 / a : a), y = steep ? HALF_PI_HI - (p - HALF_PI_LO) : p;
  return std::copysign(y, x);
}

// The angle of the point (x, y), from the angle to the nearer axis.
CASTOR_HD inline float atan2(float y, float x) {
  float a = std::fabs(x), b = std::fabs(y);
  bool steep = b > a;
  float most = steep ? b : a, least = steep ? a : b, z = least / most;
  z = most == 0 ? 0 : z;
  z = least == INF ? 1 : z;
  float p = atan_near_zero(z);
  p = steep ? HALF_PI_HI - (p - HALF_PI_LO) : p;
  p = std::signbit(x) ? PI_HI - (p - PI_LO) : p;
  return ((x != x) | (y != y)) ? QUIET_NAN : std::copysign(p, y);
}

// asin(z) for z in [0, sqrt(1/2)], relative error 1.6e-8.
CASTOR_HD inline float asin_near_zero(float z) {
  float s = z * z;
  float p = 1.1124136e-01f;
  p = p * s - 9.249686e-02f;
  p = p * s + 7.6894678e-02f;
  p = p * s + 1.6413379e-02f;
  p = p * s + 4.6498481e-02f;
  p = p * s + 7.4885108e-02f;
  p = p * s + 1.6666906e-01f;
  return z + z * (s * p);
}

// For |x| > sqrt(1/2), asin(|x|) = pi/2 - 2 asin(z) and acos(|x|) = 2 asin(z), with z = sqrt((1 - |x|) / 2).
struct Arc { float p; bool far; };
CASTOR_HD inline Arc arc_of(float a) {
  bool far = a > 0.70710678f;
  return {asin_near_zero(far ? std::sqrt(0.5f - 0.5f * a) : a), far};
}

CASTOR_HD inline float asin(float x) {
  Arc arc = arc_of(std::fabs(x));
  return std::copysign(arc.far ? HALF_PI_HI - (2 * arc.p - HALF_PI_LO) : arc.p, x);
}

CASTOR_HD inline float acos(float x) {
  Arc arc = arc_of(std::fabs(x));
  float far = x < 0 ? PI_HI - (2 * arc.p - PI_LO) : 2 * arc.p, near = HALF_PI_HI - (std::copysign(arc.p, x) - HALF_PI_LO);
  return arc.far ? far : near;
}

}  // namespace castor::CASTOR_ISA::m
