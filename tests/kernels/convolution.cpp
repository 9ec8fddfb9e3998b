#include "harness.h"

using namespace tests;

namespace {

struct Shape2d {
  int64_t images, in, height, width, out, kernel_h, kernel_w;
  int32_t geometry[7];  // stride, padding, dilation of both axes; groups

  int64_t places(int64_t size, int64_t kernel, int axis) const {
    return (size + 2 * geometry[2 + axis] - geometry[4 + axis] * (kernel - 1) - 1) / geometry[axis] + 1;
  }
  Shape input() const { return {images, in, height, width}; }
  Shape weight() const { return {out, in / geometry[6], kernel_h, kernel_w}; }
  Shape output() const { return {images, out, places(height, kernel_h, 0), places(width, kernel_w, 1)}; }
};

const Shape2d SHAPES[] = {
  {2, 3, 9, 11, 5, 3, 3, {1, 1, 1, 1, 1, 1, 1}},
  {1, 8, 8, 8, 16, 1, 1, {1, 1, 0, 0, 1, 1, 1}},
  {2, 16, 8, 16, 24, 3, 3, {1, 1, 1, 1, 1, 1, 1}},
  {2, 6, 13, 10, 9, 5, 3, {2, 3, 2, 1, 1, 1, 3}},
  {3, 4, 12, 9, 4, 3, 2, {3, 2, 0, 1, 2, 3, 1}},
  {2, 8, 10, 10, 8, 3, 3, {1, 2, 1, 1, 1, 1, 8}},
  {1, 2, 7, 5, 3, 2, 1, {3, 4, 0, 0, 2, 1, 1}},
  {1, 64, 12, 12, 72, 3, 3, {1, 1, 1, 1, 1, 1, 1}},
  {3, 16, 8, 9, 24, 1, 1, {1, 1, 0, 0, 1, 1, 2}},
  {3, 32, 20, 20, 16, 1, 1, {1, 1, 0, 0, 1, 1, 1}},
  {2, 6, 26, 31, 6, 3, 3, {1, 1, 1, 1, 1, 1, 6}},
  {2, 6, 26, 31, 12, 5, 3, {2, 1, 2, 1, 1, 1, 3}},
  {2, 3, 26, 31, 7, 3, 3, {1, 1, 1, 1, 1, 1, 1}},
};

// Contiguous images and weights of these go to cuBLASLt where there is one: images one by one, with and without groups.
const Shape2d POINTWISE[] = {
  {3, 16, 8, 9, 24, 1, 1, {1, 1, 0, 0, 1, 1, 1}},
  {1, 24, 9, 8, 16, 1, 1, {1, 1, 0, 0, 1, 1, 1}},
  {3, 32, 8, 11, 24, 1, 1, {1, 1, 0, 0, 1, 1, 2}},
};

std::string text_of(const Shape2d &s) {
  std::string text = to_string(s.input()) + " by " + to_string(s.weight()) + ", geometry";
  for (int32_t g : s.geometry) text += " " + std::to_string(g);
  return text;
}

// Tensors of any layout, or contiguous ones.
int input(Case &c, castor_dtype dtype, const Shape &size, bool contiguous) {
  return contiguous ? c.input(dtype, size, Layout::contiguous) : c.input(dtype, size);
}
int output(Case &c, castor_dtype dtype, const Shape &size, bool contiguous) {
  return contiguous ? c.output(dtype, size, Layout::contiguous) : c.output(dtype, size);
}

void forward(Case &c, castor_dtype dtype, const Shape2d &s, bool contiguous) {
  const int a = input(c, dtype, s.input(), contiguous), b = input(c, dtype, s.weight(), contiguous);
  const int bias = s.images > 1 ? c.input(dtype, {s.out}) : c.absent(), out = output(c, dtype, s.output(), contiguous);
  c.terms = double(s.in * s.kernel_h * s.kernel_w), c.magnitude = 16;
  c.run([&](const castor_address *v) { return castor().convolution(0, v[a], v[b], v[bias], v[out], s.geometry); });
}

void input_grad(Case &c, castor_dtype dtype, const Shape2d &s, bool contiguous) {
  const int a = input(c, dtype, s.output(), contiguous), b = input(c, dtype, s.weight(), contiguous);
  const int out = output(c, dtype, s.input(), contiguous);
  c.terms = double(s.out * s.kernel_h * s.kernel_w), c.magnitude = 16;
  c.run([&](const castor_address *v) { return castor().convolution(1, v[a], v[b], 0, v[out], s.geometry); });
}

void weight_grad(Case &c, castor_dtype dtype, const Shape2d &s, bool contiguous) {
  const int a = input(c, dtype, s.input(), contiguous), b = input(c, dtype, s.output(), contiguous);
  const int out = output(c, dtype, s.weight(), contiguous);
  // With equal terms, partial sums are larger than the terms.
  c.terms = double(count_of(s.output()) / s.out), c.magnitude = c.repeats(a) && c.repeats(b) ? 16 * 16 : 16;
  c.run([&](const castor_address *v) { return castor().convolution(2, v[a], v[b], 0, v[out], s.geometry); });
}

void directions(castor_dtype dtype, const Shape2d &s, bool contiguous) {
  const std::string rest = std::string(contiguous ? " of contiguous tensors " : " ") + name_of(dtype) + " " + text_of(s);
  check("convolution" + rest, [&](Case &c) { forward(c, dtype, s, contiguous); });
  check("gradient at the input of a convolution" + rest, [&](Case &c) { input_grad(c, dtype, s, contiguous); });
  check("gradient at the weight of a convolution" + rest, [&](Case &c) { weight_grad(c, dtype, s, contiguous); });
}

const Kind convolution("convolution", [] {
  for (castor_dtype dtype : FLOATS) {
    for (const Shape2d &s : SHAPES) directions(dtype, s, false);
    for (const Shape2d &s : POINTWISE) directions(dtype, s, true);
  }
});

}  // namespace
