// Random numbers that depend only on (seed, offset, element). They are the same bit for bit on every instruction set and device.
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; 2011) with key = seed and
// counter = (block, offset), low words first. Element i uses word i % 4 of block i / 4. Where 32 bits are too few, it also uses the same
// word of block i / 4 + 2^63, as its lower word.
#pragma once
#include <cmath>
#include "convert.h"

namespace castor::CASTOR_ISA {

struct Words { uint32_t w[4]; };

CASTOR_HD inline Words philox(uint64_t seed, uint64_t offset, uint64_t block) {
  uint32_t c0 = uint32_t(block), c1 = uint32_t(block >> 32), c2 = uint32_t(offset), c3 = uint32_t(offset >> 32);
  uint32_t k0 = uint32_t(seed), k1 = uint32_t(seed >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t a = uint64_t(0xd2511f53u) * c0, b = uint64_t(0xcd9e8d57u) * c2;
    c0 = uint32_t(b >> 32) ^ c1 ^ k0;
    c1 = uint32_t(b);
    c2 = uint32_t(a >> 32) ^ c3 ^ k1;
    c3 = uint32_t(a);
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return {{c0, c1, c2, c3}};
}

constexpr uint64_t SECOND_WORDS = uint64_t(1) << 63;

// A product that is rounded on its own and never fused with an addition, because instruction sets differ in where they fuse. On the host
// this needs -ffp-contract=off.
CASTOR_HD inline float times(float x, float y) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(x, y);
#else
  return x * y;
#endif
}
CASTOR_HD inline double times(double x, double y) {
#if defined(__CUDA_ARCH__)
  return __dmul_rn(x, y);
#else
  return x * y;
#endif
}

// ---- uniform in [0, 1): 24 bits for float and narrower, 53 for double ------------------------------------------------------

CASTOR_HD inline float uniform(uint32_t word) { return float(int32_t(word >> 8)) * 0x1p-24f; }
CASTOR_HD inline double uniform(uint32_t word, uint32_t second) {
  return double(int64_t((uint64_t(word) << 32 | second) >> 11)) * 0x1p-53;
}

// uniform(word) < p exactly when word >> 8 is below this threshold.
CASTOR_HD inline uint32_t threshold(double p) { return uint32_t(std::ceil((p < 0 ? 0 : p > 1 ? 1 : p) * 0x1p24)); }

// ---- float functions in which every rounding is spelled out; the polynomials are those of elementary.h --------------------------

// log(x) for x in [2^-32, 1].
CASTOR_HD inline float exact_log(float x) {
  uint32_t bits = bit_cast<uint32_t>(x);
  int32_t k = int32_t(bits - 0x3f3504f3u) >> 23;
  float f = bit_cast<float>(bits - (uint32_t(k) << 23)) - 1, square = times(f, f);
  float p = times(-7.86146e-02f, f) + 1.2881699e-01f;
  p = times(p, f) - 1.3127951e-01f;
  p = times(p, f) + 1.4181103e-01f;
  p = times(p, f) - 1.6624641e-01f;
  p = times(p, f) + 2.0002297e-01f;
  p = times(p, f) - 2.5000808e-01f;
  p = times(p, f) + 3.3333316e-01f;
  float y = times(times(f, square), p) + times(float(k), 1.4286068e-06f);
  return (f + (y - times(0.5f, square))) + times(float(k), 0x1.62e4p-1f);
}

// The Box-Muller transform. Elements 2i and 2i + 1 form a pair: the word of the even one gives the radius, that of the odd one the angle 2
// pi word / 2^32. The even element is the cosine, the odd one the sine.
template <class T> struct NormalPair { T even, odd; };

CASTOR_HD inline NormalPair<float> normal_pair(uint32_t even, uint32_t odd) {
  float u = (float(int32_t(even >> 1)) + 0.5f) * 0x1p-31f;
  float radius = std::sqrt(times(-2, exact_log(u)));
  uint32_t quadrant = (odd + 0x20000000u) >> 30;
  float r = times(float(int32_t(odd - (quadrant << 30))), 0x1.921fb6p-30f), z = times(r, r);
  float s = times(-1.9518605e-04f, z) + 8.332191e-03f;
  s = r + times(times(r, z), times(s, z) - 1.6666655e-01f);
  float c = times(2.443067e-05f, z) - 1.3887301e-03f;
  c = 1 - (times(0.5f, z) - times(times(z, z), times(c, z) + 4.1666646e-02f));
  bool turned = quadrant & 1;
  float x = turned ? -s : c, y = turned ? c : s;
  uint32_t flip = (quadrant & 2) << 30;
  radius = bit_cast<float>(bit_cast<uint32_t>(radius) | flip);
  return {times(radius, x), times(radius, y)};
}

// In double the last bit depends on the log, sin and cos of the platform.
CASTOR_HD inline NormalPair<double> normal_pair(uint64_t even, uint64_t odd) {
  double u = (double(int64_t(even >> 11)) + 0.5) * 0x1p-53, angle = times(6.283185307179586, double(int64_t(odd >> 11)) * 0x1p-53);
  double radius = std::sqrt(times(-2.0, std::log(u)));
  return {times(radius, std::cos(angle)), times(radius, std::sin(angle))};
}

// The exponential distribution of rate 1: -log(1 - uniform).
CASTOR_HD inline float exponential(uint32_t word) { return -exact_log(float(int32_t(0x1000000u - (word >> 8))) * 0x1p-24f); }
CASTOR_HD inline double exponential(uint32_t word, uint32_t second) { return -std::log(1 - uniform(word, second)); }

// A random integer in [0, range). For ranges up to NARROW_RANGE one word is enough: the probabilities of two integers differ by less than
// 2^-12 of their value. A larger range uses two words, and the bias is below range / 2^64.
constexpr uint64_t NARROW_RANGE = uint64_t(1) << 20;
CASTOR_HD inline uint64_t below(uint64_t range, uint32_t word) { return word * range >> 32; }
CASTOR_HD inline uint64_t below_wide(uint64_t range, uint64_t word) {
  if (range >> 32) return word % range;
  return ((word >> 32) * range + ((word & 0xffffffffu) * range >> 32)) >> 32;
}

}  // namespace castor::CASTOR_ISA
