// Chooses how a matrix product (see gemm.h) is computed: in blocks, as a skinny product, transposed, or in slices of k.
#include "gemm.h"
#include "gemm_blocked.h"
#include "gemm_skinny.h"

namespace castor::CASTOR_ISA {
namespace {

constexpr int64_t FEW_SUMS = int64_t(1) << 14;
constexpr int64_t SLICE = int64_t(1) << 12;  // terms of a slice of k, at least

template <class Unit> using Lines = Operand<typename Unit::Line>;
template <class Unit> using Sums = Result<typename Unit::Sum>;

template <class Unit> void unswapped(int64_t m, int64_t n, int64_t k, const Lines<Unit> &a, const Lines<Unit> &b, const Sums<Unit> &c) {
  if (m <= SKINNY) SkinnyGemm<typename Unit::Sum>(m, n, k, widened(a), widened(b), c).run();
  else BlockedGemm<Unit>(m, n, k, a, b, c).run();
}

// Split-K: few sums of many terms have too few blocks to distribute. Each slice of k is a product of its own, and the partial sums are
// added in order.
template <class Unit> void split_k(int64_t m, int64_t n, int64_t k, const Lines<Unit> &a, const Lines<Unit> &b, const Sums<Unit> &c) {
  using Sum = typename Unit::Sum;
  const int64_t depth = std::max(SLICE, round_up(ceil_div(k, 16), 256)), slices = ceil_div(k, depth), size = m * n;
  Scratch<Sum> sums(slices * size);
  parallel_for(slices, 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; s++) {
      Sums<Unit> part({sums + s * size, dtype_of<Sum>, n, 1}, n);
      part.alone = true;
      using Part = Slice<typename Unit::Line>;
      gemm<Unit>(m, n, std::min(depth, k - s * depth), Part(a, 0, s * depth), Part(b, 0, s * depth), part);
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

template <class Unit> void gemm(int64_t m, int64_t n, int64_t k, const Lines<Unit> &a, const Lines<Unit> &b, Sums<Unit> c) {
  if (m == 0 || n == 0) return;
  if (m * n <= FEW_SUMS && k >= 2 * SLICE && !c.accumulate) return split_k<Unit>(m, n, k, a, b, c);
  // Computes C' = B' A' instead if the lines of C then run along its memory, or if that makes the product skinny.
  if (c.low.size == n && (n <= SKINNY || std::abs(c.row) < std::abs(c.low.stride)) && m > SKINNY && !c.accumulate) {
    std::swap(c.row, c.low.stride);
    std::swap(c.bias_row, c.bias_column);
    c.low.size = m;
    return unswapped<Unit>(n, m, k, b, a, c);
  }
  unswapped<Unit>(m, n, k, a, b, c);
}

const int panel_columns = NR<Fma<float>>;

void gemm_packed(int64_t m, int64_t n, int64_t k, const Matrix &a, const float *panels, const Result<float> &c) {
  if (m == 0 || n == 0) return;
  const Strided<float> rows(a, a.row, a.column), unused({nullptr, DType::f32, 0, 1}, 1, 0);
  BlockedGemm<Fma<float>>(m, n, k, rows, unused, c).run(panels);
}

#define CASTOR_INSTANTIATE(...) \
  template void gemm<__VA_ARGS__>(int64_t, int64_t, int64_t, const Lines<__VA_ARGS__> &, const Lines<__VA_ARGS__> &, Sums<__VA_ARGS__>);
CASTOR_INSTANTIATE(Fma<float>)
CASTOR_INSTANTIATE(Fma<double>)
CASTOR_INSTANTIATE(Fma<int64_t>)
#if defined(CASTOR_PAIRS)
CASTOR_INSTANTIATE(Pairs<1, 1>)
#endif
#if defined(CASTOR_TILES)
CASTOR_INSTANTIATE(Pairs<2, 3>)
CASTOR_INSTANTIATE(Pairs<2, 4>)
#endif
#undef CASTOR_INSTANTIATE

}  // namespace castor::CASTOR_ISA
