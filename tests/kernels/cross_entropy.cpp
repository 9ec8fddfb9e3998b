// Cross-entropy of logits: rows that fit in the registers of a team and longer ones, ignored rows, smoothing, invalid targets.
#include <cmath>
#include "harness.h"

namespace tests {
namespace {

const Shape SHAPES[] = {{1, 1}, {5, 3}, {33, 10}, {9, 16}, {7, 257}, {2, 4099}, {1, 9001}, {70, 33}};
constexpr double IGNORE = 2;

struct Setup { int target; double smoothing; };

Setup setup(Case &c, const Shape &shape) {
  const Values classes = whole(0, shape[1] - 1);
  return {c.input(c.random() % 2 ? i64 : i32, {shape[0]}, classes), c.random() % 2 ? 0.0 : 0.3};
}

void each(const std::string &kind, const std::function<void(Case &, castor_dtype, const Shape &)> &body) {
  for (castor_dtype dtype : FLOATS)
    for (const Shape &shape : SHAPES)
      for (int round = 0; round < 3; round++)
        check(kind + " " + name_of(dtype) + " " + to_string(shape) + " " + std::to_string(round), [&](Case &c) {
          c.magnitude = 16;
          body(c, dtype, shape);
        });
}

Values logits_for(Case &c) {
  const uint64_t kind = c.random() % 8;
  if (kind == 0) return some_of({-3, -2, -1, 0, 1, 2, 3, INFINITY, NAN});
  return kind < 3 ? some_of({-3, -2, -1, 0, 1, 2, 3, -INFINITY}) : normal(4);
}

castor_dtype statistics(castor_dtype dtype) { return dtype == f64 ? f64 : f32; }

const Kind forward("cross_entropy", [] {
  each("cross_entropy", [](Case &c, castor_dtype dtype, const Shape &shape) {
    const int logits = c.input(dtype, shape, logits_for(c));
    const auto [target, smoothing] = setup(c, shape);
    const int loss = c.output(statistics(dtype), {shape[0]}), logsumexp = c.output(f64, {shape[0]});
    c.in_float = dtype != f64;
    c.run([&, target = target, smoothing = smoothing](const castor_address *v) {
      return castor().cross_entropy(v[logits], v[target], v[loss], v[logsumexp], IGNORE, smoothing);
    });
  });
  for (double wrong : {-1.0, 5.0, 1e12})
    check("cross_entropy of a class that is not there, " + std::to_string(int64_t(wrong)), [&](Case &c) {
      c.expected = CASTOR_INDEX;
      const int logits = c.input(f32, {4, 5}), target = c.input(i64, {4}, Layout::contiguous, some_of({wrong})), loss = c.output(f32, {4}),
                lse = c.output(f64, {4});
      c.run([&](const castor_address *v) { return castor().cross_entropy(v[logits], v[target], v[loss], v[lse], -100, 0); });
    });
});

const Kind backward("cross_entropy_backward", [] {
  each("cross_entropy_backward", [](Case &c, castor_dtype dtype, const Shape &shape) {
    const int grad = c.input(c.random() % 4 ? statistics(dtype) : dtype, {shape[0]}), logits = c.input(dtype, shape, normal(4));
    const auto [target, smoothing] = setup(c, shape);
    const int logsumexp = c.input(f64, {shape[0]}, uniform(4, 12));
    const int out = c.output(c.random() % 4 ? dtype : FLOATS[c.random() % (dtype == f64 ? 4 : 3)], shape);
    c.ulps = 64;
    c.run([&, target = target, smoothing = smoothing](const castor_address *v) {
      return castor().cross_entropy_backward(v[grad], v[logits], v[target], v[logsumexp], v[out], IGNORE, smoothing);
    });
  });
  for (castor_dtype dtype : FLOATS)
    check(std::string("cross_entropy_backward of rows that are neighbours, ") + name_of(dtype), [&](Case &c) {
      const Shape shape = {70, 33};
      const int grad = c.input(statistics(dtype), {shape[0]}), logits = c.input(dtype, shape, Layout::transposed, normal(4));
      const int target = c.input(i64, {shape[0]}, whole(0, 32)), logsumexp = c.input(f64, {shape[0]}, uniform(4, 12));
      const int out = c.output(dtype, shape, Layout::transposed);
      c.magnitude = 16, c.ulps = 64;
      c.run([&](const castor_address *v) {
        return castor().cross_entropy_backward(v[grad], v[logits], v[target], v[logsumexp], v[out], IGNORE, 0);
      });
    });
});

}  // namespace
}  // namespace tests
