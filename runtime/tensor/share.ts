import { checked, object } from '../arguments.ts';
import { ArgumentError, DTypeError, ShapeError } from '../errors.ts';
import { raise } from '../ffi/check.ts';
import { libraryPath, native } from '../ffi/library.ts';
import { shown } from '../shown.ts';
import { deviceCode, type Device } from './device.ts';
import { dtypeInfo, dtypeNames, type DType } from './dtype.ts';
import { noteChange } from './graphCapture.ts';
import { Layout, numelOf, type Shape } from './shape.ts';
import { storageOf, type Storage } from './storage.ts';
import { assertLive, Tensor } from './tensor.ts';

/**
 * The description with which a Worker opens a tensor of another thread: a plain object, which postMessage() can send. It holds no memory itself: the
 * tensor must live until the Worker has opened it.
 */
export interface SharedTensor<D extends DType = DType> {
  /** The kind of object, by which a Worker knows it among other messages. */
  readonly kind: 'castor.SharedTensor';
  /** The dtype of the elements. */
  readonly dtype: D;
  /** The device that the memory is on. */
  readonly device: Device;
  /** The sizes of the tensor. */
  readonly shape: Shape;
  /** The steps between neighbours along each axis, in elements. */
  readonly strides: Shape;
  /** The first element, counted from the start of the memory. */
  readonly offset: number;
  /** The handle of the memory in the native library. */
  readonly handle: number;
  /** The size of the memory. */
  readonly bytes: number;
  /** The path of the native library that has the memory. */
  readonly library: string;
  /** The process that has the memory. */
  readonly process: number;
}

const shared = new WeakSet<Storage>();
/** Is the memory of a tensor shared with other threads? Then nothing can write to it. */
export const isShared = (t: Tensor): boolean => shared.has(t.storage);

/** Returns another handle of the memory, which becomes shared. */
function alias(handle: number, advice?: string): number {
  const made = native.castor_share(handle);
  if (made === 0) raise(native.castor_last_status(), { op: 'share', ...(advice && { advice }) });
  return made;
}

/**
 * Shares the memory of a tensor with other threads, without a copy. From here on nothing can write to it, in this thread either: clone()
 * the tensor to change it. Gradients and history are not shared. PyTorch: `share_memory_`, whose tensors can be written to.
 * @returns an object for postMessage(), which fromShared() opens in another thread
 */
export function share<D extends DType>(t: Tensor<D>): SharedTensor<D> {
  assertLive(t, 'share');
  const { storage, layout, dtype, device } = t;
  if (!shared.has(storage)) native.castor_free(alias(storage.handle));
  shared.add(storage);
  return {
    kind: 'castor.SharedTensor',
    dtype,
    device,
    shape: [...layout.shape],
    strides: [...layout.strides],
    offset: layout.offset,
    handle: storage.handle,
    bytes: storage.bytes,
    library: libraryPath,
    process: process.pid,
  };
}

/**
 * Opens a tensor that share() has described, in any thread of the same process. It shows the same memory, which is freed when the last
 * tensor that shows it is, in whichever thread; a Worker that ends gives back what it has opened.
 * @throws DisposedError if the shared tensor was freed before, ArgumentError for an object of another process
 */
export const fromShared = checked('fromShared', { shared: object }, doFromShared);
function doFromShared<D extends DType>(given: SharedTensor<D>): Tensor<D> {
  // Its own properties alone: getters of a class may fail on what is none of its objects.
  const description = { ...given };
  checkDescription(description);
  const { dtype, device, shape, strides, offset, handle, bytes } = description;
  const opened = alias(handle, 'Keep the tensor that was shared until every Worker has opened it');
  const storage = storageOf(opened, bytes, deviceCode(device, 'fromShared'));
  shared.add(storage);
  return new Tensor(
    storage,
    new Layout([...shape], [...strides], offset),
    dtypeInfo(dtype, 'fromShared'),
    null,
  ) as Tensor<D>;
}

/**
 * Makes a tensor show the memory of another one, which nothing else shows, in its dtype. The tensor is then no view any more. The memory that
 * it showed before is the caller's to free.
 */
export function replaceMemory(own: Tensor, { storage, layout, info }: Tensor): void {
  storage.kept = true;
  noteChange();
  // Whoever has saved the tensor for backward, or has a copy of it in 16 bits, sees that it has changed.
  storage.version = own.storage.version + 1;
  Object.assign(own, { storage, layout, info, base: null, viewMeta: null });
}

const isList = (value: unknown): value is number[] => Array.isArray(value) && value.every(Number.isSafeInteger);

function checkDescription(value: SharedTensor): void {
  const { kind, dtype, shape, strides, offset, handle, bytes, library, process: from } = value;
  const whole = [offset, handle, bytes].every(each => Number.isSafeInteger(each) && each >= 0);
  if (kind !== 'castor.SharedTensor' || !whole || !isList(shape) || !isList(strides) || shape.length !== strides.length)
    refuse(`${shown(value)} does not come from share()`, 'Send the result of share() as it is');
  if (!dtypeNames.includes(dtype)) throw new DTypeError(`there is no dtype ${shown(dtype)}`, { op: 'fromShared' });
  if (from !== process.pid)
    refuse(
      'the tensor is in the memory of another process',
      'Only Workers of one process share memory; send await tensor.data() to others',
    );
  if (library !== libraryPath)
    refuse(`the tensor was made by another native library, ${library}`, `Let both threads load ${libraryPath}`);
  checkWithin(value);
}

/** @throws ShapeError for elements outside of the memory */
function checkWithin({ dtype, shape, strides, offset, bytes }: SharedTensor): void {
  const reach = shape.reduce((sum, size, axis) => sum + Math.max(0, (size - 1) * strides[axis]!), offset);
  const fits = numelOf(shape) === 0 || (reach + 1) * dtypeInfo(dtype, 'fromShared').bytes <= bytes;
  if (!fits || shape.some(size => size < 0))
    throw new ShapeError('the elements are not within the shared memory', { op: 'fromShared', shapes: [shape] });
}

function refuse(problem: string, advice: string): never {
  throw new ArgumentError(problem, { op: 'fromShared', advice });
}
