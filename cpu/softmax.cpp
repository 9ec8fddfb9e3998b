#include <cmath>
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "fold.h"
#include "kernels.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

// A row of nothing but -inf gives NaN.
template <class T> void softmax_row(T *y, const T *x, int64_t n) {
  const T top = max_of(x, n);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) y[i] = m::exp(x[i] - top);
  const T scale = T(1 / sum_of<T>(n, [=](int64_t i) { return y[i]; }));
  for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

template <class T> void log_softmax_row(T *y, const T *x, int64_t n) {
  const T top = max_of(x, n);
  const T log_sum = T(std::log(sum_of<T>(n, [=](int64_t i) { return m::exp(x[i] - top); })));
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) y[i] = x[i] - top - log_sum;
}

template <class T> void softmax_backward_row(T *out, const T *grad, const T *y, int64_t n) {
  const T sum = T(sum_of<T>(n, [=](int64_t i) { return grad[i] * y[i]; }));
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) out[i] = y[i] * (grad[i] - sum);
}

template <class T> void log_softmax_backward_row(T *out, const T *grad, const T *y, int64_t n) {
  const T sum = T(sum_of<T>(n, [=](int64_t i) { return grad[i]; }));
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) out[i] = grad[i] - m::exp(y[i]) * sum;
}

template <class F> void with_float_type(DType d, F f) { d == DType::f64 ? f(double{}) : f(float{}); }

}  // namespace

void softmax(int op, const View &a, const View &out, int axis) {
  with_float_type(compute_type(a.dtype, out.dtype), [&](auto zero) {
    using T = decltype(zero);
    const auto row = Softmax(op) == Softmax::softmax ? softmax_row<T> : log_softmax_row<T>;
    map_rows<T>({&out, &a}, axis, [row, n = a.size[axis]](int64_t, T *const *x) { row(x[0], x[1], n); });
  });
}

void softmax_backward(int op, const View &grad, const View &y, const View &out, int axis) {
  with_float_type(compute_type(grad.dtype, y.dtype, out.dtype), [&](auto zero) {
    using T = decltype(zero);
    const auto row = Softmax(op) == Softmax::softmax ? softmax_backward_row<T> : log_softmax_backward_row<T>;
    map_rows<T>({&out, &grad, &y}, axis, [row, n = y.size[axis]](int64_t, T *const *x) { row(x[0], x[1], x[2], n); });
  });
}

}  // namespace castor::CASTOR_ISA
