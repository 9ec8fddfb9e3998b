#include <cmath>
#include "harness.h"

using namespace tests;

namespace {

struct Sizes { int64_t m, n, k; };
std::string text_of(const Sizes &s) { return std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k); }

// The layouts of rows of a and b, with and without the 16-byte alignment of vector accesses.
constexpr Layout MATRICES[] = {Layout::contiguous, Layout::transposed, Layout::shifted};

void multiply(Case &c, castor_dtype dtype, castor_dtype out_dtype, const Sizes &s, Layout a_layout, Layout b_layout, const char *activation,
              bool with_bias) {
  const Values values = is_float(dtype) ? normal() : whole(-9, 9);
  const int a = c.input(dtype, {s.m, s.k}, a_layout, values), b = c.input(dtype, {s.k, s.n}, b_layout, values);
  const int bias = with_bias ? c.input(dtype, {s.n}, values) : c.absent();
  const int out = c.output(out_dtype, {s.m, s.n}, with_bias ? Layout::contiguous : Layout::shifted);
  c.terms = double(s.k + 1), c.magnitude = 4;
  if (out_dtype == f64 && dtype != f64) c.magnitude *= 0x1p29;  // summed in float32
  const int op = castor().op("activation", activation);
  c.run([&](const castor_address *v) { return castor().matmul(v[a], v[b], v[bias], v[out], op); });
}

const Kind matmul("matmul", [] {
  const Sizes sizes[] = {{1, 1, 1}, {3, 5, 7}, {16, 24, 40}, {65, 130, 72}, {128, 64, 200}};
  for (castor_dtype dtype : DTYPES)
    for (const Sizes &s : sizes)
      for (Layout a : MATRICES)
        for (Layout b : MATRICES)
          check(std::string("matmul ") + name_of(dtype) + " " + text_of(s) + " " + name_of(a) + " by " + name_of(b), [&](Case &c) {
            multiply(c, dtype, dtype, s, a, b, "none", (s.k + int(b)) % 2);
          });

  const Sizes thin[] = {{1, 300, 70}, {300, 3, 70}, {8, 40, 600}, {520, 5, 33}, {2, 2, 1300}};
  for (castor_dtype dtype : {f32, f16, bf16})
    for (const Sizes &s : thin)
      for (Layout a : MATRICES)
        for (Layout b : MATRICES)
          check(std::string("matmul ") + name_of(dtype) + " thin " + text_of(s) + " " + name_of(a) + " by " + name_of(b), [&](Case &c) {
            multiply(c, dtype, dtype, s, a, b, "relu", s.m > 1);
          });
  // Large enough to be packed if its rows are not aligned.
  for (castor_dtype dtype : {f32, f16})
    for (Layout layout : {Layout::contiguous, Layout::sliced})
      check(std::string("matmul ") + name_of(dtype) + " large " + name_of(layout), [&](Case &c) {
        multiply(c, dtype, dtype, {250, 260, 259}, layout, layout, "none", false);
      });

  for (const Sizes &s : sizes)
    for (Layout a : MATRICES)
      for (Layout b : MATRICES)
        check("matmul tf32 " + text_of(s) + " " + name_of(a) + " by " + name_of(b), [&](Case &c) {
          const int x = c.input(f32, {s.m, s.k}, a, whole(-1024, 1024)), y = c.input(f32, {s.k, s.n}, b, whole(-8, 8));
          const int out = c.output(f32, {s.m, s.n});
          castor().set_float32_precision(1);  // these operands are exact in tf32
          c.run([&](const castor_address *v) { return castor().matmul(v[x], v[y], 0, v[out], 0); });
          castor().set_float32_precision(0);
        });

  for (castor_dtype dtype : FLOATS)
    for (castor_dtype out : FLOATS)
      for (const char *activation : {"relu", "gelu", "geluTanh"})
        check(std::string("matmul ") + name_of(dtype) + " to " + name_of(out) + " with bias and " + activation, [&](Case &c) {
          multiply(c, dtype, out, {40, 72, 48}, Layout::contiguous, Layout::contiguous, activation, true);
        });
  for (castor_dtype dtype : FLOATS) {
    check(std::string("matmul ") + name_of(dtype) + " of nothing is the bias", [&](Case &c) {
      multiply(c, dtype, dtype, {9, 17, 0}, Layout::contiguous, Layout::contiguous, "none", true);
    });
    check(std::string("matmul ") + name_of(dtype) + " in parts of k", [&](Case &c) {
      multiply(c, dtype, dtype, {33, 40, 1100}, Layout::contiguous, Layout::transposed, "relu", true);
    });
    check(std::string("matmul ") + name_of(dtype) + " in parts of k, of an odd number of columns", [&](Case &c) {
      multiply(c, dtype, dtype, {33, 41, 1100}, Layout::contiguous, Layout::transposed, "relu", true);
    });
    check(std::string("matmul ") + name_of(dtype) + " in parts of k, into any place", [&](Case &c) {
      multiply(c, dtype, dtype, {33, 44, 1100}, Layout::contiguous, Layout::contiguous, "none", false);
    });
    check(std::string("matmul ") + name_of(dtype) + " by any layout", [&](Case &c) {
      const int a = c.input(dtype, {2, 3, 20, 24}), b = c.input(dtype, {2, 3, 24, 16}), out = c.output(dtype, {2, 3, 20, 16});
      c.terms = 24, c.magnitude = 4;
      c.run([&](const castor_address *v) { return castor().matmul(v[a], v[b], 0, v[out], 0); });
    });
    check(std::string("matmul ") + name_of(dtype) + " of NaN and infinity", [&](Case &c) {
      const int a = c.input(dtype, {20, 24}, Layout::contiguous, some_of({NAN, INFINITY, -INFINITY, 0, 1, -2, 0.5, 1, 1, -1, 3, 2}));
      const int b = c.input(dtype, {24, 16}, Layout::contiguous), out = c.output(dtype, {20, 16});
      c.terms = 24, c.magnitude = 4;
      c.run([&](const castor_address *v) { return castor().matmul(v[a], v[b], 0, v[out], 0); });
    });
  }
  check("matmul of a float16 and a float32", [](Case &c) {
    const int a = c.input(f16, {20, 24}), b = c.input(f32, {24, 18}), out = c.output(f32, {20, 18});
    c.terms = 24, c.magnitude = 4;
    c.run([&](const castor_address *v) { return castor().matmul(v[a], v[b], 0, v[out], 0); });
  });
});

}  // namespace
