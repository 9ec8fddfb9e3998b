import { raise, OUT_OF_MEMORY } from '../ffi/check.ts';
import { native } from '../ffi/library.ts';
import { OutOfMemoryError, type ErrorContext } from '../errors.ts';
import type { DTypeInfo, TypedArray } from './dtype.ts';
import { numelOf, type Shape } from './shape.ts';
import { freedFor, outOfMemory, reclaim } from './storage.ts';

const CPU = 0;
/** Arrays of fewer bytes are not looked at: the check leaves more room than they take. */
const SMALL = 4096;

/**
 * Checks that there is room for an array of so many bytes that the host is about to make. Linux kills a process that takes more memory than
 * the machine or its container has, and no JavaScript error comes before. @throws OutOfMemoryError
 */
export function expectRoom(bytes: number, context: ErrorContext): void {
  let status = native.castor_memory_expect(CPU, bytes);
  if (status === OUT_OF_MEMORY) {
    reclaim(true);
    status = native.castor_memory_expect(CPU, bytes);
  }
  if (status === OUT_OF_MEMORY) throw outOfMemory(CPU, context);
  if (status !== 0) raise(status, context);
}

/** Makes the typed array that a tensor of this shape is read into. @throws OutOfMemoryError */
export function hostArray({ array, bytes }: DTypeInfo, shape: Shape, op = 'data'): TypedArray {
  const count = numelOf(shape);
  const context = { op, shapes: [shape] };
  if (bytes * count >= SMALL) expectRoom(bytes * count, context);
  try {
    return new array(count);
  } catch (cause) {
    throw new OutOfMemoryError(`an array of ${bytes * count} bytes: ${(cause as Error).message}`, context);
  }
}

/**
 * Calls a function that needs memory on a device. If there is none, all that nothing refers to is freed, and the function is called once
 * more. @throws OutOfMemoryError
 */
export function withRoom<T>(fn: () => T, device: number, context: ErrorContext): T {
  try {
    return fn();
  } catch (error) {
    if (!freedFor(error)) throw error;
  }
  try {
    return fn();
  } catch (error) {
    throw error instanceof OutOfMemoryError ? outOfMemory(device, context) : error;
  }
}
