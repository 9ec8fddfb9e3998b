// The epilogue of a tile: the sums are collected in shared memory, and each thread stores a vector of them at a time.
#pragma once
#include "gemm.h"

namespace castor::cuda {

// The offset of a sum in shared memory, in rows of COLUMNS elements. The columns of four rows that are written at once are permuted so that
// they are in different banks. Vectors stay contiguous.
template <int COLUMNS> __device__ __forceinline__ int sum_offset(int row, int column) {
  return row * COLUMNS + (column ^ (row & 3) << 3);
}

// Stores ROWS x COLUMNS sums, those from (row, column) of the block's tile on. THREADS threads take part, of which this is number `thread`.
template <class T, int ROWS, int COLUMNS, int THREADS>
__device__ __forceinline__ void store_tile(const GemmProblem &p, const TileSchedule &schedule, const TileCoord &coord, int row, int column,
                                           const T *sums, int thread) {
  constexpr int PER_ROW = COLUMNS / VECTOR_WIDTH;
  static_assert(THREADS % PER_ROW == 0, "a thread stays in its columns");
  const Offsets offset = offsets_of(p, coord.batch);
  const Result &c = p.c;
  const int own = thread % PER_ROW * VECTOR_WIDTH;
  const int32_t first = coord.row + row, j = coord.column + column + own;
  if (j >= p.n) return;
  const int64_t to = offset.c + c.column.position(uint32_t(j)).offset;
  const bool whole = c.vectors && j + VECTOR_WIDTH <= p.n && schedule.splits == 1;
  // A bias of columns is the same for all rows. A bias of rows is read row by row, because the rows of an incomplete tile may lie beyond
  // its end.
  Vector<T> bias{};
  if (c.bias && !c.bias_row && whole) {
    GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) bias.v[e] = load<T>(c.bias, c.bias_dtype, offset.bias + (j + e) * c.bias_column);
  }
  for (int r = thread / PER_ROW; r < ROWS && first + r < p.m; r += THREADS / PER_ROW) {
    const int32_t i = first + r;
    const T *from = sums + sum_offset<COLUMNS>(r, own);
    if (whole) {
      struct alignas(16) Aligned { Vector<T> vector; };
      Vector<T> vector = reinterpret_cast<const Aligned *>(from)->vector;
      const T of_row = c.bias_row ? load<T>(c.bias, c.bias_dtype, offset.bias + i * c.bias_row) : T(0);
      GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) {
        if (c.bias) vector.v[e] = m::add(vector.v[e], c.bias_row ? of_row : bias.v[e]);
        vector.v[e] = activate(vector.v[e], c.activation);
      }
      store_vector(c.data, c.dtype, to + i * c.row, vector);
    } else {
      for (int e = 0; e < VECTOR_WIDTH && j + e < p.n; e++) store_partial_sum(p, schedule, coord, offset, i, j + e, from[e]);
    }
  }
}

}  // namespace castor::cuda
