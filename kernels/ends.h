// The largest random numbers of a range that a dtype can hold.
#pragma once
#include <cmath>
#include "dtype.h"

namespace castor::CASTOR_ISA {

// The largest value of a float dtype that is below x.
static inline double value_below(double x, DType dtype) {
  double result = x;
  with_dtype(dtype, [&](auto element) {
    using S = decltype(element);
    if constexpr (std::is_same_v<S, double>) result = std::nextafter(x, -HUGE_VAL);
    else if constexpr (std::is_same_v<S, float>) {
      float y = float(x);
      result = y < x ? y : std::nextafter(y, -HUGE_VALF);
    } else if constexpr (std::is_same_v<S, Half> || std::is_same_v<S, BFloat>) {
      S y = convert<S>(x);
      float value = to_float(y);
      // The bit patterns of floats grow with their magnitude.
      if (!(value < x)) y = value > 0 ? S(uint16_t(y) - 1) : value < 0 ? S(uint16_t(y) + 1) : S(0x8001);
      result = to_float(y);
    }
  });
  return result;
}

// The largest number that uniform [low, high) may give in a dtype. It equals high only where low == high.
static inline double most_uniform(double low, double high, DType dtype) { return low < high ? value_below(high, dtype) : high; }

// The largest integer that randint [low, high) may give in a dtype: a larger integer below high would be rounded to high.
static inline int64_t most_integer(int64_t high, DType dtype) {
  if (!is_float(dtype)) return high - 1;
  const double below = std::floor(value_below(double(high), dtype));
  return below < double(high - 1) ? int64_t(below) : high - 1;
}

}  // namespace castor::CASTOR_ISA
