import { DTypeError } from '../errors.ts';
import { native } from '../ffi/library.ts';
import { describeScalar } from '../ffi/view.ts';
import { bool, defaultDType, float32, promote, promoteScalar, toFloat, type DTypeInfo } from '../tensor/dtype.ts';
import { broadcast, sameShape } from '../tensor/shape.ts';
import { empty, emptyLike, view, type Operand, type Tensor } from '../tensor/tensor.ts';
import { check, contextOf, deviceOf, type Op, type OpInfo, type ResultRule, type Run } from './op.ts';

/** Scalar parameters of an elementwise op, e.g. the bounds of clamp. */
export interface Scalars {
  readonly p0: number;
  readonly p1: number;
}
export const noScalars: Scalars = Object.freeze({ p0: 0, p1: 0 });

function resultInfo(rule: ResultRule, meeting: DTypeInfo): DTypeInfo {
  return rule === 'same' ? meeting : rule === 'float' ? toFloat(meeting) : bool;
}

export const unary: Run<'unary'> = (op, inputs, params, dtype) => {
  const a = inputs[0] as Tensor;
  const out = emptyLike(a, dtype ?? resultInfo(op.result, a.info));
  unaryInto(op, inputs, params, out);
  return out;
};

export function unaryInto(op: Op<'unary'>, inputs: readonly Operand[], params: Scalars, out: Tensor): void {
  const a = inputs[0] as Tensor;
  check(native.castor_unary(op.code, view(0, a, op.name), view(1, out, op.name), params.p0, params.p1), op, inputs);
}

/**
 * Where two operands meet. A number does not promote a tensor of its category, nor does a tensor of rank 0 one that has axes.
 */
function meet(a: Operand, b: Operand): DTypeInfo {
  if (typeof a === 'number') return typeof b === 'number' ? defaultDType() : promoteScalar(b!.info, a);
  if (typeof b === 'number') return promoteScalar(a!.info, b);
  const x = a!.info;
  const y = b!.info;
  if (x === y) return x;
  if (x.category === y.category && (a!.rank === 0) !== (b!.rank === 0)) return a!.rank === 0 ? y : x;
  return promote(x, y);
}

const NO_AXES: readonly number[] = [];
const shapeOf = (x: Operand): readonly number[] => (typeof x === 'number' ? NO_AXES : x!.shape);

function newBroadcast(op: OpInfo, inputs: readonly Operand[], info: DTypeInfo): Tensor {
  const device = deviceOf(op, inputs);
  const a = inputs[0]!;
  const b = inputs[1]!;
  if (typeof a !== 'number' && (typeof b === 'number' || sameShape(a.shape, b.shape))) return emptyLike(a, info);
  if (typeof a === 'number' && typeof b !== 'number') return emptyLike(b, info);
  return empty(broadcast(shapeOf(a), shapeOf(b), op.name), info, device);
}

/** A number crosses as a constant: of the meeting dtype, but float32 for the 16-bit ones, so that 0.1 stays 0.1. */
function operand(slot: number, x: Operand, meeting: DTypeInfo, op: OpInfo): number {
  if (typeof x !== 'number') return view(slot, x!, op.name);
  return describeScalar(slot, x, (meeting.category === 'float' && meeting.bytes === 2 ? float32 : meeting).code);
}

export const binary: Run<'binary'> = (op, inputs, params, dtype) => {
  const meeting = meet(inputs[0]!, inputs[1]!);
  const out = newBroadcast(op, inputs, dtype ?? resultInfo(op.result, meeting));
  binaryInto(op, inputs, params, out, meeting);
  return out;
};

export function binaryInto(
  op: Op<'binary'>,
  inputs: readonly Operand[],
  params: Scalars,
  out: Tensor,
  meeting = meet(inputs[0]!, inputs[1]!),
): void {
  const a = operand(0, inputs[0]!, meeting, op);
  const b = operand(1, inputs[1]!, meeting, op);
  check(native.castor_binary(op.code, a, b, view(2, out, op.name), params.p0, params.p1), op, inputs);
}

export const compare: Run<'compare'> = (op, inputs) => {
  const meeting = meet(inputs[0]!, inputs[1]!);
  const out = newBroadcast(op, inputs, bool);
  const a = operand(0, inputs[0]!, meeting, op);
  const b = operand(1, inputs[1]!, meeting, op);
  check(native.castor_compare(op.code, a, b, view(2, out, op.name)), op, inputs);
  return out;
};

/** Three operands: the values promote; the condition of where only chooses. */
export const ternary: Run<'ternary'> = (op, inputs, params, dtype) => {
  const [a, b, c] = inputs as [Operand, Operand, Operand];
  const chooses = op.name === 'where';
  if (chooses && typeof a !== 'number' && a!.info.category !== 'bool')
    throw new DTypeError(`the condition must be bool, not ${a!.dtype}`, {
      ...contextOf(op, inputs),
      advice: 'Compare it with 0',
    });
  const values = meet(b, c);
  const meeting = chooses || typeof a === 'number' ? values : promote(a!.info, values);
  const shape = broadcast(broadcast(shapeOf(a), shapeOf(b), op.name), shapeOf(c), op.name);
  const out = empty(shape, dtype ?? resultInfo(op.result, meeting), deviceOf(op, inputs));
  const slots = [a, b, c].map((x, slot) => operand(slot, x, meeting, op)) as [number, number, number];
  check(native.castor_ternary(op.code, ...slots, view(3, out, op.name), params.p0), op, inputs);
  return out;
};

/** Probability of zeroing, and which random stream decides. */
export interface DropoutParams {
  readonly p: number;
  readonly seed: number;
  readonly offset: number;
}

export const dropout: Run<'dropout'> = (op, inputs, { p, seed, offset }) => {
  const a = inputs[0] as Tensor;
  const out = emptyLike(a, a.info);
  check(native.castor_dropout(view(0, a, op.name), view(1, out, op.name), p, seed, offset), op, inputs);
  return out;
};

/** Which part of a matrix is kept: columns up to (lower) or from (upper) row + diagonal. */
export interface TriangleParams {
  readonly upper: boolean;
  readonly diagonal: number;
}

export const triangle: Run<'triangle'> = (op, inputs, { upper, diagonal }) => {
  const a = inputs[0] as Tensor;
  const out = emptyLike(a, a.info);
  check(native.castor_triangle(upper ? 1 : 0, view(0, a, op.name), view(1, out, op.name), diagonal), op, inputs);
  return out;
};
