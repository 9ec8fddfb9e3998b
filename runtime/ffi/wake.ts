import { current } from '../context.ts';
import type { ErrorContext } from '../errors.ts';
import { raise } from './check.ts';
import { shared } from './library.ts';
import { settle } from './shared.ts';

/**
 * Starts native work under an id of its own, and resolves with the id when the work is done. The event loop is not
 * blocked.
 */
export function completion(start: (id: number) => number, context: ErrorContext): Promise<number> {
  // The library adds the work to the stream of the running code.
  current();
  const { pending, alive, askSoon } = shared;
  const id = shared.nextId++;
  const promise = new Promise<number>(done => pending.set(id, done));
  if (pending.size === 1) alive.ref();
  askSoon?.();
  const status = start(id);
  if (status !== 0) {
    settle(shared, id);
    raise(status, context);
  }
  return promise;
}
