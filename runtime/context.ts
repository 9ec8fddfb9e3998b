import { AsyncLocalStorage } from 'node:async_hooks';
import type { AutocastState } from './amp/autocast.ts';
import type { Generator } from './tensor/generator.ts';
import type { Scope } from './tensor/scope.ts';

/** Everything that follows the async context: one frozen record, so that one lookup an op is enough. */
export interface Mode {
  /** Are ops recorded for backward? */
  readonly grad: boolean;
  readonly autocast: AutocastState | null;
  /** Where new storages are entered, to be freed when it ends. */
  readonly scope: Scope | null;
  readonly generator: Generator | null;
}

const base: Mode = Object.freeze({ grad: true, autocast: null, scope: null, generator: null });
const store = new AsyncLocalStorage<Mode>();

/** Set only while Castor's own synchronous code runs (composed ops, derivatives): cheaper than entering the store. */
let inner: Mode | null = null;

export const current = (): Mode => inner ?? store.getStore() ?? base;

/**
 * Runs fn under a changed mode, which follows it through every await and is gone when it returns, throws or rejects.
 * There is no enterWith form: it would leak into the caller of an async function.
 */
export function withMode<T>(changes: Partial<Mode>, fn: () => T): T {
  const mode = Object.freeze({ ...current(), ...changes });
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
