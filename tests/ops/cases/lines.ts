import { F, type Tensor } from 'castor';
import * as lists from '../../reference/lists.ts';
import { alongAxis, fold, reshape, type Values } from '../../reference/values.ts';
import {
  awayFromZero,
  cases,
  counted,
  everything,
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

/** Applies a function along one axis, or over all elements in row-major order. */
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
    forwardOnly: shape[0] === 1037,
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
const allZero = [{ layout: 'expanded', reason: 'all weights become 0' }] as const;

export const lines = {
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
    [
      ...finding(
        (x, axis, options) => pair(x.max(axis!, options)),
        (x, axis, keepdim) => both(x, axis, keepdim, lists.largest, lists.argmax),
        any,
      ),
      ...flat(x => x.max(), lists.largest, any),
    ],
    { dtypes: numbers, result: ['same', 'int64'] },
  ),
  min: cases(
    [
      ...finding(
        (x, axis, options) => pair(x.min(axis!, options)),
        (x, axis, keepdim) => both(x, axis, keepdim, lists.smallest, lists.argmin),
        any,
      ),
      ...flat(x => x.min(), lists.smallest, any),
    ],
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
