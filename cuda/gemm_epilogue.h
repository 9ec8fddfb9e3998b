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
  const bool inside = j + VECTOR_WIDTH <= p.n, whole = c.vectors && inside && schedule.splits == 1;
  const bool whole_part = schedule.splits > 1 && inside && p.n % 4 == 0;
  // A bias of columns is the same for all rows. A bias of rows is read row by row, because the rows of an incomplete tile may lie beyond
  // its end.
  Vector<T> bias{};
  if (c.bias && !c.bias_row && whole) {
    GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) bias.v[e] = load<T>(c.bias, c.bias_dtype, offset.bias + (j + e) * c.bias_column);
  }
  for (int r = thread / PER_ROW; r < ROWS && first + r < p.m; r += THREADS / PER_ROW) {
    const int32_t i = first + r;
    const T *from = sums + sum_offset<COLUMNS>(r, own);
    if (whole_part) {
      *reinterpret_cast<AlignedVector<T> *>(partial_sum<T>(p, schedule, coord, i, j)) = *reinterpret_cast<const AlignedVector<T> *>(from);
    } else if (whole) {
      AlignedVector<T> vector = *reinterpret_cast<const AlignedVector<T> *>(from);
      const T of_row = c.bias_row ? load<T>(c.bias, c.bias_dtype, offset.bias + i * c.bias_row) : T(0);
      GPU_UNROLL for (int e = 0; e < VECTOR_WIDTH; e++) {
        if (c.bias) vector.v[e] = m::add(vector.v[e], c.bias_row ? of_row : bias.v[e]);
        vector.v[e] = activate(vector.v[e], c.activation);
      }
      store_vector<T, VECTOR_WIDTH>(c.data, c.dtype, to + i * c.row, vector);
    } else {
      for (int e = 0; e < VECTOR_WIDTH && j + e < p.n; e++) store_partial_sum(p, schedule, coord, offset, i, j + e, from[e]);
    }
  }
}

// The epilogue of the sums (i, j .. j + W) of a result whose columns may be stored as vectors.
template <class T, int W>
__device__ __forceinline__ void store_sums(const Result &c, const Offsets &offset, int32_t i, int32_t j, Vector<T, W> sums) {
  GPU_UNROLL for (int e = 0; e < W; e++) {
    if (c.bias) sums.v[e] = m::add(sums.v[e], load<T>(c.bias, c.bias_dtype, offset.bias + i * c.bias_row + (j + e) * c.bias_column));
    sums.v[e] = activate(sums.v[e], c.activation);
  }
  store_vector<T, W>(c.data, c.dtype, offset.c + i * c.row + c.column.position(uint32_t(j)).offset, sums);
}

}  // namespace castor::cuda
