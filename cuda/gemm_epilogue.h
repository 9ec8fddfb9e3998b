// What becomes of a tile's sums: they meet in shared memory, and leave for the result a packet a thread at a time.
#pragma once
#include "gemm.h"

namespace castor::cuda {

// Rows of COLUMNS elements. Of four rows that a store meets, no two have a column in the same bank; packets stay whole.
template <int COLUMNS> __device__ __forceinline__ int place_of_sum(int row, int column) {
  return row * COLUMNS + (column ^ (row & 3) << 3);
}

// ROWS x COLUMNS sums, those from (row, column) of the block's tile on, by THREADS threads, of which this is number `thread`.
template <class T, int ROWS, int COLUMNS, int THREADS>
__device__ __forceinline__ void finish(const Product &p, const Cut &cut, const Place &place, int row, int column, const T *sums, int thread) {
  constexpr int PER_ROW = COLUMNS / PACKET;
  static_assert(THREADS % PER_ROW == 0, "a thread stays in its columns");
  const Offsets offset = offsets_of(p, place.batch);
  const Result &c = p.c;
  const int own = thread % PER_ROW * PACKET;
  const int32_t first = place.row + row, j = place.column + column + own;
  if (j >= p.n) return;
  const int64_t to = offset.c + c.column.spot(uint32_t(j)).offset;
  const bool whole = c.packets && j + PACKET <= p.n && cut.splits == 1;
  // A bias of columns is the same for all rows. One of rows is read row by row: those of a ragged tile may lie beyond its end.
  Packet<T> bias{};
  if (c.bias && !c.bias_row && whole) {
    GPU_UNROLL for (int e = 0; e < PACKET; e++) bias.v[e] = load<T>(c.bias, c.bias_dtype, offset.bias + (j + e) * c.bias_column);
  }
  for (int r = thread / PER_ROW; r < ROWS && first + r < p.m; r += THREADS / PER_ROW) {
    const int32_t i = first + r;
    const T *from = sums + place_of_sum<COLUMNS>(r, own);
    if (whole) {
      struct alignas(16) Aligned { Packet<T> packet; };
      Packet<T> packet = reinterpret_cast<const Aligned *>(from)->packet;
      const T of_row = c.bias_row ? load<T>(c.bias, c.bias_dtype, offset.bias + i * c.bias_row) : T(0);
      GPU_UNROLL for (int e = 0; e < PACKET; e++) {
        if (c.bias) packet.v[e] = m::add(packet.v[e], c.bias_row ? of_row : bias.v[e]);
        packet.v[e] = activate(packet.v[e], c.activation);
      }
      store_packet(c.data, c.dtype, to + i * c.row, packet);
    } else {
      for (int e = 0; e < PACKET && j + e < p.n; e++) keep_sum(p, cut, place, offset, i, j + e, from[e]);
    }
  }
}

}  // namespace castor::cuda
