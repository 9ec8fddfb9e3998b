// Reductions whose outputs are neighbours in memory: a thread goes down four columns, and the threads of a block that share columns merge
// their states at the end.
#pragma once
#include "reduction.h"

namespace castor::cuda {

constexpr int COLUMNS = 4;  // of a thread
// The number of elements of a column that a thread loads at the same time.
template <class T, class Op> constexpr int ROWS = Op::UNDER_WAY / sizeof(T);

struct Columns {
  const char *data;
  DType dtype;
  int64_t width, stride, out_stride;  // outputs of a line; strides from one to the next
  int64_t count;
  bool vector;  // a thread's columns are neighbours that are loaded at once; else they are a block's width apart
  Divider tiles;
  Layout<2> lines;
  Layout<1> reduced;

  template <class T, int N, class Column>
  __device__ __forceinline__ void load(T (&x)[COLUMNS][N], const int64_t (&place)[N], uint32_t valid, Column column) const {
    with_input<T>(dtype, [&](auto element) {
      using S = decltype(element);
      Pack<S, COLUMNS> raw[N] = {};
      GPU_UNROLL for (int i = 0; i < N; i++) {
        const S *from = reinterpret_cast<const S *>(data) + place[i];
        const bool row = valid >> i & 1;
        if (vector) {
          if (row && column(0) < width) raw[i] = *reinterpret_cast<const Pack<S, COLUMNS> *>(from + column(0));
        } else {
          GPU_UNROLL for (int j = 0; j < COLUMNS; j++)
            if (row && column(j) < width) raw[i].v[j] = from[column(j) * stride];
        }
      }
      GPU_UNROLL for (int i = 0; i < N; i++)
        GPU_UNROLL for (int j = 0; j < COLUMNS; j++) x[j][i] = convert<T>(raw[i].v[j]);
    });
  }
};

// A block has `lanes` threads across, and the others down. blockIdx.y is a part of `share` positions.
template <class T, class Op, class State = typename Op::State>
__global__ void __launch_bounds__(512)
reduce_columns(const __grid_constant__ Columns c, Op op, Results<State> results, int lanes, int64_t share) {
  constexpr int N = ROWS<T, Op>;
  GPU_DYN_SHARED(State, all);  // (threads down, columns of the block)
  const int lane = threadIdx.x % lanes, y = threadIdx.x / lanes, height = blockDim.x / lanes;
  const uint32_t line = c.tiles.quotient(blockIdx.x);
  const int64_t first = int64_t(blockIdx.x - line * c.tiles.divisor) * lanes * COLUMNS;
  auto column_of = [&](int lane, int j) { return first + (c.vector ? lane * COLUMNS + j : j * lanes + lane); };
  int64_t offset[2];
  c.lines.offsets(line, offset);

  State state[COLUMNS];
  GPU_UNROLL for (State &s : state) s = op.start();
  const int64_t begin = blockIdx.y * share, end = min(c.count, begin + share);
  for (int64_t row = begin + y; row < end; row += int64_t(height) * N) {
    T x[COLUMNS][N];
    int64_t place[N];
    uint32_t valid = 0;
    GPU_UNROLL for (int i = 0; i < N; i++) {
      int64_t down[1] = {};
      if (row + i * height < end) {
        c.reduced.offsets(uint32_t(row + i * height), down);
        valid |= 1u << i;
      }
      place[i] = offset[0] + down[0];
    }
    c.load(x, place, valid, [&](int j) { return column_of(lane, j); });
    GPU_UNROLL for (int j = 0; j < COLUMNS; j++) op.fold(state[j], x[j], valid, [&](int i) { return row + i * height; });
  }

  const int across = lanes * COLUMNS;
  GPU_UNROLL for (int j = 0; j < COLUMNS; j++) all[y * across + j * lanes + lane] = state[j];
  __syncthreads();
  for (int slot = threadIdx.x; slot < across; slot += blockDim.x) {
    State sum = all[slot];
    for (int i = 1; i < height; i++) op.merge(sum, all[i * across + slot]);
    const int64_t column = column_of(slot % lanes, slot / lanes);
    if (column < c.width) results.put(op, sum, line * c.width + column, offset[1] + column * c.out_stride);
  }
}

template <class T, class Op> void fold_columns(const Reduction &r, const Op &op) {
  constexpr int N = ROWS<T, Op>;
  const int64_t width = r.kept.inner(), bytes = size_of(r.a.dtype) * COLUMNS;
  const bool aligned = reinterpret_cast<uintptr_t>(r.a.data) % std::min<int64_t>(16, bytes) == 0 && width % COLUMNS == 0 &&
                       r.aligned(r.kept, r.kept.rank - 1, COLUMNS) && r.aligned(r.reduced, r.reduced.rank, COLUMNS);
  // The block has as many rows of threads as there are rows to fold. The remaining threads go along the columns, at least a warp of
  // them if there are enough columns.
  const int most = block_threads(256), tall = power_of_two(blocks_for(r.count, N), most);
  const int lanes = power_of_two(blocks_for(width, COLUMNS), std::max(32, most / tall));
  const int threads = std::max(32, std::min(most, lanes * tall)), height = threads / lanes;
  const int64_t tiles = blocks_for(width, lanes * COLUMNS), blocks = r.kept.outer() * tiles;
  const Split split(r.context, blocks, threads, r.count, int64_t(height) * N * 4);
  const Columns columns{r.a.as<char>(), r.a.dtype, width, r.kept.inner_stride(0), r.kept.inner_stride(1), r.count,
                        aligned && r.kept.inner_stride(0) == 1, Divider(tiles), make_layout(r.kept, r.kept.rank - 1),
                        make_layout(r.reduced, r.reduced.rank)};
  const Grid grid(blocks, split.parts);
  const int64_t shared = int64_t(threads) * COLUMNS * sizeof(typename Op::State);
  run_split(r, op, split, [&](const auto &results) {
    launch(r.context, "reduce", reduce_columns<T, Op>, grid, threads, shared, columns, op, results, lanes, split.share);
  });
}

}  // namespace castor::cuda
