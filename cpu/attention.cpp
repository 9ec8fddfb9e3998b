// Attention with a running softmax (Milakov, Gimelshein: Online normalizer calculation for softmax; 2018). The scores of one head are
// computed in blocks of QUERIES x KEYS. A block that raises the maximum of a row rescales what the row has summed so far.
#include "attention.h"
#include "../kernels/table.h"

namespace castor::CASTOR_ISA {
namespace {

// The running state of a row: the maximum of its scores so far, and the sum of the exponentials of the scores minus this maximum.
template <class T> struct Row {
  T top = HIDDEN<T>, sum = 0;
  T base() const { return top == HIDDEN<T> ? T(0) : top; }
};

// Turns n scores, a multiple of LANES, into exponentials. Returns the factor by which the row's earlier sums shrink.
template <class T> T exponentials(Row<T> &row, T *x, int64_t n) {
  const T before = row.top;
  row.top = std::max(before, fold_vectors(x, n, [](auto a, auto b) { return a > b ? a : b; }));
  const T base = row.base(), shrink = m::exp(before - base);
  CASTOR_IVDEP
  for (int64_t i = 0; i < n; i++) x[i] = m::exp(x[i] - base);
  row.sum = row.sum * shrink + fold_vectors(x, n, [](auto a, auto b) { return a + b; });
  return shrink;
}

template <class Unit> void forward_block(const Heads<Unit> &h, int64_t head, int64_t i, const View &out, const View &logsumexp) {
  using T = typename Unit::Sum;
  const int64_t n = std::min(QUERIES, h.queries - i), f = h.f, keys = h.visible(i + n);
  Scratch<T> scores(QUERIES * KEYS), sums(QUERIES * f);
  Row<T> row[QUERIES];
  std::fill_n(static_cast<T *>(sums), n * f, T(0));
  for (int64_t j = 0; j < keys; j += KEYS) {
    const int64_t columns = std::min(KEYS, keys - j);
    h.scores(scores, head, i, n, j, columns);
    for (int64_t r = 0; r < n; r++) {
      const T shrink = exponentials(row[r], scores + r * KEYS, h.padded(columns));
      for (int64_t x = 0; x < f; x++) sums[r * f + x] *= shrink;
    }
    h.multiply(n, f, columns, h.block(scores, KEYS), h.rows(h.v, head, j), sums, f, true);
  }
  for (int64_t r = 0; r < n; r++) {
    const T factor = row[r].sum == 0 ? T(0) : 1 / row[r].sum, lse = row[r].base() + m::log(row[r].sum);
    for (int64_t x = 0; x < f; x++) sums[r * f + x] *= factor;
    store<T>(at(out, h.offset(out, head, i + r)), out.dtype, out.stride[3], sums + r * f, f);
    store<T>(at(logsumexp, h.offset(logsumexp, head, i + r)), logsumexp.dtype, 1, &lse, 1);
  }
}

}  // namespace

void attention(const View &q, const View &k, const View &v, const View *mask, const View &out, const View &logsumexp, double scale,
               bool causal) {
  with_float_unit(product_type(q.dtype, k.dtype, v.dtype), [&](auto unit) {
    using Unit = decltype(unit);
    const Heads<Unit> h{q, k, v, mask, typename Unit::Sum(scale), causal};
    const int64_t blocks = (h.queries + QUERIES - 1) / QUERIES;
    parallel_for(h.heads * blocks, h.grain(QUERIES), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) forward_block(h, t / blocks, t % blocks * QUERIES, out, logsumexp);
    });
  });
}

}  // namespace castor::CASTOR_ISA
