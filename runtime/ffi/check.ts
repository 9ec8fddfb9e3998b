import * as errors from '../errors.ts';
import type { ErrorContext } from '../errors.ts';
import { native } from './library.ts';

/** castor_status, in the order of abi/castor.h. Out of memory (6) is mostly raised by storage.ts, which knows the sizes. */
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
] as const;
export const OUT_OF_MEMORY = 6;
/** Its texts may say what to do behind a full stop. */
const ARGUMENT = 1;

/** Throws what a native status other than 0 stands for, with the library's own text behind the name of its function. */
export function raise(status: number, context: ErrorContext): never {
  const text = native.castor_last_error().replace(/^\w+: /, '');
  const advice = status === ARGUMENT ? text.indexOf('. ') : -1;
  const told = advice < 0 ? context : { advice: text.slice(advice + 2), ...context };
  throw new (byStatus[status] ?? errors.InternalError)(advice < 0 ? text : text.slice(0, advice), told);
}
