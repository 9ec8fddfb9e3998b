// Checks the arguments of ops along axes (reductions, scans, softmax, sorting), and calls the kernels of their device.
#include "check.h"
#include "counts.h"
#include "error.h"

using namespace castor;

namespace {

bool picks_element(Reduce op) { return op == Reduce::max || op == Reduce::min || op == Reduce::argmax || op == Reduce::argmin; }
bool picks_index(Reduce op) { return op == Reduce::argmax || op == Reduce::argmin; }

void expect_reduced_sizes(const Argument &a, const Argument &out, uint32_t axes, Reduce op) {
  if (axes >> a.rank) fail(CASTOR_ARGUMENT, "the axes %u are not within rank %d", axes, a.rank);
  expect_rank(out, a.rank);
  int64_t elements = 1;
  for (int i = 0; i < a.rank; i++) {
    const bool reduced = axes >> i & 1;
    if (out.size[i] != (reduced ? 1 : a.size[i])) fail(CASTOR_SHAPE, "out has size %lld on axis %d", (long long)out.size[i], i);
    if (reduced && a.size[i] == 0) elements = 0;
  }
  if (elements == 0 && picks_element(op)) fail(CASTOR_SHAPE, "there are no elements to select from");
  const uint32_t all = (1u << a.rank) - 1;
  if (picks_index(op) && axes != all && (axes == 0 || (axes & (axes - 1)))) fail(CASTOR_ARGUMENT, "an index needs one axis, or all");
}

}  // namespace

int32_t castor_reduce(int32_t op, castor_address a, castor_address out, int32_t axes, double p0) {
  return guard("reduce", [&] {
    Call call;
    const Input x(call, "a", a);
    const Output y(call, "out", out);
    expect_op(op, reduce_ops);
    expect_reduced_sizes(x, y, uint32_t(axes), Reduce(op));
    if (picks_index(Reduce(op))) expect_dtype(&y, DType::i64);
    if (y.numel() > 0) call.kernels().reduce(op, x, y, uint32_t(axes), p0);
  });
}

int32_t castor_scan(int32_t op, castor_address a, castor_address out, int32_t axis) {
  return guard("scan", [&] {
    Call call;
    Input x(call, "a", a);
    Output y(call, "out", out);
    at_least_1d(x, y);
    expect_op(op, scan_ops);
    expect_same_sizes(&x, y);
    expect_axis(axis, y);
    if (y.numel() > 0) call.kernels().scan(op, x, y, axis);
  });
}

int32_t castor_softmax(int32_t op, castor_address a, castor_address out, int32_t axis) {
  return guard("softmax", [&] {
    Call call;
    Input x(call, "a", a);
    Output y(call, "out", out);
    at_least_1d(x, y);
    expect_op(op, softmax_ops);
    expect_same_sizes(&x, y);
    expect_axis(axis, y);
    if (y.numel() > 0) call.kernels().softmax(op, x, y, axis);
  });
}

int32_t castor_softmax_backward(int32_t op, castor_address grad, castor_address y, castor_address out, int32_t axis) {
  return guard("softmax_backward", [&] {
    Call call;
    Input g(call, "grad", grad), value(call, "y", y);
    Output x(call, "out", out);
    at_least_1d(g, value, x);
    expect_op(op, softmax_ops);
    for (const Input *input : {&g, &value}) expect_same_sizes(input, x);
    expect_axis(axis, x);
    if (x.numel() > 0) call.kernels().softmax_backward(op, g, value, x, axis);
  });
}

int32_t castor_sort(castor_address a, castor_address values, castor_address indices, int32_t axis, int32_t descending) {
  return guard("sort", [&] {
    Call call;
    Input x(call, "a", a);
    Output y(call, "values", values), index(call, "indices", indices);
    at_least_1d(x, y, index);
    expect_axis(axis, x);
    expect_same_sizes_except(y, x, axis);
    expect_sizes_within(y, x, -1);
    expect_same_sizes(&index, y);
    expect_dtype(&index, DType::i64);
    if (y.numel() > 0) call.kernels().sort(x, y, index, axis, descending != 0);
  });
}
