// Runs a tile function over whole tensors of any layout and dtype.
#pragma once
#include "blocks.h"
#include "stream.h"

namespace castor::CASTOR_ISA {

// to[i] = f(x[0][i], x[1][i], ..) for i < n, with the parameters of the op. `to` may be one of the inputs x.
template <class T> using Tile = void (*)(T *to, const T *const *x, int64_t n, T p0, T p1);
template <class T> struct Operation { Tile<T> tile; T p0, p1; };

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
    load_block(scratch[k], v, block.of(k), stride);
    return scratch[k];
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
    if (streams) return stream_copy(target, to, block.columns * sizeof(T));
    if (block.rows == 1) return store(target, out.dtype, stride, to, block.columns);
    store_block(out, block.of(0), stride, to);
  }
};

template <class T, int N> void run(const Operation<T> &op, const View &out, const View *const (&inputs)[N]) {
  if (run_tile(op, out, inputs)) return;
  const View *views[N + 1] = {&out};
  std::copy(inputs, inputs + N, views + 1);
  Loop<N + 1> loop = memory_loop<N + 1>(out, views);
  bool direct = out.dtype == dtype_of<T> && block_shape(loop).rows == 1 && loop.inner_stride(0) == 1;
  bool streams = direct && out.numel() * int64_t(sizeof(T)) >= STREAM_FROM;
  for_each_block(loop, [&](auto &&each) {
    Worker<T, N> worker(op, loop, views, streams);
    each(worker);
    if (streams) stream_fence();
  });
}

}  // namespace castor::CASTOR_ISA
