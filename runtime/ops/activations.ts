import { boolean, nullable, number, oneOf, optional, options, whole } from '../arguments.ts';
import { operand, tensor } from '../tensor/specs.ts';
import { define } from './define.ts';
import { noScalars } from '../dispatch/elementwise.ts';
import { needFloat } from '../dispatch/op.ts';
import { ArgumentError, DTypeError, ShapeError } from '../errors.ts';
import { endsOf, holds, isHigher, promoteScalar, type DTypeInfo } from '../tensor/dtype.ts';
import { checkProbability } from '../tensor/holds.ts';
import { draw, generator } from '../tensor/generator.ts';
import { format } from '../tensor/shape.ts';
import type { Operand, Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { dropoutBy } from './primitives.ts';
import { ops } from './registry.ts';

/**
 * x Phi(x), where Phi is the distribution function of the standard normal distribution; approximate 'tanh' is the cheaper form that GPT-2
 * was trained with.
 */
export const gelu = define(
  'gelu',
  { x: tensor, options: options({ approximate: oneOf('none', 'tanh') }, { string: 'approximate' }) },
  (x: Tensor, options: { approximate?: 'none' | 'tanh' } = {}): Tensor =>
    call(options.approximate === 'tanh' ? ops.geluTanh : ops.gelu, [x], noScalars),
);
/** ln(1 + e^(beta x)) / beta, or x itself if beta x > threshold. */
export const softplus = define(
  'softplus',
  { x: tensor, options: options({ beta: number, threshold: number }, { number: 'beta' }) },
  (x: Tensor, options: { beta?: number; threshold?: number } = {}): Tensor =>
    call(ops.softplus, [x], { p0: options.beta ?? 1, p1: options.threshold ?? 20 }),
);
/** x if it is positive, else slope * x. */
export const leakyRelu = define(
  'leakyRelu',
  { x: tensor, slope: optional(number) },
  (x: Tensor, slope = 0.01): Tensor => call(ops.leakyRelu, [x], { p0: slope, p1: 0 }),
);
/** x if it is positive, else alpha (e^x - 1). */
export const elu = define('elu', { x: tensor, alpha: optional(number) }, (x: Tensor, alpha = 1): Tensor =>
  call(ops.elu, [x], { p0: alpha, p1: 0 }),
);
/** The bounds of clamp(). null and undefined leave a bound out. */
export interface Bounds {
  /** The lower bound: smaller elements become this number. */
  min?: number | null;
  /** The upper bound: larger elements become this number. */
  max?: number | null;
}
/** Clamps x. The check of the arguments has made an object of two numbers. */
function clamped(x: Tensor, boundsOrMin?: Bounds | number | null, _max?: number | null): Tensor {
  const { min, max } = boundsOrMin as Bounds;
  const given = [min, max].filter(bound => typeof bound === 'number');
  if (given.length === 0)
    throw new ArgumentError('neither min nor max is given', { op: 'clamp', advice: 'Call clamp({ min, max })' });
  const info = given.reduce(promoteScalar, x.info);
  checkBound(info, 'min', min ?? -Infinity, (bound, [, greatest]) => bound > greatest);
  checkBound(info, 'max', max ?? Infinity, (bound, [least]) => bound < least);
  const params = { p0: min ?? -Infinity, p1: max ?? Infinity };
  if (info === x.info) return call(ops.clamp, [x], params);
  const wide = x.to(info.name);
  const out = call(ops.clamp, [wide], params);
  wide.dispose();
  return out;
}
/** Makes an object of bounds in PyTorch's order. */
function inBounds([x, min, max, ...more]: readonly unknown[]): readonly unknown[] {
  const bound = (value: unknown): boolean => value === null || value === undefined || typeof value === 'number';
  if (!bound(min) || (min === undefined && max === undefined)) return [x, min, max, ...more];
  if (!bound(max)) return [x, min, max, ...more];
  return [x, { min, max }, ...more];
}
/**
 * Moves the elements of x into [min, max], given as { min, max } or as clamp(min, max). Either bound may be left out. Bounds with
 * fractions make integers floating; a bound of NaN makes all elements NaN.
 */
export const clamp = define(
  'clamp',
  {
    x: tensor,
    bounds: {
      ...options({ min: nullable(number), max: nullable(number) }),
      optional: false,
      wanted: 'a pair of bounds',
      advice: 'Call clamp({ min, max }), in which either may be left out, or clamp(min, max)',
    },
  },
  clamped,
  inBounds,
);

type Ends = readonly [number, number];
/** @throws DTypeError if elements would become a bound that the dtype cannot hold */
function checkBound(info: DTypeInfo, name: string, bound: number, out: (bound: number, ends: Ends) => boolean): void {
  const ends = endsOf(info);
  if (holds(info, bound) || !Number.isFinite(bound) || !out(bound, ends)) return;
  throw new ArgumentError(`${name} ${bound} is outside of what ${info.name} holds, ${ends.join(' to ')}`, {
    op: 'clamp',
    advice: 'Convert the tensor to a dtype that holds the bound',
  });
}

/** Selects elements: x where the condition is true, else other. */
export const where = define(
  'where',
  { x: operand, condition: tensor, other: operand },
  (x: Operand, condition: Tensor, other: Operand): Tensor => call(ops.where, [condition, x, other], noScalars),
);
/**
 * Replaces elements: value where the mask is true, else x. The result has the dtype of x, which must be able to hold the value; bool
 * takes every number other than 0 for true.
 */
export const maskedFill = define(
  'maskedFill',
  { x: tensor, mask: tensor, value: operand },
  (x: Tensor, mask: Tensor, value: number | Tensor): Tensor => {
    if (mask.info.category !== 'bool')
      throw new DTypeError(`the mask must be bool, not ${mask.dtype}`, {
        op: 'maskedFill',
        advice: 'Compare it with 0',
      });
    if (typeof value !== 'number') {
      if (isHigher(value.info, x.info)) refuseFilling(x, `a ${value.dtype} tensor`);
    } else if (x.info.category !== 'bool' && !holds(x.info, value)) refuseFilling(x, String(value));
    const filling = typeof value === 'number' && x.info.category === 'bool' ? Number(value !== 0) : value;
    return call(ops.where, [mask, filling, x], { ...noScalars, as: x.info });
  },
);

function refuseFilling(x: Tensor, value: string): never {
  throw new DTypeError(`${x.dtype} cannot hold ${value}`, {
    op: 'maskedFill',
    shapes: [x.shape],
    dtypes: [x.dtype],
    advice: 'Fill with a number that it holds, convert the tensor first, or use where(), which promotes',
  });
}
/** x + value * a * b. */
export const addcmul = define(
  'addcmul',
  { x: tensor, a: operand, b: operand, value: optional(number) },
  (x: Tensor, a: Operand, b: Operand, value = 1): Tensor => call(ops.addcmul, [x, a, b], { p0: value, p1: 0 }),
);
/** x + value * a / b. */
export const addcdiv = define(
  'addcdiv',
  { x: tensor, a: operand, b: operand, value: optional(number) },
  (x: Tensor, a: Operand, b: Operand, value = 1): Tensor => call(ops.addcdiv, [x, a, b], { p0: value, p1: 0 }),
);
/** x + weight * (end - x). */
export const lerp = define(
  'lerp',
  { x: tensor, end: operand, weight: operand },
  (x: Tensor, end: Operand, weight: Operand): Tensor => call(ops.lerp, [x, end, weight], noScalars),
);

function triangle(x: Tensor, upper: boolean, diagonal: number, op: string): Tensor {
  if (x.rank < 2)
    throw new ShapeError(`${format(x.shape)} is not a matrix or a batch of matrices`, { op, shapes: [x.shape] });
  // The native library takes the diagonal as int32. Beyond the sizes of the matrix all diagonals give the same result.
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  return call(ops.triangle, [x], { upper, diagonal: Math.max(-rows - 1, Math.min(diagonal, columns + 1)) });
}
/** Keeps the lower triangle of the last two axes; the elements above the diagonal become 0. `diagonal` counts upwards from the main one. */
export const tril = define('tril', { x: tensor, diagonal: optional(whole) }, (x: Tensor, diagonal = 0): Tensor =>
  triangle(x, false, diagonal, 'tril'),
);
/** Keeps the upper triangle of the last two axes; the elements below the diagonal become 0. `diagonal` counts upwards from the main one. */
export const triu = define('triu', { x: tensor, diagonal: optional(whole) }, (x: Tensor, diagonal = 0): Tensor =>
  triangle(x, true, diagonal, 'triu'),
);

/** Makes each element 0 with probability p and divides the others by 1 - p. Returns x itself when not training. */
export const dropout = define(
  'dropout',
  { x: tensor, p: optional(number), training: optional(boolean) },
  (x: Tensor, p = 0.5, training = true): Tensor => {
    checkProbability(p, 'dropout');
    if (training && p > 0) needFloat({ name: 'dropout' }, x);
    return training && p > 0 ? dropoutBy(x, { p, ...draw(generator()) }) : x;
  },
);
