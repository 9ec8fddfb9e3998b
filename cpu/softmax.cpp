// softmax and logSoftmax along one axis, and their gradients:
//   y = e^(x - max) / sum(e^(x - max)),  log y = x - max - log(sum(e^(x - max))).
// Rows are distributed over the threads. Where neighbouring rows are closer together in memory than the elements of a row, up to TILE rows
// are computed side by side.
#include <cmath>
#include "../kernels/math.h"
#include "../kernels/ops.h"
#include "fold.h"
#include "../kernels/table.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

// A row in which every element is -inf gives NaN.
template <class T> void softmax_row(T *y, const T *x, int64_t n) {
  const T top = max_of(x, n);
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) y[i] = m::exp_minus(top - x[i]);
  const T scale = T(1 / sum_of<T>(n, [=](int64_t i) { return y[i]; }));
  for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

template <class T> void log_softmax_row(T *y, const T *x, int64_t n) {
  const T top = max_of(x, n);
  const T log_sum = T(std::log(sum_of<T>(n, [=](int64_t i) { return m::exp_minus(top - x[i]); })));
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) y[i] = x[i] - top - log_sum;
}

template <class T> void softmax_backward_row(T *out, const T *grad, const T *y, int64_t n) {
  const T sum = T(sum_of<T>(n, [=](int64_t i) { return grad[i] * y[i]; }));
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) out[i] = y[i] * (grad[i] - sum);
}

template <class T> void log_softmax_backward_row(T *out, const T *grad, const T *y, int64_t n) {
  const T sum = T(sum_of<T>(n, [=](int64_t i) { return grad[i]; }));
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) out[i] = grad[i] - m::exp(y[i]) * sum;
}

template <class T> void softmax_columns(const Columns<T, 2> &c, bool log) {
  T top[TILE], shift[TILE];
  Total<T> sum[TILE];
  std::fill_n(top, c.width, lowest<T>);
  std::fill_n(sum, c.width, 0);
  c.each(false, [&](T *const *x) {
    for (int64_t i = 0; i < c.width; i++) top[i] = m::maximum(top[i], x[1][i]);
  });
  c.each(false, [&](T *const *x) {
    for (int64_t i = 0; i < c.width; i++) sum[i] += m::exp_minus(top[i] - x[1][i]);
  });
  for (int64_t i = 0; i < c.width; i++) shift[i] = T(log ? std::log(sum[i]) : 1 / sum[i]);
  c.each(true, [&](T *const *x) {
    CASTOR_IVDEP
    for (int64_t i = 0; i < c.width; i++) {
      const T below = top[i] - x[1][i];
      x[0][i] = log ? -below - shift[i] : m::exp_minus(below) * shift[i];
    }
  });
}

template <class T> void softmax_backward_columns(const Columns<T, 3> &c, bool log) {
  Total<T> sum[TILE];
  std::fill_n(sum, c.width, 0);
  c.each(false, [&](T *const *x) {
    for (int64_t i = 0; i < c.width; i++) sum[i] += log ? x[1][i] : x[1][i] * x[2][i];
  });
  c.each(true, [&](T *const *x) {
    CASTOR_IVDEP
    for (int64_t i = 0; i < c.width; i++) {
      const T grad = x[1][i], y = x[2][i], total = T(sum[i]);
      x[0][i] = log ? grad - m::exp(y) * total : y * (grad - total);
    }
  });
}

template <class F> void with_float_type(DType d, F f) { d == DType::f64 ? f(double{}) : f(float{}); }

}  // namespace

void softmax(int op, const View &a, const View &out, int axis) {
  const RowLoop<2> rows({&out, &a}, axis);
  const bool log = Softmax(op) == Softmax::logSoftmax;
  with_float_type(compute_type(a.dtype, out.dtype), [&](auto zero) {
    using T = decltype(zero);
    if (rows.side_by_side()) return map_columns<T>(rows, [=](const Columns<T, 2> &columns) { softmax_columns(columns, log); });
    const auto row = log ? log_softmax_row<T> : softmax_row<T>;
    map_rows<T>(rows, [row, n = rows.n](int64_t, T *const *x) { row(x[0], x[1], n); });
  });
}

void softmax_backward(int op, const View &grad, const View &y, const View &out, int axis) {
  const RowLoop<3> rows({&out, &grad, &y}, axis);
  const bool log = Softmax(op) == Softmax::logSoftmax;
  with_float_type(compute_type(grad.dtype, y.dtype, out.dtype), [&](auto zero) {
    using T = decltype(zero);
    if (rows.side_by_side()) return map_columns<T>(rows, [=](const Columns<T, 3> &columns) { softmax_backward_columns(columns, log); });
    const auto row = log ? log_softmax_backward_row<T> : softmax_backward_row<T>;
    map_rows<T>(rows, [row, n = rows.n](int64_t, T *const *x) { row(x[0], x[1], x[2], n); });
  });
}

}  // namespace castor::CASTOR_ISA
