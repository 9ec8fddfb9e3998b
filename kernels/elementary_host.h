// The functions of elementary.h on the CPU. They have no branches, calls or tables, so that loops over them vectorise. A result for an
// argument out of range is replaced afterwards: if the argument were clamped first, GCC would compute both paths.
// The polynomials are minimax fits made for this file, with coefficients rounded to float. The interval and the error stand beside each.
#pragma once
#include <cmath>
#include "elementary.h"

namespace castor::CASTOR_ISA::m {

constexpr float ROUNDER = 0x1.8p23f;         // (x + ROUNDER) - ROUNDER is x rounded to an integer; its low bits hold the integer
constexpr float LN2_HI = 0x1.62e4p-1f;       // 16 bits, so that its product with an exponent is exact
constexpr float LN2_LO = 1.4286068e-06f;     // ln 2 = LN2_HI + LN2_LO
constexpr float LOG2_E = 1.44269504f;

// An exponent n is kept as n 2^23 modulo 2^32: added to the bits of a float, it multiplies the float by 2^n.
constexpr uint32_t exponent(int32_t n) { return uint32_t(n) << 23; }

// y 2^n, where y and the result are normal numbers. For any other n the result is meaningless but the behaviour is defined: vector
// lanes whose result is discarded may have any n.
CASTOR_HD inline float shift(float y, uint32_t n) { return bit_cast<float>(bit_cast<uint32_t>(y) + n); }
CASTOR_HD inline float power_of_two(int32_t n) { return shift(1, exponent(n)); }

// Reduces an argument to x = n ln 2 + r, with n = round(whole / ln 2). `whole` is x, or x plus a small term that the caller adds to r
// itself. The low bits of `shifted` are n, since ROUNDER is a multiple of 2^9.
struct Octave { float r; uint32_t n; };
CASTOR_HD inline Octave octave(float x, float whole) {
  float shifted = whole * LOG2_E + ROUNDER, n = shifted - ROUNDER;
  return {(x - n * LN2_HI) - n * LN2_LO, bit_cast<uint32_t>(shifted) << 23};
}

// e^r - 1 for r in [-0.347, 0.347], relative error 1.6e-8.
CASTOR_HD inline float expm1_near_zero(float r) {
  float p = 1.3939737e-03f;
  p = p * r + 8.366573e-03f;
  p = p * r + 4.1666415e-02f;
  p = p * r + 1.6666543e-01f;
  p = p * r + 0.5f;
  return r + (r * r) * p;
}

// y 2^n for y near 1. It multiplies by two factors, because 2^n itself is out of range where the result is denormal.
CASTOR_HD inline float scale(float y, uint32_t n) {
  uint32_t half = uint32_t(int32_t(n) >> 1) & 0xff800000u;
  return y * shift(1, half) * shift(1, n - half);
}

// The same for -190 < n < 63, in fewer steps.
CASTOR_HD inline float scale_down(float y, uint32_t n) { return y * shift(0x1p64f, n) * 0x1p-64f; }

CASTOR_HD inline float exp(float x) {
  Octave o = octave(x, x);
  float y = scale(1 + expm1_near_zero(o.r), o.n);
  y = x > 89 ? INF : y;
  return x < -104 ? 0 : y;
}

// The same for arguments whose result is a normal number.
CASTOR_HD inline bool has_normal_exp(float x) { return std::fabs(x) <= 87; }
CASTOR_HD inline float near_exp(float x) {
  Octave o = octave(x, x);
  return (1 + expm1_near_zero(o.r)) * shift(1, o.n);
}

// e^-a for a >= 0.
CASTOR_HD inline float exp_minus(float a) {
  Octave o = octave(-a, -a);
  float y = scale_down(1 + expm1_near_zero(o.r), o.n);
  return a > 104 ? 0 : y;
}

// The square of a times b, a power of two, as a sum of two parts: `head` is a float with the octave of the sum.
struct Square { float whole, head, rest; };
CASTOR_HD inline Square square_of(float a, float b) {
#if defined(__FMA__)
  float whole = a * (a * b);
  return {whole, whole, std::fma(a, a * b, -whole)};
#else
  float head = bit_cast<float>(bit_cast<uint32_t>(a) & 0xfffff000u);
  return {a * a * b, head * head * b, (a - head) * (a + head) * b};
#endif
}

// e^(-a^2 b) for a >= 0. The square is computed as a sum of two parts, because the exponential would magnify its rounding error by a factor
// of a^2 b.
CASTOR_HD inline float exp_minus_square(float a, float b) {
  Square square = square_of(a, b);
  Octave o = octave(-square.head, -square.whole);
  float y = scale_down(1 + expm1_near_zero(o.r - square.rest), o.n);
  return square.whole > 104 ? 0 : y;
}

CASTOR_HD inline float exp2(float x) {
  float shifted = x + ROUNDER, f = x - (shifted - ROUNDER);
  float y = scale(1 + expm1_near_zero(f * LN2_HI + f * LN2_LO), bit_cast<uint32_t>(shifted) << 23);
  y = x >= 128 ? INF : y;
  return x < -150 ? 0 : y;
}

// e^x - 1. It works with 2^(n - 1) and doubles the result, because for n = 128 the factor 2^n is too large for a float while the result may
// not be.
CASTOR_HD inline float expm1(float x) {
  Octave o = octave(x, x);
  float half = shift(0.5f, o.n);
  float y = 2 * (half * expm1_near_zero(o.r) + (half - 0.5f));
  y = x > 89 ? INF : y;
  y = x < -20 ? -1 : y;
  return std::copysign(y, x);
}

// Decomposes a positive finite x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2).
struct Mantissa { float f, k; };
CASTOR_HD inline Mantissa mantissa_of_normal(float x) {
  uint32_t bits = bit_cast<uint32_t>(x);
  int32_t k = int32_t(bits - 0x3f3504f3u) >> 23;
  return {bit_cast<float>(bits - (uint32_t(k) << 23)) - 1, float(k)};
}
CASTOR_HD inline Mantissa mantissa(float x) {
  bool denormal = x < 0x1p-126f;
  Mantissa y = mantissa_of_normal(denormal ? x * 0x1p23f : x);
  return {y.f, denormal ? y.k - 23 : y.k};
}

// (log(1 + f) - f + f^2 / 2) / f^3 for f in [sqrt(1/2) - 1, sqrt(2) - 1]. The logarithm computed from it has a relative error of 7.1e-9.
CASTOR_HD inline float log_tail(float f) {
  float p = -7.86146e-02f;
  p = p * f + 1.2881699e-01f;
  p = p * f - 1.3127951e-01f;
  p = p * f + 1.4181103e-01f;
  p = p * f - 1.6624641e-01f;
  p = p * f + 2.0002297e-01f;
  p = p * f - 2.5000808e-01f;
  return p * f + 3.3333316e-01f;
}

// Returns y, the logarithm of x, where x is positive and finite. Elsewhere it returns what IEEE 754 defines: -inf for 0, NaN for negative
// numbers and NaN, inf for inf.
CASTOR_HD inline float log_or_special(float x, float y) {
  float outside = x == 0 ? -INF : QUIET_NAN;
  y = x > 0 ? y : outside;
  return x < INF ? y : x;
}

CASTOR_HD inline float log_of(Mantissa x) {
  float square = x.f * x.f;
  float y = (x.f * square) * log_tail(x.f) + x.k * LN2_LO;
  return (x.f + (y - 0.5f * square)) + x.k * LN2_HI;
}

// near_log, near_log2 and near_log10 are right for normal numbers above 0 only.
CASTOR_HD inline bool is_normal(float x) { return (x >= 0x1p-126f) & (x < INF); }
CASTOR_HD inline float near_log(float x) { return log_of(mantissa_of_normal(x)); }
CASTOR_HD inline float log(float x) { return log_or_special(x, log_of(mantissa(x))); }

// The logarithm to another base: k (k_hi + k_lo) + log(1 + f) (c_hi + c_lo), with each constant as a sum of two floats. c_hi has 12 bits,
// so that its product with the leading bits of log(1 + f) is exact.
CASTOR_HD inline float log_scaled(Mantissa x, float k_hi, float k_lo, float c_hi, float c_lo) {
  float square = x.f * x.f;
  float head = bit_cast<float>(bit_cast<uint32_t>(x.f - 0.5f * square) & 0xfffff000u);
  float tail = ((x.f - head) - 0.5f * square) + (x.f * square) * log_tail(x.f);
  float low = tail * c_lo + head * c_lo + x.k * k_lo;
  return ((low + tail * c_hi) + head * c_hi) + x.k * k_hi;
}

CASTOR_HD inline float log2_of(Mantissa x) { return log_scaled(x, 1, 0, 0x1.716p+0f, -1.7605285e-04f); }
CASTOR_HD inline float near_log2(float x) { return log2_of(mantissa_of_normal(x)); }
CASTOR_HD inline float log2(float x) { return log_or_special(x, log2_of(mantissa(x))); }

CASTOR_HD inline float log10_of(Mantissa x) { return log_scaled(x, 0x1.344p-2f, 4.605039e-06f, 0x1.bccp-2f, -3.168997e-05f); }
CASTOR_HD inline float near_log10(float x) { return log10_of(mantissa_of_normal(x)); }
CASTOR_HD inline float log10(float x) { return log_or_special(x, log10_of(mantissa(x))); }

// log(1 + x). The sum is split exactly into a float u and a rest c, and the rest, scaled like the fraction of u, is added to that fraction.
// The scale is applied as 0.5 2^(1 - k), because 2^-k may be too small for a float.
CASTOR_HD inline float log1p(float x) {
  float u = 1 + x;
  float c = x > 1 ? 1 - (u - x) : x - (u - 1);
  Mantissa y = mantissa_of_normal(u);
  y.f += 0.5f * c * power_of_two(1 - int32_t(y.k));
  return std::copysign(log_or_special(u, log_of(y)), x);
}

// log(1 + e^-a) for a >= 0. Here the exponential cannot overflow, and u = 1 + e^-a lies in [1, 2].
CASTOR_HD inline float log1p_exp_minus(float a) {
  float e = exp_minus(a), u = 1 + e;
  Mantissa y = mantissa_of_normal(u);
  y.f += (e - (u - 1)) * power_of_two(-int32_t(y.k));
  return log_of(y);
}

// Reduces an argument to x = n pi/2 + r with |r| <= pi/4, for |x| <= TURN_REACH. With FMA, pi/2 is the sum of three floats, of which the
// first leaves an exact difference. Without, the product n HALF_PI_HI is exact: 20 bits times 33 bits.
constexpr float TURN_REACH = 0x1p20f;
CASTOR_HD inline bool is_within_reach(float x) { return std::fabs(x) <= TURN_REACH; }
struct Turn { float r; uint32_t quadrant; };
CASTOR_HD inline Turn turn(float x) {
#if defined(__FMA__)
  float whole = std::fma(x, 0x1.45f306p-1f, ROUNDER), count = whole - ROUNDER;
  float r = std::fma(-count, 0x1.921fb6p+0f, x);
  r = std::fma(count, 0x1.777a5cp-25f, r);
  return {std::fma(count, 0x1.ee59dap-50f, r), bit_cast<uint32_t>(whole)};
#else
  constexpr double ROUNDER64 = 0x1.8p52, TWO_OVER_PI = 0x1.45f306dc9c883p-1;
  constexpr double HALF_PI_HI = 0x1.921fb544p+0, HALF_PI_LO = 0x1.0b4611a626331p-34;
  double shifted = x * TWO_OVER_PI + ROUNDER64, n = shifted - ROUNDER64;
  return {float((x - n * HALF_PI_HI) - n * HALF_PI_LO), uint32_t(bit_cast<uint64_t>(shifted))};
#endif
}

// sin(r) for r in [-pi/4, pi/4], relative error 3.7e-9.
CASTOR_HD inline float sin_near_zero(float r) {
  float z = r * r;
  float p = (-1.9518605e-04f * z + 8.332191e-03f) * z - 1.6666655e-01f;
  return r + r * z * p;
}

// cos(r) for r in [-pi/4, pi/4], absolute error 1.1e-10.
CASTOR_HD inline float cos_near_zero(float r) {
  float z = r * r;
  float p = (2.443067e-05f * z - 1.3887301e-03f) * z + 4.1666646e-02f;
  return 1 - (0.5f * z - z * z * p);
}

CASTOR_HD inline float sin_of_turn(Turn t) {
  float y = t.quadrant & 1 ? cos_near_zero(t.r) : sin_near_zero(t.r);
  return bit_cast<float>(bit_cast<uint32_t>(y) ^ (t.quadrant & 2) << 30);
}

// sin, cos and tan for |x| <= TURN_REACH. They give NaN for infinities.
CASTOR_HD inline float near_sin(float x) {
  float y = sin_of_turn(turn(x));
  return x == 0 ? x : y;
}

CASTOR_HD inline float near_cos(float x) {
  Turn t = turn(x);
  return sin_of_turn({t.r, t.quadrant + 1});
}

CASTOR_HD inline float near_tan(float x) {
  Turn t = turn(x);
  float s = sin_near_zero(t.r), c = cos_near_zero(t.r);
  float y = (t.quadrant & 1 ? -c : s) / (t.quadrant & 1 ? s : c);
  return x == 0 ? x : y;
}

// Arguments beyond TURN_REACH are computed in double by the standard library.
#define CASTOR_FAR(name) \
  CASTOR_HD inline float name(float x) { return is_within_reach(x) ? near_##name(x) : float(std::name(double(x))); }
CASTOR_FAR(sin) CASTOR_FAR(cos) CASTOR_FAR(tan)
#undef CASTOR_FAR

// yes ? a : b, by their bits: GCC makes two divisions of (yes ? a : b) / c in a vectorised loop.
CASTOR_HD inline float select(bool yes, float a, float b) {
  const uint32_t mask = -uint32_t(yes);
  return bit_cast<float>((bit_cast<uint32_t>(a) & mask) | (bit_cast<uint32_t>(b) & ~mask));
}

// With s = e^(-2|x|), tanh(|x|) is (1 - s) / (1 + s) for |x| < 1/2, and 1 - 2 s / (1 + s) elsewhere. In its range each form avoids
// cancellation.
CASTOR_HD inline float tanh(float x) {
  float a = 2 * std::fabs(x);
  Octave o = octave(-a, -a);
  float p = expm1_near_zero(o.r), power = shift(1, o.n), s = power + power * p, rest = (1 - power) - power * p;
  bool near = a < 1;
  float part = select(near, rest, 2 * s) / (1 + s), y = near ? part : 1 - part;
  y = a > 40 ? 1 : y;
  return std::copysign(y, x);
}

// erfc(a) = 1 - erf(a) for a >= 0.
CASTOR_HD inline float erfc_of_positive(float a) {
  return 2 * normal_tail(a * (TAIL_SLOPE * 1.41421356f), exp_minus_square(a, 1));
}

CASTOR_HD inline float erfc(float x) {
  float y = erfc_of_positive(std::fabs(x));
  return x < 0 ? 2 - y : y;
}

// erf(x). For |x| <= 0.9 it is x + x P(x^2) with a relative error of 1.4e-8, elsewhere 1 - erfc(x).
CASTOR_HD inline float erf(float x) {
  float z = x * x;
  float p = -6.094113e-04f;
  p = p * z + 5.0126496e-03f;
  p = p * z - 2.6779294e-02f;
  p = p * z + 1.1282145e-01f;
  p = p * z - 3.7612522e-01f;
  p = p * z + 1.2837915e-01f;
  float near = x + x * p, far = std::copysign(1 - erfc_of_positive(std::fabs(x)), x);
  return std::fabs(x) < 0.9f ? near : far;
}

}  // namespace castor::CASTOR_ISA::m
