/**
 * Kernels divide their work into tiles, parts, slices and chunks. Every op is tested with one element below, at and
 * above the sizes of these pieces, and compared with plain loops.
 */
import { describe, expect, test } from 'bun:test';
import { cat, F, nn, ones, optim, tensor, zeros, type Device, type Tensor } from 'castor';
import { native, opNumber } from '../runtime/ffi/library.ts';
import { describe as describeView } from '../runtime/ffi/view.ts';
import { devices, onEmulator } from './setup.ts';
import { Dice } from './dice.ts';

/** One below, at and one above each size. */
const around = (...sizes: number[]): number[] => [...new Set(sizes.flatMap(n => [n - 1, n, n + 1]))];
/** Vector widths, rows of a block, tiles and chunks (cpu/blocks.h, tile.h, rows.h, sort.cpp, reduce.h), and several parts of them. */
const lengths = onEmulator
  ? around(2, 32, 256, 1024)
  : around(2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384, 32768, 65536, 3 * 32768);

/** Whole numbers from -9 to 9, so that sums are exact and extremes occur many times. */
const wholeNumbers = (count: number, dice: Dice): Float64Array =>
  Float64Array.from({ length: count }, () => dice.below(19) - 9);

const closeTo = (actual: number, expected: number): void => {
  if (Number.isFinite(expected))
    expect(Math.abs(actual - expected)).toBeLessThanOrEqual(1e-5 * (1 + Math.abs(expected)));
  else expect(actual).toBe(expected);
};

/** The three positions of a line of n elements in memory: alone, as a row, and as a column. */
const layouts = {
  alone: (line: Float64Array, device: Device): [Tensor, number] => [tensor([...line], { dtype: 'float32', device }), 0],
  row: (line: Float64Array, device: Device): [Tensor, number] => {
    const one = tensor([...line], { dtype: 'float32', device }).reshape([1, line.length]);
    return [cat([one.neg(), one, one.mul(2)], 0), 1];
  },
  column: (line: Float64Array, device: Device): [Tensor, number] => {
    const [rows, axis] = layouts.row(line, device);
    return [rows.T.contiguous(), 1 - axis];
  },
} as const;
/** The line, from an op's result for all lines. */
const lineOf = (out: Tensor, layout: keyof typeof layouts): number[] => {
  const own = layout === 'alone' ? out : out.select(layout === 'row' ? 0 : out.rank - 1, 1);
  return [...own.reshape([-1]).dataSync()].map(Number);
};

const sum = (line: ArrayLike<number>): number => Array.from(line).reduce((a, b) => a + b, 0);
const largest = (line: Float64Array): number => line.reduce((a, b) => Math.max(a, b), -Infinity);
const smallest = (line: Float64Array): number => line.reduce((a, b) => Math.min(a, b), Infinity);

const reductions: Record<string, [(x: Tensor, axis: number) => Tensor, (line: Float64Array) => number]> = {
  sum: [(x, axis) => x.sum(axis), sum],
  mean: [(x, axis) => x.mean(axis), line => sum(line) / line.length],
  amax: [(x, axis) => x.amax(axis), largest],
  amin: [(x, axis) => x.amin(axis), smallest],
  argmax: [(x, axis) => x.argmax(axis), line => line.indexOf(largest(line))],
  argmin: [(x, axis) => x.argmin(axis), line => line.indexOf(smallest(line))],
  countNonzero: [(x, axis) => x.countNonzero(axis), line => line.filter(v => v !== 0).length],
  norm: [(x, axis) => x.norm(2, axis), line => Math.sqrt(sum(line.map(v => v * v)))],
  var: [
    (x, axis) => x.var(axis, { correction: 0 }),
    line => {
      const mean = sum(line) / line.length;
      return sum(line.map(v => (v - mean) ** 2)) / line.length;
    },
  ],
  logSumExp: [
    (x, axis) => x.logSumExp(axis),
    line => {
      const top = largest(line);
      return top + Math.log(sum(line.map(v => Math.exp(v - top))));
    },
  ],
};

const lines: Record<string, [(x: Tensor, axis: number) => Tensor, (line: Float64Array) => ArrayLike<number>]> = {
  cumsum: [
    (x, axis) => x.cumsum(axis),
    line => {
      let total = 0;
      return line.map(v => (total += v));
    },
  ],
  sort: [(x, axis) => x.sort(axis).values, line => line.toSorted()],
  'indices of a stable sort': [
    (x, axis) => x.sort(axis).indices,
    line => Array.from(line.keys()).sort((a, b) => line[a]! - line[b]! || a - b),
  ],
  softmax: [
    (x, axis) => x.softmax(axis),
    line => {
      const top = largest(line);
      const powers = line.map(v => Math.exp(v - top));
      const total = sum(powers);
      return powers.map(p => p / total);
    },
  ],
};

describe.each(devices)('on %s, around the sizes of pieces', device => {
  test.each(Object.keys(reductions))('%s', name => {
    const [run, reference] = reductions[name]!;
    const dice = new Dice(1);
    for (const n of lengths) {
      const line = wholeNumbers(n, dice);
      for (const layout of ['alone', 'row', 'column'] as const) {
        const [x, axis] = layouts[layout](line, device);
        const [value] = lineOf(run(x, axis).reshape(layout === 'alone' ? [1] : [3]), layout);
        closeTo(value!, reference(line));
      }
    }
  });
  test.each(Object.keys(lines))('%s', name => {
    const [run, reference] = lines[name]!;
    const dice = new Dice(2);
    for (const n of lengths) {
      const line = wholeNumbers(n, dice);
      const wanted = Float64Array.from(reference(line));
      for (const layout of ['alone', 'row', 'column'] as const) {
        const [x, axis] = layouts[layout](line, device);
        const out = lineOf(run(x, axis), layout);
        const worst = out.findIndex((v, i) => !(Math.abs(v - wanted[i]!) <= 1e-5 * (1 + Math.abs(wanted[i]!))));
        expect([n, layout, worst]).toEqual([n, layout, -1]);
      }
    }
  });
  test('infinities and values that overflow exp, in every part of a line', () => {
    const base = onEmulator ? 300 : 40000;
    for (const layout of ['alone', 'row', 'column'] as const)
      for (const at of [0, 1, base >> 1, base - 1]) {
        const low = new Float64Array(base).fill(-1000);
        low[at] = 1000;
        const [x, axis] = layouts[layout](low, device);
        expect(lineOf(x.softmax(axis), layout)[at]).toBe(1);
        expect(lineOf(x.logSoftmax(axis), layout)[at]).toBe(0);
        closeTo(lineOf(x.logSumExp(axis).reshape(layout === 'alone' ? [1] : [3]), layout)[0]!, 1000);
        const hidden = new Float64Array(base).fill(-Infinity);
        const [h] = layouts.alone(hidden, device);
        expect(h.logSumExp(0).itemSync()).toBe(-Infinity);
        hidden[at] = 3;
        const [y, along] = layouts[layout](hidden, device);
        if (layout !== 'alone') continue;
        expect(y.logSumExp(along).itemSync()).toBe(3);
        hidden[at] = Infinity;
        expect(layouts.alone(hidden, device)[0].logSumExp(0).itemSync()).toBe(Infinity);
      }
  });
});

/** Rows of a tile, columns of a vector, tiles and depth of a block (cpu/gemm.cpp, gemm_kernel.h, gemm_skinny.h), and their edges. */
const rows = onEmulator ? [1, 5, 33] : [1, 3, 4, 5, 8, 9, 191, 193];
const columns = onEmulator ? [1, 31, 33] : [1, 15, 17, 33, 127, 129, 383, 385];
const depths = onEmulator ? [1, 17, 65] : [1, 2, 255, 256, 257, 513];

/** (m, k) times (k, n) by plain loops, row-major. */
function product(a: Float64Array, b: Float64Array, m: number, k: number, n: number): Float64Array {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let p = 0; p < k; p++) {
      const x = a[i * k + p]!;
      for (let j = 0; j < n; j++) out[i * n + j]! += x * b[p * n + j]!;
    }
  return out;
}

describe.each(devices)('products on %s, around the sizes of tiles', device => {
  /** Small whole numbers: every partial sum is exact in float32, so the order of additions does not matter. */
  const small = (count: number, dice: Dice): Float64Array =>
    Float64Array.from({ length: count }, () => dice.below(5) - 2);
  function check(m: number, k: number, n: number, dice: Dice): void {
    const [a, b] = [small(m * k, dice), small(k * n, dice)];
    const wanted = [...product(a, b, m, k, n)];
    const [x, y] = [
      tensor([...a], { dtype: 'float32', device }).reshape([m, k]),
      tensor([...b], { dtype: 'float32', device }).reshape([k, n]),
    ];
    const [xt, yt] = [x.T.contiguous().T, y.T.contiguous().T];
    for (const [left, right] of [
      [x, y],
      [x, yt],
      [xt, y],
      [xt, yt],
    ] as const)
      expect(
        Buffer.compare(
          Buffer.from(left.matmul(right).dataSync().buffer),
          Buffer.from(Float32Array.from(wanted).buffer),
        ),
        `${m} ${k} ${n}`,
      ).toBe(0);
  }
  test('every edge of rows, columns and depth', () => {
    const dice = new Dice(3);
    for (const m of rows) for (const n of columns) check(m, depths[dice.below(depths.length)]!, n, dice);
    for (const k of depths) check(rows[dice.below(rows.length)]!, k, columns[dice.below(columns.length)]!, dice);
  });
  test('an activation behind a product reaches every sum', () => {
    const dice = new Dice(8);
    for (const [m, n] of [
      [1, 1],
      [3, 17],
      [5, 33],
      [9, 129],
    ] as const) {
      const [a, b] = [small(m * 6, dice), small(6 * n, dice)];
      const [x, y] = [
        tensor([...a], { dtype: 'float32', device }).reshape([m, 6]),
        tensor([...b], { dtype: 'float32', device }).reshape([6, n]),
      ];
      const plain = x.matmul(y);
      for (const [name, wanted] of [
        ['none', plain],
        ['relu', plain.relu()],
        ['gelu', F.gelu(plain)],
      ] as const) {
        const out = zeros([m, n], { device });
        const status = native.castor_matmul(
          describeView(0, x),
          describeView(1, y),
          0,
          describeView(2, out),
          opNumber('activation', name),
        );
        expect(status).toBe(0);
        expect(out).toBeAllclose(wanted, { rtol: 1e-6, atol: 1e-6 });
      }
    }
  });
  test('few sums of many terms, which are cut into slices', () => {
    const dice = new Dice(4);
    for (const k of onEmulator ? [1025] : around(4096, 8192, 3 * 4096)) check(5, k, 7, dice);
  });
});

describe.each(devices)('many tensors at once on %s', device => {
  const sizes = onEmulator ? around(32, 1024) : around(2, 64, 1024, 32768, 65536);
  const gradients = (dice: Dice): Float64Array[] => sizes.map(n => wholeNumbers(n, dice));
  const parameters = (grads: readonly Float64Array[]): Tensor[] =>
    grads.map(g => {
      const p = ones([g.length], { device, requiresGrad: true });
      p.grad = tensor([...g], { dtype: 'float32', device });
      return p;
    });
  test('SGD moves every element', () => {
    const grads = gradients(new Dice(5));
    const params = parameters(grads);
    new optim.SGD(params, { lr: 0.5 }).step();
    params.forEach((p, i) => expect([...p.dataSync()]).toEqual([...grads[i]!.map(g => 1 - 0.5 * g)]));
  });
  test('the norm of all gradients counts every element', () => {
    const grads = gradients(new Dice(6));
    const expected = Math.sqrt(sum(grads.map(g => sum(g.map(v => v * v)))));
    const params = parameters(grads);
    closeTo(nn.clipGradNorm(params, 1).itemSync(), expected);
    params.forEach((p, i) => {
      const clipped = p.grad!.dataSync() as Float32Array;
      grads[i]!.forEach(
        (g, j) =>
          Math.abs(clipped[j]! - g / expected) < 1e-6 || expect([i, j, clipped[j]]).toEqual([i, j, g / expected]),
      );
    });
  });
});

describe.each(devices)('reads and writes of one memory on %s', device => {
  test('copying between overlapping parts gives what a copy in between gives', () => {
    const dice = new Dice(7);
    const n = onEmulator ? 40 : 300;
    for (let round = 0; round < (onEmulator ? 30 : 300); round++) {
      const values = wholeNumbers(n, dice);
      const length = 1 + dice.below(n / 2);
      const part = (x: Tensor): Tensor => {
        const step = dice.below(3) + 1;
        const start = dice.below(Math.max(n - length * step, 1));
        const wanted = x.slice(0, start, start + length * step, step);
        return dice.below(3) === 0 ? wanted.slice(0, null, null, -1) : wanted;
      };
      const x = tensor([...values], { dtype: 'float32', device });
      const [to, from] = [part(x), part(x)];
      if (to.numel !== from.numel) continue;
      const apart = from.contiguous().clone();
      const sums = to.add(apart);
      if (round % 2) to.add_(from);
      else to.copy_(from);
      expect([...to.dataSync()]).toEqual([...(round % 2 ? sums : apart).dataSync()]);
    }
  });
  test('a sum of zeros of any length is zero, and of no elements too', () => {
    for (const n of [0, ...lengths]) expect(zeros([n], { device }).sum().itemSync()).toBe(0);
    expect(F.softmax(zeros([0, 3], { device }), 0).shape).toEqual([0, 3]);
  });
});
