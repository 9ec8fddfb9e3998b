import { noteChange } from '../tensor/graphCapture.ts';
import { Tensor } from '../tensor/tensor.ts';
import { isContainer, isModule, liveModules, roleOf } from './members.ts';

/** A place in a module, or in a container of it, and what is there. */
interface Place {
  /** The place of the holder, if that is a container. */
  readonly outer: Place | null;
  readonly holder: object;
  readonly key: unknown;
  readonly value: unknown;
  /** Is the value a part of the model, or a container of parts? */
  part: boolean;
}

/** The values that the plain properties of each module had when they were last looked at. */
let before = new WeakMap<object, readonly Place[]>();

/** Forgets what was where, which keeps parts alive that were replaced since. The next call of noteReplaced() counts nothing. */
export function forgetParts(): void {
  before = new WeakMap();
}

/**
 * Counts a change if a part of any module was replaced since the last call: a parameter, a buffer, a module or a container of these, in a plain
 * property or in an array, plain object, Map or Set. Assignments to registered parameters count when they happen. Another mode (`training`) counts
 * as well.
 */
export function noteReplaced(): void {
  for (const module of liveModules()) {
    const places = before.get(module);
    if (places?.every(isAsBefore)) continue;
    if (places !== undefined) noteChange();
    before.set(module, placesOf(module));
  }
}

function isAsBefore({ holder, key, value }: Place): boolean {
  const now = valueAt(holder, key);
  return now === value || (value === null && !hasPart(now));
}

/** In place of a key: the number of values of an array, Map or Set. */
const SIZE = Symbol('size');

function valueAt(holder: object, key: unknown): unknown {
  if (key === SIZE) return sizeOf(holder);
  if (holder instanceof Map) return holder.get(key);
  if (holder instanceof Set) return holder.has(key) ? key : undefined;
  return (holder as Record<PropertyKey, unknown>)[key as PropertyKey];
}
const sizeOf = (holder: object): unknown =>
  Array.isArray(holder) ? holder.length : (holder as ReadonlyMap<unknown, unknown>).size;

const isMember = (value: object): boolean => (value instanceof Tensor ? roleOf(value) !== null : isModule(value));
const hasPart = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (isMember(value) || (isContainer(value) && placesIn(value).some(({ part }) => part)));

/** The places whose change is one of the model: parts, null where a part may be put, sizes of containers of parts, and the mode. */
function placesOf(module: object): Place[] {
  const places = placesIn(module);
  const parts = places.filter(({ part }) => part);
  const gaps = places.filter(({ value, outer }) => value === null && (outer === null || outer.part));
  const sizes = parts
    .map(({ value }) => value as object)
    .filter(value => isContainer(value) && sizeOf(value) !== undefined)
    .map(value => place(null, value, SIZE, sizeOf(value)));
  return [...parts, ...gaps, ...sizes, place(null, module, 'training', valueAt(module, 'training'))];
}
const place = (outer: Place | null, holder: object, key: unknown, value: unknown): Place => ({
  outer,
  holder,
  key,
  value,
  part: false,
});

/** All places in a module or container that have an object or null, those of containers in it too. Without recursion: they may lie deep. */
function placesIn(root: object): Place[] {
  const places: Place[] = [];
  const seen = new Set([root]);
  const add = (outer: Place | null, holder: object): void => {
    for (const [key, value] of entriesOf(holder))
      if (typeof value === 'object') places.push(place(outer, holder, key, value));
  };
  add(null, root);
  // The list grows while it is read.
  for (const at of places) {
    const { value } = at;
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) continue;
    at.part = isMember(value);
    if (at.part || seen.has(value) || !isContainer(value)) continue;
    seen.add(value);
    add(at, value);
  }
  for (const at of places.toReversed()) if (at.part && at.outer !== null) at.outer.part = true;
  return places;
}

/** Returns the entries of a module or container. Getters are not called. */
function entriesOf(holder: object): Iterable<[key: unknown, value: unknown]> {
  if (Array.isArray(holder) || holder instanceof Map || holder instanceof Set) return holder.entries();
  const found: [key: unknown, value: unknown][] = [];
  for (const key of Reflect.ownKeys(holder)) {
    const property = Object.getOwnPropertyDescriptor(holder, key)!;
    if ('value' in property) found.push([key, property.value]);
  }
  return found;
}
