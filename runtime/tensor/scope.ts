import { any, checked } from '../arguments.ts';
import {
  checkFunction,
  current,
  innerMode,
  modeWith,
  runScope,
  withInner,
  type Mode,
  type ScopeFunction,
} from '../context.ts';
import { tensor } from './specs.ts';
import { freeMany, own, track, type OwningScope, type Storage } from './storage.ts';
import { isTensor, Tensor } from './tensor.ts';

/** The result of a scope: the storages that it refers to, and whether a graph recorded in the scope can be reached from it. */
interface Escape {
  readonly storages: Set<Storage>;
  graph: boolean;
}

/** A tidy scope: the storages made while a function runs. */
export class Scope implements OwningScope {
  readonly storages: Storage[] = [];
  readonly parent: Scope | null;
  /** Has a tensor that outlives the scope, other than its result, a node that was recorded in it? */
  graphEscapes = false;
  /** Has it ended? Work that was started in it and not awaited may go on; tensors that it makes then belong to the scope around. */
  ended = false;

  constructor(parent: Scope | null) {
    this.parent = parent;
  }

  /**
   * Frees the storages of the scope, except those of its result, those given to keep(), and those that backward through an escaped graph
   * needs.
   */
  end(escape: Escape): void {
    this.ended = true;
    const graph = escape.graph || this.graphEscapes;
    const none = escape.storages.size === 0;
    freeMany(this.storages, storage => {
      const escaped = !none && escape.storages.has(storage);
      if (storage.kept) track(storage);
      else if (escaped || (storage.refCount > 0 && graph)) {
        if (!escaped) storage.unreachable = true;
        own(storage, this.parent);
      } else return false;
      return true;
    });
  }
}

/** Returns the tidy scope of a mode; null outside of all scopes. */
export const scopeHere = (mode: Mode = current()): Scope | null => mode.scope as Scope | null;

/** Notes that a tensor from outside got a node recorded here: the graph outlives all scopes around. */
export function graphEscapes(from: Scope | null = scopeHere()): void {
  for (let scope = from; scope !== null; scope = scope.parent) scope.graphEscapes = true;
}

/** Returns the scope, among this one and those around it, that frees a storage; null if none does. */
export function ownerOf(storage: Storage, from: Scope | null): Scope | null {
  let scope = from;
  while (scope !== null && !scope.storages.includes(storage)) scope = scope.parent;
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
  return runScope(tidying, modeWith(mode, { scope }), fn, returned =>
    scope.end(returned === null ? nothing() : escapeOf(returned.value)),
  );
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
