/** Messages show a value of the caller briefly, and without calling any of the caller's code. */
import { expect, test } from 'bun:test';
import { ones } from 'castor';
import { nearest, shown } from '../runtime/shown.ts';

const never = (): never => {
  throw new Error('code of the caller was called');
};
const hostile = {
  toString: never,
  toJSON: never,
  valueOf: never,
  get length() {
    return never();
  },
  [Symbol.toPrimitive]: never,
};

test.each<[string, unknown, string]>([
  ['a text', 'abc', "'abc'"],
  ['a long text', 'x'.repeat(300), `'${'x'.repeat(200)}... (300 characters)'`],
  ['a text of 200', 'x'.repeat(200), `'${'x'.repeat(200)}'`],
  ['a text of 201', 'x'.repeat(201), `'${'x'.repeat(200)}... (201 characters)'`],
  ['a number', -0.5, '-0.5'],
  ['NaN', NaN, 'NaN'],
  ['undefined', undefined, 'undefined'],
  ['null', null, 'null'],
  ['a boolean', true, 'true'],
  ['a bigint', 5n, '5n'],
  ['the largest bigint that is written out', 2n ** 64n - 1n, '18446744073709551615n'],
  ['a larger one', 2n ** 64n, 'a huge bigint'],
  ['a negative one', -(2n ** 64n), 'a huge bigint'],
  ['the least bigint that is written out', 1n - 2n ** 64n, '-18446744073709551615n'],
  ['a symbol', Symbol('secret'), 'a symbol'],
  ['a function', never, 'a function'],
  ['a class', class Model {}, 'a function'],
  ['a Proxy', new Proxy({}, { get: never, has: never, getPrototypeOf: never }), 'a Proxy'],
  ['a Proxy of a function', new Proxy(never, { get: never }), 'a Proxy'],
  ['a promise', Promise.resolve(1), 'a promise'],
  ['numbers', [1, 2.5], '[1, 2.5]'],
  ['no numbers', [], '[]'],
  ['eight numbers', [1, 2, 3, 4, 5, 6, 7, 8], '[1, 2, 3, 4, 5, 6, 7, 8]'],
  ['nine numbers', [1, 2, 3, 4, 5, 6, 7, 8, 9], 'an array of 9'],
  ['one text in an array', ['a'], 'an array of one item'],
  ['texts in an array', ['a', 'b'], 'an array of 2'],
  ['an array with a getter', Object.defineProperty([1], 0, { get: never }), 'an array of one item'],
  ['a typed array', new Float32Array(3), 'a typed array'],
  ['an object', hostile, 'an object'],
  ['an object without a prototype', Object.create(null), 'an object'],
])('%s', (_, value, text) => expect(shown(value)).toBe(text));

test('a tensor', () => {
  using t = ones([2]);
  expect(shown(t)).toBe('a tensor');
});

test.each<[string, string[], string | null]>([
  // One letter is replaced, left out, inserted, or in the wrong place.
  ['xum', ['sum'], 'sum'],
  ['sux', ['sum'], 'sum'],
  ['su', ['sum'], 'sum'],
  ['um', ['sum'], 'sum'],
  ['sumx', ['sum'], 'sum'],
  ['xsum', ['sum'], 'sum'],
  ['usm', ['sum'], 'sum'],
  ['smu', ['sum'], 'sum'],
  // Two mistakes are too many in fewer than six letters.
  ['xux', ['sum'], null],
  ['s', ['sum'], null],
  ['mus', ['sum'], null],
  ['badc', ['abcd'], null],
  ['abxyz', ['abcde'], null],
  ['abcxy', ['abcde'], null],
  ['abcdxy', ['abcdef'], 'abcdef'],
  ['badcef', ['abcdef'], 'abcdef'],
  ['abcd', ['abcdef'], null],
  ['abcxyz', ['abcdef'], null],
  ['cbadef', ['abcdef'], 'abcdef'],
  ['abcdefxyz', ['abcdefghi'], 'abcdefghi'],
  ['abcdewxyz', ['abcdefghi'], null],
  // The nearest name, and the first among equally near ones.
  ['sun', ['sin', 'sum'], 'sin'],
  ['abcdex', ['abcdyz', 'abcdef'], 'abcdef'],
  // Upper case, spaces, hyphens and underscores do not count.
  ['Keep_-Dim ', ['keepdim'], 'keepdim'],
  ['keepdim', ['keep_dim'], 'keep_dim'],
  // PyTorch's names, if the function has Castor's name.
  ['dim', ['dims', 'axis'], 'axis'],
  ['learning_rate', ['lr'], 'lr'],
  ['dim', ['dims'], 'dims'],
  ['constructor', ['axis'], null],
  ['x'.repeat(50), ['x'.repeat(49)], 'x'.repeat(49)],
  ['x'.repeat(51), ['x'.repeat(50)], null],
  ['sum', [], null],
])('the name meant by %p among %j is %p', (wrong, names, meant) => expect(nearest(wrong, names)).toBe(meant));
