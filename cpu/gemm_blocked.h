// Matrix products blocked for the caches (Goto, van de Geijn: Anatomy of high-performance matrix multiplication; 2008). Each task computes
// one block of C. It walks k in blocks and packs the operand panels that it alone reads. Panels that several tasks read are packed once,
// before, by all threads. Every element is a sum in a fixed order, so neither blocking nor the number of threads changes a result.
#pragma once
#include <cmath>
#include "gemm_epilogue.h"
#include "gemm_tiles.h"

namespace castor::CASTOR_ISA {

constexpr int64_t TILE_N = 512;  // columns of a task, at most
// A product of at most DIRECT_ROWS rows reads B where it lies, if rows of B are not further than DIRECT_STEP cells apart: packing would
// cost more than it saves. Rows that are further apart would meet in few sets of the caches.
constexpr int64_t DIRECT_ROWS = 256, DIRECT_STEP = 512;
// With several threads up to WHOLE_ROWS rows are one tile, so that each task packs the columns of B that it alone reads: what another
// thread has packed has to come from that thread's cache, which is slow.
constexpr int64_t WHOLE_ROWS = 512;
constexpr int64_t TASK = int64_t(1) << 18;    // multiplications; a task has no fewer
constexpr int64_t SHARED = int64_t(1) << 23;  // cells; a larger operand is packed by each task for itself

// The parts of an operand, as matrices of the cells that the unit's panels hold.
template <class Unit> class Parts;
template <class T> class Parts<Fma<T>> {
 public:
  Parts(const Operand<T> &whole, int64_t) : whole_(whole) {}
  const Operand<T> &part(int) const { return whole_; }

 private:
  const Operand<T> &whole_;
};

// How a unit computes: its kernel, the number of parts of an operand, and the cells that k elements take.
template <class Unit> struct Plan {
  using Kernel = VectorKernel<Unit>;
  static constexpr int PARTS = 1;
  static int64_t cells(int64_t k) { return k; }
};

#if defined(CASTOR_PAIRS)
template <int P, int T> class Parts<Pairs<P, T>> {
 public:
  using Line = typename Pairs<P, T>::Line;
  Parts(const Operand<Line> &whole, int64_t k) : high_(whole, k, 0), low_(whole, k, 1) {}
  const Operand<Pair> &part(int i) const { return i == 0 ? high_ : low_; }

 private:
  Paired<Line> high_, low_;
};

template <int P, int T> struct Plan<Pairs<P, T>> {
#if defined(CASTOR_TILES)
  using Kernel = TileKernel<P, T>;
#else
  using Kernel = VectorKernel<Pairs<P, T>>;
#endif
  static constexpr int PARTS = P;
  static int64_t cells(int64_t k) { return round_up(ceil_div(k, 2), Kernel::STEP); }
};
#endif

// The part of an operand from element `x` of its rows or columns and from step `p` of k on.
template <class Line> class Slice final : public Operand<Line> {
 public:
  Slice(const Operand<Line> &whole, int64_t x, int64_t p) : Operand<Line>(whole.along_k), whole_(whole), x_(x), p_(p) {}
  const Line *line(Line *scratch, int64_t fixed, int64_t from, int64_t count) const override {
    return this->along_k ? whole_.line(scratch, fixed + x_, from + p_, count) : whole_.line(scratch, fixed + p_, from + x_, count);
  }
  const Half *halves(int64_t fixed, int64_t from) const override {
    return this->along_k ? whole_.halves(fixed + x_, from + p_) : whole_.halves(fixed + p_, from + x_);
  }
  Elements<Line> elements() const override {
    Elements<Line> whole = whole_.elements();
    if (whole.data) whole.data += x_ * whole.row + p_ * whole.step;
    return whole;
  }

 private:
  const Operand<Line> &whole_;
  int64_t x_, p_;
};

template <class Unit> class BlockedGemm {
 public:
  using Sum = typename Unit::Sum;
  using Line = typename Unit::Line;
  using Kernel = typename Plan<Unit>::Kernel;
  using Cell = typename Kernel::Cell;

  BlockedGemm(int64_t m, int64_t n, int64_t k, const Operand<Line> &a, const Operand<Line> &b, const Result<Sum> &c)
      : m_(m), n_(n), k_(k), cells_(Plan<Unit>::cells(k)), a_(a), b_(b), parts_a_(a, k), parts_b_(b, k), c_(c),
        direct_a_(direct_a(parts_a_.part(0))), direct_b_(direct_b(parts_b_.part(0), m, n)) {
    // Blocks of even depth: 300 is divided into twice 150, not into 256 and 44.
    depth_ = std::max(STEP, round_up(ceil_div(cells_, std::max(int64_t(1), ceil_div(cells_, Kernel::DEPTH))), STEP));
    const int64_t wanted = c.alone || thread_count() == 1 ? 1 : 3 * thread_count();
    const int64_t most = wanted > 1 && m <= WHOLE_ROWS && !direct_b_.data ? WHOLE_ROWS : Kernel::TILE_M;
    tile_m_ = std::min(round_up(m, ROWS), round_up(ceil_div(m, ceil_div(m, most)), ROWS));
    tile_n_ = std::min(round_up(n, COLUMNS), round_up(ceil_div(n, ceil_div(n, TILE_N)), COLUMNS));
    while (tiles_m() * tiles_n() < wanted && tile_m_ * tile_n_ * k > 2 * TASK && halve()) {}
  }

  // `packed` are the panels of B if they are packed already, each for all of k: [panel][p][x].
  void run(const Cell *packed = nullptr) {
    if (packed) packed_b_[0] = packed, whole_panels_ = true;
    const bool share_a = !direct_a_.data && tiles_n() > 1 && m_ * cells_ <= SHARED;
    const bool share_b = !packed && !direct_b_.data && tiles_m() > 1 && n_ * cells_ <= SHARED;
    const int64_t size_a = share_a ? round_up(m_, ROWS) * cells_ : 0, size_b = share_b ? round_up(n_, COLUMNS) * cells_ : 0;
    Scratch<Cell> a(PARTS * size_a), b(PARTS * size_b);
    if (share_a) share<ROWS>(packed_a_, a, size_a, parts_a_, m_, Kernel::pack_a);
    if (share_b) share<COLUMNS>(packed_b_, b, size_b, parts_b_, n_, Kernel::pack_b);
    parallel_for(tiles_m() * tiles_n(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) tile(t / tiles_n() * tile_m_, t % tiles_n() * tile_n_);
    });
  }

 private:
  using Pack = decltype(&Kernel::pack_a);
  static constexpr int PARTS = Plan<Unit>::PARTS, ROWS = Kernel::ROWS, COLUMNS = Kernel::COLUMNS;
  static constexpr int64_t STEP = Kernel::STEP;

  int64_t m_, n_, k_, cells_, depth_, tile_m_, tile_n_;
  const Operand<Line> &a_, &b_;
  const Parts<Unit> parts_a_, parts_b_;
  const Result<Sum> &c_;
  const Elements<Cell> direct_a_, direct_b_;  // A and B, if they are not packed
  const Cell *packed_a_[PARTS] = {}, *packed_b_[PARTS] = {};  // [block of depth][panel][p][x], unless
  bool whole_panels_ = false;                                 // B is [panel][p][x] for all of k

  // A is read where it lies if its lines run along k there.
  static Elements<Cell> direct_a(const Operand<Cell> &a) { return a.along_k ? a.elements() : Elements<Cell>{}; }
  // B is read where it lies if its rows do, in whole vectors.
  static Elements<Cell> direct_b(const Operand<Cell> &b, int64_t m, int64_t n) {
    const Elements<Cell> all = b.elements();
    const bool reads = !b.along_k && n % LANES<Sum> == 0 && m <= DIRECT_ROWS && std::abs(all.step) <= DIRECT_STEP;
    return reads ? all : Elements<Cell>{};
  }

  int64_t tiles_m() const { return ceil_div(m_, tile_m_); }
  int64_t tiles_n() const { return ceil_div(n_, tile_n_); }
  bool halve() {
    // A tile of all rows or columns keeps them, if that saves packing.
    const bool one_row = tile_m_ >= m_ && !direct_b_.data, one_column = tile_n_ >= n_ && direct_b_.data && !direct_a_.data;
    if (tile_n_ > COLUMNS && !one_column && (one_row || tile_n_ > tile_m_)) tile_n_ = round_up(tile_n_ / 2, COLUMNS);
    else if (tile_m_ > ROWS) tile_m_ = round_up(tile_m_ / 2, ROWS);
    else return false;
    return true;
  }

  // Packs an operand, `size` cells for each part. All parts of a span are packed one after the other, while what they read is in a cache.
  template <int W> void share(const Cell *(&packed)[PARTS], Cell *to, int64_t size, const Parts<Unit> &parts, int64_t count, Pack pack) {
    constexpr int64_t SPAN = LINE / W * W;
    const int64_t spans = ceil_div(count, SPAN), padded = round_up(count, W);
    for (int part = 0; part < PARTS; part++) packed[part] = to + part * size;
    parallel_for(spans * ceil_div(cells_, depth_), std::max(int64_t(1), TASK / 4 / (depth_ * std::min(count, SPAN))),
                 [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; s++) {
        int64_t p = s / spans * depth_, x = s % spans * SPAN, depth = std::min(depth_, cells_ - p);
        for (int part = 0; part < PARTS; part++)
          pack(to + part * size + padded * p + x * depth, parts.part(part), x, std::min(SPAN, count - x), p, depth);
      }
    });
  }

  // The elements of an odd number of cache lines that hold n sums: rows that far apart do not compete for the same places of a cache.
  static int64_t odd_lines(int64_t n) {
    constexpr int64_t PER_LINE = 64 / sizeof(Sum);
    return (ceil_div(n, PER_LINE) | 1) * PER_LINE;
  }

  // Whether the rows of the block are contiguous elements of Sum in memory, so that sums can be accumulated in C itself.
  bool in_memory(int64_t j, int64_t columns) const {
    return c_.dtype == dtype_of<Sum> && (c_.low.stride == 1 || columns == 1) && j % c_.low.size + columns <= c_.low.size;
  }

  void tile(int64_t i, int64_t j) {
    const int64_t rows = std::min(tile_m_, m_ - i), columns = std::min(tile_n_, n_ - j);
    const bool in_place = Kernel::SUMS_IN_PLACE && in_memory(j, columns);
    const int64_t ld = in_place ? c_.row : odd_lines(tile_n_);
    Scratch<Sum> sums(in_place ? 0 : tile_m_ * ld);
    Sum *c = in_place ? static_cast<Sum *>(c_.data) + c_.offset(i, j) : sums;
    multiply(c, ld, i, j, rows, columns, in_place && c_.accumulate);
#if defined(CASTOR_PAIRS)
    if constexpr (PARTS > 1) repair(c, ld, i, j, rows, columns);
#endif
    if (in_place && !c_.bias && c_.activation == Activation::none) return;
    for (int64_t r = 0; r < rows; r++) {
      if (!in_place && c_.accumulate) add_line(c + r * ld, static_cast<const Sum *>(c_.data) + c_.offset(i + r, j), columns);
      apply_epilogue(c + r * ld, columns, c_, i + r, j);
      if (!in_place) store_line(c_, i + r, j, c + r * ld, columns);
    }
  }

  static void add_line(Sum *to, const Sum *from, int64_t n) {
    for (int64_t x = 0; x < n; x++) to[x] = m::add(to[x], from[x]);
  }

  // Few rows, and B is packed: reads each panel from its start to its end, because the time is that of reading B. The sums are those of
  // multiply().
  void stream(Sum *c, int64_t ld, int64_t i, int64_t j, int64_t rows, int64_t columns, bool add) {
    const typename Kernel::Use use;
    const bool packs = !direct_a_.data && !packed_a_[0];
    Scratch<Cell> a(packs ? ROWS * cells_ : 0);
    for (int64_t p = 0; packs && p < cells_; p += depth_)
      own(a + ROWS * p, parts_a_.part(0), i, rows, p, std::min(depth_, cells_ - p), Kernel::pack_a);
    for (int64_t x = 0; x < columns; x += COLUMNS)
      for (int64_t p = 0; p == 0 || p < cells_; p += depth_) {
        const int64_t depth = std::min(depth_, cells_ - p);
        const Cell *panel = packed_b_[0] + (j + x) * cells_ + COLUMNS * p;
        const Cell *packed = packs ? a + ROWS * p : packed_a_[0] + round_up(m_, ROWS) * p + i * depth;
        const Elements<Cell> memory{direct_a_.data + i * direct_a_.row + p * direct_a_.step, direct_a_.row, direct_a_.step};
        const Elements<Cell> left[] = {direct_a_.data ? memory : Kernel::panel_a(packed, a_.along_k, depth)};
        const Elements<Cell> right[] = {Kernel::panel_b(panel)};
        Kernel::corner(left, right, depth, c + x, ld, rows, std::min<int64_t>(COLUMNS, columns - x), p > 0 || add,
                       reinterpret_cast<const char *>(panel), 0, c + x);
      }
  }

  void multiply(Sum *c, int64_t ld, int64_t i, int64_t j, int64_t rows, int64_t columns, bool add) {
    if constexpr (PARTS == 1)
      if (whole_panels_ && rows <= ROWS) return stream(c, ld, i, j, rows, columns, add);
    const typename Kernel::Use use;
    const int64_t size_a = tile_m_ * depth_, size_b = tile_n_ * depth_;
    Scratch<Cell> a(packed_a_[0] || direct_a_.data ? 0 : PARTS * size_a), b(packed_b_[0] || direct_b_.data ? 0 : PARTS * size_b);
    for (int64_t p = 0; p == 0 || p < cells_; p += depth_) {
      const int64_t depth = std::min(depth_, cells_ - p);
      const Cell *left[PARTS], *right[PARTS];
      for (int part = 0; part < PARTS; part++) {
        left[part] = direct_a_.data ? direct_a_.data + i * direct_a_.row + p * direct_a_.step
                     : packed_a_[part] ? packed_a_[part] + round_up(m_, ROWS) * p + i * depth
                                       : own(a + part * size_a, parts_a_.part(part), i, rows, p, depth, Kernel::pack_a);
        right[part] = direct_b_.data ? direct_b_.data + j * direct_b_.row + p * direct_b_.step
                      : whole_panels_ ? packed_b_[part] + COLUMNS * p + j * cells_
                      : packed_b_[part] ? packed_b_[part] + round_up(n_, COLUMNS) * p + j * depth
                                        : own(b + part * size_b, parts_b_.part(part), j, columns, p, depth, Kernel::pack_b);
      }
      block(left, right, depth, c, ld, rows, columns, p > 0 || add);
    }
  }

  static const Cell *own(Cell *to, const Operand<Cell> &source, int64_t x, int64_t count, int64_t p, int64_t depth, Pack pack) {
    pack(to, source, x, count, p, depth);
    return to;
  }

  using Panels = const Cell *[PARTS];
  void block(const Panels &a, const Panels &b, int64_t depth, Sum *c, int64_t ld, int64_t rows, int64_t columns, bool add) {
    const bool direct = direct_b_.data;
    const int64_t panel = direct ? 1 : whole_panels_ ? cells_ : depth;  // cells from the B of a column to that of the next panel
    // The corners that read a panel of B prefetch the next one, each of them `share` of its COLUMNS. Otherwise the first corner that reads
    // a panel would wait for all of it.
    const int64_t share = ceil_div(COLUMNS, ceil_div(rows, ROWS));
    for (int64_t j = 0; j < columns; j += COLUMNS) {
      const bool last = direct || j + COLUMNS >= columns;
      Elements<Cell> left[PARTS], right[PARTS];
      for (int part = 0; part < PARTS; part++) {
        const Cell *const from = b[part] + j * panel;
        right[part] = direct ? Elements<Cell>{from, 1, direct_b_.step} : Kernel::panel_b(from);
      }
      for (int64_t i = 0; i < rows; i += ROWS) {
        for (int part = 0; part < PARTS; part++) {
          const Elements<Cell> memory{a[part] + i * direct_a_.row, direct_a_.row, direct_a_.step};
          left[part] = direct_a_.data ? memory : Kernel::panel_a(a[part] + i * depth, a_.along_k, depth);
        }
        const auto *ahead = reinterpret_cast<const char *>(right[0].data + (last ? 0 : COLUMNS * panel + i / ROWS * share * depth));
        const Sum *next = i + ROWS < rows ? c + (i + ROWS) * ld + j : c + (last ? 0 : j + COLUMNS);
        Kernel::corner(left, right, depth, c + i * ld + j, ld, std::min<int64_t>(ROWS, rows - i), std::min<int64_t>(COLUMNS, columns - j),
                       add, ahead, last ? 0 : share * int64_t(sizeof(Cell)), next);
      }
    }
  }

#if defined(CASTOR_PAIRS)
  // The parts of an infinity, of NaN, and of a float32 that is rounded to infinity are not all finite, and make the sums NaN or infinite.
  // Therefore each sum that is not finite is computed again by multiply-add instructions.
  void repair(Sum *c, int64_t ld, int64_t i, int64_t j, int64_t rows, int64_t columns) const {
    // Without the sign, the bits of floats are in the order of their values, and those of infinity and NaN are the largest.
    uint32_t largest = 0;
    for (int64_t r = 0; r < rows; r++)
      for (int64_t x = 0; x < columns; x++) largest = std::max(largest, bit_cast<uint32_t>(c[r * ld + x]) & 0x7fffffff);
    if (largest < bit_cast<uint32_t>(INFINITY)) return;
    Scratch<float> right(rows * columns);
    Result<float> whole({right, DType::f32, columns, 1}, columns);
    whole.alone = true;
    const Slice<float> a(a_, i, 0), b(b_, j, 0);
    BlockedGemm<Fma<float>>(rows, columns, k_, a, b, whole).run();
    for (int64_t r = 0; r < rows; r++)
      for (int64_t x = 0; x < columns; x++) c[r * ld + x] = std::isfinite(c[r * ld + x]) ? c[r * ld + x] : right[r * columns + x];
  }
#endif
};

}  // namespace castor::CASTOR_ISA
