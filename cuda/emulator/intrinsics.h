// Loads with cache hints, arithmetic and bit functions, by CUDA's names. Functions that are approximations in CUDA are as accurate here as
// the C library.
#pragma once
#include <cuda_fp16.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include "race.h"

#define EMULATOR_MATH EMULATOR_UNCHECKED inline

using std::isfinite;
using std::isinf;
using std::isnan;

// ---- loads and stores --------------------------------------------------------------------------------------------------

template <class T> inline T __ldg(const T *p) { return *p; }
template <class T> inline T __ldca(const T *p) { return *p; }
template <class T> inline T __ldcg(const T *p) { return *p; }
template <class T> inline T __ldcs(const T *p) { return *p; }
template <class T> inline T __ldlu(const T *p) { return *p; }
template <class T> inline T __ldcv(const T *p) { return *p; }
template <class T> inline void __stwb(T *p, std::type_identity_t<T> v) { *p = v; }
template <class T> inline void __stcg(T *p, std::type_identity_t<T> v) { *p = v; }
template <class T> inline void __stcs(T *p, std::type_identity_t<T> v) { *p = v; }
template <class T> inline void __stwt(T *p, std::type_identity_t<T> v) { *p = v; }

// ---- floats ------------------------------------------------------------------------------------------------------------

// glibc's math.h declares functions of these names for its own use, so these have to be macros.
#define __expf(x) std::exp(float(x))
#define __logf(x) std::log(float(x))
#define __log2f(x) std::log2(float(x))
#define __log10f(x) std::log10(float(x))
#define __sinf(x) std::sin(float(x))
#define __cosf(x) std::cos(float(x))
#define __tanf(x) std::tan(float(x))
#define __powf(x, y) std::pow(float(x), float(y))

EMULATOR_MATH float rsqrtf(float x) { return 1 / std::sqrt(x); }
EMULATOR_MATH double rsqrt(double x) { return 1 / std::sqrt(x); }
EMULATOR_MATH float __fdividef(float a, float b) { return a / b; }
EMULATOR_MATH float __frcp_rn(float a) { return 1 / a; }
EMULATOR_MATH float __fsqrt_rn(float a) { return std::sqrt(a); }
EMULATOR_MATH float __frsqrt_rn(float a) { return 1 / std::sqrt(a); }
EMULATOR_MATH float __fadd_rn(float a, float b) { return a + b; }
EMULATOR_MATH float __fsub_rn(float a, float b) { return a - b; }
EMULATOR_MATH float __fmul_rn(float a, float b) { return a * b; }
EMULATOR_MATH float __fdiv_rn(float a, float b) { return a / b; }
EMULATOR_MATH float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
EMULATOR_MATH double __dadd_rn(double a, double b) { return a + b; }
EMULATOR_MATH double __dsub_rn(double a, double b) { return a - b; }
EMULATOR_MATH double __dmul_rn(double a, double b) { return a * b; }
EMULATOR_MATH double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
EMULATOR_MATH float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
EMULATOR_MATH int __float2int_rn(float x) { return int(std::nearbyint(x)); }

// ---- bits --------------------------------------------------------------------------------------------------------------

namespace castor::emulator {
template <class To, class From> EMULATOR_MATH To bits_of(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
}  // namespace castor::emulator

EMULATOR_MATH int __float_as_int(float x) { return castor::emulator::bits_of<int>(x); }
EMULATOR_MATH unsigned __float_as_uint(float x) { return castor::emulator::bits_of<unsigned>(x); }
EMULATOR_MATH float __int_as_float(int x) { return castor::emulator::bits_of<float>(x); }
EMULATOR_MATH float __uint_as_float(unsigned x) { return castor::emulator::bits_of<float>(x); }
EMULATOR_MATH long long __double_as_longlong(double x) { return castor::emulator::bits_of<long long>(x); }
EMULATOR_MATH double __longlong_as_double(long long x) { return castor::emulator::bits_of<double>(x); }
EMULATOR_MATH int __popc(unsigned x) { return __builtin_popcount(x); }
EMULATOR_MATH int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
EMULATOR_MATH int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
EMULATOR_MATH int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
EMULATOR_MATH int __ffs(int x) { return __builtin_ffs(x); }
EMULATOR_MATH int __ffsll(long long x) { return __builtin_ffsll(x); }
EMULATOR_MATH unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; i++) reversed |= (x >> i & 1) << (31 - i);
  return reversed;
}
EMULATOR_MATH unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
EMULATOR_MATH int __mulhi(int a, int b) { return int(int64_t(a) * b >> 32); }
EMULATOR_MATH unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(Wide(a) * b >> 64);
}
EMULATOR_MATH unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n) {
  return unsigned((uint64_t(high) << 32 | low) << (n & 31) >> 32);
}
EMULATOR_MATH unsigned __funnelshift_r(unsigned low, unsigned high, unsigned n) {
  return unsigned((uint64_t(high) << 32 | low) >> (n & 31));
}
EMULATOR_MATH unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const uint64_t both = uint64_t(high) << 32 | low;
  unsigned bytes = 0;
  for (int i = 0; i < 4; i++) bytes |= unsigned(both >> (selector >> 4 * i & 7) * 8 & 255) << 8 * i;
  return bytes;
}

#define EMULATOR_ORDERED(T) \
  EMULATOR_MATH T min(T a, T b) { return b < a ? b : a; } \
  EMULATOR_MATH T max(T a, T b) { return a < b ? b : a; }
EMULATOR_ORDERED(int)
EMULATOR_ORDERED(unsigned)
EMULATOR_ORDERED(long)
EMULATOR_ORDERED(unsigned long)
EMULATOR_ORDERED(long long)
EMULATOR_ORDERED(unsigned long long)
#undef EMULATOR_ORDERED
EMULATOR_MATH float min(float a, float b) { return std::fmin(a, b); }
EMULATOR_MATH float max(float a, float b) { return std::fmax(a, b); }
EMULATOR_MATH double min(double a, double b) { return std::fmin(a, b); }
EMULATOR_MATH double max(double a, double b) { return std::fmax(a, b); }
