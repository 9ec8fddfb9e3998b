// Checks the arguments of elementwise ops, and calls the kernels of their device.
#include "check.h"
#include "counts.h"
#include "error.h"

using namespace castor;

namespace {

DType dtype_of_number(int32_t dtype) {
  if (uint32_t(dtype) > CASTOR_BOOL) fail(CASTOR_ARGUMENT, "there is no dtype %d", dtype);
  return DType(dtype);
}

// Calls kernel(out) with a new storage of n elements on the device of the call. Returns its handle.
template <class Kernel> castor_handle into_new(Call &call, DType dtype, int64_t n, Kernel &&kernel) {
  const NewStorage made = create_storage(*call.device(), n * size_of(dtype));
  try {
    if (stream_for(*call.device())) kernel(Flat(call, "out", made.handle, dtype, n, Access::write));
    else kernel(Flat(*call.device(), made.data, dtype, n));
  } catch (...) {
    destroy_storages(&made.handle, 1);
    throw;
  }
  return made.handle;
}

}  // namespace

castor_handle castor_flat_unary(int32_t op, int32_t dtype, double n, castor_handle a, double p0, double p1) {
  castor_handle result = 0;
  guard("flat_unary", [&] {
    const DType type = dtype_of_number(dtype);
    const int64_t count = expect_whole(n, "n");
    expect_op(op, unary_ops);
    Call call;
    const Flat x(call, "a", a, type, count, Access::read);
    result = into_new(call, type, count, [&](const View &y) {
      if (count > 0) call.kernels().unary(op, x, y, p0, p1);
    });
  });
  return result;
}

castor_handle castor_flat_binary(int32_t op, int32_t dtype, double n, castor_handle a, castor_handle b, castor_handle out, double p0,
                                 double p1) {
  castor_handle result = 0;
  guard("flat_binary", [&] {
    const DType type = dtype_of_number(dtype);
    const int64_t count = expect_whole(n, "n");
    expect_op(op, binary_ops);
    Call call;
    const Flat x(call, "a", a, type, count, Access::read), y(call, "b", b, type, count, Access::read);
    const auto kernel = [&](const View &z) {
      if (count > 0) call.kernels().binary(op, x, y, z, p0, p1);
    };
    if (out == 0) result = into_new(call, type, count, kernel);
    else expect_unshared(out, "out"), kernel(Flat(call, "out", out, type, count, Access::write)), result = out;
  });
  return result;
}

int32_t castor_unary(int32_t op, castor_address a, castor_address out, double p0, double p1) {
  return guard("unary", [&] {
    Call call;
    const Input x(call, "a", a);
    const Output y(call, "out", out);
    expect_op(op, unary_ops);
    expect_broadcasts(&x, y);
    if (y.numel() > 0) call.kernels().unary(op, x, y, p0, p1);
  });
}

int32_t castor_binary(int32_t op, castor_address a, castor_address b, castor_address out, double p0, double p1) {
  return guard("binary", [&] {
    Call call;
    const Input x(call, "a", a), y(call, "b", b);
    const Output z(call, "out", out);
    expect_op(op, binary_ops);
    expect_broadcasts(&x, z);
    expect_broadcasts(&y, z);
    if (z.numel() > 0) call.kernels().binary(op, x, y, z, p0, p1);
  });
}

int32_t castor_compare(int32_t op, castor_address a, castor_address b, castor_address out) {
  return guard("compare", [&] {
    Call call;
    const Input x(call, "a", a), y(call, "b", b);
    const Output z(call, "out", out);
    expect_op(op, compare_ops);
    expect_broadcasts(&x, z);
    expect_broadcasts(&y, z);
    if (z.numel() > 0) call.kernels().compare(op, x, y, z);
  });
}

int32_t castor_ternary(int32_t op, castor_address a, castor_address b, castor_address c, castor_address out, double p0) {
  return guard("ternary", [&] {
    Call call;
    const Input x(call, "a", a), y(call, "b", b), z(call, "c", c);
    const Output w(call, "out", out);
    expect_op(op, ternary_ops);
    for (const Input *input : {&x, &y, &z}) expect_broadcasts(input, w);
    if (w.numel() > 0) call.kernels().ternary(op, x, y, z, w, p0);
  });
}

int32_t castor_dropout(castor_address a, castor_address out, double p, double seed, double offset) {
  return guard("dropout", [&] {
    Call call;
    const Input x(call, "a", a);
    const Output y(call, "out", out);
    expect_broadcasts(&x, y);
    const Dropping dropping = expect_dropping(call, p, seed, offset);
    if (y.numel() > 0) call.kernels().dropout(x, y, p, dropping.seed, dropping.offset);
  });
}

int32_t castor_triangle(int32_t upper, castor_address a, castor_address out, int32_t diagonal) {
  return guard("triangle", [&] {
    Call call;
    const Input x(call, "a", a);
    const Output y(call, "out", out);
    expect_rank_at_least(y, 2);
    expect_same_sizes(&x, y);
    if (y.numel() > 0) call.kernels().triangle(upper != 0, x, y, diagonal);
  });
}
