import { F, type DType } from 'castor';
import type { MethodName } from '../../../runtime/ops/table.ts';
import { erf, erfc, erfinv, roundHalfEven, sigmoid, softplus } from '../../reference/scalar.ts';
import { map } from '../../reference/values.ts';
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
  type ResultRule,
  type Variant,
} from '../case.ts';

type Name = MethodName<'unary'>;

interface Row {
  readonly f: (x: number) => number;
  readonly from: Domain;
  /** The range in which the accuracy is tested, if it is wider. */
  readonly sweep: Domain;
  readonly dtypes: readonly DType[];
  readonly result: ResultRule;
  readonly smooth: 0 | 1 | 2;
  readonly scale: number;
  readonly units: number;
}
const row = (f: Row['f'], from: Domain, more: Partial<Row> = {}): Row => ({
  ...{ f, from, sweep: from, dtypes: numbers, result: 'float', smooth: 2, scale: 0, units: 8 },
  ...more,
});

const any = within(-3, 3);
const wide = within(-90, 90);
const positive = within(0.2, 4);
const large = within(1e-3, 5e4);
const same = { result: 'same' } as const;
const flat = { result: 'same', smooth: 0, sweep: multiples(0.5, -40, 40) } as const;
const asks = { result: 'bool', smooth: 0, dtypes: everything } as const;
const angle = { sweep: within(-40, 40), scale: 1 };
const inside = within(-0.9, 0.9);

const rows: Record<Name, Row> = {
  abs: row(Math.abs, awayFromZero(-3, 3), same),
  neg: row(x => -x, any, same),
  sign: row(x => (x > 0 ? 1 : x < 0 ? -1 : 0), awayFromZero(-3, 3), { ...flat, sweep: multiples(0.5, -2, 2) }),
  floor: row(Math.floor, any, flat),
  ceil: row(Math.ceil, any, flat),
  round: row(roundHalfEven, any, flat),
  trunc: row(Math.trunc, any, flat),
  exp: row(Math.exp, any, { sweep: wide }),
  exp2: row(x => 2 ** x, any, { sweep: within(-140, 127) }),
  expm1: row(Math.expm1, any, { sweep: within(-2, 90) }),
  log: row(Math.log, positive, { sweep: large }),
  log2: row(Math.log2, positive, { sweep: large }),
  log10: row(Math.log10, positive, { sweep: large }),
  log1p: row(Math.log1p, within(-0.8, 4), { sweep: within(-0.99, 0.5) }),
  sqrt: row(Math.sqrt, positive, { sweep: large }),
  rsqrt: row(x => 1 / Math.sqrt(x), positive, { sweep: large }),
  reciprocal: row(x => 1 / x, awayFromZero(-3, 3), { sweep: awayFromZero(-5e4, 5e4) }),
  square: row(x => x * x, any, same),
  sin: row(Math.sin, any, angle),
  cos: row(Math.cos, any, angle),
  tan: row(Math.tan, within(-1.2, 1.2)),
  asin: row(Math.asin, inside),
  acos: row(Math.acos, inside),
  atan: row(Math.atan, any, { sweep: wide }),
  sinh: row(Math.sinh, any, { sweep: within(-80, 80) }),
  cosh: row(Math.cosh, any, { sweep: within(-80, 80) }),
  tanh: row(Math.tanh, any, { sweep: within(-12, 12) }),
  erf: row(erf, any, { sweep: within(-6, 6) }),
  erfc: row(erfc, any, { sweep: within(-6, 9), units: 32 }),
  erfinv: row(erfinv, inside, { sweep: within(-0.9999, 0.9999), dtypes: floats, units: 64 }),
  sigmoid: row(sigmoid, any, { sweep: wide }),
  logSigmoid: row(x => -softplus(-x), any, { sweep: wide }),
  relu: row(x => Math.max(x, 0), awayFromZero(-3, 3), { result: 'same', smooth: 2 }),
  silu: row(x => x * sigmoid(x), any, { sweep: wide }),
  mish: row(x => x * Math.tanh(softplus(x)), any, { sweep: within(-40, 40) }),
  isNaN: row(x => Number(Number.isNaN(x)), any, asks),
  isInf: row(x => Number(Math.abs(x) === Infinity), any, asks),
  isFinite: row(x => Number(Number.isFinite(x)), any, asks),
  logicalNot: row(x => Number(x === 0), multiples(1, -1, 1), asks),
};

/** Large enough for several vectors and a tail. */
const LONG = [1037];

function variants(name: Name, { f, from, sweep }: Row): Variant[] {
  const of = (shape: readonly number[], domain: Domain, forwardOnly = false): Variant => ({
    operands: [{ shape, from: domain }],
    run: x => F[name](x),
    reference: x => map(x, f),
    forwardOnly,
  });
  return [of([3, 4], from), of([], from), of([2, 3, 2, 2], from), of([0, 3], from), of(LONG, sweep, true)];
}

export const unary = Object.fromEntries(
  Object.entries(rows).map(([name, { f, from, sweep, ...settings }]) => [
    name,
    cases(variants(name as Name, { f, from, sweep, ...settings }), settings),
  ]),
) as Record<Name, Case>;
