// gather and scatter: rows and single elements, few and many repeated positions, and positions that do not exist.
#include "harness.h"

namespace tests {
namespace {

struct Indexed { Shape size; int axis; int64_t n; };  // n: number of positions along the axis

const Indexed INDEXED[] = {{{9}, 0, 5},        {{50, 768}, 0, 9}, {{40, 24}, 0, 300},   {{40, 7}, 0, 20},  {{6, 30}, 1, 100},
                           {{3, 40, 5}, 1, 64}, {{7, 3}, 1, 2},    {{4, 1, 9}, 0, 50},  {{300}, 0, 5000},  {{2, 3, 4}, 2, 33}};

std::string name_of_case(const std::string &op, castor_dtype dtype, const Indexed &x) {
  return op + " " + name_of(dtype) + " " + to_string(x.size) + " along " + std::to_string(x.axis) + " at " + std::to_string(x.n);
}
Values values_for(castor_dtype dtype) {
  return is_float(dtype) ? normal() : dtype == boolean ? whole(0, 1) : whole(dtype == u8 ? 0 : -40, 40);
}
// The shape of what is selected from x (or written to it).
Shape picked(const Indexed &x) {
  Shape size = x.size;
  size[size_t(x.axis)] = x.n;
  return size;
}
int index(Case &c, const Indexed &x, bool along_one) {
  const int64_t size = x.size[size_t(x.axis)];
  return c.input(c.random() % 2 ? i64 : i32, along_one ? Shape{x.n} : picked(x), whole(-size, size - 1));
}

const Kind gather("gather", [] {
  for (const std::string &op : castor().ops("gather")) {
    const auto call = [&](Case &c, int a, int at, int out, int axis) {
      c.run([&](const castor_address *v) { return castor().gather(castor().op("gather", op), v[a], v[at], v[out], axis); });
    };
    for (castor_dtype dtype : DTYPES)
      for (const Indexed &x : INDEXED)
        check(name_of_case(op, dtype, x), [&](Case &c) {
          const int a = c.input(dtype, x.size, values_for(dtype)), at = index(c, x, op == "indexSelect"), out = c.output(dtype, picked(x));
          call(c, a, at, out, x.axis);
        });
    check(op + " from a place that is not there", [&](Case &c) {
      const int a = c.input(f32, {4, 6}), at = c.input(i64, op == "gather" ? Shape{5, 6} : Shape{5}, whole(4, 9)),
                out = c.output(f32, {5, 6});
      c.expected = CASTOR_INDEX;
      call(c, a, at, out, 0);
    });
  }
});

const Kind scatter("scatter", [] {
  for (const std::string &op : castor().ops("scatter")) {
    const bool along_one = op.substr(0, 5) == "index", add = op.find("Add") != std::string::npos;
    const auto call = [&](Case &c, int out, int at, int source, int axis) {
      c.run([&](const castor_address *v) { return castor().scatter(castor().op("scatter", op), v[out], v[at], v[source], axis); });
    };
    for (castor_dtype dtype : DTYPES)
      for (const Indexed &x : INDEXED)
        check(name_of_case(op, dtype, x), [&](Case &c) {
          const int out = c.in_place(dtype, x.size, values_for(dtype)), at = index(c, x, along_one);
          const bool constant = !along_one && c.random() % 4 == 0;
          const int source = constant ? c.constant(dtype, 1) : c.input(dtype, picked(x), values_for(dtype));
          c.ulps = 0;
          call(c, out, at, source, x.axis);
        });
    check(op + " of another dtype", [&](Case &c) {
      const int out = c.in_place(f32, {6, 8}), at = c.input(i64, along_one ? Shape{40} : Shape{40, 8}, whole(0, 5));
      const int source = c.input(bf16, {40, 8});
      c.terms = add ? 40 : 1;
      call(c, out, at, source, 0);
    });
    check(op + " to a place that is not there", [&](Case &c) {
      const int out = c.in_place(f32, {4, 6}), at = c.input(i32, along_one ? Shape{5} : Shape{5, 6}, whole(-9, -5)),
                source = c.input(f32, {5, 6});
      c.expected = CASTOR_INDEX;
      call(c, out, at, source, 0);
    });
  }
});

}  // namespace
}  // namespace tests
