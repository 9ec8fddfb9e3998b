import { describe, expect, test } from 'bun:test';
import { autograd, F, fromTypedArray, tidy, type Device, type FloatDType, type Tensor } from 'castor';
import { devices } from '../setup.ts';
import { isStored, load, numberOf, toTensor, valuesOf, type Stored, type StoredTensor } from '../golden/load.ts';
import type { Result } from './case.ts';
import { listOf } from './run.ts';

interface GoldenOp {
  name: string;
  op: keyof typeof calls;
  inputs: (StoredTensor | null)[];
  options: Record<string, unknown>;
  outputs: StoredTensor[];
  gradients: (StoredTensor | null)[];
}

type Call = (inputs: Tensor[], options: any) => Result<Tensor>;
const pair = ({ values, indices }: { values: Tensor; indices: Tensor }): Tensor[] => [values, indices];

function batchNorm([x, weight, bias]: Tensor[]): Tensor[] {
  const runningMean = weight!.detach().zerosLike();
  const runningVar = weight!.detach().onesLike();
  const running = { weight: weight!, bias: bias!, runningMean, runningVar, momentum: 0.3 };
  F.batchNorm(x!.detach().mul(2).add(1), { ...running, training: true });
  const out = F.batchNorm(x!, { ...running, training: true, eps: 1e-3 });
  return [out, runningMean, runningVar, F.batchNorm(x!.detach(), running).detach()];
}

/** The call of each op of the file. */
const calls = {
  var: ([x], { axes, ...o }) => x!.var(axes, o),
  std: ([x], { axes, ...o }) => x!.std(axes, o),
  norm: ([x], o) => x!.norm(o.p, o.axes),
  logSumExp: ([x], o) => x!.logSumExp(o.axes),
  amax: ([x], o) => x!.amax(o.axes),
  amin: ([x], o) => x!.amin(o.axes),
  max: ([x], o) => pair(x!.max(o.axis)),
  prod: ([x], o) => x!.prod(o.axes),
  cumprod: ([x], o) => x!.cumprod(o.axis),
  cumsum: ([x], o) => x!.cumsum(o.axis),
  conv2d: ([x, w, b], o) => F.conv2d(x!, w!, b, o),
  conv1d: ([x, w, b], o) => F.conv1d(x!, w!, b, o),
  maxPool2d: ([x], { kernel, ...o }) => pair(F.maxPool2dWithIndices(x!, kernel, o)),
  avgPool2d: ([x], { kernel, ...o }) => F.avgPool2d(x!, kernel, o),
  layerNorm: ([x, w, b], o) => F.layerNorm(x!, o.shape, w, b, o.eps),
  groupNorm: ([x, w, b], o) => F.groupNorm(x!, o.groups, w, b, o.eps),
  batchNorm,
  crossEntropy: ([x, given], { target, ...o }) => F.crossEntropy(x!, given ?? target, o),
  nllLoss: ([x, target], o) => F.nllLoss(x!, target!, o),
  binaryCrossEntropyWithLogits: ([x, target], o) => F.binaryCrossEntropyWithLogits(x!, target!, o),
  binaryCrossEntropy: ([x, target]) => F.binaryCrossEntropy(x!, target!),
  l1Loss: ([x, target]) => F.l1Loss(x!, target!),
  mseLoss: ([x, target], o) => F.mseLoss(x!, target!, o),
  scaledDotProductAttention: ([q, k, v, mask], o) =>
    F.scaledDotProductAttention(q!, k!, v!, { ...o, ...(mask && { mask }) }),
  at: ([x], o) => x!.at(...o.index),
  embedding: ([n, w]) => F.embedding(n!, w!),
  scatterAdd: ([x, n, source], o) => x!.scatterAdd(o.axis, n!, source!),
  sort: ([x], { axis, ...o }) => pair(x!.sort(axis, o)),
  topk: ([x], { k, axis, ...o }) => pair(x!.topk(k, axis, o)),
  argmax: ([x], o) => x!.argmax(o.axis),
  argmin: ([x], o) => x!.argmin(o.axis),
  clamp: ([x], o) => x!.clamp(o),
  abs: ([x]) => x!.abs(),
  relu: ([x]) => x!.relu(),
  pow: ([x, y]) => x!.pow(y!),
  maximum: ([x, y]) => x!.maximum(y!),
  minimum: ([x, y]) => x!.minimum(y!),
  gelu: ([x]) => x!.gelu(),
  softplus: ([x], o) => x!.softplus(o),
  fmod: ([x, y]) => x!.fmod(y!),
  remainder: ([x, y]) => x!.remainder(y!),
  atan2: ([x, y]) => x!.atan2(y!),
  where: ([x, y]) => x!.sqrt().where(x!.gt(0), y!),
  softmax: ([x], o) => x!.softmax(o.axis),
} satisfies Record<string, Call>;

const tolerances: Record<string, { rtol: number; atol: number }> = {
  float64: { rtol: 1e-8, atol: 1e-9 },
  float32: { rtol: 3e-5, atol: 1e-5 },
};

/** Options hold tensors, lists of them, and numbers that may be infinite. */
function optionOf(value: unknown, device: Device, dtype: FloatDType): unknown {
  if (isStored(value)) return toTensor(value, device, dtype);
  if (Array.isArray(value)) return value.map(item => optionOf(item, device, dtype));
  return value === 'inf' || value === '-inf' ? numberOf(value as Stored) : value;
}

/** The gradient of a result, as in make.py. */
const seedOf = ({ shape, numel, dtype, device }: Tensor): Tensor =>
  fromTypedArray(
    Float64Array.from({ length: numel }, (_, i) => Math.sin(1.7 * i + 0.6) + 1.3),
    shape,
    { dtype, device },
  );

function checkRecord(golden: GoldenOp, device: Device, dtype: FloatDType): void {
  const { inputs, options, outputs, gradients } = golden;
  const own = Object.fromEntries(Object.entries(options).map(([key, value]) => [key, optionOf(value, device, dtype)]));
  const operands = inputs.map(input => toTensor(input!, device, dtype));
  const wanted = operands.filter((_, i) => gradients[i] != null).map(t => t.requiresGrad_());
  const results = listOf((calls[golden.op] as Call)(operands, own));
  outputs.forEach((expected, i) => {
    expect(results[i]!.shape).toEqual(expected.shape);
    expect(results[i]!, `result ${i}`).toBeAllclose(valuesOf(expected), tolerances[dtype]!);
  });
  if (wanted.length === 0) return;
  const roots = results.filter(t => t.requiresGrad);
  const found = autograd.grad(roots, wanted, { gradOutputs: roots.map(seedOf) });
  gradients
    .filter(gradient => gradient !== null)
    .forEach((expected, i) => expect(found[i]!, `gradient ${i}`).toBeAllclose(valuesOf(expected), tolerances[dtype]!));
}

const records = load<GoldenOp>('ops').map(golden => [golden.name, golden] as const);
describe.each([...devices])('on %s, PyTorch gives the same values and gradients:', device => {
  test.each(records)('%s', (_, golden) => {
    for (const dtype of ['float64', 'float32'] as const) tidy(() => checkRecord(golden, device, dtype));
  });
});
