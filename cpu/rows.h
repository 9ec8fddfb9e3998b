// The runs of a loop nest, and the rows of tensors of any layout.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <vector>
#include "../kernels/loop.h"
#include "scratch.h"
#include "threads.h"
#include "tile.h"

namespace castor::CASTOR_ISA {

constexpr int64_t GRAIN = 1 << 14;  // elements that are worth a chunk of their own

// Elements of a view, converted to and from compute type.
template <class T> void load_run(T *to, const View &v, int64_t offset, int64_t stride, int64_t n) {
  load(to, at(v, offset), v.dtype, stride, n);
}

template <class T> void store_run(const View &v, int64_t offset, int64_t stride, const T *from, int64_t n) {
  store(at(v, offset), v.dtype, stride, from, n);
}

template <class T> bool holds(const View &v, int64_t stride) { return v.dtype == dtype_of<T> && stride == 1; }

// The elements in place if they are contiguous and of type T, else loaded into scratch.
template <class T> T *open_run(T *scratch, const View &v, int64_t offset, int64_t stride, int64_t n) {
  if (holds<T>(v, stride)) return reinterpret_cast<T *>(at(v, offset));
  load_run(scratch, v, offset, stride, n);
  return scratch;
}

// The same for a run that is only written: the target in place, or scratch.
template <class T> T *output_run(T *scratch, const View &v, int64_t offset, int64_t stride) {
  return holds<T>(v, stride) ? reinterpret_cast<T *>(at(v, offset)) : scratch;
}

// Stores a run that is in scratch to its view.
template <class T> void close_run(const T *run, const T *scratch, const View &v, int64_t offset, int64_t stride, int64_t n) {
  if (run == scratch) store_run(v, offset, stride, run, n);
}

// Runs of a view that are all `stride` elements apart, read and written in compute type: in place where they are contiguous and of type T.
template <class T> class Runs {
 public:
  Runs(const View &v, int64_t stride)
      : view_(v), stride_(stride), in_place_(holds<T>(v, stride)), load_(loader<T>(v.dtype)), store_(storer<T>(v.dtype)) {}

  // n elements from `offset` on: in place, or loaded into scratch.
  T *open(T *scratch, int64_t offset, int64_t n) const {
    char *const from = at(view_, offset);
    if (in_place_) return reinterpret_cast<T *>(from);
    load_(scratch, from, stride_, n);
    return scratch;
  }
  // The place to write them to, and what has to be called when they are written.
  T *output(T *scratch, int64_t offset) const { return in_place_ ? reinterpret_cast<T *>(at(view_, offset)) : scratch; }
  void close(const T *run, int64_t offset, int64_t n) const {
    if (!in_place_) store_(at(view_, offset), stride_, run, n);
  }

 private:
  const View &view_;
  int64_t stride_;
  bool in_place_;
  Loader<T> load_;
  Storer<T> store_;
};

template <class T> T load_one(const View &v, int64_t offset) {
  T value;
  load_run(&value, v, offset, 1, 1);
  return value;
}

template <class T> void store_one(const View &v, int64_t offset, T value) { store_run(v, offset, 1, &value, 1); }

// Calls f(offset, n) for the runs, of at most `most` elements each, that make up the elements [begin, end) of the nest.
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

// The rows along one axis of views whose other axes have the same sizes. The nest runs over the other axes, in row-major order.
template <int N> struct RowLoop {
  const View *view[N];
  int64_t n;        // elements of a row of view 0
  int64_t step[N];  // from one element of a row to the next
  Loop<N> loop;

  RowLoop(const View *const (&views)[N], int axis) : n(views[0]->size[axis]) {
    for (int k = 0; k < N; k++) {
      view[k] = views[k];
      step[k] = views[k]->stride[axis];
    }
    for (int d = 0; d < views[0]->rank; d++) {
      int64_t stride[N];
      for (int k = 0; k < N; k++) stride[k] = views[k]->stride[d];
      if (d != axis) append_dimension(loop, views[0]->size[d], stride);
    }
  }

  // Runs of each view, whose elements are stride[k] apart.
  template <class T> std::vector<Runs<T>> all(const int64_t (&stride)[N]) const {
    std::vector<Runs<T>> runs;
    for (int k = 0; k < N; k++) runs.emplace_back(*view[k], stride[k]);
    return runs;
  }

  int64_t rows() const { return loop.outer() * loop.inner(); }
  int64_t grain() const { return std::max<int64_t>(1, GRAIN / std::max<int64_t>(1, n)); }

  // Whether neighbouring rows are closer together in memory than the elements of a row. Reading is then faster across the rows.
  bool side_by_side() const {
    if (loop.inner() < 8) return false;
    for (int k : {0, N - 1})
      if (std::abs(loop.inner_stride(k)) >= std::abs(step[k])) return false;
    return true;
  }
};

// Calls f(row, x) for the rows [begin, end), where x[k] is the row of view k, contiguous. If there is an output it is view 0, and f writes
// its row to x[0].
template <class T, int N, class F> void for_rows(const RowLoop<N> &rows, int64_t begin, int64_t end, bool output, F f) {
  Scratch<T> scratch(N * rows.n);
  const std::vector<Runs<T>> runs = rows.template all<T>(rows.step);
  for_runs(rows.loop, begin, end, 1, [&](const int64_t *offset, int64_t) {
    T *x[N];
    for (int k = 0; k < N; k++) {
      T *const own = scratch + k * rows.n;
      x[k] = output && k == 0 ? runs[k].output(own, offset[k]) : runs[k].open(own, offset[k], rows.n);
    }
    f(begin++, x);
    if (output) runs[0].close(x[0], offset[0], rows.n);
  });
}

// Calls f for every row, in parallel. View 0 is the output.
template <class T, int N, class F> void map_rows(const RowLoop<N> &rows, F f) {
  parallel_for(rows.rows(), rows.grain(), [&](int64_t begin, int64_t end) { for_rows<T>(rows, begin, end, true, f); });
}

// Up to TILE neighbouring rows, read across: a line holds the first elements of all the rows, the next line their second elements, and so
// on.
template <class T, int N> struct Columns {
  const RowLoop<N> &rows;
  const int64_t *offset;
  int64_t width;

  // Calls f(x) for every line, where x[k] is the line of view k, contiguous. If `output` is set, f writes the output to x[0].
  template <class F> void each(bool output, F f) const {
    alignas(64) T scratch[N][TILE];
    T *x[N] = {};
    int64_t across[N];
    for (int k = 0; k < N; k++) across[k] = rows.loop.inner_stride(k);
    const std::vector<Runs<T>> runs = rows.template all<T>(across);
    for (int64_t i = 0; i < rows.n; i++) {
      auto place = [&](int k) { return offset[k] + i * rows.step[k]; };
      for (int k = 1; k < N; k++) x[k] = runs[k].open(scratch[k], place(k), width);
      x[0] = output ? runs[0].output(scratch[0], place(0)) : nullptr;
      f(x);
      if (output) runs[0].close(x[0], place(0), width);
    }
  }
};

template <class T, int N, class F> void map_columns(const RowLoop<N> &rows, F f) {
  parallel_for(rows.rows(), std::clamp<int64_t>(rows.grain(), 128, TILE), [&](int64_t begin, int64_t end) {
    for_runs(rows.loop, begin, end, TILE, [&](const int64_t *offset, int64_t width) { f(Columns<T, N>{rows, offset, width}); });
  });
}

}  // namespace castor::CASTOR_ISA
