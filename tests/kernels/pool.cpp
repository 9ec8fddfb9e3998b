// Pooling and its gradient: windows that overlap, windows with gaps between them, padding and dilation.
#include "harness.h"

namespace tests {
namespace {

// kernel, stride, padding, dilation of both axes; whether padding counts.
struct Window { int32_t numbers[9]; };
const Window WINDOWS[] = {{{2, 2, 2, 2, 0, 0, 1, 1, 0}}, {{3, 3, 2, 2, 1, 1, 1, 1, 1}}, {{3, 2, 1, 1, 1, 1, 1, 1, 0}},
                          {{2, 2, 3, 3, 0, 0, 1, 1, 1}}, {{2, 3, 1, 2, 0, 1, 2, 1, 0}}, {{5, 4, 5, 4, 2, 2, 1, 1, 1}},
                          {{1, 1, 1, 1, 0, 0, 1, 1, 0}}};
const Shape SHAPES[] = {{2, 3, 9, 13}, {1, 1, 5, 5}, {3, 2, 16, 6}, {0, 3, 8, 8}};

int64_t places(const Shape &size, const Window &w, int axis) {
  const int32_t *n = w.numbers;
  return (size[size_t(2 + axis)] + 2 * n[4 + axis] - n[6 + axis] * (n[axis] - 1) - 1) / n[2 + axis] + 1;
}
Shape pooled(const Shape &size, const Window &w) { return {size[0], size[1], places(size, w, 0), places(size, w, 1)}; }

void each(const std::string &kind, const std::function<void(Case &, bool largest, castor_dtype, const Shape &, const Window &)> &body) {
  for (const std::string &op : castor().ops("pool"))
    for (castor_dtype dtype : FLOATS)
      for (const Shape &size : SHAPES)
        for (size_t w = 0; w < std::size(WINDOWS); w++)
          check(kind + " " + op + " " + name_of(dtype) + " " + to_string(size) + " " + std::to_string(w),
                [&](Case &c) { body(c, op == "max", dtype, size, WINDOWS[w]); });
}

const Kind forward("pool", [] {
  each("pool", [](Case &c, bool largest, castor_dtype dtype, const Shape &size, const Window &w) {
    const int a = c.input(dtype, size, largest ? with_specials(whole(-3, 3)) : normal()), out = c.output(dtype, pooled(size, w));
    const int indices = largest ? c.output(i64, pooled(size, w)) : c.absent();
    c.terms = 25;
    c.run([&](const castor_address *v) {
      return castor().pool(castor().op("pool", largest ? "max" : "avg"), v[a], v[out], v[indices], w.numbers);
    });
  });
});

// The gradient goes to the largest element that pool has found.
const Kind backward("pool_backward", [] {
  each("pool_backward", [](Case &c, bool largest, castor_dtype dtype, const Shape &size, const Window &w) {
    const int32_t op = castor().op("pool", largest ? "max" : "avg");
    const int x = c.input(dtype, size), y = c.output(dtype, pooled(size, w)),
              indices = largest ? c.output(i64, pooled(size, w)) : c.absent();
    const int grad = c.input(dtype, pooled(size, w)), out = c.output(dtype, size);
    c.terms = 25;
    c.run([&](const castor_address *v) {
      const int32_t status = castor().pool(op, v[x], v[y], v[indices], w.numbers);
      return status == CASTOR_OK ? castor().pool_backward(op, v[grad], v[indices], v[out], w.numbers) : status;
    });
  });
  check("pool_backward to a place that is not there", [](Case &c) {
    const int grad = c.input(f32, {1, 1, 2, 2}), indices = c.input(i64, {1, 1, 2, 2}, whole(16, 20)), out = c.output(f32, {1, 1, 4, 4});
    c.expected = CASTOR_INDEX;
    c.run([&](const castor_address *v) {
      return castor().pool_backward(castor().op("pool", "max"), v[grad], v[indices], v[out], WINDOWS[0].numbers);
    });
  });
});

}  // namespace
}  // namespace tests
