/**
 * Special cases of kernels: after the last full tile, one position among many equal ones, no terms, and large memory.
 */
import { describe, expect, test } from 'bun:test';
import {
  autograd,
  deviceInfo,
  F,
  full,
  memory,
  optim,
  setNumThreads,
  tensor,
  tidy,
  zeros,
  type DType,
  type Tensor,
} from 'castor';
import { native } from '../../runtime/ffi/library.ts';
import { describe as writeView } from '../../runtime/ffi/view.ts';
import { MEASURES_MEMORY, unlessEmulated } from '../processor.ts';
import { devices, onEmulator, sized, tidyTest } from '../setup.ts';
import { compareArrays } from '../reference/compare.ts';

/** 0, 1, ... as integers that every dtype can hold. */
const counting = (n: number): number[] => Array.from({ length: n }, (_, i) => (i * 7) % 101);
const line = (values: number[], dtype: DType, device: Tensor['device']): Tensor => tensor(values, { dtype, device });
const same = (actual: Tensor, expected: ArrayLike<number>, what: string): void => {
  const difference = compareArrays(actual.dataSync(), expected, { rtol: 0, atol: 0 });
  if (difference !== null) expect(`${what}: ${difference}`).toBe('');
};

describe.each(devices)('elements on %s', device => {
  const lengths = onEmulator ? [1, 33] : [1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 255, 256, 257, 1023, 1024, 1025, 2047, 2049];
  tidyTest('of a line inside a larger one: it changes, and what lies beside it does not', () => {
    for (const n of lengths)
      for (const dtype of ['float32', 'float16', 'float64', 'int32', 'int64', 'uint8'] as const)
        for (const [rows, step] of [
          [1, 1],
          [1, 2],
          [3, 1],
          [3, 2],
        ] as const)
          tidy(() => {
            const width = 3 + n * step;
            const values = counting(rows * width);
            const place = (i: number): boolean =>
              i % width >= 2 && (i % width) - 2 < n * step && ((i % width) - 2) % step === 0;
            for (const [name, run, wanted] of [
              ['add_', (t: Tensor) => t.add_(2), (v: number) => v + 2],
              ['mul_', (t: Tensor) => t.mul_(t), (v: number) => (dtype === 'uint8' ? (v * v) % 256 : v * v)],
              ['fill_', (t: Tensor) => t.fill_(5), () => 5],
              ['copy_', (t: Tensor) => t.copy_(t.add(1)), (v: number) => v + 1],
              ['copy_ of int64', (t: Tensor) => t.copy_(t.add(1).to('int64')), (v: number) => v + 1],
            ] as const) {
              const whole = line(values, dtype, device).reshape([rows, width]);
              run(whole.slice(1, 2, 2 + n * step, step));
              const expected = values.map((v, i) => (place(i) ? wanted(v) : v));
              const rounded = dtype === 'float16' ? expected.map(v => Math.fround(v)) : expected;
              if (dtype !== 'float16' || name !== 'mul_') same(whole, rounded, `${name} ${dtype} ${n} ${rows} ${step}`);
            }
          });
  });
  tidyTest('of long rows with gaps between them, in place, once each', () => {
    const n = sized(70_001, 2001);
    const whole = zeros([5, n + 1], { device });
    const part = whole.slice(1, 0, n);
    part.add_(1);
    part.mul_(3);
    expect(whole.sum().itemSync()).toBe(15 * n);
    expect(part.amin().itemSync()).toBe(3);
    const turned = zeros([n, 3], { device }).T.slice(1, 1, n);
    turned.add_(full([3, 1], 2, { device }));
    expect([turned.amin().itemSync(), turned.amax().itemSync()]).toEqual([2, 2]);
  });
  tidyTest('of many short rows with gaps between them', () => {
    for (const [rows, columns] of onEmulator
      ? [[9, 3]]
      : [
          [257, 4],
          [1000, 3],
          [5000, 9],
          [90, 31],
          [90, 33],
        ]) {
      const whole = line(counting(rows! * (columns! + 2)), 'float32', device).reshape([rows!, columns! + 2]);
      const before = whole.clone();
      whole.slice(1, 1, 1 + columns!).add_(1);
      const difference = whole.sub(before);
      expect(difference.sum(0).toArraySync()).toEqual([0, ...Array(columns!).fill(rows), 0]);
    }
  });
  test.if(!onEmulator)('of memory that is larger than the caches, from any address on', () => {
    const n = 2 * 2 ** 20 + 3;
    for (const start of [0, 1, 5, 8])
      tidy(() => {
        const values = Float32Array.from({ length: n + 16 }, (_, i) => i % 1000);
        const whole = tensor(values, { device });
        const check = (t: Tensor, wanted: (v: number) => number, what: string): void => {
          const data = t.dataSync() as Float32Array;
          const wrong = data.findIndex((v, i) => v !== (i >= start && i < start + n ? wanted(values[i]!) : values[i]));
          expect([what, start, wrong]).toEqual([what, start, -1]);
        };
        const part = (t: Tensor): Tensor => t.slice(0, start, start + n);
        const copied = whole.clone();
        part(copied).copy_(part(whole).add(1));
        check(copied, v => v + 1, 'copy_');
        const filled = whole.clone();
        part(filled).fill_(7);
        check(filled, () => 7, 'fill_');
        const added = whole.clone();
        part(added).add_(part(whole));
        check(added, v => 2 * v, 'add_');
        const wide = tensor(Float64Array.from(values), { device });
        part(wide).copy_(part(whole).mul(2));
        expect(wide.slice(0, start, start + 3).toArraySync()).toEqual([0, 1, 2].map(i => 2 * (start + i)));
        expect(
          wide
            .sub(whole)
            .slice(0, start + n)
            .sum()
            .itemSync(),
        ).toBe(0);
      });
  });
  test('write rows that are each as large, and nothing between them', () =>
    tidy(() => {
      const columns = 2 ** 21 + 4;
      const whole = zeros([2, columns], { device });
      const rows = whole.narrow(1, 2, 2 ** 21);
      rows.fill_(3);
      expect(whole.sum(1).toArraySync()).toEqual([3 * 2 ** 21, 3 * 2 ** 21]);
      rows.copy_(rows.add(1));
      expect(whole.sum(1).toArraySync()).toEqual([4 * 2 ** 21, 4 * 2 ** 21]);
      expect(whole.slice(1, 0, 2).abs().sum().add(whole.slice(1, -2).abs().sum()).itemSync()).toBe(0);
    }));
});

describe.each(devices)('reductions on %s', device => {
  tidyTest('find a single extreme wherever it is', () => {
    const n = sized(330, 70);
    for (let at = 0; at < n; at++) {
      const values = new Float32Array(n);
      values[at] = 1;
      const x = tensor(values, { device });
      expect([at, x.argmax().itemSync(), x.neg().argmin().itemSync()]).toEqual([at, at, at]);
      values[at] = NaN;
      expect(tensor(values, { device }).argmax().itemSync()).toBe(at);
    }
  });
  tidyTest('of equal values have no variance, and of one value none with a correction', () => {
    for (const n of [2, 3, 5, 10, 100, 1000]) {
      expect(full([n], 0.1, { device }).var(0).itemSync()).toBeLessThan(1e-12);
      expect(full([n, 9], 0.1, { device }).var(0).amax().itemSync()).toBeLessThan(1e-12);
    }
    expect(Number(zeros([1], { device }).var(0).itemSync())).toBeNaN();
    expect(Number(full([1, 9], 2, { device }).var(0).amax().itemSync())).toBeNaN();
  });
  tidyTest('of nothing give what no terms give', () => {
    const x = zeros([0, 3], { device });
    expect(x.sum(0).toArraySync()).toEqual([0, 0, 0]);
    expect(x.prod(0).toArraySync()).toEqual([1, 1, 1]);
    expect(x.norm(2, 0).toArraySync()).toEqual([0, 0, 0]);
    expect(x.all(0).toArraySync()).toEqual([true, true, true]);
    expect(x.any(0).toArraySync()).toEqual([false, false, false]);
    expect(x.logSumExp(0).toArraySync()).toEqual([-Infinity, -Infinity, -Infinity]);
    expect(x.mean(0).toArraySync()).toEqual([NaN, NaN, NaN]);
  });
});

describe.each(devices)('products of no terms on %s', device => {
  tidyTest('are zero, or the bias', () => {
    for (const [m, n] of [
      [1, 1],
      [2, 5],
      [5, 2],
      [9, 200],
      [200, 9],
      [200, 400],
    ] as const) {
      const product = zeros([m, 0], { device }).matmul(zeros([0, n], { device }));
      expect([...product.shape, Number(product.abs().sum().itemSync())]).toEqual([m, n, 0]);
      const biased = F.linear(zeros([m, 0], { device }), zeros([n, 0], { device }), full([n], 3, { device }));
      expect(Number(biased.sum().itemSync())).toBe(3 * m * n);
    }
  });
  tidyTest('in attention: without features all keys count alike, without values nothing comes out', () => {
    const v = line(counting(12), 'float32', device).reshape([4, 3]);
    const out = F.scaledDotProductAttention(zeros([2, 0], { device }), zeros([4, 0], { device }), v, { scale: 1 });
    expect(out).toBeAllclose([v.mean(0).toArraySync(), v.mean(0).toArraySync()] as number[][]);
    expect(
      F.scaledDotProductAttention(zeros([2, 3], { device }), zeros([4, 3], { device }), zeros([4, 0], { device }))
        .shape,
    ).toEqual([2, 0]);
  });
  tidyTest('in convolutions of no images', () => {
    const x = zeros([0, 2, 4, 4], { device }).requiresGrad_();
    const w = full([3, 2, 2, 2], 1, { device }).requiresGrad_();
    const out = F.conv2d(x, w, full([3], 1, { device }));
    expect(out.shape).toEqual([0, 3, 3, 3]);
    const [gx, gw] = autograd.grad([out.sum()], [x, w]);
    expect(gx!.shape).toEqual([0, 2, 4, 4]);
    expect(Number(gw!.abs().sum().itemSync())).toBe(0);
  });
});

describe.each(devices)('an optimizer on %s', device => {
  tidyTest('leaves an infinite parameter as it is, without a weight decay', () => {
    for (const make of [
      (p: Tensor[]) => new optim.SGD(p, { lr: 0.5 }),
      (p: Tensor[]) => new optim.SGD(p, { lr: 0.5, momentum: 0.9 }),
      (p: Tensor[]) => new optim.Adam(p, { lr: 0.5 }),
      (p: Tensor[]) => new optim.Adam(p, { lr: 0.5, maximize: true }),
    ]) {
      const p = tensor([Infinity, -Infinity, 1], { device }).requiresGrad_();
      p.grad = full([3], 1, { device });
      make([p]).step();
      expect(p.slice(0, 0, 2).toArraySync()).toEqual([Infinity, -Infinity]);
    }
  });
});

describe.if(!onEmulator)('the working memory of a thread', () => {
  const resident = (): number => {
    memory.collect();
    memory.releaseCached();
    return process.memoryUsage.rss();
  };
  unlessEmulated(MEASURES_MEMORY)('does not grow with the number of large calls', () => {
    setNumThreads(1);
    const x = zeros([1, 12_000_000], { dtype: 'float16' });
    const out = zeros([1, 12_000_000], { dtype: 'float16' });
    const call = (n: number): void => {
      const part = (t: Tensor) => ({
        storage: t.storage,
        offset: 0,
        info: { code: 1 },
        shape: [1, n],
        strides: [n, 1],
      });
      expect(native.castor_softmax(0, writeView(0, part(x)), writeView(1, part(out)), 1)).toBe(0);
    };
    call(12_000_000);
    call(100_000);
    const before = resident();
    // Twice as many bytes in float32 as scratch, for both tensors: some are kept for the next call, others are not.
    for (let n = 4_000_000; n <= 8_000_000; n += 800_000) call(n);
    for (let i = 0; i < 3; i++) call(12_000_000);
    expect(resident() - before).toBeLessThan(150 * 2 ** 20);
    for (const t of [x, out]) t.dispose();
    setNumThreads(2);
  });
});

test.if(!onEmulator)('setNumThreads says how many threads the CPU uses', () => {
  const before = (deviceInfo('cpu') as { threads?: number }).threads!;
  for (const count of [1, 3, 1024]) {
    setNumThreads(count);
    expect((JSON.parse(native.castor_describe(0)) as { threads: number }).threads).toBe(count);
  }
  expect(native.castor_set_threads(5000)).toBe(0);
  expect((JSON.parse(native.castor_describe(0)) as { threads: number }).threads).toBe(1024);
  setNumThreads(before);
});
