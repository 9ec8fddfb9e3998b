import { on, type PartialDerivative, type Saved, type SavedCall } from '../../autograd/derivative.ts';
import { softmaxBackward, type AxisParams, type ReduceParams } from '../../dispatch/axes.ts';
import { full } from '../../tensor/create.ts';
import { numelOf, type Shape } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { sliceBackward } from '../primitives.ts';
import { differentiating, nonzero, wide, zeros, zerosFor, type DerivativesOf } from './formulas.ts';

/** Returns the gradient with the reduced axes inserted again, with size 1. */
function restore(t: Tensor, { axes, keepdim }: ReduceParams, shape: Shape): Tensor {
  if (keepdim) return t;
  return t.reshape(shape.map((size, axis) => (axes.includes(axis) ? 1 : size)));
}

/** Returns a gradient at a reduced output, broadcast to every element that was reduced. */
const spread = (g: Tensor, s: SavedCall<ReduceParams>): Tensor =>
  restore(g, s.params, s.shapeOf(0)).expand(s.shapeOf(0));

const countOf = (s: SavedCall<ReduceParams>): number => s.params.axes.reduce((n, axis) => n * s.shapeOf(0)[axis]!, 1);

/**
 * Divides a gradient evenly among the elements where `hit` is true; the others get 0. They are counted in int64, because a 16-bit float
 * cannot count many. If none is true (the result is NaN, which equals no element), the gradient is NaN.
 */
function shared(g: Tensor, hit: Tensor, axes: readonly number[]): Tensor {
  const count = hit.sum(axes, { keepdim: true });
  const others = count.eq(0).to(g.dtype).maskedFill(count.eq(0), NaN);
  return g.div(count).where(hit, others);
}

const extreme: readonly PartialDerivative<ReduceParams>[] = [
  on(['a', 'out'], (g, s) => {
    const hit = s.a.eq(restore(s.out, s.params, s.a.shape));
    return shared(restore(g, s.params, s.a.shape), hit, s.params.axes);
  }),
];

/** Computes the sum from each element to the end of the axis. */
const tailSum = (x: Tensor, axis: number): Tensor => {
  const reversed = (t: Tensor): Tensor => t.slice(axis, null, null, -1);
  return reversed(reversed(x).cumsum(axis));
};

/** Computes the gradient of the variance for an incoming gradient of 1. */
function varSlope(s: Saved<ReduceParams, 'a'>): Tensor {
  const { axes, p0: correction } = s.params;
  return s.a.sub(s.a.mean(axes, { keepdim: true })).mul(2 / Math.max(countOf(s) - correction, 0));
}

const softmaxGrad = wide<AxisParams, 'out'>(['out'], (g, { out, params: { axis } }) =>
  out.mul(g.sub(g.mul(out).sum(axis, { keepdim: true }))),
);

const logSoftmaxGrad = wide<AxisParams, 'out'>(['out'], (g, { out, params: { axis } }) =>
  g.sub(out.exp().mul(g.sum(axis, { keepdim: true }))),
);

/** Shifts x by `by` positions towards the end of an axis; the first positions become `fill`. */
function pushed(x: Tensor, axis: number, by: number, fill: 0 | 1): Tensor {
  const { shape } = x;
  const size = Math.max(shape[axis]! - by, 0);
  const moved = sliceBackward(x.narrow(axis, 0, size), { axis, start: shape[axis]! - size, size, step: 1, shape });
  if (fill === 0) return moved;
  const start = full(shape.with(axis, shape[axis]! - size), 1, { dtype: x.dtype, device: x.device });
  return moved.add(sliceBackward(start, { axis, start: 0, size: shape[axis]! - size, step: 1, shape }));
}

/** Shifts x by `by` positions towards the start of an axis; the last positions become 0. */
function pulled(x: Tensor, axis: number, by: number): Tensor {
  const { shape } = x;
  const size = Math.max(shape[axis]! - by, 0);
  return sliceBackward(x.narrow(axis, shape[axis]! - size, size), { axis, start: 0, size, step: 1, shape });
}

/**
 * Computes, for each element, the product of all other elements that prod() multiplies it with. It does not divide, so that it is right
 * for elements that are 0, as are derivatives of every order.
 */
function productOfOthers(x: Tensor, axes: readonly number[]): Tensor {
  const order = [...x.shape.keys()].filter(axis => !axes.includes(axis)).concat(axes);
  const grouped = x.permute(order);
  const kept = grouped.shape.slice(0, x.rank - axes.length);
  const last = kept.length;
  const rows = grouped.reshape([...kept, numelOf(grouped.shape.slice(last))]);
  const before = (t: Tensor): Tensor => pushed(t, last, 1, 1).cumprod(last);
  const others = before(rows).mul(before(rows.flip(last)).flip(last));
  return others.reshape(grouped.shape).permute(order.map((_, axis) => order.indexOf(axis)));
}

/**
 * Computes the gradient of cumprod: d out_i / d a_k = out_i / a_k for i >= k, as long as no element was 0. At the first zero it is the
 * product of the other elements, and behind it 0.
 */
function cumprodGrad(g: Tensor, a: Tensor, axis: number): Tensor {
  if (differentiating()) return cumprodGradByProducts(g, a, axis);
  const isZero = a.eq(0);
  const before = isZero.cumsum(axis).eq(0);
  const first = isZero.logicalAnd(isZero.cumsum(axis).eq(1));
  const smooth = tailSum(g.mul(a.cumprod(axis)), axis).div(nonzero(a));
  const atZero = tailSum(g.mul(a.maskedFill(first, 1).cumprod(axis)), axis);
  return smooth.where(before, atZero.where(first, 0));
}

/**
 * Computes the gradient of cumprod without a division: the product of all elements before k, times S_k = g_k + a_(k+1) S_(k+1). Both are
 * found by doubling the distance in each step, with sums and products alone, so that derivatives of every order are right for elements
 * that are 0.
 */
function cumprodGradByProducts(g: Tensor, a: Tensor, axis: number): Tensor {
  let before = pushed(a, axis, 1, 1);
  let sums = g;
  let factors = pulled(a, axis, 1);
  for (let step = 1; step < a.shape[axis]!; step *= 2) {
    before = before.mul(pushed(before, axis, step, 1));
    sums = sums.add(factors.mul(pulled(sums, axis, step)));
    factors = factors.mul(pulled(factors, axis, step));
  }
  return before.mul(sums);
}

/** |a|^(p - 1) sign(a) / out^(p - 1), and 0 if out is 0. */
function normGrad(g: Tensor, s: Saved<ReduceParams, 'a' | 'out'>): Tensor {
  const p = s.params.p0;
  const up = spread(g, s);
  const out = restore(s.out, s.params, s.a.shape);
  if (p === 0) return zeros(up);
  if (p === 1) return up.mul(s.a.sign());
  if (Math.abs(p) === Infinity) return shared(up, s.a.abs().eq(out), s.params.axes).mul(s.a.sign());
  if (p === 2) return up.mul(s.a.div(nonzero(out)).maskedFill(out.eq(0), 0));
  const share = nonzero(s.a).abs().div(nonzero(out));
  return up
    .mul(s.a.sign())
    .mul(share.pow(p - 1))
    .maskedFill(s.a.eq(0), 0);
}

/** The derivatives of reductions and of ops along an axis. */
export const reductions = {
  sum: [on([], spread)],
  mean: [on([], (g, s) => spread(g, s).div(countOf(s)))],
  prod: [wide(['a'], (g, s) => spread(g, s).mul(productOfOthers(s.a, s.params.axes)))],
  max: extreme,
  min: extreme,
  argmax: 'none',
  argmin: 'none',
  any: 'none',
  all: 'none',
  norm: [wide(['a', 'out'], (g, s) => normGrad(g, s))],
  var: [wide(['a'], (g, s) => spread(g, s).mul(varSlope(s)))],
  // If all values are equal the standard deviation has no derivative; its gradient is taken as 0.
  std: [
    wide(['a', 'out'], (g, s) => {
      const out = restore(s.out, s.params, s.a.shape);
      const up = restore(g, s.params, s.a.shape).div(nonzero(out).mul(2)).maskedFill(out.eq(0), 0);
      return up.mul(varSlope(s));
    }),
  ],
  logSumExp: [wide(['a', 'out'], (g, s) => spread(g, s).mul(s.a.sub(restore(s.out, s.params, s.a.shape)).exp()))],
  countNonzero: 'none',
  cumsum: [on([], (g, { params }) => tailSum(g, params.axis))],
  cumprod: [wide(['a'], (g, s) => cumprodGrad(g, s.a, s.params.axis))],
  softmax: [
    on(['out'], (g, s) =>
      differentiating()
        ? softmaxGrad.formula(g, s as Saved<AxisParams>)
        : softmaxBackward(s.op, g, s.out, s.params.axis),
    ),
  ],
  logSoftmax: [
    on(['out'], (g, s) =>
      differentiating()
        ? logSoftmaxGrad.formula(g, s as Saved<AxisParams>)
        : softmaxBackward(s.op, g, s.out, s.params.axis),
    ),
  ],
  sort: [on(['extra'], (g, s) => zerosFor(s, 0, g).scatterAdd(s.params.axis, s.extra(0)!, g))],
} satisfies DerivativesOf<'reduce' | 'scan' | 'softmax' | 'sort'>;
