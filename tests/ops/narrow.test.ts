/** Ops on 16 bits: computed in float32 and rounded once, for every length of a run and whatever its place in a vector, a strip or a tile. */
import { afterAll, describe, expect, test } from 'bun:test';
import {
  deviceInfo,
  F,
  manualSeed,
  randn,
  setNumThreads,
  tensor,
  tidy,
  type Device,
  type DType,
  type Tensor,
} from 'castor';
import { devices, onEmulator, sized } from '../setup.ts';

const halves = ['float16', 'bfloat16'] as const;
const lengths = [1, 7, 15, 16, 17, 31, 33, 255, 256, 257, 511, 1023, 1024, 1025, 2600];

/** Whether two tensors hold the same numbers; NaN is equal to NaN. */
const same = (a: Tensor, b: Tensor): boolean =>
  a.dtype === b.dtype && a.eq(b).logicalOr(a.isNaN().logicalAnd(b.isNaN())).all().itemSync() === 1;

type Op = (...operands: Tensor[]) => Tensor;
const ops: Readonly<Record<string, Op>> = {
  add: (a, b) => a!.add(b!),
  div: (a, b) => a!.div(b!),
  where: (a, b) => F.where(a!.gt(0), a!, b!),
  exp: a => a!.exp(),
  log: a => a!.abs().log(),
  lerp: (a, b) => a!.lerp(b!, a!),
  'a number': a => a!.mul(1.7),
  'a number that 16 bits hold': a => a!.mul(-0.5),
  'a tensor of one element': (a, b) => a!.sub(b!.slice(0, 0, 1)),
  'in place': (a, b) => a!.clone().add_(b!),
  softmax: a => a!.softmax(-1),
  logSoftmax: a => a!.logSoftmax(-1),
  'sum of absolute values': a => a!.abs().sum(),
  'means of columns': a => a!.abs().reshape([-1, 1]).mean(0),
  cumsum: a => a!.cumsum(0),
};
const operands = (device: Device, shape: number[], dtype: DType): Tensor[] =>
  [1, 2].map(() => randn(shape, { device }).to(dtype));

describe.each([...devices])('on %s', device => {
  describe.each([...halves])('in %s,', dtype => {
    test.each(Object.entries(ops))('%s is that of float32, rounded', (_, run) => {
      manualSeed(1);
      for (const n of lengths)
        tidy(() => {
          const given = operands(device, [n], dtype);
          const [narrow, wide] = [run(...given), run(...given.map(each => each.float())).to(dtype)];
          // A GPU adds the terms of a softmax in another order for other dtypes, so the last bit may differ there.
          if (device === 'cpu') expect(same(narrow, wide), `${n} elements`).toBe(true);
          else
            expect(narrow.float()).toBeAllclose(wide.float(), {
              rtol: dtype === 'float16' ? 2 ** -10 : 2 ** -7,
              atol: 6e-8,
            });
        });
    });

    test('runs of strided, transposed and broadcast operands are, too', () =>
      tidy(() => {
        manualSeed(2);
        const [a, b] = operands(device, [70, 67], dtype) as [Tensor, Tensor];
        const [wide, other] = [a.float(), b.float()];
        expect(same(a.T.add(b.T), wide.T.add(other.T).to(dtype))).toBe(true);
        expect(same(a.add(b.slice(0, 0, 67).T.reshape([67, 67]).slice(0, 0, 1)), wide.add(other.slice(0, 0, 67).T.reshape([67, 67]).slice(0, 0, 1)).to(dtype))).toBe(true); // prettier-ignore
        expect(same(a.T.contiguous(), wide.T.contiguous().to(dtype))).toBe(true);
        expect(same(a.slice(1, 0, 67, 3).mul(2), wide.slice(1, 0, 67, 3).mul(2).to(dtype))).toBe(true);
        expect(same(a.T.softmax(0), wide.T.softmax(0).to(dtype))).toBe(true);
        expect(same(a.softmax(0), wide.softmax(0).to(dtype))).toBe(true);
      }));

    // Results of eight megabytes and more are written past the cache.
    test.skipIf(onEmulator)('results that are larger than the cache are, too', () =>
      tidy(() => {
        manualSeed(3);
        const n = 2 ** 22 + 37;
        const [a, b] = operands(device, [n], dtype) as [Tensor, Tensor];
        expect(same(a.add(b), a.float().add(b.float()).to(dtype))).toBe(true);
        expect(same(a.slice(0, 1).neg(), a.float().slice(0, 1).neg().to(dtype))).toBe(true);
      }),
    );

    test('every value comes back from float32', () =>
      tidy(() => {
        const bits = new Uint16Array(2 ** 16).map((_, i) => i);
        const wide = Float32Array.from(bits, each => value(each, dtype));
        const back = tensor(wide, { device }).to(dtype);
        expect(same(back.float(), tensor(wide, { device }))).toBe(true);
        expect(same(back.neg().neg(), back)).toBe(true);
      }));

    test('values between two that it has are rounded to the nearer, and those in the middle to the even one', () =>
      tidy(() => {
        const count = dtype === 'float16' ? 0x7c00 : 0x7f80;
        const [wide, expected] = [new Float32Array(3 * count), new Float32Array(3 * count)];
        for (let i = 0; i < count; i++) {
          const [low, high] = [value(i, dtype), i + 1 < count ? value(i + 1, dtype) : Infinity];
          // After the last finite value, the next of the same spacing would be the first that is infinite.
          const next = Number.isFinite(high) ? high : 2 * low - value(i - 1, dtype);
          const middle = (low + next) / 2;
          wide.set([middle, below(middle), above(middle)], 3 * i);
          expected.set([i % 2 === 0 ? low : high, low, high], 3 * i);
        }
        expect(same(tensor(wide, { device }).to(dtype).float(), tensor(expected, { device }))).toBe(true);
        expect(same(tensor(wide, { device }).neg().to(dtype).float(), tensor(expected, { device }).neg())).toBe(true);
      }));
  });
});

/** The float of 16 bits. */
function value(bits: number, dtype: DType): number {
  const sign = bits >> 15 ? -1 : 1;
  const [width, bias] = dtype === 'float16' ? [10, 15] : [7, 127];
  const [exponent, fraction] = [(bits & 0x7fff) >> width, (bits & ((1 << width) - 1)) / (1 << width)];
  if (exponent === (dtype === 'float16' ? 31 : 255)) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}
const view = new DataView(new ArrayBuffer(4));
/** The float32 before and after x > 0. */
const neighbour = (x: number, step: number): number => {
  view.setFloat32(0, x);
  view.setUint32(0, view.getUint32(0) + step);
  return view.getFloat32(0);
};
const below = (x: number): number => neighbour(x, -1);
const above = (x: number): number => neighbour(x, 1);

describe.each([...devices])('reductions over lines, on %s,', device => {
  const reductions: Readonly<Record<string, (x: Tensor, axis: number) => Tensor>> = {
    sum: (x, axis) => x.sum(axis),
    mean: (x, axis) => x.mean(axis),
    prod: (x, axis) => x.prod(axis),
    amax: (x, axis) => x.amax(axis),
    argmin: (x, axis) => x.argmin(axis),
    var: (x, axis) => x.var(axis, { correction: 0 }),
    logSumExp: (x, axis) => x.logSumExp(axis),
    countNonzero: (x, axis) => x.countNonzero(axis),
  };
  test.each(Object.entries(reductions))('%s is the same along either axis, for every number of lines', (_, run) => {
    manualSeed(4);
    for (let lines = 1; lines <= sized(13, 6); lines++)
      for (const dtype of ['float32', ...halves] as const)
        tidy(() => {
          const x = randn([lines, 45], { device }).to(dtype);
          const [across, along] = [run(x, 0), run(x.T.contiguous(), 1)];
          const unit = dtype === 'float32' ? 1e-6 : dtype === 'float16' ? 1e-3 : 8e-3;
          expect(across, `${lines} lines of ${dtype}`).toBeAllclose(along, { rtol: unit, atol: unit });
        });
  });

  test('logSumExp takes infinities and NaN', () =>
    tidy(() => {
      const lines = [
        [-Infinity, -Infinity, 1, NaN, 5, Infinity, -Infinity],
        [-Infinity, 2, Infinity, 0, -Infinity, Infinity, 3],
        [-Infinity, -Infinity, 1, 0, -1000, 1, 3],
        [-Infinity, -Infinity, 1, 0, 5, -Infinity, 3],
        [-Infinity, -Infinity, -Infinity, 0, 5, NaN, 3],
      ];
      const expected = [-Infinity, 2, Infinity, NaN, 5 + Math.log(3), NaN, 3 + Math.log(4)];
      const x = tensor(lines, { device });
      expect(x.logSumExp(0)).toBeAllclose(expected, { rtol: 1e-6 });
      expect(x.T.contiguous().logSumExp(1)).toBeAllclose(expected, { rtol: 1e-6 });
    }));
});

describe.each([...devices])('topk on %s', device => {
  test('is the beginning of the sorted row, for every k, with ties, NaN and zeros of both signs', () => {
    manualSeed(5);
    for (const n of [1, 2, 9, 17, 64, 65, 200, 1000])
      for (const k of new Set([0, 1, 2, n >> 4, n >> 3, (n >> 3) + 1, n]))
        for (const largest of [true, false])
          tidy(() => {
            if (k > n) return;
            const x = randn([3, n], { device }).mul(4).round();
            const values = n > 20 ? x.maskedFill(x.eq(5), NaN) : x;
            const { values: top, indices } = values.topk(k, 1, { largest });
            const sorted = values.sort(1, { descending: largest });
            expect(same(top, sorted.values.narrow(1, 0, k)), `${k} of ${n}`).toBe(true);
            expect(same(values.gather(1, indices), top), `${k} of ${n}`).toBe(true);
            if (device === 'cpu') expect(same(indices, sorted.indices.narrow(1, 0, k)), `${k} of ${n}`).toBe(true);
          });
  });
  test('finds the last elements of a falling row', () =>
    tidy(() => {
      const n = 3000;
      const x = tensor(
        Float32Array.from({ length: n }, (_, i) => n - i),
        { device },
      );
      expect([...(x.topk(40, 0, { largest: false }).values.dataSync() as Float32Array)]).toEqual(
        Array.from({ length: 40 }, (_, i) => i + 1),
      );
    }));
});

describe.skipIf(onEmulator)('the number of threads', () => {
  const threads = deviceInfo('cpu').threads!;
  afterAll(() => setNumThreads(threads));
  const calls: Readonly<Record<string, (x: Tensor) => Tensor>> = {
    exp: x => x.exp(),
    sum: x => x.sum(),
    'sum across rows': x => x.sum(0),
    'sum along rows': x => x.sum(1),
    'sum of short rows': x => x.reshape([-1, 7]).sum(1),
    logSumExp: x => x.logSumExp(0),
    prod: x => x.mul(0.1).add(1).prod(0),
    'softmax across rows': x => x.softmax(0),
    topk: x => x.topk(9, 1).values,
    transpose: x => x.T.contiguous(),
  };
  test.each(Object.entries(calls))('does not change a bit of %s', (_, run) => {
    manualSeed(6);
    for (const dtype of ['float32', ...halves] as const)
      tidy(() => {
        const x = randn([700, 301]).to(dtype);
        const results = [1, 2, 3].map(count => {
          setNumThreads(count);
          return run(x);
        });
        for (const each of results.slice(1)) expect(same(each, results[0]!), dtype).toBe(true);
      });
  });
});
