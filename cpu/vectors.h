// The widest vectors of the instruction set, as the compiler's vector types.
#pragma once
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace castor::CASTOR_ISA {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class T> constexpr int LANES = VECTOR_BYTES / int(sizeof(T));
// Integers are unsigned, because their overflow wraps around.
template <class T> using Lane = std::conditional_t<std::is_same_v<T, int64_t>, uint64_t, T>;

constexpr int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }
constexpr int64_t ceil_div(int64_t x, int64_t step) { return (x + step - 1) / step; }

// Combines n elements, a multiple of LANES: first vector by vector, then the lanes of the last vector.
template <class T, class Combine> T fold_vectors(const T *x, int64_t n, Combine combine) {
  typedef T Vector __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(T)), may_alias));
  Vector sum = *reinterpret_cast<const Vector *>(x);
  for (int64_t i = LANES<T>; i < n; i += LANES<T>) sum = combine(sum, *reinterpret_cast<const Vector *>(x + i));
  T lane[LANES<T>];
  memcpy(lane, &sum, sizeof lane);
#pragma GCC unroll 4
  for (int half = LANES<T> / 2; half; half /= 2)
    for (int j = 0; j < half; j++) lane[j] = combine(lane[j], lane[j + half]);
  return lane[0];
}

}  // namespace castor::CASTOR_ISA
