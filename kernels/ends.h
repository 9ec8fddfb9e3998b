// The ends of ranges of random numbers, as a dtype holds them.
#pragma once
#include <cmath>
#include "dtype.h"

namespace castor::CASTOR_ISA {

// The largest value of a float dtype below x.
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
      // Bit patterns grow with the magnitude.
      if (!(value < x)) y = value > 0 ? S(uint16_t(y) - 1) : value < 0 ? S(uint16_t(y) + 1) : S(0x8001);
      result = to_float(y);
    }
  });
  return result;
}

// The largest number that uniform [low, high) gives in a dtype: high itself only where the range is one point.
static inline double most_uniform(double low, double high, DType dtype) { return low < high ? value_below(high, dtype) : high; }

// The largest integer that randint [low, high) may give: what is above it would be rounded to high.
static inline int64_t most_integer(int64_t high, DType dtype) {
  if (!is_float(dtype)) return high - 1;
  const double below = std::floor(value_below(double(high), dtype));
  return below < double(high - 1) ? int64_t(below) : high - 1;
}

}  // namespace castor::CASTOR_ISA
