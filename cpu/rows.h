// The runs of a loop nest, and the rows of tensors in any layout.
#pragma once
#include <algorithm>
#include <cstdlib>
#include "loop.h"
#include "scratch.h"
#include "threads.h"
#include "tile.h"

namespace castor::CASTOR_ISA {

constexpr int64_t GRAIN = 1 << 14;  // elements worth a chunk of their own

// Elements of a view from and to compute type: load and store of tile.h, once in each file.
template <class T> [[gnu::noinline]] void load_run(T *to, const View &v, int64_t offset, int64_t stride, int64_t n) {
  load(to, at(v, offset), v.dtype, stride, n);
}

template <class T> [[gnu::noinline]] void store_run(const View &v, int64_t offset, int64_t stride, const T *from, int64_t n) {
  store(at(v, offset), v.dtype, stride, from, n);
}

template <class T> bool holds(const View &v, int64_t stride) { return v.dtype == dtype_of<T> && stride == 1; }

// The elements where they lie if they are contiguous T, else loaded into scratch.
template <class T> T *open_run(T *scratch, const View &v, int64_t offset, int64_t stride, int64_t n) {
  if (holds<T>(v, stride)) return reinterpret_cast<T *>(at(v, offset));
  load_run(scratch, v, offset, stride, n);
  return scratch;
}

// Stores what open_run had to copy.
template <class T> void close_run(const T *run, const T *scratch, const View &v, int64_t offset, int64_t stride, int64_t n) {
  if (run == scratch) store_run(v, offset, stride, run, n);
}

template <class T> T load_one(const View &v, int64_t offset) {
  T value;
  load_run(&value, v, offset, 1, 1);
  return value;
}

template <class T> void store_one(const View &v, int64_t offset, T value) { store_run(v, offset, 1, &value, 1); }

// Outer axes first in memory, whatever their order in the view: operand 0 decides.
template <int N> void order_by_stride(Loop<N> &loop) {
  Loop<N> ordered;
  bool taken[CASTOR_MAX_RANK] = {};
  for (int placed = 0; placed < loop.rank; placed++) {
    int next = -1;
    for (int d = 0; d < loop.rank; d++)
      if (!taken[d] && (next < 0 || std::abs(loop.stride[0][d]) > std::abs(loop.stride[0][next]))) next = d;
    int64_t stride[N];
    for (int k = 0; k < N; k++) stride[k] = loop.stride[k][next];
    append_dimension(ordered, loop.size[next], stride);
    taken[next] = true;
  }
  loop = ordered;
}

// Calls f(offset, n) for the runs, of at most `most` elements, that elements [begin, end) of the nest lie in.
template <int N, class F> void for_runs(const Loop<N> &loop, int64_t begin, int64_t end, int64_t most, F f) {
  if (begin >= end) return;
  const int64_t inner = loop.inner();
  Walk<N> walk(loop, begin / inner);
  int64_t column = begin % inner, offset[N];
  while (begin < end) {
    const int64_t n = std::min({most, inner - column, end - begin});
    for (int k = 0; k < N; k++) offset[k] = walk.offset[k] + column * loop.inner_stride(k);
    f(offset, n);
    begin += n;
    column += n;
    if (column < inner) continue;
    walk.next();
    column = 0;
  }
}

// Some rows of a view that lie at equal distances.
struct Rows {
  const View &view;
  int64_t offset, pitch;  // of the first row; from one row to the next
  int64_t step, n;        // from one element of a row to the next; elements
  int64_t count;

  bool across() const { return count > 1 && std::abs(step) > std::abs(pitch); }
};

constexpr int ROWS = 16;  // of floats: a cache line when they lie side by side

// Rows that lie side by side are read and written across, whole cache lines at a time.
template <class T> void load_rows(T *to, int64_t pitch, const Rows &rows) {
  if (!rows.across()) {
    for (int r = 0; r < rows.count; r++)
      load_run(to + r * pitch, rows.view, rows.offset + r * rows.pitch, rows.step, rows.n);
    return;
  }
  for (int64_t i = 0; i < rows.n; i++) {
    T line[ROWS];
    load_run(line, rows.view, rows.offset + i * rows.step, rows.pitch, rows.count);
    for (int r = 0; r < rows.count; r++) to[r * pitch + i] = line[r];
  }
}

template <class T> void store_rows(const Rows &rows, const T *from, int64_t pitch) {
  if (!rows.across()) {
    for (int r = 0; r < rows.count; r++)
      store_run(rows.view, rows.offset + r * rows.pitch, rows.step, from + r * pitch, rows.n);
    return;
  }
  for (int64_t i = 0; i < rows.n; i++) {
    T line[ROWS];
    for (int r = 0; r < rows.count; r++) line[r] = from[r * pitch + i];
    store_run(rows.view, rows.offset + i * rows.step, rows.pitch, line, rows.count);
  }
}

// The rows along one axis of views that have the same sizes: a nest over the other axes, in row-major order.
template <int N> struct RowLoop {
  const View *view[N];
  int axis;
  Loop<N> loop;

  RowLoop(const View *const (&views)[N], int axis) : axis(axis) {
    std::copy(views, views + N, view);
    for (int d = 0; d < views[0]->rank; d++) {
      int64_t stride[N];
      for (int k = 0; k < N; k++) stride[k] = views[k]->stride[d];
      if (d != axis) append_dimension(loop, views[0]->size[d], stride);
    }
  }

  int64_t rows() const { return loop.outer() * loop.inner(); }
  int64_t length() const { return view[0]->size[axis]; }
  int64_t grain() const { return std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, length())); }

  Rows at_offset(int k, int64_t offset, int64_t count) const {
    return {*view[k], offset, loop.inner_stride(k), view[k]->stride[axis], view[k]->size[axis], count};
  }
  // How many rows to take at a time.
  int64_t width() const {
    for (int k = 0; k < N; k++)
      if (at_offset(k, 0, loop.inner()).across()) return ROWS;
    return 1;
  }
};

// Calls f(row, x) for rows [begin, end): x[k] has the row's elements of view k, contiguous. If there is an output it is view 0:
// x[0] is where f leaves its row.
template <class T, int N, class F> void for_rows(const RowLoop<N> &rows, int64_t begin, int64_t end, bool output, F f) {
  const int64_t pitch = rows.length() + ROWS;  // not a power of two: rows of a block must not share a cache set
  const int64_t width = rows.width();
  Scratch<T> scratch(N * width * pitch);
  int64_t row = begin;
  for_runs(rows.loop, begin, end, width, [&](const int64_t *offset, int64_t count) {
    T *x[N];
    bool borrowed[N];
    for (int k = 0; k < N; k++) {
      const Rows block = rows.at_offset(k, offset[k], count);
      borrowed[k] = count == 1 && holds<T>(block.view, block.step);
      x[k] = borrowed[k] ? reinterpret_cast<T *>(at(block.view, block.offset)) : scratch + k * width * pitch;
      if (!borrowed[k] && !(output && k == 0)) load_rows(x[k], pitch, block);
    }
    for (int64_t r = 0; r < count; r++) {
      T *own[N];
      for (int k = 0; k < N; k++) own[k] = x[k] + r * pitch;
      f(row++, own);
    }
    if (output && !borrowed[0]) store_rows(rows.at_offset(0, offset[0], count), x[0], pitch);
  });
}

// Every row, in parallel: the first view is the output.
template <class T, int N, class F> void map_rows(const View *const (&views)[N], int axis, F f) {
  const RowLoop<N> rows(views, axis);
  parallel_for(rows.rows(), rows.grain(), [&](int64_t begin, int64_t end) { for_rows<T>(rows, begin, end, true, f); });
}

}  // namespace castor::CASTOR_ISA
