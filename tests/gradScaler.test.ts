import { describe, expect, spyOn, test } from 'bun:test';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ArgumentError,
  autocast,
  F,
  full,
  GradientOverflowError,
  GradScaler,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  ScalerError,
  tensor,
  tidy,
  warnings as castorWarnings,
  type GradScalerOptions,
  type Tensor,
} from 'castor';
import { native } from '../runtime/ffi/library.ts';
import { root, run } from './process.ts';

type AnyOptimizer = optim.SGD | optim.Adam;
const small: GradScalerOptions = { initScale: 4, growthFactor: 2, backoffFactor: 0.25, growthInterval: 2 };
const parameter = (values: number[], dtype: 'float32' | 'float16' | 'bfloat16' | 'float64' = 'float32'): Tensor =>
  nn.Parameter(tensor(values, { dtype }));
const sgd = (...params: Tensor[]): optim.SGD => new optim.SGD(params, { lr: 0.5 });

/** Runs backward such that the unscaled gradient of w is g. */
function backward(scaler: GradScaler, w: Tensor, g: number[]): void {
  tidy(() => {
    // Infinite gradients are set by hand, because 0 * inf would be NaN.
    const weights = tensor(g, { dtype: w.dtype });
    scaler.scale(w.mul(weights).sum()).backward();
  });
}
const iterate = async (scaler: GradScaler, optimizer: AnyOptimizer, w: Tensor, g: number[]): Promise<boolean> => {
  optimizer.zeroGrad();
  backward(scaler, w, g);
  const { skipped } = scaler.step(optimizer);
  scaler.update();
  return await skipped;
};
/** The bytes of all state tensors, for an exact comparison. */
const bits = (optimizer: AnyOptimizer): string =>
  optimizer
    .stateDict()
    .state.map(own => Object.entries(own ?? {}).map(([name, t]) => `${name}:${t.dataSync().join()}`))
    .join(' | ');

describe('scale', () => {
  test('multiplies a loss, or each of several, and gives gradients times the scale', () => {
    tidy(() => {
      const scaler = new GradScaler(small);
      const w = parameter([1, 2]);
      const loss = w.mul(3).sum();
      const scaled = scaler.scale(loss);
      expect(scaled.itemSync()).toBe(36);
      scaled.backward();
      expect(w.grad!.toArraySync()).toEqual([12, 12]);
      expect(scaler.scale([tensor(1), tensor([2, 3])]).map(t => t.toArraySync())).toEqual([4, [8, 12]]);
    });
  });
  test('keeps the dtype of wide losses and never overflows 16-bit ones', () => {
    tidy(() => {
      const scaler = new GradScaler();
      expect(scaler.scale(tensor(2, { dtype: 'float64' })).dtype).toBe('float64');
      const low = scaler.scale(tensor([2, 3], { dtype: 'float16' }));
      expect(low.dtype).toBe('float32');
      expect(low.toArraySync()).toEqual([131072, 196608]);
      expect(scaler.scale(tensor(2, { dtype: 'float16' })).itemSync()).toBe(131072);
    });
  });
  test('is not changed or reported by the autocast around', async () => {
    const w = parameter([1, 2]);
    const scaler = new GradScaler({ ...small, initScale: 65536 });
    const overrides = { mul: 'low', reciprocal: 'low', maximum: 'low', ge: 'banned' } as const;
    const { report } = await autocast.report({ dtype: 'float16', overrides }, () =>
      tidy(() => {
        const scaled = scaler.scale(full([], 2));
        expect([scaled.dtype, scaled.itemSync()]).toEqual(['float32', 131072]);
        w.grad = full([2], 65536);
        const optimizer = sgd(w);
        scaler.step(optimizer);
        scaler.update();
        scaler.update(tensor(2));
      }),
    );
    expect(w.toArraySync()).toEqual([0.5, 1.5]);
    expect(scaler.getScaleSync()).toBe(2);
    expect(report.totals.calls).toBe(0);
  });
  test('disabled, hands through what it is given', () => {
    const scaler = new GradScaler({ enabled: false });
    for (const given of [[tensor(1)], { a: tensor(1) }, new Map([['a', tensor(1)]])])
      expect(scaler.scale(given)).toBe(given);
  });
  test('refuses what is not a tensor', () => {
    expect(() => new GradScaler().scale(3 as never)).toThrow(ArgumentError);
  });
});

describe('the scale', () => {
  const sequences: [string, GradScalerOptions, ('ok' | 'inf' | 'nan')[], number[]][] = [
    ['grows every interval', small, ['ok', 'ok', 'ok', 'ok', 'ok'], [4, 8, 8, 16, 16]],
    [
      'backs off after an overflow, and starts to count anew',
      small,
      ['ok', 'inf', 'ok', 'ok', 'nan'],
      [4, 1, 1, 2, 0.5],
    ],
    [
      'with an interval of 1 grows each time',
      { ...small, growthInterval: 1 },
      ['ok', 'ok', 'inf', 'ok'],
      [8, 16, 4, 8],
    ],
    ['stops at the ceiling', { ...small, growthInterval: 1, maxScale: 10 }, ['ok', 'ok', 'ok'], [8, 10, 10]],
    ['stops at the floor', { ...small, minScale: 0.5 }, ['inf', 'inf', 'inf'], [1, 0.5, 0.5]],
    ['never passes 2^24 by itself', { growthInterval: 1, initScale: 2 ** 23 }, ['ok', 'ok'], [2 ** 24, 2 ** 24]],
    [
      'never falls below 2^-14 by itself',
      { initScale: 2 ** -13 },
      ['inf', 'inf', 'inf'],
      [2 ** -14, 2 ** -14, 2 ** -14],
    ],
    [
      'multiplies in float64, rounded once',
      { ...small, initScale: 3, growthFactor: 1.1, growthInterval: 1 },
      ['ok'],
      [Math.fround(3 * 1.1)],
    ],
  ];
  test.each(sequences)('%s', async (_, options, steps, scales) => {
    const scaler = new GradScaler(options);
    const w = parameter([1, 1]);
    const optimizer = sgd(w);
    const seen: number[] = [];
    for (const step of steps) {
      const skipped = await iterate(scaler, optimizer, w, [1, { ok: 1, inf: Infinity, nan: NaN }[step]]);
      expect(skipped).toBe(step !== 'ok');
      seen.push(await scaler.getScale());
    }
    expect(seen).toEqual(scales);
    const skips = steps.filter(step => step !== 'ok').length;
    expect(await scaler.skippedSteps()).toBe(skips);
    expect(scaler.skippedStepsSync()).toBe(skips);
    expect(scaler.getScaleSync()).toBe(scales.at(-1)!);
  });
  test('can be set by update()', () => {
    const scaler = new GradScaler(small);
    const w = parameter([1]);
    backward(scaler, w, [1]);
    scaler.update(32);
    expect(scaler.getScaleSync()).toBe(32);
    expect(scaler.stateDict()!.growthTracker).toBe(0);
    for (const wrong of [0, -1, NaN, Infinity]) expect(() => scaler.update(wrong)).toThrow(ArgumentError);
    expect(scaler.getScaleSync()).toBe(32);
  });
  test('may start anywhere: a bound that is not given makes room, one that is given holds', () => {
    for (const initScale of [2 ** -20, 1, 65536, 2 ** 30])
      expect(new GradScaler({ initScale }).getScaleSync()).toBe(initScale);
    expect(new GradScaler({ maxScale: 1024 }).getScaleSync()).toBe(1024);
    expect(new GradScaler({ minScale: 2 ** 20 }).getScaleSync()).toBe(2 ** 20);
    for (const bounds of [{ minScale: 8 }, { maxScale: 2 }])
      expect(() => new GradScaler({ initScale: 4, ...bounds })).toThrow(
        /initScale 4 is not a number from .*, the bounds of this scaler/,
      );
  });
  test('never leaves its bounds: it grows and backs off from where it started', async () => {
    const w = parameter([1]);
    const up = new GradScaler({ initScale: 2 ** 30, growthInterval: 1 });
    await iterate(up, sgd(w), w, [1]);
    expect(up.getScaleSync()).toBe(2 ** 30);
    const down = new GradScaler({ initScale: 2 ** -20 });
    await iterate(down, sgd(w), w, [Infinity]);
    expect(down.getScaleSync()).toBe(2 ** -20);
  });
  test('is set by update() within its bounds only; a tensor outside them changes nothing', () => {
    const scaler = new GradScaler({ ...small, minScale: 2, maxScale: 64 });
    scaler.scale(tensor(1));
    for (const wrong of [1, 128]) expect(() => scaler.update(wrong)).toThrow(/^GradScaler\.update: newScale .* bounds/);
    scaler.update(tensor(8));
    const { hostReads } = memory.stats();
    for (const wrong of [NaN, 0, -4, 1, 128, Infinity]) scaler.update(tensor(wrong));
    expect(memory.stats().hostReads).toBe(hostReads);
    expect(scaler.getScaleSync()).toBe(8);
    scaler.update(tensor([16], { dtype: 'int64' }));
    expect(scaler.getScaleSync()).toBe(16);
  });
  test('options that make no sense are refused', () => {
    const wrong: GradScalerOptions[] = [
      { initScale: 0 },
      { initScale: NaN },
      { growthFactor: 1 },
      { growthFactor: Infinity },
      { backoffFactor: 1 },
      { backoffFactor: 0 },
      { growthInterval: 0 },
      { growthInterval: 1.5 },
      { minScale: 0 },
      { minScale: 4, maxScale: 2 },
      { minScale: 2 ** -140 },
      { maxScale: 2 ** 127 },
      { maxConsecutiveSkips: 0 },
      { maxConsecutiveSkips: 2.5 },
    ];
    for (const options of wrong) expect(() => new GradScaler(options)).toThrow(ArgumentError);
  });
});

describe('an overflow', () => {
  const optimizers: [string, (w: Tensor[]) => AnyOptimizer][] = [
    ['SGD', w => new optim.SGD(w, { lr: 0.1 })],
    [
      'SGD with momentum and decay',
      w => new optim.SGD(w, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 }),
    ],
    ['Adam', w => new optim.Adam(w, { lr: 0.1 })],
    ['Adam with amsgrad', w => new optim.Adam(w, { lr: 0.1, amsgrad: true, weightDecay: 0.1 })],
    ['AdamW', w => new optim.AdamW(w, { lr: 0.1 })],
  ];
  for (const value of [Infinity, -Infinity, NaN]) {
    test.each(optimizers)(`of ${value} leaves parameters and state of %s bit for bit as they were`, async (_, make) => {
      const scaler = new GradScaler(small);
      const [w, other] = [parameter([1, -2, 3]), parameter([0.5])];
      const optimizer = make([w, other]);
      const step = async (g: number): Promise<boolean> => {
        optimizer.zeroGrad();
        backward(scaler, w, [g, 1, 1]);
        backward(scaler, other, [2]);
        const { skipped } = scaler.step(optimizer);
        scaler.update();
        return skipped;
      };
      // In the very first step too, when there is no state yet.
      expect(await step(value)).toBe(true);
      expect([...w.dataSync(), ...other.dataSync()]).toEqual([1, -2, 3, 0.5]);
      expect(await step(0.25)).toBe(false);
      expect(w.dataSync()[0]).not.toBe(1);
      const before = [[...w.dataSync()], [...other.dataSync()], bits(optimizer)];
      expect(await step(value)).toBe(true);
      expect([[...w.dataSync()], [...other.dataSync()], bits(optimizer)]).toEqual(before);

      // The result is as if the skipped steps had not happened.
      const plain = parameter([1, -2, 3]);
      const reference = make([plain, parameter([0.5])]);
      const again = new GradScaler(small);
      const twice = async (target: Tensor, own: AnyOptimizer, by: GradScaler): Promise<void> => {
        own.zeroGrad();
        backward(by, target, [0.25, 1, 1]);
        by.step(own);
        by.update();
      };
      await twice(plain, reference, again);
      await twice(plain, reference, again);
      await twice(w, optimizer, scaler);
      expect(w.dataSync()).toEqual(plain.dataSync());
    });
  }
  test('that unscaling itself creates is found', async () => {
    const scaler = new GradScaler({ ...small, initScale: 2 ** -10, float16Gradients: true });
    const w = parameter([1], 'float16');
    const optimizer = sgd(w);
    w.grad = tensor([60000], { dtype: 'float16' });
    scaler.scale(tensor(1));
    const { skipped } = scaler.step(optimizer);
    expect(await skipped).toBe(true);
    expect(w.itemSync()).toBe(1);
  });
  test('in one element of a large, strided gradient is found', async () => {
    const scaler = new GradScaler(small);
    const w = nn.Parameter(ones([300, 1000]));
    const optimizer = sgd(w);
    scaler.scale(tensor(1));
    w.grad = ones([1000, 300]).T;
    noGrad(() => w.grad!.at(299, 999).fill_(Infinity));
    expect(await scaler.step(optimizer).skipped).toBe(true);
    expect(w.sum().itemSync()).toBe(300_000);
    expect(w.grad!.at(0, 0).itemSync()).toBe(0.25);
  });
  test('after unscale is not looked for again', async () => {
    const scaler = new GradScaler(small);
    const w = parameter([1]);
    const optimizer = sgd(w);
    backward(scaler, w, [1]);
    scaler.unscale(optimizer);
    noGrad(() => w.grad!.fill_(Infinity));
    expect(await scaler.step(optimizer).skipped).toBe(false);
    expect(w.itemSync()).toBe(-Infinity);
  });
});

describe('unscale', () => {
  test.each(['float32', 'float16', 'bfloat16', 'float64'] as const)('of %s gradients, then the step', async dtype => {
    const scaler = new GradScaler({ ...small, float16Gradients: true });
    const w = parameter([1, 2], dtype);
    const optimizer = sgd(w);
    backward(scaler, w, [0.5, -1]);
    expect(w.grad!.dtype).toBe(dtype);
    expect(w.grad!.toArraySync()).toEqual([2, -4]);
    scaler.unscale(optimizer);
    expect(w.grad!.toArraySync()).toEqual([0.5, -1]);
    expect(await scaler.step(optimizer).skipped).toBe(false);
    expect(w.toArraySync()).toEqual([0.75, 2.5]);
    scaler.update();
    expect(await iterate(scaler, optimizer, w, [Infinity, 1])).toBe(true);
    expect(w.toArraySync()).toEqual([0.75, 2.5]);
  });
  test('rounds the inverse once', () => {
    const scaler = new GradScaler({ initScale: 3 });
    const w = parameter([1]);
    scaler.scale(tensor(1));
    w.grad = tensor([7]);
    scaler.unscale(sgd(w));
    expect(w.grad.itemSync()).toBe(Math.fround(7 * Math.fround(1 / 3)));
  });
  test('with a scale of 1 changes no bit', () => {
    const scaler = new GradScaler({ initScale: 1 });
    const values = [1e-45, 3.4e38, -0, 0.1];
    const w = parameter(values);
    scaler.scale(tensor(1));
    w.grad = tensor(values);
    scaler.unscale(sgd(w));
    expect(w.grad.dataSync()).toEqual(Float32Array.from(values));
  });
  test('lets gradients be clipped by their true norm', async () => {
    const scaler = new GradScaler({ initScale: 65536 });
    const w = parameter([1, 1]);
    const optimizer = sgd(w);
    backward(scaler, w, [3, 4]);
    scaler.unscale(optimizer);
    using norm = nn.clipGradNorm([w], 1);
    expect(norm.itemSync()).toBeCloseTo(5, 5);
    expect(w.grad!).toBeAllclose([0.6, 0.8]);
    expect(await scaler.step(optimizer).skipped).toBe(false);
    scaler.update();
    expect(w).toBeAllclose([0.7, 0.6]);
  });
  test('accumulated over two backward passes', async () => {
    const scaler = new GradScaler(small);
    const w = parameter([1]);
    const optimizer = sgd(w);
    backward(scaler, w, [1]);
    backward(scaler, w, [2]);
    await scaler.step(optimizer).skipped;
    expect(w.itemSync()).toBe(-0.5);
  });
});

describe('calls out of order', () => {
  const fresh = (): { scaler: GradScaler; w: Tensor; optimizer: optim.SGD } => {
    const w = parameter([1]);
    return { scaler: new GradScaler(small), w, optimizer: sgd(w) };
  };
  test('before the first scale()', () => {
    const { scaler, optimizer } = fresh();
    for (const call of [() => scaler.unscale(optimizer), () => scaler.step(optimizer), () => scaler.update()])
      expect(call).toThrow(/no loss was scaled yet/);
  });
  test('unscale twice, unscale after step, step twice, update alone', () => {
    const { scaler, w, optimizer } = fresh();
    backward(scaler, w, [1]);
    expect(() => scaler.update()).toThrow(/update\(\) without a step\(\)/);
    scaler.unscale(optimizer);
    expect(() => scaler.unscale(optimizer)).toThrow(/already unscaled/);
    scaler.step(optimizer);
    expect(() => scaler.unscale(optimizer)).toThrow(/unscale\(\) was called after step\(\)/);
    expect(() => scaler.step(optimizer)).toThrow(/step\(\) was already called/);
    expect(() => scaler.step(optimizer)).toThrow(ScalerError);
    scaler.update();
    expect(() => scaler.update()).toThrow(ScalerError);
    expect(w.itemSync()).toBe(0.5);
  });
  test('unscale, then update without step, is a skipped iteration', () => {
    const { scaler, w, optimizer } = fresh();
    backward(scaler, w, [Infinity]);
    scaler.unscale(optimizer);
    scaler.update();
    expect(scaler.getScaleSync()).toBe(1);
    expect(w.itemSync()).toBe(1);
  });
  test('name what to do', () => {
    const { scaler, optimizer } = fresh();
    try {
      scaler.step(optimizer);
      throw new Error('did not throw');
    } catch (error) {
      expect(error).toBeInstanceOf(ScalerError);
      expect(error).toMatchObject({ op: 'GradScaler.step', advice: 'Call scaler.scale(loss).backward() first' });
    }
  });
});

describe('optimizers', () => {
  test('two: each decides for itself, the scale backs off for both', async () => {
    const scaler = new GradScaler(small);
    const [a, b] = [parameter([1]), parameter([1])];
    const [first, second] = [sgd(a), sgd(b)];
    backward(scaler, a, [1]);
    backward(scaler, b, [Infinity]);
    const results = [scaler.step(first), scaler.step(second)];
    scaler.update();
    expect(await Promise.all(results.map(result => result.skipped))).toEqual([false, true]);
    expect([a.itemSync(), b.itemSync()]).toEqual([0.5, 1]);
    expect(scaler.getScaleSync()).toBe(1);
    expect(scaler.skippedStepsSync()).toBe(1);
  });
  test('one without gradients is left alone, and counts as applied', async () => {
    const scaler = new GradScaler(small);
    const w = parameter([1]);
    const optimizer = new optim.AdamW([w]);
    scaler.scale(tensor(1));
    expect(await scaler.step(optimizer).skipped).toBe(false);
    scaler.update();
    expect(w.itemSync()).toBe(1);
    expect(optimizer.stateDict().state).toEqual([null]);
  });
  test('of a user, without stepUnless: the scaler waits for the device and decides', async () => {
    const w = parameter([1]);
    let steps = 0;
    const own = {
      parameters: () => [w],
      step: () => {
        steps++;
        noGrad(() => w.sub_(w.grad!));
      },
    };
    const scaler = new GradScaler(small);
    backward(scaler, w, [0.5]);
    expect(await scaler.step(own).skipped).toBe(false);
    scaler.update();
    expect([steps, w.itemSync()]).toEqual([1, 0.5]);
    w.grad = null;
    backward(scaler, w, [NaN]);
    expect(await scaler.step(own).skipped).toBe(true);
    scaler.update();
    expect([steps, w.itemSync(), scaler.getScaleSync()]).toEqual([1, 0.5, 1]);
  });
  test.each(['a subclass that defines step()', 'an object whose step was replaced'])(
    '%s: that step() is run, once the device has answered',
    async kind => {
      const w = parameter([1]);
      let steps = 0;
      class Projected extends optim.SGD {
        override step(): void {
          super.step();
          steps++;
          noGrad(() => w.copy_(w.clamp({ min: 0.75 })));
        }
      }
      const replaced = (): optim.SGD => {
        const own = sgd(w);
        const step = own.step.bind(own);
        return Object.assign(own, { step: () => (step(), steps++, noGrad(() => w.copy_(w.clamp({ min: 0.75 })))) });
      };
      const optimizer = kind.startsWith('a subclass') ? new Projected([w], { lr: 0.5 }) : replaced();
      const scaler = new GradScaler(small);
      backward(scaler, w, [1]);
      const result = scaler.step(optimizer);
      expect(() => scaler.update()).toThrow(/has not finished its step yet. Wait for it first: await/);
      expect(await result.skipped).toBe(false);
      scaler.update();
      expect([steps, w.itemSync()]).toEqual([1, 0.75]);
      optimizer.zeroGrad();
      backward(scaler, w, [Infinity]);
      expect(await scaler.step(optimizer).skipped).toBe(true);
      expect([steps, w.itemSync()]).toEqual([1, 0.75]);
    },
  );
  test('of a subclass that leaves step() alone is decided on the device', () => {
    class Named extends optim.SGD {}
    const w = parameter([1]);
    const scaler = new GradScaler(small);
    backward(scaler, w, [1]);
    scaler.step(new Named([w], { lr: 0.5 }));
    scaler.update();
    expect(w.itemSync()).toBe(0.5);
  });
  test('the answer may be read later, or never', async () => {
    const scaler = new GradScaler(small);
    const w = parameter([1]);
    const optimizer = sgd(w);
    const results = [];
    for (const g of [1, Infinity, 1, NaN]) {
      optimizer.zeroGrad();
      backward(scaler, w, [g]);
      results.push(scaler.step(optimizer));
      scaler.update();
    }
    expect(await Promise.all(results.map(result => result.skipped))).toEqual([false, true, false, true]);
    expect(await results[1]!.skipped).toBe(true);
  });
});

describe('disabled', () => {
  test('every method hands through', async () => {
    const scaler = new GradScaler({ enabled: false });
    const w = parameter([1]);
    const optimizer = sgd(w);
    expect(scaler.enabled).toBe(false);
    const loss = w.mul(2).sum();
    expect(scaler.scale(loss)).toBe(loss);
    loss.backward();
    scaler.unscale(optimizer);
    scaler.unscale(optimizer);
    expect(await scaler.step(optimizer).skipped).toBe(false);
    scaler.update();
    scaler.update(8);
    expect(w.itemSync()).toBe(0);
    expect([await scaler.getScale(), scaler.getScaleSync(), await scaler.skippedSteps()]).toEqual([1, 1, 0]);
    expect(scaler.stateDict()).toBeNull();
    scaler.loadStateDict(null);
  });
  test('steps on what is not finite, as without a scaler', () => {
    const scaler = new GradScaler({ enabled: false });
    const w = parameter([1]);
    backward(scaler, w, [Infinity]);
    scaler.step(sgd(w));
    expect(w.itemSync()).toBe(-Infinity);
  });
});

describe('stateDict', () => {
  test('goes round, and the resumed scaler continues alike', async () => {
    const first = new GradScaler(small);
    const w = parameter([1]);
    const optimizer = sgd(w);
    for (const g of [1, Infinity, 1]) await iterate(first, optimizer, w, [g]);
    const state = JSON.parse(JSON.stringify(first.stateDict())) as ReturnType<GradScaler['stateDict']>;
    expect(state).toEqual({
      scale: 1,
      growthTracker: 1,
      growthFactor: 2,
      backoffFactor: 0.25,
      growthInterval: 2,
      skippedSteps: 1,
    });
    const second = new GradScaler();
    second.loadStateDict(state);
    expect(second.stateDict()).toEqual(state);
    for (const g of [1, NaN, 1, 1]) {
      await iterate(first, optimizer, w, [g]);
      await iterate(second, optimizer, w, [g]);
      expect(second.stateDict()).toEqual(first.stateDict());
    }
  });
  test('of PyTorch loads under its own names; skipped steps may be missing', () => {
    const foreign = { scale: 1024, growth_factor: 3, backoff_factor: 0.25, growth_interval: 7, _growth_tracker: 5 };
    const own = { scale: 1024, growthFactor: 3, backoffFactor: 0.25, growthInterval: 7, growthTracker: 5 };
    for (const state of [foreign, own, { ...own, skippedSteps: undefined }]) {
      const scaler = new GradScaler(small);
      scaler.loadStateDict(state as never);
      expect(scaler.stateDict()).toEqual({ ...own, skippedSteps: 0 });
    }
  });
  test('with a scale outside of bounds that were not given makes room; bounds that were given hold', async () => {
    const large = { ...new GradScaler().stateDict()!, scale: 2 ** 40, growthInterval: 1 };
    const scaler = new GradScaler();
    scaler.loadStateDict(large);
    expect(scaler.getScaleSync()).toBe(2 ** 40);
    const w = parameter([1]);
    await iterate(scaler, sgd(w), w, [1]);
    expect(scaler.getScaleSync()).toBe(2 ** 40);
    scaler.update(2 ** 30);
    expect(() => new GradScaler({ maxScale: 2 ** 24 }).loadStateDict(large)).toThrow(/bounds of this scaler/);
    const low = new GradScaler();
    low.loadStateDict({ ...large, scale: 2 ** -20 });
    expect(low.getScaleSync()).toBe(2 ** -20);
  });
  test('of a disabled scaler is null; a disabled scaler ignores any, an enabled one refuses what is empty', () => {
    const off = new GradScaler({ enabled: false });
    expect(off.stateDict()).toBeNull();
    off.loadStateDict({} as never);
    for (const empty of [null, {}])
      expect(() => new GradScaler().loadStateDict(empty as never)).toThrow(/empty: it was saved by a disabled scaler/);
  });
  test('with a missing or absurd field is refused whole', () => {
    const scaler = new GradScaler(small);
    const before = scaler.stateDict()!;
    const wrong: Record<string, unknown>[] = [
      {},
      ...Object.keys(before)
        .filter(key => key !== 'skippedSteps')
        .map(key => ({ ...before, [key]: undefined })),
      { ...before, scale: 0 },
      { ...before, scale: NaN },
      { ...before, scale: '4' },
      { ...before, growthTracker: -1 },
      { ...before, growthTracker: 0.5 },
      { ...before, growthFactor: 0.5 },
      { ...before, backoffFactor: 2 },
      { ...before, growthInterval: 0 },
      { ...before, skippedSteps: -3 },
    ];
    for (const state of wrong) {
      expect(() => scaler.loadStateDict({ ...state } as never)).toThrow(ScalerError);
      expect(scaler.stateDict()).toEqual(before);
    }
  });
  test('of a disabled scaler is refused by an enabled one', () => {
    expect(() => new GradScaler().loadStateDict(null)).toThrow(/saved by a disabled scaler/);
    new GradScaler({ enabled: false }).loadStateDict(new GradScaler().stateDict());
  });
});

describe('its settings', () => {
  test('can be read and changed; what makes no sense is refused', () => {
    const scaler = new GradScaler(small);
    expect([scaler.growthFactor, scaler.backoffFactor, scaler.growthInterval]).toEqual([2, 0.25, 2]);
    Object.assign(scaler, { growthFactor: 3, backoffFactor: 0.5, growthInterval: 1 });
    expect(scaler.stateDict()).toMatchObject({ growthFactor: 3, backoffFactor: 0.5, growthInterval: 1 });
    expect(() => (scaler.growthFactor = 1)).toThrow(ArgumentError);
    expect(() => (scaler.backoffFactor = 1)).toThrow(ArgumentError);
    expect(() => (scaler.growthInterval = 0)).toThrow(ArgumentError);
    expect([scaler.growthFactor, scaler.backoffFactor, scaler.growthInterval]).toEqual([3, 0.5, 1]);
  });
  test('a new scale may be a tensor of one element, which is copied', () => {
    const scaler = new GradScaler(small);
    scaler.scale(tensor(1));
    const scale = tensor([16]);
    scaler.update(scale);
    noGrad(() => scale.fill_(3));
    expect(scaler.getScaleSync()).toBe(16);
    for (const wrong of [ones([2]), tensor([1], { requiresGrad: true }), 'x' as never])
      expect(() => scaler.update(wrong)).toThrow(ArgumentError);
  });
});

describe('float16 gradients', () => {
  test('are refused unless asked for, by name, before anything is changed', () => {
    const scaler = new GradScaler(small);
    const [wide, narrow] = [parameter([1]), parameter([1], 'float16')];
    const named = new optim.SGD(
      [
        ['body.weight', wide],
        ['head.weight', narrow],
      ],
      { lr: 1 },
    );
    scaler.scale(tensor(1));
    for (const w of [wide, narrow]) w.grad = ones([1], { dtype: w.dtype as 'float32' });
    expect(() => scaler.unscale(named)).toThrow(/head\.weight is float16.*float16Gradients/);
    expect([wide.grad!.itemSync(), narrow.grad!.itemSync()]).toEqual([1, 1]);
    expect(() => scaler.step(sgd(narrow))).toThrow(/parameter 0 of shape \[1\]/);
  });
});

describe('skips in a row', () => {
  /** Runs iterations with these gradients until an error is thrown. Returns the number of the iteration that failed. */
  function failsAt(limit: number, gradients: number[]): { at: number; names: readonly string[] } | null {
    const scaler = new GradScaler({ ...small, maxConsecutiveSkips: limit });
    const [good, bad] = [parameter([1]), parameter([1])];
    const optimizer = new optim.SGD(
      [
        ['good', good],
        ['bad', bad],
      ],
      { lr: 0 },
    );
    scaler.scale(tensor(1));
    for (const [at, g] of gradients.entries()) {
      [good.grad, bad.grad] = [ones([1]), full([1], g)];
      scaler.step(optimizer);
      try {
        scaler.update();
      } catch (error) {
        expect(error).toBeInstanceOf(GradientOverflowError);
        return { at, names: (error as GradientOverflowError).parameters };
      }
    }
    return null;
  }
  test('are an error at exactly the limit, with the names of what overflowed', () => {
    const inf = Infinity;
    expect(failsAt(1, [1, inf])).toEqual({ at: 1, names: ['bad'] });
    expect(failsAt(3, [inf, inf, NaN])).toEqual({ at: 2, names: ['bad'] });
    expect(failsAt(3, [1, 1, inf, inf, inf, inf])).toEqual({ at: 4, names: ['bad'] });
    expect(failsAt(3, [inf, inf, 1, inf, inf, 1, inf, inf, inf])).toEqual({ at: 8, names: ['bad'] });
    expect(failsAt(3, [inf, inf, 1, inf, inf, 1, 1])).toBeNull();
  });
  test('are named as they were found: clipping and zeroGrad come after', () => {
    const scaler = new GradScaler({ ...small, maxConsecutiveSkips: 2 });
    const params = ['good', 'bad', 'idle'].map(name => [name, parameter([1])] as const);
    const [good, bad] = params.map(([, p]) => p) as [Tensor, Tensor];
    const optimizer = new optim.SGD(params, { lr: 0.5 });
    scaler.scale(tensor(1));
    const skipped = (): void => {
      good.grad = ones([1]);
      bad.grad = full([1], NaN);
      scaler.unscale(optimizer);
      nn.clipGradNorm([good, bad], 1);
      scaler.step(optimizer);
      optimizer.zeroGrad();
      scaler.update();
    };
    skipped();
    expect(skipped).toThrow(expect.objectContaining({ name: 'GradientOverflowError', parameters: ['bad'] }));
  });
  test('are counted anew after loadStateDict', () => {
    const scaler = new GradScaler({ ...small, maxConsecutiveSkips: 3 });
    const w = parameter([1]);
    const optimizer = sgd(w);
    scaler.scale(tensor(1));
    const skipped = (): void => {
      w.grad = full([1], Infinity);
      scaler.step(optimizer);
      scaler.update();
    };
    skipped();
    skipped();
    scaler.loadStateDict(new GradScaler(small).stateDict());
    skipped();
    skipped();
    expect(skipped).toThrow(GradientOverflowError);
  });
  test('are looked for no more often than they must be', () => {
    const scaler = new GradScaler({ ...small, maxConsecutiveSkips: 10 });
    const w = parameter([1]);
    const optimizer = sgd(w);
    scaler.scale(tensor(1));
    const before = memory.stats().hostReads;
    for (let i = 0; i < 100; i++) {
      w.grad = ones([1]);
      scaler.step(optimizer);
      scaler.update();
    }
    expect(memory.stats().hostReads - before).toBe(10);
  });
});

describe('onSkip', () => {
  test.each<[string, () => void]>([
    [
      'throws',
      () => {
        throw new Error('on purpose');
      },
    ],
    ['is async and fails', async () => Promise.reject(new Error('on purpose'))],
  ])('that %s makes `skipped` fail', async (_, onSkip) => {
    const scaler = new GradScaler({ ...small, onSkip });
    const w = parameter([1]);
    backward(scaler, w, [Infinity]);
    const { skipped } = scaler.step(sgd(w));
    scaler.update();
    await expect(skipped).rejects.toThrow('on purpose');
  });
  test('is told each skip with its optimizer and iteration, without a wait', async () => {
    const told: unknown[] = [];
    const scaler = new GradScaler({
      ...small,
      onSkip: ({ optimizer, iteration }) => told.push([optimizer, iteration]),
    });
    const w = parameter([1]);
    const optimizer = sgd(w);
    scaler.scale(tensor(1));
    for (const g of [1, Infinity, 1, NaN]) {
      w.grad = full([1], g);
      scaler.step(optimizer);
      scaler.update();
    }
    expect(told).toEqual([]);
    // The device answers when it has time.
    for (let i = 0; i < 5000 && told.length < 2; i++) await Bun.sleep(1);
    expect(told).toEqual([
      [optimizer, 1],
      [optimizer, 3],
    ]);
  });
});

describe('float16 backward without a scaler', () => {
  const warnings = async (code: string): Promise<number> => {
    const file = join(mkdtempSync(join(tmpdir(), 'castor-')), 'program.ts');
    writeFileSync(
      file,
      `import { autocast, F, GradScaler, nn, ones, warnings } from '${join(root, 'runtime/index.ts')}';
const layer = new nn.Linear(4, 4);
const loss = (dtype: 'float16' | 'bfloat16') => autocast({ dtype }, () => (layer.forward(ones([1, 4])) as ReturnType<typeof ones>).float().sum());
${code}`,
    );
    const { stderr, exitCode } = await run(file, [], '/');
    expect(exitCode).toBe(0);
    return stderr.split('CASTOR_FLOAT16_UNSCALED').length - 1;
  };
  test('warns once; with a scaler, or in bfloat16, it does not', async () => {
    expect(await warnings(`for (let i = 0; i < 3; i++) loss('float16').backward();`)).toBe(1);
    expect(await warnings(`new GradScaler().scale(loss('float16')).backward(); loss('float16').backward();`)).toBe(0);
    expect(await warnings(`loss('bfloat16').backward();`)).toBe(0);
  });
  test('warns once for each training run: another model is warned of anew, whatever was scaled before', async () => {
    const other = `const next = new nn.Linear(4, 1);
      const train = () => autocast({ dtype: 'float16' }, () => (next.forward(ones([1, 4])) as ReturnType<typeof ones>).float().sum()).backward();
      train(); train();`;
    expect(await warnings(`loss('float16').backward(); ${other}`)).toBe(2);
    expect(await warnings(`new GradScaler().scale(loss('float16')).backward(); ${other}`)).toBe(1);
    const more = `const head = new nn.Linear(4, 1); const both = () => autocast({ dtype: 'float16' }, () =>
      (head.forward(layer.forward(ones([1, 4]))) as ReturnType<typeof ones>).float().sum()).backward();`;
    expect(await warnings(`loss('float16').backward(); ${more} both(); both();`)).toBe(1);
  });
  test('does not warn when the warning is switched off', async () => {
    expect(await warnings(`warnings.disable('CASTOR_FLOAT16_UNSCALED'); loss('float16').backward();`)).toBe(0);
    expect(await warnings(`warnings.disable(); warnings.enable(); loss('float16').backward();`)).toBe(1);
  });
  test('a warning that is not there is an error', () => {
    for (const change of [castorWarnings.disable, castorWarnings.enable])
      expect(() => change('CASTOR_FLOAT16' as 'CASTOR_FLOAT16_UNSCALED')).toThrow(
        /^warnings\.(en|dis)able: there is no warning 'CASTOR_FLOAT16'.*The codes are CASTOR_FLOAT16_UNSCALED/,
      );
  });
});

describe('a training loop', () => {
  test('never reads from the device, and leaves no memory behind', () => {
    manualSeed(0);
    const model = new nn.Linear(4, 4);
    const optimizer = new optim.AdamW(model.parameters());
    const scaler = new GradScaler();
    const step = (): void =>
      tidy(() => {
        optimizer.zeroGrad();
        const loss = autocast({ dtype: 'float16' }, () => F.mseLoss(model.forward(randn([8, 4])), ones([8, 4])));
        scaler.scale(loss).backward();
        scaler.unscale(optimizer);
        nn.clipGradNorm(model.parameters(), 1);
        scaler.step(optimizer);
        scaler.update();
      });
    step();
    memory.collect();
    const before = memory.stats().liveStorages;
    const waits = (['castor_read', 'castor_synchronize', 'castor_notify'] as const).map(name => spyOn(native, name));
    for (let i = 0; i < 20; i++) step();
    for (const wait of waits) {
      expect(wait).not.toHaveBeenCalled();
      wait.mockRestore();
    }
    // The found-inf flag of a step stays until the collector has seen that nothing refers to it.
    expect(memory.stats().liveStorages).toBeLessThanOrEqual(before + 20);
    expect(scaler.skippedStepsSync()).toBeLessThan(5);
  });
  test('in float16 finds its scale from far too high a start', async () => {
    manualSeed(1);
    const model = new nn.Sequential(new nn.Linear(8, 16), new nn.ReLU(), new nn.Linear(16, 1));
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.05 });
    const scaler = new GradScaler({ initScale: 2 ** 24 });
    const [x, y] = [randn([32, 8]), full([32, 1], 20)];
    const losses: number[] = [];
    for (let i = 0; i < 40; i++)
      losses.push(
        tidy(() => {
          optimizer.zeroGrad();
          const loss = autocast({ dtype: 'float16' }, () => F.mseLoss(model.forward(x), y));
          scaler.scale(loss).backward();
          scaler.step(optimizer);
          scaler.update();
          return loss.itemSync();
        }),
      );
    const skipped = await scaler.skippedSteps();
    expect(skipped).toBeGreaterThan(3);
    expect(skipped).toBeLessThan(30);
    expect(await scaler.getScale()).toBe(2 ** (24 - skipped));
    expect(losses[1]).toBe(losses[0]!);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 10);
  });
});
