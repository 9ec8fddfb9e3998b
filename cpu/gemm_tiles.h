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

// The kernel of Pairs<PARTS, TERMS>.
template <int PARTS, int TERMS> struct TileKernel {
  using Cell = Pair;
  using Sum = float;
  static constexpr int ROWS = 2 * TILE_SIDE, COLUMNS = 2 * TILE_SIDE;
  // Cells. A panel of A and one of B have 16 KiB each, and stay in the L1 cache. With two parts they come from L2; half the depth made no
  // difference there.
  static constexpr int64_t DEPTH = 128;
  static constexpr int64_t STEP = TILE_SIDE;
  static constexpr int64_t TILE_M = 256;  // rows of a task, at most
  // A tile of C has 16 rows of one cache line. In a matrix the rows are often a power of two apart, so that all of them compete for a few
  // places of the L1 cache, and half of the time goes into loading and storing them.
  static constexpr bool SUMS_IN_PLACE = false;
  using Use = TileUse;

  static void pack_a(Cell *to, const Operand<Cell> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
    pack_tile_rows<ROWS>(to, source, x, count, p, depth);
  }
  static void pack_b(Cell *to, const Operand<Cell> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
    pack<Cell, TILE_SIDE>(to, source, x, count, p, depth);
  }

  // The layout of a panel of A is that of pack_tile_rows(). A panel of B consists of two with a tile's columns, one after the other.
  static Elements<Cell> panel_a(const Cell *packed, bool, int64_t) { return {packed, 0, 0}; }
  static Elements<Cell> panel_b(const Cell *packed) { return {packed, 1, TILE_SIDE}; }

  // Computes whole tiles: c has room for rows and columns up to the next multiple of TILE_SIDE.
  static void corner(const Elements<Cell> (&a)[PARTS], const Elements<Cell> (&b)[PARTS], int64_t depth, Sum *c, int64_t ld, int64_t rows,
                     int64_t columns, bool add, const char *ahead, int64_t stride, const Sum *next) {
    const Corner corner{ld, depth * TILE_SIDE, rows > TILE_SIDE, columns > TILE_SIDE};
    corner.start(c, add);
    const int64_t steps = depth / STEP, share = ceil_div(ROWS, std::max<int64_t>(steps, 1));  // rows of `next` that a step prefetches
    for (int64_t p = 0; p < steps; p++, ahead += STEP * stride, next += share * ld) {
      for (const auto &part : b) prefetch(ahead + (part.data - b[0].data) * int64_t(sizeof(Cell)), STEP * stride);
      for (int64_t r = 0; r < share; r++)
        for (int64_t x = 0; x < COLUMNS; x += TILE_SIDE) __builtin_prefetch(next + r * ld + x, 1, 3);
      corner.add_step(a, b, p);
    }
    corner.finish(c);
  }

 private:
  static void prefetch(const char *from, int64_t bytes) {
    for (int64_t x = 0; x < bytes; x += 64) __builtin_prefetch(from + x, 0, 2);
  }

  // Tiles 0 to 3 hold C, 4 and 5 the upper and lower rows of A, 6 and 7 the left and right columns of B. If not `tall` or not `wide`, the
  // lower or the right tiles are left out.
  struct Corner {
    int64_t ld, beside;  // beside: cells from a tile of B to the one on its right
    bool tall, wide;

    void start(const Sum *c, bool add) const {
      CASTOR_TILE_ZERO(0);
      CASTOR_TILE_ZERO(1);
      CASTOR_TILE_ZERO(2);
      CASTOR_TILE_ZERO(3);
      if (!add) return;
      const int64_t stride = ld * int64_t(sizeof(Sum));
      CASTOR_TILE_LOAD(0, c, stride);
      if (wide) CASTOR_TILE_LOAD(1, c + TILE_SIDE, stride);
      if (tall) CASTOR_TILE_LOAD(2, c + TILE_SIDE * ld, stride);
      if (tall && wide) CASTOR_TILE_LOAD(3, c + TILE_SIDE * ld + TILE_SIDE, stride);
    }

    // Adds the products of one step of all terms. Each term after the first keeps an operand of the one before.
    void add_step(const Elements<Cell> (&a)[PARTS], const Elements<Cell> (&b)[PARTS], int64_t p) const {
      const int64_t left = p * ROWS * TILE_SIDE, right = p * TILE_SIDE * TILE_SIDE;
      if constexpr (TERMS == 1) return add_term<true, true>(a[0].data + left, b[0].data + right);
      if constexpr (TERMS == 4) add_term<true, true>(a[1].data + left, b[1].data + right);
      add_term<true, TERMS == 3>(a[0].data + left, b[PARTS - 1].data + right);
      add_term<false, true>(a[0].data + left, b[0].data + right);
      add_term<true, false>(a[PARTS - 1].data + left, b[0].data + right);
    }

    void finish(Sum *c) const {
      const int64_t stride = ld * int64_t(sizeof(Sum));
      CASTOR_TILE_STORE(0, c, stride);
      if (wide) CASTOR_TILE_STORE(1, c + TILE_SIDE, stride);
      if (tall) CASTOR_TILE_STORE(2, c + TILE_SIDE * ld, stride);
      if (tall && wide) CASTOR_TILE_STORE(3, c + TILE_SIDE * ld + TILE_SIDE, stride);
    }

    // LEFT and RIGHT: whether the tiles of A and of B are loaded, or hold those of the term before. Loads stand between products, so that
    // both proceed at the same time.
    template <bool LEFT, bool RIGHT> void add_term(const Cell *a, const Cell *b) const {
      constexpr int64_t STRIDE = TILE_SIDE * sizeof(Cell);
      if (LEFT) CASTOR_TILE_LOAD(4, a, STRIDE);
      if (RIGHT) CASTOR_TILE_LOAD(6, b, STRIDE);
      CASTOR_TILE_DOT(0, 4, 6);
      if (wide) {
        if (RIGHT) CASTOR_TILE_LOAD(7, b + beside, STRIDE);
        CASTOR_TILE_DOT(1, 4, 7);
      }
      if (tall) {
        if (LEFT) CASTOR_TILE_LOAD(5, a + TILE_SIDE * TILE_SIDE, STRIDE);
        CASTOR_TILE_DOT(2, 5, 6);
        if (wide) CASTOR_TILE_DOT(3, 5, 7);
      }
    }
  };
};

}  // namespace castor::CASTOR_ISA

#endif
