import { current } from '../context.ts';
import { crossEntropyBackward, normBackward, softmaxBackward, type Wanted } from '../dispatch/axes.ts';
import { channelNormBackward } from '../dispatch/channelNorm.ts';
import { binary, noScalars, type Scalars } from '../dispatch/elementwise.ts';
import type { KindParams } from '../dispatch/kinds.ts';
import type { Op, OpInfo } from '../dispatch/op.ts';
import { sliceOf, type SliceParams } from '../dispatch/views.ts';
import { maxPoolBackward } from '../dispatch/windows.ts';
import { opNumber } from '../ffi/library.ts';
import type { KindOf, OpName } from '../ops/table.ts';
import { full } from '../tensor/create.ts';
import { float32, promote, type DTypeInfo } from '../tensor/dtype.ts';
import { numelOf, type Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { attentionGrads } from './attention.ts';
import { A, B, C, D, EXTRA, OUT } from './record.ts';

/** What a formula may read: operands a to d, output and extra outputs, parameters. Only what the rule says it reads is there. */
export interface Saved<P = any> {
  readonly op: OpInfo;
  readonly params: P;
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  readonly d: Tensor | null;
  readonly out: Tensor;
  extra(i: number): Tensor | null;
  /** Does operand i want its gradient? */
  needs(i: number): boolean;
  /** Shape of operand i, which wants its gradient. */
  shapeOf(i: number): Shape;
  /** The dtype that its gradient is wanted in: its own, or float32 where it is a 16-bit copy that autocast made. */
  infoOf(i: number): DTypeInfo;
}

type Formula<P> = (g: Tensor, s: Saved<P>) => Tensor;
/** The gradient of one operand: which values it reads, and the formula, from g, the gradient at the output. */
interface Partial<P> {
  readonly reads: number;
  readonly formula: Formula<P>;
}
/**
 * One partial an operand; or one function for all operands together (a fused kernel gives them at once, or there may be
 * any count of them). 'none': not differentiable.
 */
export type Rule<P = any> =
  | 'none'
  | readonly Partial<P>[]
  | { readonly reads: number; readonly together: (g: Tensor, s: Saved<P>) => readonly (Tensor | null)[] };

const on = <P>(reads: number, formula: Formula<P>): Partial<P> => ({ reads, formula });
const same: Partial<any> = on(0, g => g);
const zeros = (g: Tensor): Tensor => full(g.shape, 0, { dtype: g.dtype, device: g.device });
const zero: readonly Partial<any>[] = [on(0, zeros), on(0, zeros)];

/** Will this gradient be differentiated again? Then formulas use differentiable ops instead of fused kernels. */
const differentiating = (): boolean => current().grad;

type BackwardKernel =
  `${'sigmoid' | 'tanh' | 'relu' | 'leakyRelu' | 'elu' | 'gelu' | 'geluTanh' | 'silu' | 'mish' | 'softplus' | 'clamp' | 'logSigmoid'}Backward`;
/** A fused elementwise backward of gradient and operand, with the same formula in differentiable ops. */
function fused(name: BackwardKernel, reads: number, slope: (x: Tensor, s: Saved<Scalars>) => Tensor): Partial<Scalars> {
  const op = { name, kind: 'binary', result: 'same', code: opNumber('binary', name) } as Op<'binary'>;
  return on(reads, (g, s) => {
    const x = reads === OUT ? s.out : s.a;
    return differentiating() ? g.mul(slope(x, s)) : (binary(op, [g, x], s.params ?? noScalars, null) as Tensor);
  });
}

/** The reduced axes put back with size 1. */
function restore(t: Tensor, { axes, keepdim }: KindParams['reduce'], shape: Shape): Tensor {
  if (keepdim) return t;
  return t.reshape(shape.map((size, axis) => (axes.includes(axis) ? 1 : size)));
}
/** A gradient at a reduced output, at every element that was reduced. */
const spread = (g: Tensor, s: Saved<KindParams['reduce']>): Tensor =>
  restore(g, s.params, s.shapeOf(0)).expand(s.shapeOf(0));
const countOf = (s: Saved<KindParams['reduce']>): number =>
  s.params.axes.reduce((n, axis) => n * s.shapeOf(0)[axis]!, 1);
/** Shared evenly among the elements that attained an extreme. */
const extreme: readonly Partial<KindParams['reduce']>[] = [
  on(A | OUT, (g, s) => {
    const hit = s.a.eq(restore(s.out, s.params, s.a.shape)).to(g.dtype);
    return restore(g, s.params, s.a.shape).mul(hit.div(hit.sum(s.params.axes, { keepdim: true })));
  }),
];
/** The operand that won; both alike when they are equal. */
const winner = (mine: (s: Saved) => Tensor, other: (s: Saved) => Tensor, wins: 'gt' | 'lt'): Partial<Scalars> =>
  on(A | B, (g, s) =>
    g.mul(
      mine(s)
        [wins](other(s))
        .to(g.dtype)
        .add(mine(s).eq(other(s)).to(g.dtype).mul(0.5)),
    ),
  );

/** exp(-x^2) * 2 / sqrt(pi): the slope of erf. */
const erfSlope = (x: Tensor): Tensor =>
  x
    .square()
    .neg()
    .exp()
    .mul(2 / Math.sqrt(Math.PI));
const sigmoidSlope = (y: Tensor): Tensor => y.mul(y.neg().add(1));
/** x with zeros replaced by 1, to divide by. */
const nonzero = (x: Tensor): Tensor => x.maskedFill(x.eq(0), 1);
/** Sums from each element to the end of the axis. */
const tailSum = (x: Tensor, axis: number): Tensor => {
  const reversed = (t: Tensor): Tensor => t.slice(axis, null, null, -1);
  return reversed(reversed(x).cumsum(axis));
};
/** The shapes and dtypes of the gradients of x, weight and bias; null for those that want none. */
const wantedOf = (s: Saved): [Wanted, Wanted, Wanted] => {
  const wanted = (i: number): Wanted => (s.needs(i) ? { shape: s.shapeOf(i), info: s.infoOf(i) } : null);
  return [wanted(0), wanted(1), wanted(2)];
};
/** Zeros that gradients of parts of operand i are summed into. */
const zerosFor = (s: Saved, i: number, g: Tensor): Tensor =>
  full(s.shapeOf(i), 0, { dtype: s.infoOf(i).name, device: g.device });
const swap = (x: Tensor): Tensor => x.transpose(-2, -1);
/** Formulas that take sums do so in float32. */
const wide = (t: Tensor): Tensor => t.to(promote(t.info, float32).name);
const rows = (x: Tensor): Tensor => x.reshape([numelOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);

/** How each op is differentiated. A missing row does not compile. Summing to the operand's shape, and its dtype, are the engine's job. */
export const derivatives: { readonly [N in OpName]: Rule<KindParams[KindOf<N>]> } = {
  abs: [on(A, (g, s) => g.mul(s.a.sign()))],
  neg: [on(0, g => g.neg())],
  sign: zero,
  floor: zero,
  ceil: zero,
  round: zero,
  trunc: zero,
  exp: [on(OUT, (g, s) => g.mul(s.out))],
  exp2: [on(OUT, (g, s) => g.mul(s.out).mul(Math.LN2))],
  expm1: [on(OUT, (g, s) => g.mul(s.out.add(1)))],
  log: [on(A, (g, s) => g.div(s.a))],
  log2: [on(A, (g, s) => g.div(s.a).mul(1 / Math.LN2))],
  log10: [on(A, (g, s) => g.div(s.a).mul(1 / Math.LN10))],
  log1p: [on(A, (g, s) => g.div(s.a.add(1)))],
  sqrt: [on(OUT, (g, s) => g.div(s.out).mul(0.5))],
  rsqrt: [on(OUT, (g, s) => g.mul(s.out.pow(3)).mul(-0.5))],
  reciprocal: [on(OUT, (g, s) => g.mul(s.out.square()).neg())],
  square: [on(A, (g, s) => g.mul(s.a).mul(2))],
  sin: [on(A, (g, s) => g.mul(s.a.cos()))],
  cos: [on(A, (g, s) => g.mul(s.a.sin()).neg())],
  tan: [on(OUT, (g, s) => g.mul(s.out.square().add(1)))],
  asin: [on(A, (g, s) => g.mul(s.a.square().neg().add(1).rsqrt()))],
  acos: [on(A, (g, s) => g.mul(s.a.square().neg().add(1).rsqrt()).neg())],
  atan: [on(A, (g, s) => g.div(s.a.square().add(1)))],
  sinh: [on(A, (g, s) => g.mul(s.a.cosh()))],
  cosh: [on(A, (g, s) => g.mul(s.a.sinh()))],
  tanh: [fused('tanhBackward', OUT, y => y.square().neg().add(1))],
  erf: [on(A, (g, s) => g.mul(erfSlope(s.a)))],
  erfc: [on(A, (g, s) => g.mul(erfSlope(s.a)).neg())],
  erfinv: [on(OUT, (g, s) => g.mul(s.out.square().exp()).mul(Math.sqrt(Math.PI) / 2))],
  sigmoid: [fused('sigmoidBackward', OUT, sigmoidSlope)],
  logSigmoid: [fused('logSigmoidBackward', A, x => x.neg().sigmoid())],
  relu: [fused('reluBackward', OUT, y => y.gt(0).to(y.dtype))],
  silu: [fused('siluBackward', A, x => x.sigmoid().add(x.mul(sigmoidSlope(x.sigmoid()))))],
  mish: [
    fused('mishBackward', A, x => {
      const t = x.softplus().tanh();
      return t.add(x.mul(t.square().neg().add(1)).mul(x.sigmoid()));
    }),
  ],
  isNaN: 'none',
  isInf: 'none',
  isFinite: 'none',
  logicalNot: 'none',
  // d/dx x Phi(x) = Phi(x) + x phi(x), with Phi and phi of the standard normal distribution.
  gelu: [
    fused('geluBackward', A, x => {
      const cdf = x.mul(Math.SQRT1_2).erf().add(1).mul(0.5);
      return cdf.add(x.mul(x.square().mul(-0.5).exp()).mul(1 / Math.sqrt(2 * Math.PI)));
    }),
  ],
  // 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3).
  geluTanh: [
    fused('geluTanhBackward', A, x => {
      const k = Math.sqrt(2 / Math.PI);
      const t = x.add(x.pow(3).mul(0.044715)).mul(k).tanh();
      const slope = x
        .square()
        .mul(3 * 0.044715)
        .add(1)
        .mul(k);
      return t
        .add(1)
        .add(x.mul(t.square().neg().add(1)).mul(slope))
        .mul(0.5);
    }),
  ],
  softplus: [fused('softplusBackward', A, (x, { params }) => x.mul(params.p0).sigmoid())],
  leakyRelu: [
    fused('leakyReluBackward', A, (x, { params }) =>
      x
        .gt(0)
        .to(x.dtype)
        .mul(1 - params.p0)
        .add(params.p0),
    ),
  ],
  elu: [fused('eluBackward', A, (x, { params }) => x.clamp({ max: 0 }).exp().mul(params.p0).where(x.le(0), 1))],
  clamp: [fused('clampBackward', A, (x, { params }) => x.ge(params.p0).logicalAnd(x.le(params.p1)).to(x.dtype))],

  add: [same, same],
  sub: [same, on(0, g => g.neg())],
  mul: [on(B, (g, s) => g.mul(s.b)), on(A, (g, s) => g.mul(s.a))],
  div: [on(B, (g, s) => g.div(s.b)), on(A | B, (g, s) => g.mul(s.a).div(s.b.square()).neg())],
  pow: [on(A | B, (g, s) => powBase(g, s.a, s.b)), on(A | B | OUT, (g, s) => powExponent(g, s.a, s.b, s.out))],
  maximum: [
    winner(
      s => s.a,
      s => s.b,
      'gt',
    ),
    winner(
      s => s.b,
      s => s.a,
      'gt',
    ),
  ],
  minimum: [
    winner(
      s => s.a,
      s => s.b,
      'lt',
    ),
    winner(
      s => s.b,
      s => s.a,
      'lt',
    ),
  ],
  fmod: [same, on(A | B, (g, s) => g.mul(s.b.reciprocal().mul(s.a).trunc()).neg())],
  remainder: [same, on(A | B, (g, s) => g.mul(s.b.reciprocal().mul(s.a).floor()).neg())],
  floorDivide: zero,
  atan2: [
    on(A | B, (g, s) => g.mul(s.b).div(s.a.square().add(squareOf(s.b)))),
    on(A | B, (g, s) =>
      g
        .mul(s.a)
        .div(s.b.square().add(squareOf(s.a)))
        .neg(),
    ),
  ],
  hypot: [on(A | OUT, (g, s) => g.mul(s.a).div(s.out)), on(B | OUT, (g, s) => g.mul(s.b).div(s.out))],
  logicalAnd: 'none',
  logicalOr: 'none',
  logicalXor: 'none',
  bitwiseAnd: 'none',
  bitwiseOr: 'none',
  bitwiseXor: 'none',
  eq: 'none',
  ne: 'none',
  lt: 'none',
  le: 'none',
  gt: 'none',
  ge: 'none',

  where: [on(0, zeros), on(A, (g, s) => g.where(s.a, 0)), on(A, (g, s) => g.where(s.a.logicalNot(), 0))],
  addcmul: [same, on(C, (g, s) => g.mul(s.c).mul(s.params.p0)), on(B, (g, s) => g.mul(s.b).mul(s.params.p0))],
  addcdiv: [
    same,
    on(C, (g, s) => g.div(s.c).mul(s.params.p0)),
    on(B | C, (g, s) => g.mul(s.b).div(s.c.square()).mul(-s.params.p0)),
  ],
  lerp: [
    on(C, (g, s) => g.sub(g.mul(s.c))),
    on(C, (g, s) => g.mul(s.c)),
    on(A | B, (g, s) => g.mul(s.b).sub(g.mul(s.a))),
  ],
  // The same random stream keeps the same elements.
  dropout: [on(0, (g, { params }) => g.dropoutWith(params))],
  triangle: [on(0, (g, { params }) => (params.upper ? g.triu(params.diagonal) : g.tril(params.diagonal)))],

  sum: [on(0, spread)],
  mean: [on(0, (g, s) => spread(g, s).div(countOf(s)))],
  prod: [on(A, (g, s) => prodGrad(g, s))],
  max: extreme,
  min: extreme,
  argmax: 'none',
  argmin: 'none',
  any: 'none',
  all: 'none',
  norm: [on(A | OUT, (g, s) => normGrad(g, s))],
  var: [
    on(A, (g, s) =>
      centred(s)
        .mul(spread(g, s))
        .mul(2 / Math.max(countOf(s) - s.params.p0, 0)),
    ),
  ],
  std: [
    on(A | OUT, (g, s) => {
      const scale = Math.max(countOf(s) - s.params.p0, 0);
      return centred(s)
        .mul(spread(g, s))
        .div(restore(s.out, s.params, s.a.shape).mul(scale));
    }),
  ],
  logSumExp: [on(A | OUT, (g, s) => spread(g, s).mul(s.a.sub(restore(s.out, s.params, s.a.shape)).exp()))],
  countNonzero: 'none',
  cumsum: [on(0, (g, { params }) => tailSum(g, params.axis))],
  cumprod: [on(A | OUT, (g, s) => cumprodGrad(g, s))],
  softmax: [
    on(OUT, (g, s) =>
      differentiating()
        ? s.out.mul(g.sub(g.mul(s.out).sum(s.params.axis, { keepdim: true })))
        : softmaxBackward(s.op as Op<'softmax'>, g, s.out, s.params.axis),
    ),
  ],
  logSoftmax: [
    on(OUT, (g, s) =>
      differentiating()
        ? g.sub(s.out.exp().mul(g.sum(s.params.axis, { keepdim: true })))
        : softmaxBackward(s.op as Op<'softmax'>, g, s.out, s.params.axis),
    ),
  ],
  sort: [on(EXTRA, (g, s) => zerosFor(s, 0, g).scatterAdd(s.params.axis, s.extra(0)!, g))],
  layerNorm: { reads: A | B | EXTRA, together: normGrads },
  rmsNorm: { reads: A | B | EXTRA, together: normGrads },
  batchNorm: { reads: A | B | EXTRA, together: channelNormGrads },
  batchNormEval: { reads: A | B | EXTRA, together: channelNormGrads },
  groupNorm: { reads: A | B | EXTRA, together: channelNormGrads },
  crossEntropy: [
    on(A | B | EXTRA, (g, s) => {
      if (!differentiating())
        return crossEntropyBackward(s.op as Op<'crossEntropy'>, g, s.a, s.b, s.extra(0)!, s.params);
      const { ignoreIndex, labelSmoothing } = s.params;
      const counted = s.b.ne(ignoreIndex);
      const classes = s.a.shape[1]!;
      const onehot = zeros(s.a.detach()).scatter(1, s.b.maskedFill(counted.logicalNot(), 0).unsqueeze(1), 1);
      const slope = s.a
        .softmax(1)
        .sub(onehot.mul(1 - labelSmoothing))
        .sub(labelSmoothing / classes);
      return slope.mul(g.mul(counted.to(g.dtype)).unsqueeze(1));
    }),
  ],

  gather: [on(B, (g, s) => zerosFor(s, 0, g).scatterAdd(s.params.axis, s.b, g)), on(0, zeros)],
  indexSelect: [on(B, (g, s) => zerosFor(s, 0, g).indexAdd(s.params.axis, s.b, g)), on(0, zeros)],
  scatter: [
    on(B, (g, s) => g.scatter(s.params.axis, s.b, 0)),
    on(0, zeros),
    on(B, (g, s) => g.gather(s.params.axis, s.b)),
  ],
  scatterAdd: [same, on(0, zeros), on(B, (g, s) => g.gather(s.params.axis, s.b))],
  indexCopy: [
    on(B, (g, s) => g.indexCopy(s.params.axis, s.b, zeros(g.indexSelect(s.params.axis, s.b)))),
    on(0, zeros),
    on(B, (g, s) => g.indexSelect(s.params.axis, s.b)),
  ],
  indexAdd: [same, on(0, zeros), on(B, (g, s) => g.indexSelect(s.params.axis, s.b))],

  matmul: [
    on(B, (g, s) => g.matmulIn(swap(s.b), s.infoOf(0).name)),
    // One matrix for a whole batch: fold the batch into the rows instead of summing products.
    on(A, (g, s) => {
      const folded = s.shapeOf(1).length === 2 && g.rank > 2;
      return folded ? swap(rows(s.a)).matmulIn(rows(g), s.infoOf(1).name) : swap(s.a).matmulIn(g, s.infoOf(1).name);
    }),
  ],
  linear: [
    on(B, (g, s) => g.matmulIn(s.b, s.infoOf(0).name)),
    on(A, (g, s) => swap(rows(g)).matmulIn(rows(s.a), s.infoOf(1).name)),
    same,
  ],
  convolution: [
    on(B, (g, s) => g.convInputGrad(s.b, convParams(s, 0))),
    on(A, (g, s) => s.a.convWeightGrad(g, convParams(s, 1))),
    on(0, (g, s) => g.sum([0, 2, 3], { dtype: promote(g.info, s.infoOf(2)).name })),
  ],
  // The three products of convolution are each other's derivatives.
  convInputGrad: [
    on(B, (g, s) => g.convForward(s.b, convParams(s, 0))),
    on(A, (g, s) => g.convWeightGrad(s.a, convParams(s, 1))),
  ],
  convWeightGrad: [
    on(B, (g, s) => s.b.convInputGrad(g, convParams(s, 0))),
    on(A, (g, s) => s.a.convForward(g, convParams(s, 1))),
  ],
  maxPool: [
    on(EXTRA, (g, s) => {
      const [shape, indices] = [s.shapeOf(0), s.extra(0)!];
      if (!differentiating()) return maxPoolBackward(g.contiguous(), indices, shape, s.params);
      const planes = zerosOf([shape[0]!, shape[1]!, shape[2]! * shape[3]!], g);
      return planes.scatterAdd(2, indices.flatten(2), g.flatten(2)).reshape(shape);
    }),
  ],
  avgPool: [on(0, (g, s) => g.avgPoolWith({ ...s.params, shape: s.shapeOf(0) }, true))],
  avgPoolBackward: [on(0, (g, s) => g.avgPoolWith({ ...s.params, shape: s.shapeOf(0) }, false))],
  scaledDotProductAttention: { reads: A | B | C | D | OUT | EXTRA, together: attentionGrads },

  copy: [same],
  cat: {
    reads: 0,
    together(g, s) {
      const { axis, sizes, stacks = false } = s.params;
      const part = differentiating() ? g.sliceWith.bind(g) : (params: SliceParams) => sliceOf(g, params);
      let end = 0;
      return sizes.map((size, i) => {
        const start = end;
        end += size;
        return s.needs(i) ? part({ axis, start, size, step: 1, drop: stacks }) : null;
      });
    },
  },
  view: [on(0, (g, s) => g.reshape(s.shapeOf(0)))],
  expand: [same],
  permute: [on(0, (g, { params }) => g.permute(params.order.map((_, axis) => params.order.indexOf(axis))))],
  slice: [on(0, (g, s) => g.unslice({ ...s.params, shape: s.shapeOf(0) }))],
  unslice: [on(0, (g, { params }) => g.sliceWith(params))],
};

/** Of the product that gives the gradient of operand i. */
const convParams = (s: Saved<KindParams['convolution']>, i: number): KindParams['convolution'] => ({
  ...s.params,
  shape: s.shapeOf(i),
  dtype: s.infoOf(i),
});

const zerosOf = (shape: Shape, g: Tensor): Tensor => full(shape, 0, { dtype: g.dtype, device: g.device });

/** b a^(b - 1), and 0 where b is 0, also at a = 0. */
function powBase(g: Tensor, a: Tensor, b: Tensor | number): Tensor {
  if (typeof b === 'number') return b === 0 ? zeros(g) : g.mul(a.pow(b - 1)).mul(b);
  return g.mul(a.pow(b.add(-1)).mul(b)).maskedFill(b.eq(0), 0);
}

/** a^b ln a, and 0 where a is 0 and b >= 0. */
function powExponent(g: Tensor, a: Tensor | number, b: Tensor, out: Tensor): Tensor {
  if (typeof a === 'number') return g.mul(out).mul(a === 0 ? 0 : Math.log(a));
  return g
    .mul(out)
    .mul(nonzero(a).log())
    .maskedFill(a.eq(0).logicalAnd(b.ge(0)), 0);
}

const squareOf = (x: Tensor | number): Tensor | number => (typeof x === 'number' ? x * x : x.square());

const centred = (s: Saved<KindParams['reduce']>): Tensor => s.a.sub(s.a.mean(s.params.axes, { keepdim: true }));

/** out / a where nothing is 0; at the only zero of a group, the product of the others; else 0. */
function prodGrad(g: Tensor, s: Saved<KindParams['reduce']>): Tensor {
  const { axes } = s.params;
  const isZero = s.a.eq(0);
  const zerosHere = isZero.sum(axes, { keepdim: true });
  const others = nonzero(s.a).prod(axes, { keepdim: true }).div(nonzero(s.a));
  const counts = zerosHere.eq(0).logicalOr(isZero.logicalAnd(zerosHere.eq(1)));
  return spread(g, s).mul(others).where(counts, 0);
}

/**
 * d out_i / d a_k = out_i / a_k for i >= k, while nothing was 0. At the first zero, the product with that zero left out; behind it 0.
 */
function cumprodGrad(g: Tensor, s: Saved<KindParams['scan']>): Tensor {
  const { axis } = s.params;
  const isZero = s.a.eq(0);
  const before = isZero.cumsum(axis).eq(0);
  const first = isZero.logicalAnd(isZero.cumsum(axis).eq(1));
  const smooth = tailSum(g.mul(s.out), axis).div(nonzero(s.a));
  const atZero = tailSum(g.mul(s.a.maskedFill(first, 1).cumprod(axis)), axis);
  return smooth.where(before, atZero.where(first, 0));
}

/** |a|^(p - 1) sign(a) / out^(p - 1), 0 where out is 0. */
function normGrad(g: Tensor, s: Saved<KindParams['reduce']>): Tensor {
  const p = s.params.p0;
  const up = spread(g, s);
  const out = restore(s.out, s.params, s.a.shape);
  if (p === 0) return zeros(up);
  if (p === 1) return up.mul(s.a.sign());
  if (Math.abs(p) === Infinity) {
    const hit = s.a.abs().eq(out).to(g.dtype);
    return up.mul(s.a.sign()).mul(hit.div(hit.sum(s.params.axes, { keepdim: true })));
  }
  if (p === 2) return up.mul(s.a).div(nonzero(out));
  return up
    .mul(s.a.sign())
    .mul(
      s.a
        .abs()
        .div(nonzero(out))
        .pow(p - 1),
    )
    .maskedFill(s.a.eq(0), 0);
}

function normGrads(g: Tensor, s: Saved<KindParams['norm']>): (Tensor | null)[] {
  const wanted = wantedOf(s);
  const { n, eps } = s.params;
  if (!differentiating()) {
    const saved = { x: s.a, weight: s.b as Tensor | null, rstd: s.extra(0)!, mean: s.extra(1) };
    return normBackward(s.op as Op<'norm'>, g.contiguous(), saved, n, wanted);
  }
  const [x, grad] = [s.a, g].map(t => wide(t).reshape([n === 0 ? 0 : t.numel / n, n])) as [Tensor, Tensor];
  const mean = s.op.name === 'layerNorm' ? x.mean(1, { keepdim: true }) : 0;
  const rstd = x.sub(mean).square().mean(1, { keepdim: true }).add(eps).rsqrt();
  const xhat = x.sub(mean).mul(rstd);
  const weighted = s.b === null ? grad : grad.mul(s.b.reshape([n]));
  const inner = weighted.sub(xhat.mul(weighted.mul(xhat).mean(1, { keepdim: true })));
  const gx = (s.op.name === 'layerNorm' ? inner.sub(weighted.mean(1, { keepdim: true })) : inner)
    .mul(rstd)
    .reshape(s.a.shape);
  const to = (i: number, sum: () => Tensor): Tensor | null => (wanted[i] ? sum().reshape(s.shapeOf(i)) : null);
  return [gx, to(1, () => grad.mul(xhat).sum(0)), to(2, () => grad.sum(0))];
}

function channelNormGrads(g: Tensor, s: Saved<KindParams['channelNorm']>): (Tensor | null)[] {
  const wanted = wantedOf(s);
  const { groups, eps } = s.params;
  const saved = { x: s.a, weight: s.b as Tensor | null, rstd: s.extra(0)!, mean: s.extra(1)! };
  if (!differentiating()) return channelNormBackward(s.op as Op<'channelNorm'>, g.contiguous(), saved, groups, wanted);
  const [n, c] = s.a.shape as [number, number];
  // Statistics are those of a group of each sample, or of one channel of the whole batch.
  const shape = [n, groups, c / groups, numelOf(s.a.shape.slice(2))];
  const axes = s.op.name === 'groupNorm' ? [2, 3] : [0, 2, 3];
  const mean = (t: Tensor): Tensor => t.mean(axes, { keepdim: true });
  const [x, grad] = [s.a, g].map(t => wide(t).reshape(shape)) as [Tensor, Tensor];
  const weighted = saved.weight === null ? grad : grad.mul(saved.weight.reshape([groups, c / groups, 1]));
  const given = s.op.name === 'batchNormEval';
  const apart = x.sub(given ? saved.mean.reshape([c, 1, 1]) : mean(x));
  const rstd = given ? saved.rstd.reshape([c, 1, 1]) : mean(apart.square()).add(eps).rsqrt();
  const xhat = apart.mul(rstd);
  const inner = given ? weighted : weighted.sub(mean(weighted)).sub(xhat.mul(mean(weighted.mul(xhat))));
  const to = (i: number, sum: () => Tensor): Tensor | null => (wanted[i] ? sum().reshape([c]) : null);
  return [inner.mul(rstd).reshape(s.a.shape), to(1, () => grad.mul(xhat).sum([0, 3])), to(2, () => grad.sum([0, 3]))];
}
