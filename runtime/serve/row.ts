import { noGrad } from '../autograd/autograd.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import { deviceName, getDefaultDevice, type Device } from '../tensor/device.ts';
import { dtypeOfArray, type DTypeInfo, type TypedArray } from '../tensor/dtype.ts';
import { convertible, hostArray, lengthOf, naturalInfo, readNested } from '../tensor/hostData.ts';
import type { Nested } from '../tensor/read.ts';
import { keep } from '../tensor/scope.ts';
import { format, numelOf, type Shape } from '../tensor/shape.ts';
import { assertLive, isTensor, type Tensor } from '../tensor/tensor.ts';

/** The data of one request: a tensor, a typed array, or nested arrays of numbers. */
export type Item = Tensor | TypedArray | Nested;
/** What a request asks with: one item, or several by name, each of which becomes a batch of its own. */
export type Input = Item | { readonly [name: string]: Item };

/** One item of a request, read and checked. */
export interface Field {
  readonly name: string;
  readonly values: Tensor | TypedArray;
  readonly shape: Shape;
  readonly info: DTypeInfo;
  readonly device: Device;
}

/** A request's data. The fields are in the order of their names. */
export interface Row {
  readonly fields: readonly Field[];
  /** Was it one item without a name? */
  readonly single: boolean;
  /** Did it come as tensors? Then the answer is made of tensors; otherwise it is made of typed arrays. */
  readonly tensors: boolean;
  /** The size of the data in bytes. */
  readonly bytes: number;
}

const OP = 'batcher.run';

/** What a batcher was told of its rows: the shape of a single item or of each by name, and the dtype that arrays become. */
export interface Expectation {
  readonly shape?: Shape | { readonly [name: string]: Shape } | undefined;
  readonly dtype: DTypeInfo | null;
}
interface Expected {
  readonly shape: Shape | undefined;
  readonly dtype: DTypeInfo | null;
}

const isRecord = (input: unknown): input is Readonly<Record<string, Item>> =>
  typeof input === 'object' &&
  input !== null &&
  !Array.isArray(input) &&
  !ArrayBuffer.isView(input) &&
  !isTensor(input) &&
  [Object.prototype, null].includes(Object.getPrototypeOf(input) as object | null);

/** Reads the data of a request. Arrays are copied. @throws ArgumentError, ShapeError, DTypeError, DisposedError for data that is no row */
export function rowOf(input: Input, expectation: Expectation): Row {
  if (!isRecord(input)) return finished([fieldOf('', input, expectedOf('', expectation))], true);
  const names = Object.keys(input).toSorted();
  if (names.length === 0)
    throw new ArgumentError('the request is an object without data', { op: OP, advice: 'Pass { name: data, ... }' });
  return finished(
    names.map(name => fieldOf(name, input[name]!, expectedOf(name, expectation))),
    false,
  );
}

function finished(fields: readonly Field[], single: boolean): Row {
  const tensors = isTensor(fields[0]!.values);
  if (fields.some(({ values }) => isTensor(values) !== tensors))
    throw new ArgumentError('one item is a tensor, and another is not', {
      op: OP,
      advice: 'Pass all items of a request as tensors, or all as arrays: the answer has the same form',
    });
  return {
    fields,
    single,
    tensors,
    bytes: fields.reduce((sum, { shape, info }) => sum + numelOf(shape) * info.bytes, 0),
  };
}

/** Returns the row as it is now: later the caller may write to its tensors or dispose them. freeRow() frees the copies. */
export function ownRow(row: Row): Row {
  if (!row.tensors) return row;
  const copy = (field: Field): Field => ({ ...field, values: noGrad(() => keep((field.values as Tensor).clone())) });
  return { ...row, fields: row.fields.map(copy) };
}
export function freeRow({ tensors, fields }: Row): void {
  if (tensors) for (const { values } of fields) (values as Tensor).dispose();
}

const expectedOf = (name: string, { shape, dtype }: Expectation): Expected => ({
  shape:
    Array.isArray(shape) || shape === undefined ? (shape as Shape | undefined) : (shape as Record<string, Shape>)[name],
  dtype,
});

function fieldOf(name: string, item: Item, { shape, dtype }: Expected): Field {
  if (isTensor(item)) return fieldOfTensor(name, item, shape);
  if (ArrayBuffer.isView(item)) return fieldOfArray(name, item, shape, dtype);
  if (!Array.isArray(item) && !['number', 'boolean', 'bigint'].includes(typeof item))
    throw new ArgumentError(`${name || 'the request'} is ${shown(item)}, which is no data`, {
      op: OP,
      advice: 'Pass a tensor, a typed array, nested arrays of numbers, or an object of these',
    });
  const read = readNested(item, OP);
  if (shape && !fits(read.shape, shape)) throw wrongShape(name, read.shape, shape);
  const info = dtype ?? naturalInfo(read.values);
  return { name, values: hostArray(read.values, info), shape: read.shape, info, device: getDefaultDevice() };
}

function fieldOfArray(name: string, item: TypedArray, wanted: Shape | undefined, dtype: DTypeInfo | null): Field {
  const given = convertible(item, dtype, OP);
  const values = given === item ? copied(item) : given;
  const count = lengthOf(values);
  const shape = wanted ?? [count];
  if (count !== numelOf(shape)) throw wrongShape(name, [count], shape);
  return { name, values, shape, info: dtype ?? dtypeOfArray(values)!, device: getDefaultDevice() };
}
/**
 * Returns a copy in memory of its own: slice() of Buffer, which is a Uint8Array, would share it. An array whose memory went elsewhere, which
 * slice() refuses, has no elements any more.
 */
function copied(array: TypedArray): TypedArray {
  if (lengthOf(array) > 0) return slice.call(array) as TypedArray;
  return new (dtypeOfArray(array)!.array as new (length: number) => TypedArray)(0);
}
const { slice } = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;

function fieldOfTensor(name: string, values: Tensor, wanted?: Shape): Field {
  assertLive(values, OP);
  const { shape, info, storage } = values;
  if (wanted && !fits(shape, wanted)) throw wrongShape(name, shape, wanted);
  return { name, values, shape, info, device: deviceName(storage.device) };
}

const fits = (shape: Shape, wanted: Shape): boolean => format(shape) === format(wanted);

const wrongShape = (name: string, shape: Shape, wanted: Shape): ShapeError =>
  new ShapeError(
    `${name ? `${name} of the request` : 'the request'} is ${format(shape)}, and a row is ${format(wanted)}`,
    {
      op: OP,
      shapes: [shape, wanted],
      advice: `Pass one row without an axis for the batch, ${numelOf(wanted)} elements`,
    },
  );
