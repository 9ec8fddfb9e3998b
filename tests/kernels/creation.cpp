// Tensors created from numbers: fill, arange, triangle, random numbers and dropout. They must equal those of the CPU bit for bit.
#include <limits>
#include "harness.h"

namespace tests {
namespace {

const Shape SHAPES[] = {{}, {1}, {3}, {8}, {65}, {5, 33}, {6, 64}, {2, 3, 4, 5}, {4133}};

std::string name(const std::string &op, castor_dtype dtype, const Shape &shape, Layout layout) {
  return op + " " + name_of(dtype) + to_string(shape) + " " + name_of(layout);
}

void each(const std::string &op, const std::function<void(Case &, castor_dtype, const Shape &, Layout)> &body) {
  for (castor_dtype dtype : DTYPES) {
    for (const Shape &shape : SHAPES) {
      for (Layout layout : LAYOUTS) {
        if (layout != Layout::broadcast) check(name(op, dtype, shape, layout), [&](Case &c) {
          c.expected = Case::SAME_AS_CPU;
          c.ulps = c.terms = 0;
          body(c, dtype, shape, layout);
        });
      }
    }
  }
}

const Kind fill("fill", [] {
  for (double value : {0.0, 0.1, -1.0, 300.7, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    each("fill " + std::to_string(value), [&](Case &c, castor_dtype dtype, const Shape &shape, Layout layout) {
      const int out = c.output(dtype, shape, layout);
      c.run([&](const castor_address *v) { return castor().fill(v[out], value); });
    });
  }
});

const Kind arange("arange", [] {
  each("arange", [](Case &c, castor_dtype dtype, const Shape &shape, Layout layout) {
    const int out = c.output(dtype, {count_of(shape)}, layout);
    c.run([&](const castor_address *v) { return castor().arange(v[out], -3, is_float(dtype) ? 0.3 : 2); });
  });
});

const Kind triangle("triangle", [] {
  for (int upper : {0, 1}) {
    for (int diagonal : {-70, -1, 0, 2, 70}) {
      each("triangle " + std::to_string(upper) + " " + std::to_string(diagonal),
           [&](Case &c, castor_dtype dtype, const Shape &shape, Layout layout) {
             const int a = c.input(dtype, shape, with_specials(normal())), out = c.output(dtype, shape, layout);
             c.run([&](const castor_address *v) { return castor().triangle(upper, v[a], v[out], diagonal); });
           });
    }
  }
});

// Every dtype uses some of the ranges. For a range of more than 2^20 each element uses two words of the random stream.
struct Numbers { const char *op; double p0, p1; };
constexpr Numbers NUMBERS[] = {{"uniform", -1, 2.5}, {"normal", 0.25, 3}, {"bernoulli", 0.3, 0}, {"exponential", 2, 0},
                               {"randint", 0, 2},  {"randint", 3, 200}, {"randint", -5, 12}, {"randint", -3e6, 3e6},
                               {"randint", -1e15, 1e15}};

const Kind random("random", [] {
  for (const Numbers &numbers : NUMBERS) {
    each(std::string(numbers.op) + " from " + std::to_string(numbers.p0),
         [&](Case &c, castor_dtype dtype, const Shape &shape, Layout layout) {
           c.seed = double(c.random() >> 11);
           const double offset = double(c.random() >> 11);
           const int out = c.output(dtype, shape, layout);
           if (dtype == f64) c.ulps = 4;  // the logarithm, sine and cosine depend on the platform
           c.run([&](const castor_address *v) {
             return castor().random(castor().op("random", numbers.op), v[out], c.seed, offset, numbers.p0, numbers.p1);
           });
         });
  }
});

const Kind expectation("expect", [] {
  for (const std::string &op : castor().ops("expect")) {
    for (int64_t rows : {1, 255, 4133}) {
      for (double least : {0.0, 1.0}) {
        check(op + " of " + std::to_string(rows) + " rows, the least " + std::to_string(least), [&](Case &c) {
          c.expected = least == 1 ? CASTOR_OK : CASTOR_ARGUMENT;
          const Values values = rows == 1 ? whole(int64_t(least), int64_t(least)) : whole(int64_t(least), 1);
          const int holds = c.input(boolean, {rows}, Layout::contiguous, values);
          c.run([&](const castor_address *v) { return castor().expect(castor().op("expect", op), v[holds]); });
        });
      }
    }
  }
});

const Kind dropout("dropout", [] {
  each("dropout", [](Case &c, castor_dtype dtype, const Shape &shape, Layout layout) {
    c.seed = double(c.random() >> 11);
    const int a = c.input(dtype, shape, with_specials(normal())), out = c.output(dtype, shape, layout);
    c.run([&](const castor_address *v) { return castor().dropout(v[a], v[out], 0.4, c.seed, 7); });
  });
});

}  // namespace
}  // namespace tests
