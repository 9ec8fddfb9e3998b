/**
 * What all instances of Castor in one thread have in common that use one native library. There are several where modules are evaluated
 * again (`bun --hot`), and where two packages have a copy each. The library tells a thread, and not an instance, that work is done; and
 * the tensors that an instance leaves behind are freed by the others.
 *
 * Nothing here may refer to an instance, because that would keep the instance, with all that its program has made, as long as the process
 * lives. So this module imports nothing of Castor but types, and only what calls hand over is stored.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate, setInterval, setTimeout } from 'node:timers';
import type { symbols } from './symbols.ts';
import type { ForeignInterface, Functions } from './types.ts';

type Native = Functions<typeof symbols>;
interface Timer {
  ref(): unknown;
  unref(): unknown;
  refresh(): unknown;
}

/** The table of weak references to storages, which tensor/storage.ts sweeps. The lists have an entry for each place in the table. */
export interface SafetyNet {
  readonly slots: (WeakRef<object> | null)[];
  readonly handles: number[];
  readonly bytes: number[];
  /** Is it a storage of an async scope, which frees it when it ends, and before that only if nothing refers to it? */
  readonly scoped: boolean[];
  /** The places without a storage. */
  readonly free: number[];
}

/** The state of one library in one thread. */
export interface Shared {
  readonly path: string;
  readonly native: Native;
  /** For native work that has not finished, by id: the function that resolves its promise. */
  readonly pending: Map<number, (id: number) => void>;
  /** The id of the next work. */
  nextId: number;
  /**
   * A timer keeps the process alive while work is pending, because a thread-safe callback alone does not. The timer is made when the
   * library is loaded and not when it is first needed: a timer keeps the async context in which it was made, and so every tensor of a tidy
   * scope.
   */
  readonly alive: Timer;
  /**
   * Asks the library for work that is done: in each turn of the event loop while the work is new, and then every millisecond. null where the
   * library calls a function, which any thread may call; a Worker has none.
   */
  readonly askSoon: (() => void) | null;
  readonly net: SafetyNet;
  /** Frees captured graphs that nothing refers to any more. */
  readonly graphs: FinalizationRegistry<number>;
}

/** The layout of the state. It is part of the name, because instances of different versions may meet. */
const LAYOUT = 1;
const name = Symbol.for(`castor.shared.${LAYOUT}`);
const states = ((globalThis as unknown as Record<symbol, Map<string, Shared>>)[name] ??= new Map<string, Shared>());

/** Returns the state of the library at a path that an instance with the same version of the ABI has loaded. */
export const sharedAt = (path: string, abi: number): Shared | undefined => states.get(`${abi} ${path}`);

/** The milliseconds for which work is new. A small read is done in less. */
const NEW = 0.2;

/** Makes the state of a library that was just loaded. */
export function share(path: string, abi: number, native: Native, { wake }: ForeignInterface): Shared {
  const resolve = (id: number): void => settle(state, id)?.(id);
  const ask = (): void => {
    for (let id = native.castor_next_done(); id !== 0; id = native.castor_next_done()) resolve(id);
    if (state.pending.size > 0) state.alive.refresh();
  };
  const state: Shared = {
    path,
    native,
    pending: new Map(),
    nextId: 1,
    alive: wake === null ? setTimeout(ask, 1) : setInterval(() => {}, 2 ** 30),
    askSoon: wake === null ? askerOf(() => state, ask) : null,
    net: { slots: [], handles: [], bytes: [], scoped: [], free: [] },
    graphs: new FinalizationRegistry(native.castor_graph_free),
  };
  state.alive.unref();
  if (wake !== null) native.castor_set_wake(wake(resolve));
  states.set(`${abi} ${path}`, state);
  return state;
}

function askerOf(state: () => Shared, ask: () => void): () => void {
  let newUntil = 0;
  let asking = false;
  const askInTurn = (): void => {
    ask();
    asking = state().pending.size > 0 && performance.now() < newUntil;
    if (asking) setImmediate(askInTurn);
  };
  // Deno's timers also keep the context in which refresh() is called.
  const outside = AsyncLocalStorage.snapshot();
  const start = (): void => {
    newUntil = performance.now() + NEW;
    state().alive.refresh();
    if (asking) return;
    asking = true;
    setImmediate(askInTurn);
  };
  return () => outside(start);
}

/** Takes work out of the list of what is pending. Returns the function that resolves its promise. */
export function settle({ pending, alive }: Shared, id: number): ((id: number) => void) | undefined {
  const done = pending.get(id);
  pending.delete(id);
  if (pending.size === 0) alive.unref();
  return done;
}
