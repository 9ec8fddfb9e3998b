// Keys whose order as unsigned integers is the order of the values. -0 equals 0, NaN is the largest.
#pragma once
#include "convert.h"

namespace castor::CASTOR_ISA {

// All bits of a negative float are flipped, and the sign bit of any other.
template <class Bits, class T> CASTOR_HD inline Bits float_key(T x) {
  constexpr Bits SIGN = Bits(1) << (8 * sizeof(Bits) - 1);
  const Bits bits = bit_cast<Bits>(x == 0 ? T(0) : x);
  const Bits key = bits & SIGN ? Bits(~bits) : Bits(bits | SIGN);
  return x != x ? Bits(~Bits(0)) : key;
}
CASTOR_HD inline uint32_t key_of(float x) { return float_key<uint32_t>(x); }
CASTOR_HD inline uint64_t key_of(double x) { return float_key<uint64_t>(x); }
CASTOR_HD inline uint64_t key_of(int64_t x) { return uint64_t(x) ^ uint64_t(1) << 63; }

}  // namespace castor::CASTOR_ISA
