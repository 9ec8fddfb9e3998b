import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate, setInterval, setTimeout } from 'node:timers';
import { ffi } from '#ffi';
import type { ErrorContext } from '../errors.ts';
import { raise } from './check.ts';
import { native } from './library.ts';

/** For native work that has not finished, by id: the function that resolves its promise. */
const pending = new Map<number, (id: number) => void>();
let nextId = 1;
/**
 * Does the library know the function to call when work is done? Without such a function, as in a Worker, the library calls nothing and is
 * asked: in each turn of the event loop while the work is new, and then every millisecond.
 */
let installed = false;
/**
 * A timer keeps the process alive while work is pending, because a thread-safe callback alone does not. The timer is
 * created here and not when it is first needed: a timer keeps the async context in which it was created, and so every
 * tensor of a tidy scope.
 */
const alive = ffi.wake === null ? setTimeout(ask, 1) : setInterval(() => {}, 2 ** 30);
alive.unref();

/** The milliseconds for which work is new. A small read is done in less. */
const NEW = 0.2;
let newUntil = 0;
let asking = false;
/** Deno's timers also keep the context in which refresh() is called. */
const outside = AsyncLocalStorage.snapshot();
const askSoon = (): void => outside(startAsking);
function startAsking(): void {
  newUntil = performance.now() + NEW;
  alive.refresh();
  if (asking) return;
  asking = true;
  setImmediate(askInTurn);
}
function askInTurn(): void {
  ask();
  asking = pending.size > 0 && performance.now() < newUntil;
  if (asking) setImmediate(askInTurn);
}

function ask(): void {
  for (let id = native.castor_next_done(); id !== 0; id = native.castor_next_done()) resolve(id);
  if (pending.size > 0) alive.refresh();
}

/**
 * Starts native work under an id of its own, and resolves with the id when the work is done. The event loop is not
 * blocked.
 */
export function completion(start: (id: number) => number, context: ErrorContext): Promise<number> {
  if (!installed && ffi.wake !== null) {
    native.castor_set_wake(ffi.wake(resolve));
    installed = true;
  }
  const id = nextId++;
  const promise = new Promise<number>(done => pending.set(id, done));
  if (pending.size === 1) alive.ref();
  if (ffi.wake === null) askSoon();
  const status = start(id);
  if (status !== 0) {
    settle(id);
    raise(status, context);
  }
  return promise;
}

function resolve(id: number): void {
  settle(id)?.(id);
}

function settle(id: number): ((id: number) => void) | undefined {
  const done = pending.get(id);
  pending.delete(id);
  if (pending.size === 0) alive.unref();
  return done;
}
