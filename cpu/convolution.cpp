// All three products of a 2-D convolution are one gemm a group whose operand is read from the image while it is packed:
// no unfolded copy is made. A pixel is (image, y, x) of a grid, a tap is one place of the window.
#include "gemm.h"
#include "kernels.h"
#include "window.h"

namespace castor::CASTOR_ISA {
namespace {

struct Tap { Axis y, x; };

struct Grid { int64_t images, height, width, step_y, step_x; };

// Channels [0, channels) of a view (N, C, H, W) from `channel` on.
struct Planes {
  const View &view;
  int64_t channel;
  const char *row(int64_t n, int64_t c, int64_t y) const {
    return at(view, n * view.stride[0] + (channel + c) * view.stride[1] + y * view.stride[2]);
  }
};

// Element (channel and tap, pixel): lines run along the pixels, zero outside the image.
template <class T> class Patches final : public Operand<T> {
 public:
  Patches(bool along_k, const Planes &planes, const Grid &grid, const std::vector<Tap> &taps)
      : Operand<T>(along_k), planes_(planes), grid_(grid), taps_(taps), step_(grid.step_x * planes.view.stride[3]) {
    // A lone tap inside the image everywhere reads whole planes as if they were rows.
    const int64_t row = grid.step_y * planes.view.stride[2];
    if (taps.size() == 1 && taps[0].y.all(grid.height) && taps[0].x.all(grid.width) && row == grid.width * step_) {
      grid_.width *= grid_.height;
      grid_.height = 1;
      taps_[0].x.end = grid_.width;
    }
  }

  const T *line(T *scratch, int64_t fixed, int64_t pixel, int64_t count) const override {
    const Tap &tap = taps_[fixed % int64_t(taps_.size())];
    const int64_t channel = fixed / int64_t(taps_.size());
    int64_t x = pixel % grid_.width, y = pixel / grid_.width % grid_.height, n = pixel / grid_.width / grid_.height;
    if (inside(tap, y, x, count)) return load_or_borrow(scratch, source(tap, channel, n, y, x), dtype(), step_, count);
    for (T *to = scratch; count > 0; x = 0) {
      int64_t run = std::min(count, grid_.width - x);
      segment(to, tap, channel, n, y, x, run);
      to += run, count -= run;
      if (++y == grid_.height) y = 0, n++;
    }
    return scratch;
  }

 private:
  Planes planes_;
  Grid grid_;
  std::vector<Tap> taps_;
  int64_t step_;

  DType dtype() const { return planes_.view.dtype; }
  static bool inside(const Tap &tap, int64_t y, int64_t x, int64_t count) {
    return y >= tap.y.begin && y < tap.y.end && x >= tap.x.begin && x + count <= tap.x.end;
  }
  const char *source(const Tap &tap, int64_t channel, int64_t n, int64_t y, int64_t x) const {
    return planes_.row(n, channel, y * grid_.step_y + tap.y.shift) + (x * grid_.step_x + tap.x.shift) * planes_.view.stride[3] * size_of(dtype());
  }
  void segment(T *to, const Tap &tap, int64_t channel, int64_t n, int64_t y, int64_t x, int64_t count) const {
    const bool row = y >= tap.y.begin && y < tap.y.end;
    const int64_t begin = row ? std::min(std::max(x, tap.x.begin), x + count) : x + count, end = std::max(begin, std::min(x + count, tap.x.end));
    std::fill(to, to + (begin - x), T(0));
    if (begin < end) load(to + (begin - x), source(tap, channel, n, y, begin), dtype(), step_, end - begin);
    std::fill(to + (end - x), to + count, T(0));
  }
};

// Weights (O, C, kH, kW) as a product's left operand with k = (channel, tap): lines run along its rows.
template <class T> class Weights final : public Operand<T> {
 public:
  Weights(const View &view, int64_t offset, int64_t row, int64_t channel, std::vector<int64_t> taps)
      : Operand<T>(false), view_(view), offset_(offset), row_(row), channel_(channel), taps_(std::move(taps)) {}
  const T *line(T *scratch, int64_t fixed, int64_t from, int64_t count) const override {
    const int64_t taps = int64_t(taps_.size());
    const int64_t offset = offset_ + fixed / taps * channel_ + taps_[fixed % taps] + from * row_;
    return load_or_borrow(scratch, at(view_, offset), view_.dtype, row_, count);
  }

 private:
  const View &view_;
  int64_t offset_, row_, channel_;
  std::vector<int64_t> taps_;  // element offsets
};

// One convolution: sizes are those of a group.
template <class T> struct Conv {
  const View &input, &weight, &output;
  const Geometry &g;
  int64_t in_channels = weight.size[1], out_channels = weight.size[0] / g.groups;
  int64_t images = input.size[0], taps = weight.size[2] * weight.size[3];
  using Digit = typename Result<T>::Digit;

  std::vector<Tap> window() const {
    std::vector<Tap> list;
    for (int64_t y = 0; y < weight.size[2]; y++)
      for (int64_t x = 0; x < weight.size[3]; x++)
        list.push_back({Axis(y * g.dilation_h - g.padding_h, g.stride_h, output.size[2], input.size[2]),
                        Axis(x * g.dilation_w - g.padding_w, g.stride_w, output.size[3], input.size[3])});
    return list;
  }
  Grid grid() const { return {images, output.size[2], output.size[3], g.stride_h, g.stride_w}; }
  static Digit digit(const View &v, int axis) { return {v.size[axis], v.stride[axis]}; }

  // (O, C taps) (C taps, N oH oW)
  void forward(int64_t group, const T *bias, bool alone) const {
    const int64_t o = group * out_channels;
    Result<T> c(at(output, o * output.stride[1]), output.dtype, output.stride[1], digit(output, 0), digit(output, 2), digit(output, 3));
    c.bias = bias ? bias + o : nullptr;
    c.bias_row = 1;
    c.alone = alone;
    const Patches<T> patches(false, {input, group * in_channels}, grid(), window());
    const int64_t pixels = images * output.size[2] * output.size[3], k = in_channels * taps;
    if (weight_is_matrix()) {
      const Strided<T> rows({at(weight, o * weight.stride[0]), weight.dtype, weight.stride[0], weight.stride[3]}, weight.stride[0], weight.stride[3]);
      return gemm<T>(out_channels, pixels, k, rows, patches, c);
    }
    std::vector<int64_t> offsets;
    for (int64_t y = 0; y < weight.size[2]; y++)
      for (int64_t x = 0; x < weight.size[3]; x++) offsets.push_back(y * weight.stride[2] + x * weight.stride[3]);
    gemm<T>(out_channels, pixels, k, Weights<T>(weight, o * weight.stride[0], weight.stride[0], weight.stride[1], offsets), patches, c);
  }

  bool weight_is_matrix() const {
    return weight.stride[2] == weight.size[3] * weight.stride[3] && weight.stride[1] == weight.size[2] * weight.stride[2];
  }

  // Pixels whose coordinates leave the same remainders by the stride meet the same taps, at a step of one: (C, O taps) (O taps, N H W).
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
        taps.push_back({Axis(from_y / g.stride_h, 1, grid.height, output.size[2]), Axis(from_x / g.stride_w, 1, grid.width, output.size[3])});
        offsets.push_back(i * weight.stride[2] + j * weight.stride[3]);
      }
    const int64_t o = group * out_channels, offset = group * in_channels * input.stride[1] + y * input.stride[2] + x * input.stride[3];
    Result<T> c(at(input, offset), input.dtype, input.stride[1], digit(input, 0), {grid.height, g.stride_h * input.stride[2]},
                      {grid.width, g.stride_w * input.stride[3]});
    c.alone = alone;
    gemm<T>(in_channels, images * grid.height * grid.width, out_channels * int64_t(taps.size()),
            Weights<T>(weight, o * weight.stride[0], weight.stride[1], weight.stride[0], offsets), Patches<T>(false, {output, o}, grid, taps), c);
  }

  // (O, N oH oW) (N oH oW, C taps)
  void weight_grad(int64_t group, bool alone) const {
    const int64_t o = group * out_channels;
    const Grid whole{images, output.size[2], output.size[3], 1, 1};
    const Tap here{Axis(0, 1, whole.height, whole.height), Axis(0, 1, whole.width, whole.width)};
    Result<T> c(at(weight, o * weight.stride[0]), weight.dtype, weight.stride[0], digit(weight, 1), digit(weight, 2), digit(weight, 3));
    c.alone = alone;
    gemm<T>(out_channels, in_channels * taps, images * whole.height * whole.width, Patches<T>(true, {output, o}, whole, {here}),
            Patches<T>(true, {input, group * in_channels}, grid(), window()), c);
  }

  int64_t work() const { return out_channels * in_channels * taps * images * output.size[2] * output.size[3]; }
};

template <class T> void run(Convolution op, const View &a, const View &b, const View *bias, const View &out, const Geometry &g) {
  const bool forward = op == Convolution::forward;
  const Conv<T> conv{op == Convolution::inputGrad ? out : a, op == Convolution::weightGrad ? out : b,
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
  with_compute_type(compute_type(a.dtype, b.dtype), [&](auto zero) { run<decltype(zero)>(Convolution(op), a, b, bias, out, geometry); });
}

}  // namespace castor::CASTOR_ISA
