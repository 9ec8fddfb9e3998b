// Running a tile function over whole tensors of any layout and dtype.
#pragma once
#include "blocks.h"
#include "stream.h"

namespace castor::CASTOR_ISA {

// to[i] = f(x[0][i], x[1][i], ..) for i < n, with the op's parameters. `to` may be one of x.
template <class T> using Tile = void (*)(T *to, const T *const *x, int64_t n, T p0, T p1);
template <class T> struct Operation { Tile<T> tile; T p0, p1; };

static inline bool same_size(const View &a, const View &b) {
  if (a.rank != b.rank) return false;
  for (int i = 0; i < a.rank; i++)
    if (a.size[i] != b.size[i]) return false;
  return true;
}

// Elements [c0, c0 + columns) of some rows, one row after the other.
template <class T, int N> void load_block(T *to, const View &v, const Block<N> &block, int k, int64_t stride) {
  with_dtype(v.dtype, [&](auto element) {
    using S = decltype(element);
    for (int64_t r = 0; r < block.rows; r++) {
      const S *from = v.as<S>() + block.offset(k, r);
      for (int64_t c = 0; c < block.columns; c++) *to++ = convert<T>(from[c * stride]);
    }
  });
}

template <class T, int N> void store_block(const View &v, const Block<N> &block, int64_t stride, const T *from) {
  with_dtype(v.dtype, [&](auto element) {
    using S = decltype(element);
    for (int64_t r = 0; r < block.rows; r++) {
      S *to = v.as<S>() + block.offset(0, r);
      for (int64_t c = 0; c < block.columns; c++) to[c * stride] = convert<S>(*from++);
    }
  });
}

// All of it fits a tile, and elements of the same index are i elements from the start, or the operand has only one.
template <class T, int N> bool run_tile(const Operation<T> &op, const View &out, const View *const (&inputs)[N]) {
  int64_t n = out.numel();
  if (n > TILE || !out.contiguous()) return false;
  for (const View *v : inputs)
    if (v->rank != 0 && !(same_size(*v, out) && v->contiguous())) return false;
  alignas(64) T scratch[N + 1][TILE];
  const T *x[N];
  for (int k = 0; k < N; k++) x[k] = load_or_borrow(scratch[k + 1], inputs[k]->data, inputs[k]->dtype, inputs[k]->rank != 0, n);
  bool direct = out.dtype == dtype_of<T>;
  T *to = direct ? out.as<T>() : scratch[0];
  op.tile(to, x, n, op.p0, op.p1);
  if (!direct) store(out.data, out.dtype, 1, to, n);
  return true;
}

// What one thread needs to work on blocks. Operand 0 is out.
template <class T, int N> struct Worker {
  const Operation<T> &op;
  const Loop<N + 1> &loop;
  const View *const (&views)[N + 1];
  bool streams;
  bool single[N + 1];   // the operand is one element everywhere, loaded once
  alignas(64) T scratch[N + 1][TILE];

  Worker(const Operation<T> &op, const Loop<N + 1> &loop, const View *const (&views)[N + 1], bool streams)
      : op(op), loop(loop), views(views), streams(streams) {
    for (int k = 1; k <= N; k++) {
      single[k] = true;
      for (int d = 0; d < loop.rank; d++) single[k] = single[k] && loop.stride[k][d] == 0;
      if (single[k]) load(scratch[k], views[k]->data, views[k]->dtype, 0, TILE);
    }
  }

  const T *input(const Block<N + 1> &block, int k) {
    const View &v = *views[k];
    int64_t stride = loop.inner_stride(k);
    if (single[k]) return scratch[k];
    if (block.rows == 1) return load_or_borrow(scratch[k], at(v, block.offset(k, 0)), v.dtype, stride, block.columns);
    load_block(scratch[k], v, block, k, stride);
    return scratch[k];
  }

  void stream(char *to, DType dtype, const T *from, int64_t n) {
    if (dtype == dtype_of<T>) return stream_copy(to, from, n * sizeof(T));
    alignas(64) char converted[TILE * 8];
    store(converted, dtype, 1, from, n);
    stream_copy(to, converted, n * size_of(dtype));
  }

  void operator()(const Block<N + 1> &block) {
    const View &out = *views[0];
    int64_t stride = loop.inner_stride(0);
    char *target = at(out, block.offset(0, 0));
    bool direct = !streams && block.rows == 1 && stride == 1 && out.dtype == dtype_of<T>;
    T *to = direct ? reinterpret_cast<T *>(target) : scratch[0];
    const T *x[N];
    for (int k = 0; k < N; k++) x[k] = input(block, k + 1);
    op.tile(to, x, block.size(), op.p0, op.p1);
    if (direct) return;
    if (streams) return stream(target, out.dtype, to, block.columns);
    if (block.rows == 1) return store(target, out.dtype, stride, to, block.columns);
    store_block(out, block, stride, to);
  }
};

template <class T, int N> void run(const Operation<T> &op, const View &out, const View *const (&inputs)[N]) {
  if (run_tile(op, out, inputs)) return;
  const View *views[N + 1] = {&out};
  std::copy(inputs, inputs + N, views + 1);
  Loop<N + 1> loop = memory_loop<N + 1>(out, views);
  bool long_rows = block_shape(loop).rows == 1 && loop.inner_stride(0) == 1;
  bool streams = long_rows && out.numel() * size_of(out.dtype) >= STREAM_FROM;
  for_each_block(loop, [&](auto &&each) {
    Worker<T, N> worker(op, loop, views, streams);
    each(worker);
    if (streams) stream_fence();
  });
}

}  // namespace castor::CASTOR_ISA
