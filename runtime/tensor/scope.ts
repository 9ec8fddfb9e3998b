import { withInner, current, withMode, type Mode } from '../context.ts';
import { freeMany, track, type Storage } from './storage.ts';
import { Tensor } from './tensor.ts';

/** The storages made while a function ran. */
export class Scope {
  readonly storages: Storage[] = [];
  readonly parent: Scope | null;

  constructor(parent: Scope | null) {
    this.parent = parent;
  }

  /** Frees what nobody holds: what is in `escaped` or kept goes to the parent, what the graph saved is freed with the graph. */
  end(escaped: ReadonlySet<Storage>): void {
    const dead: Storage[] = [];
    for (const storage of this.storages) {
      if (storage.handle === 0) continue;
      if (storage.kept) track(storage);
      else if (escaped.has(storage)) this.parent ? this.parent.storages.push(storage) : track(storage);
      else if (storage.holds > 0) {
        storage.orphan = true;
        track(storage);
      } else dead.push(storage);
    }
    freeMany(dead);
  }
}

/**
 * Runs fn and frees every tensor made inside, except those it returns (also inside arrays, objects and Maps), those given to
 * keep(), gradients of parameters, and what backward still needs. Works for sync and for async functions: the scope follows
 * the async context, so interleaved calls do not see each other's tensors.
 */
export function tidy<T>(fn: () => T): T {
  const scope = new Scope(current().scope);
  let result: T;
  try {
    result = withMode({ scope }, fn);
  } catch (error) {
    scope.end(none);
    throw error;
  }
  if (!isPromise(result)) {
    scope.end(storagesIn(result));
    return result;
  }
  return result.then(
    value => {
      scope.end(storagesIn(value));
      return value;
    },
    error => {
      scope.end(none);
      throw error;
    },
  ) as T;
}

/** Takes a tensor out of every tidy scope: it lives until dispose() or until nothing refers to it. */
export function keep<T extends Tensor>(tensor: T): T {
  tensor.storage.kept = true;
  return tensor;
}

const none: ReadonlySet<Storage> = new Set();
const isPromise = (value: unknown): value is Promise<unknown> => value instanceof Promise;

/** tidy for Castor's own synchronous functions whose results are a tensor or a flat array of them. */
export function tidyInner<A, T extends Tensor | readonly Tensor[]>(fn: (argument: A) => T, argument: A): T {
  const mode = current();
  const scope = new Scope(mode.scope);
  const inner: Mode = { ...mode, scope };
  let escaped = none;
  try {
    const result = withInner(inner, fn, argument);
    escaped = storagesIn(result);
    return result;
  } finally {
    scope.end(escaped);
  }
}

/** The storages of all tensors reachable from a value through arrays, Maps, Sets and plain objects. */
export function storagesIn(value: unknown, found = new Set<Storage>(), seen = new Set<unknown>()): Set<Storage> {
  if (value === null || typeof value !== 'object' || seen.has(value)) return found;
  if (value instanceof Tensor) {
    found.add(value.storage);
    if (value.grad) found.add(value.grad.storage);
    return found;
  }
  seen.add(value);
  if (ArrayBuffer.isView(value)) return found;
  if (value instanceof Map) for (const item of value.values()) storagesIn(item, found, seen);
  else if (Array.isArray(value) || value instanceof Set) for (const item of value) storagesIn(item, found, seen);
  else for (const item of Object.values(value)) storagesIn(item, found, seen);
  return found;
}
