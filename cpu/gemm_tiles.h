// The kernel of products of pairs of bfloat16 on tiles: a corner of C is 2 x 2 tiles.
#pragma once
#include "gemm_pairs.h"
#if defined(CASTOR_TILES)
#include "tiles.h"

namespace castor::CASTOR_ISA {

constexpr int TILE_SIDE = 16;  // rows of a tile, and its cells a row

// Packs panels of W rows for tiles of A: to[((i / W * depth + q / 16 * 16) * W) + i % W * 16 + q % 16]. The depth is a multiple of 16.
template <int W> void pack_tile_rows(Pair *to, const Operand<Pair> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
  alignas(64) Pair buffer[TILE_SIDE][LINE];
  alignas(64) static const Pair zeros[LINE] = {};
  for (int64_t i = 0; i < count && source.along_k; i += W, to += W * depth)
    for (int64_t r = 0; r < W; r++)
      for (int64_t q = 0; q < depth; q += LINE) {
        const int64_t n = std::min(LINE, depth - q);
        const Pair *line = i + r < count ? source.line(buffer[0], x + i + r, p + q, n) : zeros;
        for (int64_t c = 0; c < n; c += TILE_SIDE) __builtin_memcpy(to + (q + c) * W + r * TILE_SIDE, line + c, TILE_SIDE * sizeof(Pair));
      }
  for (int64_t i = 0; i < count && !source.along_k; i += W, to += W * depth)
    for (int64_t q = 0; q < depth; q += TILE_SIDE) {
      const int64_t n = std::min<int64_t>(W, count - i);
      const Pair *lines[TILE_SIDE];
      for (int64_t r = 0; r < TILE_SIDE; r++) {
        lines[r] = source.line(buffer[r], p + q + r, x + i, n);
        if (n == W) continue;
        std::copy_n(lines[r], n, buffer[r]);
        std::fill(buffer[r] + n, buffer[r] + W, Pair(0));
        lines[r] = buffer[r];
      }
      for (int64_t c = 0; c < W; c += 4)
        for (int64_t r = 0; r < TILE_SIDE; r += 4)
          transpose4<Pair>(to + q * W + c * TILE_SIDE + r, TILE_SIDE, {lines[r] + c, lines[r + 1] + c, lines[r + 2] + c, lines[r + 3] + c});
    }
}

struct TileKernel {
  using Cell = Pair;
  using Sum = float;
  static constexpr int ROWS = 2 * TILE_SIDE, COLUMNS = 2 * TILE_SIDE;
  static constexpr int64_t DEPTH = 128;  // cells; a panel of A and one of B stay in the L1 cache
  static constexpr int64_t STEP = TILE_SIDE;
  using Use = TileUse;

  static void pack_a(Cell *to, const Operand<Cell> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
    pack_tile_rows<ROWS>(to, source, x, count, p, depth);
  }
  static void pack_b(Cell *to, const Operand<Cell> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
    pack<Cell, COLUMNS>(to, source, x, count, p, depth);
  }

  // The layout of a panel of A is that of pack_tile_rows().
  static Elements<Cell> panel_a(const Cell *packed, bool, int64_t) { return {packed, 0, 0}; }
  static Elements<Cell> panel_b(const Cell *packed) { return {packed, 1, COLUMNS}; }

  static void corner(const Elements<Cell> &a, const Elements<Cell> &b, int64_t depth, Sum *c, int64_t ld, int64_t rows, int64_t columns,
                     bool add, const char *ahead, int64_t stride) {
    for (int64_t x = 0; x < depth * stride; x += 64) __builtin_prefetch(ahead + x, 0, 2);
    const bool tall = rows > TILE_SIDE, wide = columns > TILE_SIDE;
    if (rows % TILE_SIDE == 0 && columns % TILE_SIDE == 0) return tiles(a.data, b.data, depth, c, ld, tall, wide, add);
    alignas(64) Sum edge[ROWS * COLUMNS];
    tiles(a.data, b.data, depth, edge, COLUMNS, tall, wide, false);
    copy_corner(c, ld, edge, COLUMNS, rows, columns, add);
  }

 private:
  // Tiles 0 to 3 hold C, 4 and 5 the upper and lower rows of A, 6 and 7 the left and right columns of B. If not `tall` or not `wide`, the
  // lower or the right tiles are left out.
  static void tiles(const Cell *a, const Cell *b, int64_t depth, Sum *c, int64_t ld, bool tall, bool wide, bool add) {
    constexpr int64_t A_STRIDE = TILE_SIDE * sizeof(Cell), B_STRIDE = COLUMNS * sizeof(Cell);
    const int64_t stride = ld * int64_t(sizeof(Sum));
    Sum *below = c + TILE_SIDE * ld;
    CASTOR_TILE_ZERO(0);
    CASTOR_TILE_ZERO(1);
    CASTOR_TILE_ZERO(2);
    CASTOR_TILE_ZERO(3);
    if (add) {
      CASTOR_TILE_LOAD(0, c, stride);
      if (wide) CASTOR_TILE_LOAD(1, c + TILE_SIDE, stride);
      if (tall) CASTOR_TILE_LOAD(2, below, stride);
      if (tall && wide) CASTOR_TILE_LOAD(3, below + TILE_SIDE, stride);
    }
    for (int64_t p = 0; p < depth; p += TILE_SIDE, a += ROWS * TILE_SIDE, b += COLUMNS * TILE_SIDE) {
      CASTOR_TILE_LOAD(4, a, A_STRIDE);
      CASTOR_TILE_LOAD(6, b, B_STRIDE);
      CASTOR_TILE_DOT(0, 4, 6);
      if (wide) {
        CASTOR_TILE_LOAD(7, b + TILE_SIDE, B_STRIDE);
        CASTOR_TILE_DOT(1, 4, 7);
      }
      if (tall) {
        CASTOR_TILE_LOAD(5, a + TILE_SIDE * TILE_SIDE, A_STRIDE);
        CASTOR_TILE_DOT(2, 5, 6);
        if (wide) CASTOR_TILE_DOT(3, 5, 7);
      }
    }
    CASTOR_TILE_STORE(0, c, stride);
    if (wide) CASTOR_TILE_STORE(1, c + TILE_SIDE, stride);
    if (tall) CASTOR_TILE_STORE(2, below, stride);
    if (tall && wide) CASTOR_TILE_STORE(3, below + TILE_SIDE, stride);
  }
};

}  // namespace castor::CASTOR_ISA

#endif
