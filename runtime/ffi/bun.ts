import { dlopen, JSCallback, ptr } from 'bun:ffi';
import { edenGC, fullGC, releaseWeakRefs } from 'bun:jsc';
import type { ForeignInterface } from './types.ts';

/** Overwrites the stack below the caller, because the collector takes leftovers of earlier calls there for references. */
const overwriteStack = (depth: number): number => (depth === 0 ? 0 : 1 + overwriteStack(depth - 1));

export const ffi: ForeignInterface = {
  open: (path, signatures) => dlopen(path, signatures as never).symbols as never,
  address: buffer => ptr(buffer),
  isWorker: !Bun.isMainThread,
  // The callback is never closed, because it is used as long as the process runs.
  wake: Bun.isMainThread
    ? fn => new JSCallback(fn, { args: ['f64'], returns: 'void', threadsafe: true }).ptr as number
    : null,
  collect(full) {
    overwriteStack(100);
    releaseWeakRefs();
    if (full) fullGC();
    else edenGC();
    releaseWeakRefs();
  },
};
