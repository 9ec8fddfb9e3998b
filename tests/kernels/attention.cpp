#include <cmath>
#include "harness.h"

using namespace tests;

namespace {

enum class Masked { no, yes, added, constant, neat };  // neat: added, and contiguous

struct Heads {
  int64_t b, h, l, s, e, f;
  Shape q() const { return {b, h, l, e}; }
  Shape k() const { return {b, h, s, e}; }
  Shape v() const { return {b, h, s, f}; }
  Shape out() const { return {b, h, l, f}; }
};
std::string text_of(const Heads &n) {
  return to_string({n.b, n.h, n.l, n.s}) + " heads " + std::to_string(n.e) + " and " + std::to_string(n.f);
}
const char *text_of(Masked m) {
  const char *names[] = {"", " masked", " with an added mask", " with a constant mask", " with a contiguous mask"};
  return names[int(m)];
}

int mask_of(Case &c, Masked masked, const Shape &shape, castor_dtype dtype) {
  if (masked == Masked::yes) return c.input(boolean, shape, some_of({0, 1, 1}));
  if (masked == Masked::added) return c.input(dtype, shape, some_of({-INFINITY, 0, dtype == f16 ? -6e4 : -3.3e38, 1, -0.5, 2, 0.25}));
  if (masked == Masked::neat) return c.input(dtype, shape, Layout::contiguous, some_of({-INFINITY, 0, 1, -0.5, 2, 0.25}));
  return masked == Masked::constant ? c.constant(f32, -1.5) : c.absent();
}

// Probabilities and gradients of scores are rounded to the dtype of q before they are multiplied, which allows an error.
void allow(Case &c, castor_dtype dtype, double terms) {
  const double rounding = dtype == f16 ? 0x1p-11 : dtype == bf16 ? 0x1p-8 : 0;
  c.terms = terms, c.magnitude = rounding ? rounding * 0x1p21 : 16;
  c.ulps = 64, c.relative = 4 * rounding;
}

// wide: gradients are float32, whatever the dtype of the other tensors.
struct Options {
  bool causal = false;
  Masked masked = Masked::no;
  double scale = 0.25;
  Shape mask = {};
  bool wide = false;
  castor_dtype mask_dtype = f32;  // of a mask that is added
  double dropout = 0;

  Shape mask_shape(const Heads &n) const { return mask.empty() ? Shape{n.l, n.s} : mask; }
};

template <class Give> void forward(Case &c, castor_dtype dtype, const Heads &n, const Options &o, Give give) {
  const int q = give(n.q()), k = give(n.k()), v = give(n.v()), mask = mask_of(c, o.masked, o.mask_shape(n), o.mask_dtype);
  const int out = c.output(dtype, n.out()), lse = c.output(dtype == f64 ? f64 : f32, {n.b, n.h, n.l});
  // Scores of equal terms are large, and the exponential magnifies their rounding error.
  if (o.dropout > 0) c.seed = double(c.random() >> 11);
  allow(c, dtype, c.repeats(q) && c.repeats(k) ? 32 : 8);
  if (o.dropout < 1) c.magnitude /= 1 - o.dropout;  // what is kept is divided by as much, with its rounding errors
  c.run([&](const castor_address *a) {
    return castor().attention(a[q], a[k], a[v], a[mask], a[out], a[lse], o.scale, o.causal, o.dropout, c.seed, 7);
  });
}

// The logsumexp may be arbitrary: it makes the probabilities larger or smaller, and a row with -inf has none.
template <class Give> void backward(Case &c, castor_dtype dtype, const Heads &n, const Options &o, Give give) {
  const int q = give(n.q()), k = give(n.k()), v = give(n.v()), mask = mask_of(c, o.masked, o.mask_shape(n), o.mask_dtype);
  const int grad = give(n.out()), out = give(n.out()),
            lse = c.input(dtype == f64 ? f64 : f32, {n.b, n.h, n.l}, some_of({4, 5, 4.5, 6, 5.25, -INFINITY}));
  const castor_dtype sums = o.wide ? f32 : dtype;
  const int grad_q = c.output(sums, n.q()), grad_k = c.output(sums, n.k()), grad_v = c.output(sums, n.v());
  if (o.dropout > 0) c.seed = double(c.random() >> 11);
  allow(c, dtype, dtype == bf16 ? 512 : 160);
  if (o.dropout < 1) c.magnitude /= 1 - o.dropout;
  c.run([&](const castor_address *a) {
    return castor().attention_backward(a[grad], a[q], a[k], a[v], a[mask], a[out], a[lse], a[grad_q], a[grad_k], a[grad_v], o.scale,
                                       o.causal, o.dropout, c.seed, 7);
  });
}

template <class Make> void cases(const std::string &kind, Make make) {
  const Heads sizes[] = {{1, 1, 1, 1, 8, 8},      {2, 1, 5, 33, 16, 16},   {1, 2, 64, 64, 32, 32},   {1, 1, 70, 40, 40, 24},
                         {1, 1, 130, 97, 64, 64}, {1, 2, 33, 100, 80, 72}, {1, 1, 40, 70, 128, 128}, {1, 1, 20, 30, 20, 12},
                         {1, 1, 10, 12, 7, 3},    {1, 1, 9, 70, 136, 130}};
  const Heads few[] = {{1, 2, 1, 256, 64, 64}, {2, 1, 1, 1000, 32, 24},  {1, 1, 5, 300, 136, 130}, {1, 3, 16, 513, 16, 128},
                       {1, 1, 17, 2100, 8, 8}, {1, 1, 40, 1025, 20, 12}, {2, 2, 3, 1100, 128, 64}, {1, 1, 66, 520, 64, 32}};
  const Heads dropping[] = {{2, 1, 5, 33, 16, 16},   {1, 2, 70, 64, 32, 32}, {1, 1, 66, 97, 64, 64}, {1, 2, 33, 100, 80, 72},
                            {1, 1, 40, 72, 128, 128}, {1, 1, 9, 70, 136, 130}, {1, 1, 3, 1102, 32, 8}};
  const Heads plain{2, 3, 20, 40, 32, 32};
  const auto add = [&](castor_dtype dtype, const std::string &what, const Heads &n, const Options &o,
                       std::function<int(Case &, const Shape &)> give) {
    check(kind + " " + name_of(dtype) + " " + what,
          [&](Case &c) { make(c, dtype, n, o, [&](const Shape &shape) { return give(c, shape); }); });
  };
  for (castor_dtype dtype : FLOATS) {
    // In the gradient no softmax bounds the probabilities, so the values must be small.
    const Values values = kind == "attention" ? normal() : uniform(-0.8, 0.8);
    const auto any = [&](Case &c, const Shape &shape) { return c.input(dtype, shape, values); };
    for (const Heads &n : sizes)
      for (bool causal : {false, true})
        for (Masked masked : {Masked::no, Masked::yes, Masked::added})
          add(dtype, text_of(n) + (causal ? " causal" : "") + text_of(masked), n, {causal, masked, 1 / std::sqrt(double(n.e))}, any);
    // Few queries and many keys: the keys are divided among blocks, and on the CPU, from 1024 on, among threads.
    if (kind == "attention")
      for (const Heads &n : few)
        for (bool causal : {false, true})
          for (Masked masked : {Masked::no, Masked::yes, Masked::added, Masked::neat})
            if (!causal || n.l > 16)
              add(dtype, "decoding " + text_of(n) + (causal ? " causal" : "") + text_of(masked), n, {causal, masked, 0.2}, any);
    // Rows of scores that begin within a block of random numbers, and rows that begin with one.
    for (const Heads &n : dropping)
      for (double p : {0.25, 0.9, 1.0})
        for (Masked masked : {Masked::no, Masked::yes, Masked::added})
          add(dtype, "dropout " + std::to_string(p) + " of " + text_of(n) + text_of(masked), n,
              {p < 1 && masked == Masked::yes, masked, 0.25, {}, p == 0.9 && dtype != f64, f32, p}, any);
    for (Layout layout : LAYOUTS)
      add(dtype, name_of(layout), plain, {false, Masked::no, 0.05},
          [&](Case &c, const Shape &shape) { return c.input(dtype, shape, layout, values); });
    for (const Shape &mask : {Shape{40}, Shape{20, 1}, Shape{3, 1, 40}, Shape{2, 1, 20, 40}, Shape{2, 3, 1, 1}})
      add(dtype, "mask " + to_string(mask), plain, {true, Masked::yes, 0.25, mask}, any);
    if (kind == "attention_backward" && dtype != f64)
      for (const Heads &n : sizes)
        for (Masked masked : {Masked::no, Masked::yes})
          add(dtype, "in float32 of " + text_of(n) + text_of(masked), n, {true, masked, 0.25, {}, true}, any);
    for (castor_dtype mask : {f32, f16, bf16, f64})
      for (int64_t keys : {40, 41})
        for (const Shape &shape : {Shape{20, keys}, Shape{3, 1, keys}, Shape{2, 3, 20, keys}})
          for (Masked masked : {Masked::added, Masked::neat})
            add(dtype, name_of(mask) + (" mask " + to_string(shape)) + text_of(masked), {2, 3, 20, keys, 32, 32},
                {false, masked, 0.25, shape, false, mask}, any);
    add(dtype, "constant mask", plain, {false, Masked::constant}, any);
    for (double scale : {-0.125, 0.0}) add(dtype, "scale " + std::to_string(scale), plain, {true, Masked::no, scale}, any);
    if (kind == "attention") add(dtype, "without keys", {2, 1, 3, 0, 8, 8}, {}, any);
    add(dtype, "of NaN and infinity", {2, 2, 20, 40, 16, 16}, {}, [&](Case &c, const Shape &shape) {
      c.infinite_or_nan = kind == "attention_backward";
      return c.input(dtype, shape, some_of({NAN, INFINITY, 0, 1, -1, 2, 0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}));
    });
  }
  add(f32, "of mixed dtypes", plain, {}, [&](Case &c, const Shape &shape) { return c.input(FLOATS[c.random() % 3], shape); });
}

const Kind attention("attention", [] { cases("attention", [](auto &&...arguments) { forward(arguments...); }); });
const Kind attention_backward("attention_backward",
                              [] { cases("attention_backward", [](auto &&...arguments) { backward(arguments...); }); });

}  // namespace
