// The epilogue of a product: adds the bias, applies the activation, converts, and stores the line in C.
#pragma once
#include "../kernels/math.h"
#include "gemm.h"

namespace castor::CASTOR_ISA {

// Applies f to every element of a line. The compiler vectorises it.
template <class T, class F> void map(T *line, int64_t n, F f) {
  for (int64_t x = 0; x < n; x++) line[x] = f(line[x]);
}

template <class T> void activate(T *line, int64_t n, Activation activation) {
  if (activation == Activation::relu) return map(line, n, [](T x) { return x <= 0 ? T(0) : x; });
  if constexpr (!std::is_same_v<T, int64_t>) {
    if (activation == Activation::gelu) return map(line, n, [](T x) { return m::gelu(x); });
    if (activation == Activation::geluTanh) return map(line, n, [](T x) { return m::gelu_tanh(x); });
  }
}

// Applies the bias and the activation to a line of finished sums: row i of C, from column j on.
template <class T> void apply_epilogue(T *line, int64_t n, const Result<T> &c, int64_t i, int64_t j) {
  if (c.bias) {
    const T *bias = c.bias + i * c.bias_row + j * c.bias_column;
    if (c.bias_column) for (int64_t x = 0; x < n; x++) line[x] = m::add(line[x], bias[x]);
    else for (int64_t x = 0; x < n; x++) line[x] = m::add(line[x], *bias);
  }
  activate(line, n, c.activation);
}

template <class T> void store_line(const Result<T> &c, int64_t i, int64_t j, const T *line, int64_t n) {
  while (n > 0) {
    int64_t count = std::min(n, c.low.size - j % c.low.size);
    store(static_cast<char *>(c.data) + c.offset(i, j) * size_of(c.dtype), c.dtype, c.low.stride, line, count);
    j += count, line += count, n -= count;
  }
}

}  // namespace castor::CASTOR_ISA
