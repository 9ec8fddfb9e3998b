// Checks the arguments of matrix products, convolutions and pooling, and calls the kernels of their device.
#include <cstring>
#include "check.h"
#include "counts.h"
#include "error.h"

using namespace castor;

namespace {

constexpr int H = 2, W = 3;  // axes of an image (N, C, H, W)

void expect_same_batch(const Argument &a, const Argument &out) {
  expect_rank(a, out.rank);
  for (int i = 0; i < out.rank - 2; i++) {
    if (a.size[i] != out.size[i])
      fail(CASTOR_SHAPE, "%s has %lld matrices on axis %d, out %lld", a.name, (long long)a.size[i], i, (long long)out.size[i]);
  }
}

// The parameters of a sliding window along one axis.
struct Steps { int64_t kernel, stride, padding, dilation; };

void expect_steps(const Argument &in, const Argument &out, int axis, const Steps &steps) {
  if (steps.kernel < 1 || steps.stride < 1 || steps.padding < 0 || steps.dilation < 1) {
    fail(CASTOR_ARGUMENT, "a kernel of %lld with stride %lld, padding %lld and dilation %lld is not valid", (long long)steps.kernel,
         (long long)steps.stride, (long long)steps.padding, (long long)steps.dilation);
  }
  const int64_t room = in.size[axis] + 2 * steps.padding - steps.dilation * (steps.kernel - 1) - 1;
  const int64_t places = room < 0 ? 0 : room / steps.stride + 1;
  if (places < 1) fail(CASTOR_SHAPE, "the kernel is larger than the padded input on axis %d", axis);
  if (out.size[axis] != places)
    fail(CASTOR_SHAPE, "%s has size %lld on axis %d, expected %lld", out.name, (long long)out.size[axis], axis, (long long)places);
}

void expect_convolution(const Argument &input, const Argument &weight, const Argument &output, const Geometry &g) {
  for (const Argument *a : {&input, &weight, &output}) expect_rank(*a, 4);
  if (g.groups < 1 || weight.size[0] % g.groups)
    fail(CASTOR_SHAPE, "%lld output channels do not divide into %d groups", (long long)weight.size[0], g.groups);
  if (input.size[1] / g.groups != weight.size[1] || input.size[1] % g.groups) {
    fail(CASTOR_SHAPE, "%lld input channels are not %d groups of %lld", (long long)input.size[1], g.groups, (long long)weight.size[1]);
  }
  expect_steps(input, output, H, {weight.size[H], g.stride_h, g.padding_h, g.dilation_h});
  expect_steps(input, output, W, {weight.size[W], g.stride_w, g.padding_w, g.dilation_w});
  expect_sizes(&output, {input.size[0], weight.size[0], output.size[H], output.size[W]});
}

// Padding may be at most half the kernel, so that the middle of every window is inside the image and no window sees padding only.
void expect_pooling(const Argument &input, const Argument &output, const Window &w) {
  for (const Argument *a : {&input, &output}) expect_rank(*a, 4);
  expect_steps(input, output, H, {w.kernel_h, w.stride_h, w.padding_h, w.dilation_h});
  expect_steps(input, output, W, {w.kernel_w, w.stride_w, w.padding_w, w.dilation_w});
  expect_sizes(&output, {input.size[0], input.size[1], output.size[H], output.size[W]});
  if (2 * int64_t(w.padding_h) > int64_t(w.kernel_h - 1) * w.dilation_h + 1 ||
      2 * int64_t(w.padding_w) > int64_t(w.kernel_w - 1) * w.dilation_w + 1) {
    fail(CASTOR_ARGUMENT, "the padding is more than half of the kernel");
  }
}

template <class T> T numbers_at(const int32_t *geometry) {
  expect_pointer(geometry, "geometry");
  T numbers;
  std::memcpy(&numbers, geometry, sizeof numbers);
  return numbers;
}

// b is packed in panels: (ceil(n / columns), k, columns).
void expect_packed(const Argument &a, const Argument &b, const Argument &out) {
  for (const Argument *matrix : {&a, &out}) expect_rank(*matrix, 2);
  expect_sizes(&a, {out.size[0], b.size[1]});
  const int64_t columns = b.size[0] * b.size[2];
  if (b.dtype != DType::f32 || !b.contiguous()) fail(CASTOR_DTYPE, "packed weights are contiguous float32");
  if (out.device != 0) fail(CASTOR_DEVICE, "only the CPU computes with packed weights");
  if (!is_float(a.dtype) || a.dtype == DType::f64 || !is_float(out.dtype) || out.dtype == DType::f64)
    fail(CASTOR_DTYPE, "products with packed weights are of float32, float16 and bfloat16");
  if (columns < out.size[1] || columns - b.size[2] >= out.size[1]) {
    fail(CASTOR_SHAPE, "%lld panels of %lld columns do not hold %lld", (long long)b.size[0], (long long)b.size[2],
         (long long)out.size[1]);
  }
}

}  // namespace

int32_t castor_matmul(castor_address a, castor_address b, castor_address bias, castor_address out, int32_t activation) {
  return guard("matmul", [&] {
    Call call;
    const Input x(call, "a", a), y(call, "b", b);
    const Optional<Input> shift(call, "bias", bias);
    const Output z(call, "out", out);
    expect_op(activation, activation_ops);
    expect_rank_at_least(z, 2);
    if (y.rank == 3 && z.rank == 2) {
      expect_packed(x, y, z);
      expect_sizes(shift, {z.size[1]});
      if (z.numel() > 0) call.kernels().matmul(x, y, shift, z, activation);
      return;
    }
    for (const Input *input : {&x, &y}) expect_same_batch(*input, z);
    const int row = z.rank - 2, column = z.rank - 1;
    if (x.size[column] != y.size[row] || x.size[row] != z.size[row] || y.size[column] != z.size[column]) {
      fail(CASTOR_SHAPE, "(%lld, %lld) times (%lld, %lld) does not give (%lld, %lld)", (long long)x.size[row], (long long)x.size[column],
           (long long)y.size[row], (long long)y.size[column], (long long)z.size[row], (long long)z.size[column]);
    }
    expect_sizes(shift, {z.size[column]});
    if (z.numel() > 0) call.kernels().matmul(x, y, shift, z, activation);
  });
}

int32_t castor_convolution(int32_t op, castor_address a, castor_address b, castor_address bias, castor_address out,
                           const int32_t *geometry) {
  return guard("convolution", [&] {
    Call call;
    const Input x(call, "a", a), y(call, "b", b);
    const Optional<Input> shift(call, "bias", bias);
    const Output z(call, "out", out);
    const auto g = numbers_at<Geometry>(geometry);
    expect_op(op, convolution_ops);
    switch (Convolution(op)) {
      case Convolution::forward: expect_convolution(x, y, z, g); break;
      case Convolution::inputGrad: expect_convolution(z, y, x, g); break;
      case Convolution::weightGrad: expect_convolution(x, z, y, g); break;
    }
    if (Convolution(op) != Convolution::forward) expect_presence(shift, false, "bias");
    expect_sizes(shift, {z.size[1]});
    if (z.numel() > 0) call.kernels().convolution(op, x, y, shift, z, g);
  });
}

int32_t castor_pool(int32_t op, castor_address a, castor_address out, castor_address indices, const int32_t *geometry) {
  return guard("pool", [&] {
    Call call;
    const Input x(call, "a", a);
    const Output y(call, "out", out);
    const Optional<Output> index(call, "indices", indices);
    const auto window = numbers_at<Window>(geometry);
    expect_op(op, pool_ops);
    expect_presence(index, Pool(op) == Pool::max, "indices");
    expect_pooling(x, y, window);
    expect_same_sizes(index, y);
    expect_dtype(index, DType::i64);
    if (y.numel() > 0) call.kernels().pool(op, x, y, index, window);
  });
}

int32_t castor_pool_backward(int32_t op, castor_address grad, castor_address indices, castor_address out, const int32_t *geometry) {
  return guard("pool_backward", [&] {
    Call call;
    const Input g(call, "grad", grad);
    const Optional<Input> index(call, "indices", indices);
    const Output x(call, "out", out);
    const auto window = numbers_at<Window>(geometry);
    expect_op(op, pool_ops);
    expect_presence(index, Pool(op) == Pool::max, "indices");
    expect_pooling(x, g, window);
    expect_same_sizes(index, g);
    expect_dtype(index, DType::i64);
    if (x.numel() > 0) call.kernels().pool_backward(op, g, index, x, window);
  });
}
