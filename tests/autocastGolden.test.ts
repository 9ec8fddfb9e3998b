import { describe, expect, test } from 'bun:test';
import {
  autocast,
  cat,
  F,
  getDefaultDevice,
  GradScaler,
  manualSeed,
  nn,
  noGrad,
  ones,
  optim,
  stack,
  tidy,
  zeros,
  type DType,
  type LowDType,
  type Tensor,
} from 'castor';
import { OpNode } from '../runtime/autograd/tape.ts';
import { nodeOf, type Node } from '../runtime/autograd/node.ts';
import { load, toTensor, valuesOf, type StoredTensor } from './golden/load.ts';
import { notInPyTorch, withoutGolden } from './ops/notInPyTorch.ts';

type Make = (...shape: number[]) => Tensor;
const target = (): Tensor => zeros([4], { dtype: 'int64' });
const index = (): Tensor => zeros([1, 2], { dtype: 'int64' });

/** The call of each op in tests/golden/autocast.py. An op with one operand (4, 4) needs no line. */
const calls: Record<string, (x: Make) => Tensor> = {
  matmul: x => x(4, 4).matmul(x(4, 4)),
  linear: x => F.linear(x(4, 4), x(4, 4), x(4)),
  convolution: x => F.conv2d(x(1, 2, 4, 4), x(2, 2, 3, 3), x(2)),
  scaledDotProductAttention: x => F.scaledDotProductAttention(x(1, 2, 4, 4), x(1, 2, 4, 4), x(1, 2, 4, 4)),
  pow: x => x(4, 4).pow(2.5),
  ...Object.fromEntries(
    (
      [
        'sum',
        'prod',
        'logSumExp',
        'cumsum',
        'cumprod',
        'softmax',
        'logSoftmax',
        'mean',
        'var',
        'std',
        'amax',
        'argmax',
      ] as const
    ).map(name => [name, (x: Make) => (F[name] as typeof F.softmax)(x(4, 4), 1)]),
  ),
  norm: x => x(4, 4).norm(2, 1),
  layerNorm: x => F.layerNorm(x(4, 4), [4], x(4), x(4)),
  rmsNorm: x => F.rmsNorm(x(4, 4), [4], x(4)),
  groupNorm: x => F.groupNorm(x(2, 4, 4), 2, x(4), x(4)),
  crossEntropy: x => F.crossEntropy(x(4, 4), target()),
  nllLoss: x => F.nllLoss(x(4, 4), target()),
  ...Object.fromEntries(
    (['mseLoss', 'l1Loss', 'binaryCrossEntropyWithLogits'] as const).map(name => [
      name,
      (x: Make) => F[name](x(4, 4), x(4, 4)),
    ]),
  ),
  ...Object.fromEntries((['addcdiv', 'addcmul'] as const).map(name => [name, (x: Make) => F[name](x(4), x(4), x(4))])),
  scatterAdd: x => x(1, 4).scatterAdd(1, index(), x(1, 2)),
  ...Object.fromEntries(
    (['atan2', 'add', 'sub', 'mul', 'div', 'maximum', 'hypot', 'eq'] as const).map(name => [
      name,
      (x: Make) => F[name](x(4), x(4)),
    ]),
  ),
  clamp: x => x(4, 4).clamp({ min: 0, max: 1 }),
  where: x => {
    const condition = x(4).gt(0);
    return F.where(condition, x(4), x(4));
  },
  cat: x => cat([x(4), x(4)]),
  stack: x => stack([x(4), x(4)]),
  indexCopy: x => x(4, 4).indexCopy(0, index().reshape([-1]).at(':1'), x(1, 4)),
  numberDiv: x => F.div(2, x(4, 4)),
  gather: x => x(4, 4).gather(1, index()),
  maxPool2d: x => F.maxPool2d(x(1, 1, 4, 4), 2),
  avgPool2d: x => F.avgPool2d(x(1, 1, 4, 4), 2),
  embedding: x => F.embedding(target(), x(4, 4)),
};
const callOf = (op: string): ((x: Make) => Tensor) =>
  calls[op] ?? (x => (F[op as 'exp'] as (t: Tensor) => Tensor)(x(4, 4)));

interface Row {
  op: string;
  low: LowDType;
  /** The dtypes of the operands, in order. */
  given: DType[];
  out: DType;
  saved: DType[];
}
const rows = load<Row>('autocast');
const policy = (op: string): string => autocast.policy()[op as 'matmul'];

/**
 * The float tensors that the graph saves, except for ops that save the operands in the dtype in which the op reads
 * them.
 */
const keeps = {
  /** Ops whose derivative uses the result. A loss also saves an intermediate result, the float32 difference. */
  result: 'exp expm1 tan erfinv reciprocal rsqrt softmax logSoftmax mseLoss l1Loss'.split(' '),
  /** Ops that save the operands, and float32 statistics of them or the float32 result. */
  float32Too: 'scaledDotProductAttention logSumExp norm layerNorm rmsNorm groupNorm'.split(' '),
  nothing: (
    'neg sign floor sum mean cumsum add sub eq where cat stack gather scatterAdd indexCopy embedding argmax ' +
    'maxPool2d avgPool2d nllLoss'
  ).split(' '),
};

/** The dtypes of the float tensors that the graph of a result saves. */
function keptBy(out: Tensor): Set<DType> {
  const kept = new Set<DType>();
  const visit = (node: Node | null): void => {
    if (node === null) return;
    if (node instanceof OpNode) for (const t of node.savedTensors) if (t.isFloat) kept.add(t.dtype);
    node.edges.forEach(visit);
  };
  visit(nodeOf(out));
  return kept;
}

/**
 * The dtypes that must be saved for operands of some dtypes. 16-bit operands are saved as they are where PyTorch saves
 * a float32 copy.
 */
function expectedBy({ op, low, out }: Row, operands: readonly DType[]): Set<DType> {
  if (keeps.nothing.includes(op)) return new Set();
  if (keeps.result.includes(op)) return new Set([out]);
  // The logsumexp is saved in float64, because its error would scale every probability.
  if (op === 'crossEntropy') return new Set([...operands, 'float64']);
  const read = { low: [low], promote: [out] }[policy(op)] ?? operands;
  return new Set(keeps.float32Too.includes(op) ? [...read, 'float32'] : read);
}

describe('the dtypes of PyTorch 2.15, by its own lists', () => {
  test('are there for every op with a policy', () => {
    const known = new Set(rows.map(row => row.op));
    const ours = Object.entries(autocast.policy()).filter(([, own]) => own !== 'input' && own !== 'banned');
    const left = ours.map(([op]) => op).filter(op => !known.has(op) && !(op in notInPyTorch));
    expect(left, withoutGolden(left, 'autocast', 'OPS')).toEqual([]);
  });
  test.each([...new Set(rows.map(row => row.op))])('%s', op => {
    for (const row of rows.filter(row => row.op === op)) {
      const { low, given, out, saved } = row;
      tidy(() => {
        manualSeed(0);
        const made: Tensor[] = [];
        const result = autocast({ dtype: low }, () =>
          callOf(op)((...shape) => {
            const x = ones(shape)
              .mul(0.5)
              .to(given[made.length % given.length]!)
              .detach()
              .requiresGrad_();
            made.push(x);
            return x;
          }),
        );
        const at = `${op} of ${given.join(', ')} under ${low}`;
        expect([at, result.dtype]).toEqual([at, out]);
        const kept = keptBy(result);
        const operands = made.map(x => x.dtype);
        expect([at, kept]).toEqual([at, expectedBy(row, operands)]);
        const wide = kept.has('float32') && !operands.includes('float32');
        expect([at, wide && !saved.includes('float32')]).toEqual([at, false]);
        if (!result.requiresGrad) return;
        result.backward(ones(result.shape, { dtype: result.dtype as 'float32' }));
        const learning = op === 'where' ? made.slice(1) : made;
        for (const x of learning) expect([at, x.grad?.dtype]).toEqual([at, x.dtype]);
      });
    }
  });
});

interface Trajectory {
  optimizer: 'SGD' | 'Adam' | 'AdamW';
  weights: StoredTensor[];
  batches: [StoredTensor, StoredTensor][];
  scales: number[];
  losses: number[];
  trained: StoredTensor[];
}
const optimizers = {
  SGD: (params: Tensor[]) => new optim.SGD(params, { lr: 0.1, momentum: 0.5 }),
  Adam: (params: Tensor[]) => new optim.Adam(params, { lr: 0.01 }),
  AdamW: (params: Tensor[]) => new optim.AdamW(params, { lr: 0.01, amsgrad: true }),
};

describe('four batches with an infinity in the third', () => {
  type Setting = { dtype: 'float32' | 'float64'; scaled: boolean; low: boolean };
  /** The training loop. Without a scaler the third batch is left out, which corresponds to a skipped step. */
  function train(
    row: Trajectory,
    { dtype, scaled, low }: Setting,
  ): { losses: number[]; scales: number[]; trained: Tensor[] } {
    const params = row.weights.map(w => nn.Parameter(toTensor(w, getDefaultDevice(), dtype)));
    const optimizer = optimizers[row.optimizer](params);
    const scaler = new GradScaler({ initScale: 128, growthInterval: 1, enabled: scaled });
    const [w1, b1, w2, b2] = params as [Tensor, Tensor, Tensor, Tensor];
    const losses: number[] = [];
    const scales: number[] = [];
    row.batches.forEach(([x, y], i) => {
      optimizer.zeroGrad();
      const [input, wanted] = [toTensor(x, getDefaultDevice(), dtype), toTensor(y, getDefaultDevice(), dtype)];
      const loss = autocast({ dtype: 'float16', enabled: low }, () =>
        F.mseLoss(F.linear(F.linear(input, w1, b1), w2, b2), wanted),
      );
      losses.push(loss.itemSync());
      scaler.scale(loss).backward();
      if (i === 2) noGrad(() => b1.grad!.at(0).fill_(Infinity));
      if (scaled || i !== 2) scaler.step(optimizer);
      scaler.update();
      scales.push(scaler.getScaleSync());
    });
    return { losses, scales, trained: params };
  }

  test.each(load<Trajectory>('trajectory').map(row => [row.optimizer, row] as const))(
    '%s: losses, scales and weights of PyTorch, of a float64 reference, and in float16 nearly those',
    (_, row) => {
      tidy(() => {
        const scaled = train(row, { dtype: 'float32', scaled: true, low: false });
        expect(scaled.scales).toEqual(row.scales);
        expect(scaled.losses).toBeAllclose(row.losses, { rtol: 1e-5 });
        scaled.trained.forEach((p, i) => expect(p).toBeAllclose(valuesOf(row.trained[i]!), { rtol: 1e-4, atol: 1e-5 }));
        const exact = train(row, { dtype: 'float64', scaled: false, low: false });
        scaled.trained.forEach((p, i) =>
          expect(p).toBeAllclose(exact.trained[i]!.dataSync(), { rtol: 1e-4, atol: 1e-5 }),
        );
        const half = train(row, { dtype: 'float32', scaled: true, low: true });
        expect(half.scales).toEqual(row.scales);
        half.trained.forEach((p, i) =>
          expect(p).toBeAllclose(exact.trained[i]!.dataSync(), { rtol: 0.02, atol: 0.02 }),
        );
      });
    },
  );
});
