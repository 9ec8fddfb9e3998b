/**
 * Settings of layers, optimizers, schedules and of the process: the last value that is accepted, the first that is not,
 * and the default.
 */
import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  bernoulli,
  CastorError,
  DeviceError,
  F,
  Generator,
  graph,
  IndexError,
  isAvailable,
  manualSeed,
  nn,
  ones,
  optim,
  ShapeError,
  tidy,
  zeros,
  type Tensor,
} from 'castor';
import { deviceName, parse } from '../runtime/tensor/device.ts';
import { format } from '../runtime/tensor/shape.ts';

const any = (value: unknown): any => value;
/** The next double towards or away from 0. */
function next(value: number, up: boolean): number {
  const bits = new BigInt64Array(new Float64Array([value]).buffer);
  bits[0]! += up ? 1n : -1n;
  return new Float64Array(bits.buffer)[0]!;
}
const below1 = next(1, false);
const above1 = next(1, true);
/** Runs with one parameter, which is freed afterwards. */
const withParameter = <T>(run: (p: Tensor) => T): T =>
  tidy(() => {
    const p = zeros([2], { requiresGrad: true });
    return run(p);
  });

describe('settings of optimizers', () => {
  const classes = { SGD: optim.SGD, Adam: optim.Adam, AdamW: optim.AdamW } as const;
  const defaults = {
    SGD: { lr: 1e-3, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, maximize: false },
    Adam: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0, amsgrad: false, maximize: false },
    AdamW: { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01, amsgrad: false, maximize: false },
  };
  const names = Object.keys(classes) as (keyof typeof classes)[];
  const made = (name: keyof typeof classes, options?: object) =>
    withParameter(p => {
      const [{ params: _, ...group }] = new classes[name]([p], any(options)).paramGroups as any;
      return group as Record<string, unknown>;
    });
  test.each(names)('%s has its defaults', name => {
    expect(made(name)).toEqual(defaults[name]);
    expect(made(name, Object.fromEntries(Object.keys(defaults[name]).map(key => [key, undefined])))).toEqual(
      defaults[name],
    );
  });
  const rows = names.flatMap(name =>
    Object.entries(defaults[name]).map(([key, value]) => [name, key, typeof value] as const),
  );
  test.each(rows)('%s: %s', (name, key, type) => {
    const right = {
      number: [0, 1, Number.MAX_VALUE],
      object: [
        [0, 0],
        [below1, below1],
      ],
      boolean: [false],
    }[type as 'number'];
    const wrong = {
      number: [-1e-300, Infinity, NaN, '1', null],
      object: [[0.9], [0.9, 0.9, 0.9], [1, 0.9], [0.9, 1], [-0.1, 0.9], [0.9, NaN], 0.9, 'ab'],
      boolean: [0, 1, 'yes', null],
    }[type as 'number'];
    for (const value of right) expect(made(name, { [key]: value })[key]).toEqual(value);
    for (const value of wrong) {
      expect(() => made(name, { [key]: value })).toThrow(ArgumentError);
      expect(() => made(name, { [key]: value })).toThrow(`${key} `);
    }
  });
  test.each<[object, boolean]>([
    [{ nesterov: true, momentum: 0.9 }, true],
    [{ nesterov: true, momentum: 0.9, dampening: 0.1 }, false],
    [{ nesterov: true }, false],
    [{ nesterov: false, dampening: 0.1 }, true],
  ])('SGD with %j', (options, fits) => {
    if (fits) expect(made('SGD', options)).toMatchObject(options);
    else expect(() => made('SGD', options)).toThrow(/nesterov needs a momentum and no dampening/);
  });
  test('a list of settings belongs to one group', () =>
    withParameter(p => {
      const betas = [0.5, 0.6] as [number, number];
      const other = zeros([1], { requiresGrad: true });
      const { paramGroups } = new optim.Adam([{ params: [p] }, { params: other }], { betas });
      betas[0] = 0;
      any(paramGroups[0]!.betas)[1] = 0;
      expect(paramGroups.map(group => group.betas)).toEqual([
        [0.5, 0],
        [0.5, 0.6],
      ] as never);
    }));
});

test.each<[step: number, warmup: number, steps: number, floor: number | undefined, rate: number]>([
  [0, 0, 1, undefined, 1],
  [1, 0, 1, undefined, 0.1],
  [2, 0, 1, undefined, 0.1],
  [0, 4, 8, undefined, 0.25],
  [3, 4, 8, undefined, 1],
  [4, 4, 8, undefined, 1],
  [6, 4, 8, undefined, 0.55],
  [6, 4, 8, 0, 0.5],
  [6, 4, 8, 1, 1],
  [8, 4, 8, undefined, 0.1],
  [9, 4, 8, 0, 0],
  [4, 4, 4, 0, 1],
  [5, 4, 4, 0, 0],
  [1, 0, 4, 0, 0.8535533905932737],
])('the rate at step %p with warmup %p of %p steps and floor %p is %p', (step, warmup, steps, floor, rate) => {
  expect(optim.cosineWithWarmup(step, { peak: 1, warmup, steps, floor })).toBeCloseTo(rate, 12);
  expect(optim.cosineWithWarmup(step, { peak: 3, warmup, steps, floor })).toBeCloseTo(3 * rate, 12);
});

describe('settings of layers', () => {
  const layers: readonly [string, (value: any) => unknown, right: unknown[], wrong: unknown[]][] = [
    ['nn.Linear inFeatures', n => new nn.Linear(n, 1), [0, 1], [-1, 0.5, NaN]],
    ['nn.Linear outFeatures', n => new nn.Linear(1, n), [0, 1], [-1, 0.5, NaN]],
    ['nn.Conv2d kernel', n => new nn.Conv2d(1, 1, n), [1, [1, 2]], [0, [0, 1], [1, 0], [1], 1.5]],
    ['nn.Embedding numEmbeddings', n => new nn.Embedding(n, 1), [0, 1], [-1, 0.5]],
    ['nn.Embedding embeddingDim', n => new nn.Embedding(1, n), [0, 1], [-1, 0.5]],
    ['nn.LayerNorm eps', eps => new nn.LayerNorm(1, { eps }), [0, 1e300], [-1e-300, NaN]],
    ['nn.RMSNorm eps', eps => new nn.RMSNorm(1, { eps }), [0, 1e300], [-1e-300, NaN]],
    ['nn.BatchNorm2d eps', eps => new nn.BatchNorm2d(1, { eps }), [0, 1e300], [-1e-300, NaN]],
    ['nn.BatchNorm2d momentum', momentum => new nn.BatchNorm2d(1, { momentum }), [0, 1], [-1e-300, above1, NaN]],
    ['nn.Dropout p', p => new nn.Dropout(p), [0, 1], [-1e-300, above1, NaN]],
    ['F.dropout p', p => F.dropout(ones([1]), p), [0, 1], [-1e-300, above1, NaN]],
    ['bernoulli p', p => bernoulli(p, [1]), [0, 1], [-1e-300, above1, NaN]],
  ];
  test.each([...layers])('%s', (_, make, right, wrong) =>
    tidy(() => {
      for (const value of right) expect(() => make(value), String(value)).not.toThrow();
      for (const value of wrong) expect(() => make(value), String(value)).toThrow(CastorError);
    }),
  );
  test('a weight of one axis has no fan; one of two and more has', () =>
    tidy(() => {
      expect(() => nn.init.fans(ones([3]))).toThrow(ShapeError);
      expect(nn.init.fans(ones([3, 2]))).toEqual({ fanIn: 2, fanOut: 3 });
      expect(nn.init.fans(ones([3, 2, 4, 5]))).toEqual({ fanIn: 40, fanOut: 60 });
    }));
  test('initialisations stay within their bounds, and reach near them', () =>
    tidy(() => {
      const weight = (): Tensor => ones([100, 50]);
      for (const [fill, from, to] of [
        [(t: Tensor) => nn.init.uniform(t), 0, 1],
        [(t: Tensor) => nn.init.uniform(t, -2), -2, 1],
        [(t: Tensor) => nn.init.uniform(t, 2, 3), 2, 3],
        [(t: Tensor) => nn.init.xavierUniform(t), -0.2, 0.2],
        [(t: Tensor) => nn.init.xavierUniform(t, 3), -0.6, 0.6],
        [(t: Tensor) => nn.init.kaimingUniform(t), -Math.sqrt(0.12), Math.sqrt(0.12)],
        [(t: Tensor) => nn.init.kaimingUniform(t, 1), -Math.sqrt(0.06), Math.sqrt(0.06)],
      ] as const) {
        const t = fill(weight());
        const [least, most] = [t.min().itemSync(), t.max().itemSync()];
        const slack = (to - from) / 100;
        expect([least >= from - 1e-6, least < from + slack, most <= to + 1e-6, most > to - slack]).toEqual([
          true,
          true,
          true,
          true,
        ]);
      }
    }));
});

describe('clipping', () => {
  const withGradient = (run: (p: Tensor) => void): void =>
    withParameter(p => {
      p.grad = ones([2]).mul(3);
      run(p);
    });
  test.each<[string, (p: Tensor) => unknown, boolean]>([
    ['clipGradNorm 0', p => nn.clipGradNorm(p, 0), true],
    ['clipGradNorm Infinity', p => nn.clipGradNorm(p, Infinity), true],
    ['clipGradNorm -1', p => nn.clipGradNorm(p, -1e-300), false],
    ['clipGradNorm NaN', p => nn.clipGradNorm(p, NaN), false],
    ['normType Infinity', p => nn.clipGradNorm(p, 1, { normType: Infinity }), true],
    ['normType 0', p => nn.clipGradNorm(p, 1, { normType: 0 }), false],
    ['normType NaN', p => nn.clipGradNorm(p, 1, { normType: NaN }), false],
    ['clipGradValue 0', p => nn.clipGradValue(p, 0), true],
    ['clipGradValue -1', p => nn.clipGradValue(p, -1e-300), false],
    ['clipGradValue NaN', p => nn.clipGradValue(p, NaN), false],
  ])('by %s', (_, clip, fits) =>
    withGradient(p => {
      if (fits) expect(() => clip(p)).not.toThrow();
      else expect(() => clip(p)).toThrow(ArgumentError);
      if (!fits) expect(p.grad!.toArraySync()).toEqual([3, 3]);
    }),
  );
  test.each([
    [undefined, Math.sqrt(18)],
    [1, 6],
    [2, Math.sqrt(18)],
    [Infinity, 3],
  ])('normType %p measures %p', (normType, norm) =>
    withGradient(p => {
      expect(nn.clipGradNorm(p, Infinity, { normType }).itemSync()).toBeCloseTo(norm, 5);
      expect(p.grad!.toArraySync()).toEqual([3, 3]);
      nn.clipGradNorm(p, norm / 3, { normType });
      expect(p.grad!.select(0, 0).itemSync()).toBeCloseTo(1, 5);
    }),
  );
});

describe('settings of the process', () => {
  test.each([0, 1, Number.MAX_SAFE_INTEGER])('seed %p is one', seed => {
    const generator = new Generator(seed);
    expect(generator.state()).toEqual({ seed, offset: 0 });
    generator.setState({ seed, offset: Number.MAX_SAFE_INTEGER });
    expect(generator.state()).toEqual({ seed, offset: Number.MAX_SAFE_INTEGER });
    expect(generator.manualSeed(seed).state()).toEqual({ seed, offset: 0 });
  });
  test.each([-1, 0.5, NaN, Number.MAX_SAFE_INTEGER + 1])('seed %p is none', seed => {
    expect(() => new Generator(seed)).toThrow(ArgumentError);
    expect(() => manualSeed(seed)).toThrow(ArgumentError);
    expect(() => new Generator(1).setState({ seed: 1, offset: seed })).toThrow(ArgumentError);
    expect(() => new Generator(1).setState({ seed, offset: 1 })).toThrow(ArgumentError);
  });
  test('each random op takes one number of a generator, skip() many', () => {
    const generator = new Generator(3);
    expect([generator.next(), generator.next()]).toEqual([
      { seed: 3, offset: 0 },
      { seed: 3, offset: 1 },
    ]);
    generator.skip(5);
    expect(generator.next()).toEqual({ seed: 3, offset: 7 });
  });
  test.each<[string, boolean]>([
    ['cpu', true],
    ['cuda', true],
    ['cuda:0', true],
    ['cuda:9999', true],
    ['cuda:10000', false],
    ['cuda:', false],
    ['cuda:-1', false],
    ['xcuda', false],
    ['cudax', false],
    ['CPU', false],
  ])('the device %p', (device, named) => {
    if (named) expect(typeof isAvailable(any(device))).toBe('boolean');
    else expect(() => isAvailable(any(device))).toThrow(DeviceError);
  });
  test('devices have numbers below the surface', () => {
    const codes = [0, 1, 1, 1 + 256, 1 + 2 * 256, 1 + 9999 * 256];
    const devices = ['cpu', 'cuda', 'cuda:0', 'cuda:1', 'cuda:2', 'cuda:9999'] as const;
    expect(devices.map(device => parse(device, 'test'))).toEqual(codes);
    expect(codes.map(deviceName)).toEqual(devices.map(device => (device === 'cuda' ? 'cuda:0' : device)));
  });
  test.each<[number | undefined, number | null]>([
    [undefined, 2],
    [0, 1],
    [1, 2],
    [10_000, 10_001],
    [10_001, null],
    [-1, null],
    [0.5, null],
  ])('a capture with warmup %p', (warmup, runs) => {
    let count = 0;
    const run = () => graph.capture(() => void count++, { warmup, device: 'cpu' }).dispose();
    if (runs === null) expect(run).toThrow(ArgumentError);
    else run();
    expect(count).toBe(runs ?? 0);
  });
});

describe('texts in messages', () => {
  const message = (text: string): string => new IndexError(text, { advice: 'No' }).message;
  test.each([200, 201, 210])('a word of %p characters stays', length =>
    expect(message('x'.repeat(length))).toBe(`${'x'.repeat(length)}. No`),
  );
  test('one of 211 is cut to 200', () => expect(message('x'.repeat(211))).toBe(`${'x'.repeat(200)}.... No`));
  test('4000 characters stay, 4001 are cut', () => {
    const words = 'word '.repeat(1000);
    expect(message(words.slice(0, 4000))).toBe(`${words.slice(0, 4000)}. No`);
    expect(message(`${words.slice(0, 4000)}w`)).toBe(`${words.slice(0, 4000)} .... No`);
  });
  test('what is no size is shown as it is', () =>
    expect(format(['x', null, 2.5, {}] as never)).toBe("['x', null, 2.5, an object]"));
  test('32 sizes are written, of 33 the first 32', () => {
    expect(format(Array<number>(32).fill(1))).toBe(`[${Array<number>(32).fill(1).join(', ')}]`);
    expect(format(Array<number>(33).fill(1))).toBe(`[${Array<number>(32).fill(1).join(', ')}, ... (33 numbers)]`);
  });
  test.each([5, 6, 7])('of %p problems five are named', count =>
    tidy(() => {
      const model = new nn.Sequential(
        ...Array.from({ length: count }, () => new nn.BatchNorm2d(1, { affine: false, trackRunningStats: false })),
      );
      const state = new Map(Array.from({ length: count }, (_, i) => [`stray${i}`, ones([1])]));
      const load = () => model.loadStateDict(state);
      expect(load).toThrow(/stray0.*stray4/);
      if (count === 5) expect(load).not.toThrow(/ more/);
      else expect(load).toThrow(`; and ${count - 5} more`);
      if (count > 5) expect(load).not.toThrow(/stray5/);
    }),
  );
});
