// Runs a tile function over whole tensors of any layout and dtype.
#pragma once
#include "blocks.h"
#include "passes.h"
#include "stream.h"

namespace castor::CASTOR_ISA {

template <class T> struct Operation { Tile<T> tile; T p0, p1; Passes<T> passes = {}; };

static inline bool same_size(const View &a, const View &b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; i++)
    if (a.size[i] != b.size[i]) return false;
  return true;
}

// The path of small tensors: all operands are contiguous or have one element, so no loop nest is needed.
template <class T, int N> bool run_tile(const Operation<T> &op, const View &out, const View *const (&inputs)[N]) {
  int64_t n = out.numel();
  if (n > TILE || !out.contiguous()) return false;
  for (const View *v : inputs)
    if (v->numel() != 1 && !(same_size(*v, out) && v->contiguous())) return false;
  alignas(64) T scratch[N + 1][TILE];
  const T *x[N];
  for (int k = 0; k < N; k++) x[k] = load_or_borrow(scratch[k + 1], inputs[k]->data, inputs[k]->dtype, inputs[k]->numel() != 1, n);
  bool direct = out.dtype == dtype_of<T>;
  T *to = direct ? out.as<T>() : scratch[0];
  op.tile(to, x, n, op.p0, op.p1);
  if (!direct) store(out.data, out.dtype, 1, to, n);
  return true;
}

// The state of one thread that works on blocks. Operand 0 is out.
template <class T, int N> struct Worker {
  const Operation<T> &op;
  const Loop<N + 1> &loop;
  const View *const (&views)[N + 1];
  bool streams;
  bool single[N + 1];   // the operand has one element, which is loaded once
  bool borrowed[N + 1]; // rows of the operand are contiguous and of type T, and used in place
  bool converts = false;
  Pass<T> pass;         // null if an operand cannot be read by a pass
  Loader<T> load_row[N + 1];
  Storer<T> store_row;
  alignas(64) T scratch[N + 1][TILE];
  alignas(64) char constant[N + 1][TILE * sizeof(Half)];  // the operands with one element, as the pass reads them
  alignas(64) char line[TILE * sizeof(T)];                // a row of out, on the way to a streaming copy

  Worker(const Operation<T> &op, const Loop<N + 1> &loop, const View *const (&views)[N + 1], bool streams)
      : op(op), loop(loop), views(views), streams(streams), pass(op.passes.of(views[0]->dtype)), store_row(storer<T>(views[0]->dtype)) {
    for (int k = 0; k <= N; k++) {
      single[k] = k > 0;
      for (int d = 0; d < loop.rank; d++) single[k] = single[k] && loop.stride[k][d] == 0;
      borrowed[k] = views[k]->dtype == dtype_of<T> && loop.inner_stride(k) == 1;
      converts = converts || (!single[k] && !borrowed[k]);
      load_row[k] = loader<T>(views[k]->dtype);
      if (single[k]) load(scratch[k], views[k]->data, views[k]->dtype, 0, TILE);
      if (pass && !can_pass(k)) pass = nullptr;
    }
  }

  // Whether operand k consists of neighbours of out's dtype, or is a number that this dtype holds.
  bool can_pass(int k) {
    const DType dtype = views[0]->dtype;
    if (!single[k]) return views[k]->dtype == dtype && loop.inner_stride(k) == 1;
    store(constant[k], dtype, 1, scratch[k], TILE);
    T held;
    load(&held, constant[k], dtype, 1, 1);
    return held == scratch[k][0];
  }

  // n elements of an operand, from `offset` on along the innermost dimension.
  const T *input(int k, int64_t offset, int64_t n) {
    const char *from = at(*views[k], offset);
    if (single[k]) return scratch[k];
    if (borrowed[k]) return reinterpret_cast<const T *>(from);
    load_row[k](scratch[k], from, loop.inner_stride(k), n);
    return scratch[k];
  }

  void strip(const Block<N + 1> &block, int64_t column, int64_t n) {
    auto offset = [&](int k) { return block.offset(k, 0) + column * loop.inner_stride(k); };
    char *target = at(*views[0], offset(0)), *place = streams ? line : target;
    T *to = borrowed[0] ? reinterpret_cast<T *>(place) : scratch[0];
    const T *x[N];
    for (int k = 0; k < N; k++) x[k] = input(k + 1, offset(k + 1), n);
    op.tile(to, x, n, op.p0, op.p1);
    if (!borrowed[0]) store_row(place, loop.inner_stride(0), to, n);
    if (streams) stream_copy(target, line, n * size_of(views[0]->dtype));
  }

  void run_pass(const Block<N + 1> &block) {
    char *target = at(*views[0], block.offset(0, 0)), *place = streams ? line : target;
    const void *x[N];
    for (int k = 1; k <= N; k++) x[k - 1] = single[k] ? constant[k] : at(*views[k], block.offset(k, 0));
    pass(place, x, block.columns, op.p0, op.p1);
    if (streams) stream_copy(target, line, block.columns * size_of(views[0]->dtype));
  }

  void operator()(const Block<N + 1> &block) {
    if (pass && block.rows == 1) return run_pass(block);
    const int64_t step = converts ? STRIP : TILE;
    if (block.rows == 1) {
      for (int64_t c = 0; c < block.columns; c += step) strip(block, c, std::min(step, block.columns - c));
      return;
    }
    const T *x[N];
    for (int k = 1; k <= N; k++) {
      if (!single[k]) load_block(scratch[k], *views[k], block.of(k), loop.inner_stride(k));
      x[k - 1] = scratch[k];
    }
    op.tile(scratch[0], x, block.size(), op.p0, op.p1);
    store_block(*views[0], block.of(0), loop.inner_stride(0), scratch[0]);
  }
};

template <class T, int N> void run(const Operation<T> &op, const View &out, const View *const (&inputs)[N]) {
  if (run_tile(op, out, inputs)) return;
  const View *views[N + 1] = {&out};
  std::copy(inputs, inputs + N, views + 1);
  Loop<N + 1> loop = memory_loop<N + 1>(out, views);
  bool contiguous = block_shape(loop).rows == 1 && loop.inner_stride(0) == 1;
  bool streams = contiguous && out.numel() * int64_t(size_of(out.dtype)) >= STREAM_FROM;
  for_each_block(loop, [&](auto &&each) {
    Worker<T, N> worker(op, loop, views, streams);
    each(worker);
    if (streams) stream_fence();
  });
}

}  // namespace castor::CASTOR_ISA
