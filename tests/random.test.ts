import { describe, expect, test } from 'bun:test';
import {
  bernoulli,
  deviceInfo,
  F,
  full,
  generator,
  Generator,
  manualSeed,
  nn,
  rand,
  randint,
  randn,
  randperm,
  setNumThreads,
  tensor,
  tidy,
  withGenerator,
  zeros,
  type Tensor,
} from 'castor';

/** A test that starts from one seed, and whose tensors are all freed when it ends. */
const it = (name: string, fn: () => void): void =>
  test(name, () => {
    manualSeed(1234);
    tidy(fn);
  });

/** All functions that draw random numbers, large enough for several threads to share the work. */
const draws: Record<string, () => Tensor> = {
  rand: () => rand([300, 1001]),
  'rand of float16': () => rand([300, 1001], { dtype: 'float16' }),
  'rand of float64': () => rand([300, 1001], { dtype: 'float64' }),
  randn: () => randn([300, 1001]),
  'randn of bfloat16': () => randn([300, 1001], { dtype: 'bfloat16' }),
  'randn of float64': () => randn([300, 1001], { dtype: 'float64' }),
  randint: () => randint(-5, 1000, [300, 1001]),
  bernoulli: () => bernoulli(0.3, [300, 1001]),
  randperm: () => randperm(100_001),
  multinomial: () => F.multinomial(rand([100, 500]), 20),
  'multinomial with replacement': () => F.multinomial(rand([100, 50]), 200, { replacement: true }),
  dropout: () => F.dropout(full([300, 1001], 1), 0.4),
  'dropout of a transpose': () => F.dropout(full([300, 1001], 1).T, 0.4),
  uniform_: () => zeros([300, 1001]).uniform_(-1, 1),
  normal_: () => zeros([300, 1001]).normal_(2, 3),
};

describe('a seed', () => {
  test.each(Object.entries(draws))('repeats %s', (_, draw) => {
    tidy(() => {
      manualSeed(7);
      const first = draw().dataSync();
      expect(draw().dataSync()).not.toEqual(first);
      manualSeed(7);
      expect(draw().dataSync()).toEqual(first);
      manualSeed(8);
      expect(draw().dataSync()).not.toEqual(first);
    });
  });
  test.each(Object.entries(draws))('gives the same %s for any number of threads', (_, draw) => {
    const before = deviceInfo('cpu').threads!;
    try {
      tidy(() => {
        const streams = [1, 2, 3].map(threads => {
          setNumThreads(threads);
          manualSeed(3);
          return draw().dataSync();
        });
        expect(streams[1]).toEqual(streams[0]!);
        expect(streams[2]).toEqual(streams[0]!);
      });
    } finally {
      setNumThreads(before);
    }
  });
  it('can be saved and restored in the middle', () => {
    rand([3]);
    const state = generator().state();
    const expected = randn([5]).toArraySync();
    randn([2]);
    generator().setState(state);
    expect(randn([5]).toArraySync()).toEqual(expected);
    expect(generator().seed).toBe(1234);
  });
  it('of large whole numbers is told apart', () => {
    const first = new Generator(2 ** 40);
    const second = new Generator(2 ** 40 + 1);
    const third = new Generator(0);
    const streams = [first, second, third].map(own => rand([4], { generator: own }).toArraySync());
    expect(new Set(streams.map(String)).size).toBe(3);
  });
});

describe('the moments of', () => {
  const N = 200_000;
  const mean = (t: Tensor): number => t.double().mean().itemSync();
  const std = (t: Tensor): number => t.double().std().itemSync();
  /** Five standard errors of a mean over N draws. */
  const within = (sigma: number, n = N): number => (5 * sigma) / Math.sqrt(n);
  const near = (actual: number, expected: number, tolerance: number): void => {
    expect(Math.abs(actual - expected)).toBeLessThan(tolerance);
  };

  for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const) {
    it(`rand in ${dtype}`, () => {
      const t = rand([N], { dtype });
      expect(t.min().itemSync()).toBeGreaterThanOrEqual(0);
      expect(t.max().itemSync()).toBeLessThan(1);
      near(mean(t), 0.5, within(0.2887) + (dtype === 'bfloat16' ? 2 ** -8 : 2 ** -11));
      near(std(t), 1 / Math.sqrt(12), 0.003);
    });
    it(`randn in ${dtype}`, () => {
      const t = randn([N], { dtype });
      near(mean(t), 0, within(1));
      near(std(t), 1, 0.01);
      const cubes = t.double().pow(3);
      near(mean(cubes), 0, within(Math.sqrt(15)));
      near(mean(t.double().pow(4)), 3, within(Math.sqrt(96)));
      expect(t.isFinite().all().itemSync()).toBe(1);
    });
  }
  it('neighbours, which do not correlate', () => {
    const t = randn([N], { dtype: 'float64' });
    const product = t.narrow(0, 0, N - 1).mul(t.narrow(0, 1, N - 1));
    near(mean(product), 0, within(1));
  });
  it('randint: every number in its range, equally often', () => {
    const t = randint(-2, 3, [N]);
    for (let value = -2; value < 3; value++) near(mean(t.eq(value)), 0.2, within(0.4));
    expect([t.min().itemSync(), t.max().itemSync()]).toEqual([-2, 2]);
    const far = randint(0, 2 ** 40, [N]);
    near(mean(far) / 2 ** 40, 0.5, within(0.2887));
  });
  it('bernoulli', () => {
    near(mean(bernoulli(0.3, [N])), 0.3, within(0.46));
    expect(mean(bernoulli(0, [1000]))).toBe(0);
    expect(mean(bernoulli(1, [1000]))).toBe(1);
  });
  it('randperm: each number once, in no order', () => {
    const t = randperm(1000);
    expect(t.dtype).toBe('int64');
    expect([...(t.sort().values.to('int32').dataSync() as Int32Array)]).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    );
    const [a, b] = [
      t.double().sub(499.5),
      tensor(
        Array.from({ length: 1000 }, (_, i) => i - 499.5),
        { dtype: 'float64' },
      ),
    ];
    near(a.mul(b).mean().itemSync() / (1000 ** 2 / 12), 0, 5 / Math.sqrt(1000));
    expect(randperm(0).shape).toEqual([0]);
    expect(randperm(3, { dtype: 'int32' }).dtype).toBe('int32');
  });
  it('multinomial with replacement: in proportion to the weights', () => {
    const drawn = F.multinomial(tensor([1, 0, 3, 4]), N, { replacement: true });
    [1 / 8, 0, 3 / 8, 1 / 2].forEach((p, i) => near(mean(drawn.eq(i)), p, within(0.5)));
    expect(mean(drawn.eq(1))).toBe(0);
  });
  it('multinomial without replacement: each at most once, the first in proportion', () => {
    const rows = tensor([1, 1, 2]).expand(20_000, 3);
    const drawn = F.multinomial(rows, 3);
    expect(drawn.sum(1).eq(3).all().itemSync()).toBe(1);
    const first = drawn.select(1, 0);
    [0.25, 0.25, 0.5].forEach((p, i) => near(mean(first.eq(i)), p, within(0.5, 20_000)));
  });
  it('dropout: keeps 1 - p, scaled so that the mean stays', () => {
    const t = F.dropout(full([N], 2), 0.25);
    near(mean(t.eq(0)), 0.25, within(0.44));
    near(mean(t), 2, within(1.2));
    expect(t.max().itemSync()).toBeCloseTo(2 / 0.75, 5);
    expect(F.dropout(full([4], 2), 1).toArraySync()).toEqual([0, 0, 0, 0]);
    const x = full([4], 2);
    expect(F.dropout(x, 0.5, false)).toBe(x);
    expect(F.dropout(x, 0)).toBe(x);
  });
  it('dropout: the same elements in backward', () => {
    const x = full([1000], 1, { requiresGrad: true });
    const y = F.dropout(x, 0.5);
    y.sum().backward();
    expect(x.grad!.dataSync()).toEqual(y.dataSync());
  });
  it('uniform_ and normal_', () => {
    const u = zeros([N]).uniform_(-2, 4);
    near(mean(u), 1, within(1.74));
    expect(u.min().itemSync()).toBeGreaterThanOrEqual(-2);
    expect(u.max().itemSync()).toBeLessThan(4);
    const n = zeros([N]).normal_(3, 0.5);
    near(mean(n), 3, within(0.5));
    near(std(n), 0.5, 0.005);
  });
  it('layers, as PyTorch initialises them', () => {
    const { weight, bias } = new nn.Linear(400, 500);
    const bound = 1 / Math.sqrt(400);
    expect(weight.abs().max().itemSync()).toBeLessThanOrEqual(bound);
    near(std(weight), bound / Math.sqrt(3), 0.001);
    expect(bias!.abs().max().itemSync()).toBeLessThanOrEqual(bound);
    near(std(new nn.Embedding(400, 500).weight), 1, 0.01);
  });
});

describe('withGenerator', () => {
  test('gives interleaved tasks a stream each', async () => {
    const task = (seed: number): Promise<number[]> =>
      withGenerator(new Generator(seed), async () => {
        const drawn: number[] = [];
        for (let i = 0; i < 10; i++) {
          using t = rand([1]);
          drawn.push(t.itemSync());
          await Bun.sleep(Math.random() * 2);
        }
        return drawn;
      });
    const alone: number[][] = [await task(1), await task(2), await task(3)];
    manualSeed(5);
    const before = generator().state();
    const together: number[][] = await Promise.all([task(1), task(2), task(3)]);
    expect(together).toEqual(alone);
    expect(generator().state()).toEqual(before);
  });
  it('nests, and gives way to a generator that is passed', () => {
    const own = new Generator(9);
    const expected = rand([2], { generator: new Generator(9) }).toArraySync();
    withGenerator(new Generator(1), () => {
      expect(rand([2], { generator: own }).toArraySync()).toEqual(expected);
      withGenerator(new Generator(9), () => expect(rand([2]).toArraySync()).toEqual(expected));
    });
  });
  it('gives way again when it throws', () => {
    const before = generator();
    expect(() =>
      withGenerator(new Generator(1), () => {
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(generator()).toBe(before);
  });
});
