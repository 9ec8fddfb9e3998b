// Lists of tensors in one call: unscaling with its check, norm, scale, the update of the scale, SGD and Adam. The tensors have any float
// dtype and layout; some have several chunks, some have no elements.
#include <cmath>
#include "harness.h"

namespace tests {
namespace {

const Shape SHAPES[] = {{}, {7}, {0}, {33, 5}, {2, 3, 4}, {1025}, {40000}};

std::vector<Shape> some_shapes(Case &c, int count) {
  std::vector<Shape> shapes;
  for (int i = 0; i < count; i++) shapes.push_back(SHAPES[c.random() % std::size(SHAPES)]);
  return shapes;
}
castor_dtype any_float(Case &c) { return FLOATS[c.random() % 4]; }

// Mostly contiguous, since those tensors are batched.
int update(Case &c, castor_dtype dtype, const Shape &shape, const Values &values) {
  return c.random() % 3 ? c.in_place(dtype, shape, Layout::contiguous, values) : c.in_place(dtype, shape, values);
}

void rounds(const std::string &name, int count, const std::function<void(Case &, int)> &body) {
  for (int round = 0; round < count; round++) check(name + " " + std::to_string(round), [&](Case &c) { body(c, round); });
}

const Kind unscale("multi_unscale", [] {
  rounds("multi_unscale", 12, [](Case &c, int round) {
    const int count = 1 + int(c.random() % 6);
    int first = -1;
    for (const Shape &shape : some_shapes(c, count)) {
      const int g = update(c, any_float(c), shape, round % 3 == 0 ? with_specials(normal()) : normal());
      if (first < 0) first = g;
    }
    const int inverse = c.random() % 4 ? c.input(f32, {}, some_of({1, 0.125, 70000, 1e-9})) : c.constant(f32, 0.5);
    const int found = c.in_place(f32, {}, some_of({0, 0, 1}));
    c.run([&](const castor_address *v) { return castor().multi_unscale(v[first], count, v[inverse], v[found]); });
  });
});

const Kind scale("multi_scale", [] {
  rounds("multi_scale", 8, [](Case &c, int) {
    const int count = 1 + int(c.random() % 6);
    int first = -1;
    for (const Shape &shape : some_shapes(c, count)) {
      const int t = update(c, any_float(c), shape, with_specials(normal()));
      if (first < 0) first = t;
    }
    const int factor = c.input(f32, {}, some_of({1, 0.3}));
    c.run([&](const castor_address *v) { return castor().multi_scale(v[first], count, v[factor]); });
  });
});

const Kind norm("multi_norm", [] {
  for (double p : {0.0, 1.0, 2.0, 3.0, 0.5, double(INFINITY)}) {
    rounds("multi_norm " + std::to_string(p), 4, [&](Case &c, int round) {
      const int count = 1 + int(c.random() % 6);
      int first = -1;
      for (const Shape &shape : some_shapes(c, count)) {
        const int t = c.input(any_float(c), shape, round == 3 ? some_of({1, 2, 3, INFINITY}) : normal());
        if (first < 0) first = t;
      }
      const int out = c.output(f32, {});
      c.ulps = 256;
      c.run([&](const castor_address *v) { return castor().multi_norm(v[first], count, v[out], p); });
    });
  }
  check("multi_norm of nothing", [](Case &c) {
    const int out = c.output(f32, {});
    c.run([&](const castor_address *v) { return castor().multi_norm(0, 0, v[out], 2); });
  });
  check("multi_norm of more tensors than a launch takes", [](Case &c) {
    for (int i = 0; i < 300; i++) c.input(i % 2 ? f32 : bf16, {3}, Layout::contiguous, normal());
    const int out = c.output(f32, {});
    c.ulps = 256;
    c.run([&](const castor_address *v) { return castor().multi_norm(v[0], 300, v[out], 2); });
  });
});

const Kind update_scale("update_scale", [] {
  rounds("update_scale", 12, [](Case &c, int) {
    const int scale = c.in_place(f32, {}, some_of({1, 65536, 3e38, 1e-3})), tracker = c.in_place(i32, {}, whole(0, 4));
    const int found = c.input(f32, {}, some_of({0, 0, 1}));
    const double rule[] = {2, 0.5, 4, 0.125, c.random() % 2 ? 1e6 : INFINITY};
    c.run([&](const castor_address *v) { return castor().update_scale(v[scale], v[tracker], v[found], rule); });
  });
});

struct List { Values values; bool written; };

// The lists of an optimizer, one after the other; the steps are list number `steps`. All tensors at the same position have one shape and,
// mostly, one dtype.
void optimizer(Case &c, const std::vector<List> &lists, size_t steps, const std::vector<double> &hyper,
               const std::function<int32_t(castor_address, int32_t, const double *, castor_address, castor_address)> &call) {
  const int count = 1 + int(c.random() % 5);
  const std::vector<Shape> shapes = some_shapes(c, count);
  std::vector<castor_dtype> dtypes;
  for (int i = 0; i < count; i++) dtypes.push_back(any_float(c));
  for (size_t k = 0; k < lists.size(); k++) {
    for (int i = 0; i < count; i++) {
      if (k == steps) {
        c.in_place(f32, {}, some_of({0, 1, 7, 1000}));
        continue;
      }
      // float64 would show the whole error of float32 arithmetic, which is that of the parameter.
      const castor_dtype own = dtypes[size_t(i)], other = FLOATS[c.random() % (own == f64 ? 4 : 3)],
                         dtype = k == 0 || c.random() % 8 ? own : other;
      if (lists[k].written) update(c, dtype, shapes[size_t(i)], lists[k].values);
      else c.input(dtype, shapes[size_t(i)], lists[k].values);
    }
  }
  const int rate = c.random() % 2 ? c.absent() : c.input(f64, {}, some_of({0.001, 0.1}));
  const int found = c.random() % 2 ? c.absent() : c.input(f32, {}, some_of({0, 0, 0, 1}));
  c.terms = 16;
  c.run([&](const castor_address *v) { return call(v[0], count, hyper.data(), v[rate], v[found]); });
}

double flag(Case &c) { return double(c.random() % 2); }

const Kind sgd("multi_sgd", [] {
  rounds("multi_sgd", 24, [](Case &c, int round) {
    const bool momentum = round % 3 > 0, nesterov = round % 3 > 1;
    std::vector<List> lists = {{normal(), true}, {normal(), false}};
    if (momentum) lists.push_back({normal(), true});
    lists.push_back({});
    optimizer(c, lists, lists.size() - 1,
              {0.1, momentum ? 0.9 : 0, nesterov ? 0 : 0.25 * flag(c), 0.01 * flag(c), double(nesterov), flag(c)}, castor().multi_sgd);
  });
});

const Kind adam("multi_adam", [] {
  rounds("multi_adam", 24, [](Case &c, int round) {
    const bool largest = round % 2;
    std::vector<List> lists = {{normal(), true}, {normal(), false}, {normal(0.1), true}, {uniform(0, 1), true}, {}};
    if (largest) lists.push_back({uniform(0, 1), true});
    optimizer(c, lists, 4, {0.01, 0.9, 0.999, 1e-8, 0.05 * flag(c), flag(c), double(largest), flag(c)}, castor().multi_adam);
  });
});

}  // namespace
}  // namespace tests
