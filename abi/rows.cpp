// Checks the arguments of layerNorm, rmsNorm and cross-entropy, and calls the kernels of their device.
#include "check.h"
#include "counts.h"
#include "error.h"

using namespace castor;

namespace {

void expect_smoothing(double smoothing) {
  if (!(smoothing >= 0 && smoothing <= 1)) fail(CASTOR_ARGUMENT, "smoothing is %g, not from 0 to 1", smoothing);
}

// Any class number may be ignored, even a negative one.
int64_t expect_ignore_index(double index) {
  if (!(index > -0x1p53 && index < 0x1p53) || double(int64_t(index)) != index)
    fail(CASTOR_ARGUMENT, "ignore_index is %.17g, not an integer", index);
  return int64_t(index);
}

}  // namespace

int32_t castor_norm(int32_t op, castor_address a, castor_address weight, castor_address bias, castor_address out, castor_address mean,
                    castor_address rstd, double eps) {
  return guard("norm", [&] {
    Call call;
    const Input x(call, "a", a);
    const Optional<Input> scale(call, "weight", weight), shift(call, "bias", bias);
    const Output y(call, "out", out);
    const Optional<Output> mu(call, "mean", mean);
    const Output inverse(call, "rstd", rstd);
    expect_op(op, norm_ops);
    expect_presence(mu, Norm(op) == Norm::layerNorm, "mean");
    expect_rank(x, 2);
    expect_float_dtype(x);
    for (const Input *row : {scale.get(), shift.get()}) expect_sizes(row, {x.size[1]});
    expect_same_sizes(&y, x);
    for (const Output *column : {mu.get(), &inverse}) {
      expect_sizes(column, {x.size[0]});
      expect_dtype(column, statistics_dtype(x));
    }
    if (x.size[0] > 0) call.kernels().norm(op, x, scale, shift, y, mu, inverse, eps);
  });
}

int32_t castor_norm_backward(int32_t op, castor_address grad, castor_address a, castor_address weight, castor_address mean,
                             castor_address rstd, castor_address grad_a, castor_address grad_weight, castor_address grad_bias) {
  return guard("norm_backward", [&] {
    Call call;
    const Input g(call, "grad", grad), x(call, "a", a);
    const Optional<Input> scale(call, "weight", weight), mu(call, "mean", mean);
    const Input inverse(call, "rstd", rstd);
    const Optional<Output> gx(call, "grad_a", grad_a), gw(call, "grad_weight", grad_weight), gb(call, "grad_bias", grad_bias);
    expect_op(op, norm_ops);
    expect_presence(mu, Norm(op) == Norm::layerNorm, "mean");
    expect_rank(x, 2);
    expect_float_dtype(x);
    expect_same_sizes(&g, x);
    expect_same_sizes(gx, x);
    expect_sizes(scale, {x.size[1]});
    for (const Output *row : {gw.get(), gb.get()}) expect_sizes(row, {x.size[1]});
    for (const Input *column : {mu.get(), &inverse}) {
      expect_sizes(column, {x.size[0]});
      expect_dtype(column, statistics_dtype(x));
    }
    call.kernels().norm_backward(op, g, x, scale, mu, inverse, gx, gw, gb);
  });
}

int32_t castor_cross_entropy(castor_address logits, castor_address target, castor_address loss, castor_address logsumexp,
                             double ignore_index, double smoothing) {
  return guard("cross_entropy", [&] {
    Call call;
    const Input x(call, "logits", logits), classes(call, "target", target);
    const Output y(call, "loss", loss), lse(call, "logsumexp", logsumexp);
    expect_rank(x, 2);
    expect_float_dtype(x);
    expect_index_dtype(classes);
    expect_sizes(&classes, {x.size[0]});
    for (const Output *column : {&y, &lse}) {
      expect_sizes(column, {x.size[0]});
      expect_dtype(column, column == &lse ? DType::f64 : statistics_dtype(x));
      expect_apart(classes, *column);
    }
    expect_smoothing(smoothing);
    const int64_t ignore = expect_ignore_index(ignore_index);
    if (x.size[0] > 0) call.kernels().cross_entropy(x, classes, y, lse, ignore, smoothing);
  });
}

int32_t castor_cross_entropy_backward(castor_address grad, castor_address logits, castor_address target, castor_address logsumexp,
                                      castor_address out, double ignore_index, double smoothing) {
  return guard("cross_entropy_backward", [&] {
    Call call;
    const Input g(call, "grad", grad), x(call, "logits", logits), classes(call, "target", target), lse(call, "logsumexp", logsumexp);
    const Output y(call, "out", out);
    expect_rank(x, 2);
    expect_float_dtype(x);
    expect_index_dtype(classes);
    for (const Input *column : {&g, &classes, &lse}) expect_sizes(column, {x.size[0]});
    expect_dtype(&lse, DType::f64);
    expect_same_sizes(&y, x);
    expect_apart(classes, y);
    expect_smoothing(smoothing);
    const int64_t ignore = expect_ignore_index(ignore_index);
    if (y.numel() > 0) call.kernels().cross_entropy_backward(g, x, classes, lse, y, ignore, smoothing);
  });
}
