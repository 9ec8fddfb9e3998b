import { current } from '../../context.ts';
import { attentionBackward, type AttentionParams } from '../../dispatch/fusedAttention.ts';
import { attentionProbabilities } from '../attention.ts';
import { dropoutBy } from '../primitives.ts';
import { float32, promote } from '../../tensor/dtype.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { together, type Saved } from '../../autograd/derivative.ts';
import type { DerivativesOf } from './formulas.ts';

const swap = (x: Tensor): Tensor => x.transpose(-2, -1);
const wide = (x: Tensor): Tensor => x.to(promote(x.info, float32).name);

/**
 * With P the probabilities and D their dropout, which is linear: dv = D(P)^T g, dP = D(g v^T), dS = P (dP - rowsum(P dP)), dq = scale dS k,
 * dk = scale dS^T q.
 */
export function attentionGrads(g: Tensor, s: Saved<AttentionParams>): (Tensor | null)[] {
  if (current().grad) return differentiableGrads(g, s);
  const saved = { q: s.a, k: s.b, v: s.c, mask: s.d, out: s.out, logsumexp: s.extra(0)! };
  const infos = [s.a, s.b, s.c].map((t, i) => (s.needs(i) ? s.infoOf(i) : t.info));
  return [...attentionBackward(s.op, g, saved, s.params, infos), s.needs(3) ? ofScores(g, s).scores : null];
}

function differentiableGrads(g: Tensor, s: Saved<AttentionParams>): (Tensor | null)[] {
  const { p, scores, grad } = ofScores(g, s);
  const { scale } = s.params;
  return [
    s.needs(0) ? scores.matmul(wide(s.b)).mul(scale) : null,
    s.needs(1) ? swap(scores).matmul(wide(s.a)).mul(scale) : null,
    s.needs(2) ? swap(dropped(p, s)).matmul(grad) : null,
    s.needs(3) ? scores : null,
  ];
}

/** Computes the probabilities, the scores and the gradient of the scores, in float32 or float64 as the kernel does. */
function ofScores(g: Tensor, s: Saved<AttentionParams>): { p: Tensor; scores: Tensor; grad: Tensor } {
  const grad = wide(g);
  const p = attentionProbabilities(wide(s.a), wide(s.b), s.d, s.params);
  const toP = dropped(grad.matmul(swap(wide(s.c))), s);
  return { p, scores: p.mul(toP.sub(p.mul(toP).sum(-1, { keepdim: true }))), grad };
}

const dropped = (x: Tensor, { params: { dropout } }: Saved<AttentionParams>): Tensor =>
  dropout === null ? x : dropoutBy(x, dropout);

/** The derivative of attention. */
export const attention = {
  scaledDotProductAttention: together(['a', 'b', 'c', 'd', 'out', 'extra'], attentionGrads),
} satisfies DerivativesOf<'attention'>;
