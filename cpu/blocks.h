// Cuts a loop nest into blocks of at most TILE elements and distributes them over the threads.
#pragma once
#include "rows.h"
#include "vectors.h"

namespace castor::CASTOR_ISA {

constexpr int64_t CHUNK = 32768;  // elements that one thread takes at a time, some ten microseconds of work
constexpr int BLOCK_ROWS = 256;   // at most

// A block of rows x columns elements. Long rows are cut into pieces, short rows are taken many at a time. Where an operand is strided along
// the rows and contiguous across them, blocks are about square, so that every cache line that is read serves several rows.
struct BlockShape { int64_t rows, columns; };

template <int N> BlockShape block_shape(const Loop<N> &loop) {
  constexpr int64_t SIDE = 32, SHORT = 32;
  int64_t inner = loop.inner(), outer = loop.outer();
  if (outer <= 1 || inner == 0) return {1, TILE};
  for (int k = 0; k < N; k++) {
    int64_t across = std::abs(loop.stride[k][loop.rank - 1]), along = std::abs(loop.stride[k][loop.rank - 2]), rows = std::min(SIDE, outer);
    if (across > along && along > 0 && inner >= SIDE) return {rows, TILE / rows};
  }
  return inner < SHORT ? BlockShape{std::min<int64_t>(BLOCK_ROWS, TILE / inner), inner} : BlockShape{1, TILE};
}

// The elements of one operand that belong to a block: row r begins `first[r] + column` elements into the tensor.
struct BlockRows {
  const int64_t *first;
  int64_t column, rows, columns;
  int64_t offset(int64_t r) const { return first[r] + column; }
  // Whether the rows begin at neighbouring elements.
  bool neighbours() const {
    for (int64_t r = 1; r < rows; r++)
      if (first[r] != first[0] + r) return false;
    return true;
  }
};

template <int N> struct Block {
  int64_t rows, columns;
  int64_t row_offset[N][BLOCK_ROWS], column_offset[N];
  int64_t size() const { return rows * columns; }
  // The offset of row r of operand k, in elements.
  int64_t offset(int k, int64_t r) const { return row_offset[k][r] + column_offset[k]; }
  BlockRows of(int k) const { return {row_offset[k], column_offset[k], rows, columns}; }
};

// to (rows, columns), contiguous, of columns whose elements are neighbours in memory and which are `stride` elements apart.
template <class T, class S> void transpose(T *to, const S *from, int64_t rows, int64_t columns, int64_t stride) {
  int64_t c = 0;
  if constexpr (std::is_same_v<T, S>)
    for (; c + 4 <= columns; c += 4, from += 4 * stride) {
      int64_t r = 0;
      for (; r + 4 <= rows; r += 4)
        transpose4<T>(to + r * columns + c, columns, {from + r, from + stride + r, from + 2 * stride + r, from + 3 * stride + r});
      for (; r < rows; r++)
        for (int64_t x = 0; x < 4; x++) to[r * columns + c + x] = from[x * stride + r];
    }
  for (; c < columns; c++, from += stride)
    for (int64_t r = 0; r < rows; r++) to[r * columns + c] = convert<T>(from[r]);
}

// Copies the elements of one operand from `from`, row after row, into a contiguous block. Converts them where the types differ.
template <class T, class S> void gather(T *to, const S *from, const BlockRows &block, int64_t stride) {
  int64_t rows = block.rows, columns = block.columns;
  bool across = rows > 1 && std::abs(stride) > std::abs(block.offset(1) - block.offset(0));
  if (across && block.neighbours()) return transpose(to, from + block.offset(0), rows, columns, stride);
  if (across) {
    for (int64_t c = 0; c < columns; c++)
      for (int64_t r = 0; r < rows; r++) to[r * columns + c] = convert<T>(from[block.offset(r) + c * stride]);
    return;
  }
  for (int64_t r = 0; r < rows; r++, to += columns) {
    const S *row = from + block.offset(r);
    if (stride == 1) convert_tile(to, row, columns);
    else for (int64_t c = 0; c < columns; c++) to[c] = convert<T>(row[c * stride]);
  }
}

// gather() from a view of any dtype, and the reverse. They are defined in tile.cpp for T = float, double and int64_t.
template <class T> void load_block(T *to, const View &v, const BlockRows &block, int64_t stride);
template <class T> void store_block(const View &v, const BlockRows &block, int64_t stride, const T *from);

// The loop over out and the operands in the order of out's memory. Only for ops whose elements do not depend on each other.
template <int N> Loop<N> memory_loop(const View &out, const View *const (&operands)[N]) {
  Loop<N> loop = make_loop(out, operands);
  order_by_stride(loop);
  return loop;
}

// Calls body once for each chunk. body receives a function that runs its argument on every block of the chunk.
template <int N, class Body> void for_each_block(const Loop<N> &loop, Body &&body) {
  int64_t inner = loop.inner(), outer = loop.outer();
  if (inner == 0 || outer == 0) return;
  BlockShape shape = block_shape(loop);
  int64_t across = (inner + shape.columns - 1) / shape.columns, down = (outer + shape.rows - 1) / shape.rows;
  int64_t grain = std::max<int64_t>(1, CHUNK / (shape.rows * std::min(shape.columns, inner)));
  parallel_for(across * down, grain, [&](int64_t begin, int64_t end) {
    body([&](auto &&each) {
      Block<N> block;
      int64_t column = begin % across, row = begin / across * shape.rows;
      Walk<N> walk(loop, row);
      for (int64_t i = begin; i < end; row += shape.rows, column = 0) {
        block.rows = std::min(shape.rows, outer - row);
        for (int64_t r = 0; r < block.rows; r++, walk.next())
          for (int k = 0; k < N; k++) block.row_offset[k][r] = walk.offset[k];
        for (; column < across && i < end; column++, i++) {
          block.columns = std::min(shape.columns, inner - column * shape.columns);
          for (int k = 0; k < N; k++) block.column_offset[k] = column * shape.columns * loop.inner_stride(k);
          each(block);
        }
      }
    });
  });
}

}  // namespace castor::CASTOR_ISA
