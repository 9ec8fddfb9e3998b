import { noScalars } from '../dispatch/elementwise.ts';
import type { DropoutParams } from '../dispatch/elementwise.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { fillRandom, empty } from '../tensor/create.ts';
import { draw, generator } from '../tensor/generator.ts';
import { format } from '../tensor/shape.ts';
import type { Operand, Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';

/** x Phi(x), Phi of the standard normal distribution; approximate 'tanh' is the cheaper form GPT-2 was trained with. */
export const gelu = (x: Tensor, options: { approximate?: 'none' | 'tanh' } = {}): Tensor =>
  call(options.approximate === 'tanh' ? ops.geluTanh : ops.gelu, [x], noScalars);
/** ln(1 + e^(beta x)) / beta, and x itself where beta x > threshold. */
export const softplus = (x: Tensor, options: { beta?: number; threshold?: number } = {}): Tensor =>
  call(ops.softplus, [x], { p0: options.beta ?? 1, p1: options.threshold ?? 20 });
/** x where positive, else slope * x. */
export const leakyRelu = (x: Tensor, slope = 0.01): Tensor => call(ops.leakyRelu, [x], { p0: slope, p1: 0 });
/** x where positive, else alpha (e^x - 1). */
export const elu = (x: Tensor, alpha = 1): Tensor => call(ops.elu, [x], { p0: alpha, p1: 0 });
/** x, moved into [min, max]; either bound may be left out. */
export const clamp = (x: Tensor, bounds: { min?: number; max?: number }): Tensor =>
  call(ops.clamp, [x], { p0: bounds.min ?? -Infinity, p1: bounds.max ?? Infinity });

/** x where the condition holds, else other. */
export const where = (x: Operand, condition: Tensor, other: Operand): Tensor =>
  call(ops.where, [condition, x, other], noScalars);
/** value where the mask holds, else x. */
export const maskedFill = (x: Tensor, mask: Tensor, value: number | Tensor): Tensor =>
  call(ops.where, [mask, value, x], noScalars);
/** x + value * a * b. */
export const addcmul = (x: Tensor, a: Operand, b: Operand, value = 1): Tensor =>
  call(ops.addcmul, [x, a, b], { p0: value, p1: 0 });
/** x + value * a / b. */
export const addcdiv = (x: Tensor, a: Operand, b: Operand, value = 1): Tensor =>
  call(ops.addcdiv, [x, a, b], { p0: value, p1: 0 });
/** x + weight * (end - x). */
export const lerp = (x: Tensor, end: Operand, weight: Operand): Tensor => call(ops.lerp, [x, end, weight], noScalars);

function triangle(x: Tensor, upper: boolean, diagonal: number, op: string): Tensor {
  if (x.rank < 2) throw new ShapeError(`${format(x.shape)} is no matrix`, { op, shapes: [x.shape] });
  return call(ops.triangle, [x], { upper, diagonal });
}
/** The lower triangle of the last two axes, zeros above the diagonal (counted upwards from the main one). */
export const tril = (x: Tensor, diagonal = 0): Tensor => triangle(x, false, diagonal, 'tril');
/** The upper triangle of the last two axes, zeros below the diagonal (counted upwards from the main one). */
export const triu = (x: Tensor, diagonal = 0): Tensor => triangle(x, true, diagonal, 'triu');

/** Zeroes each element with probability p and divides the others by 1 - p; itself when not training. */
export function dropout(x: Tensor, p = 0.5, training = true): Tensor {
  if (!(p >= 0 && p <= 1)) throw new ArgumentError(`probability ${p} is outside [0, 1]`, { op: 'dropout' });
  return training && p > 0 ? dropoutWith(x, { p, ...draw(generator()) }) : x;
}
/** @internal Dropout of a known random stream. */
export const dropoutWith = (x: Tensor, params: DropoutParams): Tensor => call(ops.dropout, [x], params);

/** @internal Exponentially distributed numbers, rate 1, of the same shape, dtype and device. */
export function exponentialLike(x: Tensor): Tensor {
  const out = empty(x.shape, { dtype: x.dtype, device: x.device });
  fillRandom(out, 'exponential', 1, 0);
  return out;
}
