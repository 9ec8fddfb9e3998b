import { expect, test } from 'bun:test';
import { autocast, F, manualSeed, memory, noGrad, ones, randint, randn, tidy, type Tensor } from 'castor';

const SIZE = 256;
const FLOAT32 = SIZE * SIZE * 4;

interface Inputs {
  /** A 16-bit tensor (SIZE, SIZE) with values in (0, 1), and the same as (8, 8, SIZE / 8, SIZE / 8). */
  readonly x: Tensor;
  readonly y: Tensor;
  readonly images: Tensor;
  /** A 16-bit tensor (SIZE). */
  readonly weight: Tensor;
  readonly target: Tensor;
}
const unary = (names: string): Record<string, (given: Inputs) => Tensor> =>
  Object.fromEntries(names.split(' ').map(name => [name, ({ x }) => F[name as 'exp'](x)]));

/** Every op that autocast runs in float32, and variants of it that use other kernels. */
const calls: Record<string, (given: Inputs) => Tensor> = {
  ...unary('acos asin cosh sinh tan erfinv exp expm1 log log10 log1p log2 reciprocal rsqrt square softplus'),
  ...unary('sum prod norm'),
  'exp of a transposed view': ({ x }) => x.T.exp(),
  'reciprocal of a number': ({ x }) => F.div(2, x),
  pow: ({ x }) => x.pow(1.7),
  'pow of tensors': ({ x, y }) => x.pow(y),
  'sum of rows': ({ x }) => x.sum(1),
  'sum of columns': ({ x }) => x.sum(0),
  'prod of rows': ({ x }) => x.prod(1),
  'norm of rows': ({ x }) => x.norm(3, 1),
  logSumExp: ({ x }) => x.logSumExp(1),
  cumsum: ({ x }) => x.cumsum(1),
  cumprod: ({ x }) => x.cumprod(0),
  softmax: ({ x }) => x.softmax(-1),
  'softmax of columns': ({ x }) => x.softmax(0),
  logSoftmax: ({ x }) => x.logSoftmax(-1),
  layerNorm: ({ x, weight }) => F.layerNorm(x, [SIZE], weight, weight),
  rmsNorm: ({ x, weight }) => F.rmsNorm(x, [SIZE], weight),
  groupNorm: ({ images }) => F.groupNorm(images, 2),
  crossEntropy: ({ x, target }) => F.crossEntropy(x, target),
  nllLoss: ({ x, target }) => F.nllLoss(x, target),
  mseLoss: ({ x, y }) => F.mseLoss(x, y),
  l1Loss: ({ x, y }) => F.l1Loss(x, y),
  binaryCrossEntropyWithLogits: ({ x, y }) => F.binaryCrossEntropyWithLogits(x, y),
};
/**
 * The number of float32 tensors of the input's size that composed losses allocate for intermediate results. None is a
 * copy of an input.
 */
const intermediates: Record<string, number> = {
  mseLoss: 2, // the difference and its square
  l1Loss: 2, // the difference and its absolute value
  binaryCrossEntropyWithLogits: 1, // what the mean is taken of
};

test('every fp32 op is looked at', () => {
  const listed = Object.entries(autocast.policy()).filter(([, policy]) => policy === 'fp32');
  expect(listed.map(([name]) => name).filter(name => !(name in calls))).toEqual([]);
});

test.each(Object.keys(calls))('%s makes no float32 copy of a 16-bit input', name => {
  tidy(() => {
    manualSeed(5);
    const x = randn([SIZE, SIZE]).tanh().abs().mul(0.9).add(0.05).to('bfloat16');
    const given = {
      x,
      y: x.clone(),
      images: x.reshape([8, 8, SIZE / 8, SIZE / 8]),
      weight: ones([SIZE]).to('bfloat16'),
    };
    const inputs = { ...given, target: randint(0, SIZE, [SIZE]) };
    for (const recorded of [false, true]) {
      if (recorded) x.requiresGrad_();
      const before = memory.stats().liveBytes;
      memory.resetPeak();
      const run = (): Tensor => autocast({ dtype: 'bfloat16' }, () => calls[name]!(inputs));
      const out = recorded ? run() : noGrad(run);
      expect(out.dtype).toBe('float32');
      const beside = (memory.peak() - before - out.nbytes) / FLOAT32 - (intermediates[name] ?? 0);
      // One or two numbers for each row: statistics, classes.
      expect(Math.abs(beside)).toBeLessThan(0.05);
      out.dispose();
    }
  });
});
