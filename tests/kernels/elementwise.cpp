// Every elementwise op over dtypes, layouts and ragged sizes. The names of the ops come from the library.
#include "harness.h"

namespace tests {
namespace {

// Around the sizes of a packet, a warp, what a block takes; rank 0, no elements, axes of 1, more axes than can be collapsed.
const Shape SHAPES[] = {{}, {0}, {1}, {7}, {8}, {33}, {1025}, {5, 33}, {3, 1, 65}, {64, 16}, {2, 3, 4, 5}, {2, 0, 3}, {3, 2, 1, 2, 3, 2, 2, 2},
                        {4133}, {17, 256}};

const Shape &any_shape(Case &c) { return SHAPES[c.random() % std::size(SHAPES)]; }
castor_dtype any_dtype(Case &c) { return DTYPES[c.random() % std::size(DTYPES)]; }
castor_dtype result(Case &c, castor_dtype dtype) { return c.random() % 4 ? dtype : any_dtype(c); }

Values values_for(castor_dtype dtype, bool large = true) {
  if (is_float(dtype)) return with_specials(normal(2), large);
  return dtype == boolean ? whole(0, 1) : whole(dtype == u8 ? 0 : -9, 9);
}

// An input of the output's shape, or one that broadcasts to it as a number does.
int operand(Case &c, castor_dtype dtype, const Shape &shape, bool large = true) {
  if (c.random() % 8 == 0) return c.constant(dtype, is_float(dtype) ? 1.5 : 1);
  return c.input(dtype, shape, values_for(dtype, large));
}

std::string case_name(const std::string &kind, const std::string &op, castor_dtype dtype, int round) {
  return kind + " " + op + " " + name_of(dtype) + " " + std::to_string(round);
}

// Ops with sums that may all but cancel: what is left depends on whether products are rounded before they are added.
bool cancels(const std::string &kind, const std::string &op) { return kind == "ternary" || op.find("Backward") != std::string::npos; }

// Each op with each dtype a few times: shape, layouts and the dtypes of the other arguments differ. Not every op is there for
// every dtype.
void each(const std::string &kind, int rounds, const std::function<void(Case &, int op, castor_dtype)> &body) {
  const std::vector<std::string> ops = castor().ops(kind);
  for (int op = 0; op < int(ops.size()); op++) {
    for (castor_dtype dtype : DTYPES) {
      for (int round = 0; round < rounds; round++) {
        check(case_name(kind, ops[size_t(op)], dtype, round), [&](Case &c) {
          c.expected = Case::SAME_AS_CPU;
          c.magnitude = 32;  // of what may cancel out inside of an op
          if (cancels(kind, ops[size_t(op)])) c.ulps = 1 << 13;
          body(c, op, dtype);
        });
      }
    }
  }
}

const Kind unary("unary", [] {
  each("unary", 3, [](Case &c, int op, castor_dtype dtype) {
    const Shape shape = any_shape(c);
    const int a = operand(c, dtype, shape), out = c.output(result(c, dtype), shape);
    c.run([&](const castor_address *v) { return castor().unary(op, v[a], v[out], 0.5, 2); });
  });
});

const Kind binary("binary", [] {
  each("binary", 3, [](Case &c, int op, castor_dtype dtype) {
    const Shape shape = any_shape(c);
    // A slope that cancels to nearly nothing is wrong by more than its size: that shows beside a large gradient.
    const bool large = castor().ops("binary")[size_t(op)].find("Backward") == std::string::npos;
    const int a = operand(c, dtype, shape, large), b = operand(c, result(c, dtype), shape, large), out = c.output(dtype, shape);
    c.run([&](const castor_address *v) { return castor().binary(op, v[a], v[b], v[out], 0.5, 2); });
  });
});

const Kind compare("compare", [] {
  each("compare", 4, [](Case &c, int op, castor_dtype dtype) {
    const Shape shape = any_shape(c);
    const int a = operand(c, dtype, shape), b = operand(c, result(c, dtype), shape), out = c.output(boolean, shape);
    c.run([&](const castor_address *v) { return castor().compare(op, v[a], v[b], v[out]); });
  });
});

const Kind ternary("ternary", [] {
  each("ternary", 6, [](Case &c, int op, castor_dtype dtype) {
    const Shape shape = any_shape(c);
    const int x = operand(c, result(c, dtype), shape), y = operand(c, dtype, shape), z = operand(c, dtype, shape);
    const int out = c.output(dtype, shape);
    c.run([&](const castor_address *v) { return castor().ternary(op, v[x], v[y], v[z], v[out], 0.5); });
  });
});

const Kind copy("copy", [] {
  for (castor_dtype from : DTYPES) {
    for (castor_dtype to : DTYPES) {
      for (Layout layout : LAYOUTS) {
        check(std::string("copy ") + name_of(from) + " " + name_of(to) + " " + name_of(layout), [&](Case &c) {
          const Shape shape = any_shape(c);
          const int a = c.input(from, shape, layout, values_for(from)), out = c.output(to, shape);
          c.run([&](const castor_address *v) { return castor().copy(v[a], v[out]); });
        });
      }
      check(std::string("copy across ") + name_of(from) + " " + name_of(to), [&](Case &c) {
        const Shape shape = c.random() % 2 ? Shape{130, 67} : Shape{16, 3, 70};
        const int a = c.input(from, shape, Layout::transposed, values_for(from)), out = c.output(to, shape, Layout::contiguous);
        c.run([&](const castor_address *v) { return castor().copy(v[a], v[out]); });
      });
    }
  }
});

}  // namespace
}  // namespace tests
