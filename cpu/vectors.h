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

// Transposes 4 x 4 elements: to[i * step + j] = from[j][i].
template <class T> void transpose4(T *to, int64_t step, const T *const (&from)[4]) {
  typedef T Quad __attribute__((vector_size(4 * sizeof(T)), aligned(alignof(T)), may_alias));
  Quad a = *reinterpret_cast<const Quad *>(from[0]), b = *reinterpret_cast<const Quad *>(from[1]);
  Quad c = *reinterpret_cast<const Quad *>(from[2]), d = *reinterpret_cast<const Quad *>(from[3]);
  Quad ab01 = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd01 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  Quad ab23 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd23 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *reinterpret_cast<Quad *>(to) = __builtin_shufflevector(ab01, cd01, 0, 1, 4, 5);
  *reinterpret_cast<Quad *>(to + step) = __builtin_shufflevector(ab01, cd01, 2, 3, 6, 7);
  *reinterpret_cast<Quad *>(to + 2 * step) = __builtin_shufflevector(ab23, cd23, 0, 1, 4, 5);
  *reinterpret_cast<Quad *>(to + 3 * step) = __builtin_shufflevector(ab23, cd23, 2, 3, 6, 7);
}

}  // namespace castor::CASTOR_ISA
