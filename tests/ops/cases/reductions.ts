import { F, type Tensor } from 'castor';
import * as lists from '../../reference/lists.ts';
import { alongAxis, fold, reshape, type Values } from '../../reference/values.ts';
import {
  awayFromZero,
  cases,
  everything,
  floats,
  multiples,
  numbers,
  within,
  type Case,
  type Domain,
  type Result,
  type Variant,
} from '../case.ts';

type Fold = (list: number[]) => number;
interface Options {
  keepdim?: boolean;
}

/** A shape and axes a reduction is tried with; no axes means all. Long ones are not differentiated. */
interface Call extends Options {
  shape: number[];
  axes?: number | number[];
  long?: boolean;
}
const calls: readonly Call[] = [
  { shape: [3, 4] },
  { shape: [3, 4], axes: 0 },
  { shape: [3, 4], axes: -1, keepdim: true },
  { shape: [2, 3, 2, 2], axes: [0, -2] },
  { shape: [2, 3, 4], axes: [0, 1, 2], keepdim: true },
  { shape: [] },
  { shape: [1, 3], axes: 0 },
  { shape: [1037], long: true },
  { shape: [5, 300], axes: 1, long: true },
  { shape: [300, 5], axes: 0, long: true },
];
const empties: readonly Call[] = [{ shape: [0, 3], axes: 1 }, { shape: [0, 3], axes: 0 }, { shape: [0] }];
const positive = (axes: number | number[] | undefined, rank: number): number[] =>
  axes === undefined
    ? Array.from({ length: rank }, (_, i) => i)
    : [axes].flat().map(axis => (axis < 0 ? axis + rank : axis));

function reducing(
  run: (x: Tensor, axes: number | number[] | undefined, options: Options) => Tensor,
  f: Fold,
  from: Domain,
  list: readonly Call[] = [...calls, ...empties],
): Variant[] {
  return list.map(({ shape, axes, keepdim = false, long = false }) => ({
    operands: [{ shape, from }],
    run: x => run(x, axes, { keepdim }),
    reference: x => fold(x, positive(axes, shape.length), keepdim, f),
    forwardOnly: long,
  }));
}

/** Along one axis, or over all elements in row-major order. */
function finding(
  run: (x: Tensor, axis: number | undefined, options: Options) => Result<Tensor>,
  f: (x: Values, axis: number, keepdim: boolean) => Result<Values>,
  from: Domain,
): Variant[] {
  return [
    { shape: [3, 4], axis: 1, keepdim: false },
    { shape: [3, 4], axis: 0, keepdim: true },
    { shape: [2, 3, 4], axis: -2, keepdim: false },
    { shape: [3, 0], axis: 0, keepdim: false },
  ].map(({ shape, axis, keepdim }) => ({
    operands: [{ shape, from }],
    run: x => run(x, axis, { keepdim }),
    reference: x => f(x, axis < 0 ? axis + shape.length : axis, keepdim),
  }));
}
const flat = (run: (x: Tensor) => Tensor, f: Fold, from: Domain): Variant[] =>
  [[3, 4], [2, 5, 3], [1037], []].map(shape => ({
    operands: [{ shape, from }],
    run: x => run(x),
    reference: x => fold(reshape(x, [x.data.length]), [0], false, f),
  }));
const both = (x: Values, axis: number, keepdim: boolean, value: Fold, place: Fold): Values[] => [
  fold(x, [axis], keepdim, value),
  fold(x, [axis], keepdim, place),
];
const pair = ({ values, indices }: { values: Tensor; indices: Tensor }): Tensor[] => [values, indices];

const along = (run: (x: Tensor, axis: number) => Tensor, f: (line: number[]) => number[], from: Domain): Variant[] =>
  [
    { shape: [3, 4], axis: 1 },
    { shape: [2, 3, 4], axis: -2 },
    { shape: [3, 4], axis: 0 },
    { shape: [0, 4], axis: 1 },
    { shape: [4, 0], axis: 1 },
    { shape: [5, 300], axis: 1, long: true },
  ].map(({ shape, axis, ...more }) => ({
    operands: [{ shape, from }],
    run: x => run(x, axis),
    reference: x => alongAxis(x, axis < 0 ? axis + shape.length : axis, f),
    forwardOnly: 'long' in more,
  }));

const ranking = (
  run: (x: Tensor, axis: number) => Result<Tensor>,
  k: number,
  descending: boolean,
  from: Domain,
  parts = 2,
): Variant[] =>
  [
    { shape: [3, 5], axis: 1 },
    { shape: [2, 4, 3], axis: -2 },
    { shape: [6], axis: 0 },
  ].map(({ shape, axis }) => ({
    operands: [{ shape, from }],
    run: x => run(x, axis),
    reference: x => {
      const at = axis < 0 ? axis + shape.length : axis;
      const best = (line: number[]): number[] => lists.order(line, descending).slice(0, k);
      return [alongAxis(x, at, line => best(line).map(i => line[i]!)), alongAxis(x, at, best)].slice(2 - parts);
    },
  }));

const any = within(-3, 3);
const ties = multiples(1, -2, 2);
const float = { result: 'float' } as const;
/** Integers and bool add up to int64. */
const counted = (dtype: Case['dtypes'][number]): Case['dtypes'][number] => (floats.includes(dtype) ? dtype : 'int64');
const asks = { dtypes: everything, result: 'bool', smooth: 0 } as const;
const allZero = [{ layout: 'expanded', reason: 'all weights become 0' }] as const;
const whole = calls.filter(({ shape }) => shape.length > 0);

export const reductions = {
  sum: cases(
    [
      ...reducing(F.sum, lists.sum, any),
      {
        operands: [{ shape: [3, 4], from: any }],
        run: x => x.sum(1, { dtype: 'float64' }),
        reference: x => fold(x, [1], false, lists.sum),
        dtypes: ['float64'],
      },
    ],
    {
      dtypes: everything,
      result: counted,
      scale: 1000,
    },
  ),
  mean: cases(reducing(F.mean, lists.mean, any), { scale: 3 }),
  prod: cases(
    reducing(F.prod, lists.product, awayFromZero(-1.5, 1.5), [...calls.filter(({ long }) => !long), ...empties]),
    { dtypes: everything, result: counted, units: 32 },
  ),
  var: cases(
    [
      ...reducing((x, axes, options) => x.var(axes, { ...options, correction: 0 }), lists.variance(0), any),
      ...reducing((x, axes, options) => x.var(axes, options), lists.variance(1), any, whole.slice(0, 5)),
      ...reducing(
        (x, axes, options) => x.var(axes, { ...options, correction: 2 }),
        lists.variance(2),
        any,
        whole.slice(0, 1),
      ),
      ...reducing((x, axes, options) => x.var(axes, options), lists.variance(1), within(1000, 1001), [
        { shape: [3, 40], axes: 1, long: true },
      ]),
    ],
    { units: 64, scale: 9 },
  ),
  std: cases(
    [
      ...reducing(
        (x, axes, options) => x.std(axes, { ...options, correction: 0 }),
        list => Math.sqrt(lists.variance(0)(list)),
        any,
        whole.filter(({ shape }) => shape[0] !== 1),
      ),
      ...reducing(
        (x, axes, options) => x.std(axes, options),
        list => Math.sqrt(lists.variance(1)(list)),
        any,
        whole.slice(0, 5),
      ),
    ],
    { units: 64, scale: 3 },
  ),
  norm: cases(
    [2, 1, 3, 0.5, Infinity, -Infinity, 0].flatMap(p =>
      reducing(
        (x, axes, options) => x.norm(p, axes, options),
        lists.pNorm(p),
        awayFromZero(-3, 3),
        p < 0 ? calls : [...calls.slice(0, p === 2 ? undefined : 6), ...(p < Infinity ? empties : [])],
      ),
    ),
    { units: 64 },
  ),
  logSumExp: cases(reducing(F.logSumExp, lists.logSumExp, any, [...calls, { shape: [0, 3], axes: 1 }]), {
    units: 16,
    scale: 6,
  }),
  any: cases(
    [
      ...reducing(F.any, list => Number(list.some(x => x !== 0)), ties),
      ...reducing(
        F.any,
        list => Number(list.some(x => x !== 0)),
        () => 0,
      ),
    ],
    asks,
  ),
  all: cases(
    [
      ...reducing(F.all, list => Number(list.every(x => x !== 0)), ties),
      ...reducing(
        F.all,
        list => Number(list.every(x => x !== 0)),
        () => 1,
      ),
    ],
    asks,
  ),
  countNonzero: cases(
    reducing(
      (x, axes) => x.countNonzero(axes),
      list => list.filter(x => x !== 0).length,
      ties,
      [...calls, ...empties].filter(({ keepdim }) => !keepdim),
    ),
    {
      dtypes: everything,
      result: 'int64',
      smooth: 0,
    },
  ),
  amax: cases(reducing(F.amax, lists.largest, any, [...calls, empties[0]!]), { dtypes: everything }),
  amin: cases(reducing(F.amin, lists.smallest, any, [...calls, empties[0]!]), { dtypes: everything }),
  argmax: cases(
    [
      ...finding(
        (x, axis, options) => x.argmax(axis, options),
        (x, axis, keepdim) => fold(x, [axis], keepdim, lists.argmax),
        ties,
      ),
      ...flat(x => x.argmax(), lists.argmax, ties),
    ],
    {
      dtypes: numbers,
      result: 'int64',
      smooth: 0,
    },
  ),
  argmin: cases(
    [
      ...finding(
        (x, axis, options) => x.argmin(axis, options),
        (x, axis, keepdim) => fold(x, [axis], keepdim, lists.argmin),
        ties,
      ),
      ...flat(x => x.argmin(), lists.argmin, ties),
    ],
    {
      dtypes: numbers,
      result: 'int64',
      smooth: 0,
    },
  ),
  max: cases(
    finding(
      (x, axis, options) => pair(x.max(axis!, options)),
      (x, axis, keepdim) => both(x, axis, keepdim, lists.largest, lists.argmax),
      any,
    ),
    { dtypes: numbers, result: ['same', 'int64'] },
  ),
  min: cases(
    finding(
      (x, axis, options) => pair(x.min(axis!, options)),
      (x, axis, keepdim) => both(x, axis, keepdim, lists.smallest, lists.argmin),
      any,
    ),
    { dtypes: numbers, result: ['same', 'int64'] },
  ),

  cumsum: cases(
    along(
      F.cumsum,
      lists.scan((a, b) => a + b),
      any,
    ),
    { dtypes: everything, result: counted, scale: 300 },
  ),
  cumprod: cases(
    along(
      F.cumprod,
      lists.scan((a, b) => a * b),
      awayFromZero(-1.5, 1.5),
    ),
    { dtypes: everything, result: counted, units: 64 },
  ),
  softmax: cases(
    [
      ...along(F.softmax, lists.softmax, any),
      ...along(F.softmax, lists.softmax, within(-30, 30)).map(v => ({ ...v, forwardOnly: true })),
    ],
    { units: 64 },
  ),
  logSoftmax: cases(
    [
      ...along(F.logSoftmax, lists.logSoftmax, any),
      ...along(F.logSoftmax, lists.logSoftmax, within(-60, 60)).map(v => ({ ...v, forwardOnly: true })),
    ],
    { units: 16, scale: 60 },
  ),

  sort: cases(
    [
      ...ranking((x, axis) => pair(x.sort(axis)), 99, false, any),
      ...ranking((x, axis) => pair(x.sort(axis, { descending: true })), 99, true, any),
    ],
    { dtypes: numbers, result: ['same', 'int64'] },
  ),
  argsort: cases(
    [
      ...ranking((x, axis) => [x.argsort(axis)], 99, false, ties, 1),
      ...ranking((x, axis) => [x.argsort(axis, { descending: true })], 99, true, ties, 1),
    ],
    { dtypes: numbers, result: ['int64'], smooth: 0 },
  ),
  topk: cases(
    [
      ...ranking((x, axis) => pair(x.topk(3, axis)), 3, true, any),
      ...ranking((x, axis) => pair(x.topk(2, axis, { largest: false })), 2, false, any),
    ],
    { dtypes: numbers, result: ['same', 'int64'] },
  ),
  // Drawing everything without replacement gives each position once; a weight of 0 is never drawn.
  multinomial: cases(
    [
      {
        operands: [{ shape: [3, 5], from: within(0.1, 4) }],
        run: x => x.multinomial(5).sort().values,
        reference: x => alongAxis(x, 1, line => line.map((_, i) => i)),
      },
      {
        operands: [{ shape: [6], from: (_, __, i) => i % 2 }],
        run: x => x.multinomial(3).sort().values,
        reference: () => ({ shape: [3], data: Float64Array.of(1, 3, 5) }),
        skips: allZero,
      },
      {
        operands: [{ shape: [4], from: (_, __, i) => Number(i === 2) }],
        run: x => x.multinomial(5, { replacement: true }),
        reference: () => ({ shape: [5], data: new Float64Array(5).fill(2) }),
        skips: allZero,
      },
    ],
    { result: 'int64', smooth: 0 },
  ),
} satisfies Record<string, Case>;
