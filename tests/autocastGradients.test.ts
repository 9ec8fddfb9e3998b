/**
 * Tests the section of docs/mixed-precision.md on gradients: the gradient of a float32 tensor comes from the float32
 * sum of the product that computes it, and is never rounded to the 16-bit dtype of autocast.
 */
import { afterAll, beforeAll, describe, expect } from 'bun:test';
import {
  autocast,
  autograd,
  F,
  full,
  GradScaler,
  getDefaultDevice,
  graph,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  randint,
  setDefaultDevice,
  tensor,
  zeros,
  type LowDType,
  type Overrides,
  type Shape,
  type Tensor,
} from 'castor';
import { devices, sized, tidyTest as it } from './setup.ts';

const lows = ['float16', 'bfloat16'] as const;
/** The number of terms of each sum. Each term is TERM, so that the sum is 100,000, which float16 cannot hold. */
const ROWS = sized(100_000, 4_000);
const TERM = 100_000 / ROWS;
/** The shapes of images with ROWS pixels in all. */
const [IMAGES, SIDE] = [10, Math.sqrt(ROWS / 10)] as const;

/** A weight and how it is used under autocast. */
interface Use {
  readonly name: string;
  readonly weights: readonly Shape[];
  readonly x: Shape;
  readonly overrides?: Overrides;
  /**
   * Rounding within the op prevents an exact comparison here, so only the magnitude and the precision of float32 are
   * checked.
   */
  readonly tolerance?: { readonly rtol: number; readonly atol: number };
  run(x: Tensor, ...weights: Tensor[]): Tensor;
}

const products: readonly Use[] = [
  { name: 'linear', weights: [[2, 3], [2]], x: [ROWS, 3], run: (x, w, b) => F.linear(x, w!, b) },
  { name: 'linear of sequences', weights: [[2, 3], [2]], x: [10, ROWS / 10, 3], run: (x, w, b) => F.linear(x, w!, b) },
  { name: 'linear of one feature', weights: [[1, 1], [1]], x: [ROWS, 1], run: (x, w, b) => F.linear(x, w!, b) },
  { name: 'a wide linear', weights: [[40, 24], [40]], x: [ROWS, 24], run: (x, w, b) => F.linear(x, w!, b) },
  { name: 'matmul, right', weights: [[3, 2]], x: [ROWS, 3], run: (x, w) => x.matmul(w!) },
  { name: 'matmul, left', weights: [[2, 3]], x: [3, ROWS], run: (x, w) => w!.matmul(x) },
  { name: 'matmul, transposed', weights: [[2, 3]], x: [ROWS, 3], run: (x, w) => x.matmul(w!.T) },
  { name: 'matmul of a part', weights: [[3, 4]], x: [ROWS, 3], run: (x, w) => x.matmul(w!.at(':, 1:3')) },
  { name: 'matmul by a vector', weights: [[3]], x: [ROWS, 3], run: (x, w) => x.matmul(w!) },
  { name: 'matmul, a vector by a batch', weights: [[3]], x: [ROWS / 2, 3, 2], run: (x, w) => w!.matmul(x) },
  { name: 'matmul, a matrix by a batch', weights: [[2, 3]], x: [ROWS / 2, 3, 2], run: (x, w) => w!.matmul(x) },
  { name: 'matmul, a batch by a matrix', weights: [[3, 2]], x: [10, ROWS / 10, 3], run: (x, w) => x.matmul(w!) },
  { name: 'matmul of a batch of weights', weights: [[2, 3, 2]], x: [2, ROWS, 3], run: (x, w) => x.matmul(w!) },
  { name: 'matmul of a computed weight', weights: [[3, 2]], x: [ROWS, 3], run: (x, w) => x.matmul(w!.mul(1)) },
];

const pixels = (more: number, channels = 3): Shape => [IMAGES, channels, SIDE + more, SIDE + more];
const convolutions: readonly Use[] = [
  { name: 'conv2d of points', weights: [[2, 3, 1, 1], [2]], x: pixels(0), run: (x, w, b) => F.conv2d(x, w!, b) },
  { name: 'conv2d of windows', weights: [[2, 3, 2, 2], [2]], x: pixels(1), run: (x, w, b) => F.conv2d(x, w!, b) },
  {
    name: 'conv2d with stride and dilation',
    weights: [[2, 3, 2, 2], [2]],
    x: [IMAGES, 3, 2 * SIDE + 1, 2 * SIDE + 1],
    run: (x, w, b) => F.conv2d(x, w!, b, { stride: 2, dilation: 2 }),
  },
  {
    name: 'conv2d, depthwise',
    weights: [[3, 1, 2, 2], [3]],
    x: pixels(1),
    run: (x, w, b) => F.conv2d(x, w!, b, { groups: 3 }),
  },
  {
    name: 'conv2d in groups',
    weights: [[4, 2, 1, 1], [4]],
    x: pixels(0, 4),
    run: (x, w, b) => F.conv2d(x, w!, b, { groups: 2 }),
  },
  { name: 'conv2d of many', weights: [[20, 9, 2, 2], [20]], x: pixels(1, 9), run: (x, w, b) => F.conv2d(x, w!, b) },
  { name: 'conv1d', weights: [[2, 3, 2], [2]], x: [10, 3, ROWS / 10 + 1], run: (x, w, b) => F.conv1d(x, w!, b) },
];

const broadcast: readonly Use[] = [
  { name: 'add in 16 bits', weights: [[2]], x: [ROWS, 2], overrides: { add: 'low' }, run: (x, w) => x.add(w!) },
  { name: 'mul in 16 bits', weights: [[2]], x: [ROWS, 2], overrides: { mul: 'low' }, run: (x, w) => x.mul(w!) },
];

/** An index of ROWS rows, all 1. */
const ids = (): Tensor => full([ROWS], 1, { dtype: 'int64' });
const lookups: readonly Use[] = [
  { name: 'embedding', weights: [[3, 2]], x: [1], run: (_, w) => F.embedding(ids(), w!) },
  {
    name: 'embedding in 16 bits',
    weights: [[3, 2]],
    x: [1],
    overrides: { embedding: 'low' },
    run: (_, w) => F.embedding(ids(), w!),
  },
  {
    name: 'gather in 16 bits',
    weights: [[3]],
    x: [1],
    overrides: { gather: 'low' },
    run: (_, w) => w!.gather(0, ids()),
  },
];

const near = { rtol: 1e-5, atol: 0.02 };
const norm = (name: string, rest: Omit<Use, 'name' | 'tolerance'>): Use => ({ name, tolerance: near, ...rest });
const norms: readonly Use[] = [
  ...[undefined, 'low' as const].flatMap(policy => {
    const in16 = policy ? ' in 16 bits' : '';
    const under = (op: string): { overrides?: Overrides } => (policy ? { overrides: { [op]: policy } } : {});
    return [
      norm(`layerNorm${in16}`, {
        weights: [[2], [2]],
        x: [ROWS, 2],
        run: (x, w, b) => F.layerNorm(x, [2], w, b),
        ...under('layerNorm'),
      }),
      norm(`rmsNorm${in16}`, {
        weights: [[2]],
        x: [ROWS, 2],
        run: (x, w) => F.rmsNorm(x, [2], w),
        ...under('rmsNorm'),
      }),
      norm(`groupNorm${in16}`, {
        weights: [[4], [4]],
        x: [ROWS / 2, 4, 2],
        run: (x, w, b) => F.groupNorm(x, 2, w, b),
        ...under('groupNorm'),
      }),
      norm(`batchNorm${in16}`, {
        weights: [[2], [2]],
        x: [ROWS, 2],
        run: (x, weight, bias) => F.batchNorm(x, { weight: weight!, bias: bias!, training: true }),
        ...under('batchNorm'),
      }),
    ];
  }),
  norm('batchNorm of 16-bit activations', {
    weights: [[2], [2]],
    x: [ROWS, 2],
    run: (x, weight, bias) => F.batchNorm(x.matmul(ones([2, 2])), { weight: weight!, bias: bias!, training: true }),
  }),
  norm('batchNorm of given statistics', {
    weights: [[2], [2]],
    x: [ROWS, 2],
    run: (x, weight, bias) =>
      F.batchNorm(x.matmul(ones([2, 2])), {
        weight: weight!,
        bias: bias!,
        runningMean: zeros([2]),
        runningVar: ones([2]),
      }),
  }),
];

const attention: Use = {
  name: 'attention: values',
  weights: [[1, 1, 1, 2]],
  x: [1, 1, ROWS, 2],
  run: (x, v) => F.scaledDotProductAttention(x, zeros([1, 1, 1, 2]), v!),
};

type Fill = (shape: Shape) => Tensor;
const constant =
  (value: number): Fill =>
  shape =>
    full(shape, value);
/** Quarters from -2 to 2: every sum of their products is exact in float32, whatever the order. */
const quarters: Fill = shape => randint(-8, 9, shape).float().div(4);

interface Values {
  readonly x: Fill;
  readonly weight: Fill;
  readonly grad: Fill;
}

/** The gradients of the weights, for the same operands each time. */
function gradients(use: Use, values: Values, dtype: LowDType | null): Tensor[] {
  manualSeed(7);
  const x = values.x(use.x);
  const weights = use.weights.map(shape => values.weight(shape).requiresGrad_());
  const run = (): Tensor => use.run(x, ...weights);
  const out = dtype === null ? run() : autocast({ dtype, overrides: use.overrides ?? {} }, run);
  out.backward(values.grad(out.shape).to(out.dtype));
  return weights.map(w => w.grad!);
}

const arrays = (tensors: readonly Tensor[]): unknown[] => tensors.map(t => t.toArraySync());
const largest = (tensors: readonly Tensor[]): number => Math.max(...tensors.map(t => t.abs().max().itemSync()));

function expectAlike(use: Use, values: Values, dtype: LowDType): Tensor[] {
  const own = gradients(use, values, dtype);
  const exact = gradients(use, values, null);
  expect(own.map(t => t.dtype)).toEqual(own.map(() => 'float32' as const));
  if (use.tolerance) own.forEach((t, i) => expect(t).toBeAllclose(exact[i]!, use.tolerance));
  else expect(arrays(own)).toEqual(arrays(exact));
  return own;
}

/** Uses that cover each way to record a cast. */
const simple = [products[0]!, convolutions[1]!] as const;
const values = { x: constant(1), weight: constant(1), grad: constant(TERM) };
const leaf = (shape: Shape): Tensor => ones(shape).requiresGrad_();

describe.each([...devices])('under autocast on %s', device => {
  const before = getDefaultDevice();
  beforeAll(() => setDefaultDevice(device));
  afterAll(() => setDefaultDevice(before));

  for (const dtype of lows) {
    for (const use of [...products, ...convolutions, ...broadcast, ...lookups, attention]) {
      it(`${use.name} in ${dtype}: ${ROWS} terms of ${TERM} add up to 100,000`, () => {
        expect(largest(gradients(use, values, dtype))).toBe(100_000);
      });
      it(`${use.name} in ${dtype}: gradients are those of float32 for the same operands`, () => {
        expectAlike(use, { x: quarters, weight: quarters, grad: quarters }, dtype);
      });
    }
    for (const use of norms)
      it(`${use.name} in ${dtype}: gradients are large, and those of float32 for the same operands`, () => {
        const own = expectAlike(use, { x: quarters, weight: quarters, grad: constant(TERM) }, dtype);
        if (use.weights.length === 2) expect(own[1]!.toArraySync()).toEqual(Array(use.weights[1]![0]!).fill(100_000));
        expectAlike(use, { x: quarters, weight: quarters, grad: quarters }, dtype);
      });
  }

  // 2^-20 and 2^-24 can be represented in float16, but not the results that are computed from them.
  const tiny = { x: constant(2 ** -20), weight: constant(1), grad: constant(2 ** -24) };
  for (const use of [...products, ...convolutions])
    it(`${use.name}: a gradient below the smallest float16 survives`, () => {
      const [weight] = expectAlike(use, tiny, 'float16') as [Tensor];
      expect(weight.max().itemSync()).toBe(ROWS * 2 ** -44);
      expect(ROWS * 2 ** -44).toBeLessThan(2 ** -25);
    });

  for (const dtype of lows)
    it(`attention in ${dtype}: gradients of queries, keys, values and mask leave the 16 bits, forward and backward once more`, () => {
      manualSeed(3);
      const shapes = [
        [1, 2, 6, 8],
        [1, 2, 5, 8],
        [1, 2, 5, 8],
        [1, 2, 6, 5],
      ] as const;
      const inputs = shapes.map(shape => quarters(shape).requiresGrad_());
      const seed = quarters([1, 2, 6, 8]).mul(2 ** -12);
      const [q, k, v, mask] = inputs as [Tensor, Tensor, Tensor, Tensor];
      const run = (): Tensor => F.scaledDotProductAttention(q, k, v, { mask, scale: 0.25 });
      const exact = autograd.grad(run(), inputs, { gradOutputs: [seed] });
      const low = autocast({ dtype }, run);
      // On tensor cores the probabilities are 16-bit operands, and float16 has no value near those of this seed times
      // 2^-12.
      const rtol = dtype === 'float16' ? 0.01 : 0.05;
      const off = exact.map(t => t.abs().max().itemSync() * rtol);
      for (const createGraph of [false, true]) {
        const own = autograd.grad(low, inputs, { gradOutputs: [seed.to(dtype)], createGraph, retainGraph: true });
        own.forEach((t, i) => {
          expect(t.dtype).toBe('float32');
          expect(t).toBeAllclose(exact[i]!, { rtol, atol: off[i]! });
        });
        expect(own[0]!.to(dtype).float().sub(own[0]!).abs().max().itemSync()).toBeGreaterThan(0);
      }
    });

  describe.each(simple.map(use => [use.name, use] as const))('%s', (_, { weights: shapes, x: shape, run }) => {
    const expected = (factor = 1): unknown => arrays(shapes.map(size => full(size, 100_000 * factor)));
    const under = (fn: () => Tensor): Tensor => autocast({ dtype: 'float16' }, fn);
    const sumOf = (out: Tensor): Tensor => out.float().mul(TERM).sum();

    it('without a cache', () => {
      const weights = shapes.map(leaf);
      sumOf(autocast({ dtype: 'float16', cacheEnabled: false }, () => run(ones(shape), ...weights))).backward();
      expect(arrays(weights.map(w => w.grad!))).toEqual(expected() as never);
    });
    it('with a report', async () => {
      const weights = shapes.map(leaf);
      for (const cacheEnabled of [true, false]) {
        const options = { dtype: 'float16', cacheEnabled } as const;
        const { result, report } = await autocast.report(options, () => run(ones(shape), ...weights));
        expect(report.totals.casts).toBe(1 + shapes.length);
        expect(report.totals.calls).toBe(1);
        expect(arrays(autograd.grad(sumOf(result), weights))).toEqual(expected() as never);
      }
    });
    it('given by autograd.grad', () => {
      const weights = shapes.map(leaf);
      const grads = autograd.grad(sumOf(under(() => run(ones(shape), ...weights))), weights);
      expect(grads.map(g => g.dtype)).toEqual(shapes.map(() => 'float32' as const));
      expect(arrays(grads)).toEqual(expected() as never);
    });
    it('with createGraph, and of second order', () => {
      const penalty = (low: boolean): number[] => {
        const weights = shapes.map(leaf);
        const x = leaf(shape);
        const out = low ? under(() => run(x, ...weights)) : run(x, ...weights);
        const loss = out.square().float().mean().mul(8);
        const grads = autograd.grad(loss, weights, { createGraph: true });
        expect(grads.map(g => g.dtype)).toEqual(shapes.map(() => 'float32' as const));
        const total = grads.map(g => g.square().sum()).reduce((a, b) => a.add(b));
        return autograd.grad(total, [...weights, x]).map(g => g.abs().max().itemSync());
      };
      const [own, exact] = [penalty(true), penalty(false)];
      own.forEach((value, i) => expect(Math.abs(value / exact[i]! - 1)).toBeLessThan(0.01));
    });
    it('with createGraph: the first gradients are the same', () => {
      const weights = shapes.map(leaf);
      const loss = sumOf(under(() => run(ones(shape), ...weights)));
      expect(arrays(autograd.grad(loss, weights, { createGraph: true }))).toEqual(expected() as never);
    });
    it('of weights that two layers share, and that are used again', () => {
      const weights = shapes.map(leaf);
      const twice = (): Tensor => run(ones(shape), ...weights).add(run(ones(shape), ...weights).mul(2));
      sumOf(under(twice)).backward();
      expect(arrays(weights.map(w => w.grad!))).toEqual(expected(3) as never);
    });
    it('of several batches, each in a scope of its own', () => {
      const weights = shapes.map(leaf);
      for (let i = 0; i < 3; i++) sumOf(under(() => run(ones(shape), ...weights))).backward();
      expect(arrays(weights.map(w => w.grad!))).toEqual(expected(3) as never);
    });
    it('under a checkpoint', () => {
      const weights = shapes.map(leaf);
      const out = under(() => autograd.checkpoint((x: Tensor) => run(x, ...weights), ones(shape)));
      sumOf(out).backward();
      expect(arrays(weights.map(w => w.grad!))).toEqual(expected() as never);
    });
    it('in a captured graph', () => {
      const weights = shapes.map(leaf);
      const x = ones(shape);
      using step = graph.capture(() => {
        for (const w of weights) w.grad = null;
        const loss = sumOf(under(() => run(x, ...weights)));
        return autograd.grad(loss, weights);
      });
      expect(arrays(step.replay())).toEqual(expected() as never);
    });
    it('beside a custom function', () => {
      const weights = shapes.map(leaf);
      const twice = autograd.customFunction({
        forward: (_ctx, t: Tensor) => t.mul(2),
        backward: (_ctx, g: Tensor) => g.mul(2),
      });
      sumOf(under(() => twice(run(ones(shape), ...weights.map(w => twice(w)))))).backward();
      expect(arrays(weights.map(w => w.grad!))).toEqual(expected(4) as never);
    });
    it('as hooks see them', () => {
      const weights = shapes.map(leaf);
      const seen: Tensor[] = [];
      for (const w of weights) w.registerHook(g => void seen.push(g.clone()));
      sumOf(under(() => run(ones(shape), ...weights))).backward();
      expect(arrays(seen).sort()).toEqual((expected() as unknown[]).sort() as never);
    });
    it('lets a scaler step where 16 bits would overflow', async () => {
      const weights = shapes.map(leaf);
      const scaler = new GradScaler({ initScale: 1 });
      const optimizer = new optim.SGD(weights, { lr: 1e-6 });
      scaler.scale(sumOf(under(() => run(ones(shape), ...weights)))).backward();
      scaler.step(optimizer);
      scaler.update();
      expect(await scaler.skippedSteps()).toBe(0);
    });
  });

  it('gradients of activations: a float32 one gets float32, a 16-bit one 16 bits', () => {
    const x = quarters([8, 16]).requiresGrad_();
    const w = quarters([4, 16]).div(16).requiresGrad_();
    const seed = quarters([8, 4]).mul(2 ** -16);
    const out = autocast({ dtype: 'float16' }, () => {
      const hidden = F.linear(x, w).retainGrad();
      return [hidden, hidden.matmul(ones([4, 4]))] as const;
    });
    const [hidden, result] = out;
    result.backward(seed.half());
    expect([hidden.grad!.dtype, result.dtype, x.grad!.dtype]).toEqual(['float16', 'float16', 'float32']);
    expect(x.grad!.toArraySync()).toEqual(hidden.grad!.float().matmul(w.detach()).toArraySync());
  });
  it("tensors of 16 bits that are the user's own keep gradients of 16 bits, as in PyTorch", () => {
    const layer = new nn.Linear(1, 1, { dtype: 'float16' });
    for (const scope of [(fn: () => Tensor) => fn(), (fn: () => Tensor) => autocast({ dtype: 'float16' }, fn)]) {
      layer.zeroGrad();
      scope(() => layer.forward(ones([ROWS, 1], { dtype: 'float16' })))
        .float()
        .mul(TERM)
        .sum()
        .backward();
      expect(layer.weight.grad!.dtype).toBe('float16');
      expect(layer.weight.grad!.itemSync()).toBe(Infinity);
    }
    const own = ones([2, 2]).requiresGrad_();
    const half = own.half().retainGrad();
    half.matmul(half).sum().backward();
    expect([half.grad!.dtype, own.grad!.dtype]).toEqual(['float16', 'float32']);
  });
  it('a weight of another 16-bit dtype gets the sum, rounded once to its own', () => {
    const w = full([1, 1], 1, { dtype: 'bfloat16' }).requiresGrad_();
    sumOfTerms(autocast({ dtype: 'float16' }, () => F.linear(ones([ROWS, 1]), w))).backward();
    expect(w.grad!.dtype).toBe('bfloat16');
    expect(w.grad!.itemSync()).toBe(tensor(100_000, { dtype: 'bfloat16' }).itemSync());
  });
  it('frozen weights and inputs get none', () => {
    const w = ones([2, 3]);
    const b = leaf([2]);
    noGrad(() => autocast({ dtype: 'float16' }, () => F.linear(ones([4, 3]), w, b)));
    sumOfTerms(autocast({ dtype: 'float16' }, () => F.linear(ones([ROWS, 3]), w, b))).backward();
    expect(w.grad).toBeNull();
    expect(b.grad!.toArraySync()).toEqual([100_000, 100_000]);
  });
});

const sumOfTerms = (out: Tensor): Tensor => out.float().mul(TERM).sum();
