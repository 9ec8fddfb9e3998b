// The element types as they lie in memory, and the conversions between them and the types arithmetic runs in
// (float, double, int64_t). Every float to float conversion rounds once, to nearest even.
#pragma once
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define CASTOR_HD __host__ __device__
#else
#define CASTOR_HD
#endif

// Defined where the code is compiled for a GPU, or for the emulator that runs GPU code on the CPU.
#if defined(__CUDA_ARCH__) || defined(CASTOR_EMULATOR)
#define CASTOR_ON_DEVICE
#endif

// These headers are compiled once for each CPU instruction set. The namespace, named after the set, keeps the linker from mixing the
// copies.
#ifndef CASTOR_ISA
#define CASTOR_ISA device
#endif

namespace castor::CASTOR_ISA {

// Enumerations, not structs, because the compiler's vectoriser handles enumerations like integers.
enum class Half : uint16_t {};
enum class BFloat : uint16_t {};
enum class Bool : uint8_t {};  // any byte but 0 is true

template <class To, class From> CASTOR_HD inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast keeps the size");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

#if defined(__CUDA_ARCH__)

// Each conversion is one instruction. Every NaN becomes the canonical NaN of the 16-bit type.
CASTOR_HD inline float to_float(Half h) { return __half2float(bit_cast<__half>(h)); }
CASTOR_HD inline Half to_half(float x) { return bit_cast<Half>(__float2half_rn(x)); }
CASTOR_HD inline BFloat to_bfloat(float x) { return bit_cast<BFloat>(__float2bfloat16_rn(x)); }

#else

// Shifts the bits of the half to their place in a float, whose exponent is then 112 too small, and multiplies by 2^112. The multiplication
// also normalises denormal halves.
CASTOR_HD inline float to_float(Half h) {
  uint32_t bits = uint32_t(h), magnitude = (bits & 0x7fffu) << 13;
  uint32_t scaled = bit_cast<uint32_t>(bit_cast<float>(magnitude) * 0x1p112f);
  uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0u;
  return bit_cast<float>(scaled | special | (bits & 0x8000u) << 16);
}

CASTOR_HD inline Half to_half(float x) {
  uint32_t bits = bit_cast<uint32_t>(x);
  // From 2^16 on all are infinite.
  float size = bit_cast<float>(bits & 0x7fffffffu);
  size = size < 0x1p16f ? size : 0x1p16f;
  uint32_t magnitude = bit_cast<uint32_t>(size);
  // Below 2^-14: adding 0.5 leaves a multiple of 2^-24, the spacing of denormal halves, in the mantissa.
  uint32_t denormal = bit_cast<uint32_t>(size + 0.5f) - 0x3f000000u;
  uint32_t normal = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
  uint32_t half = size < 0x1p-14f ? denormal : normal;
  half = x != x ? 0x7e00u | (bits >> 13 & 0x3ffu) : half;
  return Half(half | (bits >> 16 & 0x8000u));
}

// The choice is made in 32 bits, since vectors of 16 bits would have to be put together from two.
CASTOR_HD inline BFloat to_bfloat(float x) {
  uint32_t bits = bit_cast<uint32_t>(x), rounded = bits + 0x7fffu + (bits >> 16 & 1);
  rounded = x != x ? bits | 0x400000u : rounded;
  return BFloat(uint16_t(rounded >> 16));
}

#endif

CASTOR_HD inline float to_float(BFloat b) { return bit_cast<float>(uint32_t(b) << 16); }

// Rounds to odd: where the result is inexact, its last bit is 1. Rounding it again, to 16 bits, then gives the same result as rounding the
// double once (Boldo, Melquiond: Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd; 2008).
CASTOR_HD inline float to_odd_float(double x) {
  float nearest = float(x);
  double back = nearest;
  uint32_t bits = bit_cast<uint32_t>(nearest);
  bool inexact = back != x && x == x;
  bool away = (x < 0 ? -back : back) > (x < 0 ? -x : x);
  return bit_cast<float>(inexact ? (bits - uint32_t(away)) | 1u : bits);
}

// Truncates towards zero. A value out of range becomes the nearest integer of the type, NaN becomes 0.
template <class I, class F> CASTOR_HD inline I to_integer(F x) {
  constexpr I least = std::numeric_limits<I>::min(), greatest = std::numeric_limits<I>::max();
  constexpr F low = F(least);
  I inside = I(x >= low && x < -low ? x : F(0));
  I outside = x >= -low ? greatest : x < low ? least : I(0);
  return inside | outside;
}

template <class T, class S> struct Convert {
  CASTOR_HD static T from(S x) { return T(x); }
};
template <class T> struct Convert<T, Half> {
  CASTOR_HD static T from(Half x) { return Convert<T, float>::from(to_float(x)); }
};
template <class T> struct Convert<T, BFloat> {
  CASTOR_HD static T from(BFloat x) { return Convert<T, float>::from(to_float(x)); }
};
template <class T> struct Convert<T, Bool> {
  CASTOR_HD static T from(Bool x) { return T(x != Bool(0)); }
};
template <> struct Convert<Half, float> {
  CASTOR_HD static Half from(float x) { return to_half(x); }
};
template <> struct Convert<Half, double> {
  CASTOR_HD static Half from(double x) { return to_half(to_odd_float(x)); }
};
template <> struct Convert<Half, int64_t> {
  CASTOR_HD static Half from(int64_t x) { return to_half(float(x)); }
};
template <> struct Convert<BFloat, float> {
  CASTOR_HD static BFloat from(float x) { return to_bfloat(x); }
};
template <> struct Convert<BFloat, double> {
  CASTOR_HD static BFloat from(double x) { return to_bfloat(to_odd_float(x)); }
};
template <> struct Convert<BFloat, int64_t> {
  CASTOR_HD static BFloat from(int64_t x) { return to_bfloat(float(x)); }
};
template <class S> struct Convert<Bool, S> {
  CASTOR_HD static Bool from(S x) { return Bool(x != 0); }
};
template <> struct Convert<int64_t, float> {
  CASTOR_HD static int64_t from(float x) { return to_integer<int64_t>(x); }
};
template <> struct Convert<int64_t, double> {
  CASTOR_HD static int64_t from(double x) { return to_integer<int64_t>(x); }
};
template <> struct Convert<int32_t, float> {
  CASTOR_HD static int32_t from(float x) { return to_integer<int32_t>(x); }
};
template <> struct Convert<int32_t, double> {
  CASTOR_HD static int32_t from(double x) { return to_integer<int32_t>(x); }
};
// Conversions to uint8 wrap around, as those of integers do: -1.0 becomes 255.
template <> struct Convert<uint8_t, float> {
  CASTOR_HD static uint8_t from(float x) { return uint8_t(to_integer<int32_t>(x)); }
};
template <> struct Convert<uint8_t, double> {
  CASTOR_HD static uint8_t from(double x) { return uint8_t(to_integer<int32_t>(x)); }
};

template <class T, class S> CASTOR_HD inline T convert(S x) { return Convert<T, S>::from(x); }

}  // namespace castor::CASTOR_ISA
