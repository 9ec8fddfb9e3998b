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

// Part PART of a value: its rounding to bfloat16, or the rounding of what that leaves. The parts of a float16 are the upper 8 of its 11
// significant bits and the other 3, so that neither is rounded.
template <int PART> BFloat part_of(BFloat x) { return x; }
template <int PART> BFloat part_of(float x) {
  const BFloat high = to_bfloat(x);
  return PART == 0 ? high : to_bfloat(x - to_float(high));
}
template <int PART> BFloat part_of(Half h) {
  const float x = to_float(h), high = bit_cast<float>(bit_cast<uint32_t>(x) & 0xffff0000);
  return BFloat(uint16_t(bit_cast<uint32_t>(PART == 0 ? high : x - high) >> 16));
}

// to[i] = part PART of from[i].
template <int PART, class T> void split(BFloat *to, const T *from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = part_of<PART>(from[i]);
}

// to[i] = the pair of part PART of low[i] and of high[i].
template <int PART, class T> void split_pairs(Pair *to, const T *low, const T *high, int64_t n) {
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) to[i] = Pair(part_of<PART>(low[i])) | Pair(part_of<PART>(high[i])) << 16;
}

#if !defined(CASTOR_MODEL)
// The floats whose upper 16 bits are part PART of 16 elements of float16.
template <int PART> __m512i parts_of(const Half *from) {
  const __m512 x = load_vector(from);
  const __m512i high = _mm512_maskz_and_epi32(ALL, _mm512_castps_si512(x), _mm512_set1_epi32(int(0xffff0000)));
  return PART == 0 ? high : _mm512_castps_si512(_mm512_maskz_sub_ps(ALL, x, _mm512_castsi512_ps(high)));
}

template <int PART> void split(BFloat *to, const Half *from, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + i),
                        _mm512_maskz_cvtepi32_epi16(ALL, _mm512_maskz_srli_epi32(ALL, parts_of<PART>(from + i), 16)));
  split<PART, Half>(to + i, from + i, n - i);
}

template <int PART> void split_pairs(Pair *to, const Half *low, const Half *high, int64_t n) {
  const __m512i upper = _mm512_set1_epi32(int(0xffff0000));
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m512i right = _mm512_maskz_srli_epi32(ALL, parts_of<PART>(low + i), 16), left = parts_of<PART>(high + i);
    _mm512_storeu_si512(to + i, _mm512_maskz_or_epi32(ALL, right, _mm512_maskz_and_epi32(ALL, left, upper)));
  }
  split_pairs<PART, Half>(to + i, low + i, high + i, n - i);
}
#endif

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
    const int64_t n = std::max(int64_t(0), std::min(2 * count, k_ - 2 * from));
    auto *to = reinterpret_cast<BFloat *>(scratch);
    if (const Half *halves = source_.halves(fixed, 2 * from)) {
      with_part([&](auto part) { split<part.value>(to, halves, n); });
    } else {
      alignas(64) Line buffer[2 * LINE];
      const Line *line = source_.line(buffer, fixed, 2 * from, n);
      // Vectors and single cells are read as they lie, with the alignment of bfloat16.
      if (std::is_same_v<Line, BFloat> && n == 2 * count && line != buffer) return reinterpret_cast<const Pair *>(line);
      with_part([&](auto part) { split<part.value>(to, line, n); });
    }
    std::fill(to + n, to + 2 * count, BFloat(0));
    return scratch;
  }

  const Pair *across(Pair *scratch, int64_t p, int64_t from, int64_t count) const {
    alignas(64) static const Line zeros[LINE] = {};
    if (2 * p >= k_) return std::fill_n(scratch, count, Pair(0)), scratch;
    const bool half_empty = 2 * p + 1 >= k_;
    if (const Half *low = source_.halves(2 * p, from)) {
      const Half *high = half_empty ? reinterpret_cast<const Half *>(zeros) : source_.halves(2 * p + 1, from);
      with_part([&](auto part) { split_pairs<part.value>(scratch, low, high, count); });
      return scratch;
    }
    alignas(64) Line buffer[2][LINE];
    const Line *low = source_.line(buffer[0], 2 * p, from, count);
    const Line *high = half_empty ? zeros : source_.line(buffer[1], 2 * p + 1, from, count);
    with_part([&](auto part) { split_pairs<part.value>(scratch, low, high, count); });
    return scratch;
  }

  // Calls f with the part as a constant, so that the loop in f makes one part only.
  template <class F> void with_part(F f) const {
    if (part_ == 0) f(std::integral_constant<int, 0>());
    else f(std::integral_constant<int, 1>());
  }
};

#endif

}  // namespace castor::CASTOR_ISA
