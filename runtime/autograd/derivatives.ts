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
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { attentionGrads } from './attention.ts';
import { A, B, C, D, EXTRA, OUT } from './record.ts';

/** The values that a formula may read: operands a to d, output, extra outputs, parameters. Only those in the bits of its rule are there. */
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
  /** The dtype of the gradient of operand i: that of the operand, or float32 if the operand is a 16-bit copy that autocast made. */
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

/** Converts a 16-bit float tensor to float32; returns anything else as it is. */
const widened = <T>(x: T): T => (isTensor(x) && x.isFloat && x.info.bytes === 2 ? (x.to('float32') as T) : x);
/** The saved values of a node. Those of 16 bits are converted to float32 when they are first read. */
class Widened<P> implements Saved<P> {
  readonly #of: Saved<P>;
  readonly #known = new Map<string, unknown>();
  constructor(of: Saved<P>) {
    this.#of = of;
  }
  #get<N extends 'a' | 'b' | 'c' | 'd' | 'out'>(name: N): Saved<P>[N] {
    if (!this.#known.has(name)) this.#known.set(name, widened(this.#of[name]));
    return this.#known.get(name) as Saved<P>[N];
  }
  get op(): OpInfo {
    return this.#of.op;
  }
  get params(): P {
    return this.#of.params;
  }
  get a(): Tensor {
    return this.#get('a');
  }
  get b(): Tensor {
    return this.#get('b');
  }
  get c(): Tensor {
    return this.#get('c');
  }
  get d(): Tensor | null {
    return this.#get('d');
  }
  get out(): Tensor {
    return this.#get('out');
  }
  extra(i: number): Tensor | null {
    return this.#of.extra(i);
  }
  needs(i: number): boolean {
    return this.#of.needs(i);
  }
  shapeOf(i: number): Shape {
    return this.#of.shapeOf(i);
  }
  infoOf(i: number): DTypeInfo {
    return this.#of.infoOf(i);
  }
}
/**
 * A formula of several steps: they run in float32 where the operands have 16 bits, and the engine rounds once, at the end. In 16
 * bits a step in between may overflow or vanish where its operands and the gradient do not.
 */
const wide = <P>(reads: number, formula: Formula<P>): Partial<P> =>
  on(reads, (g, s) => formula(widened(g), new Widened(s)));

const same: Partial<any> = on(0, g => g);
const zerosOf = (shape: Shape, g: Tensor): Tensor => full(shape, 0, { dtype: g.dtype, device: g.device });
const zeros = (g: Tensor): Tensor => zerosOf(g.shape, g);
const zero: readonly Partial<any>[] = [on(0, zeros), on(0, zeros)];

/** Will this gradient be differentiated again? Then formulas use differentiable ops instead of fused kernels. */
const differentiating = (): boolean => current().grad;

type BackwardKernel =
  `${'sigmoid' | 'tanh' | 'relu' | 'leakyRelu' | 'elu' | 'gelu' | 'geluTanh' | 'silu' | 'mish' | 'softplus' | 'clamp' | 'logSigmoid'}Backward`;
type ByOps = (g: Tensor, x: Tensor, params: Scalars) => Tensor;
/** A fused elementwise backward of gradient and operand, with the same formula in differentiable ops. */
function fused(name: BackwardKernel, reads: number, formula: ByOps): Partial<Scalars> {
  const op = { name, kind: 'binary', result: 'same', code: opNumber('binary', name) } as Op<'binary'>;
  const operand = (s: Saved<Scalars>): Tensor => (reads === OUT ? s.out : s.a);
  const byOps = wide<Scalars>(reads, (g, s) => formula(g, operand(s), s.params));
  return on(reads, (g, s) =>
    differentiating() ? byOps.formula(g, s) : (binary(op, [g, operand(s)], s.params ?? noScalars, null) as Tensor),
  );
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
/**
 * Divides a gradient evenly among the elements where `hit` is true; the others get 0. They are counted in int64, because a 16-bit float
 * cannot count many. If none is true (the result is NaN, which equals no element), the gradient is NaN.
 */
function shared(g: Tensor, hit: Tensor, axes: readonly number[]): Tensor {
  const count = hit.sum(axes, { keepdim: true });
  const others = count.eq(0).to(g.dtype).maskedFill(count.eq(0), NaN);
  return g.div(count).where(hit, others);
}
const extreme: readonly Partial<KindParams['reduce']>[] = [
  on(A | OUT, (g, s) => {
    const hit = s.a.eq(restore(s.out, s.params, s.a.shape));
    return shared(restore(g, s.params, s.a.shape), hit, s.params.axes);
  }),
];
/** The gradient of one operand of maximum or minimum: all of it to the selected operand, half where equal, all to both where NaN. */
const winner = (g: Tensor, mine: Tensor, other: Tensor | number, loses: 'lt' | 'gt'): Tensor =>
  g.where(mine.ne(other), g.mul(0.5)).maskedFill(mine[loses](other), 0);

/** An operand as a tensor: a number becomes one of rank 0 in the dtype and on the device of `like`. */
const tensorOf = (x: Tensor | number, like: Tensor): Tensor =>
  typeof x === 'number' ? full([], x, { dtype: like.dtype, device: like.device }) : x;
/** a / b rounded towards zero. */
function wholeQuotient(a: Tensor | number, b: Tensor): Tensor {
  const [dividend, floor] = [tensorOf(a, b), tensorOf(a, b).floorDivide(b)];
  return floor.add(floor.lt(0).logicalAnd(dividend.fmod(b).ne(0)));
}
/** x / h^2 for h = sqrt(x^2 + y^2), without the square, which may overflow or underflow; 0 where h is 0. */
function overSquares(x: Tensor | number, h: Tensor): Tensor {
  const apart = nonzero(h);
  return tensorOf(x, h).div(apart).div(apart);
}

/** Is x strictly between two bounds? An infinite bound does not restrict x; NaN is not inside. */
function isInside(x: Tensor, low: number, high: number): Tensor {
  const [any, above, below] = [x.eq(x), x.gt(low), x.lt(high)];
  return (low === -Infinity ? any : above).logicalAnd(high === Infinity ? any : below);
}

/** exp(-x^2) * 2 / sqrt(pi): the slope of erf. */
const erfSlope = (x: Tensor): Tensor =>
  x
    .square()
    .neg()
    .exp()
    .mul(2 / Math.sqrt(Math.PI));
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
/** Zeros in the shape of operand i, to which the gradients of parts of it are added. */
const zerosFor = (s: Saved, i: number, g: Tensor): Tensor =>
  full(s.shapeOf(i), 0, { dtype: s.infoOf(i).name, device: g.device });
const swap = (x: Tensor): Tensor => x.transpose(-2, -1);
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
  exp2: [wide(OUT, (g, s) => g.mul(s.out).mul(Math.LN2))],
  expm1: [wide(OUT, (g, s) => g.mul(s.out.add(1)))],
  log: [on(A, (g, s) => g.div(s.a))],
  log2: [wide(A, (g, s) => g.div(s.a).mul(1 / Math.LN2))],
  log10: [wide(A, (g, s) => g.div(s.a).mul(1 / Math.LN10))],
  log1p: [wide(A, (g, s) => g.div(s.a.add(1)))],
  sqrt: [wide(OUT, (g, s) => g.div(s.out.mul(2)))],
  rsqrt: [wide(OUT, (g, s) => g.mul(s.out.pow(3)).mul(-0.5))],
  reciprocal: [wide(OUT, (g, s) => g.mul(s.out.square()).neg())],
  square: [wide(A, (g, s) => g.mul(s.a.mul(2)))],
  sin: [wide(A, (g, s) => g.mul(s.a.cos()))],
  cos: [wide(A, (g, s) => g.mul(s.a.sin()).neg())],
  tan: [wide(OUT, (g, s) => g.mul(s.out.square().add(1)))],
  asin: [wide(A, (g, s) => g.mul(arcSlope(s.a)))],
  acos: [wide(A, (g, s) => g.mul(arcSlope(s.a)).neg())],
  atan: [wide(A, (g, s) => g.div(s.a.square().add(1)))],
  sinh: [wide(A, (g, s) => g.mul(s.a.cosh()))],
  cosh: [wide(A, (g, s) => g.mul(s.a.sinh()))],
  tanh: [fused('tanhBackward', OUT, (g, y) => g.mul(y.square().neg().add(1)))],
  erf: [wide(A, (g, s) => g.mul(erfSlope(s.a)))],
  erfc: [wide(A, (g, s) => g.mul(erfSlope(s.a)).neg())],
  erfinv: [wide(OUT, (g, s) => g.mul(s.out.square().exp()).mul(Math.sqrt(Math.PI) / 2))],
  sigmoid: [fused('sigmoidBackward', OUT, (g, y) => g.mul(y.mul(y.neg().add(1))))],
  logSigmoid: [fused('logSigmoidBackward', A, (g, x) => g.mul(x.neg().sigmoid()))],
  // The 0 comes from y, so that the gradient depends on x in the graph: the second derivative is then zero instead of missing.
  relu: [fused('reluBackward', OUT, (g, y) => y.where(y.le(0), g))],
  silu: [fused('siluBackward', A, (g, x) => g.mul(x.sigmoid().mul(x.mul(x.neg().sigmoid()).add(1))))],
  mish: [
    fused('mishBackward', A, (g, x) => {
      const t = x.softplus().tanh();
      return g.mul(t.add(x.mul(t.square().neg().add(1)).mul(x.sigmoid())));
    }),
  ],
  isNaN: 'none',
  isInf: 'none',
  isFinite: 'none',
  logicalNot: 'none',
  // d/dx x Phi(x) = Phi(x) + x phi(x), with Phi and phi of the standard normal distribution.
  gelu: [
    fused('geluBackward', A, (g, x) => {
      const cdf = x.mul(-Math.SQRT1_2).erfc().mul(0.5);
      return g.mul(cdf.add(x.mul(x.square().mul(-0.5).exp()).mul(1 / Math.sqrt(2 * Math.PI))));
    }),
  ],
  // x sigmoid(2u) with u = sqrt(2 / pi) (x + 0.044715 x^3). Beyond |x| = 30 the sigmoid is 0 or 1 and its derivative 0.
  geluTanh: [
    fused('geluTanhBackward', A, (g, far) => {
      const x = far.clamp({ min: -30, max: 30 });
      const k = 2 * Math.sqrt(2 / Math.PI);
      const twice = x.add(x.pow(3).mul(0.044715)).mul(k);
      const slope = x
        .square()
        .mul(3 * 0.044715 * k)
        .add(k);
      const s = twice.sigmoid();
      return g.mul(s.add(x.mul(slope).mul(s).mul(twice.neg().sigmoid())));
    }),
  ],
  softplus: [
    fused('softplusBackward', A, (g, x, { p0: beta, p1: threshold }) => {
      const z = x.mul(beta);
      return g.mul(z.sigmoid().maskedFill(z.gt(threshold), 1));
    }),
  ],
  // Adding 0 sign(x) makes the gradient depend on x in the graph: the second derivative is then zero instead of missing.
  leakyRelu: [
    fused('leakyReluBackward', A, (g, x, { p0: slope }) => g.where(x.gt(0), g.mul(slope)).add(x.sign().mul(0))),
  ],
  elu: [
    fused('eluBackward', A, (g, x, { p0: alpha }) => g.mul(x.clamp({ max: 0 }).exp().mul(alpha).where(x.le(0), 1))),
  ],
  clamp: [fused('clampBackward', A, (g, x, { p0, p1 }) => g.where(isInside(x, p0, p1), 0))],

  add: [same, same],
  sub: [same, on(0, g => g.neg())],
  mul: [on(B, (g, s) => g.mul(s.b)), on(A, (g, s) => g.mul(s.a))],
  div: [on(B, (g, s) => g.div(s.b)), wide(A | B, (g, s) => g.mul(tensorOf(s.a, s.b).div(s.b).div(s.b)).neg())],
  pow: [wide(A | B, (g, s) => powBase(g, s.a, s.b)), wide(A | B | OUT, (g, s) => powExponent(g, s.a, s.b, s.out))],
  maximum: [on(A | B, (g, s) => winner(g, s.a, s.b, 'lt')), on(A | B, (g, s) => winner(g, s.b, s.a, 'lt'))],
  minimum: [on(A | B, (g, s) => winner(g, s.a, s.b, 'gt')), on(A | B, (g, s) => winner(g, s.b, s.a, 'gt'))],
  fmod: [same, wide(A | B, (g, s) => g.mul(wholeQuotient(s.a, s.b)).neg())],
  remainder: [same, wide(A | B, (g, s) => g.mul(tensorOf(s.a, s.b).floorDivide(s.b)).neg())],
  floorDivide: zero,
  atan2: [
    wide(A | B, (g, s) => g.mul(overSquares(s.b, s.a.hypot(s.b)))),
    wide(A | B, (g, s) => g.mul(overSquares(s.a, s.b.hypot(s.a))).neg()),
  ],
  hypot: [
    wide(A | OUT, (g, s) => g.mul(s.a.div(nonzero(s.out)))),
    wide(B | OUT, (g, s) => g.mul(s.b.div(nonzero(s.out)))),
  ],
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
  addcmul: [same, wide(C, (g, s) => g.mul(s.c).mul(s.params.p0)), wide(B, (g, s) => g.mul(s.b).mul(s.params.p0))],
  addcdiv: [
    same,
    wide(C, (g, s) => g.div(s.c).mul(s.params.p0)),
    wide(B | C, (g, s) => g.mul(tensorOf(s.b, s.c).div(s.c).div(s.c)).mul(-s.params.p0)),
  ],
  lerp: [
    wide(C, (g, s) => g.mul(oneMinus(s.c))),
    on(C, (g, s) => g.mul(s.c)),
    wide(A | B, (g, s) => g.mul(s.a.neg().add(s.b))),
  ],
  binaryCrossEntropy: [
    wide(A | B, (g, s) => g.mul(probabilitySlope(s.a, s.b))),
    wide(A, (g, s) => g.mul(s.a.neg().log1p().sub(s.a.log()))),
  ],
  binaryCrossEntropyWithLogits: [
    wide(A | B | C, (g, s) => g.mul(logitSlope(s.a, s.b, s.c))),
    wide(A, (g, s) => g.mul(s.a).neg()),
    wide(A, (g, s) => g.mul(s.a.neg().softplus({ threshold: Infinity }))),
  ],
  // The same random stream keeps the same elements.
  dropout: [on(0, (g, { params }) => g.dropoutWith(params))],
  triangle: [on(0, (g, { params }) => (params.upper ? g.triu(params.diagonal) : g.tril(params.diagonal)))],

  sum: [on(0, spread)],
  mean: [on(0, (g, s) => spread(g, s).div(countOf(s)))],
  prod: [wide(A, (g, s) => spread(g, s).mul(productOfOthers(s.a, s.params.axes)))],
  max: extreme,
  min: extreme,
  argmax: 'none',
  argmin: 'none',
  any: 'none',
  all: 'none',
  norm: [wide(A | OUT, (g, s) => normGrad(g, s))],
  var: [wide(A, (g, s) => spread(g, s).mul(varSlope(s)))],
  // If all values are equal the standard deviation has no derivative; its gradient is taken as 0.
  std: [
    wide(A | OUT, (g, s) => {
      const out = restore(s.out, s.params, s.a.shape);
      const up = restore(g, s.params, s.a.shape).div(nonzero(out).mul(2)).maskedFill(out.eq(0), 0);
      return up.mul(varSlope(s));
    }),
  ],
  logSumExp: [wide(A | OUT, (g, s) => spread(g, s).mul(s.a.sub(restore(s.out, s.params, s.a.shape)).exp()))],
  countNonzero: 'none',
  cumsum: [on(0, (g, { params }) => tailSum(g, params.axis))],
  cumprod: [wide(A, (g, s) => cumprodGrad(g, s.a, s.params.axis))],
  softmax: [
    on(OUT, (g, s) =>
      differentiating() ? softmaxGrad.formula(g, s) : softmaxBackward(s.op as Op<'softmax'>, g, s.out, s.params.axis),
    ),
  ],
  logSoftmax: [
    on(OUT, (g, s) =>
      differentiating()
        ? logSoftmaxGrad.formula(g, s)
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
      const onehot = zeros(widened(s.a.detach())).scatter(1, s.b.maskedFill(counted.logicalNot(), 0).unsqueeze(1), 1);
      const slope = widened(s.a)
        .softmax(1)
        .sub(onehot.mul(1 - labelSmoothing))
        .sub(labelSmoothing / classes);
      return slope.mul(g.mul(counted.to(g.dtype)).unsqueeze(1));
    }),
  ],

  gather: [on(B, (g, s) => zerosFor(s, 0, g).scatterAdd(s.params.axis, s.b, g)), on(0, zeros)],
  // If the result has no elements, forward did not check any position, and backward must not check any either.
  indexSelect: [
    on(B, (g, s) => (g.numel === 0 ? zerosFor(s, 0, g) : zerosFor(s, 0, g).indexAdd(s.params.axis, s.b, g))),
    on(0, zeros),
  ],
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

/** The parameters of the convolution that computes the gradient of operand i. */
const convParams = (s: Saved<KindParams['convolution']>, i: number): KindParams['convolution'] => ({
  ...s.params,
  shape: s.shapeOf(i),
  dtype: s.infoOf(i),
});

/** 1 / sqrt(1 - x^2): the derivative of asin. */
const arcSlope = (x: Tensor): Tensor => x.square().neg().add(1).rsqrt();
const oneMinus = (x: Tensor | number): Tensor | number => (typeof x === 'number' ? 1 - x : x.neg().add(1));

/** (x - t) / (x (1 - x)): the derivative of binaryCrossEntropy. As in PyTorch the denominator is at least 1e-12, as a constant. */
function probabilitySlope(x: Tensor, t: Tensor): Tensor {
  const divisor = x.neg().add(1).mul(x);
  if (!differentiating()) return x.sub(t).div(divisor.clamp({ min: 1e-12 }));
  const saturated = divisor.lt(1e-12);
  const slope = x.sub(t).div(divisor.maskedFill(saturated, 1));
  return x.detach().sub(t).div(1e-12).where(saturated, slope);
}
/** w sigmoid(x) - (t + w - 1): the derivative of binaryCrossEntropyWithLogits by the logits x. */
const logitSlope = (x: Tensor, t: Tensor, w: Tensor | number): Tensor =>
  w === 1 ? x.sigmoid().sub(t) : x.sigmoid().mul(w).sub(t.add(w).sub(1));

/** b a^(b - 1), and 0 where b is 0, also at a = 0. */
function powBase(g: Tensor, a: Tensor, b: Tensor | number): Tensor {
  if (typeof b === 'number') return b === 0 ? zeros(g) : g.mul(a.pow(b - 1).mul(b));
  return g.mul(a.pow(b.add(-1)).mul(b)).maskedFill(b.eq(0), 0);
}

/** a^b ln a, and 0 where a is 0 and b >= 0. */
function powExponent(g: Tensor, a: Tensor | number, b: Tensor, out: Tensor): Tensor {
  const base = tensorOf(a, b);
  return g.mul(out.mul(base.maskedFill(base.eq(0).logicalAnd(b.ge(0)), 1).log()));
}

/** The gradient of the variance for an incoming gradient of 1. */
function varSlope(s: Saved<KindParams['reduce']>): Tensor {
  const { axes, p0: correction } = s.params;
  return s.a.sub(s.a.mean(axes, { keepdim: true })).mul(2 / Math.max(countOf(s) - correction, 0));
}

const softmaxGrad = wide<KindParams['softmax']>(OUT, (g, { out, params: { axis } }) =>
  out.mul(g.sub(g.mul(out).sum(axis, { keepdim: true }))),
);
const logSoftmaxGrad = wide<KindParams['softmax']>(OUT, (g, { out, params: { axis } }) =>
  g.sub(out.exp().mul(g.sum(axis, { keepdim: true }))),
);

/** Shifts x by `by` positions towards the end of an axis; the first positions become `fill`. */
function pushed(x: Tensor, axis: number, by: number, fill: 0 | 1): Tensor {
  const { shape } = x;
  const size = Math.max(shape[axis]! - by, 0);
  const moved = x.narrow(axis, 0, size).unslice({ axis, start: shape[axis]! - size, size, step: 1, shape });
  if (fill === 0) return moved;
  const start = full(shape.with(axis, shape[axis]! - size), 1, { dtype: x.dtype, device: x.device });
  return moved.add(start.unslice({ axis, start: 0, size: shape[axis]! - size, step: 1, shape }));
}
/** Shifts x by `by` positions towards the start of an axis; the last positions become 0. */
function pulled(x: Tensor, axis: number, by: number): Tensor {
  const { shape } = x;
  const size = Math.max(shape[axis]! - by, 0);
  return x.narrow(axis, shape[axis]! - size, size).unslice({ axis, start: 0, size, step: 1, shape });
}

/**
 * For each element, the product of all other elements that prod() multiplies it with. It is found without a division, so that it is
 * right for elements that are 0, and so are derivatives of every order.
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
 * d out_i / d a_k = out_i / a_k for i >= k, while nothing was 0. At the first zero, the product with that zero left out; behind it 0.
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
 * The gradient of cumprod without a division: the product of all elements before k, times S_k = g_k + a_(k+1) S_(k+1). Both are found by
 * doubling the distance in each step, with sums and products alone, so that derivatives of every order are right for elements that are 0.
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

/** |a|^(p - 1) sign(a) / out^(p - 1), 0 where out is 0. */
function normGrad(g: Tensor, s: Saved<KindParams['reduce']>): Tensor {
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

function normGrads(g: Tensor, s: Saved<KindParams['norm']>): (Tensor | null)[] {
  const wanted = wantedOf(s);
  const { n, eps } = s.params;
  if (!differentiating()) {
    const saved = { x: s.a, weight: s.b as Tensor | null, rstd: s.extra(0)!, mean: s.extra(1) };
    return normBackward(s.op as Op<'norm'>, g.contiguous(), saved, n, wanted);
  }
  const [x, grad] = [s.a, g].map(t => widened(t).reshape([n === 0 ? 0 : t.numel / n, n])) as [Tensor, Tensor];
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
  const [x, grad] = [s.a, g].map(t => widened(t).reshape(shape)) as [Tensor, Tensor];
  const weighted = saved.weight === null ? grad : grad.mul(saved.weight.reshape([groups, c / groups, 1]));
  const given = s.op.name === 'batchNormEval';
  const apart = x.sub(given ? saved.mean.reshape([c, 1, 1]) : mean(x));
  const rstd = given ? saved.rstd.reshape([c, 1, 1]) : mean(apart.square()).add(eps).rsqrt();
  const xhat = apart.mul(rstd);
  const inner = given ? weighted : weighted.sub(mean(weighted)).sub(xhat.mul(mean(weighted.mul(xhat))));
  const to = (i: number, sum: () => Tensor): Tensor | null => (wanted[i] ? sum().reshape([c]) : null);
  return [inner.mul(rstd).reshape(s.a.shape), to(1, () => grad.mul(xhat).sum([0, 3])), to(2, () => grad.sum([0, 3]))];
}
