import { returnsPromise } from '../arguments.ts';
import { raise } from '../ffi/check.ts';
import { native } from '../ffi/library.ts';
import { completion } from '../ffi/wake.ts';
import { ArgumentError, DTypeError, ShapeError } from '../errors.ts';
import { bfloat16, float32, int64, type DType, type DTypeInfo, type TypedArray, type TypedArrayOf } from './dtype.ts';
import { format, numelOf, type Shape } from './shape.ts';
import { noteGradientRead } from './lossScale.ts';
import { expectRoom, hostArray, withRoom } from './room.ts';
import { noteHostRead } from './storage.ts';
import { assertLive, emptyLike, writeView, type Tensor } from './tensor.ts';

/** Returns the dtype in which the host reads a dtype. JavaScript has no bfloat16; float32 holds all of its values. */
const hostInfo = (info: DTypeInfo): DTypeInfo => (info === bfloat16 ? float32 : info);

/** The largest size of a typed array in bytes. */
const MAX_ARRAY = 2 ** 32;

/** Returns the tensor as it is read: row-major, in a dtype the host has. @throws ArgumentError if no typed array can be so large */
function readable(t: Tensor): Tensor {
  assertLive(t, 'data');
  noteGradientRead(t);
  const info = hostInfo(t.info);
  if (t.numel * info.bytes > MAX_ARRAY)
    throw new ArgumentError(
      `${t.numel} elements need ${t.numel * info.bytes} bytes, and an array has at most ${MAX_ARRAY}`,
      {
        op: 'data',
        shapes: [t.shape],
        dtypes: [t.dtype],
        advice: 'Read it in parts, such as t.narrow(0, start, length); io.saveTensors() writes tensors of any size',
      },
    );
  return t.isContiguous && info === t.info ? t : contiguousCopy(t, info);
}

/** Returns the elements in row-major order. Waits for the device. */
export function dataSync<D extends DType>(t: Tensor<D>): TypedArrayOf<D> {
  const packed = readable(t);
  try {
    const array = hostArray(packed.info, t.shape);
    const at = packed.offset * packed.info.bytes;
    const status = t.numel === 0 ? 0 : native.castor_read(packed.storage.handle, at, array, array.byteLength);
    noteHostRead(t.storage.device);
    if (status !== 0) raise(status, { op: 'data', shapes: [t.shape] });
    return array as TypedArrayOf<D>;
  } finally {
    if (packed !== t) packed.dispose();
  }
}

/** A read that has begun. It does not refer to the tensor, which may be freed, with all that its graph keeps, before it has arrived. */
interface PendingRead {
  readonly arrival: Promise<number>;
  readonly info: DTypeInfo;
  readonly shape: Shape;
}

function begin(t: Tensor): PendingRead {
  const packed = readable(t);
  const { numel, shape } = t;
  const { handle, device } = packed.storage;
  const { info } = packed;
  const [at, bytes] = [packed.offset * info.bytes, numel * info.bytes];
  const context = { op: 'data', shapes: [shape] };
  const start = (): Promise<number> => completion(id => native.castor_read_start(handle, at, bytes, id), context);
  try {
    return { arrival: withRoom(start, device, context), info, shape };
  } finally {
    noteHostRead(device);
    if (packed !== t) packed.dispose();
  }
}

// The parameters of an async function live until it ends, so no tensor is among them.
async function finish<D extends DType>({ arrival, info, shape }: PendingRead): Promise<TypedArrayOf<D>> {
  const id = await arrival;
  const values = arrayFor(id, info, shape);
  const status = native.castor_read_finish(id, values);
  if (status !== 0) raise(status, { op: 'data', shapes: [shape] });
  return values as TypedArrayOf<D>;
}

/** Makes the array of a read that has arrived. If there is no memory for it, the read is dropped. */
function arrayFor(id: number, info: DTypeInfo, shape: Shape): TypedArray {
  try {
    return hostArray(info, shape);
  } catch (error) {
    native.castor_read_drop(id);
    throw error;
  }
}
const finishOne = async (read: PendingRead): Promise<number> => only(await finish(read));
const finishNested = async (read: PendingRead, bool: boolean): Promise<Nested> =>
  nest(await finish(read), read.shape, bool);

/** Returns a rejected promise for an error that is thrown before the first wait. */
function attempt<T>(start: () => Promise<T>): Promise<T> {
  try {
    return start();
  } catch (error) {
    return Promise.reject(error as Error);
  }
}

/**
 * Returns the elements without blocking the event loop. They are those at the time of the call, whatever is written to the tensor later.
 */
export const data = returnsPromise(<D extends DType>(t: Tensor<D>): Promise<TypedArrayOf<D>> =>
  attempt(() => finish(begin(t))),
);

/** Returns a row-major copy in another dtype. It is not recorded for backward. */
export function contiguousCopy(t: Tensor, info: DTypeInfo, op = 'copy'): Tensor {
  const out = emptyLike(t, info);
  const status = native.castor_copy(writeView(0, t, op), writeView(1, out, op));
  if (status !== 0) raise(status, { op, shapes: [t.shape], dtypes: [t.dtype, info.name] });
  return out;
}

/** Returns a tensor of one element. @throws ShapeError for any other */
function single(t: Tensor): Tensor {
  if (t.numel === 1) return t;
  throw new ShapeError(`a tensor of shape ${format(t.shape)} is not one number`, {
    op: 'item',
    shapes: [t.shape],
    advice: 'Use data() or toArray()',
  });
}

function only(array: ArrayLike<number | bigint>): number {
  const value = array[0]!;
  const number = Number(value);
  if (typeof value === 'bigint' && !Number.isSafeInteger(number))
    throw new DTypeError(`${value} does not fit a JavaScript number`, {
      op: 'item',
      advice: 'Use data(), which gives a BigInt',
    });
  return number;
}

/** Returns the value of a tensor of one element (0 or 1 for bool). Waits for the device. */
export const itemSync = (t: Tensor): number => only(dataSync(single(t)));
/** Returns the value of a tensor of one element without blocking the event loop. */
export const item = returnsPromise((t: Tensor): Promise<number> => attempt(() => finishOne(begin(single(t)))));

/** The elements of a tensor as nested arrays, or one value for rank 0. */
export type Nested = number | boolean | bigint | Nested[];

function nest(array: ArrayLike<number | bigint>, shape: Shape, bool: boolean): Nested {
  expectRoom(ITEM_BYTES * array.length, { op: 'toArray', shapes: [shape] });
  let at = 0;
  const build = (axis: number): Nested => {
    if (axis < shape.length) return Array.from({ length: shape[axis]! }, () => build(axis + 1));
    const value = array[at++]!;
    return bool
      ? value !== 0
      : Number.isSafeInteger(Number(value)) || typeof value === 'number'
        ? Number(value)
        : value;
  };
  return build(0);
}

/** The bytes of an item in nested arrays, about. */
const ITEM_BYTES = 8;
/** The largest number of items in all the arrays of toArray() together. Each takes at least 8 bytes. */
const MOST_ITEMS = 2 ** 27;

/** @throws ArgumentError for a tensor whose nested arrays would take gigabytes, also for one with many empty rows */
function nestable(t: Tensor): Tensor {
  let [items, arrays] = [0, 1];
  for (const size of t.shape) items += arrays *= size;
  if (items > MOST_ITEMS)
    throw new ArgumentError(`nested arrays of shape ${format(t.shape)} have ${items} items, more than 2^27`, {
      op: 'toArray',
      shapes: [t.shape],
      dtypes: [t.dtype],
      advice: 'Use data(), whose typed array is far smaller, or read parts, such as t.narrow(0, start, length)',
    });
  return t;
}

/**
 * Returns nested arrays, or one value for rank 0: numbers, booleans for bool, BigInt for int64 values that a number cannot hold. Waits
 * for the device.
 */
export const toArraySync = (t: Tensor): Nested => nest(dataSync(nestable(t)), t.shape, t.info.category === 'bool');
/** Returns nested arrays, or one value for rank 0, without blocking the event loop. */
export const toArray = returnsPromise((t: Tensor): Promise<Nested> =>
  attempt(() => finishNested(begin(nestable(t)), t.info.category === 'bool')),
);

const hasBigInt = (value: Nested): boolean =>
  Array.isArray(value) ? value.some(hasBigInt) : typeof value === 'bigint';
/** Returns the value that JSON.stringify writes for a tensor. @throws DTypeError for a BigInt, which JSON does not have */
export function toJSON(t: Tensor): Nested {
  const values = toArraySync(t);
  if (t.info === int64 && hasBigInt(values))
    throw new DTypeError('JSON has no integers beyond 2^53, and the tensor holds one', {
      op: 'toJSON',
      shapes: [t.shape],
      dtypes: [t.dtype],
      advice: "Write toArraySync() instead, and its BigInts as texts, or convert the tensor with to('float64')",
    });
  return values;
}
