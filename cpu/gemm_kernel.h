// The micro-kernel of a product: MR rows of A times VECTORS vectors of B, with all sums in registers.
#pragma once
#include <array>
#include <utility>
#include "vectors.h"

namespace castor::CASTOR_ISA {

// The MR x VECTORS sums, VECTORS vectors of B and one broadcast element of A have to fit in the register file: 32 registers for AVX-512, 16
// otherwise.
#if defined(__AVX512F__)
constexpr int MR = 8, VECTORS = 2;
#elif defined(__AVX2__)
constexpr int MR = 4, VECTORS = 3;
#else
constexpr int MR = 4, VECTORS = 2;
#endif

template <class T> constexpr int NR = VECTORS * LANES<T>;

// c (R, V vectors) = a (k, MR) b (k, VECTORS vectors), added to c if `add`. Only the first R rows of a and V vectors of b are used. ld is
// the row stride of c.
template <class T> using Micro = void (*)(int64_t k, const T *a, const T *b, T *c, int64_t ld, bool add);

template <class T, int R, int V> void micro(int64_t k, const T *a, const T *b, T *c, int64_t ld, bool add) {
  typedef Lane<T> Vector __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(T)), may_alias));
  Vector sum[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) sum[i][j] = Vector{};
#pragma GCC unroll 1
  for (int64_t p = 0; p < k; p++, a += MR, b += NR<T>) {
    Vector right[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) right[j] = *reinterpret_cast<const Vector *>(b + j * LANES<T>);
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
      // Subtracting 0 keeps every x, while adding 0 would turn -0 into +0. Therefore only the subtraction compiles to a plain broadcast.
      Vector left = Lane<T>(a[i]) - Vector{};
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) sum[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) {
      auto *to = reinterpret_cast<Vector *>(c + i * ld + j * LANES<T>);
      *to = add ? *to + sum[i][j] : sum[i][j];
    }
}

// micros<T>[(rows - 1) * VECTORS + vectors - 1]
template <class T, int... I> constexpr std::array<Micro<T>, sizeof...(I)> make_micros(std::integer_sequence<int, I...>) {
  return {micro<T, I / VECTORS + 1, I % VECTORS + 1>...};
}
template <class T> constexpr auto micros = make_micros<T>(std::make_integer_sequence<int, MR * VECTORS>());

}  // namespace castor::CASTOR_ISA
