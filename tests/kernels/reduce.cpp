// Reductions: along short and long rows, down columns, split into parts, and over axes that are not neighbours.
#include <cmath>
#include "harness.h"

namespace tests {
namespace {

struct Reduced { Shape size; std::vector<int> axes; };

const Reduced REDUCED[] = {{{}, {}},
                           {{1}, {0}},
                           {{7}, {0}},
                           {{5, 3}, {1}},
                           {{9, 40}, {1}},
                           {{3, 257}, {1}},
                           {{2, 9001}, {1}},
                           {{30000}, {0}},
                           {{40, 33}, {0}},
                           {{4, 64}, {0}},
                           {{5000, 12}, {0}},
                           {{3, 70, 9}, {1}},
                           {{2, 7, 5, 6}, {0, 2, 3}},
                           {{3, 5, 4, 8}, {1, 3}},
                           {{4, 5, 6}, {}},
                           {{6, 50, 3}, {0, 1}},
                           {{2, 3, 40, 5}, {1, 2}},
                           {{0, 3}, {0}}};

int32_t mask(const Reduced &r) {
  int32_t axes = 0;
  for (int axis : r.axes) axes |= 1 << axis;
  return axes;
}
int64_t count(const Reduced &r) {
  int64_t n = 1;
  for (int axis : r.axes) n *= r.size[size_t(axis)];
  return n;
}
Shape result(const Reduced &r) {
  Shape size = r.size;
  for (int axis : r.axes) size[size_t(axis)] = 1;
  return size;
}

bool picks_index(const std::string &op) { return op == "argmax" || op == "argmin"; }
bool is_real(const std::string &op) { return op == "mean" || op == "norm" || op == "var" || op == "std" || op == "logSumExp"; }
bool is_sum(const std::string &op) { return op == "sum" || op == "mean" || op == "norm"; }

Values values_for(const std::string &op, castor_dtype dtype) {
  if (!is_float(dtype)) return dtype == boolean ? whole(0, 1) : whole(dtype == u8 ? 0 : -3, 3);
  if (op == "prod") return uniform(0.95, 1.05);
  if (is_real(op) || op == "sum") return normal(2);
  return with_specials(whole(-2, 2));
}

void reduce(const std::string &op, castor_dtype dtype, const Reduced &r, double p0) {
  if ((picks_index(op) && r.axes.size() != 1 && !r.size.empty()) || (count(r) == 0 && (picks_index(op) || op == "max" || op == "min")))
    return;
  const std::string name =
      op + " " + name_of(dtype) + " " + to_string(r.size) + " over " + std::to_string(mask(r)) + " " + std::to_string(p0);
  check(name, [&](Case &c) {
    const bool odd = c.random() % 4 == 0;
    const castor_dtype out_dtype = picks_index(op)                            ? i64
                                   : odd || (is_real(op) && !is_float(dtype)) ? f32
                                   : op == "any" || op == "all"               ? boolean
                                   : op == "countNonzero"                     ? i64
                                                                              : dtype;
    const int a = c.input(dtype, r.size, values_for(op, dtype)), out = c.output(out_dtype, result(r));
    c.terms = double(count(r));
    c.magnitude = is_sum(op) && op != "norm" ? 2 : op == "logSumExp" ? 8 / c.terms : 0;
    c.ulps = op == "prod" || dtype == f64 ? double(64 + count(r)) : 64;
    c.run([&](const castor_address *v) { return castor().reduce(castor().op("reduce", op), v[a], v[out], mask(r), p0); });
  });
}

const Kind kind("reduce", [] {
  for (const std::string &op : castor().ops("reduce")) {
    for (castor_dtype dtype : DTYPES) {
      for (const Reduced &r : REDUCED) {
        if (op != "norm") reduce(op, dtype, r, op == "var" ? 1 : 0);
        else for (double p : {2., 1., 0., 3., -1., HUGE_VAL, -HUGE_VAL}) reduce(op, dtype, r, p);
      }
    }
    check(op + " of a number", [&](Case &c) {
      const int a = c.constant(f32, 2.5), out = c.output(picks_index(op) ? i64 : f32, {});
      c.run([&](const castor_address *v) { return castor().reduce(castor().op("reduce", op), v[a], v[out], 0, 1); });
    });
  }
  for (castor_dtype dtype : FLOATS)
    check(std::string("var far from zero, ") + name_of(dtype), [&](Case &c) {
      const int a = c.input(dtype, {3, 4000}, uniform(1000, 1001)), out = c.output(dtype, {3, 1});
      c.ulps = dtype == f64 ? 4000 : 64;  // in float64, the precision that is lost because the mean is large
      c.run([&](const castor_address *v) { return castor().reduce(castor().op("reduce", "var"), v[a], v[out], 2, 1); });
    });
});

}  // namespace
}  // namespace tests
