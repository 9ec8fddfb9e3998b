// layerNorm and rmsNorm of rows a (rows, n), and their gradients. Each row is read into the cache once and stays there while its
// statistics and its result are computed. Rows are distributed over the threads.
#include <cmath>
#include <optional>
#include "../kernels/ops.h"
#include "fold.h"
#include "../kernels/table.h"
#include "rows.h"

namespace castor::CASTOR_ISA {
namespace {

// Loads the n values of weight or bias, or fills in `otherwise` where it is absent.
template <class T> void load_parameter(T *to, const View *from, T otherwise, int64_t n) {
  if (from) load_run(to, *from, 0, from->stride[0], n);
  else fill_tile(to, otherwise, n);
}

template <class T> void norm_rows(Norm op, const View &a, const View *weight, const View *bias, const View &out, const View *mean,
                                  const View &rstd, double eps) {
  const int64_t n = a.size[1];
  Scratch<T> scratch(2 * n);
  T *const w = scratch, *const b = w + n;
  load_parameter(w, weight, T(1), n);
  load_parameter(b, bias, T(0), n);
  map_rows<T>(RowLoop<2>({&out, &a}, 1), [=, &rstd](int64_t row, T *const *rows) {
    T *const y = rows[0];
    const T *const x = rows[1];
    const T center = op == Norm::layerNorm ? T(sum_of<T>(n, [=](int64_t i) { return x[i]; }) / n) : T(0);
    const double squares = sum_of<T>(n, [=](int64_t i) { return (x[i] - center) * (x[i] - center); });
    const T scale = T(1 / std::sqrt(squares / n + eps));
    CASTOR_IVDEP
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - center) * scale * w[i] + b[i];
    if (mean) store_one(*mean, row * mean->stride[0], center);
    store_one(rstd, row * rstd.stride[0], scale);
  });
}

// The gradients of weight and bias. Chunks of rows are summed in T and the sums of the chunks in double, each in order.
template <class T> class ColumnSums {
 public:
  ColumnSums(int64_t rows, int64_t n) : n_(n), chunks_((rows + ROWS_A_CHUNK - 1) / ROWS_A_CHUNK), sums_(chunks_ * 2 * n) {}
  static constexpr int64_t ROWS_A_CHUNK = 64;

  T *weight(int64_t row) const { return sums_ + row / ROWS_A_CHUNK * 2 * n_; }
  T *bias(int64_t row) const { return weight(row) + n_; }

  void store_to(const View *weight, const View *bias) const {
    if (weight) store_sums(*weight, sums_);
    if (bias) store_sums(*bias, sums_ + n_);
  }

 private:
  int64_t n_, chunks_;
  Scratch<T> sums_;

  void store_sums(const View &to, const T *sums) const {
    const int64_t grain = std::clamp<int64_t>(GRAIN / std::max<int64_t>(1, chunks_), 64, TILE);
    parallel_for(n_, grain, [&](int64_t begin, int64_t end) {
      double total[TILE] = {};
      for (int64_t c = 0; c < chunks_; c++)
        for (int64_t i = begin; i < end; i++) total[i - begin] += sums[c * 2 * n_ + i];
      store_run(to, begin * to.stride[0], to.stride[0], total, end - begin);
    });
  }
};

// The gradient of one row. With x = (a - mean) rstd and g = grad weight:
// out = rstd (g - mean(g) - x mean(g x)).
// rmsNorm has neither mean nor mean(g).
template <class T> struct NormGradient {
  const T *w;
  int64_t n;
  bool centered;

  void input(T *out, const T *grad, const T *x, T mean, T rstd) const {
    const T *w = this->w;
    const T drift = centered ? T(sum_of<T>(n, [=](int64_t i) { return grad[i] * w[i]; }) / n) : T(0);
    const T slope = T(sum_of<T>(n, [=](int64_t i) { return grad[i] * w[i] * ((x[i] - mean) * rstd); }) / n);
    CASTOR_IVDEP
    for (int64_t i = 0; i < n; i++) out[i] = rstd * (grad[i] * w[i] - drift - (x[i] - mean) * rstd * slope);
  }
  void parameters(T *weight, T *bias, const T *grad, const T *x, T mean, T rstd) const {
    CASTOR_IVDEP
    for (int64_t i = 0; i < n; i++) {
      weight[i] += grad[i] * ((x[i] - mean) * rstd);
      bias[i] += grad[i];
    }
  }
};

template <class T> void norm_backward_rows(const View &grad, const View &a, const View *weight, const View *mean, const View &rstd,
                                           const View *grad_a, const View *grad_weight, const View *grad_bias) {
  const int64_t n = a.size[1];
  Scratch<T> w(n);
  load_parameter<T>(w, weight, T(1), n);
  const NormGradient<T> gradient{w, n, mean != nullptr};
  std::optional<ColumnSums<T>> sums;
  if (grad_weight || grad_bias) sums.emplace(a.size[0], n);
  const RowLoop<3> rows({grad_a ? grad_a : &grad, &grad, &a}, 1);
  const int64_t grain = sums ? ColumnSums<T>::ROWS_A_CHUNK : rows.grain();
  parallel_for(rows.rows(), grain, [&](int64_t begin, int64_t end) {
    if (sums) std::fill_n(sums->weight(begin), 2 * n, T(0));
    for_rows<T>(rows, begin, end, grad_a != nullptr, [&](int64_t row, T *const *x) {
      const T center = mean ? load_one<T>(*mean, row * mean->stride[0]) : T(0);
      const T scale = load_one<T>(rstd, row * rstd.stride[0]);
      if (sums) gradient.parameters(sums->weight(row), sums->bias(row), x[1], x[2], center, scale);
      if (grad_a) gradient.input(x[0], x[1], x[2], center, scale);
    });
  });
  if (sums) sums->store_to(grad_weight, grad_bias);
}

}  // namespace

void norm(int op, const View &a, const View *weight, const View *bias, const View &out, const View *mean, const View &rstd, double eps) {
  const auto rows = a.dtype == DType::f64 ? norm_rows<double> : norm_rows<float>;
  rows(Norm(op), a, weight, bias, out, mean, rstd, eps);
}

void norm_backward(int op, const View &grad, const View &a, const View *weight, const View *mean, const View &rstd,
                   const View *grad_a, const View *grad_weight, const View *grad_bias) {
  const auto rows = a.dtype == DType::f64 ? norm_backward_rows<double> : norm_backward_rows<float>;
  rows(grad, a, weight, Norm(op) == Norm::layerNorm ? mean : nullptr, rstd, grad_a, grad_weight, grad_bias);
}

}  // namespace castor::CASTOR_ISA
