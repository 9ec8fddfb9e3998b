import { describe, expect, test } from 'bun:test';
import { inspect } from 'node:util';
import { arange, cat, full, ones, tensor, tidy, zeros, type Tensor } from 'castor';
import { load } from './golden/load.ts';
import { devices } from './setup.ts';

const eight = (size: number): number[] => Array<number>(8).fill(size);
/** By the names in tests/golden/printing.py. */
const tensors: Record<string, () => Tensor> = {
  '8 axes': () => zeros(eight(2), { dtype: 'uint8' }),
  '8 axes of size 1': () => ones(eight(1)),
  '5 axes': () => arange(32).reshape([2, 2, 2, 2, 2]),
  '3 axes': () => ones([2, 2, 2]),
  'large, 3 axes': () => arange(2000).reshape(2, 10, 100),
  'large, 4 axes': () => arange(10000).reshape(10, 10, 10, 10),
  '1000 elements': () => arange(1000),
  '1001 elements': () => arange(1001),
  long: () => arange(3000).reshape(1000, 3),
  wide: () => arange(3000).reshape(3, 1000),
  'large, one row': () => zeros([1, 1001]),
  expanded: () => ones([1]).expand([2000, 2000]),
  transposed: () => arange(6).reshape(2, 3).T,
  empty: () => zeros([0]),
  '2 x 0': () => zeros([2, 0]),
  '0 x 3': () => zeros([0, 3]),
  '2 x 0 x 3': () => zeros([2, 0, 3], { dtype: 'int64' }),
  'empty bool': () => zeros([0], { dtype: 'bool' }),
  'nan and inf': () => tensor([NaN, Infinity, -Infinity, 1.5]),
  'all nan': () => tensor([NaN, NaN]),
  'nan and whole': () => tensor([NaN, 1, 2]),
  'inf and whole': () => tensor([Infinity, -Infinity, 100]),
  'inf and large': () => tensor([Infinity, 1e10]),
  'int64 extremes': () => tensor([2n ** 63n - 1n, -(2n ** 63n)]),
  'least int64': () => tensor(-(2n ** 63n)),
  bool: () => tensor([[true, false], [false, true]]), // prettier-ignore
  true: () => tensor(true),
  uint8: () => tensor([1, 200], { dtype: 'uint8' }),
  int32: () => tensor([1, -100000], { dtype: 'int32' }),
  bfloat16: () => tensor([1.5, -2.25, 3.1], { dtype: 'bfloat16' }),
  float16: () => tensor([1.5, 65504, 6e-8], { dtype: 'float16' }),
  '-0': () => tensor([-0, 0]),
  '-0 and a fraction': () => tensor([-0, 0.5]),
  'tiny and huge': () => tensor([1e-30, 1e30]),
  tiny: () => tensor([1e-5, 2e-5]),
  huge: () => tensor([1e9, 2e9]),
  'a ratio of 10000': () => tensor([0.01, 100]),
  'a ratio of 1001': () => tensor([0.001, 1.001]),
  subnormal: () => tensor([1e-45, 1]),
  float64: () => tensor([1 / 3, 2 / 3], { dtype: 'float64' }),
  'float64 extremes': () => tensor([1e300, 1e-300], { dtype: 'float64' }),
  'one number': () => tensor(3.14159),
  'one whole number': () => tensor(3),
  '1e20': () => tensor(1e20),
  nan: () => tensor(NaN),
  'requires a gradient': () => tensor([1, 2], { requiresGrad: true, device: 'cpu' }),
  'several lines': () => arange(30).to('float32').div(7),
  whole: () => tensor([1, 10, -100]),
  '1e8 and 1': () => tensor([1e8, 1]),
  'nine digits': () => tensor([123456789, 1e8]),
  '1e-4': () => tensor([1e-4, 1e-2]),
  '9.9e-5': () => tensor([9.9e-5, 1e-2]),
  'large, fractions': () => arange(2000).to('float32').div(3),
  'large values that are not shown': () => cat([full([3], 1.5), full([1000], 1e10), full([3], 2.5)]),
};

/**
 * Replaces PyTorch's words by Castor's spelling. A tensor that is shown in part is followed by its shape, which PyTorch
 * leaves out.
 */
const ours = (text: string): string =>
  text
    .replace(/\bTrue\b/g, 'true')
    .replace(/\bFalse\b/g, 'false')
    .replace('dtype=torch.', 'dtype=')
    .replace('requires_grad', 'requiresGrad')
    .replace(/size=\(([^)]*)\)/, 'shape=[$1]');
const comparable = (text: string, expected: string): string =>
  expected.includes('shape=') ? text : text.replace(/,\s+shape=\[[^\]]*\]/, '');

const golden = load<{ name: string; text: string }>('printing');

describe('tensors are printed as PyTorch prints them', () => {
  test('there is a tensor for each text', () => expect(Object.keys(tensors)).toEqual(golden.map(({ name }) => name)));
  test.each(golden.map(({ name, text }) => [name, ours(text)] as const))('%s', (name, expected) => {
    tidy(() => {
      const t = tensors[name]!().to('cpu');
      expect(comparable(String(t), expected)).toBe(expected);
      expect(inspect(t)).toBe(String(t));
    });
  });
});

describe('at the limits of a format', () => {
  test.each<[string, () => Tensor, string]>([
    ['a ratio of 1000', () => tensor([1, 1000]), 'tensor([   1., 1000.])'],
    ['a larger one', () => tensor([1, 1001]), 'tensor([1.0000e+00, 1.0010e+03])'],
    ['1e8', () => tensor([1e8]), 'tensor([100000000.])'],
    ['more', () => tensor([100000008]), 'tensor([1.0000e+08])'],
    ['1e-4', () => tensor([1e-4, 1e-2], { dtype: 'float64' }), 'tensor([0.0001, 0.0100], dtype=float64)'],
    ['less', () => tensor([9.99e-5, 1e-2], { dtype: 'float64' }), 'tensor([9.9900e-05, 1.0000e-02], dtype=float64)'],
    ['one small number', () => tensor([0.0005]), 'tensor([0.0005])'],
    [
      'a line of 80 columns',
      () => full([8], 1000, { dtype: 'bfloat16' }),
      `tensor([${'1000., '.repeat(7)}1000.], dtype=bfloat16)`,
    ],
    [
      'one of 81',
      () => full([10], 1024, { dtype: 'int32' }),
      `tensor([${'1024, '.repeat(9)}1024],\n       dtype=int32)`,
    ],
  ])('%s', (_, make, text) => tidy(() => expect(String(make().to('cpu'))).toBe(text)));

  test('a tensor on another device says so', () =>
    tidy(() => {
      const elsewhere = Object.defineProperty(ones([2], { device: 'cpu' }), 'device', { value: 'cuda:1' });
      expect(String(elsewhere)).toBe("tensor([1., 1.], device='cuda:1')");
    }));

  test.each<[number[], number]>([
    [[5, 5, 5, 5, 4, 4], 10_000],
    [[5, 5, 5, 5, 5, 4], 4 ** 6],
    [Array<number>(8).fill(3), 3 ** 8],
    [Array<number>(8).fill(5), 2 ** 8],
    [[7, 1000], 36],
  ])('of shape %j %p elements are shown', (shape, count) =>
    tidy(() => {
      const text = String(zeros(shape, { dtype: 'uint8', device: 'cpu' }));
      expect(text.slice(0, text.indexOf('shape')).match(/0/g)).toHaveLength(count);
    }),
  );
});

for (const device of devices)
  describe(`whatever the shape, ${device}`, () => {
    test('the text is bounded, and only what is shown is read', () => {
      tidy(() => {
        const one = ones([1], { device });
        const shapes = [
          eight(7),
          eight(5),
          eight(3),
          [2 ** 30],
          [2 ** 26, 2 ** 26],
          [4, 2 ** 40],
          [2 ** 20, 1, 2 ** 20],
        ];
        for (const shape of shapes) {
          const text = String(one.expand(shape));
          expect(text.length, `[${shape}]`).toBeLessThan(200_000);
          expect(text).toContain('1., ');
          expect(text).toContain(`shape=[${shape.join(', ')}]`);
        }
      });
    });
    test('edges are those of the tensor, in whatever layout', () => {
      tidy(() => {
        const x = arange(60 * 50, { device }).reshape([60, 50]).T;
        const rows = String(x).split('\n').map(line => line.match(/-?\d+/g)?.map(Number)); // prettier-ignore
        expect(rows[0]!).toEqual([0, 50, 100, 2850, 2900, 2950]);
        expect(rows[6]!.slice(0, 6)).toEqual([49, 99, 149, 2899, 2949, 2999]);
      });
    });
  });

test('as many rows as the two edges have together are all shown', () =>
  tidy(() => {
    const rows = (n: number): string[] =>
      `${arange(n * 1000).reshape(n, 1000)}`.match(/\d+ *,[^\n]*/g)!.map(row => row.split(',')[0]!);
    expect(rows(6)).toEqual(['0', '1000', '2000', '3000', '4000', '5000']);
    expect(rows(7)).toEqual(['0', '1000', '2000', '4000', '5000', '6000']);
  }));
