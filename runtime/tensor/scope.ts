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

/** What leaves a scope: the storages of its result, and whether a graph recorded inside can still be reached. */
interface Escape {
  readonly storages: Set<Storage>;
  graph: boolean;
}

/** The storages made while a function ran. */
export class Scope implements OwningScope {
  readonly storages: Storage[] = [];
  readonly parent: Scope | null;
  /** Something that outlives the scope has a node recorded in it, other than its result. */
  graphEscapes = false;
  /** Is it over? Work that was started in it and not awaited may go on; what that makes belongs to the scope around. */
  ended = false;

  constructor(parent: Scope | null) {
    this.parent = parent;
  }

  /** Frees what nobody can use any more: all but the result, what was kept, and what backward through an escaped graph needs. */
  end(escape: Escape): void {
    this.ended = true;
    const graph = escape.graph || this.graphEscapes;
    const dead: Storage[] = [];
    for (const storage of this.storages) {
      if (storage.handle === 0) continue;
      const escaped = escape.storages.has(storage);
      if (storage.kept) track(storage);
      else if (escaped || (storage.refCount > 0 && graph)) {
        if (!escaped) storage.unreachable = true;
        own(storage, this.parent);
      } else dead.push(storage);
    }
    freeMany(dead);
  }
}

/** The tidy scope that a mode is in; null outside of all. */
export const scopeHere = (mode: Mode = current()): Scope | null => mode.scope as Scope | null;

/** A tensor from outside has got a node recorded here: the graph outlives all scopes around. */
export function graphEscapes(from: Scope | null = scopeHere()): void {
  for (let scope = from; scope !== null; scope = scope.parent) scope.graphEscapes = true;
}

/** The scope, of this one and those around it, that frees a storage; null for none of them. */
export function ownerOf(storage: Storage, from: Scope | null): Scope | null {
  let scope = from;
  while (scope !== null && !scope.storages.includes(storage)) scope = scope.parent;
  return scope;
}

/**
 * Runs fn and frees every tensor made inside, except those it returns (also inside arrays, objects and Maps), those given to
 * keep(), gradients of parameters, and what backward still needs. Works for sync and for async functions: the scope follows
 * the async context, so interleaved calls do not see each other's tensors.
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

/** tidy for Castor's own synchronous functions whose results are a tensor or a flat array of them, in a mode with other changes. */
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

/** What a value lets escape: all tensors reachable through arrays, Maps, Sets and the properties of objects. */
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
