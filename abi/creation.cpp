#include "check.h"
#include "counts.h"
#include "error.h"

using namespace castor;

int32_t castor_fill(castor_address out, double value) {
  return guard("fill", [&] {
    Call call;
    const Output y(call, "out", out);
    if (y.numel() > 0) call.kernels().fill(y, value);
  });
}

int32_t castor_arange(castor_address out, double start, double step) {
  return guard("arange", [&] {
    Call call;
    const Output y(call, "out", out);
    expect_rank(y, 1);
    if (y.numel() > 0) call.kernels().arange(y, start, step);
  });
}

int32_t castor_random(int32_t op, castor_address out, double seed, double offset, double p0, double p1) {
  return guard("random", [&] {
    Call call;
    const Output y(call, "out", out);
    expect_op(op, random_ops);
    const uint64_t key = uint64_t(expect_whole(seed, "seed")), counter = uint64_t(expect_whole(offset, "offset"));
    call.expect_seed(key);
    if (y.numel() > 0) call.kernels().random(op, y, key, counter, p0, p1);
  });
}
