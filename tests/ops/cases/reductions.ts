import { F, type Tensor } from 'castor';
import * as lists from '../../reference/lists.ts';
import { fold } from '../../reference/values.ts';
import {
  awayFromZero,
  cases,
  counted,
  everything,
  multiples,
  within,
  type Case,
  type Domain,
  type Variant,
} from '../case.ts';

type Fold = (list: number[]) => number;
interface Options {
  keepdim?: boolean;
}

/** A shape and axes of a reduction; no axes means all. Long ones are not differentiated. */
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

const any = within(-3, 3);
const ties = multiples(1, -2, 2);
const asks = { dtypes: everything, result: 'bool', smooth: 0 } as const;
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
} satisfies Record<string, Case>;
