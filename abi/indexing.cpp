// Checks the arguments of gather and scatter ops, and calls the kernels of their device.
#include "check.h"
#include "counts.h"
#include "error.h"

using namespace castor;

namespace {

// `part` is what `index` selects from `whole` (or writes to it): its sizes are those of `whole`, except on the axis, where it has the size
// of index.
void expect_slices(const Argument &index, const Argument &part, const Argument &whole, int axis) {
  expect_sizes(&index, {part.size[axis]});
  expect_same_sizes_except(part, whole, axis);
}

}  // namespace

int32_t castor_gather(int32_t op, castor_address a, castor_address index, castor_address out, int32_t axis) {
  return guard("gather", [&] {
    Call call;
    Input x(call, "a", a), at(call, "index", index);
    Output y(call, "out", out);
    at_least_1d(x, at, y);
    expect_op(op, gather_ops);
    expect_index_dtype(at);
    expect_same_dtype(y, x);
    expect_apart(at, y);
    expect_rank(y, x.rank);
    expect_axis(axis, x);
    if (Gather(op) == Gather::indexSelect) {
      expect_slices(at, y, x, axis);
    } else {
      expect_same_sizes(&at, y);
      expect_sizes_within(y, x, axis);
    }
    if (y.numel() > 0) call.kernels().gather(op, x, at, y, axis);
  });
}

int32_t castor_scatter(int32_t op, castor_address out, castor_address index, castor_address source, int32_t axis) {
  return guard("scatter", [&] {
    Call call;
    Output y(call, "out", out);
    Input at(call, "index", index), x(call, "source", source);
    at_least_1d(y, at);
    if (!x.constant) at_least_1d(x);
    expect_op(op, scatter_ops);
    expect_index_dtype(at);
    expect_apart(at, y);
    expect_axis(axis, y);
    if (Scatter(op) == Scatter::indexCopy || Scatter(op) == Scatter::indexAdd) {
      expect_rank(x, y.rank);
      expect_slices(at, x, y, axis);
    } else {
      if (!x.constant) expect_same_sizes(&at, x);
      expect_sizes_within(at, y, axis);
    }
    if (at.numel() > 0) call.kernels().scatter(op, y, at, x, axis);
  });
}
