const MAX_DEPTH = 500;

/** The value of a JSON text, or undefined when it is none, or gives a key of an object twice. */
export function parseStrictly(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return repeatsKey(text) ? undefined : value;
  } catch {
    return undefined;
  }
}

/** Does an object of a valid JSON text give a key twice? JSON.parse would take the last one without a word. */
function repeatsKey(text: string): boolean {
  const open: (Set<string> | null)[] = [];
  for (const [token, key] of text.matchAll(/("[^"\\]*(?:\\.[^"\\]*)*")\s*:|"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(null);
    else if (token === '}' || token === ']') open.pop();
    else if (key !== undefined) {
      const keys = open.at(-1)!;
      const name = JSON.parse(key) as string;
      if (keys!.has(name)) return true;
      keys!.add(name);
    }
  }
  return false;
}

/** A number that JSON.stringify writes as it is: it knows no -0. */
const exact = (_: string, value: unknown): unknown =>
  Object.is(value, -0) ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON('-0') : value;
/** The text of a value of which whyNotJson() has nothing to say. */
export const toJson = (value: unknown): string => JSON.stringify(value, exact);

/** Where and why a value would not come back from JSON as it is: null when it would. Properties that are undefined are left out. */
export function whyNotJson(value: unknown, path: string, within: readonly object[] = []): string | null {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return null;
  if (typeof value === 'number') return Number.isFinite(value) ? null : `${path} is ${value}`;
  if (typeof value !== 'object') return `${path} is ${value === undefined ? 'undefined' : `a ${typeof value}`}`;
  if (within.includes(value)) return `${path} contains itself`;
  if (within.length >= MAX_DEPTH) return `${path} is nested more than ${MAX_DEPTH} deep`;
  const inner = [...within, value];
  if (Array.isArray(value)) return first(value.keys(), i => whyNotJson(value[i], `${path}[${i}]`, inner));
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null)
    return `${path} is a ${value.constructor?.name ?? 'class'}`;
  if (Object.getOwnPropertySymbols(value).length > 0) return `${path} has a symbol as a key`;
  return first(Object.entries(value), ([key, item]) =>
    item === undefined ? null : whyNotJson(item, `${path}.${key}`, inner),
  );
}

function first<T>(items: Iterable<T>, why: (item: T) => string | null): string | null {
  for (const item of items) {
    const found = why(item);
    if (found !== null) return found;
  }
  return null;
}
