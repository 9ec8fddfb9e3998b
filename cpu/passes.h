// Tiles over tensors of 16 bits in one pass: a vector of elements is converted, computed and converted back in registers.
#pragma once
#include <algorithm>
#include "tile.h"

namespace castor::CASTOR_ISA {

// to[i] = f(x[0][i], x[1][i], ..) for i < n, with the parameters of the op. `to` may be one of the inputs x.
template <class T> using Tile = void (*)(T *to, const T *const *x, int64_t n, T p0, T p1);
// The same where elements in memory have a dtype of 16 bits.
template <class T> using Pass = void (*)(void *to, const void *const *x, int64_t n, T p0, T p1);

// The passes of one op. A pass is null if the instruction set has none.
template <class T> struct Passes {
  Pass<T> half, bfloat;
  Pass<T> of(DType dtype) const { return dtype == DType::f16 ? half : dtype == DType::bf16 ? bfloat : nullptr; }
};

#if defined(CASTOR_CONVERTS_VECTORS)
// Elements of one step. It is a constant for every loop within the step, so that the compiler keeps the arrays in registers. It is more
// than 16, because GCC takes shorter loops apart before it looks for vectors.
constexpr int64_t STEP = 32;

template <int N, class Op, class S> [[gnu::always_inline]] inline void run_step(S *to, const S *const *from, float p0, float p1) {
  alignas(64) float x[N][STEP];
  const float *operands[N];
  for (int k = 0; k < N; k++) {
    for (int64_t i = 0; i < STEP; i += LANES<float>) store_vector(x[k] + i, load_vector(from[k] + i));
    operands[k] = x[k];
  }
  Op::run(x[0], operands, STEP, p0, p1);
  for (int64_t i = 0; i < STEP; i += LANES<float>) store_vector(to + i, load_vector(x[0] + i));
}

template <int N, class Op, class S> void run_steps(void *to, const void *const *x, int64_t n, float p0, float p1) {
  S *target = static_cast<S *>(to);
  const S *from[N];
  for (int k = 0; k < N; k++) from[k] = static_cast<const S *>(x[k]);
  for (; n >= STEP; n -= STEP, target += STEP) {
    run_step<N, Op>(target, from, p0, p1);
    for (int k = 0; k < N; k++) from[k] += STEP;
  }
  if (n == 0) return;
  S rest[N + 1][STEP] = {};
  for (int k = 0; k < N; k++) {
    std::copy(from[k], from[k] + n, rest[k]);
    from[k] = rest[k];
  }
  run_step<N, Op>(rest[N], from, p0, p1);
  std::copy(rest[N], rest[N] + n, target);
}
#endif

// Returns the passes of an op with N operands, whose tile function is Op::run. They need an instruction set that converts float16.
template <class T, int N, class Op> constexpr Passes<T> passes_of() {
#if defined(CASTOR_CONVERTS_VECTORS)
  if constexpr (std::is_same_v<T, float>) return {run_steps<N, Op, Half>, run_steps<N, Op, BFloat>};
#endif
  return {nullptr, nullptr};
}

}  // namespace castor::CASTOR_ISA
