import { ArgumentError, DTypeError } from '../errors.ts';
import { native } from '../ffi/library.ts';
import { describeScalar } from '../ffi/view.ts';
import {
  bool,
  endsOf,
  float32,
  float64,
  holds,
  int64,
  promote,
  promoteScalar,
  toFloat,
  type DTypeInfo,
} from '../tensor/dtype.ts';
import { pack } from '../tensor/read.ts';
import { broadcast, sameShape } from '../tensor/shape.ts';
import { empty, emptyLike, view, type Operand, type Tensor } from '../tensor/tensor.ts';
import { check, contextOf, deviceOf, type Op, type OpInfo, type Run } from './op.ts';

/** Scalar parameters of an elementwise op, e.g. the bounds of clamp. */
export interface Scalars {
  readonly p0: number;
  readonly p1: number;
  /** The result's dtype, and what numbers become, where the op keeps that of one operand. */
  readonly as?: DTypeInfo;
}
export const noScalars: Scalars = Object.freeze({ p0: 0, p1: 0 });

function resultInfo(op: OpInfo, meeting: DTypeInfo): DTypeInfo {
  if (meeting === bool && op.bool !== 'kept') return ofBool(op);
  return op.result === 'same' ? meeting : op.result === 'float' ? toFloat(meeting) : bool;
}

function ofBool(op: OpInfo): DTypeInfo {
  if (op.bool !== 'int64') refuseBool(op);
  return int64;
}

/** The call that the user should make instead. */
const insteadOfBool: Readonly<Record<string, string>> = {
  neg: 'Invert a mask with logicalNot()',
  sub: 'Use logicalXor() for two masks, logicalNot() to invert one',
};
function refuseBool(op: { name: string }): never {
  const advice = insteadOfBool[op.name.replace(/_$/, '')] ?? "Convert it with to('int64') to compute with 0 and 1";
  throw new DTypeError('bool has no arithmetic of this kind', { op: op.name, advice });
}

/** The dtype of what an elementwise op makes of these operands. */
export function infoOf(op: Op<'unary'> | Op<'binary'>, inputs: readonly Operand[]): DTypeInfo {
  return resultInfo(op, op.kind === 'unary' ? (inputs[0] as Tensor).info : meetFor(op, inputs[0]!, inputs[1]!));
}

export const unary: Run<'unary'> = (op, inputs, params, dtype) => {
  const a = inputs[0] as Tensor;
  const out = emptyLike(a, dtype ?? resultInfo(op, a.info));
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
  if (typeof a === 'number') return promoteScalar(typeof b === 'number' ? promoteScalar(bool, b) : b!.info, a);
  if (typeof b === 'number') return promoteScalar(a!.info, b);
  const x = a!.info;
  const y = b!.info;
  if (x === y) return x;
  if (x.category === y.category && (a!.rank === 0) !== (b!.rank === 0)) return a!.rank === 0 ? y : x;
  return promote(x, y);
}

const isBool = (x: Operand): boolean => typeof x !== 'number' && x!.info === bool;
/** Where the operands of an op meet. @throws DTypeError where one is a bool that the op refuses */
function meetFor(op: OpInfo, a: Operand, b: Operand): DTypeInfo {
  if (op.bool === 'never' && (isBool(a) || isBool(b))) refuseBool(op);
  return meet(a, b);
}

/** Where any number of operands meet: those with axes, then those of rank 0, then numbers, each only if of a higher category. */
function meetAll(operands: readonly Operand[]): DTypeInfo {
  const tensors = operands.filter(x => typeof x !== 'number') as Tensor[];
  const widest = (some: Tensor[]): DTypeInfo | null => (some.length ? some.map(t => t.info).reduce(promote) : null);
  const wide = widest(tensors.filter(t => t.rank > 0));
  const scalar = widest(tensors.filter(t => t.rank === 0));
  const same = wide !== null && scalar !== null && wide.category === scalar.category;
  const info = same || scalar === null ? (wide ?? bool) : wide === null ? scalar : promote(wide, scalar);
  return operands.reduce<DTypeInfo>((found, x) => (typeof x === 'number' ? promoteScalar(found, x) : found), info);
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

/** Ops that give the same whatever multiple of 2^bits is added to an operand: numbers too large for a dtype wrap around, as sums do. */
const modular = new Set(['add', 'sub', 'mul', 'pow', 'bitwiseAnd', 'bitwiseOr', 'bitwiseXor']);

/**
 * A number crosses as a constant: of the meeting dtype, but float32 for the 16-bit ones, so that 0.1 stays 0.1, and int64 for integers,
 * so that none is cut to fewer bits.
 */
function operand(slot: number, x: Operand, meeting: DTypeInfo, op: OpInfo): number {
  return typeof x === 'number' ? constant(slot, x, meeting, op) : view(slot, x!, op.name);
}
function constant(slot: number, x: number, meeting: DTypeInfo, op: OpInfo): number {
  if (meeting.category === 'float') return describeScalar(slot, x, (meeting.bytes === 2 ? float32 : meeting).code);
  if (op.result === 'same' && !holds(meeting, x) && !modular.has(op.name.replace(/_$/, '')))
    refuseNumber(x, meeting, op);
  return describeScalar(slot, x, int64.code);
}

function refuseNumber(x: number, info: DTypeInfo, op: { name: string }): never {
  throw new ArgumentError(`${info.name} holds ${endsOf(info).join(' to ')}, not ${x}`, {
    op: op.name,
    advice: 'Convert the tensor to a dtype that holds the number',
  });
}

/** 2^63, which an int64 rounds to as a float64 though it is less. */
const BEYOND_INT64 = 2 ** 63;

/**
 * A number to compare with. Integers compare exactly: with whole numbers as int64, with others as float64, where an integer too large
 * to be exact is far from any fraction. A float's dtype rounds the number first, so that a tensor made of 0.1 equals 0.1.
 */
function compared(slot: number, x: Operand, other: Operand, op: OpInfo): number {
  if (typeof x !== 'number') return view(slot, x!, op.name);
  const info = typeof other === 'number' ? float64 : other!.info;
  if (info.category === 'float') return describeScalar(slot, x, info.code);
  if (holds(int64, x)) return describeScalar(slot, x, int64.code);
  return describeScalar(slot, x === BEYOND_INT64 ? 2 * x : x, float64.code);
}

export const binary: Run<'binary'> = (op, inputs, params, dtype) => {
  const meeting = meetFor(op, inputs[0]!, inputs[1]!);
  const info = resultInfo(op, meeting);
  const out = newBroadcast(op, inputs, dtype ?? info);
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

/**
 * A floating tensor of rank 0 that is compared with a tensor of axes, rounded to the dtype of that as a number would be: without it
 * a float32 tensor of 0.1 would not equal a float64 one. A tensor of its own, or x itself where nothing is to be rounded.
 */
function roundedTo(other: Operand, x: Operand, op: OpInfo): Operand {
  if (typeof x === 'number' || typeof other === 'number' || x!.rank > 0 || other!.rank === 0) return x;
  if (!x!.isFloat || !other!.isFloat || promote(x!.info, other!.info) === other!.info) return x;
  return pack(x!, other!.info, op.name);
}

export const compare: Run<'compare'> = (op, inputs) => {
  const [x, y] = inputs as [Operand, Operand];
  const out = newBroadcast(op, inputs, bool);
  const rounded = [roundedTo(y, x, op), roundedTo(x, y, op)] as const;
  const a = compared(0, rounded[0], rounded[1], op);
  const b = compared(1, rounded[1], rounded[0], op);
  check(native.castor_compare(op.code, a, b, view(2, out, op.name)), op, inputs);
  rounded.forEach((t, i) => typeof t !== 'number' && t !== inputs[i] && t!.dispose());
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
  const meeting = params.as ?? (chooses ? meet(b, c) : meetAll([a, b, c]));
  const info = params.as ?? resultInfo(op, meeting);
  if (op.name === 'addcmul' && meeting.category !== 'float' && !holds(int64, params.p0)) refuseFactor(op, params.p0);
  const shape = broadcast(broadcast(shapeOf(a), shapeOf(b), op.name), shapeOf(c), op.name);
  const out = empty(shape, params.as ?? dtype ?? info, deviceOf(op, inputs));
  const slots = [a, b, c].map((x, slot) => operand(slot, x, meeting, op)) as [number, number, number];
  check(native.castor_ternary(op.code, ...slots, view(3, out, op.name), params.p0), op, inputs);
  return out;
};

function refuseFactor(op: OpInfo, value: number): never {
  throw new ArgumentError(`integers cannot be multiplied by ${value}`, {
    op: op.name,
    advice: 'Pass a whole number as value, or convert the tensors to a float dtype',
  });
}

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
