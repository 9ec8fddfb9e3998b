// layerNorm and rmsNorm, forward and backward: rows that fit in the registers of a team and longer ones; sums over many rows and few.
#include "norms.h"

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

const Kind forward("norm", [] {
  each("", [](Case &c, bool centered, castor_dtype dtype, const Shape &shape) {
    const int a = c.input(dtype, shape, normal(2)), weight = maybe_input(c, dtype, {shape[1]}), bias = maybe_input(c, dtype, {shape[1]});
    const int out = c.output(any_result(c, dtype), shape);
    const int mean = centered ? c.output(statistics(dtype), {shape[0]}) : c.absent(), rstd = c.output(statistics(dtype), {shape[0]});
    // With equal elements only the rounding errors of their mean (at most 8) are left, times rstd (at most 32) and a weight (at most 4).
    c.terms = 4, c.magnitude = 8 * 32 * 4;
    c.run([&](const castor_address *v) { return castor().norm(!centered, v[a], v[weight], v[bias], v[out], v[mean], v[rstd], 1e-3); });
  });
});

const Kind backward("norm_backward", [] {
  each("_backward", [](Case &c, bool centered, castor_dtype dtype, const Shape &shape) {
    const int grad = c.input(any_float(c, dtype), shape), a = c.input(dtype, shape), weight = maybe_input(c, dtype, {shape[1]});
    const int mean = centered ? c.input(statistics(dtype), {shape[0]}, uniform(-0.1, 0.1)) : c.absent();
    const int rstd = c.input(statistics(dtype), {shape[0]}, uniform(0.5, 2));
    const int grad_a = maybe_output(c, dtype, shape), grad_weight = maybe_output(c, dtype, {shape[1]}),
              grad_bias = maybe_output(c, dtype, {shape[1]});
    c.terms = double(16 + shape[0]);
    c.magnitude = 16;
    c.run([&](const castor_address *v) {
      return castor().norm_backward(!centered, v[grad], v[a], v[weight], v[mean], v[rstd], v[grad_a], v[grad_weight], v[grad_bias]);
    });
  });
});

}  // namespace
}  // namespace tests
