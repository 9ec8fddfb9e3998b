// Every elementwise op with all dtypes, layouts and sizes that are not multiples of a tile. The library provides the names of the ops.
#include <algorithm>
#include <cmath>
#include <map>
#include "harness.h"

namespace tests {
namespace {

// Sizes around those of a vector, a warp and the elements of a block; rank 0, no elements, axes of size 1, and more axes than can be
// merged.
const Shape SHAPES[] = {
    {},     {0},      {1}, {7}, {8}, {33}, {1025}, {5, 33}, {3, 1, 65}, {64, 16}, {2, 3, 4, 5}, {2, 0, 3}, {3, 2, 1, 2, 3, 2, 2, 2},
    {4133}, {17, 256}};

const Shape &any_shape(Case &c) { return SHAPES[c.random() % std::size(SHAPES)]; }
castor_dtype any_dtype(Case &c) { return DTYPES[c.random() % std::size(DTYPES)]; }
castor_dtype other(Case &c, castor_dtype dtype) { return c.random() % 4 ? dtype : any_dtype(c); }
// The result is not an integer for a float input: an error in the last bit could change it to the next integer.
castor_dtype result(Case &c, castor_dtype dtype) {
  return c.random() % 4 ? dtype : is_float(dtype) ? FLOATS[c.random() % std::size(FLOATS)] : any_dtype(c);
}

Values values_for(castor_dtype dtype) {
  if (is_float(dtype)) return with_specials(normal(2));
  return dtype == boolean ? whole(0, 1) : whole(dtype == u8 ? 0 : -9, 9);
}

// An input of the output's shape, or a number that is broadcast.
int operand(Case &c, castor_dtype dtype, const Shape &shape, const Values &values) {
  if (c.random() % 8 == 0) return c.constant(dtype, is_float(dtype) ? 1.5 : 1);
  return c.input(dtype, shape, values);
}
int operand(Case &c, castor_dtype dtype, const Shape &shape) { return operand(c, dtype, shape, values_for(dtype)); }

// Integers y for which the op is defined: divisors other than 0, exponents that are not negative.
bool divides(const std::string &op) { return op == "floorDivide" || op == "remainder" || op == "fmod"; }
Values second_values(const std::string &op, castor_dtype dtype) {
  const bool partial = divides(op) || op == "pow";
  return partial && !is_float(dtype) ? whole(divides(op) ? 1 : 0, dtype == boolean ? 1 : 9) : values_for(dtype);
}

std::string case_name(const std::string &kind, const std::string &op, castor_dtype dtype, int round) {
  return kind + " " + op + " " + name_of(dtype) + " " + std::to_string(round);
}

constexpr double P0 = 0.5, P1 = 2;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double density(double x) { return 0.3989422804014327 * std::exp(-0.5 * x * x); }
// geluTanh(x) = x sigmoid(its exponent).
double exponent(double x) { return x * (1.5957691216057308 + 0.07135481627260025 * x * x); }
double exponent_slope(double x) { return 1.5957691216057308 + 0.21406444881780076 * x * x; }

// The magnitude of the terms that an op adds, where they may nearly cancel: then the result is their rounding error, and the compiler
// chooses which products are rounded before they are added. The rounding error of an exponent is magnified by its size. v are x, y, z of
// kernels/*.inc.
using Inputs = const double *;
const std::map<std::string, std::function<double(Inputs v)>> MAGNITUDES = {
  {"geluTanh", [](Inputs v) { return std::fabs(v[0] * exponent(v[0])) * sigmoid(exponent(v[0])) * sigmoid(-exponent(v[0])); }},
  {"tanhBackward", [](Inputs v) { return std::fabs(v[0]) * (1 + v[1] * v[1]); }},
  {"geluBackward", [](Inputs v) {
    return std::fabs(v[0]) * (0.5 * std::erfc(-v[1] * M_SQRT1_2) + std::fabs(v[1]) * density(v[1]));
  }},
  {"geluTanhBackward", [](Inputs v) {
    const double u = exponent(v[1]), bend = std::fabs(v[1]) * exponent_slope(v[1]) * sigmoid(-u);
    return std::fabs(v[0]) * sigmoid(u) * (1 + bend) * (1 + std::fabs(u));
  }},
  {"siluBackward", [](Inputs v) { return std::fabs(v[0]) * sigmoid(v[1]) * (1 + std::fabs(v[1]) * sigmoid(-v[1])); }},
  {"mishBackward", [](Inputs v) {
    return std::fabs(v[0]) * (std::tanh(std::log1p(std::exp(v[1]))) + std::fabs(v[1]) * sigmoid(v[1]));
  }},
  {"addcmul", [](Inputs v) { return std::fabs(v[0]) + std::fabs(P0 * v[1] * v[2]); }},
  {"addcdiv", [](Inputs v) { return std::fabs(v[0]) + std::fabs(P0 * v[1] / v[2]); }},
  {"binaryCrossEntropy", [](Inputs v) { return std::fabs((v[1] - 1) * std::log1p(-v[0])) + std::fabs(v[1] * std::log(v[0])); }},
  {"binaryCrossEntropyWithLogits", [](Inputs v) {
    return (1 + std::fabs(v[1]) + std::fabs(v[2])) * std::fabs(v[0]) + std::fabs(v[2]) * std::log1p(std::exp(-std::fabs(v[0])));
  }},
  {"lerp", [](Inputs v) { return (1 + std::fabs(v[2])) * (std::fabs(v[0]) + std::fabs(v[1])); }},
};

// At least LEAST, because an approximation may treat a denormal float as zero.
double magnitude_of(const std::string &op, Inputs v) {
  constexpr double LEAST = 0x1p-102;
  const auto found = MAGNITUDES.find(op);
  const double magnitude = found == MAGNITUDES.end() ? 0 : found->second(v);
  return std::isfinite(magnitude) ? std::max(magnitude, LEAST) : LEAST;
}

// Each op with each dtype several times, with different shapes, layouts and dtypes of the other arguments. Not every op exists for every
// dtype.
// every dtype.
void each(const std::string &kind, int rounds, const std::function<void(Case &, int op, castor_dtype)> &body) {
  const std::vector<std::string> ops = castor().ops(kind);
  for (int op = 0; op < int(ops.size()); op++) {
    for (castor_dtype dtype : DTYPES) {
      for (int round = 0; round < rounds; round++) {
        check(case_name(kind, ops[size_t(op)], dtype, round), [&](Case &c) {
          c.expected = Case::SAME_AS_CPU;
          // CUDA's functions of a float have an error of up to 4 units in the last place, and so have Castor's.
          // ulps counts halves of a unit.
          c.ulps = 16;
          c.terms = 8;
          c.magnitude_of = [name = ops[size_t(op)]](Inputs v) { return magnitude_of(name, v); };
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
    c.run([&](const castor_address *v) { return castor().unary(op, v[a], v[out], P0, P1); });
  });
});

const Kind binary("binary", [] {
  each("binary", 3, [](Case &c, int op, castor_dtype dtype) {
    const Shape shape = any_shape(c);
    const castor_dtype second = other(c, dtype);
    const Values values = second_values(castor().ops("binary")[size_t(op)], second);
    const int a = operand(c, dtype, shape), b = operand(c, second, shape, values), out = c.output(dtype, shape);
    c.run([&](const castor_address *v) { return castor().binary(op, v[a], v[b], v[out], P0, P1); });
  });
  for (const std::string &op : {"floorDivide", "remainder", "fmod", "pow"}) {
    for (castor_dtype dtype : {i32, i64, u8}) {
      const double bad = divides(op) ? 0 : -1;
      const auto refuses = [&](const std::string &what, const std::function<int(Case &)> &second) {
        check(op + " " + name_of(dtype) + " " + what, [&](Case &c) {
          c.expected = CASTOR_ARGUMENT;
          const int a = c.input(dtype, {5, 33}, whole(0, 9)), b = second(c), out = c.output(dtype, {5, 33});
          c.run([&](const castor_address *v) { return castor().binary(castor().op("binary", op), v[a], v[b], v[out], 0, 0); });
        });
      };
      if (dtype == u8 && bad < 0) continue;
      // A layout may show only one element, which then must be a bad one.
      refuses("of what it is not defined for", [&](Case &c) { return c.input(dtype, {5, 33}, some_of({bad})); });
      refuses("of a row of that", [&](Case &c) { return c.input(dtype, {33}, some_of({bad})); });
      refuses("of some that it is defined for", [&](Case &c) { return c.input(dtype, {5, 33}, Layout::contiguous, some_of({1, 2, bad})); });
      refuses("of one number of that", [&](Case &c) { return c.constant(dtype, bad); });
    }
  }
});

const Kind compare("compare", [] {
  each("compare", 4, [](Case &c, int op, castor_dtype dtype) {
    const Shape shape = any_shape(c);
    const int a = operand(c, dtype, shape), b = operand(c, other(c, dtype), shape), out = c.output(boolean, shape);
    c.run([&](const castor_address *v) { return castor().compare(op, v[a], v[b], v[out]); });
  });
});

const Kind ternary("ternary", [] {
  each("ternary", 6, [](Case &c, int op, castor_dtype dtype) {
    const Shape shape = any_shape(c);
    const int x = operand(c, other(c, dtype), shape), y = operand(c, dtype, shape), z = operand(c, dtype, shape);
    const int out = c.output(dtype, shape);
    c.run([&](const castor_address *v) { return castor().ternary(op, v[x], v[y], v[z], v[out], P0); });
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
