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
import { contiguousCopy } from '../tensor/read.ts';
import { broadcast, sameShape, sameSizes } from '../tensor/shape.ts';
import { empty, emptyLike, writeView, type Operand, type Tensor } from '../tensor/tensor.ts';
import { flatBinary, flatBinaryInto, flatUnary } from './flat.ts';
import { check, contextOf, deviceOf, type OpInfo, type Run } from './op.ts';

/** The scalar parameters of an elementwise op, such as the bounds of clamp(). */
export interface Scalars {
  readonly p0: number;
  readonly p1: number;
  /** The dtype of the result and of number operands, if the op takes it from one operand. */
  readonly as?: DTypeInfo;
}
export const noScalars: Scalars = Object.freeze({ p0: 0, p1: 0 });

function resultInfo(op: OpInfo, common: DTypeInfo): DTypeInfo {
  if (common === bool && op.bool !== 'kept') return ofBool(op);
  if (op.result === 'bool') return bool;
  return op.result === 'float' ? toFloat(common) : common;
}

function ofBool(op: OpInfo): DTypeInfo {
  if (op.bool !== 'int64') refuseBool(op);
  return int64;
}

function refuseBool(op: OpInfo): never {
  const advice = op.insteadOfBool ?? "Convert it with to('int64') to compute with 0 and 1";
  throw new DTypeError('this op is not defined for bool', { op: op.name, advice });
}

/** Returns the dtype of the result of an elementwise op for these operands. */
export function infoOf(op: OpInfo, inputs: readonly Operand[]): DTypeInfo {
  return resultInfo(op, inputs.length === 1 ? (inputs[0] as Tensor).info : commonDTypeFor(op, inputs[0]!, inputs[1]!));
}

export const unary: Run<Scalars> = (op, inputs, params, dtype) => {
  const a = inputs[0] as Tensor;
  const flat = flatUnary(op, a, params, dtype);
  if (flat !== null) return flat;
  const out = emptyLike(a, dtype ?? resultInfo(op, a.info));
  unaryInto(op, inputs, params, out);
  return out;
};

export function unaryInto(op: OpInfo, inputs: readonly Operand[], params: Scalars, out: Tensor): void {
  const a = inputs[0] as Tensor;
  check(
    native.castor_unary(op.code, writeView(0, a, op.name), writeView(1, out, op.name), params.p0, params.p1),
    op,
    inputs,
  );
}

/**
 * Returns the common dtype of two operands (torch.result_type): a number does not promote a tensor of the same category (bool, int,
 * float), nor does a tensor of rank 0 promote one that has axes.
 */
function commonDType(a: Operand, b: Operand): DTypeInfo {
  if (typeof a === 'number') return promoteScalar(typeof b === 'number' ? promoteScalar(bool, b) : b!.info, a);
  if (typeof b === 'number') return promoteScalar(a!.info, b);
  const x = a!.info;
  const y = b!.info;
  if (x === y) return x;
  if (x.category === y.category && (a!.rank === 0) !== (b!.rank === 0)) return a!.rank === 0 ? y : x;
  return promote(x, y);
}

const isBool = (x: Operand): boolean => typeof x !== 'number' && x!.info === bool;
/** Returns the common dtype of an op's operands. @throws DTypeError if one of them is bool and the op refuses it */
function commonDTypeFor(op: OpInfo, a: Operand, b: Operand): DTypeInfo {
  if (op.bool === 'never' && (isBool(a) || isBool(b))) refuseBool(op);
  return commonDType(a, b);
}

/**
 * Returns the common dtype of any number of operands. Tensors with axes come before those of rank 0, those before numbers, as in PyTorch.
 */
function commonDTypeOfAll(operands: readonly Operand[]): DTypeInfo {
  const tensors = operands.filter(x => typeof x !== 'number') as Tensor[];
  const widest = (some: Tensor[]): DTypeInfo | null => (some.length ? some.map(t => t.info).reduce(promote) : null);
  const wide = widest(tensors.filter(t => t.rank > 0));
  const scalar = widest(tensors.filter(t => t.rank === 0));
  const same = wide !== null && scalar !== null && wide.category === scalar.category;
  const info = same || scalar === null ? (wide ?? bool) : wide === null ? scalar : promote(wide, scalar);
  return operands.reduce<DTypeInfo>((found, x) => (typeof x === 'number' ? promoteScalar(found, x) : found), info);
}

const isObject = (x: Operand): x is Tensor => typeof x === 'object' && x !== null;
const NO_AXES: readonly number[] = [];
const shapeOf = (x: Operand): readonly number[] => (typeof x === 'number' ? NO_AXES : x!.layout.shape);

/** Allocates the result of two operands, in the layout of one of them if that has the shape of the result. */
function newBroadcast(op: OpInfo, inputs: readonly Operand[], info: DTypeInfo): Tensor {
  const device = deviceOf(op, inputs);
  const [a, b] = inputs as [Operand, Operand];
  if (!isObject(b)) return isObject(a) ? emptyLike(a, info) : empty(NO_AXES, info, device);
  if (!isObject(a)) return emptyLike(b, info);
  if (sameSizes(a.layout, b.layout)) return emptyLike(a, info);
  const shape = broadcast(a.layout.shape, b.layout.shape, op.name);
  if (sameShape(shape, a.layout.shape)) return emptyLike(a, info);
  return sameShape(shape, b.layout.shape) ? emptyLike(b, info) : empty(shape, info, device);
}

/**
 * Passes a number to the native library as a constant: in the common dtype, but in float32 if that has 16 bits (so that 0.1 is not
 * rounded to 16 bits), and in int64 if it is an integer dtype (so that no bits are cut off).
 */
function operand(slot: number, x: Operand, common: DTypeInfo, op: OpInfo): number {
  return typeof x === 'number' ? constant(slot, x, common, op) : writeView(slot, x!, op.name);
}
function constant(slot: number, x: number, common: DTypeInfo, op: OpInfo): number {
  if (common.category === 'float') return describeScalar(slot, x, (common.bytes === 2 ? float32 : common).code);
  if (op.result === 'same' && !holds(common, x) && !op.wraps) refuseNumber(x, common, op);
  return describeScalar(slot, x, int64.code);
}

function refuseNumber(x: number, info: DTypeInfo, op: { name: string }): never {
  throw new ArgumentError(`${info.name} holds ${endsOf(info).join(' to ')}, not ${x}`, {
    op: op.name,
    advice: 'Convert the tensor to a dtype that holds the number',
  });
}

/** 2^63: too large for an int64, though the largest int64 becomes this number when it is converted to a double. */
const BEYOND_INT64 = 2 ** 63;

/**
 * Passes a number that a tensor is compared with. Integers are compared with whole numbers as int64, and with fractions as float64:
 * integers that float64 rounds are larger than any number with a fraction. For floats the number is rounded to their dtype, so that a
 * float32 0.1 equals 0.1.
 */
function compared(slot: number, x: Operand, other: Operand, op: OpInfo): number {
  if (typeof x !== 'number') return writeView(slot, x!, op.name);
  const info = typeof other === 'number' ? float64 : other!.info;
  if (info.category === 'float') return describeScalar(slot, x, info.code);
  if (holds(int64, x)) return describeScalar(slot, x, int64.code);
  return describeScalar(slot, x === BEYOND_INT64 ? 2 * x : x, float64.code);
}

export const binary: Run<Scalars> = (op, inputs, params, dtype) => {
  const a = inputs[0]!;
  const b = inputs[1]!;
  const flat = isObject(a) && isObject(b) ? flatBinary(op, a, b, params, dtype) : null;
  if (flat !== null) return flat;
  const common = commonDTypeFor(op, a, b);
  const info = resultInfo(op, common);
  const out = newBroadcast(op, inputs, dtype ?? info);
  computeBinary(op, inputs, params, out, common);
  return out;
};

export function binaryInto(op: OpInfo, inputs: readonly Operand[], params: Scalars, out: Tensor): void {
  const a = inputs[0]!;
  const b = inputs[1]!;
  const done = isObject(a) && isObject(b) && flatBinaryInto(op, a, b, params, out);
  if (!done) computeBinary(op, inputs, params, out, commonDType(a, b));
}

function computeBinary(op: OpInfo, inputs: readonly Operand[], params: Scalars, out: Tensor, common: DTypeInfo): void {
  const a = operand(0, inputs[0]!, common, op);
  const b = operand(1, inputs[1]!, common, op);
  check(native.castor_binary(op.code, a, b, writeView(2, out, op.name), params.p0, params.p1), op, inputs);
}

/**
 * Rounds a floating tensor of rank 0 that is compared with a tensor that has axes to the dtype of the latter, as a number is rounded:
 * otherwise a float32 tensor of 0.1 would not equal a float64 0.1. Returns a new tensor, or x if there is nothing to round.
 */
function roundedTo(other: Operand, x: Operand, op: OpInfo): Operand {
  if (typeof x === 'number' || typeof other === 'number' || x!.rank > 0 || other!.rank === 0) return x;
  if (!x!.isFloat || !other!.isFloat || promote(x!.info, other!.info) === other!.info) return x;
  return contiguousCopy(x!, other!.info, op.name);
}

export const compare: Run<Scalars> = (op, inputs) => {
  const [x, y] = inputs as [Operand, Operand];
  const out = newBroadcast(op, inputs, bool);
  const p = roundedTo(y, x, op);
  const q = roundedTo(x, y, op);
  const a = compared(0, p, q, op);
  const b = compared(1, q, p, op);
  check(native.castor_compare(op.code, a, b, writeView(2, out, op.name)), op, inputs);
  if (isObject(p) && p !== x) p.dispose();
  if (isObject(q) && q !== y) q.dispose();
  return out;
};

/** Computes an op of three inputs a, b and c, whose dtypes promote. */
export const ternary: Run<Scalars> = (op, inputs, params, dtype) => {
  const common = commonDTypeOfAll(inputs);
  const info = resultInfo(op, common);
  if (info.category !== 'float' && !holds(int64, params.p0)) refuseFactor(op, params.p0);
  return computeTernary(op, inputs, params, common, dtype ?? info);
};

/** Chooses between two inputs. Inputs: condition, x, other. The dtypes of x and other promote. */
export const where: Run<Scalars> = (op, inputs, params, dtype) => {
  const [condition, x, other] = inputs as [Operand, Operand, Operand];
  if (typeof condition !== 'number' && condition!.info.category !== 'bool')
    throw new DTypeError(`the condition must be bool, not ${condition!.dtype}`, {
      ...contextOf(op, inputs),
      advice: 'Compare it with 0',
    });
  const common = params.as ?? commonDType(x, other);
  return computeTernary(op, inputs, params, common, params.as ?? dtype ?? common);
};

function computeTernary(
  op: OpInfo,
  inputs: readonly Operand[],
  params: Scalars,
  common: DTypeInfo,
  info: DTypeInfo,
): Tensor {
  const [a, b, c] = inputs as [Operand, Operand, Operand];
  const shape = broadcast(broadcast(shapeOf(a), shapeOf(b), op.name), shapeOf(c), op.name);
  const out = empty(shape, info, deviceOf(op, inputs));
  const slots = [a, b, c].map((x, slot) => operand(slot, x, common, op)) as [number, number, number];
  check(native.castor_ternary(op.code, ...slots, writeView(3, out, op.name), params.p0), op, inputs);
  return out;
}

function refuseFactor(op: OpInfo, value: number): never {
  throw new ArgumentError(`integers cannot be multiplied by ${value}`, {
    op: op.name,
    advice: 'Pass a whole number as value, or convert the tensors to a float dtype',
  });
}

/** The probability with which an element becomes 0, and the seed and offset of the random numbers. */
export interface DropoutParams {
  readonly p: number;
  readonly seed: number;
  readonly offset: number;
}

export const dropout: Run<DropoutParams> = (op, inputs, { p, seed, offset }) => {
  const a = inputs[0] as Tensor;
  const out = emptyLike(a, a.info);
  check(native.castor_dropout(writeView(0, a, op.name), writeView(1, out, op.name), p, seed, offset), op, inputs);
  return out;
};

/** The part of a matrix that is kept: columns up to row + diagonal (lower), or from row + diagonal on (upper). */
export interface TriangleParams {
  readonly upper: boolean;
  readonly diagonal: number;
}

export const triangle: Run<TriangleParams> = (op, inputs, { upper, diagonal }) => {
  const a = inputs[0] as Tensor;
  const out = emptyLike(a, a.info);
  check(
    native.castor_triangle(upper ? 1 : 0, writeView(0, a, op.name), writeView(1, out, op.name), diagonal),
    op,
    inputs,
  );
  return out;
};
