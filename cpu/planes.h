// Products of few rows, as those of depthwise convolutions are, would spend their time unfolding the image. Here each channel is
// copied once, with its padding, and a tap is an offset in the copy: then all pixels of a tap are one run.
#pragma once
#include "gemm_finish.h"
#include "gemm_kernel.h"
#include "gemm_pack.h"
#include "patches.h"

namespace castor::CASTOR_ISA {

// A channel as the taps see it. Rows and columns that lie a step apart are neighbours in the copy, so it has a part for each
// remainder by the steps: [y % step][x % step][y / step][x / step].
class Padded {
 public:
  int64_t pitch, size;          // of a row, of the whole
  std::vector<int64_t> offset;  // of each tap

  Padded(const Grid &grid, const std::vector<Tap> &taps, int64_t slack) : grid_(grid), top_(taps[0].y.shift), left_(taps[0].x.shift) {
    int64_t bottom = top_, right = left_;
    for (const Tap &tap : taps) {
      top_ = std::min(top_, tap.y.shift), bottom = std::max(bottom, tap.y.shift);
      left_ = std::min(left_, tap.x.shift), right = std::max(right, tap.x.shift);
    }
    rows_ = grid.height + (bottom - top_) / grid.step_y;
    pitch = grid.width + (right - left_) / grid.step_x;
    size = grid.step_y * grid.step_x * rows_ * pitch + pitch + slack;
    for (const Tap &tap : taps) offset.push_back(place(tap.y.shift - top_, tap.x.shift - left_));
  }

  template <class T> void load(T *to, const Source &source, int64_t n, int64_t channel, Loader<T> load) const {
    const View &v = source.view;
    std::fill_n(to, size, T(0));
    const int64_t width = std::min(v.size[3], left_ + pitch * grid_.step_x);
    for (int64_t y = std::max<int64_t>(0, top_); y < std::min(v.size[2], top_ + rows_ * grid_.step_y); y++)
      for (int64_t x = std::max<int64_t>(0, left_), part = 0; part < grid_.step_x && x < width; x++, part++)
        load(to + place(y - top_, x - left_), source.row(n, channel, y) + x * v.stride[3] * size_of(v.dtype), grid_.step_x * v.stride[3],
             (width - x + grid_.step_x - 1) / grid_.step_x);
  }

 private:
  const Grid &grid_;
  int64_t top_, left_, rows_;

  int64_t place(int64_t y, int64_t x) const {
    const int64_t part = y % grid_.step_y * grid_.step_x + x % grid_.step_x;
    return (part * rows_ + y / grid_.step_y) * pitch + x / grid_.step_x;
  }
};

constexpr int FEW = 4;  // rows that are summed together

// c (FEW, n) += a (taps, FEW) b, where tap t of column j is b[offset[t] + j]. ld: row stride of c. n is a multiple of 2 LANES.
template <class T> void gather_product(int64_t taps, const T *a, const T *b, const int64_t *offset, T *c, int64_t ld, int64_t n) {
  typedef Lane<T> Vector __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(T)), may_alias));
  for (int64_t j = 0; j < n; j += 2 * LANES<T>) {
    Vector sum[FEW][2];
#pragma GCC unroll 4
    for (int i = 0; i < FEW; i++)
      for (int v = 0; v < 2; v++) sum[i][v] = *reinterpret_cast<const Vector *>(c + i * ld + j + v * LANES<T>);
    for (int64_t t = 0; t < taps; t++) {
      const T *at = b + offset[t] + j;
      const Vector right[2] = {*reinterpret_cast<const Vector *>(at), *reinterpret_cast<const Vector *>(at + LANES<T>)};
#pragma GCC unroll 4
      for (int i = 0; i < FEW; i++) {
        Vector left = Lane<T>(a[t * FEW + i]) - Vector{};
        for (int v = 0; v < 2; v++) sum[i][v] += left * right[v];
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < FEW; i++)
      for (int v = 0; v < 2; v++) *reinterpret_cast<Vector *>(c + i * ld + j + v * LANES<T>) = sum[i][v];
  }
}

// C (m, pixels) = A (m, channels taps) patches.
template <class T> void planes_product(int64_t m, int64_t channels, const Operand<T> &a, const Source &source, const Grid &grid,
                                       const std::vector<Tap> &taps, const Result<T> &c) {
  constexpr int64_t RUN = 2 * LANES<T>;
  const Padded padded(grid, taps, RUN);
  const int64_t k = channels * int64_t(taps.size()), blocks = (m + FEW - 1) / FEW;
  const int64_t length = (grid.height * padded.pitch + RUN - 1) / RUN * RUN;
  const Loader<T> loader = CASTOR_ISA::loader<T>(source.view.dtype);
  Scratch<T> weights(blocks * FEW * k);
  pack<T, FEW>(weights, a, 0, m, 0, k);
  parallel_for(grid.images, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> plane(padded.size), sums(blocks * FEW * length);
    for (int64_t n = begin; n < end; n++) {
      std::fill_n(static_cast<T *>(sums), blocks * FEW * length, T(0));
      for (int64_t channel = 0; channel < channels; channel++) {
        padded.load<T>(plane, source, n, channel, loader);
        for (int64_t i = 0; i < blocks; i++)
          gather_product<T>(taps.size(), weights + (i * k + channel * int64_t(taps.size())) * FEW, plane, padded.offset.data(),
                            sums + i * FEW * length, length, length);
      }
      for (int64_t i = 0; i < m; i++)
        for (int64_t y = 0; y < grid.height; y++) {
          T *row = sums + i * length + y * padded.pitch;
          const int64_t pixel = (n * grid.height + y) * grid.width;
          finish(row, grid.width, c, i, pixel);
          store_line(c, i, pixel, row, grid.width);
        }
    }
  });
}

}  // namespace castor::CASTOR_ISA
