import { any, checked } from '../arguments.ts';
import {
  checkFunction,
  current,
  innerMode,
  modeWith,
  runScope,
  withInner,
  type Mode,
  type ScopeEnd,
  type ScopeFunction,
} from '../context.ts';
import { tensor } from './specs.ts';
import {
  freeDead,
  freeMany,
  own,
  reclaimScoped,
  referenceTo,
  track,
  trackScoped,
  type OwningScope,
  type Storage,
} from './storage.ts';
import { isTensor, Tensor } from './tensor.ts';

/** The result of a scope: the storages that it refers to, and whether a graph recorded in the scope can be reached from it. */
interface Escape {
  readonly storages: Set<Storage>;
  graph: boolean;
}

/** The part of a graph node that a scope needs to know whether its hooks may still run. */
export interface Hooked {
  /** Was what it saved released, so that backward cannot run through it again? */
  readonly released: boolean;
}

/** The length from which on a list of weak references is cleared of those to storages that are gone. */
const MIN_PRUNED = 1024;

/**
 * A tidy scope: the storages made while a function runs. While a synchronous function runs, all of them live. An async function may wait
 * for long, and many of its kind at the same time, so from its first await on the scope refers to its storages weakly: those that nothing
 * else refers to are freed by the safety net, and all are if the function never ends.
 */
export class Scope implements OwningScope {
  readonly storages: Storage[] = [];
  /** The storages of a function that was suspended; null before. */
  weak: WeakRef<Storage>[] | null = null;
  /** The positions of these references in the table of the safety net. */
  #slots: number[] = [];
  #pruneAt = MIN_PRUNED;
  readonly parent: Scope | null;
  /** Has a tensor that outlives the scope, other than its result, a node that was recorded in it? */
  graphEscapes = false;
  /** The nodes that got a hook in it. The closure of a hook may read tensors of the scope in backward. */
  hooked: WeakRef<Hooked>[] = [];
  /** Has it ended? Work that was started in it and not awaited may go on; tensors that it makes then belong to the scope around. */
  ended = false;

  constructor(parent: Scope | null) {
    this.parent = parent;
  }

  own(storage: Storage): void {
    if (this.weak === null) this.storages.push(storage);
    else this.#ownWeakly(this.weak, storage);
  }

  #ownWeakly(weak: WeakRef<Storage>[], storage: Storage): void {
    this.#enter(weak, storage);
    reclaimScoped();
    if (weak.length >= this.#pruneAt) this.#prune(weak, this.#slots);
  }

  #enter(weak: WeakRef<Storage>[], storage: Storage): void {
    weak.push(trackScoped(storage));
    this.#slots.push(storage.slot);
  }

  /** Forgets what is gone. */
  #prune(weak: readonly WeakRef<Storage>[], slots: readonly number[]): void {
    freeDead(weak, slots);
    const lives = weak.map(reference => (reference.deref()?.handle ?? 0) !== 0);
    this.weak = weak.filter((_, i) => lives[i]);
    this.#slots = slots.filter((_, i) => lives[i]);
    this.#pruneAt = Math.max(MIN_PRUNED, 2 * this.weak.length);
  }

  owns(storage: Storage): boolean {
    if (this.storages.includes(storage)) return true;
    const reference = this.weak === null ? null : referenceTo(storage);
    return reference != null && this.weak!.includes(reference);
  }

  /** Called when the function has been suspended: from here on its storages are referred to weakly. */
  suspend(): void {
    const { storages } = this;
    this.weak = [];
    for (let i = 0; i < storages.length; i++) if (storages[i]!.handle !== 0) this.#enter(this.weak, storages[i]!);
    // The list is emptied in place: a copy of it on the stack would keep the storages from being collected.
    storages.length = 0;
    reclaimScoped();
  }

  /**
   * Frees the storages of the scope, except those of its result, those given to keep(), and those that backward through an escaped graph
   * needs. If that has hooks, their closures may need any of them, and all live until nothing refers to them.
   */
  end(escape: Escape): void {
    this.ended = true;
    const graph = escape.graph || this.graphEscapes;
    const none = escape.storages.size === 0;
    const hooks = graph && this.hooked.some(node => node.deref()?.released === false);
    freeMany(this.#left(), storage => {
      const escaped = !none && escape.storages.has(storage);
      if (storage.kept) track(storage);
      else if (escaped || hooks) own(storage, this.parent);
      else if (storage.refCount > 0 && graph) {
        storage.unreachable = true;
        own(storage, this.parent);
      } else return false;
      return true;
    });
  }

  #left(): readonly Storage[] {
    if (this.weak === null) return this.storages;
    freeDead(this.weak, this.#slots);
    return this.weak.map(reference => reference.deref()).filter(storage => storage !== undefined);
  }
}

/** Returns the tidy scope of a mode; null outside of all scopes. */
export const scopeHere = (mode: Mode = current()): Scope | null => mode.scope as Scope | null;

/** Notes that a tensor from outside got a node recorded here: the graph outlives all scopes around. */
export function graphEscapes(from: Scope | null = scopeHere()): void {
  for (let scope = from; scope !== null; scope = scope.parent) scope.graphEscapes = true;
}

/** Notes that a node, which belongs to this tensor, gets a hook here. */
export function noteHook({ storage }: Tensor, node: Hooked): void {
  const reference = new WeakRef(node);
  let outside = true;
  for (let scope = scopeHere(); scope !== null; scope = scope.parent) {
    scope.hooked.push(reference);
    outside &&= !scope.owns(storage);
    // A hook of a tensor from outside outlives the scope.
    if (outside) scope.graphEscapes = true;
  }
}

/** Returns the scope, among this one and those around it, that frees a storage; null if none does. */
export function ownerOf(storage: Storage, from: Scope | null): Scope | null {
  let scope = from;
  while (scope !== null && !scope.owns(storage)) scope = scope.parent;
  return scope;
}

/**
 * Runs fn and frees every tensor made inside, except those it returns (also in arrays, objects and Maps), those given to keep(),
 * gradients of parameters, and those that backward still needs. fn may be sync or async: the scope follows the async context, so that
 * interleaved calls do not see each other's tensors.
 */
export const tidy = checked('tidy', { fn: any }, doTidy);
function doTidy<T>(fn: () => T): T {
  checkFunction(fn, tidying);
  const mode = current();
  const scope = new Scope(scopeHere(mode));
  const end: ScopeEnd = returned => scope.end(returned === null ? nothing() : escapeOf(returned.value));
  return runScope(tidying, modeWith(mode, { scope }), fn, end, () => scope.suspend());
}
const tidying: ScopeFunction = { op: 'tidy', call: 'tidy(() => ...)' };

/** Takes a tensor out of every tidy scope: it lives until dispose() or until nothing refers to it. */
export const keep = checked('keep', { tensor }, doKeep);
function doKeep<T extends Tensor>(tensor: T): T {
  tensor.storage.kept = true;
  if (tensor.recorded) graphEscapes();
  return tensor;
}

const nothing = (): Escape => ({ storages: new Set(), graph: false });

/**
 * Runs one of Castor's own synchronous functions as tidy() does. It returns a tensor or a flat array of tensors. The mode may have other
 * changes.
 */
export function tidyInner<A, T extends Tensor | readonly Tensor[]>(
  fn: (argument: A) => T,
  argument: A,
  changes: Pick<Partial<Mode>, 'grad' | 'autocast'> = {},
): T {
  const mode = current();
  const scope = new Scope(scopeHere(mode));
  let escape = nothing();
  try {
    const result = withInner(innerMode(mode, { ...changes, scope }), fn, argument);
    escape = escapeOf(result);
    return result;
  } finally {
    scope.end(escape);
  }
}

/** Returns the tensors that a value refers to, through arrays, Maps, Sets and the properties of objects, as an Escape. */
export function escapeOf(value: unknown, escape: Escape = nothing(), seen = new Set<unknown>()): Escape {
  if (value === null || typeof value !== 'object' || seen.has(value)) return escape;
  if (value instanceof Tensor) {
    escape.storages.add(value.storage);
    // A Proxy of a tensor has no further fields that can be read.
    if (!isTensor(value)) return escape;
    escape.graph ||= value.recorded;
    if (value.grad) escapeOf(value.grad, escape, seen);
    return escape;
  }
  seen.add(value);
  if (ArrayBuffer.isView(value)) return escape;
  const items =
    value instanceof Map ? value.values() : Array.isArray(value) || value instanceof Set ? value : Object.values(value);
  for (const item of items) escapeOf(item, escape, seen);
  return escape;
}
