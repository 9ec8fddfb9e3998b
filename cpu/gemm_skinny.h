// Skinny products of at most SKINNY rows, such as a vector times a matrix. Each element of B is used only a few times, so packing B would
// cost more than it saves.
#pragma once
#include "gemm_epilogue.h"
#include "vectors.h"

namespace castor::CASTOR_ISA {

constexpr int64_t SKINNY = 4;  // the largest number of rows

template <class T> class SkinnyGemm {
 public:
  SkinnyGemm(int64_t m, int64_t n, int64_t k, const Operand<T> &a, const Operand<T> &b, const Result<T> &c)
      : m_(m), n_(n), k_(k), pitch_(round_up(k, RUN)), b_(b), c_(c), left_(m * pitch_) {
    std::fill_n(static_cast<T *>(left_), m * pitch_, T(0));
    T scratch[LINE];
    for (int64_t i = 0; i < m && a.along_k; i++)
      for (int64_t p = 0; p < k; p += LINE)
        std::copy_n(a.line(scratch, i, p, std::min(LINE, k - p)), std::min(LINE, k - p), left_ + i * pitch_ + p);
    for (int64_t p = 0; p < k && !a.along_k; p++) {
      const T *column = a.line(scratch, p, 0, m);
      for (int64_t i = 0; i < m; i++) left_[i * pitch_ + p] = column[i];
    }
  }

  void run() const {
    const int64_t work = std::max(int64_t(1), m_ * k_ * WIDTH);
    parallel_for(ceil_div(n_, WIDTH), c_.alone ? n_ : std::max(int64_t(1), TASK / work), [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; s++) strip(s * WIDTH, std::min(WIDTH, n_ - s * WIDTH));
    });
  }

 private:
  static constexpr int64_t WIDTH = 128, RUN = 8, DOTS = 4, TASK = 1 << 17;
  typedef Lane<T> Vector __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(T)), may_alias));
  int64_t m_, n_, k_, pitch_;
  const Operand<T> &b_;
  const Result<T> &c_;
  Scratch<T> left_;  // (m, k), with further rows of zeros

  void strip(int64_t j, int64_t n) const {
    alignas(64) T sums[SKINNY][WIDTH] = {};
    for (int64_t i = 0; i < m_ && c_.accumulate; i++) std::copy_n(static_cast<T *>(c_.data) + c_.offset(i, j), n, sums[i]);
    if (b_.along_k) dots(sums, j, n);
    else combinations(sums, j, n);
    for (int64_t i = 0; i < m_; i++) {
      apply_epilogue(sums[i], n, c_, i, j);
      store_line(c_, i, j, sums[i], n);
    }
  }

  // Adds multiples of the rows of B, RUN rows at a time. Rows beyond k count as zeros.
  void combinations(T (&sums)[SKINNY][WIDTH], int64_t j, int64_t n) const {
    alignas(64) T buffer[RUN][WIDTH];
    static const T zeros[WIDTH] = {};
    for (int64_t p = 0; p < k_; p += RUN) {
      const T *lines[RUN];
      for (int64_t r = 0; r < RUN; r++) lines[r] = p + r < k_ ? b_.line(buffer[r], p + r, j, n) : zeros;
      for (int64_t i = 0; i < m_; i++) {
        const T *left = left_ + i * pitch_ + p;
        CASTOR_IVDEP
        for (int64_t x = 0; x < n; x++) {
          Lane<T> sum = sums[i][x];
          for (int64_t r = 0; r < RUN; r++) sum += Lane<T>(left[r]) * Lane<T>(lines[r][x]);
          sums[i][x] = T(sum);
        }
      }
    }
  }

  // Dot products with the columns of B, which are contiguous along k.
  void dots(T (&sums)[SKINNY][WIDTH], int64_t j, int64_t n) const {
    alignas(64) T buffer[DOTS][LINE];
    for (int64_t x = 0; x < n; x += DOTS)
      for (int64_t p = 0; p < k_; p += LINE) {
        const T *lines[DOTS];
        const int64_t count = std::min(LINE, k_ - p);
        for (int64_t r = 0; r < DOTS; r++) lines[r] = b_.line(buffer[r], j + std::min(x + r, n - 1), p, count);
        for (int64_t i = 0; i < m_; i++) dot(sums[i] + x, std::min(DOTS, n - x), left_ + i * pitch_ + p, lines, count);
      }
  }

  static void dot(T *sums, int64_t n, const T *left, const T *const (&lines)[DOTS], int64_t count) {
    auto vector = [](const T *x) { return reinterpret_cast<const Vector *>(x); };
    Vector total[DOTS] = {};
    Lane<T> rest[DOTS] = {};
    int64_t p = 0;
    for (; p + LANES<T> <= count; p += LANES<T>)
      for (int64_t r = 0; r < DOTS; r++) total[r] += *vector(left + p) * *vector(lines[r] + p);
    for (; p < count; p++)
      for (int64_t r = 0; r < DOTS; r++) rest[r] += Lane<T>(left[p]) * Lane<T>(lines[r][p]);
    for (int64_t r = 0; r < n; r++) {
      const T whole = fold_vectors(reinterpret_cast<const T *>(&total[r]), LANES<T>, [](auto a, auto b) { return a + b; });
      sums[r] = m::add(sums[r], m::add(whole, T(rest[r])));
    }
  }
};

}  // namespace castor::CASTOR_ISA
