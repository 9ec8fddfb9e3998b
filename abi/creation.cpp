// Checks the arguments of functions that create values (fill, arange, random numbers), and calls the kernels of their device.
#include <cmath>
#include "check.h"
#include "counts.h"
#include "error.h"

using namespace castor;

namespace {

// The least and the largest finite number of a dtype. Integers of fewer than 64 bits are exact in a double.
struct Ends { double least, most; };
Ends ends_of(DType dtype) {
  switch (dtype) {
    case DType::f16: return {-65504, 65504};
    case DType::bf16: return {-0x1.fep127, 0x1.fep127};
    case DType::f32: return {-0x1.fffffep127, 0x1.fffffep127};
    case DType::f64: return {-0x1.fffffffffffffp1023, 0x1.fffffffffffffp1023};
    case DType::i32: return {-0x1p31, 0x1p31 - 1};
    case DType::i64: return {-0x1p53, 0x1p53};
    case DType::u8: return {0, 255};
    default: return {0, 1};
  }
}

bool whole(double x) { return std::fabs(x) <= 0x1p53 && x == std::floor(x); }

void expect_within(double x, const char *what, DType dtype) {
  const Ends ends = ends_of(dtype);
  if (!(x >= ends.least && x <= ends.most)) fail(CASTOR_ARGUMENT, "%s %g cannot be represented in %s", what, x, name_of(dtype));
}

void expect_uniform(double low, double high, DType dtype) {
  expect_within(low, "the lower end", dtype);
  expect_within(high, "the upper end", dtype);
  if (!(low <= high)) fail(CASTOR_ARGUMENT, "the lower end %g is above the upper end %g", low, high);
  // Random numbers of 16-bit float dtypes are drawn in float32.
  expect_within(high - low, "the width of the range,", dtype == DType::f64 ? dtype : DType::f32);
}

void expect_normal(double mean, double deviation) {
  if (!std::isfinite(mean)) fail(CASTOR_ARGUMENT, "the mean %g is not finite", mean);
  if (deviation >= 0 && std::isfinite(deviation)) return;
  fail(CASTOR_ARGUMENT, "the standard deviation %g is not a finite number >= 0", deviation);
}

void expect_integers(double low, double high, DType dtype) {
  if (!whole(low) || !whole(high)) fail(CASTOR_ARGUMENT, "the ends %.17g and %.17g are not both integers from -2^53 to 2^53", low, high);
  if (!(low < high)) fail(CASTOR_ARGUMENT, "there are no integers in [%.17g, %.17g)", low, high);
  expect_within(low, "the least number", dtype);
  expect_within(high - 1, "the greatest number", dtype);
}

void expect_parameters(Random op, DType dtype, double p0, double p1) {
  switch (op) {
    case Random::uniform: return expect_uniform(p0, p1, dtype);
    case Random::normal: return expect_normal(p0, p1);
    case Random::randint: return expect_integers(p0, p1, dtype);
    case Random::bernoulli:
      if (!(p0 >= 0 && p0 <= 1)) fail(CASTOR_ARGUMENT, "%g is not a probability from 0 to 1", p0);
      return;
    case Random::exponential:
      if (!(p0 > 0 && std::isfinite(p0))) fail(CASTOR_ARGUMENT, "the rate %g is not a finite number > 0", p0);
  }
}

}  // namespace

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
    if (Random(op) != Random::bernoulli && Random(op) != Random::randint) expect_float_dtype(y);
    expect_parameters(Random(op), y.dtype, p0, p1);
    if (y.numel() > 0) call.kernels().random(op, y, key, counter, p0, p1);
  });
}

int32_t castor_expect(int32_t op, castor_address holds) {
  return guard("expect", [&] {
    Call call;
    const Input x(call, "holds", holds);
    expect_op(op, expect_ops);
    expect_dtype(&x, DType::boolean);
    if (x.numel() == 0) return;
    if (!x.contiguous()) fail(CASTOR_ARGUMENT, "holds is not contiguous");
    call.kernels().expect(op, x);
  });
}
