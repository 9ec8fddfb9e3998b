// Products of pairs of bfloat16: the cells of their operands, and the vector instruction vdpbf16ps.
#pragma once
#if defined(CASTOR_MODEL)
#include "model.h"
#elif defined(CASTOR_PAIRS)
#include <immintrin.h>
#endif
#include "gemm_kernel.h"

namespace castor::CASTOR_ISA {

#if defined(CASTOR_PAIRS)

using Pair = uint32_t;  // two bfloat16, that of the smaller k in the lower half

template <> inline constexpr int LANES<Pair> = LANES<float>;

template <int PARTS, int TERMS> struct Lanes<Pairs<PARTS, TERMS>> {
  using Cell = Pair;
  typedef Pair Cells __attribute__((vector_size(VECTOR_BYTES)));
  typedef float Sums __attribute__((vector_size(VECTOR_BYTES)));
#if defined(CASTOR_MODEL)
  // The instruction for tests on machines without it: the product of the upper halves first, each sum rounded.
  static Sums add_product(Sums sum, Cells left, Cells right) {
    for (int i = 0; i < LANES<float>; i++)
      for (int half = 1; half >= 0; half--) sum[i] += half_of(left[i], half) * half_of(right[i], half);
    return sum;
  }
#else
  static Sums add_product(Sums sum, Cells left, Cells right) {
    return Sums(_mm512_dpbf16_ps(__m512(sum), __m512bh(left), __m512bh(right)));
  }
#endif
};

// Part PART of a value: its rounding to bfloat16, or the rounding of what that leaves.
static inline BFloat part_of(BFloat x, int) { return x; }
static inline BFloat part_of(float x, int part) {
  const BFloat high = to_bfloat(x);
  return part == 0 ? high : to_bfloat(x - to_float(high));
}

// One part of an operand, read as pairs: cell p of a line holds the elements 2 p and 2 p + 1 along k. Elements beyond k are zero.
template <class Line> class Paired final : public Operand<Pair> {
 public:
  Paired(const Operand<Line> &source, int64_t k, int part) : Operand<Pair>(source.along_k), source_(source), k_(k), part_(part) {}
  const Pair *line(Pair *scratch, int64_t fixed, int64_t from, int64_t count) const override {
    return this->along_k ? along(scratch, fixed, from, count) : across(scratch, fixed, from, count);
  }

 private:
  const Operand<Line> &source_;
  int64_t k_;
  int part_;

  const Pair *along(Pair *scratch, int64_t fixed, int64_t from, int64_t count) const {
    alignas(64) Line buffer[2 * LINE];
    const int64_t n = std::max(int64_t(0), std::min(2 * count, k_ - 2 * from));
    const Line *line = source_.line(buffer, fixed, 2 * from, n);
    // Vectors and single cells are read as they lie, with the alignment of bfloat16.
    if (std::is_same_v<Line, BFloat> && n == 2 * count && line != buffer) return reinterpret_cast<const Pair *>(line);
    auto *to = reinterpret_cast<BFloat *>(scratch);
    for (int64_t i = 0; i < n; i++) to[i] = part_of(line[i], part_);
    std::fill(to + n, to + 2 * count, BFloat(0));
    return scratch;
  }

  const Pair *across(Pair *scratch, int64_t p, int64_t from, int64_t count) const {
    alignas(64) Line buffer[2][LINE];
    alignas(64) static const Line zeros[LINE] = {};
    const Line *lines[2];
    for (int64_t i = 0; i < 2; i++) lines[i] = 2 * p + i < k_ ? source_.line(buffer[i], 2 * p + i, from, count) : zeros;
    CASTOR_IVDEP
    for (int64_t x = 0; x < count; x++)
      scratch[x] = Pair(part_of(lines[0][x], part_)) | Pair(part_of(lines[1][x], part_)) << 16;
    return scratch;
  }
};

#endif

}  // namespace castor::CASTOR_ISA
