import { cut } from '../shown.ts';

const MAX_DEPTH = 500;

/** Is it an object of named values, as JSON has them? */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value of a JSON text, or undefined when it is none, or gives a key of an object twice. */
export function parseStrictly(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return countKeys(value) === keysIn(text) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The keys of all objects in a value. JSON.parse takes the last of equal ones without a word: then a text has more of them. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  const items = Object.values(value);
  let count = Array.isArray(value) ? 0 : items.length;
  for (const item of items) count += countKeys(item);
  return count;
}

/** The keys in a valid JSON text: strings with a colon behind them. */
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

/** Where the string that begins at a quote ends: at the next quote with an even number of backslashes before it. */
function endOfString(text: string, open: number): number {
  for (let close = text.indexOf('"', open + 1); ; close = text.indexOf('"', close + 1)) {
    let before = close;
    while (text.charCodeAt(before - 1) === BACKSLASH) before--;
    if ((close - before) % 2 === 0) return close;
  }
}

/** A number that JSON.stringify writes as it is: it knows no -0. */
const exact = (_: string, value: unknown): unknown =>
  Object.is(value, -0) ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON('-0') : value;
/** The text of a value of which whyNotJson() has nothing to say. */
export const toJson = (value: unknown): string => JSON.stringify(value, exact);

/** Where and why a value would not come back from JSON as it is: null when it would. Properties that are undefined are left out. */
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
