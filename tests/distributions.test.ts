import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import {
  ArgumentError,
  bernoulli,
  CastorError,
  F,
  full,
  Generator,
  graph,
  manualSeed,
  ones,
  rand,
  randint,
  randn,
  randperm,
  ShapeError,
  tensor,
  tidy,
  withGenerator,
  zeros,
  type Device,
  type DType,
  type Tensor,
} from 'castor';
import { measure } from '../scripts/distributions.ts';
import { devices, sized } from './setup.ts';
import { exponentialLike } from '../runtime/ops/primitives.ts';
import { distributions, passes } from './reference/distributions.ts';

const floats = ['float32', 'float64', 'float16', 'bfloat16'] as const;
const all = (t: Tensor): number[] => Array.from(t.to('float64').dataSync() as Float64Array);
const ends = (t: Tensor): [number, number] => [t.amin().itemSync(), t.amax().itemSync()];
const hash = (t: Tensor): string => {
  const { buffer, byteOffset, byteLength } = t.dataSync();
  const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
};

/** The greatest number below 1 of each dtype: the largest number that rand gives. */
const below1 = { float32: 1 - 2 ** -24, float64: 1 - 2 ** -53, float16: 1 - 2 ** -11, bfloat16: 1 - 2 ** -8 };
/**
 * The positions (offset of the call, element) at which the stream of seed 1 has 24 zero bits, and 24 one bits. uniform
 * is exactly 0 and 1 - 2^-24 there.
 */
const extremes = [
  { what: 'zeros', offset: 874, element: 1833 },
  { what: 'ones', offset: 3808, element: 2099 },
] as const;
const COUNT = 4096;
function at<T>(offset: number, fn: () => T): T {
  const generator = new Generator(1);
  generator.setState({ seed: 1, offset });
  return withGenerator(generator, fn);
}

describe.each([...devices])('on %s,', device => {
  const it = (name: string, run: () => void): void =>
    test(name, () => {
      manualSeed(1);
      tidy(run);
    });

  for (const each of distributions)
    it(`${each.name} of ${each.dtype} has its distribution`, () => {
      const outcome = measure(each, sized(100_000, 10_000), device);
      expect(outcome.impossible).toBe(0);
      expect({ ...outcome, passes: passes(outcome) }).toMatchObject({ passes: true });
    });

  describe.each(extremes)('where the stream is all $what', ({ what, offset, element }) => {
    const draw = (fn: () => Tensor): Tensor => at(offset, fn);
    const one = (t: Tensor): number => t.narrow(0, element, 1).itemSync();

    it('the extreme is there', () => {
      expect(one(draw(() => rand([COUNT], { device })))).toBe(what === 'zeros' ? 0 : 1 - 2 ** -24);
    });
    for (const dtype of floats) {
      it(`rand of ${dtype} is at least 0 and less than 1`, () => {
        const [least, most] = ends(draw(() => rand([COUNT], { dtype, device })));
        expect(least).toBeGreaterThanOrEqual(0);
        expect(most).toBeLessThanOrEqual(below1[dtype]);
      });
      it(`uniform_ of ${dtype} never gives its upper end`, () => {
        for (const [from, to] of [
          [-2, 4],
          [-1, 0],
          [0.1, 0.3],
          [-300, 300.5],
          [1, 1 + 2 ** -7],
          [-60000, 65504],
        ] as const) {
          const t = draw(() => zeros([COUNT], { dtype, device }).uniform_(from, to));
          expect(t.amax().itemSync()).toBeLessThan(to);
        }
      });
      it(`randn, normal_ and exponentialLike of ${dtype} are finite`, () => {
        for (const make of [
          () => randn([COUNT], { dtype, device }),
          () => zeros([COUNT], { dtype, device }).normal_(-5, 100),
          () => exponentialLike(zeros([COUNT], { dtype, device })),
        ]) {
          const t = draw(make);
          expect(t.isFinite().all().itemSync()).toBe(1);
          expect(Math.abs(one(t))).toBeLessThan(1000);
        }
        expect(ends(draw(() => exponentialLike(zeros([COUNT], { dtype, device }))))[0]).toBeGreaterThanOrEqual(0);
      });
    }
    it('randint gives its lower end but never its upper one', () => {
      for (const [low, high, dtype] of [
        [0, 1, 'int64'],
        [-3, 2, 'int32'],
        [0, 256, 'uint8'],
        [0, 2, 'bool'],
        [-(2 ** 53), 2 ** 53, 'int64'],
        [0, 2 ** 31, 'int64'],
        [0, 2 ** 31 - 1, 'int32'],
        [2 ** 24, 2 ** 24 + 2, 'float32'],
        [-(2 ** 25), -(2 ** 24), 'float32'],
        [0, 2 ** 40 + 1, 'float32'],
        [2040, 2049, 'float16'],
        [0, 65504, 'float16'],
        [250, 257, 'bfloat16'],
      ] as const) {
        const t = draw(() => randint(low, high, [COUNT], { dtype, device })).to('float64');
        expect(t.amin().itemSync()).toBeGreaterThanOrEqual(low);
        expect(t.amax().itemSync()).toBeLessThan(high);
      }
    });
    it('bernoulli and dropout of 0 and 1 are exact, and of others neither', () => {
      expect(ends(draw(() => bernoulli(0, [COUNT], { device })))).toEqual([0, 0]);
      expect(ends(draw(() => bernoulli(1, [COUNT], { device })))).toEqual([1, 1]);
      expect(one(draw(() => bernoulli(0.5, [COUNT], { device })))).toBe(what === 'zeros' ? 1 : 0);
      for (const dtype of floats) {
        const x = full([COUNT], 3, { dtype, device });
        expect(F.dropout(x, 0)).toBe(x);
        expect(ends(draw(() => F.dropout(x, 1)))).toEqual([0, 0]);
        expect(ends(draw(() => F.dropout(x, 0.5)))).toEqual([0, 6]);
        expect(one(draw(() => F.dropout(x, 0.5)))).toBe(what === 'zeros' ? 0 : 6);
      }
      expect(ends(draw(() => F.dropout(full([COUNT], Infinity, { device }), 1)))).toEqual([0, 0]);
    });
    it('multinomial does not draw a weight of 0', () => {
      const weights = zeros([COUNT], { device });
      weights.narrow(0, element - 1, 1).fill_(1e-30);
      for (const replacement of [false, true])
        expect(all(draw(() => weights.multinomial(1, { replacement })))).toEqual([element - 1]);
      const rows = weights.unsqueeze(0);
      expect(all(draw(() => rows.multinomial(3, { replacement: true })))).toEqual(Array(3).fill(element - 1));
    });
  });

  it('a uniform range of one point gives that point, and one without a number of the dtype the number below', () => {
    for (const dtype of floats) expect(ends(zeros([100], { dtype, device }).uniform_(3, 3))).toEqual([3, 3]);
    const t = zeros([100], { dtype: 'float16', device }).uniform_(1000.4, 1000.5);
    expect(t.amax().itemSync()).toBeLessThan(1000.5);
    expect(ends(zeros([100], { device }).normal_(3, 0))).toEqual([3, 3]);
  });

  it('multinomial draws only what has a weight, whatever its size and dtype', () => {
    for (const [dtype, least, most] of [
      ['float32', 2 ** -149, 3e38],
      ['float64', 5e-324, 1.7e308],
      ['float16', 2 ** -24, 65504],
      ['bfloat16', 2 ** -133, 3e38],
    ] as const)
      for (const weight of [least, 1, most]) {
        const row = zeros([2000, 5], { dtype: 'float64', device });
        row.narrow(1, 1, 1).fill_(weight);
        row.narrow(1, 3, 1).fill_(weight);
        const x = row.to(dtype);
        expect(new Set(all(x.multinomial(1)))).toEqual(new Set([1, 3]));
        expect(new Set(all(x.multinomial(4, { replacement: true })))).toEqual(new Set([1, 3]));
        expect(all(x.narrow(0, 0, 1).multinomial(2)).toSorted((a, b) => a - b)).toEqual([1, 3]);
      }
    const uneven = tensor([5e-324, 0, 1.7e308], { dtype: 'float64', device });
    expect(all(uneven.multinomial(2)).toSorted((a, b) => a - b)).toEqual([0, 2]);
  });
  it('multinomial takes integers, and never repeats without replacement', () => {
    const x = tensor([5, 1, 0, 2], { dtype: 'int64', device });
    const drawn = x.expand(500, 4).multinomial(3);
    expect(
      drawn
        .sort(1)
        .values.eq(tensor([0, 1, 3], { dtype: 'int64', device }))
        .all()
        .itemSync(),
    ).toBe(1);
    expect(drawn.dtype).toBe('int64');
    expect(zeros([0, 3], { device }).multinomial(2).shape).toEqual([0, 2]);
  });

  describe('multinomial refuses', () => {
    const bad: [string, number[][], number, boolean, RegExp][] = [
      ['a negative weight', [[1, 2], [1, -1e-30]], 1, false, /negative, NaN or infinite/], // prettier-ignore
      ['a NaN', [[NaN, 1]], 1, true, /negative, NaN or infinite/],
      ['an infinity', [[1, Infinity]], 1, false, /negative, NaN or infinite/],
      ['minus infinity', [[1, -Infinity]], 1, true, /negative, NaN or infinite/],
      ['a row of zeros', [[1, 2], [0, -0]], 1, false, /fewer weights above 0 than samples/], // prettier-ignore
      ['a row of zeros, with replacement', [[0, 0]], 5, true, /fewer weights above 0 than samples/],
      ['fewer weights above 0 than samples', [[1, 0, 2]], 3, false, /fewer weights above 0 than samples/],
    ];
    for (const [what, rows, samples, replacement, message] of bad)
      for (const dtype of floats)
        it(`${what} in ${dtype}`, () => {
          const x = tensor(rows, { dtype: 'float64', device }).to(dtype);
          // A subnormal float32 becomes 0 in float16.
          if (dtype === 'float16' && what === 'a negative weight') x.narrow(0, 1, 1).fill_(-1);
          const run = (): unknown => x.multinomial(samples, { replacement }).dataSync();
          expect(() => tidy(run)).toThrow(ArgumentError);
          expect(() => tidy(run)).toThrow(message);
        });
    it('counts that make no sense, at once', () => {
      const x = ones([2, 3], { device });
      expect(() => x.multinomial(4)).toThrow(/4 samples from 3 without replacement.*replacement: true/);
      for (const samples of [0, -1, 1.5, NaN, Infinity]) expect(() => x.multinomial(samples)).toThrow(ArgumentError);
      expect(() => zeros([2, 0], { device }).multinomial(1, { replacement: true })).toThrow(
        /a row of weights is empty/,
      );
      expect(() => zeros([], { device }).multinomial(1)).toThrow(ShapeError);
      expect(() => ones([2, 2, 2], { device }).multinomial(1)).toThrow(ShapeError);
    });
  });

  it('a graph draws from the weights of its replay, and refuses them there', () => {
    const weights = tensor([0, 1, 0], { device });
    using step = graph.capture(() => weights.multinomial(1), { device });
    step.replay();
    expect(all(step.result)).toEqual([1]);
    weights.zero_();
    expect(() => {
      step.replay();
      step.result.dataSync();
    }).toThrow(/fewer weights above 0/);
  });

  it('parameters without a distribution are refused', () => {
    const t = zeros([4], { device });
    const q = zeros([2, 2], { device });
    const refused: (() => Tensor)[] = [
      ...[
        [NaN, 1],
        [0, NaN],
        [2, 1],
        [-Infinity, 0],
        [0, Infinity],
        [-3e38, 3e38],
        [0, 1e39],
      ].map(
        ([from, to]) =>
          () =>
            t.uniform_(from, to),
      ),
      () => zeros([4], { dtype: 'float16', device }).uniform_(0, 65505),
      ...[
        [NaN, 1],
        [0, NaN],
        [0, -1],
        [Infinity, 1],
        [0, Infinity],
      ].map(
        ([mean, std]) =>
          () =>
            t.normal_(mean, std),
      ),
      ...[NaN, -0.1, 1.1, Infinity].flatMap(p => [
        () => bernoulli(p, [3], { device }),
        () => F.dropout(t, p),
        () => F.scaledDotProductAttention(q, q, q, { dropoutP: p }),
      ]),
      ...[
        [3, 3],
        [3, 2],
        [NaN, 2],
        [0, Infinity],
        [0.5, 2],
        [0, 2 ** 53 + 2],
        [-(2 ** 60), 0],
      ].map(
        ([low, high]) =>
          () =>
            randint(low!, high!, [3], { device }),
      ),
      ...(
        [
          [0, 257, 'uint8'],
          [-1, 3, 'uint8'],
          [0, 3, 'bool'],
          [0, 2 ** 31 + 1, 'int32'],
          [0, 1e5, 'float16'],
        ] as [number, number, DType][]
      ).map(
        ([low, high, dtype]) =>
          () =>
            randint(low, high, [3], { dtype, device }),
      ),
      () => zeros([4], { dtype: 'int64', device }).uniform_(),
      () => zeros([4], { dtype: 'int64', device }).normal_(),
      ...[-1, 1.5, NaN].map(n => () => randperm(n, { device })),
    ];
    for (const run of refused) expect(() => tidy(run)).toThrow(CastorError);
    expect(() => t.uniform_(2, 1)).toThrow(/uniform_: the lower end 2 is above the upper end 1/);
    expect(() => t.normal_(0, -1)).toThrow(/normal_: the standard deviation -1 is not a finite number >= 0/);
  });
  it('a generator is not set to what it never was', () => {
    const generator = new Generator(1);
    for (const offset of [-1, 0.5, NaN, 2 ** 53])
      expect(() => generator.setState({ seed: 1, offset })).toThrow(ArgumentError);
    expect(generator.state()).toEqual({ seed: 1, offset: 0 });
  });

  it('the numbers of a seed stay the same, on every device', () => {
    const draws = pinned(device);
    const found = Object.fromEntries(
      Object.entries(draws).map(([name, draw]) => [name, withGenerator(new Generator(7), () => hash(draw()))]),
    );
    expect(found).toEqual(PINNED);
  });
});

/** The distributions whose last bits do not depend on the logarithm of the platform. */
const pinned = (device: Device): Record<keyof typeof PINNED, () => Tensor> => ({
  rand: () => rand([1001], { device }),
  'rand of float64': () => rand([1001], { dtype: 'float64', device }),
  'rand of float16': () => rand([1001], { dtype: 'float16', device }),
  'rand of bfloat16': () => rand([1001], { dtype: 'bfloat16', device }),
  uniform_: () => zeros([1001], { device }).uniform_(-2, 4),
  'uniform_ of float16': () => zeros([1001], { dtype: 'float16', device }).uniform_(-2, 4),
  randn: () => randn([1001], { device }),
  normal_: () => zeros([1001], { device }).normal_(3, 0.5),
  bernoulli: () => bernoulli(0.3, [1001], { device }),
  dropout: () => F.dropout(full([1001], 1, { device }), 0.4),
  exponentialLike: () => exponentialLike(zeros([1001], { device })),
  randint: () => randint(-5, 1000, [1001], { device }),
  'randint of a wide range': () => randint(0, 2 ** 40, [1001], { device }),
  randperm: () => randperm(1001, { device }),
  multinomial: () => rand([100, 50], { device }).multinomial(3),
  'multinomial with replacement': () => rand([100, 50], { device }).multinomial(20, { replacement: true }),
});
const PINNED = {
  rand: 'f64812d238b6f661',
  'rand of float64': 'dc497e17774bbeca',
  'rand of float16': '66a3afafcf22a7f5',
  'rand of bfloat16': '8c464153dd937257',
  uniform_: 'e2adce00109f7ab6',
  'uniform_ of float16': 'a043330af9036bdc',
  randn: '668813d64e4efdbc',
  normal_: 'fbb4dadf8d0f0bba',
  bernoulli: '505cc4b685b41a56',
  dropout: '66dbbd946cf96dfa',
  exponentialLike: 'be69d1d6caff0ea1',
  randint: '7a4577c2c2444448',
  'randint of a wide range': '58de97c1f72158ac',
  randperm: '3263ff55a87217e3',
  multinomial: 'b0dba2c4a900f918',
  'multinomial with replacement': '52e29107057fa15d',
};
