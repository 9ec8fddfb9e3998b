// Products of few rows, such as those of depthwise convolutions, would spend much of their time on packing patches. Here each channel is
// copied once, with its padding, and each tap is an offset in the copy, so that all pixels of a tap are contiguous.
#pragma once
#include "gemm_epilogue.h"
#include "gemm_kernel.h"
#include "patches.h"
#include "vectors.h"

namespace castor::CASTOR_ISA {

constexpr int64_t BAND_OF_PLANES = int64_t(1) << 16;  // elements of the planes of all channels, so that they stay in the L2 cache

// Rows of the grid with all the pixels of one channel that their taps read. Image rows and columns that are a stride apart are neighbours
// in the copy, which has a part for each remainder modulo the strides: [y % step][x % step][y / step][x / step].
class Padded {
 public:
  int64_t height, pitch;        // of the grid's rows in the copy, in elements
  int64_t size;                 // elements
  std::vector<int64_t> offset;  // of the first pixel of each tap

  // Bands are of even height, at least a row, and have at most `band` elements. There are at least `bands` of them if there are as many
  // rows.
  Padded(const Grid &grid, const std::vector<Tap> &taps, int64_t slack, int64_t band = BAND, int64_t bands = 1)
      : step_y_(grid.step_y), step_x_(grid.step_x), top_(taps[0].y.shift), left_(taps[0].x.shift) {
    int64_t bottom = top_, right = left_;
    for (const Tap &tap : taps) {
      top_ = std::min(top_, tap.y.shift), bottom = std::max(bottom, tap.y.shift);
      left_ = std::min(left_, tap.x.shift), right = std::max(right, tap.x.shift);
    }
    pitch = grid.width + (right - left_) / step_x_;
    const int64_t fit = ceil_div(grid.height * pitch, std::max(band, int64_t(1)));
    height = ceil_div(grid.height, std::min(grid.height, std::max(fit, bands)));
    rows_ = height + (bottom - top_) / step_y_;
    size = (step_y_ * step_x_ * rows_ + 1) * pitch + slack;
    for (const Tap &tap : taps) offset.push_back(place(tap.y.shift - top_, tap.x.shift - left_));
  }

  // Loads the rows of the grid from `first` on.
  template <class T> void load(T *to, const Source &source, int64_t n, int64_t channel, int64_t first, Loader<T> load) const {
    const View &v = source.view;
    std::fill_n(to, size, T(0));
    const int64_t top = first * step_y_ + top_, width = std::min(v.size[3], left_ + pitch * step_x_);
    for (int64_t y = std::max<int64_t>(0, top); y < std::min(v.size[2], top + rows_ * step_y_); y++)
      for (int64_t x = std::max<int64_t>(0, left_), part = 0; part < step_x_ && x < width; x++, part++)
        load(to + place(y - top, x - left_), source.row(n, channel, y) + x * v.stride[3] * size_of(v.dtype), step_x_ * v.stride[3],
             ceil_div(width - x, step_x_));
  }

 private:
  static constexpr int64_t BAND = 4096;  // elements, so that the part of the copy in use stays in the L1 cache
  int64_t step_y_, step_x_, top_, left_, rows_;

  int64_t place(int64_t y, int64_t x) const {
    return ((y % step_y_ * step_x_ + x % step_x_) * rows_ + y / step_y_) * pitch + x / step_x_;
  }
};

// C (m, pixels) = A (m, channels taps) patches. The planes of all channels of a band of rows are copied, and each tap of each channel is a
// row of B in the copy.
template <class T> void planes_product(int64_t m, int64_t channels, const Operand<T> &a, const Source &source, const Grid &grid,
                                       const std::vector<Tap> &taps, const Result<T> &c) {
  using Unit = Fma<T>;
  const int64_t wanted = c.alone || thread_count() == 1 ? 1 : 3 * thread_count();
  const Padded padded(grid, taps, NR<Unit>, BAND_OF_PLANES / channels, ceil_div(wanted, std::max(grid.images, int64_t(1))));
  const int64_t count = taps.size(), k = channels * count, bands = ceil_div(grid.height, padded.height);
  const int64_t length = round_up(padded.height * padded.pitch, NR<Unit>);
  const Loader<T> load = loader<T>(source.view.dtype);
  std::vector<int64_t> offset(k);
  for (int64_t p = 0; p < k; p++) offset[p] = p / count * padded.size + padded.offset[p % count];
  Scratch<T> weights(round_up(m, MR) * k);
  pack<T, MR>(weights, a, 0, m, 0, k);
  parallel_for(grid.images * bands, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> planes(channels * padded.size), sums(m * length);
    for (int64_t task = begin; task < end; task++) {
      const int64_t n = task / bands, first = task % bands * padded.height, height = std::min(padded.height, grid.height - first);
      for (int64_t channel = 0; channel < channels; channel++)
        padded.load<T>(planes + channel * padded.size, source, n, channel, first, load);
      for (int64_t j = 0; j < height * padded.pitch; j += NR<Unit>)
        for (int64_t i = 0; i < m; i += MR)
          micros<Unit, RowsAt>[std::min<int64_t>(MR, m - i) * VECTORS - 1](k, {weights + i * k, 1, MR}, planes + j, {offset.data()},
                                                                           sums + i * length + j, length, false, nullptr, 0);
      for (int64_t i = 0; i < m; i++)
        for (int64_t y = 0; y < height; y++) {
          T *row = sums + i * length + y * padded.pitch;
          const int64_t pixel = (n * grid.height + first + y) * grid.width;
          apply_epilogue(row, grid.width, c, i, pixel);
          store_line(c, i, pixel, row, grid.width);
        }
    }
  });
}

// The gradient of the weight of one group: C (m, channels taps) = A (m, pixels) patches'.
template <class T> class PlanesWeightGrad {
 public:
  PlanesWeightGrad(int64_t m, const Source &grad, const Source &source, const Grid &grid, const std::vector<Tap> &taps)
      : m_(m), grad_(grad), source_(source), grid_(grid), padded_(grid, taps, LANES<T>), taps_(taps.size()),
        length_(round_up(padded_.height * padded_.pitch, LANES<T>)) {}

  void run(int64_t channels, const Result<T> &c) const {
    parallel_for(channels, 1, [&](int64_t begin, int64_t end) {
      for (int64_t channel = begin; channel < end; channel++) row(channel, c);
    });
  }

 private:
  int64_t m_;
  const Source &grad_, &source_;
  const Grid &grid_;
  Padded padded_;
  int64_t taps_, length_;
  typedef Lane<T> Vector __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(T)), may_alias));

  // All taps of one channel. The sums stay in vector lanes until all images have been added.
  void row(int64_t channel, const Result<T> &c) const {
    const Loader<T> load = loader<T>(source_.view.dtype), load_grad = loader<T>(grad_.view.dtype);
    Scratch<T> plane(padded_.size), grads(m_ * length_), inside(length_), lanes(m_ * taps_ * LANES<T>);
    std::fill_n(static_cast<T *>(lanes), m_ * taps_ * LANES<T>, T(0));
    for (int64_t n = 0; n < grid_.images; n++)
      for (int64_t first = 0; first < grid_.height; first += padded_.height) {
        const int64_t rows = std::min(padded_.height, grid_.height - first);
        padded_.load<T>(plane, source_, n, channel, first, load);
        mark(inside, rows);
        for (int64_t i = 0; i < m_; i++) {
          load_grads(grads + i * length_, n, i, first, rows, load_grad);
          for (int64_t t = 0; t < taps_; t++)
            dot(lanes + (i * taps_ + t) * LANES<T>, grads + i * length_, plane + padded_.offset[t], inside);
        }
      }
    for (int64_t i = 0; i < m_; i++)
      for (int64_t t = 0; t < taps_; t++) {
        T sum = fold_vectors(lanes + (i * taps_ + t) * LANES<T>, LANES<T>, [](auto a, auto b) { return a + b; });
        store_line(c, i, channel * taps_ + t, &sum, 1);
      }
  }

  // Marks the elements of the copy that are pixels of the grid: the last band may have fewer rows than the others.
  void mark(T *inside, int64_t rows) const {
    std::fill_n(inside, length_, T(0));
    for (int64_t y = 0; y < rows; y++) std::fill_n(inside + y * padded_.pitch, grid_.width, T(1));
  }

  void load_grads(T *to, int64_t n, int64_t i, int64_t first, int64_t rows, Loader<T> load) const {
    std::fill_n(to, length_, T(0));
    for (int64_t y = 0; y < rows; y++)
      load(to + y * padded_.pitch, grad_.row(n, i, first + y), grad_.view.stride[3], grid_.width);
  }

  // Elements of the copy between and below the rows of the grid may be infinite. They are masked, because even a gradient of 0 times
  // infinity is NaN.
  void dot(T *sum, const T *grads, const T *plane, const T *inside) const {
    Vector total = *reinterpret_cast<Vector *>(sum);
    for (int64_t x = 0; x < length_; x += LANES<T>) {
      const Vector here = *reinterpret_cast<const Vector *>(inside + x), value = *reinterpret_cast<const Vector *>(plane + x);
      total += *reinterpret_cast<const Vector *>(grads + x) * (here != 0 ? value : Vector{});
    }
    *reinterpret_cast<Vector *>(sum) = total;
  }
};

}  // namespace castor::CASTOR_ISA
