// The scalar functions that the .inc files beside this one use, for T = float, double and, where it makes sense, int64_t. Integers wrap
// around. An integer divided by zero and a negative power of an integer give zero here: the callers refuse such operands before.
#pragma once
#include "elementary.h"

namespace castor::CASTOR_ISA::m {

// ---- arithmetic ----------------------------------------------------------------------------------------------------

template <class T> CASTOR_HD inline T add(T x, T y) { return x + y; }
template <class T> CASTOR_HD inline T sub(T x, T y) { return x - y; }
template <class T> CASTOR_HD inline T mul(T x, T y) { return x * y; }
template <class T> CASTOR_HD inline T neg(T x) { return -x; }
CASTOR_HD inline int64_t add(int64_t x, int64_t y) { return int64_t(uint64_t(x) + uint64_t(y)); }
CASTOR_HD inline int64_t sub(int64_t x, int64_t y) { return int64_t(uint64_t(x) - uint64_t(y)); }
CASTOR_HD inline int64_t mul(int64_t x, int64_t y) { return int64_t(uint64_t(x) * uint64_t(y)); }
CASTOR_HD inline int64_t neg(int64_t x) { return int64_t(-uint64_t(x)); }

template <class T> CASTOR_HD inline T abs(T x) { return std::fabs(x); }
CASTOR_HD inline int64_t abs(int64_t x) { return x < 0 ? neg(x) : x; }
template <class T> CASTOR_HD inline bool is_inf(T x) { return std::fabs(x) == T(INF); }
CASTOR_HD inline bool is_inf(int64_t) { return false; }
template <class T> CASTOR_HD inline bool is_finite(T x) { return std::fabs(x) < T(INF); }
CASTOR_HD inline bool is_finite(int64_t) { return true; }

// The larger of two numbers. NaN if either is NaN. The first choice is one instruction, and a branch on the second is always foreseen.
template <class T> CASTOR_HD inline T maximum(T x, T y) {
  T larger = x > y ? x : y;
  return x != x ? x : larger;
}
template <class T> CASTOR_HD inline T minimum(T x, T y) {
  T smaller = x < y ? x : y;
  return x != x ? x : smaller;
}
// Limits x to [low, high]. A bound that is NaN makes every element NaN.
template <class T> CASTOR_HD inline T clamp(T x, T low, T high) {
  T y = x < low ? low : x;
  y = y > high ? high : y;
  T undefined = low != low ? low : high;
  return undefined != undefined ? undefined : y;
}

// Whether x is strictly between two bounds. An infinite bound excludes nothing but NaN.
template <class T> CASTOR_HD inline bool is_inside(T x, T low, T high) {
  return ((x > low) | (low == -T(INF))) & ((x < high) | (high == T(INF))) & (x == x);
}

// Linear interpolation x + weight (y - x), exact for weights of 0 and 1.
template <class T> CASTOR_HD inline T lerp(T x, T y, T weight) {
  T from_x = x + weight * (y - x), from_y = y - (1 - weight) * (y - x);
  return std::fabs(weight) < T(0.5) ? from_x : from_y;
}

// ---- functions of the standard library, or of CUDA ---------------------------------------------------------------------

#define CASTOR_STD(name) \
  template <class T> CASTOR_HD inline T name(T x) { return std::name(x); }
CASTOR_STD(floor) CASTOR_STD(ceil) CASTOR_STD(trunc) CASTOR_STD(sqrt)
CASTOR_STD(asin) CASTOR_STD(acos) CASTOR_STD(atan) CASTOR_STD(sinh) CASTOR_STD(cosh)
#undef CASTOR_STD
template <class T> CASTOR_HD inline T round(T x) { return std::nearbyint(x); }
CASTOR_HD inline int64_t floor(int64_t x) { return x; }
CASTOR_HD inline int64_t ceil(int64_t x) { return x; }
CASTOR_HD inline int64_t trunc(int64_t x) { return x; }
CASTOR_HD inline int64_t round(int64_t x) { return x; }

#define CASTOR_STD(name) \
  CASTOR_HD inline double name(double x) { return std::name(x); }
CASTOR_STD(exp) CASTOR_STD(exp2) CASTOR_STD(expm1) CASTOR_STD(log) CASTOR_STD(log2) CASTOR_STD(log10) CASTOR_STD(log1p)
CASTOR_STD(sin) CASTOR_STD(cos) CASTOR_STD(tan) CASTOR_STD(tanh) CASTOR_STD(erf) CASTOR_STD(erfc)
#undef CASTOR_STD

CASTOR_HD inline double exp_minus(double a) { return std::exp(-a); }

template <class T> CASTOR_HD inline T pow(T x, T y) { return std::pow(x, y); }
template <class T> CASTOR_HD inline T atan2(T x, T y) { return std::atan2(x, y); }
template <class T> CASTOR_HD inline T hypot(T x, T y) { return std::hypot(x, y); }

CASTOR_HD inline int64_t pow(int64_t x, int64_t y) {
  if (y < 0) return 0;
  int64_t result = 1;
  for (; y > 0; y >>= 1, x = mul(x, x)) result = y & 1 ? mul(result, x) : result;
  return result;
}

#if defined(__CUDA_ARCH__)
CASTOR_HD inline double erfinv(double x) { return ::erfinv(x); }
CASTOR_HD inline float erfinv(float x) { return ::erfinvf(x); }
#else
// Halley's iteration, started from Winitzki's approximation. It evaluates whichever of erf and erfc does not cancel.
CASTOR_HD inline double erfinv(double x) {
  double a = std::fabs(x);
  if (!(a < 1)) return a == 1 ? x * double(INF) : double(QUIET_NAN);
  double l = std::log1p(-a * a), c = 4.330746750799873 + l / 2, w = std::sqrt(std::sqrt(c * c - l / 0.147) - c);
  for (int i = 0; i < 3; i++) {
    double miss = a < 0.5 ? std::erf(w) - a : (1 - a) - std::erfc(w);
    double step = miss * 0.886226925452758 * std::exp(w * w);
    w -= step / (1 + w * step);
  }
  return std::copysign(w, x);
}
CASTOR_HD inline float erfinv(float x) { return float(erfinv(double(x))); }
#endif

// ---- division with remainder: remainder has the sign of the divisor (the quotient is rounded down), fmod that of the dividend ----

template <class T> CASTOR_HD inline T fmod(T x, T y) { return std::fmod(x, y); }
CASTOR_HD inline int64_t fmod(int64_t x, int64_t y) { return y == 0 || y == -1 ? 0 : x % y; }

template <class T> CASTOR_HD inline T remainder(T x, T y) {
  T r = fmod(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

template <class T> CASTOR_HD inline T floor_divide(T x, T y) {
  if (y == 0) return x / y;
  T rest = std::fmod(x, y), quotient = (x - rest) / y;
  if (rest != 0 && (rest < 0) != (y < 0)) quotient -= 1;
  T whole = std::floor(quotient);
  return quotient == 0 ? std::copysign(T(0), x / y) : quotient - whole > T(0.5) ? whole + 1 : whole;
}
CASTOR_HD inline int64_t floor_divide(int64_t x, int64_t y) {
  if (y == 0) return 0;
  if (y == -1) return neg(x);
  return x / y - (x % y != 0 && (x < 0) != (y < 0));
}

// ---- activations -----------------------------------------------------------------------------------------------------

// The sigmoid 1 / (1 + e^-x) and 1 minus it, both with full relative accuracy.
template <class T> struct Logistic { T value, rest; };
template <class T> CASTOR_HD inline Logistic<T> logistic(T x) {
  T e = exp_minus(std::fabs(x)), large = reciprocal(1 + e), small = e * large;
  return {x < 0 ? small : large, x < 0 ? large : small};
}
template <class T> CASTOR_HD inline T sigmoid(T x) { return logistic(x).value; }
CASTOR_HD inline double log1p_exp_minus(double a) { return std::log1p(std::exp(-a)); }
template <class T> CASTOR_HD inline T log_sigmoid(T x) {
  T rest = log1p_exp_minus(std::fabs(x));
  return x < 0 ? x - rest : -rest;
}

// -t log(x) - (1 - t) log(1 - x), with each logarithm limited to -100 and above, as in PyTorch.
template <class T> CASTOR_HD inline T binary_cross_entropy(T x, T t) {
  return (t - 1) * maximum(log1p(-x), T(-100)) - t * maximum(log(x), T(-100));
}
// (1 - t) x + w log(1 + e^-x), rearranged so that large terms do not cancel for x of either sign.
template <class T> CASTOR_HD inline T logit_cross_entropy(T x, T t, T w) {
  T rest = w * log1p_exp_minus(std::fabs(x));
  return x < 0 ? rest - (t + (w - 1)) * x : rest + (1 - t) * x;
}

template <class T> CASTOR_HD inline T softplus(T x, T beta, T threshold) {
  T z = x * beta, rest = log1p_exp_minus(std::fabs(z));
  T y = (z > 0 ? z + rest : rest) / beta;
  return z > threshold ? x : y;
}
template <class T> CASTOR_HD inline T softplus_slope(T x, T beta, T threshold) {
  T z = x * beta, y = sigmoid(z);
  return z > threshold ? T(1) : y;
}

template <class T> CASTOR_HD inline T silu(T x) { return x * sigmoid(x); }
template <class T> CASTOR_HD inline T silu_slope(T x) {
  Logistic<T> s = logistic(x);
  return s.value * (1 + x * s.rest);
}

// The gate of mish, tanh(log(1 + e^x)) = a / b, expressed in e^-|x|, which cannot overflow.
template <class T> struct Fraction { T a, b, rest; };  // rest = b - a
template <class T> CASTOR_HD inline Fraction<T> mish_gate(T x) {
  T e = exp_minus(std::fabs(x)), a = x < 0 ? e * (e + 2) : 1 + 2 * e, rest = x < 0 ? T(2) : 2 * e * e;
  return {a, a + rest, rest};
}
template <class T> CASTOR_HD inline T mish(T x) {
  Fraction<T> gate = mish_gate(x);
  return x * (gate.a / gate.b);
}
template <class T> CASTOR_HD inline T mish_slope(T x) {
  Fraction<T> gate = mish_gate(x);
  T t = gate.a / gate.b, rest = gate.rest / gate.b * (1 + t);
  return t + x * sigmoid(x) * rest;
}

// The cumulative distribution and the density of the standard normal distribution. The relative error stays small in the lower tail.
template <class T> struct Normal { T cdf, density; };
CASTOR_HD inline Normal<double> normal(double x) {
  return {0.5 * std::erfc(x * -0.7071067811865476), 0.3989422804014327 * std::exp(-0.5 * x * x)};
}
CASTOR_HD inline Normal<float> normal(float x) {
  float a = std::fabs(x), e = exp_minus_square(a, 0.5f), tail = normal_tail(TAIL_SLOPE * a, e);
  return {x < 0 ? tail : 1 - tail, 0.3989422804014327f * e};
}
template <class T> CASTOR_HD inline T gelu(T x) { return x * normal(x).cdf; }
template <class T> CASTOR_HD inline T gelu_slope(T x) {
  Normal<T> n = normal(x);
  return n.cdf + x * n.density;
}

// The tanh approximation of gelu: x (1 + tanh(u)) / 2 = x sigmoid(2u), with u = sqrt(2 / pi) (x + 0.044715 x^3).
template <class T> CASTOR_HD inline T gelu_tanh(T x) {
  return x * sigmoid(x * (T(1.5957691216057308) + T(0.07135481627260025) * x * x));
}
template <class T> CASTOR_HD inline T gelu_tanh_slope(T x) {
  T square = x * x;
  Logistic<T> s = logistic(x * (T(1.5957691216057308) + T(0.07135481627260025) * square));
  T bend = x * (T(1.5957691216057308) + T(0.21406444881780076) * square) * s.value * s.rest;
  return s.value + (square < 1000 ? bend : T(0));
}

}  // namespace castor::CASTOR_ISA::m
