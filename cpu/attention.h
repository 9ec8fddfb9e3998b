// Code of attention and its gradient: the matrices of one head, and its scores block by block. The whole matrix of scores (L, S) is
// never in memory.
#pragma once
#include "../kernels/math.h"
#include "gemm.h"
#include "random_words.h"
#include "vectors.h"

namespace castor::CASTOR_ISA {

constexpr int64_t QUERIES = 64, KEYS = 256;  // of a block, so that its scores fit in the L2 cache beside the operands

// with_unit() for dtypes of floats.
template <class F> void with_float_unit(DType d, F f) {
  with_unit(d, [&](auto unit) {
    if constexpr (!std::is_same_v<decltype(unit), Fma<int64_t>>) f(unit);
  });
}

template <class T> constexpr T HIDDEN = -std::numeric_limits<T>::infinity();  // the score of a key that the query may not see

template <class Unit> struct Heads {
  using T = typename Unit::Sum;
  const View &q, &k, &v;
  const View *mask;
  T scale;
  bool causal;
  const Dropping &dropping;
  int64_t heads = q.size[0] * q.size[1], queries = q.size[2], keys = k.size[2], e = q.size[3], f = v.size[3];

  int64_t offset(const View &x, int64_t head, int64_t row) const {
    return head / q.size[1] * x.stride[0] + head % q.size[1] * x.stride[1] + row * x.stride[2];
  }
  Matrix rows(const View &x, int64_t head, int64_t row) const { return {at(x, offset(x, head, row)), x.dtype, x.stride[2], x.stride[3]}; }
  static Matrix block(T *data, int64_t columns) { return {data, dtype_of<T>, columns, 1}; }
  static Matrix transposed(const Matrix &a) { return {a.data, a.dtype, a.column, a.row}; }

  // c (m, n) = a (m, k) b (k, n), added to c if `add`, computed on the calling thread.
  static void multiply(int64_t m, int64_t n, int64_t k, const Matrix &a, const Matrix &b, T *c, int64_t ld, bool add) {
    Result<T> result(block(c, ld), n);
    result.accumulate = add;
    result.alone = true;
    gemm<Unit>(m, n, k, a, b, result);
  }

  // The number of heads, or of blocks of `rows` queries, that are worth a chunk of a thread.
  int64_t grain(int64_t rows) const {
    return std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, std::min(rows, queries) * keys * (e + f)));
  }

  // The number of keys that a query before `end` may see.
  int64_t visible(int64_t end) const { return causal ? std::min(keys, end) : keys; }

  // The factor by which dropout multiplies the probabilities that it keeps: 1 / (1 - p), and 0 for p = 1, which keeps none.
  T kept() const { return dropping.p < 1 ? T(1 / (1 - dropping.p)) : T(0); }

  // Calls drop(x) for those of `columns` keys from j on whose probability dropout makes 0 for query i.
  template <class F> void each_dropped(int64_t head, int64_t i, int64_t j, int64_t columns, F drop) const {
    if (dropping.p == 0) return;
    const uint32_t limit = threshold(dropping.p);
    const int64_t first = (head * queries + i) * keys + j, before = first % 4;
    alignas(64) uint32_t word[KEYS + 8];
    random_words(word, {dropping.seed, dropping.offset}, first - before, columns + before);
    for (int64_t x = 0; x < columns; x++)
      if (word[before + x] >> 8 < limit) drop(x);
  }

  // The length of a row of scores, rounded up to whole vectors. The rest of the row is filled with HIDDEN.
  static int64_t padded(int64_t columns) { return round_up(columns, LANES<T>); }

  // to (n, KEYS) = scale q k' + mask, for n queries from i on and `columns` keys from j on.
  void scores(T *to, int64_t head, int64_t i, int64_t n, int64_t j, int64_t columns) const {
    multiply(n, columns, e, rows(q, head, i), transposed(rows(k, head, j)), to, KEYS, false);
    for (int64_t r = 0; r < n; r++) {
      T *row = to + r * KEYS;
      for (int64_t x = 0; x < columns; x++) row[x] *= scale;
      if (mask) apply_mask(row, head, i + r, j, columns);
      const int64_t seen = causal ? std::min(columns, std::max<int64_t>(0, i + r + 1 - j)) : columns;
      std::fill(row + seen, row + padded(columns), HIDDEN<T>);
    }
  }

 private:
  // Adds the mask. Its axes are aligned with the last axes of (B, H, L, S), and an axis of size 1 broadcasts.
  void apply_mask(T *row, int64_t head, int64_t query, int64_t key, int64_t n) const {
    const int64_t index[4] = {head / q.size[1], head % q.size[1], query, key};
    int64_t offset = 0, step = 0;
    for (int axis = 0; axis < mask->rank; axis++) {
      if (mask->size[axis] == 1) continue;
      offset += index[4 - mask->rank + axis] * mask->stride[axis];
      if (axis == mask->rank - 1) step = mask->stride[axis];
    }
    alignas(64) T scratch[KEYS];
    const T *values = load_or_borrow(scratch, at(*mask, offset), mask->dtype, step, n);
    if (is_float(mask->dtype)) for (int64_t x = 0; x < n; x++) row[x] += values[x];
    else for (int64_t x = 0; x < n; x++) row[x] = values[x] != 0 ? row[x] : HIDDEN<T>;
  }
};

}  // namespace castor::CASTOR_ISA
