// batchNorm and groupNorm of a (N, C, L): y = (a - mean) rstd weight + bias. Planes that share statistics are summed in two passes, first
// for the mean and then for the squared deviations from it. Planes shorter than Channels::SHORT are computed side by side, since they
// would be too short for vectors.
#include <cmath>
#include <numeric>
#include "../kernels/table.h"
#include "channels.h"
#include "fold.h"

namespace castor::CASTOR_ISA {
namespace {

template <class T> struct Statistics { T mean, rstd; };

// T is the compute type, and S that of the elements of a as they are read.
template <class T, class S> struct Forward {
  const BatchGroupNorm op;
  const Channels channels;
  const View &a, &out, &mean, &rstd, *const running_mean, *const running_var;
  const PerChannel<T> &weight, &bias;
  const double momentum, eps;

  bool given() const { return op == BatchGroupNorm::batchNormEval; }

  void track(const View &running, int64_t c, double batch) const {
    const int64_t offset = c * running.stride[0];
    store_one(running, offset, (1 - momentum) * load_one<double>(running, offset) + momentum * batch);
  }

  // The statistics of the set whose first channel is c, from the sum of its elements and the sum of the squares of their deviations from
  // the mean.
  Statistics<T> settle(int64_t n, int64_t c, double sum, double squares) const {
    const int64_t count = channels.shared(), set = channels.set_of(n, c);
    if (running_mean && !given()) {
      track(*running_mean, c, sum / count);
      track(*running_var, c, squares / (count - 1));
    }
    const double center = given() ? load_one<double>(*running_mean, c * running_mean->stride[0]) : sum / count;
    const double variance = given() ? load_one<double>(*running_var, c * running_var->stride[0]) : squares / count;
    const Statistics<T> s{T(center), T(1 / std::sqrt(variance + eps))};
    mean.as<T>()[set * mean.stride[0]] = s.mean;
    rstd.as<T>()[set * rstd.stride[0]] = s.rstd;
    return s;
  }

  // ---- plane by plane --------------------------------------------------------------------------------------------------------

  template <class Term> double sum(const Channels::Task &task, const Planes<S> &x, int64_t c, Term term) const {
    // The planes of a group lie one behind the other in memory.
    const int64_t length = channels.batch ? channels.length : channels.group * channels.length;
    SumOfRuns<T> sum;
    for (int64_t n = task.first_n; n < task.end_n; n++) sum.add(length, [=, p = x(n, c)](int64_t i) { return term(convert<T>(p[i])); });
    return sum.total();
  }

  void planes(const Channels::Task &task) const {
    const int64_t length = channels.length, c = task.first_c;
    const Planes<S> x(a, task, !channels.batch);
    double all = 0, squares = 0;
    if (!given()) {
      all = sum(task, x, c, [](T v) { return v; });
      squares = sum(task, x, c, [center = T(all / channels.shared())](T v) { return (v - center) * (v - center); });
    }
    const Statistics<T> s = settle(task.first_n, c, all, squares);
    if (channels.side_by_side()) return row(task, x, s);
    Scratch<T> scratch(length);
    for (int64_t k = c; k < task.end_c; k++) {
      const T scale = s.rstd * weight[k], shift = bias[k];
      make_planes<T>(out, task, k, scratch, [=, &x](T *y, int64_t n) {
        const S *p = x(n, k);
        CASTOR_IVDEP
        for (int64_t i = 0; i < length; i++) y[i] = (convert<T>(p[i]) - s.mean) * scale + shift;
      });
    }
  }

  void row(const Channels::Task &task, const Planes<S> &x, const Statistics<T> &s) const {
    const int64_t width = channels.group * channels.length;
    Scratch<T> scratch(width);
    make_rows<T>(out, task, scratch, [=, &x, w = weight.row(task.first_c), b = bias.row(task.first_c)](T *y, int64_t n) {
      const S *p = x.row(n);
      CASTOR_IVDEP
      for (int64_t i = 0; i < width; i++) y[i] = (convert<T>(p[i]) - s.mean) * (s.rstd * w[i]) + b[i];
    });
  }

  // ---- short planes of channels that share statistics over the batch, worked on side by side -------------------------------------

  // sums[j] = the sum of term(x, j) over the elements x of column j.
  template <class Term>
  static void add_columns(double *sums, const Channels::Task &task, const Planes<S> &x, int64_t width, Term term) {
    std::fill_n(sums, width, 0.0);
    for (int64_t n = task.first_n; n < task.end_n; n++) {
      const S *row = x.row(n);
      CASTOR_IVDEP
      for (int64_t j = 0; j < width; j++) sums[j] += term(convert<T>(row[j]), j);
    }
  }

  void columns(const Channels::Task &task) const {
    const int64_t length = channels.length, width = (task.end_c - task.first_c) * length;
    const Planes<S> x(a, task, true);
    Scratch<T> scratch(3 * width);
    T *const center = scratch, *const scale = center + width;
    Scratch<double> sums(2 * width);
    double *const squares = sums + width;
    const auto total = [=](const double *column) { return std::accumulate(column, column + length, 0.0); };
    if (!given()) {
      add_columns(sums, task, x, width, [](T v, int64_t) { return v; });
      for (int64_t j = 0; j < width; j += length) fill_tile(center + j, T(total(sums + j) / channels.shared()), length);
      add_columns(squares, task, x, width, [=](T v, int64_t j) { return (v - center[j]) * (v - center[j]); });
    }
    for (int64_t c = task.first_c, j = 0; c < task.end_c; c++, j += length) {
      const Statistics<T> s = given() ? settle(0, c, 0, 0) : settle(0, c, total(sums + j), total(squares + j));
      fill_tile(center + j, s.mean, length);
      fill_tile(scale + j, s.rstd * weight[c], length);
    }
    make_rows<T>(out, task, scale + width, [=, &x, shift = bias.row(task.first_c)](T *y, int64_t n) {
      const S *row = x.row(n);
      CASTOR_IVDEP
      for (int64_t j = 0; j < width; j++) y[j] = (convert<T>(row[j]) - center[j]) * scale[j] + shift[j];
    });
  }
};

}  // namespace

void batch_group_norm(int op, const View &a, const View *weight, const View *bias, const View &out, const View &mean, const View &rstd,
                      const View *running_mean, const View *running_var, int groups, double momentum, double eps) {
  const Channels channels(BatchGroupNorm(op), a, groups);
  const auto run = [&](auto compute, auto element) {
    using T = decltype(compute);
    const PerChannel<T> scale(weight, 1, channels), shift(bias, 0, channels);
    const Forward<T, decltype(element)> forward{
        BatchGroupNorm(op), channels, a, out, mean, rstd, running_mean, running_var, scale, shift, momentum, eps};
    const bool columns = channels.batch && channels.side_by_side();
    channels.each_task([&](const Channels::Task &task) { columns ? forward.columns(task) : forward.planes(task); });
  };
  if (a.dtype == DType::f64) run(double(), double());
  else if (a.dtype == DType::bf16) run(float(), BFloat());
  else run(float(), float());
}

}  // namespace castor::CASTOR_ISA
