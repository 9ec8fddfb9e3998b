// Tensors whose elements are functions of their flat index (row-major in the view), and perhaps of an element of an input.
#pragma once
#include "map.h"

namespace castor::cuda {

// A thread computes WIDTH neighbouring elements. They are written (and read) as one vector where the layouts allow it.
template <class T, int N, class F> __global__ void __launch_bounds__(512, 1)
    generate_kernel(const __grid_constant__ Map<T, N> m, int64_t first, F f) {
  const uint32_t i = (blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
  if (i >= m.n) return;
  const uint32_t n = m.n - i < WIDTH ? m.n - i : WIDTH;
  const bool vector = m.vectors && n == WIDTH;
  int64_t offset[WIDTH][N + 1];
  Vector<T, WIDTH> x{};
  m.layout.offsets(i, offset[0]);
  if (!vector) GPU_UNROLL for (uint32_t j = 1; j < WIDTH; j++) m.layout.offsets(i + (j < n ? j : 0), offset[j]);
  if constexpr (N > 0) {
    const auto &in = m.in[0];
    if (vector && in.advances) x = load_vector<T, WIDTH>(in.data, in.dtype, offset[0][N]);
    else GPU_UNROLL for (int j = 0; j < WIDTH; j++) {
      const int64_t at = vector ? offset[0][N] : offset[j][N];
      x.v[j] = in.data ? load<T>(in.data, in.dtype, at) : in.constant;
    }
  }
  f(first + i, x);
  if (vector) return store_vector(m.out, m.dtype, offset[0][0], x);
  GPU_UNROLL for (uint32_t j = 0; j < WIDTH; j++)
    if (j < n) store(m.out, m.dtype, offset[j][0], x.v[j]);
}

// f(first, x) receives the elements first .. first + WIDTH of the input, if there is one, in x and replaces them by those of the output.
template <class T, int N, class F> void generate(const char *name, const View &out, const View *const *inputs, F f) {
  const View *views[N + 1] = {&out};
  for (int k = 0; k < N; k++) views[k + 1] = inputs[k];
  Context &context = context_of(out);
  const int threads = block_threads(256);
  for_each_part(make_loop(out, views), [&](const Loop<N + 1> &part, const int64_t (&offset)[N + 1], int64_t first) {
    const Map<T, N> m = make_map<T, N>(part, offset, out, inputs);
    launch(context, name, generate_kernel<T, N, F>, blocks_for(m.n, int64_t(threads) * WIDTH), threads, 0, m, first, f);
  });
}

}  // namespace castor::cuda
