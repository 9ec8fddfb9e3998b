#include <numeric>
#include "../kernels/table.h"
#include "channels.h"
#include "fold.h"

namespace castor::CASTOR_ISA {
namespace {

// With x = (a - mean) rstd and g = grad weight:
// grad_a = rstd (g - drift - x slope), grad_bias = sum(grad), grad_weight = sum(grad x).
// drift and slope are the means of g and of g x over the elements that share statistics, or 0 if the statistics were given.
// T is the compute type, and S that of the elements of grad and a as they are read.
template <class T, class S> class Gradient {
 public:
  Gradient(BatchGroupNorm op, const View &grad, const View &a, const View *weight, const View &mean, const View &rstd, const View *grad_a,
           int groups)
      : channels_(op, a, groups), given_(op == BatchGroupNorm::batchNormEval), grad_(grad), a_(a), weight_(weight, 1, channels_),
        mean_(mean), rstd_(rstd), grad_a_(grad_a), sums_(2 * places()) {}

  void run() const {
    channels_.each_task([&](const Channels::Task &task) {
      if (!channels_.side_by_side()) planes(task);
      else if (channels_.batch) columns(task);
      else row(task);
    });
  }

  void parameters(const View *weight, const View *bias) const {
    const int64_t channels = channels_.channels, samples = places() / channels;
    parallel_for(channels, std::clamp<int64_t>(GRAIN / samples, 64, TILE / 2), [&](int64_t begin, int64_t end) {
      double sum[TILE] = {};
      for (int64_t n = 0; n < samples; n++)
        for (int64_t i = 2 * begin; i < 2 * end; i++) sum[i - 2 * begin] += sums_[2 * n * channels + i];
      double pair[2][TILE / 2];
      for (int64_t i = 0; i < end - begin; i++)
        for (int which : {0, 1}) pair[which][i] = sum[2 * i + which];
      if (bias) store_run(*bias, begin * bias->stride[0], bias->stride[0], pair[0], end - begin);
      if (weight) store_run(*weight, begin * weight->stride[0], weight->stride[0], pair[1], end - begin);
    });
  }

 private:
  const Channels channels_;
  const bool given_;
  const View &grad_, &a_;
  const PerChannel<T> weight_;
  const View &mean_, &rstd_, *const grad_a_;
  const Scratch<double> sums_;  // of grad and of grad x, for each channel of the batch or for each plane

  int64_t places() const { return (channels_.batch ? 1 : channels_.samples) * channels_.channels; }
  double *sums(int64_t n, int64_t c) const { return sums_ + 2 * (channels_.batch ? c : n * channels_.channels + c); }

  struct Set { T mean, rstd; };
  Set set(int64_t n, int64_t c) const {
    const int64_t set = channels_.set_of(n, c);
    return {mean_.as<T>()[set * mean_.stride[0]], rstd_.as<T>()[set * rstd_.stride[0]]};
  }

  // drift and slope of the set of channels that begins with c, from the sums of its channels.
  struct Slopes { T drift, slope; };
  Slopes slopes(int64_t n, int64_t c) const {
    double all[2] = {};
    for (int64_t k = c; !given_ && k < c + channels_.group; k++)
      for (int which : {0, 1}) all[which] += sums(n, k)[which] * weight_[k];
    return {T(all[0] / channels_.shared()), T(all[1] / channels_.shared())};
  }

  static T wide(S x) { return convert<T>(x); }

  // ---- plane by plane --------------------------------------------------------------------------------------------------------

  void planes(const Channels::Task &task) const {
    const int64_t length = channels_.length;
    const Planes<S> grad(grad_, task, false), a(a_, task, false);
    const Set s = set(task.first_n, task.first_c);
    for (int64_t k = task.first_c; k < task.end_c; k++) {
      SumOfRuns<T> bias, weight;
      for (int64_t n = task.first_n; n < task.end_n; n++) {
        const S *g = grad(n, k), *x = a(n, k);
        bias.add(length, [=](int64_t i) { return wide(g[i]); });
        weight.add(length, [=](int64_t i) { return wide(g[i]) * ((wide(x[i]) - s.mean) * s.rstd); });
      }
      sums(task.first_n, k)[0] = bias.total();
      sums(task.first_n, k)[1] = weight.total();
    }
    if (!grad_a_) return;
    Scratch<T> scratch(length);
    const Slopes slope = slopes(task.first_n, task.first_c);
    for (int64_t k = task.first_c; k < task.end_c; k++) {
      const T w = weight_[k];
      make_planes<T>(*grad_a_, task, k, scratch, [=, &grad, &a](T *y, int64_t n) {
        const S *g = grad(n, k), *x = a(n, k);
        CASTOR_IVDEP
        for (int64_t i = 0; i < length; i++) y[i] = s.rstd * (wide(g[i]) * w - slope.drift - (wide(x[i]) - s.mean) * s.rstd * slope.slope);
      });
    }
  }

  // ---- side by side ----------------------------------------------------------------------------------------------------------

  // A group of short planes: one row of each sample.
  void row(const Channels::Task &task) const {
    const int64_t length = channels_.length, width = channels_.group * length, c = task.first_c, n = task.first_n;
    const Planes<S> grad(grad_, task, true), a(a_, task, true);
    const Set s = set(n, c);
    const S *g = grad.row(n), *x = a.row(n);
    const T *w = weight_.row(c);
    double *const to = sums(n, c);
    for (int64_t k = 0, i = 0; k < channels_.group; k++) {
      to[2 * k] = to[2 * k + 1] = 0;
      for (const int64_t end = i + length; i < end; i++) {
        to[2 * k] += wide(g[i]);
        to[2 * k + 1] += wide(g[i]) * ((wide(x[i]) - s.mean) * s.rstd);
      }
    }
    if (!grad_a_) return;
    const T drift = T(sum_of<T>(width, [=](int64_t i) { return wide(g[i]) * w[i]; }) / width);
    const T slope = T(sum_of<T>(width, [=](int64_t i) { return wide(g[i]) * w[i] * ((wide(x[i]) - s.mean) * s.rstd); }) / width);
    Scratch<T> scratch(width);
    make_rows<T>(*grad_a_, task, scratch, [=](T *y, int64_t) {
      CASTOR_IVDEP
      for (int64_t i = 0; i < width; i++) y[i] = s.rstd * (wide(g[i]) * w[i] - drift - (wide(x[i]) - s.mean) * s.rstd * slope);
    });
  }

  // Short planes of channels that share statistics over the batch: grad_a = grad scale - (a - mean) steep - level.
  void columns(const Channels::Task &task) const {
    const int64_t length = channels_.length, width = (task.end_c - task.first_c) * length;
    const Planes<S> grad(grad_, task, true), a(a_, task, true);
    Scratch<T> scratch(5 * width);
    T *const mean = scratch, *const rstd = mean + width, *const steep = rstd + width, *const level = steep + width;
    Scratch<double> sum(2 * width);
    double *const bias = sum, *const weight = bias + width;
    std::fill_n(bias, 2 * width, 0.0);
    for (int64_t c = task.first_c, j = 0; c < task.end_c; c++, j += length) {
      fill_tile(mean + j, set(0, c).mean, length);
      fill_tile(rstd + j, set(0, c).rstd, length);
    }
    for (int64_t n = 0; n < task.end_n; n++) {
      const S *g = grad.row(n), *x = a.row(n);
      CASTOR_IVDEP
      for (int64_t j = 0; j < width; j++) {
        bias[j] += wide(g[j]);
        weight[j] += wide(g[j]) * ((wide(x[j]) - mean[j]) * rstd[j]);
      }
    }
    T *const scale = rstd;
    for (int64_t c = task.first_c, j = 0; c < task.end_c; c++, j += length) {
      sums(0, c)[0] = std::accumulate(bias + j, bias + j + length, 0.0);
      sums(0, c)[1] = std::accumulate(weight + j, weight + j + length, 0.0);
      const Slopes slope = slopes(0, c);
      const T deviation = rstd[j];
      fill_tile(scale + j, deviation * weight_[c], length);
      fill_tile(steep + j, deviation * deviation * slope.slope, length);
      fill_tile(level + j, deviation * slope.drift, length);
    }
    if (!grad_a_) return;
    make_rows<T>(*grad_a_, task, level + width, [=, &grad, &a](T *y, int64_t n) {
      const S *g = grad.row(n), *x = a.row(n);
      CASTOR_IVDEP
      for (int64_t j = 0; j < width; j++) y[j] = wide(g[j]) * scale[j] - (wide(x[j]) - mean[j]) * steep[j] - level[j];
    });
  }
};

}  // namespace

void batch_group_norm_backward(int op, const View &grad, const View &a, const View *weight, const View &mean, const View &rstd,
                               const View *grad_a, const View *grad_weight, const View *grad_bias, int groups) {
  const auto run = [&](auto compute, auto element) {
    const Gradient<decltype(compute), decltype(element)> gradient(BatchGroupNorm(op), grad, a, weight, mean, rstd, grad_a, groups);
    gradient.run();
    gradient.parameters(grad_weight, grad_bias);
  };
  if (a.dtype == DType::f64) run(double(), double());
  else if (grad.dtype == DType::bf16 && a.dtype == DType::bf16) run(float(), BFloat());
  else run(float(), float());
}

}  // namespace castor::CASTOR_ISA
