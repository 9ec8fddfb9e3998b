// layerNorm and rmsNorm, forward and backward: rows that a team of threads holds or walks along; sums over many rows and few.
#include "harness.h"

namespace tests {
namespace {

const Shape SHAPES[] = {{1, 1}, {3, 8}, {5, 33}, {2, 257}, {40, 16}, {70, 24}, {300, 4}, {3, 1024}, {2, 4096}, {1, 9001}, {0, 1}};

void each(const std::string &suffix, const std::function<void(Case &, bool centered, castor_dtype, const Shape &)> &body) {
  const std::vector<std::string> ops = castor().ops("norm");
  for (int op = 0; op < int(ops.size()); op++)
    for (castor_dtype dtype : FLOATS)
      for (const Shape &shape : SHAPES)
        for (int round = 0; round < 3; round++)
          check(ops[size_t(op)] + suffix + " " + name_of(dtype) + " " + to_string(shape) + " " + std::to_string(round),
                [&](Case &c) { body(c, ops[size_t(op)] == "layerNorm", dtype, shape); });
}

castor_dtype any_float(Case &c, castor_dtype dtype) { return c.random() % 4 ? dtype : FLOATS[c.random() % 4]; }
// float64 shows all of the error of arithmetic in float32.
castor_dtype any_result(Case &c, castor_dtype dtype) { return c.random() % 4 ? dtype : FLOATS[c.random() % (dtype == f64 ? 4 : 3)]; }
castor_dtype statistics(castor_dtype dtype) { return dtype == f64 ? f64 : f32; }
int maybe_input(Case &c, castor_dtype dtype, const Shape &shape) {
  return c.random() % 3 ? c.input(any_float(c, dtype), shape) : c.absent();
}
int maybe_output(Case &c, castor_dtype dtype, const Shape &shape) {
  return c.random() % 4 ? c.output(any_result(c, dtype), shape) : c.absent();
}

const Kind forward("norm", [] {
  each("", [](Case &c, bool centered, castor_dtype dtype, const Shape &shape) {
    const int a = c.input(dtype, shape, normal(2)), weight = maybe_input(c, dtype, {shape[1]}), bias = maybe_input(c, dtype, {shape[1]});
    const int out = c.output(any_result(c, dtype), shape);
    const int mean = centered ? c.output(statistics(dtype), {shape[0]}) : c.absent(), rstd = c.output(statistics(dtype), {shape[0]});
    // Of equal elements nothing remains but the roundings of their mean (at most 8), times rstd (at most 32) and a weight (at most 4).
    c.terms = 4, c.magnitude = 8 * 32 * 4;
    c.run([&](const castor_address *v) { return castor().norm(!centered, v[a], v[weight], v[bias], v[out], v[mean], v[rstd], 1e-3); });
  });
});

const Kind backward("norm_backward", [] {
  each("_backward", [](Case &c, bool centered, castor_dtype dtype, const Shape &shape) {
    const int grad = c.input(any_float(c, dtype), shape), a = c.input(dtype, shape), weight = maybe_input(c, dtype, {shape[1]});
    const int mean = centered ? c.input(statistics(dtype), {shape[0]}, uniform(-0.1, 0.1)) : c.absent();
    const int rstd = c.input(statistics(dtype), {shape[0]}, uniform(0.5, 2));
    const int grad_a = maybe_output(c, dtype, shape), grad_weight = maybe_output(c, dtype, {shape[1]}), grad_bias = maybe_output(c, dtype, {shape[1]});
    c.terms = double(16 + shape[0]);
    c.magnitude = 16;
    c.run([&](const castor_address *v) {
      return castor().norm_backward(!centered, v[grad], v[a], v[weight], v[mean], v[rstd], v[grad_a], v[grad_weight], v[grad_bias]);
    });
  });
});

}  // namespace
}  // namespace tests
