// Checks the arguments of batchNorm and groupNorm, and calls the kernels of their device.
#include "check.h"
#include "counts.h"
#include "error.h"

using namespace castor;

namespace {

void expect_channels(int32_t op, const Argument &a, int32_t groups) {
  expect_op(op, batch_group_norm_ops);
  expect_rank(a, 3);
  expect_float_dtype(a);
  const int64_t channels = a.size[1];
  const bool fits = BatchGroupNorm(op) == BatchGroupNorm::groupNorm ? groups >= 1 && channels % groups == 0 : groups == channels;
  if (!fits) fail(CASTOR_SHAPE, "%d groups do not divide %lld channels into equal parts", groups, (long long)channels);
}

template <class Column> void expect_statistics(const Column &column, int32_t op, const Argument &a, int32_t groups) {
  expect_sizes(&column, {BatchGroupNorm(op) == BatchGroupNorm::groupNorm ? a.size[0] * groups : a.size[1]});
  expect_dtype(&column, statistics_dtype(a));
}

// The running statistics: batchNorm writes them, batchNormEval reads them.
struct Running {
  const Optional<Input> read_mean, read_variance;
  const Optional<Output> written_mean, written_variance;
  const Argument *mean, *variance;

  Running(Call &call, BatchGroupNorm op, castor_address mean_at, castor_address variance_at)
      : read_mean(call, "running_mean", op == BatchGroupNorm::batchNormEval ? mean_at : 0),
        read_variance(call, "running_var", op == BatchGroupNorm::batchNormEval ? variance_at : 0),
        written_mean(call, "running_mean", op == BatchGroupNorm::batchNormEval ? 0 : mean_at),
        written_variance(call, "running_var", op == BatchGroupNorm::batchNormEval ? 0 : variance_at),
        mean(read_mean.get()), variance(read_variance.get()) {
    if (written_mean.get()) mean = written_mean.get();
    if (written_variance.get()) variance = written_variance.get();
    if (op != BatchGroupNorm::batchNorm) expect_presence(mean, op == BatchGroupNorm::batchNormEval, "running_mean");
    expect_presence(variance, mean != nullptr, "running_var");
    for (const Argument *row : {mean, variance})
      if (row) expect_float_dtype(*row);
  }
};

void fill_zeros(const Call &call, const View *out) {
  if (out && out->numel() > 0) call.kernels().fill(*out, 0);
}

}  // namespace

int32_t castor_batch_group_norm(int32_t op, castor_address a, castor_address weight, castor_address bias, castor_address out,
                                castor_address mean, castor_address rstd, castor_address running_mean, castor_address running_var,
                                int32_t groups, double momentum, double eps) {
  return guard("batch_group_norm", [&] {
    Call call;
    const Input x(call, "a", a);
    const Optional<Input> scale(call, "weight", weight), shift(call, "bias", bias);
    const Output y(call, "out", out), mu(call, "mean", mean), inverse(call, "rstd", rstd);
    expect_channels(op, x, groups);
    const Running running(call, BatchGroupNorm(op), running_mean, running_var);
    for (const Input *row : {scale.get(), shift.get()}) expect_sizes(row, {x.size[1]});
    for (const Argument *row : {running.mean, running.variance}) expect_sizes(row, {x.size[1]});
    expect_same_sizes(&y, x);
    for (const Output *column : {&mu, &inverse}) expect_statistics(*column, op, x, groups);
    if (x.numel() > 0)
      return call.kernels().batch_group_norm(op, x, scale, shift, y, mu, inverse, running.mean, running.variance, groups, momentum, eps);
    for (const Output *column : {&mu, &inverse}) fill_zeros(call, column);
  });
}

int32_t castor_batch_group_norm_backward(int32_t op, castor_address grad, castor_address a, castor_address weight, castor_address mean,
                                         castor_address rstd, castor_address grad_a, castor_address grad_weight, castor_address grad_bias,
                                         int32_t groups) {
  return guard("batch_group_norm_backward", [&] {
    Call call;
    const Input g(call, "grad", grad), x(call, "a", a);
    const Optional<Input> scale(call, "weight", weight);
    const Input mu(call, "mean", mean), inverse(call, "rstd", rstd);
    const Optional<Output> gx(call, "grad_a", grad_a), gw(call, "grad_weight", grad_weight), gb(call, "grad_bias", grad_bias);
    expect_channels(op, x, groups);
    expect_same_sizes(&g, x);
    expect_same_sizes(gx, x);
    expect_sizes(scale, {x.size[1]});
    for (const Output *row : {gw.get(), gb.get()}) expect_sizes(row, {x.size[1]});
    for (const Input *column : {&mu, &inverse}) expect_statistics(*column, op, x, groups);
    if (x.numel() > 0) return call.kernels().batch_group_norm_backward(op, g, x, scale, mu, inverse, gx, gw, gb, groups);
    for (const Output *row : {gw.get(), gb.get()}) fill_zeros(call, row);
  });
}
