import { together, type Saved } from '../../autograd/derivative.ts';
import { normBackward, type NormParams } from '../../dispatch/axes.ts';
import { batchGroupNormBackward, type BatchGroupNormParams } from '../../dispatch/batchGroupNorm.ts';
import { numelOf } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { differentiating, wantedOf, widened, type DerivativesOf } from './formulas.ts';

type Read = 'a' | 'b' | 'extra';

function normGrads(g: Tensor, s: Saved<NormParams, Read>): (Tensor | null)[] {
  const wanted = wantedOf(s);
  const { n, eps, centred } = s.params;
  if (!differentiating()) {
    const saved = { x: s.a, weight: s.b as Tensor | null, rstd: s.extra(0)!, mean: s.extra(1) };
    return normBackward(s.op, g.contiguous(), saved, n, wanted);
  }
  const [x, grad] = [s.a, g].map(t => widened(t).reshape([n === 0 ? 0 : t.numel / n, n])) as [Tensor, Tensor];
  const mean = centred ? x.mean(1, { keepdim: true }) : 0;
  const rstd = x.sub(mean).square().mean(1, { keepdim: true }).add(eps).rsqrt();
  const xhat = x.sub(mean).mul(rstd);
  const weighted = s.b === null ? grad : grad.mul(s.b.reshape([n]));
  const inner = weighted.sub(xhat.mul(weighted.mul(xhat).mean(1, { keepdim: true })));
  const gx = (centred ? inner.sub(weighted.mean(1, { keepdim: true })) : inner).mul(rstd).reshape(s.a.shape);
  const to = (i: number, sum: () => Tensor): Tensor | null => (wanted[i] ? sum().reshape(s.shapeOf(i)) : null);
  return [gx, to(1, () => grad.mul(xhat).sum(0)), to(2, () => grad.sum(0))];
}

function batchGroupNormGrads(g: Tensor, s: Saved<BatchGroupNormParams, Read>): (Tensor | null)[] {
  const wanted = wantedOf(s);
  const { groups, eps, statistics } = s.params;
  const saved = { x: s.a, weight: s.b as Tensor | null, rstd: s.extra(0)!, mean: s.extra(1)! };
  if (!differentiating()) return batchGroupNormBackward(s.op, g.contiguous(), saved, groups, wanted);
  const [n, c] = s.a.shape as [number, number];
  // The statistics are those of a group of each sample, or of one channel of the whole batch.
  const shape = [n, groups, c / groups, numelOf(s.a.shape.slice(2))];
  const axes = statistics === 'group' ? [2, 3] : [0, 2, 3];
  const mean = (t: Tensor): Tensor => t.mean(axes, { keepdim: true });
  const [x, grad] = [s.a, g].map(t => widened(t).reshape(shape)) as [Tensor, Tensor];
  const weighted = saved.weight === null ? grad : grad.mul(saved.weight.reshape([groups, c / groups, 1]));
  const given = statistics === 'running';
  const apart = x.sub(given ? saved.mean.reshape([c, 1, 1]) : mean(x));
  const rstd = given ? saved.rstd.reshape([c, 1, 1]) : mean(apart.square()).add(eps).rsqrt();
  const xhat = apart.mul(rstd);
  const inner = given ? weighted : weighted.sub(mean(weighted)).sub(xhat.mul(mean(weighted.mul(xhat))));
  const to = (i: number, sum: () => Tensor): Tensor | null => (wanted[i] ? sum().reshape([c]) : null);
  return [inner.mul(rstd).reshape(s.a.shape), to(1, () => grad.mul(xhat).sum([0, 3])), to(2, () => grad.sum([0, 3]))];
}

/** The derivatives of norms. */
export const norms = {
  layerNorm: together(['a', 'b', 'extra'], normGrads),
  rmsNorm: together(['a', 'b', 'extra'], normGrads),
  batchNorm: together(['a', 'b', 'extra'], batchGroupNormGrads),
  batchNormEval: together(['a', 'b', 'extra'], batchGroupNormGrads),
  groupNorm: together(['a', 'b', 'extra'], batchGroupNormGrads),
} satisfies DerivativesOf<'norm' | 'batchGroupNorm'>;
