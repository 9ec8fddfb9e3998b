// Constants and types of reductions.
#pragma once
#include <cmath>
#include <limits>
#include <type_traits>
#include "convert.h"

namespace castor::CASTOR_ISA {

// The type in which a sum of many elements of T is kept.
template <class T> using Total = std::conditional_t<std::is_same_v<T, int64_t>, int64_t, double>;

template <class T> constexpr T lowest = std::is_same_v<T, int64_t> ? std::numeric_limits<T>::min() : -std::numeric_limits<T>::infinity();
template <class T> constexpr T highest = std::is_same_v<T, int64_t> ? std::numeric_limits<T>::max() : std::numeric_limits<T>::infinity();

// The p-norm, computed from the sum of the p-th powers.
CASTOR_HD inline double norm_root(double sum, double p) { return p == 2 ? std::sqrt(sum) : p == 0 ? sum : std::pow(sum, 1 / p); }

}  // namespace castor::CASTOR_ISA
