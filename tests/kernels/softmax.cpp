// softmax and logSoftmax, forward and backward: rows that fit in the registers of a team, longer ones, and rows read across.
#include "harness.h"

namespace tests {
namespace {

struct Rows { Shape size; int axis; };

// Less than a vector, whole vectors, and other sizes; longer than the registers of a block; along an axis that is not the innermost.
const Rows ROWS[] = {{{1}, 0},      {{5, 3}, 1},    {{9, 16}, 1},      {{4, 100}, 1},     {{3, 257}, 1},   {{2, 4096}, 1},
                     {{1, 9001}, 1}, {{33, 40}, 0}, {{2, 300, 9}, 1}, {{2, 3, 16, 8}, 1}, {{3, 70, 2}, 0}, {{0, 1}, 1}};

std::string name_of_case(const std::string &op, castor_dtype dtype, const Rows &rows, int round) {
  return op + " " + name_of(dtype) + " " + to_string(rows.size) + " along " + std::to_string(rows.axis) + " " + std::to_string(round);
}

void each(const std::string &suffix, const std::function<void(Case &, int op, castor_dtype, const Rows &)> &body) {
  const std::vector<std::string> ops = castor().ops("softmax");
  for (int op = 0; op < int(ops.size()); op++)
    for (castor_dtype dtype : FLOATS)
      for (const Rows &rows : ROWS)
        for (int round = 0; round < 2; round++)
          check(name_of_case(ops[size_t(op)] + suffix, dtype, rows, round), [&](Case &c) {
            body(c, op, dtype, rows);
          });
}

castor_dtype result(Case &c, castor_dtype dtype) { return c.random() % 4 ? dtype : FLOATS[c.random() % 4]; }

const Kind forward("softmax", [] {
  each("", [](Case &c, int op, castor_dtype dtype, const Rows &rows) {
    const Values values = c.random() % 4 ? normal(4) : with_specials(normal(4));
    const int a = c.input(dtype, rows.size, values), out = c.output(result(c, dtype), rows.size);
    c.ulps = 32;
    c.magnitude = op == 0 ? 0 : 32;  // logarithms are a difference of numbers of this size
    c.run([&](const castor_address *v) { return castor().softmax(op, v[a], v[out], rows.axis); });
  });
  for (castor_dtype dtype : DTYPES)
    check(std::string("softmax of a number, ") + name_of(dtype), [&](Case &c) {
      const int a = c.constant(dtype, 1), out = c.output(f32, {});
      c.run([&](const castor_address *v) { return castor().softmax(0, v[a], v[out], 0); });
    });
  for (castor_dtype dtype : {i32, i64, u8, boolean})
    check(std::string("logSoftmax of whole numbers, ") + name_of(dtype), [&](Case &c) {
      const int a = c.input(dtype, {7, 33}, whole(0, 20)), out = c.output(f32, {7, 33});
      c.magnitude = 32;
      c.run([&](const castor_address *v) { return castor().softmax(1, v[a], v[out], 1); });
    });
});

const Kind backward("softmax_backward", [] {
  each("_backward", [](Case &c, int op, castor_dtype dtype, const Rows &rows) {
    const int grad = c.input(result(c, dtype), rows.size), out = c.output(dtype, rows.size);
    const int y = c.input(dtype, rows.size, op == 0 ? uniform(0, 0.1) : uniform(-6, 0));
    c.terms = c.ulps = double(8 + rows.size[size_t(rows.axis)]);
    c.run([&](const castor_address *v) { return castor().softmax_backward(op, v[grad], v[y], v[out], rows.axis); });
  });
});

}  // namespace
}  // namespace tests
