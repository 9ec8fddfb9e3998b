// 2-D convolutions as matrix products. The forward pass and both gradients are each one gemm for each group. One operand is the image, read
// as patches (see patches.h), or as padded planes (see planes.h) where that is faster.
#include "../kernels/table.h"
#include "planes.h"

namespace castor::CASTOR_ISA {
namespace {

// Whether copying padded planes is faster than packing patches, where C has m rows and the grid has so many lines of pixels. The limits
// were measured. Planes are multiplied by multiply-adds and divided among the threads by lines: where there is another unit, or where lines
// are few, only products of few rows gain from them. The number of threads must not decide, because the two ways round differently.
template <class Unit> bool few_rows(int64_t m, int64_t k, int64_t lines) {
  constexpr bool multiply_add = std::is_same_v<Unit, Fma<typename Unit::Sum>>;
  if (m > k) return false;
  return m <= 16 || (multiply_add && lines >= 128 && m * k <= int64_t(1) << 20);
}

// One convolution. All sizes are those of one group.
template <class Unit> struct Conv {
  using T = typename Unit::Sum;
  using Line = typename Unit::Line;
  const View &input, &weight, &output;
  const Geometry &g;
  int64_t in_channels = weight.size[1], out_channels = weight.size[0] / g.groups;
  int64_t images = input.size[0], taps = weight.size[2] * weight.size[3];
  using Dimension = typename Result<T>::Dimension;

  std::vector<Tap> window() const {
    std::vector<Tap> list;
    for (int64_t y = 0; y < weight.size[2]; y++)
      for (int64_t x = 0; x < weight.size[3]; x++)
        list.push_back({Axis(y * g.dilation_h - g.padding_h, g.stride_h, output.size[2], input.size[2]),
                        Axis(x * g.dilation_w - g.padding_w, g.stride_w, output.size[3], input.size[3])});
    return list;
  }
  Grid grid() const { return {images, output.size[2], output.size[3], g.stride_h, g.stride_w}; }
  static Dimension dimension(const View &v, int axis) { return {v.size[axis], v.stride[axis]}; }

  // Multiplies A (m, k) by patches (k, pixels), where k runs over channels and taps.
  static void multiply(int64_t m, int64_t channels, const Operand<Line> &a, const Source &source, const Grid &grid,
                       const std::vector<Tap> &taps, const Result<T> &c) {
    if (taps.size() > 1 && few_rows<Unit>(m, channels * int64_t(taps.size()), grid.images * grid.height))
      return planes_product<T>(m, channels, widened(a), source, grid, taps, c);
    gemm<Unit>(m, grid.images * grid.height * grid.width, channels * int64_t(taps.size()), a, Patches<Line>(false, source, grid, taps), c);
  }

  // output (O, N oH oW) = weight (O, C taps) patches (C taps, N oH oW)
  void forward(int64_t group, const T *bias, bool alone) const {
    const int64_t o = group * out_channels;
    Result<T> c(at(output, o * output.stride[1]), output.dtype, output.stride[1], dimension(output, 0), dimension(output, 2),
                dimension(output, 3));
    c.bias = bias ? bias + o : nullptr;
    c.bias_row = 1;
    c.alone = alone;
    std::vector<int64_t> offsets;
    for (int64_t y = 0; y < weight.size[2]; y++)
      for (int64_t x = 0; x < weight.size[3]; x++) offsets.push_back(y * weight.stride[2] + x * weight.stride[3]);
    const Strided<Line> rows({at(weight, o * weight.stride[0]), weight.dtype, weight.stride[0], weight.stride[3]}, weight.stride[0],
                          weight.stride[3]);
    const Weights<Line> taps(weight, o * weight.stride[0], weight.stride[0], weight.stride[1], offsets);
    const Operand<Line> &a = weight_is_matrix() ? static_cast<const Operand<Line> &>(rows) : taps;
    multiply(out_channels, in_channels, a, {input, group * in_channels}, grid(), window(), c);
  }

  bool weight_is_matrix() const {
    return weight.stride[2] == weight.size[3] * weight.stride[3] && weight.stride[1] == weight.size[2] * weight.stride[2];
  }

  // The gradient of the input: (C, N H W) = weight (C, O taps) patches (O taps, N H W). Pixels whose coordinates have the same remainders
  // modulo the stride are reached by the same taps, and each such set of pixels is a product of stride 1.
  void input_grad(int64_t group, bool alone) const {
    for (int64_t y = 0; y < std::min<int64_t>(g.stride_h, input.size[2]); y++)
      for (int64_t x = 0; x < std::min<int64_t>(g.stride_w, input.size[3]); x++) input_grad(group, y, x, alone);
  }

  void input_grad(int64_t group, int64_t y, int64_t x, bool alone) const {
    const Grid grid{images, (input.size[2] - y + g.stride_h - 1) / g.stride_h, (input.size[3] - x + g.stride_w - 1) / g.stride_w, 1, 1};
    std::vector<Tap> taps;
    std::vector<int64_t> offsets;
    for (int64_t i = 0; i < weight.size[2]; i++)
      for (int64_t j = 0; j < weight.size[3]; j++) {
        int64_t from_y = y + g.padding_h - i * g.dilation_h, from_x = x + g.padding_w - j * g.dilation_w;
        if (from_y % g.stride_h || from_x % g.stride_w) continue;
        taps.push_back({Axis(from_y / g.stride_h, 1, grid.height, output.size[2]),
                        Axis(from_x / g.stride_w, 1, grid.width, output.size[3])});
        offsets.push_back(i * weight.stride[2] + j * weight.stride[3]);
      }
    const int64_t o = group * out_channels, offset = group * in_channels * input.stride[1] + y * input.stride[2] + x * input.stride[3];
    Result<T> c(at(input, offset), input.dtype, input.stride[1], dimension(input, 0), {grid.height, g.stride_h * input.stride[2]},
                      {grid.width, g.stride_w * input.stride[3]});
    c.alone = alone;
    const Weights<Line> a(weight, o * weight.stride[0], weight.stride[1], weight.stride[0], offsets);
    multiply(in_channels, out_channels, a, {output, o}, grid, taps, c);
  }

  // The gradient of the weight: (O, C taps) = grad (O, N oH oW) patches (N oH oW, C taps)
  void weight_grad(int64_t group, bool alone) const {
    const int64_t o = group * out_channels;
    const Grid whole{images, output.size[2], output.size[3], 1, 1};
    const Tap here{Axis(0, 1, whole.height, whole.height), Axis(0, 1, whole.width, whole.width)};
    Result<T> c(at(weight, o * weight.stride[0]), weight.dtype, weight.stride[0], dimension(weight, 1), dimension(weight, 2),
                dimension(weight, 3));
    c.alone = alone;
    const Source from{input, group * in_channels}, grad{output, o};
    if (taps > 1 && out_channels <= 8) return PlanesWeightGrad<T>(out_channels, grad, from, grid(), window()).run(in_channels, c);
    gemm<Unit>(out_channels, in_channels * taps, images * whole.height * whole.width, Patches<Line>(true, grad, whole, {here}),
            Patches<Line>(true, from, grid(), window()), c);
  }

  int64_t work() const { return out_channels * in_channels * taps * images * output.size[2] * output.size[3]; }
};

template <class Unit> void run(Convolution op, const View &a, const View &b, const View *bias, const View &out, const Geometry &g) {
  using T = typename Unit::Sum;
  const bool forward = op == Convolution::forward;
  const Conv<Unit> conv{op == Convolution::inputGrad ? out : a, op == Convolution::weightGrad ? out : b,
                     forward ? out : op == Convolution::inputGrad ? a : b, g};
  Scratch<T> addend(bias ? bias->size[0] : 0);
  if (bias) load<T>(addend, bias->data, bias->dtype, bias->stride[0], bias->size[0]);
  for_products(g.groups, conv.work(), [&](int64_t group, bool alone) {
    if (forward) conv.forward(group, bias ? static_cast<T *>(addend) : nullptr, alone);
    else if (op == Convolution::inputGrad) conv.input_grad(group, alone);
    else conv.weight_grad(group, alone);
  });
}

}  // namespace

void convolution(int op, const View &a, const View &b, const View *bias, const View &out, const Geometry &geometry) {
  with_unit(product_type(a.dtype, b.dtype), [&](auto unit) { run<decltype(unit)>(Convolution(op), a, b, bias, out, geometry); });
}

}  // namespace castor::CASTOR_ISA
