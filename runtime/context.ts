import { AsyncLocalStorage } from 'node:async_hooks';
import { ArgumentError } from './errors.ts';
import type { AutocastState } from './amp/state.ts';
import type { Generator } from './tensor/generator.ts';
import type { Scope } from './tensor/scope.ts';

/** Everything that follows the async context: one record that is never changed, so that one lookup an op is enough. */
export interface Mode {
  /** Are ops recorded for backward? */
  readonly grad: boolean;
  readonly autocast: AutocastState | null;
  /** Where new storages are entered, to be freed when it ends. */
  readonly scope: Scope | null;
  readonly generator: Generator | null;
}

const base: Mode = { grad: true, autocast: null, scope: null, generator: null };
const store = new AsyncLocalStorage<Mode>();

/** Set only while Castor's own synchronous code runs (composed ops, derivatives): cheaper than entering the store. */
let inner: Mode | null = null;

export const current = (): Mode => inner ?? store.getStore() ?? base;

/**
 * Runs fn under another mode, which follows it through every await and is gone when it returns, throws or rejects.
 * There is no enterWith form: it would leak into the caller of an async function.
 */
export function withMode<T>(mode: Mode, fn: () => T): T {
  const outer = inner;
  inner = null;
  try {
    return store.run(mode, fn);
  } finally {
    inner = outer;
  }
}

/** The same for synchronous code of Castor's own, without entering the store. */
export function withInner<A, T>(mode: Mode, fn: (argument: A) => T, argument: A): T {
  const outer = inner;
  inner = mode;
  try {
    return fn(argument);
  } finally {
    inner = outer;
  }
}

function checkUse(fits: boolean, given: unknown, op: string, call: string): void {
  if (!fits) throw new ArgumentError(`it was given ${typeof given}`, { op, advice: `Call ${call}` });
}

/**
 * A function that runs fn, whenever and by whomever it is called, under the modes that apply here: autocast, noGrad, tidy scope,
 * generator. For callbacks that would lose them: message ports, abort signals, finalizers, listeners registered elsewhere.
 */
export function bindContext<This, Args extends unknown[], T>(
  fn: (this: This, ...args: Args) => T,
): (this: This, ...args: Args) => T {
  checkUse(typeof fn === 'function', fn, 'bindContext', 'bindContext(fn)');
  const mode = current();
  return function (...args) {
    return withMode(mode, () => fn.apply(this, args));
  };
}

/**
 * The values of an iterator as a stream that is computed under the modes that apply here, also when a server reads it after the
 * scope has returned. (A generator handed to new Response() directly loses them at its first line.)
 */
export function streamInContext<T>(values: Iterable<T> | AsyncIterable<T>): ReadableStream<T> {
  const iterable = (typeof values === 'object' || typeof values === 'function') && values !== null;
  checkUse(
    iterable && (Symbol.asyncIterator in values || Symbol.iterator in values),
    values,
    'streamInContext',
    'streamInContext(generator())',
  );
  const iterator =
    Symbol.asyncIterator in values ? values[Symbol.asyncIterator]() : (values as Iterable<T>)[Symbol.iterator]();
  return new ReadableStream<T>({
    pull: bindContext(async (controller: ReadableStreamDefaultController<T>) => {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    }),
    cancel: bindContext(async (reason?: unknown) => {
      await iterator.return?.(reason as T);
    }),
  });
}
