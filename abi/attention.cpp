// Checks the arguments of attention and its gradient, and calls the kernels of their device.
#include "check.h"
#include "error.h"

using namespace castor;

namespace {

// Sizes, named as in castor.h: queries (B, H, L, E), keys (B, H, S, E), values (B, H, S, F).
struct Heads { int64_t B, H, L, S, E, F; };

Heads expect_heads(const Argument &q, const Argument &k, const Argument &v, const Input *mask) {
  for (const Argument *a : {&q, &k, &v}) {
    expect_rank(*a, 4);
    expect_float_dtype(*a);
  }
  const Heads n{q.size[0], q.size[1], q.size[2], k.size[2], q.size[3], v.size[3]};
  expect_sizes(&k, {n.B, n.H, n.S, n.E});
  expect_sizes(&v, {n.B, n.H, n.S, n.F});
  expect_broadcasts(mask, "the scores", {n.B, n.H, n.L, n.S});
  if (mask && mask->dtype != DType::boolean) expect_float_dtype(*mask);
  return n;
}

void expect_logsumexp(const Argument &logsumexp, const Argument &q, const Heads &n) {
  expect_sizes(&logsumexp, {n.B, n.H, n.L});
  expect_dtype(&logsumexp, statistics_dtype(q));
}

}  // namespace

int32_t castor_attention(castor_address q, castor_address k, castor_address v, castor_address mask, castor_address out,
                         castor_address logsumexp, double scale, int32_t causal, double p, double seed, double offset) {
  return guard("attention", [&] {
    Call call;
    const Input queries(call, "q", q), keys(call, "k", k), values(call, "v", v);
    const Optional<Input> masked(call, "mask", mask);
    const Output y(call, "out", out), lse(call, "logsumexp", logsumexp);
    const Heads n = expect_heads(queries, keys, values, masked);
    expect_sizes(&y, {n.B, n.H, n.L, n.F});
    expect_logsumexp(lse, queries, n);
    const Dropping dropping = expect_dropping(call, p, seed, offset);
    if (lse.numel() > 0) call.kernels().attention(queries, keys, values, masked, y, lse, scale, causal != 0, dropping);
  });
}

int32_t castor_attention_backward(castor_address grad, castor_address q, castor_address k, castor_address v, castor_address mask,
                                  castor_address out, castor_address logsumexp, castor_address grad_q, castor_address grad_k,
                                  castor_address grad_v, double scale, int32_t causal, double p, double seed, double offset) {
  return guard("attention_backward", [&] {
    Call call;
    const Input g(call, "grad", grad), queries(call, "q", q), keys(call, "k", k), values(call, "v", v);
    const Optional<Input> masked(call, "mask", mask);
    const Input y(call, "out", out), lse(call, "logsumexp", logsumexp);
    const Output gq(call, "grad_q", grad_q), gk(call, "grad_k", grad_k), gv(call, "grad_v", grad_v);
    const Heads n = expect_heads(queries, keys, values, masked);
    for (const Input *a : {&g, &y}) expect_sizes(a, {n.B, n.H, n.L, n.F});
    expect_logsumexp(lse, queries, n);
    expect_same_sizes(&gq, queries);
    expect_same_sizes(&gk, keys);
    expect_same_sizes(&gv, values);
    const Dropping dropping = expect_dropping(call, p, seed, offset);
    call.kernels().attention_backward(g, queries, keys, values, masked, y, lse, gq, gk, gv, scale, causal != 0, dropping);
  });
}
