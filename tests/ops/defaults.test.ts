/** An op without an option behaves as with PyTorch's default. */
import { expect, test } from 'bun:test';
import { arange, F, linspace, ones, tensor, tidy, type Tensor } from 'castor';

const x = (): Tensor => tensor([[1.5, -2, 0.25], [-0.5, 3, 25]], { dtype: 'float64', device: 'cpu' }); // prettier-ignore
const classes = (): Tensor => tensor([2n, -100n], { device: 'cpu' });
const image = (): Tensor => arange(32, { dtype: 'float64', device: 'cpu' }).reshape([1, 2, 4, 4]).div(7);
const kernel = (): Tensor => arange(8, { dtype: 'float64', device: 'cpu' }).reshape([1, 2, 2, 2]);
const small = (): Tensor => x().mul(1e-3);

const rows: readonly [string, byDefault: () => Tensor, explicit: () => Tensor][] = [
  ['norm', () => x().norm(), () => x().norm(2)],
  ['norm over an axis', () => x().norm(undefined, 1), () => x().norm(2, 1, { keepdim: false })],
  ['var', () => x().var(), () => x().var([0, 1], { correction: 1, keepdim: false })],
  ['std', () => x().std(1), () => x().std(1, { correction: 1, keepdim: false })],
  ['sum', () => x().sum(1), () => x().sum(1, { keepdim: false })],
  ['softplus', () => F.softplus(x()), () => F.softplus(x(), { beta: 1, threshold: 20 })],
  ['leakyRelu', () => F.leakyRelu(x()), () => F.leakyRelu(x(), 0.01)],
  ['elu', () => F.elu(x()), () => F.elu(x(), 1)],
  ['gelu', () => F.gelu(x()), () => F.gelu(x(), { approximate: 'none' })],
  ['topk', () => x().topk(2).values, () => x().topk(2, 1, { largest: true }).values],
  ['sort', () => x().sort().values, () => x().sort(1, { descending: false }).values],
  ['argsort', () => x().argsort(), () => x().argsort(1, { descending: false })],
  ['addcmul', () => x().addcmul(x(), x()), () => x().addcmul(x(), x(), 1)],
  ['addcdiv', () => x().addcdiv(x(), x()), () => x().addcdiv(x(), x(), 1)],
  ['tril', () => x().tril(), () => x().tril(0)],
  ['triu', () => x().triu(), () => x().triu(0)],
  ['flatten', () => image().flatten(), () => image().flatten(0, 3)],
  ['split', () => x().split(1)[1]!, () => x().split(1, 0)[1]!],
  ['chunk', () => x().chunk(2)[1]!, () => x().chunk(2, 0)[1]!],
  ['unbind', () => x().unbind()[1]!, () => x().unbind(0)[1]!],
  ['cat', () => F.cat([x(), x()]), () => F.cat([x(), x()], 0)],
  ['stack', () => F.stack([x(), x()]), () => F.stack([x(), x()], 0)],
  ['slice', () => x().slice(1), () => x().slice(1, 0, 3, 1)],
  ['layerNorm', () => F.layerNorm(small(), [3]), () => F.layerNorm(small(), [3], null, null, 1e-5)],
  ['rmsNorm', () => F.rmsNorm(x().mul(1e-7), [3]), () => F.rmsNorm(x().mul(1e-7), [3], null, 2 ** -52)],
  ['groupNorm', () => F.groupNorm(small(), 1), () => F.groupNorm(small(), 1, null, null, 1e-5)],
  [
    'batchNorm',
    () => F.batchNorm(small(), { runningMean: x().select(0, 0), runningVar: x().select(0, 0).abs().mul(1e-4) }),
    () =>
      F.batchNorm(small(), {
        runningMean: x().select(0, 0),
        runningVar: x().select(0, 0).abs().mul(1e-4),
        training: false,
        momentum: 0.1,
        eps: 1e-5,
      }),
  ],
  [
    'crossEntropy',
    () => F.crossEntropy(x(), classes()),
    () => F.crossEntropy(x(), classes(), { ignoreIndex: -100, labelSmoothing: 0, reduction: 'mean' }),
  ],
  [
    'crossEntropy with weights and smoothing',
    () => F.crossEntropy(x(), classes(), { weight: x().select(0, 1).abs(), labelSmoothing: 0.2 }),
    () =>
      F.crossEntropy(x(), classes(), {
        weight: x().select(0, 1).abs(),
        labelSmoothing: 0.2,
        ignoreIndex: -100,
        reduction: 'mean',
      }),
  ],
  [
    'nllLoss',
    () => F.nllLoss(x(), classes()),
    () => F.nllLoss(x(), classes(), { ignoreIndex: -100, reduction: 'mean' }),
  ],
  ['mseLoss', () => F.mseLoss(x(), x().neg()), () => F.mseLoss(x(), x().neg(), { reduction: 'mean' })],
  ['l1Loss', () => F.l1Loss(x(), x().neg()), () => F.l1Loss(x(), x().neg(), { reduction: 'mean' })],
  [
    'conv2d',
    () => F.conv2d(image(), kernel()),
    () => F.conv2d(image(), kernel(), null, { stride: 1, padding: 0, dilation: 1, groups: 1 }),
  ],
  [
    'conv1d',
    () => F.conv1d(image().flatten(2), kernel().flatten(2)),
    () => F.conv1d(image().flatten(2), kernel().flatten(2), null, { stride: 1, padding: 0, dilation: 1, groups: 1 }),
  ],
  ['maxPool2d', () => F.maxPool2d(image(), 2), () => F.maxPool2d(image(), 2, { stride: 2, padding: 0, dilation: 1 })],
  [
    'avgPool2d',
    () => F.avgPool2d(image(), 2, { padding: 1 }),
    () => F.avgPool2d(image(), 2, { stride: 2, padding: 1, countIncludePad: true }),
  ],
  [
    'attention',
    () => F.scaledDotProductAttention(x(), x(), x()),
    () => F.scaledDotProductAttention(x(), x(), x(), { scale: 1 / Math.sqrt(3), causal: false, dropoutP: 0 }),
  ],
  [
    'attention with a mask',
    () => F.scaledDotProductAttention(x(), x(), x(), { mask: ones([2, 2], { dtype: 'bool', device: 'cpu' }) }),
    () => F.scaledDotProductAttention(x(), x(), x()),
  ],
  ['dropout of nothing', () => x().dropout(0), () => x().dropout(0, true)],
  ['arange', () => arange(5, { device: 'cpu' }), () => arange(0, 5, 1, { device: 'cpu' })],
  ['arange from a start', () => arange(2, 5, { device: 'cpu' }), () => arange(2, 5, 1, { device: 'cpu' })],
  [
    'linspace',
    () => linspace(0, 1, 3, { device: 'cpu' }),
    () => linspace(0, 1, 3, { dtype: 'float32', device: 'cpu' }),
  ],
];

test.each([...rows])('%s', (_, byDefault, explicit) =>
  tidy(() => {
    const [found, meant] = [byDefault(), explicit()];
    expect([found.dtype, found.shape, found.toArraySync()]).toEqual([meant.dtype, meant.shape, meant.toArraySync()]);
  }),
);

test('half of the elements are dropped', () =>
  tidy(() => {
    const values = ones([10_000], { device: 'cpu' }).dropout().toArraySync() as number[];
    expect([...new Set(values)].sort()).toEqual([0, 2]);
    expect(Math.abs(values.filter(value => value === 0).length - 5000)).toBeLessThan(300);
  }));
