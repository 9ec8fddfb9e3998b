// Matrix products (see gemm.h), blocked for the caches (Goto, van de Geijn: Anatomy of high-performance matrix multiplication; 2008). Each
// task computes one block of C. It walks k in blocks of DEPTH and packs the operand panels that it alone reads. Panels that several tasks
// read are packed once, before, by all threads. Every element is a sum in a fixed order, so neither blocking nor the number of threads
// changes a result.
#include "gemm.h"
#include "gemm_epilogue.h"
#include "gemm_kernel.h"
#include "gemm_pack.h"
#include "gemm_skinny.h"

namespace castor::CASTOR_ISA {
namespace {

constexpr int64_t DEPTH = 256;                     // a panel of B stays in the L1 cache, a task's block of A in the L2 cache
constexpr int64_t TILE_M = 192, TILE_N = 384;
constexpr int64_t TASK = int64_t(1) << 18;         // multiplications; a task has no fewer
constexpr int64_t FEW_SUMS = int64_t(1) << 14;
constexpr int64_t SLICE = int64_t(1) << 12;        // terms of a slice of k, at least
constexpr int64_t SHARED = int64_t(1) << 23;       // elements; a larger operand is packed by each task for itself

template <class T> class BlockedGemm {
 public:
  BlockedGemm(int64_t m, int64_t n, int64_t k, const Operand<T> &a, const Operand<T> &b, const Result<T> &c)
      : m_(m), n_(n), k_(k), a_(a), b_(b), c_(c) {
    // Blocks of even depth: 300 is divided into twice 150, not into 256 and 44.
    depth_ = std::max(int64_t(1), ceil_div(k, std::max(int64_t(1), ceil_div(k, DEPTH))));
    tile_m_ = std::min(round_up(m, MR), round_up(ceil_div(m, ceil_div(m, TILE_M)), MR));
    tile_n_ = std::min(round_up(n, NR<T>), round_up(ceil_div(n, ceil_div(n, TILE_N)), NR<T>));
    const int64_t wanted = c.alone || thread_count() == 1 ? 1 : 3 * thread_count();
    while (tiles_m() * tiles_n() < wanted && tile_m_ * tile_n_ * k > 2 * TASK && halve()) {}
  }

  void run() {
    const bool share_a = tiles_n() > 1 && m_ * k_ <= SHARED, share_b = tiles_m() > 1 && n_ * k_ <= SHARED;
    Scratch<T> a(share_a ? round_up(m_, MR) * k_ : 0), b(share_b ? round_up(n_, NR<T>) * k_ : 0);
    if (share_a) packed_a_ = share<MR>(a, a_, m_);
    if (share_b) packed_b_ = share<NR<T>>(b, b_, n_);
    parallel_for(tiles_m() * tiles_n(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) tile(t / tiles_n() * tile_m_, t % tiles_n() * tile_n_);
    });
  }

 private:
  int64_t m_, n_, k_, depth_, tile_m_, tile_n_;
  const Operand<T> &a_, &b_;
  const Result<T> &c_;
  const T *packed_a_ = nullptr, *packed_b_ = nullptr;  // [block of depth][panel][p][x]

  int64_t tiles_m() const { return ceil_div(m_, tile_m_); }
  int64_t tiles_n() const { return ceil_div(n_, tile_n_); }
  bool halve() {
    const bool columns = tile_n_ > tile_m_ && tile_n_ > NR<T>;
    if (columns) tile_n_ = round_up(tile_n_ / 2, NR<T>);
    else if (tile_m_ > MR) tile_m_ = round_up(tile_m_ / 2, MR);
    else return false;
    return true;
  }

  template <int W> const T *share(T *to, const Operand<T> &source, int64_t count) {
    constexpr int64_t SPAN = LINE / W * W;
    const int64_t spans = ceil_div(count, SPAN), padded = round_up(count, W);
    parallel_for(spans * ceil_div(k_, depth_), std::max(int64_t(1), TASK / 4 / (depth_ * std::min(count, SPAN))),
                 [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; s++) {
        int64_t p = s / spans * depth_, x = s % spans * SPAN, depth = std::min(depth_, k_ - p);
        pack<T, W>(to + padded * p + x * depth, source, x, std::min(SPAN, count - x), p, depth);
      }
    });
    return to;
  }

  template <int W> const T *panels(T *own, const T *packed, const Operand<T> &source, int64_t total, int64_t x, int64_t count, int64_t p,
                                   int64_t depth) {
    if (packed) return packed + round_up(total, W) * p + x * depth;
    pack<T, W>(own, source, x, count, p, depth);
    return own;
  }

  // Whether the rows of the block are contiguous elements of T in memory, so that sums can be accumulated in C itself.
  bool in_memory(int64_t j, int64_t columns) const {
    return c_.dtype == dtype_of<T> && (c_.low.stride == 1 || columns == 1) && j % c_.low.size + columns <= c_.low.size;
  }

  void tile(int64_t i, int64_t j) {
    const int64_t rows = std::min(tile_m_, m_ - i), columns = std::min(tile_n_, n_ - j);
    const bool in_place = in_memory(j, columns);
    Scratch<T> a(packed_a_ ? 0 : tile_m_ * depth_), b(packed_b_ ? 0 : tile_n_ * depth_), sums(in_place ? 0 : tile_m_ * tile_n_);
    T *c = in_place ? static_cast<T *>(c_.data) + c_.offset(i, j) : sums;
    const int64_t ld = in_place ? c_.row : tile_n_;
    for (int64_t p = 0; p == 0 || p < k_; p += depth_) {
      const int64_t depth = std::min(depth_, k_ - p);
      const T *left = panels<MR>(a, packed_a_, a_, m_, i, rows, p, depth);
      const T *right = panels<NR<T>>(b, packed_b_, b_, n_, j, columns, p, depth);
      block(left, right, depth, c, ld, rows, columns, p > 0 || c_.accumulate);
    }
    if (in_place && !c_.bias && c_.activation == Activation::none) return;
    for (int64_t r = 0; r < rows; r++) {
      apply_epilogue(c + r * ld, columns, c_, i + r, j);
      if (!in_place) store_line(c_, i + r, j, c + r * ld, columns);
    }
  }

  void block(const T *a, const T *b, int64_t depth, T *c, int64_t ld, int64_t rows, int64_t columns, bool add) {
    for (int64_t j = 0; j < columns; j += NR<T>)
      for (int64_t i = 0; i < rows; i += MR)
        corner(a + i * depth, b + j * depth, depth, c + i * ld + j, ld, std::min<int64_t>(MR, rows - i),
               std::min<int64_t>(NR<T>, columns - j), add);
  }

  void corner(const T *a, const T *b, int64_t depth, T *c, int64_t ld, int64_t rows, int64_t columns, bool add) {
    const int64_t vectors = ceil_div(columns, LANES<T>);
    const Micro<T> kernel = micros<T>[(rows - 1) * VECTORS + vectors - 1];
    if (columns % LANES<T> == 0) return kernel(depth, a, b, c, ld, add);
    alignas(VECTOR_BYTES) T edge[MR * NR<T>];
    kernel(depth, a, b, edge, NR<T>, false);
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) c[i * ld + j] = add ? m::add(c[i * ld + j], edge[i * NR<T> + j]) : edge[i * NR<T> + j];
  }
};

template <class T> void unswapped(int64_t m, int64_t n, int64_t k, const Operand<T> &a, const Operand<T> &b, const Result<T> &c) {
  m <= SKINNY ? SkinnyGemm<T>(m, n, k, a, b, c).run() : BlockedGemm<T>(m, n, k, a, b, c).run();
}

// The part of an operand from p = start on.
template <class T> class Slice final : public Operand<T> {
 public:
  Slice(const Operand<T> &whole, int64_t start) : Operand<T>(whole.along_k), whole_(whole), start_(start) {}
  const T *line(T *scratch, int64_t fixed, int64_t from, int64_t count) const override {
    return this->along_k ? whole_.line(scratch, fixed, from + start_, count) : whole_.line(scratch, fixed + start_, from, count);
  }

 private:
  const Operand<T> &whole_;
  int64_t start_;
};

// Split-K: few sums of many terms have too few blocks to distribute. Each slice of k is a product of its own, and the partial sums are
// added in order.
template <class T> void split_k(int64_t m, int64_t n, int64_t k, const Operand<T> &a, const Operand<T> &b, const Result<T> &c) {
  const int64_t depth = std::max(SLICE, round_up(ceil_div(k, 16), DEPTH)), slices = ceil_div(k, depth), size = m * n;
  Scratch<T> sums(slices * size);
  parallel_for(slices, 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; s++) {
      Result<T> part({sums + s * size, dtype_of<T>, n, 1}, n);
      part.alone = true;
      gemm(m, n, std::min(depth, k - s * depth), Slice<T>(a, s * depth), Slice<T>(b, s * depth), part);
    }
  });
  for (int64_t s = 1; s < slices; s++)
    for (int64_t x = 0; x < size; x++) sums[x] = m::add(sums[x], sums[s * size + x]);
  for (int64_t i = 0; i < m; i++) {
    apply_epilogue(sums + i * n, n, c, i, 0);
    store_line(c, i, 0, sums + i * n, n);
  }
}

}  // namespace

template <class T> void gemm(int64_t m, int64_t n, int64_t k, const Operand<T> &a, const Operand<T> &b, Result<T> c) {
  if (m == 0 || n == 0) return;
  if (m * n <= FEW_SUMS && k >= 2 * SLICE && !c.accumulate) return split_k(m, n, k, a, b, c);
  // Computes C' = B' A' instead if the lines of C then run along its memory, or if that makes the product skinny.
  if (c.low.size == n && (n <= SKINNY || std::abs(c.row) < std::abs(c.low.stride)) && m > SKINNY && !c.accumulate) {
    std::swap(c.row, c.low.stride);
    std::swap(c.bias_row, c.bias_column);
    c.low.size = m;
    return unswapped(n, m, k, b, a, c);
  }
  unswapped(m, n, k, a, b, c);
}

template void gemm(int64_t, int64_t, int64_t, const Operand<float> &, const Operand<float> &, Result<float>);
template void gemm(int64_t, int64_t, int64_t, const Operand<double> &, const Operand<double> &, Result<double>);
template void gemm(int64_t, int64_t, int64_t, const Operand<int64_t> &, const Operand<int64_t> &, Result<int64_t>);

}  // namespace castor::CASTOR_ISA
