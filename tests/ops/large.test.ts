import { describe, expect, test } from 'bun:test';
import { F, manualSeed, randint, randn, tidy, type Device, type Tensor } from 'castor';
import { devices } from '../setup.ts';

/** A call that is large enough for several threads. The positions along `axis` are independent of each other. */
interface Row {
  readonly name: string;
  readonly shape: readonly number[];
  readonly axis: number;
  readonly run: (x: Tensor, ...fixed: Tensor[]) => Tensor;
  /** The default is 1e-5. */
  readonly atol?: number;
  /** Operands that are the same for every part. */
  readonly fixed?: (device: Device) => Tensor[];
}
const normal =
  (...shapes: number[][]) =>
  (device: Device): Tensor[] =>
    shapes.map(shape => randn(shape, { device }));
/**
 * The whole and the part may add the 260 products of a sum in another order. Partial sums reach 30, so each addition
 * has an error of 2e-6.
 */
const SUM_OF_260 = 1e-4;
const image = [24, 6, 30, 31];
const heads = [12, 4, 130, 24];

const rows: Row[] = [
  { name: 'exp', shape: [700, 900], axis: 0, run: x => x.exp() },
  { name: 'exp of a transpose', shape: [700, 900], axis: 1, run: x => x.T.exp().T },
  { name: 'add of a broadcast row', shape: [700, 900], axis: 0, run: (x, row) => x.add(row), fixed: normal([900]) },
  {
    name: 'mul of a broadcast column',
    shape: [700, 900],
    axis: 1,
    run: (x, column) => x.mul(column),
    fixed: normal([700, 1]),
  },
  { name: 'where', shape: [700, 900], axis: 0, run: x => x.where(x.gt(0), 1.5) },
  {
    name: 'a copy of permuted axes',
    shape: [60, 90, 110],
    axis: 1,
    run: x => x.permute(2, 0, 1).contiguous().permute(1, 2, 0),
  },
  { name: 'conversion', shape: [700, 900], axis: 0, run: x => x.to('float16').to('float32') },
  { name: 'sum over rows', shape: [700, 900], axis: 1, run: x => x.sum(0, { keepdim: true }) },
  { name: 'mean over columns', shape: [700, 900], axis: 0, run: x => x.mean(1, { keepdim: true }) },
  { name: 'var over two of three axes', shape: [90, 60, 110], axis: 1, run: x => x.var([0, 2], { keepdim: true }) },
  { name: 'amax over the first axis', shape: [900, 700], axis: 1, run: x => x.amax(0, { keepdim: true }) },
  { name: 'argmax', shape: [900, 700], axis: 0, run: x => x.argmax(1, { keepdim: true }) },
  { name: 'logSumExp', shape: [900, 700], axis: 0, run: x => x.logSumExp(1, { keepdim: true }) },
  { name: 'cumsum', shape: [900, 700], axis: 0, run: x => x.cumsum(1) },
  { name: 'cumsum of long rows', shape: [5, 70_000], axis: 0, run: x => x.cumsum(1) },
  { name: 'cumsum along the first axis', shape: [900, 700], axis: 1, run: x => x.cumsum(0) },
  { name: 'softmax', shape: [900, 700], axis: 0, run: x => x.softmax(-1) },
  { name: 'softmax along the first axis', shape: [700, 900], axis: 1, run: x => x.softmax(0) },
  { name: 'sort', shape: [300, 500], axis: 0, run: x => x.sort(1).values },
  { name: 'topk', shape: [300, 900], axis: 0, run: x => x.topk(5).values },
  {
    name: 'layerNorm',
    shape: [900, 700],
    axis: 0,
    run: (x, w, b) => F.layerNorm(x, [700], w, b),
    fixed: normal([700], [700]),
  },
  { name: 'rmsNorm', shape: [900, 700], axis: 0, run: (x, w) => F.rmsNorm(x, [700], w), fixed: normal([700]) },
  {
    name: 'matmul by rows',
    shape: [350, 260],
    axis: 0,
    run: (x, y) => x.matmul(y),
    fixed: normal([260, 310]),
    atol: SUM_OF_260,
  },
  {
    name: 'matmul by columns',
    shape: [260, 350],
    axis: 1,
    run: (x, y) => y.matmul(x),
    fixed: normal([310, 260]),
    atol: SUM_OF_260,
  },
  {
    name: 'matmul of transposes',
    shape: [260, 350],
    axis: 1,
    run: (x, y) => x.T.matmul(y.T).T,
    fixed: normal([310, 260]),
    atol: SUM_OF_260,
  },
  { name: 'matmul by batch', shape: [40, 65, 70], axis: 0, run: (x, y) => x.matmul(y), fixed: normal([70, 50]) },
  {
    name: 'conv2d',
    shape: image,
    axis: 0,
    run: (x, w, b) => F.conv2d(x, w, b, { padding: 1, stride: [1, 2] }),
    fixed: normal([9, 6, 3, 3], [9]),
  },
  {
    name: 'conv2d in groups',
    shape: image,
    axis: 0,
    run: (x, w) => F.conv2d(x, w, null, { groups: 3, dilation: 2 }),
    fixed: normal([9, 2, 3, 3]),
  },
  { name: 'maxPool2d', shape: image, axis: 0, run: x => F.maxPool2d(x, 3, { stride: 2, padding: 1 }) },
  { name: 'avgPool2d', shape: image, axis: 1, run: x => F.avgPool2d(x, [2, 3]) },
  {
    name: 'attention',
    shape: heads,
    axis: 0,
    run: x => F.scaledDotProductAttention(x, x.mul(0.7), x.cos(), { causal: true }),
  },
  { name: 'attention by heads', shape: heads, axis: 1, run: x => F.scaledDotProductAttention(x, x.cos(), x.sin()) },
  { name: 'gather', shape: [900, 400], axis: 0, run: x => x.gather(1, x.argsort(1)) },
  {
    name: 'indexSelect',
    shape: [900, 400],
    axis: 0,
    run: (x, i) => x.indexSelect(1, i),
    fixed: device => [randint(0, 400, [500], { device })],
  },
  {
    name: 'indexAdd',
    shape: [900, 400],
    axis: 0,
    run: (x, i) => x.indexAdd(1, i, x.indexSelect(1, i)),
    fixed: device => [randint(0, 400, [500], { device })],
  },
  { name: 'tril', shape: [8, 300, 300], axis: 0, run: x => x.tril(-3) },
];

describe.each([...devices])('on %s, a large tensor gives what its parts give:', device => {
  test.each(rows.map(row => [row.name, row] as const))('%s', (_, { shape, axis, run, fixed, atol = 1e-5 }) => {
    tidy(() => {
      manualSeed(3);
      const x = randn(shape, { device });
      const others = fixed?.(device) ?? [];
      const whole = run(x, ...others);
      const size = shape[axis]!;
      for (const start of [0, Math.floor(size / 2) - 1, size - 3]) {
        const part = run(x.narrow(axis, start, 3), ...others);
        expect(whole.narrow(axis, start, 3).contiguous()).toBeAllclose(part.contiguous(), { rtol: 1e-5, atol });
      }
    });
  });

  test('the sum, mean, norm and extremes of a million elements', () => {
    tidy(() => {
      const x = randn([1000, 1003], { device });
      const values = x.dataSync() as Float32Array;
      const total = values.reduce((sum, v) => sum + v, 0);
      const squares = values.reduce((sum, v) => sum + v * v, 0);
      expect(x.sum().itemSync()).toBeCloseTo(total, 2);
      expect(x.T.mean().itemSync()).toBeCloseTo(total / values.length, 6);
      expect(x.norm().itemSync() / Math.sqrt(squares)).toBeCloseTo(1, 6);
      expect(x.amax().itemSync()).toBe(values.reduce((a, b) => Math.max(a, b)));
      expect(values[x.argmin().itemSync()]).toBe(values.reduce((a, b) => Math.min(a, b)));
    });
  });
});
