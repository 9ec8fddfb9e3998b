import { F, type DType } from 'castor';
import type { MethodName } from '../../../runtime/ops/table.ts';
import { fmod, remainder } from '../../reference/scalar.ts';
import { zip } from '../../reference/values.ts';
import {
  awayFromZero,
  cases,
  everything,
  floats,
  integers,
  multiples,
  numbers,
  within,
  type Case,
  type Domain,
  type ResultRule,
  type Variant,
} from '../case.ts';

type Name = MethodName<'binary'> | MethodName<'compare'>;

interface Row {
  readonly f: (x: number, y: number) => number;
  readonly from: readonly [Domain, Domain];
  readonly dtypes: readonly DType[];
  readonly result: ResultRule;
  readonly smooth: 0 | 1 | 2;
  readonly scale: number;
}
const row = (f: Row['f'], x: Domain, y: Domain, more: Partial<Row> = {}): Row => ({
  ...{ f, from: [x, y], dtypes: numbers, result: 'same', smooth: 2, scale: 0 },
  ...more,
});

const any = within(-3, 3);
const nonzero = awayFromZero(-3, 3, 0.6);
const few = multiples(1, -1, 2);
/** Real exponents for floats, and exponents of at least 0 for integers. */
const exponent: Domain = (random, dtype) => (floats.includes(dtype) ? -2 + 5 * random() : Math.floor(4 * random()));
const real = { result: 'float' } as const;
const steps = { smooth: 0 } as const;
const asks = { result: 'bool', smooth: 0, dtypes: everything } as const;
const bits = { dtypes: [...integers, 'bool'], smooth: 0 } as const;
const truth =
  (f: (x: boolean, y: boolean) => boolean): Row['f'] =>
  (x, y) =>
    Number(f(x !== 0, y !== 0));

const rows: Record<Name, Row> = {
  add: row((x, y) => x + y, any, any, { dtypes: everything, scale: 3 }),
  sub: row((x, y) => x - y, any, any, { scale: 3 }),
  mul: row((x, y) => x * y, any, any, { dtypes: everything }),
  div: row((x, y) => x / y, any, nonzero, real),
  pow: row((x, y) => x ** y, within(0.4, 2.5), exponent),
  maximum: row(Math.max, any, any, { dtypes: everything }),
  minimum: row(Math.min, any, any, { dtypes: everything }),
  fmod: row(fmod, within(-9, 9), nonzero, { scale: 9 }),
  remainder: row(remainder, within(-9, 9), nonzero, { scale: 9 }),
  floorDivide: row((x, y) => Math.floor(x / y), within(-9, 9), nonzero, steps),
  atan2: row(Math.atan2, nonzero, nonzero, real),
  hypot: row(Math.hypot, nonzero, nonzero, real),
  logicalAnd: row(
    truth((x, y) => x && y),
    few,
    few,
    asks,
  ),
  logicalOr: row(
    truth((x, y) => x || y),
    few,
    few,
    asks,
  ),
  logicalXor: row(
    truth((x, y) => x !== y),
    few,
    few,
    asks,
  ),
  bitwiseAnd: row((x, y) => x & y, within(-99, 99), within(-99, 99), bits),
  bitwiseOr: row((x, y) => x | y, within(-99, 99), within(-99, 99), bits),
  bitwiseXor: row((x, y) => x ^ y, within(-99, 99), within(-99, 99), bits),
  eq: row((x, y) => Number(x === y), few, few, asks),
  ne: row((x, y) => Number(x !== y), few, few, asks),
  lt: row((x, y) => Number(x < y), few, few, asks),
  le: row((x, y) => Number(x <= y), few, few, asks),
  gt: row((x, y) => Number(x > y), few, few, asks),
  ge: row((x, y) => Number(x >= y), few, few, asks),
};

const shapes = [
  [
    [3, 4],
    [3, 4],
  ],
  [[3, 4], [4]],
  [
    [2, 1, 4],
    [3, 1],
  ],
  [[2, 3], []],
  [[], []],
  [[0, 3], [3]],
] as const;
const LONG = [[1037], [1037]] as const;

/** Numbers as the second operand, which do not change the dtype of integers. */
const scalars = [2, 1];

function variants(name: Name, { f, from, dtypes }: Row): Variant[] {
  const of = ([a, b]: readonly [readonly number[], readonly number[]], forwardOnly = false): Variant => ({
    operands: [
      { shape: a, from: from[0] },
      { shape: b, from: from[1] },
    ],
    run: (x, y) => F[name](x, y),
    reference: (x, y) => zip(f, x, y),
    forwardOnly,
  });
  const withNumber = (value: number): Variant => ({
    operands: [{ shape: [3, 4], from: from[0] }],
    run: x => F[name](x, value),
    reference: x => zip(a => f(a, value), x),
    dtypes: dtypes.filter(dtype => dtype !== 'bool'),
  });
  return [...shapes.map(pair => of(pair)), ...scalars.map(withNumber), of(LONG, true)];
}

export const binary = Object.fromEntries(
  Object.entries(rows).map(([name, { f, from, ...settings }]) => [
    name,
    cases(variants(name as Name, { f, from, ...settings }), settings),
  ]),
) as Record<Name, Case>;
