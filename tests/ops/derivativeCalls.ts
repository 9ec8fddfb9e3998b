import { cat, F, type Device, type FloatDType, type Tensor } from 'castor';
import { table } from '../../runtime/ops/table.ts';
import { isStored, numberOf, toTensor, type Stored, type StoredTensor } from '../golden/load.ts';

type Call = (inputs: Tensor[], options: any) => Tensor;
/** The rows of the table that make a method by themselves: they take one or two operands and nothing else. */
const rowsOf = (kind: 'unary' | 'binary'): 'add'[] =>
  Object.entries(table)
    .filter(([, row]) => row.kind === kind && row.method)
    .map(([name]) => name as 'add');

/** Either operand may be a number. */
const pairCall =
  (name: 'add'): Call =>
  ([x, y], { left, right }) =>
    left === undefined ? F[name](x!, right ?? y) : F[name](left, x!);

/** The call of each op of derivatives.jsonl. */
export const calls: Record<string, Call> = {
  ...Object.fromEntries(rowsOf('unary').map(name => [name, ([x]: Tensor[]) => F[name as string as 'abs'](x!)])),
  ...Object.fromEntries(rowsOf('binary').map(name => [name, pairCall(name)])),
  gelu: ([x], o) => F.gelu(x!, o),
  softplus: ([x], o) => F.softplus(x!, o),
  leakyRelu: ([x], o) => F.leakyRelu(x!, o.slope),
  elu: ([x], o) => F.elu(x!, o.alpha),
  clamp: ([x], o) => F.clamp(x!, o),
  addcmul: ([x, y, z], o) => F.addcmul(x!, y!, z!, o.value),
  addcdiv: ([x, y, z], o) => F.addcdiv(x!, y!, z!, o.value),
  lerp: ([x, y, z], o) => F.lerp(x!, y!, z ?? o.weight),
  where: ([x, y]) => x!.where(x!.gt(0), y!),
  sum: ([x], o) => x!.sum(o.axes),
  mean: ([x], o) => x!.mean(o.axes),
  amax: ([x], o) => x!.amax(o.axes),
  amin: ([x], o) => x!.amin(o.axes),
  logSumExp: ([x], o) => x!.logSumExp(o.axes),
  norm: ([x], o) => x!.norm(o.p, o.axes),
  var: ([x], o) => x!.var(o.axes, { correction: o.correction }),
  std: ([x], o) => x!.std(o.axes, { correction: o.correction }),
  prod: ([x], o) => x!.prod(o.axes),
  cumprod: ([x], o) => x!.cumprod(o.axis),
  cumsum: ([x], o) => x!.cumsum(o.axis),
  softmax: ([x], o) => x!.softmax(o.axis),
  logSoftmax: ([x], o) => x!.logSoftmax(o.axis),
  sort: ([x], o) => x!.sort(o.axis).values,
  topk: ([x], o) => x!.topk(o.k, o.axis).values,
  max: ([x], o) => x!.max(o.axis).values,
  min: ([x], o) => x!.min(o.axis).values,
  layerNorm: ([x, w, b], o) => F.layerNorm(x!, o.shape, w, b, o.eps),
  rmsNorm: ([x, w], o) => F.rmsNorm(x!, o.shape, w, o.eps),
  groupNorm: ([x, w, b], o) => F.groupNorm(x!, o.groups, w, b),
  batchNorm: ([x, weight = null, bias = null], { training, mean: runningMean, var: runningVar }) =>
    F.batchNorm(x!, { weight, bias, training, ...(runningMean && { runningMean, runningVar }) }),
  binaryCrossEntropyWithLogits: ([x, t, posWeight], { target, ...o }) =>
    F.binaryCrossEntropyWithLogits(x!, t ?? target, { ...o, ...(posWeight && { posWeight }) }),
  binaryCrossEntropy: ([x, target], { target: given, ...o }) => F.binaryCrossEntropy(x!, target ?? given, o),
  mseLoss: ([x, target], o) => F.mseLoss(x!, target!, o),
  l1Loss: ([x, target], o) => F.l1Loss(x!, target!, o),
  crossEntropy: ([x], { ids, ...o }) => F.crossEntropy(x!, ids, o),
  nllLoss: ([x], { ids, ...o }) => F.nllLoss(x!, ids, o),
  gather: ([x], o) => x!.gather(1, o.index),
  indexSelect: ([x], o) => x!.indexSelect(1, o.index),
  scatter: ([x, source], o) => x!.scatter(1, o.index, source!),
  scatterAdd: ([x, source], o) => x!.scatterAdd(1, o.index, source!),
  indexCopy: ([x, source], o) => x!.indexCopy(1, o.index, source!),
  indexAdd: ([x, source], o) => x!.indexAdd(1, o.index, source!),
  embedding: ([x], o) => F.embedding(o.index, x!),
  matmul: ([x, y]) => x!.matmul(y!),
  linear: ([x, w, b]) => F.linear(x!, w!, b!),
  conv2d: ([x, w, b], o) => F.conv2d(x!, w!, b!, o),
  maxPool2d: ([x], { kernel, ...o }) => F.maxPool2d(x!, kernel, o),
  avgPool2d: ([x], { kernel, ...o }) => F.avgPool2d(x!, kernel, o),
  attention: ([q, k, v, mask], o) => F.scaledDotProductAttention(q!, k!, v!, { ...o, ...(mask && { mask }) }),
  to: ([x]) => x!.clone(),
  cat: ([x, y]) => cat([x!, y!, x!], 1),
  reshape: ([x]) => x!.reshape([2, 6]),
  expand: ([x]) => x!.expand([2, 3, 4]),
  permute: ([x]) => x!.permute([1, 0]),
  slice: ([x]) => x!.slice(1, 1, 4, 2),
  tril: ([x]) => x!.tril(),
  triu: ([x]) => x!.triu(1),
};

/** Rounds to float32, because the nine digits of the file determine the 16-bit values exactly only then. */
export const exactly = (t: StoredTensor): StoredTensor => ({
  ...t,
  data: t.data.map(x => (typeof x === 'number' ? Math.fround(x) : x)),
});

/** Options hold tensors, and numbers that may be infinite. */
export const optionsOf = (options: Record<string, unknown>, device: Device, dtype: FloatDType): Record<string, any> =>
  Object.fromEntries(
    Object.entries(options).map(([key, value]) => [
      key,
      isStored(value)
        ? toTensor(exactly(value), device, dtype)
        : value === 'inf' || value === '-inf'
          ? numberOf(value as Stored)
          : value,
    ]),
  );
