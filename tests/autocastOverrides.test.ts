import { describe, expect, test } from 'bun:test';
import {
  autocast,
  AutocastError,
  cat,
  F,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  randn,
  stack,
  tensor,
  tidy,
  type DType,
  type Policy,
  type PolicyName,
  type Tensor,
} from 'castor';
import { table, type OpName } from '../runtime/ops/table.ts';

type Make = (...shape: number[]) => Tensor;
const make =
  (dtype: DType): Make =>
  (...shape) =>
    autocast({ enabled: false }, () => {
      manualSeed(shape.length);
      return randn(shape).sigmoid().mul(0.8).add(0.1).to(dtype);
    });
const index = (...values: number[]): Tensor => tensor(values, { dtype: 'int64' });
const row = (): Tensor => tensor([[0, 1]], { dtype: 'int64' });
const mask = (): Tensor => tensor([1, 0, 1, 0], { dtype: 'bool' });
const bits = (name: 'bitwiseAnd') => (): Tensor => F[name](index(1, 2), index(3, 4));
const image: [number, number, number, number] = [1, 2, 4, 4];

/** The call of each op that needs more than its name. */
const calls: Record<string, (x: Make) => Tensor> = {
  matmul: x => x(4, 4).matmul(x(4, 4)),
  linear: x => F.linear(x(4, 4), x(4, 4), x(4)),
  convolution: x => F.conv1d(x(1, 2, 8), x(2, 2, 3), x(2)),
  scaledDotProductAttention: x => F.scaledDotProductAttention(x(...image), x(...image), x(...image), { mask: x(4, 4) }),
  softplus: x => F.softplus(x(4)),
  ...Object.fromEntries(
    (['sum', 'prod', 'logSumExp', 'mean', 'var', 'std', 'amax', 'amin', 'argmax', 'argmin', 'any', 'all'] as const).map(
      name => [name, (x: Make) => F[name](x(4, 4), 1)],
    ),
  ),
  ...Object.fromEntries(
    (['cumsum', 'cumprod', 'softmax', 'logSoftmax'] as const).map(name => [name, (x: Make) => F[name](x(4, 4), 1)]),
  ),
  norm: x => x(4, 4).norm(2, 1),
  countNonzero: x => x(4).countNonzero(),
  layerNorm: x => F.layerNorm(x(4, 4), [4], x(4), x(4)),
  rmsNorm: x => F.rmsNorm(x(4, 4), [4], x(4)),
  groupNorm: x => F.groupNorm(x(2, 4, 4), 2, x(4), x(4)),
  batchNorm: x => F.batchNorm(x(4, 4), { weight: x(4), bias: x(4), training: true }),
  crossEntropy: x => F.crossEntropy(x(2, 4), index(0, 1), { weight: x(4) }),
  nllLoss: x => F.nllLoss(x(2, 4), index(0, 1)),
  mseLoss: x => F.mseLoss(x(4), x(4)),
  l1Loss: x => F.l1Loss(x(4), x(4)),
  binaryCrossEntropy: x => F.binaryCrossEntropy(x(4), x(4)),
  binaryCrossEntropyWithLogits: x => F.binaryCrossEntropyWithLogits(x(4), x(4), { posWeight: x(4) }),
  addcdiv: x => F.addcdiv(x(4), x(4), x(4)),
  addcmul: x => F.addcmul(x(4), x(4), x(4)),
  lerp: x => F.lerp(x(4), x(4), 0.5),
  where: x => F.where(mask(), x(4), x(4)),
  maskedFill: x => x(4).maskedFill(mask(), 1),
  dropout: x => F.dropout(x(4)),
  gelu: x => F.gelu(x(4)),
  elu: x => F.elu(x(4)),
  leakyRelu: x => F.leakyRelu(x(4)),
  clamp: x => x(4).clamp({ min: 0.3 }),
  max: x => x(4, 4).max(1).values,
  min: x => x(4, 4).min(),
  sort: x => x(4).sort().values,
  topk: x => x(4).topk(2).values,
  argsort: x => x(4).argsort(),
  multinomial: x => x(4).multinomial(2),
  cat: x => cat([x(4), x(4)]),
  stack: x => stack([x(4), x(4)]),
  tril: x => x(4, 4).tril(),
  triu: x => x(4, 4).triu(),
  gather: x => x(4, 4).gather(1, row()),
  indexSelect: x => x(4, 4).indexSelect(0, index(1)),
  indexAdd: x => x(4, 4).indexAdd(0, index(1), x(1, 4)),
  indexCopy: x => x(4, 4).indexCopy(0, index(1), x(1, 4)),
  scatter: x => x(1, 4).scatter(1, row(), x(1, 2)),
  scatterAdd: x => x(1, 4).scatterAdd(1, row(), x(1, 2)),
  embedding: x => F.embedding(index(1, 2), x(4, 4)),
  oneHot: () => F.oneHot(index(1), 2),
  maxPool2d: x => F.maxPool2d(x(...image), 2),
  maxPool2dWithIndices: x => F.maxPool2dWithIndices(x(...image), 2).values,
  avgPool2d: x => F.avgPool2d(x(...image), 2),
  ...Object.fromEntries(
    (['bitwiseAnd', 'bitwiseOr', 'bitwiseXor'] as const).map(name => [name, bits(name as 'bitwiseAnd')]),
  ),
};
const elementwise = (name: string): boolean =>
  name in table && ['unary', 'binary', 'compare'].includes(table[name as OpName].kind);
const callOf = (name: string): ((x: Make) => Tensor) =>
  calls[name] ?? (x => (F[name as 'add'].length === 1 ? F[name as 'exp'](x(4)) : F[name as 'add'](x(4), x(4))));

const moves = new Set(Object.keys(autocast.policy()).filter(name => !(name in calls) && !elementwise(name)));
const hasFloats = (name: string): boolean => callOf(name)(make('float32')).isFloat;
const own = (name: string): Policy => autocast.policy()[name as PolicyName];
const under = <T>(name: string, policy: Policy, fn: () => T): T =>
  autocast({ dtype: 'bfloat16', overrides: { [name]: policy } }, fn);

describe('an override', () => {
  test('knows every op that computes', () => {
    expect([...moves].toSorted().join(' ')).toBe(
      'at broadcastTo chunk clone contiguous double expand flatten flip float half long narrow permute reshape select ' +
        'set_ slice split squeeze to transpose unbind unflatten unsqueeze view',
    );
  });
  const target = {
    low: (): DType => 'bfloat16',
    fp32: (): DType => 'float32',
    input: (given: DType): DType => given,
  };
  for (const policy of ['low', 'fp32', 'input'] as const)
    test.each(Object.keys(autocast.policy()))(`of %s by '${policy}' is honoured or refused`, name => {
      tidy(() => {
        if (policy !== 'input' && (moves.has(name) || !hasFloats(name))) {
          expect(() => under(name, policy, () => 0)).toThrow(/cannot have the policy/);
          return;
        }
        if (moves.has(name)) return expect(under(name, policy, () => 0)).toBe(0);
        for (const given of ['float32', 'bfloat16', 'float16'] as const) {
          // The expected result is that of the op outside autocast, with operands that were cast by hand.
          manualSeed(1);
          const byHand = callOf(name)((...shape) => make(given)(...shape).to(target[policy](given)));
          manualSeed(1);
          const result = under(name, policy, () => callOf(name)(make(given)));
          expect([name, given, result.dtype]).toEqual([name, given, byHand.dtype]);
          expect(result.dataSync()).toEqual(byHand.dataSync());
        }
      });
    });
  test.each(Object.keys(autocast.policy()))("of %s by 'banned' throws", name => {
    tidy(() => {
      if (moves.has(name)) return expect(() => under(name, 'banned', () => 0)).toThrow(/cannot have the policy/);
      const call = (): unknown => under(name, 'banned', () => callOf(name)(make('float32')));
      expect(call).toThrow(AutocastError);
      if (own(name) !== 'banned')
        expect(call).toThrow(/: banned by the overrides of a scope\. Use another op, or call it/);
      // When autocast is off, nothing is banned.
      expect(
        autocast({ enabled: false, overrides: { [name]: 'banned' } }, () => callOf(name)(make('float32'))),
      ).toBeTruthy();
    });
  });
  test('casts weights through the cache, and is what a report shows', async () => {
    const w = nn.Parameter(ones([4, 4]));
    const { report } = await autocast.report({ dtype: 'bfloat16', overrides: { embedding: 'low' } }, () =>
      tidy(() => {
        for (let i = 0; i < 3; i++) F.embedding(index(0, 1), w);
      }),
    );
    expect(report.totals).toMatchObject({ casts: 1, cacheHits: 2 });
    expect(report.ops.find(({ op }) => op === 'indexSelect')).toMatchObject({
      policy: 'low',
      out: 'bfloat16',
      count: 3,
    });
    w.dispose();
  });
  test('leaves no copy behind, and gradients flow through it', () => {
    const x = randn([2, 4, 4]).requiresGrad_();
    const run = (): void =>
      tidy(() =>
        under('groupNorm', 'low', () => F.groupNorm(x, 2))
          .float()
          .square()
          .sum()
          .backward(),
      );
    run();
    expect(x.grad!.dtype).toBe('float32');
    const { liveStorages } = memory.stats();
    run();
    expect(memory.stats().liveStorages).toBe(liveStorages);
    x.dispose();
  });
  test('of batchNorm keeps the statistics in float32 and up to date', () => {
    const layer = new nn.BatchNorm2d(4);
    const plain = new nn.BatchNorm2d(4);
    const x = randn([2, 4, 2, 2]).to('bfloat16');
    noGrad(() => [under('batchNorm', 'low', () => layer.forward(x)), plain.forward(x)]);
    expect(layer.runningMean!.dtype).toBe('float32');
    expect(layer.runningMean!.dataSync()).toEqual(plain.runningMean!.dataSync());
  });
});
