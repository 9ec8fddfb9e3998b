import { cut } from '../shown.ts';

const MAX_DEPTH = 500;

/** Is a value an object of named values, as in JSON? */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value of a JSON text. undefined if the text is not JSON, or if an object in it has a key twice. */
export function parseStrictly(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return countKeys(value) === keysIn(text) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The number of keys of all objects in a value. JSON.parse silently keeps the last of equal keys, so a text with equal
 * keys has more.
 */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const items = Object.values(value);
  let count = Array.isArray(value) ? 0 : items.length;
  for (const item of items) count += countKeys(item);
  return count;
}

/** The number of keys in a valid JSON text: the strings that are followed by a colon. */
function keysIn(text: string): number {
  let count = 0;
  for (let open = text.indexOf('"'); open >= 0;) {
    let next = endOfString(text, open) + 1;
    open = text.indexOf('"', next);
    while (text.charCodeAt(next) <= BLANK) next++;
    if (text.charCodeAt(next) === COLON) count++;
  }
  return count;
}
const [BLANK, COLON, BACKSLASH] = [32, 58, 92];

/** The end of the string that begins at a quote: the next quote that is preceded by an even number of backslashes. */
function endOfString(text: string, open: number): number {
  for (let close = text.indexOf('"', open + 1); ; close = text.indexOf('"', close + 1)) {
    let before = close;
    while (text.charCodeAt(before - 1) === BACKSLASH) before--;
    if ((close - before) % 2 === 0) return close;
  }
}

/** A replacement for numbers that JSON.stringify would change: it writes -0 as 0. */
const exact = (_: string, value: unknown): unknown =>
  Object.is(value, -0) ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON('-0') : value;
/** The JSON text of a value for which whyNotJson() returned null. */
export const toJson = (value: unknown): string => JSON.stringify(value, exact);

/**
 * The place in a value that JSON cannot represent exactly, and why, or null if there is none. undefined properties are
 * left out.
 */
export function whyNotJson(value: unknown, path: string, within: readonly object[] = []): string | null {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return null;
  if (typeof value === 'number') return Number.isFinite(value) ? null : `${cut(path)} is ${value}`;
  if (typeof value !== 'object') return `${cut(path)} is ${value === undefined ? 'undefined' : `a ${typeof value}`}`;
  if (within.includes(value)) return `${cut(path)} contains itself`;
  if (within.length >= MAX_DEPTH) return `${cut(path)} is nested more than ${MAX_DEPTH} deep`;
  const inner = [...within, value];
  if (Array.isArray(value)) return first(value.keys(), i => whyNotJson(value[i], `${path}[${i}]`, inner));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return `${cut(path)} is ${classOf(value)}`;
  if (Object.getOwnPropertySymbols(value).length > 0) return `${cut(path)} has a symbol as a key`;
  return first(Object.entries(value), ([key, item]) =>
    item === undefined ? null : whyNotJson(item, `${path}.${key}`, inner),
  );
}

function classOf(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name !== '' ? `a ${cut(name)}` : 'an object of a class';
}

function first<T>(items: Iterable<T>, why: (item: T) => string | null): string | null {
  for (const item of items) {
    const found = why(item);
    if (found !== null) return found;
  }
  return null;
}
