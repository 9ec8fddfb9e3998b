// 2-D convolutions as matrix products (implicit gemm): the forward pass and both gradients are each one product for each group, which reads
// the patches directly from the images.
#include <cstdlib>
#include <limits>
#include "../kernels/table.h"
#include "gemm_kernels.h"
#include "patches.h"

namespace castor::cuda {
namespace {

using Dimension = MixedRadixIndex::Dimension;
Dimension dimension(const View &v, int axis, int64_t step = 1) { return {v.size[axis], v.stride[axis] * step}; }

// The relation of pixels and taps along one axis of an image: pixel i and tap t of the window meet at the position first + i * step + t *
// tap_step. Tap t has the number kernel_first + t * kernel_step in the kernel.
struct Meeting { int64_t pixels, step, first, taps, tap_step, kernel_first, kernel_step; };

Meeting forward_meeting(int64_t pixels, int64_t kernel, int32_t stride, int32_t padding, int32_t dilation) {
  return {pixels, stride, -int64_t(padding), kernel, dilation, 0, 1};
}

// The relation for the pixels phase, phase + stride, ... of the input. They meet the same taps, and neighbours among them are one pixel of
// the output apart.
Meeting backward_meeting(int64_t size, int64_t kernel, int32_t stride, int32_t padding, int32_t dilation, int64_t phase) {
  Meeting all{(size - phase + stride - 1) / stride, 1, 0, 0, 0, 0, 0};
  for (int64_t tap = 0; tap < kernel; tap++) {
    const int64_t from = phase + padding - tap * dilation;
    if (from % stride) continue;
    if (all.taps == 0) all.first = from / stride, all.kernel_first = tap;
    if (all.taps == 1) all.tap_step = from / stride - all.first, all.kernel_step = tap - all.kernel_first;
    all.taps++;
  }
  return all;
}

// The pixels and the taps of images, as the two indices of an operand. The tap index includes the channel.
struct Patches { MixedRadixIndex pixel, tap; int32_t height, width; };

Patches patches_of(const View &image, int64_t channels, const Meeting &y, const Meeting &x) {
  const int64_t *stride = image.stride;
  Patches p{{dimension(image, 0), {y.pixels, y.step * stride[2]}, {x.pixels, x.step * stride[3]}},
            {{channels, stride[1]}, {y.taps, y.tap_step * stride[2]}, {x.taps, x.tap_step * stride[3]}},
            int32_t(image.size[2]), int32_t(image.size[3])};
  p.pixel.first = y.first * stride[2] + x.first * stride[3];
  p.pixel.first_y = int32_t(y.first), p.pixel.step_y = int32_t(y.step), p.tap.step_y = int32_t(y.tap_step);
  p.pixel.first_x = int32_t(x.first), p.pixel.step_x = int32_t(x.step), p.tap.step_x = int32_t(x.tap_step);
  return p;
}

// One convolution. All sizes are those of one group.
struct Conv {
  const View &input, &weight, &output;
  const Geometry &g;
  Context &context;
  int64_t in_channels = weight.size[1], out_channels = weight.size[0] / g.groups, images = input.size[0];

  Meeting forward_y() const { return forward_meeting(output.size[2], weight.size[2], g.stride_h, g.padding_h, g.dilation_h); }
  Meeting forward_x() const { return forward_meeting(output.size[3], weight.size[3], g.stride_w, g.padding_w, g.dilation_w); }

  static const char *data(const View &v) { return v.as<const char>(); }

  static bool is_plane(const View &v) { return v.stride[2] == v.size[3] * v.stride[3]; }

  // Whether each image is a plain matrix (channels, pixels) that the weights multiply.
  bool pointwise() const {
    constexpr int64_t LEAST = 64;  // pixels; smaller images are faster as a single product
    const auto large_plane = [](const View &v) { return is_plane(v) && v.size[2] * v.size[3] >= LEAST; };
    return weight.size[2] * weight.size[3] == 1 && g.stride_h * g.stride_w == 1 && g.padding_h + g.padding_w == 0 && large_plane(input) &&
           large_plane(output);
  }

  // The dimension of the images that one product runs over.
  Dimension together(const View &v) const { return {pointwise() ? 1 : images, v.stride[0]}; }

  // Computes one product for each group and, if `count` is not 1, for each image. group_step are the steps of a, b, c and the bias from
  // group to group.
  void multiply(int64_t m, int64_t n, int64_t k, const GemmOperand &a, const GemmOperand &b, const Result &c,
                const int64_t (&group_step)[4], int64_t count, const int64_t (&image_step)[4]) const {
    Loop<4> batch;
    append_dimension(batch, g.groups, group_step);
    append_dimension(batch, count, image_step);
    cuda::multiply(context, {checked_side(m), checked_side(n), checked_side(k), checked_side(g.groups * count), a, b, c,
                             make_layout(batch, batch.rank)});
  }

  // (m, channels taps) (channels taps, pixels): multiplies the patches of `from` by the weights, of which m rows make one group of the
  // pixels of `to`.
  void multiply_patches(const View &from, const View &to, int64_t channels, const Meeting &y, const Meeting &x, int64_t m,
                        const GemmOperand &a, const Result &c, int64_t bias_step) const {
    const int64_t pixels = y.pixels * x.pixels, apart = pointwise() ? images : 1;
    const Patches patches = patches_of(from, channels, y, x);
    GemmOperand b{data(from), from.dtype, patches.pixel, patches.tap, false, patches.height, patches.width};
    if (pointwise()) b.x = MixedRadixIndex(pixels, from.stride[3]), b.k = MixedRadixIndex(channels, from.stride[1]);
    multiply(m, images / apart * pixels, channels * y.taps * x.taps, a, b, c,
             {out_channels * weight.stride[0], channels * from.stride[1], m * to.stride[1], bias_step}, apart,
             {0, from.stride[0], to.stride[0], 0});
  }

  // ---- patches in memory -----------------------------------------------------------------------------------------------

  // The bytes of patches that are written at once and then read from the L2 cache, of 50 MB or more. Tests give a smaller number.
  static int64_t tile_bytes() {
    static const char *text = std::getenv("CASTOR_PATCH_BYTES");
    static const int64_t bytes = text ? std::atoll(text) : 30 << 20;
    return bytes;
  }
  static constexpr int64_t LARGEST = 1 << 26;  // bytes of those of one image, above which the product reads the images itself

  // Whether the patches are written to memory for a product (m, k) (k, pixels) by cuBLASLt, which is several times faster than reading them
  // from the images while multiplying. Below LEAST channels it is not: the patches are written and read too often for what is computed.
  // a and b are the factors, with k terms in each sum.
  bool in_memory(const View &a, const View &b, const View &result, int64_t m, int64_t channels, int64_t k, int64_t pixels) const {
    constexpr int64_t LEAST = 64;
    const bool dtypes = size_of(a.dtype) == 2 && a.dtype == b.dtype && (result.dtype == a.dtype || result.dtype == DType::f32);
    if (!dtypes || g.groups != 1 || pointwise() || !is_near(input) || !is_near(output)) return false;
    if (images * pixels * k * m == 0 || images * pixels > MOST_ELEMENTS || k * PatchRows::padded(pixels) * 2 > LARGEST) return false;
    return products_by_cublas(double(m) * double(images * pixels) * double(k), std::min(m, channels) >= LEAST);
  }
  // Whether the elements of a channel of an image are fewer than 2^31 apart.
  static bool is_near(const View &v) {
    return std::abs(v.stride[2]) * v.size[2] + std::abs(v.stride[3]) * v.size[3] <= std::numeric_limits<int32_t>::max();
  }
  int64_t images_at_once(int64_t k, int64_t pixels) const {
    return std::min(images, std::max<int64_t>(tile_bytes() / (k * PatchRows::padded(pixels) * 2), 1));
  }

  // Copies weights to contiguous rows.
  void copy_weights(char *to, const char *from, const int64_t (&size)[4], const int64_t (&stride)[4]) const {
    View source, target;
    source.data = const_cast<char *>(from), target.data = to;
    source.dtype = target.dtype = weight.dtype, source.device = target.device = context.id, source.rank = target.rank = 4;
    int64_t step = 1;
    for (int axis = 3; axis >= 0; axis--) {
      source.size[axis] = target.size[axis] = size[axis];
      source.stride[axis] = stride[axis], target.stride[axis] = step;
      step *= size[axis];
    }
    copy(source, target);
  }

  // multiply_patches() for a tile of images after the other. Each image of `to` is a plain matrix (m, pixels).
  void multiply_tiles(const View &from, const View &to, int64_t channels, const Meeting &y, const Meeting &x, int64_t m,
                      const char *weights, const Result &c) const {
    const int64_t pixels = y.pixels * x.pixels, k = channels * y.taps * x.taps, pitch = PatchRows::padded(pixels);
    const int64_t at_once = images_at_once(k, pixels);
    const Patches patches = patches_of(from, channels, y, x);
    const GemmOperand operand{data(from), from.dtype, patches.pixel, patches.tap, false, patches.height, patches.width};
    const Scratch memory(context, at_once * k * pitch * 2);
    for (int64_t first = 0; first < images; first += at_once) {
      const int64_t count = std::min(at_once, images - first);
      write_patches(context, operand, {first, count, pixels, channels, memory.as<char>(), k * pitch, pitch});
      const GemmOperand a{weights, weight.dtype, MixedRadixIndex(m, k), MixedRadixIndex(k, 1), true};
      const GemmOperand b{memory.as<const char>(), from.dtype, MixedRadixIndex(pixels, 1), MixedRadixIndex(k, pitch), false};
      Result tile = c;
      tile.data = at(to, first * to.stride[0]), tile.column = MixedRadixIndex(pixels, to.stride[3]);
      Loop<4> batch;
      append_dimension(batch, count, {0, k * pitch, to.stride[0], 0});
      cuda::multiply(context, {checked_side(m), checked_side(pixels), checked_side(k), int32_t(count), a, b, tile,
                               make_layout(batch, batch.rank)});
    }
  }

  bool forward_by_tiles(const Result &c) const {
    const int64_t *kernel = weight.size, k = in_channels * kernel[2] * kernel[3];
    const int64_t pixels = output.size[2] * output.size[3];
    if (!is_plane(output) || !in_memory(input, weight, output, out_channels, in_channels, k, pixels)) return false;
    const Scratch weights(context, out_channels * k * 2);
    copy_weights(weights.as<char>(), data(weight), {out_channels, in_channels, kernel[2], kernel[3]},
                 {weight.stride[0], weight.stride[1], weight.stride[2], weight.stride[3]});
    multiply_tiles(input, output, in_channels, forward_y(), forward_x(), out_channels, weights.as<const char>(), c);
    return true;
  }

  // With a stride, the gradient of each phase is not a plane of the image.
  bool input_grad_by_tiles(const Meeting &y, const Meeting &x, const Result &c) const {
    const int64_t k = out_channels * y.taps * x.taps, *stride = weight.stride;
    if (g.stride_h * g.stride_w != 1 || !is_plane(input)) return false;
    if (!in_memory(output, weight, input, in_channels, out_channels, k, y.pixels * x.pixels)) return false;
    const Scratch weights(context, in_channels * k * 2);
    copy_weights(weights.as<char>(), at(weight, y.kernel_first * stride[2] + x.kernel_first * stride[3]),
                 {in_channels, out_channels, y.taps, x.taps}, {stride[1], stride[0], y.kernel_step * stride[2], x.kernel_step * stride[3]});
    multiply_tiles(output, input, out_channels, y, x, in_channels, weights.as<const char>(), c);
    return true;
  }

  // The patches and the gradient of a tile of images are rows along the pixels of all these images. The products of the tiles are added.
  bool weight_grad_by_tiles(const GemmOperand &grad, const GemmOperand &patches, const Result &c, int64_t k) const {
    const int64_t pixels = output.size[2] * output.size[3];
    if (!in_memory(input, output, weight, out_channels, in_channels, k, pixels)) return false;
    const int64_t pitch = PatchRows::padded(pixels), at_once = images_at_once(k, pixels);
    const int64_t tiles = blocks_for(images, at_once), sums = out_channels * k * int64_t(sizeof(float));
    if (tiles * sums > 4 * LARGEST) return false;
    const int64_t row = at_once * pitch;
    const Scratch memory(context, k * row * 2), rows(context, out_channels * row * 2), partial(context, tiles * sums);
    GemmOperand by_pixel = patches;
    std::swap(by_pixel.x, by_pixel.k);
    GemmOperand grad_by_pixel = grad;
    grad_by_pixel.x = MixedRadixIndex(dimension(output, 0), dimension(output, 2), dimension(output, 3));
    grad_by_pixel.k = MixedRadixIndex(dimension(output, 1), {1, 0}, {1, 0});
    GemmProblem p{checked_side(out_channels), checked_side(k), 0, 1, grad, patches, c, Layout<4>{}};
    for (int64_t tile = 0; tile < tiles; tile++) {
      const int64_t first = tile * at_once, count = std::min(at_once, images - first);
      write_patches(context, by_pixel, {first, count, pixels, in_channels, memory.as<char>(), pitch, row});
      write_patches(context, grad_by_pixel, {first, count, pixels, out_channels, rows.as<char>(), pitch, row});
      p.k = checked_side(count * pitch);
      const auto operand = [&](const Scratch &from, int64_t size) {
        return GemmOperand{from.as<const char>(), input.dtype, MixedRadixIndex(size, row), MixedRadixIndex(p.k, 1), true};
      };
      p.a = operand(rows, out_channels), p.b = operand(memory, k);
      p.c = {partial.as<char>() + tile * sums, DType::f32, k, MixedRadixIndex(k, 1)};
      cuda::multiply(context, p);
    }
    p.c = c;
    add_parts(context, p, tiles, partial.as<void>());
    return true;
  }

  // ---- the three products ----------------------------------------------------------------------------------------------

  void forward(const View *bias) const {
    const GemmOperand a{data(weight), weight.dtype, MixedRadixIndex(out_channels, weight.stride[0]),
                   MixedRadixIndex::merged({dimension(weight, 1), dimension(weight, 2), dimension(weight, 3)}), true};
    Result c{output.as<char>(), output.dtype, output.stride[1],
             MixedRadixIndex::merged({together(output), dimension(output, 2), dimension(output, 3)})};
    if (bias) c.bias = data(*bias), c.bias_dtype = bias->dtype, c.bias_row = bias->stride[0];
    if (forward_by_tiles(c)) return;
    multiply_patches(input, output, in_channels, forward_y(), forward_x(), out_channels, a, c, out_channels * c.bias_row);
  }

  // One product for the pixels of each phase of the stride.
  void input_grad() const {
    for (int64_t y = 0; y < std::min<int64_t>(g.stride_h, input.size[2]); y++)
      for (int64_t x = 0; x < std::min<int64_t>(g.stride_w, input.size[3]); x++) input_grad(y, x);
  }

  void input_grad(int64_t phase_y, int64_t phase_x) const {
    const Meeting y = backward_meeting(input.size[2], weight.size[2], g.stride_h, g.padding_h, g.dilation_h, phase_y);
    const Meeting x = backward_meeting(input.size[3], weight.size[3], g.stride_w, g.padding_w, g.dilation_w, phase_x);
    GemmOperand a{data(weight), weight.dtype, MixedRadixIndex(in_channels, weight.stride[1]),
             MixedRadixIndex::merged({{out_channels, weight.stride[0]}, {y.taps, y.kernel_step * weight.stride[2]},
                             {x.taps, x.kernel_step * weight.stride[3]}}), false};
    a.k.first = y.kernel_first * weight.stride[2] + x.kernel_first * weight.stride[3];
    const Result c{
        at(input, phase_y * input.stride[2] + phase_x * input.stride[3]), input.dtype, input.stride[1],
        MixedRadixIndex::merged({together(input), {y.pixels, g.stride_h * input.stride[2]}, {x.pixels, g.stride_w * input.stride[3]}})};
    if (input_grad_by_tiles(y, x, c)) return;
    multiply_patches(output, input, out_channels, y, x, in_channels, a, c, 0);
  }

  // Whether the images of a pointwise convolution were multiplied one by one: grad_weight (O, C) is the sum of their grad (O, pixels)
  // input' (pixels, C).
  bool pointwise_weight_grad() const {
    if (!pointwise()) return false;
    const int64_t pixels = output.size[2] * output.size[3];
    const auto plane = [&](const View &v, int64_t channels) {
      return GemmOperand{data(v), v.dtype, MixedRadixIndex(channels, v.stride[1]), MixedRadixIndex(pixels, v.stride[3]), true};
    };
    Loop<4> batch;
    append_dimension(batch, g.groups, {out_channels * output.stride[1], in_channels * input.stride[1], out_channels * weight.stride[0], 0});
    const GemmProblem product{checked_side(out_channels), checked_side(in_channels), checked_side(pixels), g.groups,
                              plane(output, out_channels), plane(input, in_channels),
                              {weight.as<char>(), weight.dtype, weight.stride[0], MixedRadixIndex(in_channels, weight.stride[1])},
                              make_layout(batch, batch.rank)};
    return multiply_parts(context, product, images, output.stride[0], input.stride[0]);
  }

  // grad_weight (O, C taps) = grad (O, pixels) patches' (pixels, C taps)
  void weight_grad() const {
    if (pointwise_weight_grad()) return;
    const Patches patches = patches_of(input, in_channels, forward_y(), forward_x());
    const GemmOperand a{data(output), output.dtype, MixedRadixIndex(out_channels, output.stride[1]),
                   MixedRadixIndex::merged({dimension(output, 0), dimension(output, 2), dimension(output, 3)}), true};
    const GemmOperand b{data(input), input.dtype, patches.tap, patches.pixel, true, patches.height, patches.width};
    const Result c{weight.as<char>(), weight.dtype, weight.stride[0],
                   MixedRadixIndex::merged({dimension(weight, 1), dimension(weight, 2), dimension(weight, 3)})};
    if (weight_grad_by_tiles(a, b, c, in_channels * weight.size[2] * weight.size[3])) return;
    multiply(out_channels, in_channels * weight.size[2] * weight.size[3], images * output.size[2] * output.size[3], a, b, c,
             {out_channels * output.stride[1], in_channels * input.stride[1], out_channels * weight.stride[0], 0}, 1, {0, 0, 0, 0});
  }
};

}  // namespace

void convolution(int op, const View &a, const View &b, const View *bias, const View &out, const Geometry &g) {
  Context &context = context_of(out);
  switch (Convolution(op)) {
    case Convolution::forward: return Conv{a, b, out, g, context}.forward(bias);
    case Convolution::inputGrad: return Conv{out, b, a, g, context}.input_grad();
    case Convolution::weightGrad: return Conv{a, out, b, g, context}.weight_grad();
  }
}

}  // namespace castor::cuda
