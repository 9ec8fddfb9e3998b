// Cross-entropy of logits (rows, classes) with class indices and label smoothing, and its gradient. Each row is read once for its maximum
// and once for the sum of exponentials.
#include <cmath>
#include "../kernels/math.h"
#include "fold.h"
#include "../kernels/table.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

int64_t target_of(const View &target, int64_t row) { return load_one<int64_t>(target, row * target.stride[0]); }

void check_targets(const View &target, int64_t classes, int64_t ignore) {
  for (int64_t row = 0; row < target.size[0]; row++) {
    const int64_t t = target_of(target, row);
    if ((t < 0 || t >= classes) && t != ignore)
      fail(CASTOR_INDEX, "target %lld at row %lld is outside [0, %lld classes)", (long long)t, (long long)row, (long long)classes);
  }
}

template <class T> double log_sum_exp(const T *x, int64_t n) {
  const T top = max_of(x, n);
  if (std::isinf(top)) return top;
  return top + std::log(sum_of<T>(n, [=](int64_t i) { return m::exp_minus(top - x[i]); }));
}

// With label smoothing s: loss = (1 - s) (logsumexp - x[target]) + s (logsumexp - mean(x)).
template <class T> void losses(const View &logits, const View &target, const View &loss, const View &logsumexp, int64_t ignore, double s) {
  const RowLoop<1> rows({&logits}, 1);
  const int64_t n = logits.size[1];
  parallel_for(rows.rows(), rows.grain(), [&](int64_t begin, int64_t end) {
    for_rows<T>(rows, begin, end, false, [&](int64_t row, T *const *rows) {
      const T *x = rows[0];
      const int64_t t = target_of(target, row);
      const double lse = log_sum_exp(x, n);
      double value = 0;
      if (t != ignore) value = (1 - s) * (lse - x[t]);
      if (t != ignore && s != 0) value += s * (lse - sum_of<T>(n, [=](int64_t i) { return x[i]; }) / n);
      store_one(loss, row * loss.stride[0], value);
      store_one(logsumexp, row * logsumexp.stride[0], lse);
    });
  });
}

// The logsumexp is given in two parts, because the error of rounding it to a float would scale every probability of the row.
template <class T> void gradient_row(T *out, const T *x, int64_t n, int64_t t, T g, double logarithm, T s) {
  const T lse = T(logarithm), rest = std::isfinite(lse) ? T(logarithm - double(lse)) : T(0), spread = s / T(n);
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) out[i] = g * (m::exp((x[i] - lse) - rest) - spread);
  out[t] = g * (m::exp((x[t] - lse) - rest) - (1 - s) - spread);
}

template <class T> void gradients(const View &grad, const View &logits, const View &target, const View &logsumexp, const View &out,
                                  int64_t ignore, double s) {
  map_rows<T>(RowLoop<2>({&out, &logits}, 1), [&, n = logits.size[1]](int64_t row, T *const *x) {
    const int64_t t = target_of(target, row);
    if (t == ignore) return (void)std::fill_n(x[0], n, T(0));
    const double lse = load_one<double>(logsumexp, row * logsumexp.stride[0]);
    gradient_row(x[0], x[1], n, t, load_one<T>(grad, row * grad.stride[0]), lse, T(s));
  });
}

}  // namespace

void cross_entropy(const View &logits, const View &target, const View &loss, const View &logsumexp, int64_t ignore, double smoothing) {
  check_targets(target, logits.size[1], ignore);
  const auto kernel = logits.dtype == DType::f64 ? losses<double> : losses<float>;
  kernel(logits, target, loss, logsumexp, ignore, smoothing);
}

void cross_entropy_backward(const View &grad, const View &logits, const View &target, const View &logsumexp, const View &out,
                            int64_t ignore, double smoothing) {
  check_targets(target, logits.size[1], ignore);
  const auto kernel = logits.dtype == DType::f64 ? gradients<double> : gradients<float>;
  kernel(grad, logits, target, logsumexp, out, ignore, smoothing);
}

}  // namespace castor::CASTOR_ISA
