import * as errors from '../errors.ts';
import type { ErrorContext } from '../errors.ts';
import { native } from './library.ts';

/**
 * The error class of each castor_status, in the order of abi/castor.h. Most errors of status 6 (out of memory) are
 * thrown by storage.ts, which knows the sizes.
 */
const byStatus = [
  errors.InternalError,
  errors.ArgumentError,
  errors.ShapeError,
  errors.DTypeError,
  errors.DeviceError,
  errors.IndexError,
  errors.OutOfMemoryError,
  errors.DisposedError,
  errors.InternalError,
  errors.GraphError,
  errors.DeviceLostError,
  errors.AbortedError,
] as const;
export const OUT_OF_MEMORY = 6;
/** Messages of this status may contain advice after a full stop. */
const ARGUMENT = 1;

/** Throws the error of a native status other than 0, with the message of the library. */
export function raise(status: number, context: ErrorContext): never {
  const text = native.castor_last_error().replace(/^\w+: /, '');
  const advice = status === ARGUMENT ? text.indexOf('. ') : -1;
  const told = advice < 0 ? context : { advice: text.slice(advice + 2), ...context };
  throw new (byStatus[status] ?? errors.InternalError)(advice < 0 ? text : text.slice(0, advice), told);
}
