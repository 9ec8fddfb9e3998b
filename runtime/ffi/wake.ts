import { ffi } from '#ffi';
import { raise } from './check.ts';
import { native } from './library.ts';

/** Promises of native work that is under way, by id. */
const pending = new Map<number, () => void>();
let nextId = 1;
let installed = false;
/**
 * A thread-safe callback does not keep the process alive by itself: a timer does, while something is pending. Made here and not
 * when first needed: a timer holds on to the async context it was made in, and so to every tensor of a tidy scope.
 */
const alive = setInterval(() => {}, 2 ** 30);
alive.unref();

/** Resolves when all work queued on the device so far is done. The event loop stays free. */
export function completion(device: number): Promise<void> {
  if (!installed) {
    native.castor_set_wake(ffi.wake(resolve));
    installed = true;
  }
  const id = nextId++;
  const promise = new Promise<void>(done => pending.set(id, done));
  if (pending.size === 1) alive.ref();
  const status = native.castor_notify(device, id);
  if (status !== 0) {
    settle(id);
    raise(status, { op: 'synchronize' });
  }
  return promise;
}

function resolve(id: number): void {
  settle(id)?.();
}

function settle(id: number): (() => void) | undefined {
  const done = pending.get(id);
  pending.delete(id);
  if (pending.size === 0) alive.unref();
  return done;
}
