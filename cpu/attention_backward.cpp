// The gradient of attention, a block of scores at a time. The probabilities P are computed again from the scores and the logsumexp of the
// forward pass:
// dV = P' dO,  dS = P (dO V' - rowsum(dO O)),  dQ = scale dS K,  dK = scale dS' Q.
// With dropout D, which is linear: dV = D(P)' dO,  dS = P (D(dO V') - rowsum(dO O)).
#include "attention.h"
#include "../kernels/table.h"

namespace castor::CASTOR_ISA {
namespace {

template <class Unit> struct Backward {
  using T = typename Unit::Sum;
  const Heads<Unit> &h;
  const View &grad, &out, &logsumexp, &grad_q, &grad_k, &grad_v;

  void run(int64_t head) const {
    Scratch<T> dk(h.keys * h.e), dv(h.keys * h.f);
    std::fill_n(static_cast<T *>(dk), h.keys * h.e, T(0));
    std::fill_n(static_cast<T *>(dv), h.keys * h.f, T(0));
    for (int64_t i = 0; i < h.queries; i += QUERIES) block(head, i, dk, dv);
    write(grad_k, head, 0, h.keys, dk, h.e);
    write(grad_v, head, 0, h.keys, dv, h.f);
  }

 private:
  void write(const View &to, int64_t head, int64_t i, int64_t n, const T *from, int64_t columns) const {
    for (int64_t r = 0; r < n; r++) store<T>(at(to, h.offset(to, head, i + r)), to.dtype, to.stride[3], from + r * columns, columns);
  }

  // One block of queries: writes its rows of dQ, and adds to dK and dV.
  void block(int64_t head, int64_t i, T *dk, T *dv) const {
    const int64_t n = std::min(QUERIES, h.queries - i), keys = h.visible(i + n), e = h.e, f = h.f;
    Scratch<T> p(QUERIES * KEYS), ds(QUERIES * KEYS), dq(QUERIES * e);
    T lse[QUERIES], delta[QUERIES];
    load(lse, at(logsumexp, h.offset(logsumexp, head, i)), logsumexp.dtype, logsumexp.stride[2], n);
    for (int64_t r = 0; r < n; r++) delta[r] = dot(head, i + r);
    std::fill_n(static_cast<T *>(dq), n * e, T(0));
    const Matrix dout = h.rows(grad, head, i);
    for (int64_t j = 0; j < keys; j += KEYS) {
      const int64_t columns = std::min(KEYS, keys - j);
      h.scores(p, head, i, n, j, columns);
      h.multiply(n, columns, f, dout, h.transposed(h.rows(h.v, head, j)), ds, KEYS, false);
      for (int64_t r = 0; r < n; r++) {
        T *const scores = p + r * KEYS, *const gradients = ds + r * KEYS;
        if (h.dropping.p == 0) differentiate(scores, gradients, columns, lse[r], delta[r]);
        else differentiate_dropped(head, i + r, j, scores, gradients, columns, lse[r], delta[r]);
      }
      h.multiply(columns, f, n, h.transposed(h.block(p, KEYS)), dout, dv + j * f, f, true);
      h.multiply(columns, e, n, h.transposed(h.block(ds, KEYS)), h.rows(h.q, head, i), dk + j * e, e, true);
      h.multiply(n, e, columns, h.block(ds, KEYS), h.rows(h.k, head, j), dq, e, true);
    }
    write(grad_q, head, i, n, dq, e);
  }

  // rowsum(dO O) of one row, the term that the gradient of softmax subtracts.
  T dot(int64_t head, int64_t row) const {
    T sum = 0;
    for (int64_t x = 0; x < h.f; x += TILE) {
      alignas(64) T left[TILE], right[TILE];
      const int64_t n = std::min<int64_t>(TILE, h.f - x);
      load(left, at(grad, h.offset(grad, head, row) + x * grad.stride[3]), grad.dtype, grad.stride[3], n);
      load(right, at(out, h.offset(out, head, row) + x * out.stride[3]), out.dtype, out.stride[3], n);
      for (int64_t c = 0; c < n; c++) left[c] *= right[c];
      std::fill(left + n, left + h.padded(n), T(0));
      sum += fold_vectors(left, h.padded(n), [](auto a, auto b) { return a + b; });
    }
    return sum;
  }

  // Turns p from scores into probabilities, and ds from the gradient of the probabilities into that of q k'. A row that sees no key has no
  // gradient.
  void differentiate(T *p, T *ds, int64_t n, T lse, T delta) const {
    const T scale = h.scale, base = lse == HIDDEN<T> ? -HIDDEN<T> : lse;
    CASTOR_IVDEP
    for (int64_t x = 0; x < n; x++) {
      p[x] = m::exp_minus(base - p[x]);
      ds[x] = p[x] * (ds[x] - delta) * scale;
    }
  }

  // The same with dropout, whose output p becomes: its gradient is that of v, and ds passes through it.
  void differentiate_dropped(int64_t head, int64_t query, int64_t key, T *p, T *ds, int64_t n, T lse, T delta) const {
    const T scale = h.scale, kept = h.kept(), base = lse == HIDDEN<T> ? -HIDDEN<T> : lse;
    alignas(64) T kept_at[KEYS];
    std::fill_n(kept_at, n, T(1));
    h.each_dropped(head, query, key, n, [&](int64_t x) { kept_at[x] = 0; });
    CASTOR_IVDEP
    for (int64_t x = 0; x < n; x++) {
      const T probability = m::exp_minus(base - p[x]);
      const bool keep = kept_at[x] != 0;
      ds[x] = probability * ((keep ? ds[x] * kept : T(0)) - delta) * scale;
      p[x] = keep ? probability * kept : T(0);
    }
  }
};

}  // namespace

void attention_backward(const View &grad, const View &q, const View &k, const View &v, const View *mask, const View &out,
                        const View &logsumexp, const View &grad_q, const View &grad_k, const View &grad_v, double scale, bool causal,
                        const Dropping &dropping) {
  with_float_unit(product_type(grad.dtype, q.dtype, k.dtype, v.dtype), [&](auto unit) {
    using Unit = decltype(unit);
    const Heads<Unit> h{q, k, v, mask, typename Unit::Sum(scale), causal, dropping};
    const Backward<Unit> backward{h, grad, out, logsumexp, grad_q, grad_k, grad_v};
    parallel_for(h.heads, h.grain(h.queries), [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; head++) backward.run(head);
    });
  });
}

}  // namespace castor::CASTOR_ISA
