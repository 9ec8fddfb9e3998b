import { types } from 'node:util';

/** The largest number of characters of a caller's text in a message. */
const LONGEST = 200;

/** A text, shortened if it is too long for a message. */
export const cut = (text: string): string =>
  text.length <= LONGEST ? text : `${text.slice(0, LONGEST)}... (${text.length} characters)`;

/** A class may store under this symbol of its prototype how messages name its instances. The default is 'an object'. */
export const NAMED: unique symbol = Symbol('castor.named');

/**
 * A value in the form in which messages show it. It calls none of the caller's code: no toString, no getter, no trap of
 * a Proxy.
 */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `'${cut(value)}'`;
  if (typeof value === 'bigint') return value > -(2n ** 64n) && value < 2n ** 64n ? `${value}n` : 'a huge bigint';
  if (typeof value === 'symbol') return 'a symbol';
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return String(value);
  if (types.isProxy(value)) return 'a Proxy';
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return shownArray(value);
  if (types.isPromise(value)) return 'a promise';
  const name = NAMED in value ? value[NAMED] : undefined;
  return typeof name === 'string' ? name : ArrayBuffer.isView(value) ? 'a typed array' : 'an object';
}

/** Short arrays of numbers are shown with their elements, others with their length. */
function shownArray(array: readonly unknown[]): string {
  const simple = array.length <= 8 && Object.values(Object.getOwnPropertyDescriptors(array)).every(isNumber);
  return simple ? `[${array.join(', ')}]` : array.length === 1 ? 'an array of one item' : `an array of ${array.length}`;
}
const isNumber = (property: PropertyDescriptor): boolean => typeof property.value === 'number';

/** PyTorch's names of options, and older ones, with the names that Castor has. */
const renamed: Readonly<Record<string, string>> = {
  dim: 'axis',
  dims: 'axes',
  learningrate: 'lr',
  unbiased: 'correction',
  sizeaverage: 'reduction',
  reduce: 'reduction',
  elementwiseaffine: 'affine',
  attnmask: 'mask',
  iscausal: 'causal',
  dropout: 'dropoutP',
  beta1: 'betas',
  beta2: 'betas',
  momentumbuffer: 'momentum',
  type: 'dtype',
  float: 'float32',
  half: 'float16',
  double: 'float64',
  long: 'int64',
  int: 'int32',
  byte: 'uint8',
  boolean: 'bool',
};

const plain = (name: string): string => name.toLowerCase().replaceAll(/[_\-\s]/g, '');

/** The number of letters to insert, delete, replace or exchange with a neighbour that turn one word into another. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        next[j] = Math.min(next[j]!, before[j - 2]! + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}

/** The name that a wrong one was most likely meant to be, or null if none is close. */
export function nearest(wrong: string, names: readonly string[]): string | null {
  if (wrong.length > 50) return null;
  const word = plain(wrong);
  const known = Object.hasOwn(renamed, word) ? renamed[word]! : null;
  if (known !== null && names.includes(known)) return known;
  const ranked = names
    .map(name => ({ name, distance: editDistance(word, plain(name)) }))
    .toSorted((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.name : null;
}

/** `Did you mean 'keepdim'? ` for a wrong name, or an empty text. */
export function didYouMean(wrong: string, names: readonly string[]): string {
  const name = nearest(wrong, names);
  return name === null ? '' : `Did you mean '${name}'? `;
}
