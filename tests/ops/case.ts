import type { DType, F, Tensor } from 'castor';
import type * as primitives from '../../runtime/ops/primitives.ts';
import type { OpName } from '../../runtime/ops/table.ts';
import type { Values } from '../reference/values.ts';
import type { LayoutName } from './layouts.ts';

/** Draws one element for a dtype. */
export type Domain = (random: () => number, dtype: DType, i: number) => number;

export interface Operand {
  readonly shape: readonly number[];
  readonly from: Domain;
  /** The dtype of index tensors and masks, which does not depend on the dtype under test. */
  readonly dtype?: DType;
}

export type Result<T> = T | readonly T[];

/** One way to call an op: its operands, the call with its parameters, and the expected result. */
export interface Variant {
  readonly operands: readonly Operand[];
  run(...operands: Tensor[]): Result<Tensor>;
  /** The expected result, computed in float64 without Castor. */
  reference(...operands: Values[]): Result<Values>;
  /** The op has kinks, or too wide a range for finite differences, so only the forward result is checked. */
  readonly forwardOnly?: boolean;
  /** The numbers of operands that have no gradient. */
  readonly frozen?: readonly number[];
  /** The dtypes, if they are fewer than those of the case. */
  readonly dtypes?: readonly DType[];
  /** The result dtype, if it differs from that of the case. */
  readonly result?: ResultRule;
  readonly skips?: readonly Skip[];
}

/** The rule by which the dtype of the result depends on that of the operands. */
export type ResultRule = 'same' | 'float' | 'bool' | 'int64' | DType | ((dtype: DType) => DType);

export interface Skip {
  readonly dtype?: DType;
  readonly layout?: LayoutName;
  readonly reason: string;
}

export interface Case {
  readonly variants: readonly Variant[];
  readonly dtypes: readonly DType[];
  /** An array for ops with several results of different dtypes. */
  readonly result: ResultRule | readonly ResultRule[];
  /** The number of times that the op is differentiable everywhere in its domain. 0 if gradients are zero or do not exist. */
  readonly smooth: 0 | 1 | 2;
  /**
   * The allowed error in units of the precision of the arithmetic (float32 for 16-bit dtypes), in addition to the
   * rounding of the result.
   */
  readonly units: number;
  /** The magnitude of the terms of a sum, where the result may be much smaller. */
  readonly scale: number;
  /** The number of intermediate roundings to the dtype, for ops that are composed of several. */
  readonly roundings: number;
}

/** Every op of the table, every function made of ops, and those of Castor's own. */
export type CaseName = OpName | keyof typeof F | keyof typeof primitives;
/** If a row is missing, this does not compile. Ops without a function of their own name the row that calls them. */
export type Cases = { readonly [N in CaseName]: Case | { readonly coveredBy: CaseName } };

export const floats: readonly DType[] = ['float32', 'float16', 'bfloat16', 'float64'];
export const integers: readonly DType[] = ['int32', 'int64', 'uint8'];
export const numbers: readonly DType[] = [...floats, ...integers];
export const everything: readonly DType[] = [...numbers, 'bool'];

/** A case with the usual settings: floating dtypes, a result of the same dtype, twice differentiable. */
export function cases(variants: readonly Variant[] | Variant, settings: Partial<Omit<Case, 'variants'>> = {}): Case {
  const list = (Array.isArray(variants) ? variants : [variants]) as readonly Variant[];
  return { variants: list, dtypes: floats, result: 'same', smooth: 2, units: 8, scale: 0, roundings: 1, ...settings };
}

const isFloat = (dtype: DType): boolean => floats.includes(dtype);

/** The dtype of a sum: int64 for integers and bool. */
export const counted = (dtype: DType): DType => (isFloat(dtype) ? dtype : 'int64');

/** Uniform between two bounds. */
export const within =
  (low: number, high: number): Domain =>
  random =>
    low + (high - low) * random();
/** Like within, but not closer to 0 than a gap; integers other than 0. */
export const awayFromZero =
  (low: number, high: number, gap = 0.2): Domain =>
  (random, dtype) => {
    const x = within(low, high)(random, dtype, 0);
    if (!isFloat(dtype)) return Math.round(x) || 1;
    return Math.abs(x) >= gap ? x : (x < 0 ? -gap : gap) + x;
  };
/** Whole multiples of a step. */
export const multiples =
  (step: number, low: number, high: number): Domain =>
  random =>
    step * Math.round((low + (high - low) * random()) / step);
/** Whole numbers from low up to, not including, high. */
export const below =
  (high: number, low = 0): Domain =>
  random =>
    low + Math.floor((high - low) * random());
export const truth: Domain = random => (random() < 0.5 ? 0 : 1);
/** These values, in this order. */
export const given =
  (...values: number[]): Domain =>
  (_, __, i) =>
    values[i % values.length]!;

/** The result dtype that a rule gives. */
export function resultDType(rule: ResultRule, dtype: DType): DType {
  if (typeof rule === 'function') return rule(dtype);
  if (rule === 'same') return dtype;
  return rule === 'float' ? (isFloat(dtype) ? dtype : 'float32') : rule;
}

/** A stream of numbers in [0, 1) whose seed is a name. */
export function randomOf(name: string): () => number {
  let state = Bun.hash.crc32(name);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function fit(x: number, dtype: DType): number {
  if (isFloat(dtype)) return x;
  const whole = Math.round(x);
  return dtype === 'bool' ? Math.abs(whole) & 1 : dtype === 'uint8' ? Math.abs(whole) : whole;
}

/** The elements of an operand for a dtype. Floats are not rounded to it yet. */
export function draw(operand: Operand, dtype: DType, name: string): Values {
  const random = randomOf(name);
  const own = operand.dtype ?? dtype;
  const count = operand.shape.reduce((n, size) => n * size, 1);
  return {
    shape: operand.shape,
    data: Float64Array.from({ length: count }, (_, i) => fit(operand.from(random, own, i), own)),
  };
}
