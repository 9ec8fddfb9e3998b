// Images as operands of a matrix product. The matrix that im2col would write to memory is read from the image while it is packed. A pixel
// is a position (image, y, x) of the output grid, a tap one position of the window.
#pragma once
#include "gemm.h"
#include "window.h"

namespace castor::CASTOR_ISA {

struct Tap { Axis y, x; };

struct Grid { int64_t images, height, width, step_y, step_x; };

// The channels of a view (N, C, H, W), from `channel` on.
struct Source {
  const View &view;
  int64_t channel;
  const char *row(int64_t n, int64_t c, int64_t y) const {
    return at(view, n * view.stride[0] + (channel + c) * view.stride[1] + y * view.stride[2]);
  }
};

// The operand (channel and tap, pixel). Its lines run along the pixels. Elements outside the image are zero.
template <class T> class Patches final : public Operand<T> {
 public:
  Patches(bool along_k, const Source &planes, const Grid &grid, const std::vector<Tap> &taps)
      : Operand<T>(along_k), planes_(planes), grid_(grid), taps_(taps), tap_count_(int64_t(taps.size())),
        load_(loader<T>(planes.view.dtype)), step_(grid.step_x * planes.view.stride[3]),
        borrow_(planes.view.dtype == dtype_of<T> && step_ == 1),
        joined_(step_ == 1 && grid.step_y * planes.view.stride[2] == grid.width) {
    // A window of one tap that is never outside the image reads whole planes as single rows.
    const int64_t row = grid.step_y * planes.view.stride[2];
    if (taps.size() == 1 && taps[0].y.all(grid.height) && taps[0].x.all(grid.width) && row == grid.width * step_) {
      grid_.width *= grid_.height;
      grid_.height = 1;
      taps_[0].x.end = grid_.width;
    }
  }

  const T *line(T *scratch, int64_t fixed, int64_t pixel, int64_t count) const override {
    const int64_t channel = fixed / tap_count_, row = pixel / grid_.width;
    const Tap &tap = taps_[fixed - channel * tap_count_];
    int64_t n = row / grid_.height, y = row - n * grid_.height, x = pixel - row * grid_.width;
    if (borrow_ && inside(tap, y, x, count)) return reinterpret_cast<const T *>(source(tap, channel, n, y, x));
    for (T *to = scratch; count > 0; x = 0) {
      const int64_t rows = joined_ ? grid_.height - y : 1, run = std::min(count, rows * grid_.width - x);
      if (joined_) rows_of_image(to, tap, channel, n, y * grid_.width + x, run);
      else segment(to, tap, channel, n, y, x, run);
      to += run, count -= run, y += rows;
      if (y == grid_.height) y = 0, n++;
    }
    return scratch;
  }

 private:
  Source planes_;
  Grid grid_;
  std::vector<Tap> taps_;
  int64_t tap_count_;
  Loader<T> load_;
  int64_t step_;
  bool borrow_;
  bool joined_;  // Rows of the image are as far apart in memory as the grid is wide, so that pixels of a tap follow each other across rows.

  static bool inside(const Tap &tap, int64_t y, int64_t x, int64_t count) {
    return y >= tap.y.begin && y < tap.y.end && x >= tap.x.begin && x + count <= tap.x.end;
  }
  const char *source(const Tap &tap, int64_t channel, int64_t n, int64_t y, int64_t x) const {
    const View &v = planes_.view;
    return planes_.row(n, channel, y * grid_.step_y + tap.y.shift) + (x * grid_.step_x + tap.x.shift) * v.stride[3] * size_of(v.dtype);
  }
  // `count` pixels of image n from `first` on. What lies between the first and the last one inside the image is loaded at once. Then the
  // columns beside the image are cleared, of which there are few.
  void rows_of_image(T *to, const Tap &tap, int64_t channel, int64_t n, int64_t first, int64_t count) const {
    const int64_t width = grid_.width, last = first + count;
    const int64_t begin = std::min(last, std::max(first, tap.y.begin * width + tap.x.begin));
    const int64_t outside = tap.x.begin < tap.x.end ? (tap.y.end - 1) * width + tap.x.end : 0;  // after the last pixel inside
    const int64_t end = std::max(begin, std::min(last, outside));
    std::fill(to, to + (begin - first), T(0));
    if (begin < end) load_(to + (begin - first), source(tap, channel, n, begin / width, begin % width), 1, end - begin);
    std::fill(to + (end - first), to + count, T(0));
    if (tap.x.all(width)) return;
    const int64_t column = begin % width;
    const auto clear = [=](int64_t x, int64_t after) {
      for (; x < after; x++)
        for (int64_t i = begin + x - column + (x < column ? width : 0); i < end; i += width) to[i - first] = T(0);
    };
    clear(0, tap.x.begin);
    clear(tap.x.end, width);
  }
  void segment(T *to, const Tap &tap, int64_t channel, int64_t n, int64_t y, int64_t x, int64_t count) const {
    const bool row = y >= tap.y.begin && y < tap.y.end;
    const int64_t begin = row ? std::min(std::max(x, tap.x.begin), x + count)
        : x + count, end = std::max(begin, std::min(x + count, tap.x.end));
    std::fill(to, to + (begin - x), T(0));
    if (begin < end) load_(to + (begin - x), source(tap, channel, n, y, begin), step_, end - begin);
    std::fill(to + (end - x), to + count, T(0));
  }
};

// The weight (O, C, kH, kW) as left operand, with k = (channel, tap). Its lines run along its rows.
template <class T> class Weights final : public Operand<T> {
 public:
  Weights(const View &view, int64_t offset, int64_t row, int64_t channel, std::vector<int64_t> taps)
      : Operand<T>(false), view_(view), load_(loader<T>(view.dtype)), offset_(offset), row_(row), channel_(channel),
        taps_(std::move(taps)) {}
  const T *line(T *scratch, int64_t fixed, int64_t from, int64_t count) const override {
    const int64_t taps = int64_t(taps_.size());
    const int64_t offset = offset_ + fixed / taps * channel_ + taps_[fixed % taps] + from * row_;
    const char *from_memory = at(view_, offset);
    if (view_.dtype == dtype_of<T> && row_ == 1) return reinterpret_cast<const T *>(from_memory);
    load_(scratch, from_memory, row_, count);
    return scratch;
  }

 private:
  const View &view_;
  Loader<T> load_;
  int64_t offset_, row_, channel_;
  std::vector<int64_t> taps_;  // element offsets
};

}  // namespace castor::CASTOR_ISA
