import { ArgumentError, DTypeError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import type { TypedArray } from '../ffi/types.ts';
import { arrayKind, bool, defaultDType, dtypeOfArray, int64, type DTypeInfo } from './dtype.ts';
import { canHold, checkHolds } from './holds.ts';
import type { Nested } from './read.ts';
import { checkShape, MAX_RANK, type Shape } from './shape.ts';

type Value = number | boolean | bigint;

const typedArrays = Object.getPrototypeOf(Uint8Array.prototype) as object;
const getter = (name: string): ((this: unknown) => number) => Object.getOwnPropertyDescriptor(typedArrays, name)!.get!;
const [length, byteLength] = [getter('length'), getter('byteLength')];
/** Returns the number of elements of a typed array, whatever its own properties say. */
export const lengthOf = (array: TypedArray): number => length.call(array);
export const byteLengthOf = (array: TypedArray): number => byteLength.call(array);

/** Reads nested arrays or one value. Returns the values in row-major order and the shape. @throws ShapeError for ragged arrays */
export function readNested(data: Nested, op = 'tensor'): { values: Value[]; shape: Shape } {
  const shape = outerShape(data, op);
  const values: Value[] = [];
  const read = (level: Nested, axis: number): void => {
    const list = Array.isArray(level) ? level : undefined;
    if (list?.length !== shape[axis]) throw ragged(list?.length, shape[axis], axis, op);
    if (list === undefined) readValues([level], values, axis, op);
    else if (axis === shape.length - 1) readValues(list, values, axis + 1, op);
    else for (let i = 0; i < list.length; i++) read(list[i]!, axis + 1);
  };
  read(data, 0);
  return { values, shape };
}

function readValues(list: readonly Nested[], values: Value[], axis: number, op: string): void {
  for (let i = 0; i < list.length; i++) {
    const value = list[i];
    if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') values.push(value);
    else throw Array.isArray(value) ? ragged(value.length, undefined, axis, op) : noValue(value, op);
  }
}

/** Returns the lengths of the first array of each depth. */
function outerShape(data: Nested, op: string): Shape {
  const shape: number[] = [];
  for (let level: Nested | undefined = data; Array.isArray(level) && shape.length <= MAX_RANK; level = level[0])
    shape.push(level.length);
  return checkShape(shape, op);
}

const ragged = (size: number | undefined, expected: number | undefined, axis: number, op: string): ShapeError =>
  new ShapeError(
    `ragged nested arrays: ${size ?? 'a value'} where ${expected ?? 'a value'} was expected at depth ${axis}`,
    { op, advice: 'All arrays of one depth must have the same length' },
  );

const noValue = (value: unknown, op: string): ArgumentError =>
  new ArgumentError(`${shown(value)} is neither a number nor a truth value`, {
    op,
    advice: 'The innermost items are numbers, truth values or BigInts; stack() joins tensors',
  });

/** Returns the dtype of values if none is given: the default float dtype if any is a number, int64 if any is a BigInt, else bool. */
export function naturalInfo(values: readonly Value[]): DTypeInfo {
  let info: DTypeInfo | null = null;
  for (const value of values) {
    if (typeof value === 'number') return defaultDType();
    if (typeof value === 'bigint') info = int64;
    else info ??= bool;
  }
  return info ?? defaultDType();
}

/**
 * Returns values in a typed array, to be converted to a dtype on the device: as BigInt for int64, else as float64, which is rounded once.
 */
export function hostArray(values: readonly Value[], info: DTypeInfo): TypedArray {
  if (info === int64) return BigInt64Array.from(values, toBigInt);
  const array = new Float64Array(values.length);
  for (let i = 0; i < array.length; i++) {
    const value = values[i]!;
    array[i] = typeof value === 'number' && info.category === 'float' ? value : toNumber(value, info);
  }
  return array;
}

function toBigInt(value: Value): bigint {
  if (typeof value === 'boolean') return BigInt(value);
  checkHolds(int64, value, 'tensor');
  return BigInt(typeof value === 'number' ? Math.trunc(value) : value);
}

function toNumber(value: Value, info: DTypeInfo): number {
  if (typeof value !== 'boolean') checkHolds(info, value, 'tensor');
  const number = Number(value);
  if (typeof value === 'bigint' && !Number.isFinite(number) && info.category === 'float')
    throw new DTypeError(`${shown(value)} is beyond every floating dtype`, { op: 'tensor', dtypes: [info.name] });
  return number;
}

/**
 * Returns a typed array that has a dtype, with the elements of a typed array that are to be converted to `target` (null: to their own
 * dtype).
 * @throws DTypeError for an array without a dtype if no target is given, and for elements that an integer dtype cannot hold
 */
export function convertible(array: TypedArray, target: DTypeInfo | null, op: string): TypedArray {
  const source = dtypeOfArray(array);
  if (source === null && (target === null || arrayKind(array) === 'DataView'))
    throw new DTypeError(`there is no dtype for a ${arrayKind(array)}`, {
      op,
      advice: "Say which one the elements become, such as { dtype: 'int32' }",
    });
  if (target !== null && source !== target) checkElements(array, source, target, op);
  return source === null ? widened(array, op) : array;
}

/** Checks elements that are converted to an integer dtype. Those of a narrower dtype are not looked at, because it holds all of them. */
function checkElements(array: TypedArray, source: DTypeInfo | null, target: DTypeInfo, op: string): void {
  if (target.category !== 'int' || source?.category === 'bool') return;
  if (source?.name === 'uint8' || (source?.name === 'int32' && target === int64)) return;
  for (let i = 0, n = lengthOf(array); i < n; i++) if (!canHold(target, array[i]!)) checkHolds(target, array[i]!, op);
}

/** Returns the elements of an array without a dtype in one that has a dtype and holds all of them. */
function widened(array: TypedArray, op: string): TypedArray {
  if (!(array instanceof BigUint64Array)) return Float64Array.from(array as Int16Array);
  return BigInt64Array.from(array, value => {
    checkHolds(int64, value, op);
    return value;
  });
}
