import { F, Generator, withGenerator, type Tensor } from 'castor';
import { dropoutBy, exponentialLike } from '../../../runtime/ops/primitives.ts';
import { gelu, geluTanh, softplus } from '../../reference/scalar.ts';
import { at, build, map, zip } from '../../reference/values.ts';
import { dropout, uniform } from '../../reference/philox.ts';
import {
  awayFromZero,
  cases,
  everything,
  floats,
  numbers,
  truth,
  within,
  type Case,
  type Domain,
  type Operand,
  type Variant,
} from '../case.ts';

const any = within(-3, 3);
const apart = awayFromZero(-3, 3);
const x34 = (from: Domain = any): Operand => ({ shape: [3, 4], from });
const mask = (...shape: number[]): Operand => ({ shape, from: truth, dtype: 'bool' });

/** A function of one operand, on a few shapes and on a long one. */
function mapped(run: (x: Tensor) => Tensor, f: (x: number) => number, from: Domain, sweep = from): Variant[] {
  const of = (shape: readonly number[], domain: Domain, forwardOnly: boolean): Variant => ({
    operands: [{ shape, from: domain }],
    run: x => run(x),
    reference: x => map(x, f),
    forwardOnly,
  });
  return [of([3, 4], from, false), of([], from, false), of([2, 0], from, false), of([1037], sweep, true)];
}

const beta = 1.7;
const clamped = (low: number, high: number) => (x: number) => Math.min(Math.max(x, low), high);
const SEED = 11;
const random = { p: 0.4, seed: 2 ** 40 + 7, offset: 3 };

const triangle = (upper: boolean): Variant[] =>
  [
    { shape: [4, 4], diagonal: 0 },
    { shape: [2, 3, 5], diagonal: 1 },
    { shape: [5, 3], diagonal: -2 },
    { shape: [0, 3], diagonal: 0 },
  ].map(({ shape, diagonal }) => ({
    operands: [{ shape, from: any }],
    run: x => (upper ? x.triu(diagonal) : x.tril(diagonal)),
    reference: x =>
      build(x.shape, index => {
        const above = index.at(-1)! - index.at(-2)!;
        return (upper ? above >= diagonal : above <= diagonal) ? at(x, index) : 0;
      }),
  }));

export const pointwise = {
  gelu: cases(
    mapped(x => x.gelu(), gelu, any, within(-9, 9)),
    { result: 'float', units: 32 },
  ),
  geluTanh: cases(
    mapped(x => x.gelu({ approximate: 'tanh' }), geluTanh, any, within(-6, 9)),
    { result: 'float', units: 64 },
  ),
  softplus: cases(
    [
      ...mapped(x => x.softplus(), softplus, any, within(-30, 19)),
      ...mapped(
        x => x.softplus({ beta, threshold: 3 }),
        x => (beta * x > 3 ? x : softplus(beta * x) / beta),
        any,
      ),
    ],
    { result: 'float' },
  ),
  leakyRelu: cases(
    [
      ...mapped(
        x => x.leakyRelu(),
        x => (x > 0 ? x : 0.01 * x),
        apart,
      ),
      ...mapped(
        x => x.leakyRelu(0.3),
        x => (x > 0 ? x : 0.3 * x),
        apart,
      ),
    ],
    {
      result: 'float',
    },
  ),
  elu: cases(
    [
      ...mapped(
        x => x.elu(),
        x => (x > 0 ? x : Math.expm1(x)),
        apart,
      ),
      ...mapped(
        x => x.elu(0.7),
        x => (x > 0 ? x : 0.7 * Math.expm1(x)),
        apart,
      ),
    ],
    {
      result: 'float',
    },
  ),
  clamp: cases(
    [
      ...mapped(x => x.clamp({ min: -1, max: 2 }), clamped(-1, 2), apart),
      ...mapped(x => x.clamp({ min: 0 }), clamped(0, Infinity), apart),
      ...mapped(x => x.clamp({ max: 1 }), clamped(-Infinity, 1), apart),
    ],
    { dtypes: numbers },
  ),

  where: cases(
    [
      {
        operands: [x34(), mask(3, 4), x34()],
        run: (x, m, y) => x.where(m, y),
        reference: (x, m, y) => zip((a, b, c) => (b ? a : c), x, m, y),
      },
      {
        operands: [{ shape: [4], from: any }, mask(2, 3, 1), { shape: [3, 1], from: any }],
        run: (x, m, y) => F.where(m, x, y),
        reference: (x, m, y) => zip((a, b, c) => (b ? a : c), x, m, y),
      },
      {
        operands: [x34(), mask(4)],
        run: (x, m) => x.where(m, 1),
        reference: (x, m) => zip((a, b) => (b ? a : 1), x, m),
        dtypes: numbers,
      },
      {
        operands: [mask(3, 4), { shape: [], from: any }],
        run: (m, y) => F.where(m, 2, y),
        reference: (m, y) => zip((b, c) => (b ? 2 : c), m, y),
        dtypes: numbers,
      },
    ],
    { dtypes: everything },
  ),
  maskedFill: cases(
    [
      {
        operands: [x34(), mask(3, 4)],
        run: (x, m) => x.maskedFill(m, 5),
        reference: (x, m) => zip((a, b) => (b ? 5 : a), x, m),
      },
      {
        operands: [x34(), mask(4)],
        run: (x, m) => x.maskedFill(m, -Infinity),
        reference: (x, m) => zip((a, b) => (b ? -Infinity : a), x, m),
        dtypes: floats,
        forwardOnly: true,
      },
      {
        operands: [x34(), mask(3, 1), { shape: [], from: any }],
        run: (x, m, value) => x.maskedFill(m, value),
        reference: (x, m, value) => zip((a, b, c) => (b ? c : a), x, m, value),
      },
    ],
    { dtypes: numbers },
  ),
  addcmul: cases(
    [
      {
        operands: [x34(), x34(), { shape: [4], from: any }],
        run: (x, a, b) => x.addcmul(a, b),
        reference: (x, a, b) => zip((u, v, w) => u + v * w, x, a, b),
      },
      {
        operands: [x34(), { shape: [3, 1], from: any }, x34()],
        run: (x, a, b) => x.addcmul(a, b, 3),
        reference: (x, a, b) => zip((u, v, w) => u + 3 * v * w, x, a, b),
      },
    ],
    { dtypes: numbers, scale: 30 },
  ),
  addcdiv: cases(
    [
      {
        operands: [x34(), x34(), x34(apart)],
        run: (x, a, b) => x.addcdiv(a, b),
        reference: (x, a, b) => zip((u, v, w) => u + v / w, x, a, b),
      },
      {
        operands: [{ shape: [4], from: any }, x34(), { shape: [3, 1], from: apart }],
        run: (x, a, b) => x.addcdiv(a, b, -0.7),
        reference: (x, a, b) => zip((u, v, w) => u - 0.7 * (v / w), x, a, b),
      },
    ],
    { scale: 15 },
  ),
  lerp: cases(
    [
      {
        operands: [x34(), x34()],
        run: (x, y) => x.lerp(y, 0.3),
        reference: (x, y) => zip((a, b) => a + 0.3 * (b - a), x, y),
      },
      {
        operands: [x34(), x34(), { shape: [4], from: within(0, 1) }],
        run: (x, y, w) => x.lerp(y, w),
        reference: (x, y, w) => zip((a, b, c) => a + c * (b - a), x, y, w),
      },
    ],
    { scale: 6 },
  ),

  dropoutBy: cases(
    mapped(
      x => dropoutBy(x, random),
      x => x,
      any,
    ).map(variant => ({ ...variant, reference: x => dropout(x, random.p, random.seed, random.offset) })),
  ),
  // Each element is either 0 or the value over 1 - p.
  dropout: cases([
    {
      operands: [x34(apart)],
      run: x => {
        const y = x.dropout(0.5);
        return y.mul(y.sub(x.mul(2)));
      },
      reference: x => map(x, () => 0),
      forwardOnly: true,
    },
    { operands: [x34()], run: x => x.dropout(0.5, false), reference: x => x },
    { operands: [x34()], run: x => x.dropout(1), reference: x => map(x, () => 0) },
  ]),
  exponentialLike: cases(
    {
      operands: [{ shape: [50, 9], from: any }],
      run: x => withGenerator(new Generator(SEED), () => exponentialLike(x)),
      reference: x => ({ shape: x.shape, data: x.data.map((_, i) => -Math.log1p(-uniform(i, SEED, 0))) }),
      dtypes: ['float32', 'float16', 'bfloat16'],
    },
    { smooth: 0 },
  ),
  tril: cases(triangle(false), { dtypes: everything }),
  triu: cases(triangle(true), { dtypes: everything }),
} satisfies Record<string, Case>;
