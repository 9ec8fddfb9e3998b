// The micro-kernel of a product on vector instructions: MR rows of A times VECTORS vectors of B, with all sums in registers.
#pragma once
#include <array>
#include <utility>
#include "../kernels/math.h"
#include "gemm_pack.h"
#include "vectors.h"

namespace castor::CASTOR_ISA {

// The MR x VECTORS sums, VECTORS vectors of B and one broadcast element of A have to fit in the register file: 32 registers for AVX-512, 16
// otherwise.
#if defined(__AVX512F__)
constexpr int MR = 8, VECTORS = 2;
#elif defined(__AVX2__)
constexpr int MR = 4, VECTORS = 3;
#else
constexpr int MR = 4, VECTORS = 2;
#endif

// The vectors of a unit, and one step: right is a vector of B's cells, left one cell of A in every lane. A cell is what a panel holds for
// one position of a line and one step along k.
template <class Unit> struct Lanes;
template <class T> struct Lanes<Fma<T>> {
  using Cell = T;
  typedef Lane<T> Cells __attribute__((vector_size(VECTOR_BYTES)));
  typedef Cells Sums;
  static Sums add_product(Sums sum, Cells left, Cells right) { return sum + left * right; }
};

template <class Unit> constexpr int NR = VECTORS * LANES<typename Unit::Sum>;

// The rows of B for a micro-kernel: those of a panel or of a matrix, `step` cells apart, or rows that begin anywhere, `offset[p]` cells
// after b. PREFETCHES: whether a micro-kernel with such rows has loads to spare for prefetches.
struct EvenRows {
  static constexpr bool PREFETCHES = VECTOR_BYTES == 64;
  int64_t step;
  int64_t at(int64_t p) const { return p * step; }
};
struct RowsAt {
  static constexpr bool PREFETCHES = false;
  const int64_t *offset;
  int64_t at(int64_t p) const { return offset[p]; }
};

// c (R, V vectors) = a (R, k) b (k, V vectors), added to c if `add`. ld is the row stride of c.
// `ahead` is memory that a later corner reads. Each step along k prefetches `stride` bytes of it, so that they arrive while this corner
// computes. Prefetches of all of it at once would fill the processor's queue of requests, and its own loads would wait. If no memory is to
// be prefetched, `ahead` is memory in use and the stride is 0. Both are arguments of their own, because the compiler would copy a structure
// of two as one vector, which waits until all stores before it are done.
template <class Unit, class Rows> using Micro = void (*)(int64_t k, const Elements<typename Lanes<Unit>::Cell> &a,
                                                         const typename Lanes<Unit>::Cell *b, Rows rows, typename Unit::Sum *c, int64_t ld,
                                                         bool add, const char *ahead, int64_t stride);

template <class Unit, class Rows, int R, int V>
void micro(int64_t k, const Elements<typename Lanes<Unit>::Cell> &a, const typename Lanes<Unit>::Cell *b, Rows rows,
           typename Unit::Sum *c, int64_t ld, bool add, const char *ahead, int64_t stride) {
  using Sums = typename Lanes<Unit>::Sums;
  using Cells = typename Lanes<Unit>::Cells;
  constexpr int WIDTH = LANES<typename Unit::Sum>;
  Sums sum[R][V];
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) sum[i][j] = Sums{}, __builtin_prefetch(c + i * ld + j * WIDTH, 1, 3);
  const auto *left_column = a.data;
#pragma GCC unroll 1
  for (int64_t p = 0; p < k; p++, left_column += a.step) {
    if (Rows::PREFETCHES && p % 4 == 0) __builtin_prefetch(ahead + p * stride, 0, 2);
    const auto *row = b + rows.at(p);
    Cells right[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) __builtin_memcpy(&right[j], row + j * WIDTH, sizeof(Cells));
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
      // Subtracting 0 keeps every x, while adding 0 would turn -0 into +0. Therefore only the subtraction compiles to a plain broadcast.
      Cells left = Lane<typename Lanes<Unit>::Cell>(left_column[i * a.row]) - Cells{};
#pragma GCC unroll 4
      for (int j = 0; j < V; j++) sum[i][j] = Lanes<Unit>::add_product(sum[i][j], left, right[j]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int j = 0; j < V; j++) {
      Sums before{};
      if (add) __builtin_memcpy(&before, c + i * ld + j * WIDTH, sizeof before);
      const Sums after = add ? before + sum[i][j] : sum[i][j];
      __builtin_memcpy(c + i * ld + j * WIDTH, &after, sizeof after);
    }
}

// micros<Unit, Rows>[(rows - 1) * VECTORS + vectors - 1]
template <class Unit, class Rows, int... I>
constexpr std::array<Micro<Unit, Rows>, sizeof...(I)> make_micros(std::integer_sequence<int, I...>) {
  return {micro<Unit, Rows, I / VECTORS + 1, I % VECTORS + 1>...};
}
template <class Unit, class Rows> constexpr auto micros = make_micros<Unit, Rows>(std::make_integer_sequence<int, MR * VECTORS>());

// c (rows, columns) of a block `edge` of row stride `ld_edge`.
template <class T> void copy_corner(T *c, int64_t ld, const T *edge, int64_t ld_edge, int64_t rows, int64_t columns, bool add) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) c[i * ld + j] = add ? m::add(c[i * ld + j], edge[i * ld_edge + j]) : edge[i * ld_edge + j];
}

// The panels and the kernel of a unit on vector instructions.
template <class Unit> struct VectorKernel {
  using Cell = typename Lanes<Unit>::Cell;
  using Sum = typename Unit::Sum;
  static constexpr int ROWS = MR, COLUMNS = NR<Unit>;  // of the largest corner
  // Cells. A panel of B stays in the L1 cache, or at 64 KiB comes from L2 as fast as it is used; a task's block of A stays in L2.
  static constexpr int64_t DEPTH = VECTOR_BYTES == 64 ? 512 : 256;
  static constexpr int64_t STEP = 1;           // cells; the depth is a multiple of it
  static constexpr int64_t TILE_M = 128;       // rows of a task, at most
  static constexpr bool SUMS_IN_PLACE = true;  // whether sums are accumulated in C itself where it has their type
  struct Use { Use() {} };                     // a thread holds one while it calls corner()

  static void pack_a(Cell *to, const Operand<Cell> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
    (source.along_k ? copy_rows<Cell> : pack<Cell, ROWS>)(to, source, x, count, p, depth);
  }
  static void pack_b(Cell *to, const Operand<Cell> &source, int64_t x, int64_t count, int64_t p, int64_t depth) {
    pack<Cell, COLUMNS>(to, source, x, count, p, depth);
  }

  // Panels hold ROWS cells of A or COLUMNS cells of B for each step of k, or rows of A one after the other.
  static Elements<Cell> panel_a(const Cell *packed, bool along_k, int64_t depth) {
    return along_k ? Elements<Cell>{packed, depth, 1} : Elements<Cell>{packed, 1, ROWS};
  }
  static Elements<Cell> panel_b(const Cell *packed) { return {packed, 1, COLUMNS}; }

  // c (rows, columns) = a b, added to c if `add`: the product of one panel of A and one of B, of each part if there are several. `ahead`
  // and `stride` are those of Micro. `next` is the corner of C that is computed next.
  static void corner(const Elements<Cell> (&a)[1], const Elements<Cell> (&b)[1], int64_t depth, Sum *c, int64_t ld, int64_t rows,
                     int64_t columns, bool add, const char *ahead, int64_t stride, const Sum *) {
    const int64_t vectors = ceil_div(columns, LANES<Sum>);
    const Micro<Unit, EvenRows> kernel = micros<Unit, EvenRows>[(rows - 1) * VECTORS + vectors - 1];
    if (columns % LANES<Sum> == 0) return kernel(depth, a[0], b[0].data, {b[0].step}, c, ld, add, ahead, stride);
    alignas(VECTOR_BYTES) Sum edge[ROWS * COLUMNS];
    kernel(depth, a[0], b[0].data, {b[0].step}, edge, COLUMNS, false, ahead, stride);
    copy_corner(c, ld, edge, COLUMNS, rows, columns, add);
  }
};

}  // namespace castor::CASTOR_ISA
