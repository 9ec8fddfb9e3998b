import { on, type PartialDerivative, type Saved } from '../../autograd/derivative.ts';
import { binary, noScalars, type Scalars } from '../../dispatch/elementwise.ts';
import { kinds } from '../../dispatch/kinds.ts';
import type { OpInfo } from '../../dispatch/op.ts';
import { opNumber } from '../../ffi/library.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { dropoutBy } from '../primitives.ts';
import type { losses } from './losses.ts';
import { differentiating, nonzero, same, tensorOf, wide, zero, zeros, type DerivativesOf } from './formulas.ts';

type BackwardKernel =
  `${'sigmoid' | 'tanh' | 'relu' | 'leakyRelu' | 'elu' | 'gelu' | 'geluTanh' | 'silu' | 'mish' | 'softplus' | 'clamp' | 'logSigmoid'}Backward`;

type ByOps = (g: Tensor, x: Tensor, params: Scalars) => Tensor;

/**
 * Makes a derivative that a fused kernel computes from the gradient and the operand or output, with the same formula in differentiable
 * ops.
 */
function fused(name: BackwardKernel, read: 'a' | 'out', formula: ByOps): PartialDerivative<Scalars> {
  const op: OpInfo<Scalars> = {
    name,
    kind: kinds.binary,
    result: 'same',
    bool: 'kept',
    wraps: false,
    code: opNumber('binary', name),
  };
  const byOps = wide<Scalars, 'a' | 'out'>([read], (g, s) => formula(g, s[read], s.params));
  return on<Scalars, 'a' | 'out'>([read], (g, s) =>
    differentiating()
      ? byOps.formula(g, s as Saved<Scalars>)
      : (binary(op, [g, s[read]], s.params ?? noScalars, null) as Tensor),
  );
}

/**
 * Computes the gradient of one operand of maximum or minimum: all of it for the selected operand, half for equal ones, all for both if
 * NaN.
 */
const winner = (g: Tensor, mine: Tensor, other: Tensor | number, loses: 'lt' | 'gt'): Tensor =>
  g.where(mine.ne(other), g.mul(0.5)).maskedFill(mine[loses](other), 0);

/** Computes a / b rounded towards zero. */
function wholeQuotient(a: Tensor | number, b: Tensor): Tensor {
  const [dividend, floor] = [tensorOf(a, b), tensorOf(a, b).floorDivide(b)];
  return floor.add(floor.lt(0).logicalAnd(dividend.fmod(b).ne(0)));
}

/** Computes x / h^2 for h = sqrt(x^2 + y^2), without the square, which may overflow or underflow; 0 if h is 0. */
function overSquares(x: Tensor | number, h: Tensor): Tensor {
  const apart = nonzero(h);
  return tensorOf(x, h).div(apart).div(apart);
}

/** Is x strictly between two bounds? An infinite bound does not restrict x; NaN is not inside. */
function isInside(x: Tensor, low: number, high: number): Tensor {
  const [any, above, below] = [x.eq(x), x.gt(low), x.lt(high)];
  return (low === -Infinity ? any : above).logicalAnd(high === Infinity ? any : below);
}

/** exp(-x^2) * 2 / sqrt(pi): the derivative of erf. */
const erfSlope = (x: Tensor): Tensor =>
  x
    .square()
    .neg()
    .exp()
    .mul(2 / Math.sqrt(Math.PI));

/** 1 / sqrt(1 - x^2): the derivative of asin. */
const arcSlope = (x: Tensor): Tensor => x.square().neg().add(1).rsqrt();

const oneMinus = (x: Tensor | number): Tensor | number => (typeof x === 'number' ? 1 - x : x.neg().add(1));

/** b a^(b - 1), and 0 if b is 0, also for a = 0. */
function powBase(g: Tensor, a: Tensor, b: Tensor | number): Tensor {
  if (typeof b === 'number') return b === 0 ? zeros(g) : g.mul(a.pow(b - 1).mul(b));
  return g.mul(a.pow(b.add(-1)).mul(b)).maskedFill(b.eq(0), 0);
}

/** a^b ln a, and 0 if a is 0 and b >= 0. */
function powExponent(g: Tensor, a: Tensor | number, b: Tensor, out: Tensor): Tensor {
  const base = tensorOf(a, b);
  return g.mul(out.mul(base.maskedFill(base.eq(0).logicalAnd(b.ge(0)), 1).log()));
}

/** The derivatives of elementwise ops. */
export const elementwise = {
  abs: [on(['a'], (g, s) => g.mul(s.a.sign()))],
  neg: [on([], g => g.neg())],
  sign: zero,
  floor: zero,
  ceil: zero,
  round: zero,
  trunc: zero,
  exp: [on(['out'], (g, s) => g.mul(s.out))],
  exp2: [wide(['out'], (g, s) => g.mul(s.out).mul(Math.LN2))],
  expm1: [wide(['out'], (g, s) => g.mul(s.out.add(1)))],
  log: [on(['a'], (g, s) => g.div(s.a))],
  log2: [wide(['a'], (g, s) => g.div(s.a).mul(1 / Math.LN2))],
  log10: [wide(['a'], (g, s) => g.div(s.a).mul(1 / Math.LN10))],
  log1p: [wide(['a'], (g, s) => g.div(s.a.add(1)))],
  sqrt: [wide(['out'], (g, s) => g.div(s.out.mul(2)))],
  rsqrt: [wide(['out'], (g, s) => g.mul(s.out.pow(3)).mul(-0.5))],
  reciprocal: [wide(['out'], (g, s) => g.mul(s.out.square()).neg())],
  square: [wide(['a'], (g, s) => g.mul(s.a.mul(2)))],
  sin: [wide(['a'], (g, s) => g.mul(s.a.cos()))],
  cos: [wide(['a'], (g, s) => g.mul(s.a.sin()).neg())],
  tan: [wide(['out'], (g, s) => g.mul(s.out.square().add(1)))],
  asin: [wide(['a'], (g, s) => g.mul(arcSlope(s.a)))],
  acos: [wide(['a'], (g, s) => g.mul(arcSlope(s.a)).neg())],
  atan: [wide(['a'], (g, s) => g.div(s.a.square().add(1)))],
  sinh: [wide(['a'], (g, s) => g.mul(s.a.cosh()))],
  cosh: [wide(['a'], (g, s) => g.mul(s.a.sinh()))],
  tanh: [fused('tanhBackward', 'out', (g, y) => g.mul(y.square().neg().add(1)))],
  erf: [wide(['a'], (g, s) => g.mul(erfSlope(s.a)))],
  erfc: [wide(['a'], (g, s) => g.mul(erfSlope(s.a)).neg())],
  erfinv: [wide(['out'], (g, s) => g.mul(s.out.square().exp()).mul(Math.sqrt(Math.PI) / 2))],
  sigmoid: [fused('sigmoidBackward', 'out', (g, y) => g.mul(y.mul(y.neg().add(1))))],
  logSigmoid: [fused('logSigmoidBackward', 'a', (g, x) => g.mul(x.neg().sigmoid()))],
  // The 0 comes from y, so that the gradient depends on x in the graph: the second derivative is then zero instead of missing.
  relu: [fused('reluBackward', 'out', (g, y) => y.where(y.le(0), g))],
  silu: [fused('siluBackward', 'a', (g, x) => g.mul(x.sigmoid().mul(x.mul(x.neg().sigmoid()).add(1))))],
  mish: [
    fused('mishBackward', 'a', (g, x) => {
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
    fused('geluBackward', 'a', (g, x) => {
      const cdf = x.mul(-Math.SQRT1_2).erfc().mul(0.5);
      return g.mul(cdf.add(x.mul(x.square().mul(-0.5).exp()).mul(1 / Math.sqrt(2 * Math.PI))));
    }),
  ],
  // x sigmoid(2u) with u = sqrt(2 / pi) (x + 0.044715 x^3). Beyond |x| = 30 the sigmoid is 0 or 1 and its derivative 0.
  geluTanh: [
    fused('geluTanhBackward', 'a', (g, far) => {
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
    fused('softplusBackward', 'a', (g, x, { p0: beta, p1: threshold }) => {
      const z = x.mul(beta);
      return g.mul(z.sigmoid().maskedFill(z.gt(threshold), 1));
    }),
  ],
  // Adding 0 sign(x) makes the gradient depend on x in the graph: the second derivative is then zero instead of missing.
  leakyRelu: [
    fused('leakyReluBackward', 'a', (g, x, { p0: slope }) => g.where(x.gt(0), g.mul(slope)).add(x.sign().mul(0))),
  ],
  elu: [
    fused('eluBackward', 'a', (g, x, { p0: alpha }) => g.mul(x.clamp({ max: 0 }).exp().mul(alpha).where(x.le(0), 1))),
  ],
  clamp: [fused('clampBackward', 'a', (g, x, { p0, p1 }) => g.where(isInside(x, p0, p1), 0))],
  add: [same, same],
  sub: [same, on([], g => g.neg())],
  mul: [on(['b'], (g, s) => g.mul(s.b)), on(['a'], (g, s) => g.mul(s.a))],
  div: [on(['b'], (g, s) => g.div(s.b)), wide(['a', 'b'], (g, s) => g.mul(tensorOf(s.a, s.b).div(s.b).div(s.b)).neg())],
  pow: [
    wide(['a', 'b'], (g, s) => powBase(g, s.a, s.b)),
    wide(['a', 'b', 'out'], (g, s) => powExponent(g, s.a, s.b, s.out)),
  ],
  maximum: [on(['a', 'b'], (g, s) => winner(g, s.a, s.b, 'lt')), on(['a', 'b'], (g, s) => winner(g, s.b, s.a, 'lt'))],
  minimum: [on(['a', 'b'], (g, s) => winner(g, s.a, s.b, 'gt')), on(['a', 'b'], (g, s) => winner(g, s.b, s.a, 'gt'))],
  fmod: [same, wide(['a', 'b'], (g, s) => g.mul(wholeQuotient(s.a, s.b)).neg())],
  remainder: [same, wide(['a', 'b'], (g, s) => g.mul(tensorOf(s.a, s.b).floorDivide(s.b)).neg())],
  floorDivide: zero,
  atan2: [
    wide(['a', 'b'], (g, s) => g.mul(overSquares(s.b, s.a.hypot(s.b)))),
    wide(['a', 'b'], (g, s) => g.mul(overSquares(s.a, s.b.hypot(s.a))).neg()),
  ],
  hypot: [
    wide(['a', 'out'], (g, s) => g.mul(s.a.div(nonzero(s.out)))),
    wide(['b', 'out'], (g, s) => g.mul(s.b.div(nonzero(s.out)))),
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
  where: [on([], zeros), on(['a'], (g, s) => g.where(s.a, 0)), on(['a'], (g, s) => g.where(s.a.logicalNot(), 0))],
  addcmul: [
    same,
    wide(['c'], (g, s) => g.mul(s.c).mul(s.params.p0)),
    wide(['b'], (g, s) => g.mul(s.b).mul(s.params.p0)),
  ],
  addcdiv: [
    same,
    wide(['c'], (g, s) => g.div(s.c).mul(s.params.p0)),
    wide(['b', 'c'], (g, s) => g.mul(tensorOf(s.b, s.c).div(s.c).div(s.c)).mul(-s.params.p0)),
  ],
  lerp: [
    wide(['c'], (g, s) => g.mul(oneMinus(s.c))),
    on(['c'], (g, s) => g.mul(s.c)),
    wide(['a', 'b'], (g, s) => g.mul(s.a.neg().add(s.b))),
  ],
  // The same random numbers keep the same elements.
  dropout: [on([], (g, { params }) => dropoutBy(g, params))],
  triangle: [on([], (g, { params }) => (params.upper ? g.triu(params.diagonal) : g.tril(params.diagonal)))],
} satisfies Omit<
  DerivativesOf<'unary' | 'binary' | 'compare' | 'ternary' | 'where' | 'dropout' | 'triangle'>,
  keyof typeof losses
>;
