// Cumulative sums and products, sorting and topk, along short and long axes, innermost or not.
#include "harness.h"

namespace tests {
namespace {

struct Line { Shape size; int axis; };

const Line LINES[] = {{{}, 0},        {{1}, 0},       {{9}, 0},      {{5, 40}, 1},    {{3, 257}, 1},   {{2, 2500}, 1}, {{9000}, 0},
                      {{70, 12}, 0},  {{3000, 9}, 0}, {{4, 33, 8}, 1}, {{2, 3, 50}, 2}, {{50, 3}, 0},  {{0, 4}, 1}};

std::string name_of_case(const std::string &op, castor_dtype dtype, const Line &line) {
  return op + " " + name_of(dtype) + " " + to_string(line.size) + " along " + std::to_string(line.axis);
}
int64_t length(const Line &line) { return line.size.empty() ? 1 : line.size[size_t(line.axis)]; }

Values values_for(castor_dtype dtype) {
  if (is_float(dtype)) return with_specials(whole(-9, 9));
  return dtype == boolean ? whole(0, 1) : whole(dtype == u8 ? 0 : -40, 40);
}

const Kind scan("scan", [] {
  const std::vector<std::string> ops = castor().ops("scan");
  for (int op = 0; op < int(ops.size()); op++)
    for (castor_dtype dtype : DTYPES)
      for (const Line &line : LINES)
        check(name_of_case(ops[size_t(op)], dtype, line), [&](Case &c) {
          const bool sum = ops[size_t(op)] == "cumsum";
          const Values values = !is_float(dtype) ? values_for(dtype) : sum ? normal() : uniform(0.99, 1.01);
          // Products of many integers overflow a float, and then zero times infinity depends on the order.
          const bool own = c.random() % 2 || !(sum || is_float(dtype));
          const int a = c.input(dtype, line.size, values), out = c.output(own ? dtype : c.random() % 2 ? f32 : f64, line.size);
          c.terms = sum ? double(length(line)) : 0;
          c.ulps = double(8 + length(line));  // in float64 the order of the sum matters
          c.run([&](const castor_address *v) { return castor().scan(op, v[a], v[out], line.axis); });
        });
});

const Kind sort("sort", [] {
  for (castor_dtype dtype : DTYPES)
    for (const Line &line : LINES)
      for (int64_t k : {length(line), int64_t(1), int64_t(7), int64_t(300)})
        for (int descending : {0, 1}) {
          if (k > length(line)) continue;
          check(name_of_case("sort", dtype, line) + (descending ? " down, " : " up, ") + std::to_string(k), [&](Case &c) {
            Shape size = line.size;
            if (!size.empty()) size[size_t(line.axis)] = k;
            const int a = c.input(dtype, line.size, values_for(dtype)), values = c.output(dtype, size), indices = c.output(i64, size);
            c.run([&](const castor_address *v) { return castor().sort(v[a], v[values], v[indices], line.axis, descending); });
          });
        }
});

}  // namespace
}  // namespace tests
