// batchNorm, in training and evaluation, and groupNorm, forward and backward: planes that fit in the registers of a team and longer ones,
// many short planes, and a few that several blocks share.
#include "norms.h"

namespace tests {
namespace {

struct Sizes { Shape shape; int32_t groups; };  // groups: for groupNorm
const Sizes SIZES[] = {{{1, 1, 2}, 1}, {{3, 4, 8}, 2}, {{5, 6, 1}, 3}, {{2, 3, 33}, 1}, {{40, 16, 1}, 4}, {{7, 8, 49}, 8}, {{2, 4, 300}, 2},
                       {{70, 2, 24}, 1}, {{1, 2, 9001}, 2}, {{2, 64, 16}, 8}, {{0, 2, 3}, 1}};

struct Call { int32_t op; bool evaluates, grouped; Shape shape, statistics; int32_t groups; };

void each(const std::string &suffix, const std::function<void(Case &, const Call &, castor_dtype)> &body) {
  const std::vector<std::string> ops = castor().ops("batchGroupNorm");
  for (int32_t op = 0; op < int32_t(ops.size()); op++)
    for (castor_dtype dtype : FLOATS)
      for (const Sizes &sizes : SIZES)
        for (int round = 0; round < 2; round++) {
          const std::string &name = ops[size_t(op)];
          const Shape &shape = sizes.shape;
          const bool grouped = name == "groupNorm";
          const int32_t groups = grouped ? sizes.groups : int32_t(shape[1]);
          const Call call{op, name == "batchNormEval", grouped, shape, {grouped ? shape[0] * groups : shape[1]}, groups};
          check(name + suffix + " " + name_of(dtype) + " " + to_string(shape) + " " + std::to_string(round),
                [&](Case &c) { body(c, call, dtype); });
        }
}

const Kind forward("batch_group_norm", [] {
  each("", [](Case &c, const Call &call, castor_dtype dtype) {
    const Shape channels{call.shape[1]};
    const int a = c.input(dtype, call.shape, normal(2)), weight = maybe_input(c, dtype, channels), bias = maybe_input(c, dtype, channels);
    const int out = c.output(any_result(c, dtype), call.shape);
    const int mean = c.output(statistics(dtype), call.statistics), rstd = c.output(statistics(dtype), call.statistics);
    const bool tracked = call.evaluates || (!call.grouped && c.random() % 2);
    const castor_dtype running = any_result(c, dtype);
    const auto running_row = [&](const Values &values) {
      return !tracked ? c.absent() : call.evaluates ? c.input(running, channels, values) : c.in_place(running, channels, values);
    };
    const int center = running_row(normal()), variance = running_row(uniform(0.5, 2));
    // With equal elements only the rounding errors of their mean (at most 8) are left, times rstd (at most 32) and a weight (at most 4).
    c.terms = 4, c.magnitude = 8 * 32 * 4;
    c.run([&](const castor_address *v) {
      return castor().batch_group_norm(call.op, v[a], v[weight], v[bias], v[out], v[mean], v[rstd], v[center], v[variance], call.groups,
                                       0.3, 1e-3);
    });
  });
  check("batchNorm of values far from 0", [](Case &c) {
    const Shape channels{3};
    const int a = c.input(f32, {64, 3, 40}, Layout::contiguous, uniform(1000, 1001)), out = c.output(f32, {64, 3, 40});
    const int mean = c.output(f32, channels), rstd = c.output(f32, channels);
    const int center = c.in_place(f32, channels), variance = c.in_place(f32, channels, uniform(0.5, 2));
    // A few roundings of the mean, times rstd. If the variance were computed from sums of squares around 0, its error would be larger.
    c.magnitude = 4 * 1000 * 4;
    c.run([&](const castor_address *v) {
      return castor().batch_group_norm(castor().op("batchGroupNorm", "batchNorm"), v[a], 0, 0, v[out], v[mean], v[rstd], v[center],
                                       v[variance], 3, 0.3, 1e-5);
    });
  });
});

const Kind backward("batch_group_norm_backward", [] {
  each("_backward", [](Case &c, const Call &call, castor_dtype dtype) {
    const Shape channels{call.shape[1]};
    const int grad = c.input(any_float(c, dtype), call.shape), a = c.input(dtype, call.shape), weight = maybe_input(c, dtype, channels);
    const int mean = c.input(statistics(dtype), call.statistics, uniform(-0.1, 0.1));
    const int rstd = c.input(statistics(dtype), call.statistics, uniform(0.5, 2));
    const int grad_a = maybe_output(c, dtype, call.shape);
    const int grad_weight = maybe_output(c, dtype, channels), grad_bias = maybe_output(c, dtype, channels);
    c.terms = double(16 + call.shape[0] * call.shape[2]);
    c.magnitude = 16;
    c.run([&](const castor_address *v) {
      return castor().batch_group_norm_backward(call.op, v[grad], v[a], v[weight], v[mean], v[rstd], v[grad_a], v[grad_weight],
                                                v[grad_bias], call.groups);
    });
  });
});

}  // namespace
}  // namespace tests
