// Attention with a running softmax (Milakov, Gimelshein: Online normalizer calculation for softmax; 2018). The scores of one head are
// computed in blocks of QUERIES x KEYS. A block that raises the maximum of a row rescales what the row has summed so far. Where a head has
// few queries, as in decoding, its keys are divided among the threads (Dao, Haziza, Massa, Sizov: Flash-Decoding; 2023).
#include "attention.h"
#include "fold.h"
#include "../kernels/table.h"

namespace castor::CASTOR_ISA {
namespace {

// The number of keys of a part, a multiple of KEYS.
constexpr int64_t SHARE = 1024;

// The running state of a row: the maximum of its scores so far, and the sum of the exponentials of the scores minus this maximum.
template <class T> struct Row {
  T top = HIDDEN<T>, sum = 0;
  T base() const { return top == HIDDEN<T> ? T(0) : top; }
};

// Turns n scores, a multiple of LANES, into exponentials. Returns the factor by which the row's earlier sums shrink.
template <class T> T exponentials(Row<T> &row, T *x, int64_t n) {
  constexpr int COUNT = FOLD_LANES<T>;
  const T before = row.top;
  row.top = std::max(before, fold(n, HIDDEN<T>, [](auto a, auto b) { return a > b ? a : b; }, [=](int64_t i) { return x[i]; }));
  const T base = row.base(), shrink = m::exp(before - base);
  T lane[COUNT] = {};
  const auto plus = [](auto a, auto b) { return a + b; };
  fold_into(lane, n, plus, [=](int64_t i) { return x[i] = m::exp_minus(base - x[i]); });
  row.sum = row.sum * shrink + fold_lanes<COUNT>(lane, plus);
  return shrink;
}

template <class Unit> struct Forward {
  using T = typename Unit::Sum;
  const Heads<Unit> &h;
  const View &out, &logsumexp;

  // Computes the queries of one head from i on.
  void block(int64_t head, int64_t i) const {
    const int64_t n = std::min(QUERIES, h.queries - i);
    Scratch<T> sums(n * h.f);
    Row<T> rows[QUERIES];
    attend(head, i, n, 0, h.visible(i + n), sums, rows);
    write(head, i, n, sums, rows);
  }

  // The same for heads of at most QUERIES queries and many keys, which are divided into parts of SHARE keys: the parts are computed side by
  // side, and joined in their order. How they are divided does not depend on the number of threads, nor on the number of heads.
  void in_parts(int64_t keys) const {
    const int64_t parts = (keys + SHARE - 1) / SHARE, n = h.queries;
    Scratch<T> sums(h.heads * parts * n * h.f);
    Scratch<Row<T>> rows(h.heads * parts * n);
    parallel_for(h.heads * parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) {
        const int64_t from = t % parts * SHARE;
        attend(t / parts, 0, n, from, std::min(keys, from + SHARE), sums + t * n * h.f, rows + t * n);
      }
    });
    parallel_for(h.heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; head++) {
        T *const first = sums + head * parts * n * h.f;
        Row<T> *const first_row = rows + head * parts * n;
        for (int64_t part = 1; part < parts; part++)
          for (int64_t r = 0; r < n; r++) join(first_row[r], first + r * h.f, first_row[part * n + r], first + (part * n + r) * h.f);
        write(head, 0, n, first, first_row);
      }
    });
  }

 private:
  // The running softmax of n queries from i on over the keys from..to: their rows, and the sums (n, F) of exponentials times values.
  void attend(int64_t head, int64_t i, int64_t n, int64_t from, int64_t to, T *sums, Row<T> *rows) const {
    Scratch<T> scores(QUERIES * KEYS);
    std::fill_n(rows, n, Row<T>());
    std::fill_n(sums, n * h.f, T(0));
    for (int64_t j = from; j < to; j += KEYS) {
      const int64_t columns = std::min(KEYS, to - j);
      h.scores(scores, head, i, n, j, columns);
      for (int64_t r = 0; r < n; r++) {
        const T shrink = exponentials(rows[r], scores + r * KEYS, h.padded(columns));
        for (int64_t x = 0; x < h.f; x++) sums[r * h.f + x] *= shrink;
        h.each_dropped(head, i + r, j, columns, [row = scores + r * KEYS](int64_t x) { row[x] = 0; });
      }
      h.multiply(n, h.f, columns, h.block(scores, KEYS), h.rows(h.v, head, j), sums, h.f, true);
    }
  }

  // Adds what other keys have given a row. A NaN among the scores of either makes the row NaN, as it does within a block.
  void join(Row<T> &row, T *sums, const Row<T> &other, const T *others) const {
    const Row<T> before = row;
    row.top = std::max(before.top, other.top);
    const T base = row.base(), mine = m::exp(before.top - base), theirs = m::exp(other.top - base);
    row.sum = before.sum * mine + other.sum * theirs;
    for (int64_t x = 0; x < h.f; x++) sums[x] = sums[x] * mine + others[x] * theirs;
  }

  void write(int64_t head, int64_t i, int64_t n, T *sums, const Row<T> *rows) const {
    for (int64_t r = 0; r < n; r++) {
      const T factor = rows[r].sum == 0 ? T(0) : h.kept() / rows[r].sum, lse = rows[r].base() + m::log(rows[r].sum);
      for (int64_t x = 0; x < h.f; x++) sums[r * h.f + x] *= factor;
      store<T>(at(out, h.offset(out, head, i + r)), out.dtype, out.stride[3], sums + r * h.f, h.f);
      store<T>(at(logsumexp, h.offset(logsumexp, head, i + r)), logsumexp.dtype, 1, &lse, 1);
    }
  }
};

}  // namespace

void attention(const View &q, const View &k, const View &v, const View *mask, const View &out, const View &logsumexp, double scale,
               bool causal, const Dropping &dropping) {
  with_float_unit(product_type(q.dtype, k.dtype, v.dtype), [&](auto unit) {
    using Unit = decltype(unit);
    const Heads<Unit> h{q, k, v, mask, typename Unit::Sum(scale), causal, dropping};
    const Forward<Unit> forward{h, out, logsumexp};
    const int64_t blocks = (h.queries + QUERIES - 1) / QUERIES, keys = h.visible(h.queries);
    if (blocks == 1 && keys > SHARE) return forward.in_parts(keys);
    parallel_for(h.heads * blocks, h.grain(QUERIES), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) forward.block(t / blocks, t % blocks * QUERIES);
    });
  });
}

}  // namespace castor::CASTOR_ISA
