import { describe, expect, test } from 'bun:test';
import {
  autocast,
  autograd,
  CastorError,
  F,
  fromTypedArray,
  ones,
  synchronize,
  tidy,
  zeros,
  type Device,
  type DType,
  type FloatDType,
  type LowDType,
  type Tensor,
} from 'castor';
import { load, numberOf, toTensor, type Stored, type StoredTensor } from '../golden/load.ts';
import { compareArrays } from '../reference/compare.ts';
import { devices, onEmulator } from '../setup.ts';
import type { Result } from './case.ts';
import { listOf } from './run.ts';

/** A call with sizes 0 or 1, or of rank 0, in the form in which tests/golden/shapes.py writes it. */
interface Record {
  op: keyof typeof calls;
  inputs: number[][];
  options: any;
  /** Whether PyTorch refuses it. */
  refused?: true;
  outputs?: [shape: number[], data: Stored[]][];
  /** null stands for zeros. Absent if PyTorch itself fails. */
  gradients?: (Stored[] | null)[];
  second?: (Stored[] | null)[];
}

type Call = (inputs: Tensor[], options: any) => Result<Tensor>;
const pair = ({ values, indices }: { values: Tensor; indices: Tensor }): Tensor[] => [values, indices];
type Reduce = (x: Tensor, axis: number | undefined, options: { keepdim: boolean }) => Tensor;
const reduced =
  (fn: Reduce): Call =>
  ([x], { axis, keepdim = false }) =>
    fn(x!, axis, { keepdim });

/** Masks that hide keys: added to the scores, or true for visible keys. */
const maskOf = (hidden: Tensor, added: boolean, dtype: DType): Tensor =>
  added ? hidden.to(dtype).mul(0).maskedFill(hidden.ne(0), -Infinity) : hidden.eq(0);

const calls = {
  matmul: ([a, b]) => a!.matmul(b!),
  linear: ([x, w, b]) => F.linear(x!, w!, b),
  conv2d: ([x, w, b], o) => F.conv2d(x!, w!, b, o),
  conv1d: ([x, w, b]) => F.conv1d(x!, w!, b),
  maxPool2d: ([x], { kernel }) => F.maxPool2d(x!, kernel),
  avgPool2d: ([x], { kernel }) => F.avgPool2d(x!, kernel),
  layerNorm: ([x, w, b], { shape }) => F.layerNorm(x!, shape, w, b),
  rmsNorm: ([x, w], { shape }) => F.rmsNorm(x!, shape, w, 1e-5),
  groupNorm: ([x, w, b], { groups }) => F.groupNorm(x!, groups, w, b),
  batchNorm: ([x, weight, bias], { training }) => {
    const like = { dtype: x!.dtype, device: x!.device };
    const [runningMean, runningVar] = [zeros(weight!.shape, like), ones(weight!.shape, like)];
    return F.batchNorm(x!, { weight: weight!, bias: bias!, training, runningMean, runningVar });
  },
  sum: reduced(F.sum),
  mean: reduced(F.mean),
  prod: reduced(F.prod),
  amax: reduced(F.amax),
  amin: reduced(F.amin),
  any: reduced(F.any),
  all: reduced(F.all),
  argmax: reduced(F.argmax),
  argmin: reduced(F.argmin),
  var: reduced(F.var),
  std: reduced(F.std),
  logSumExp: reduced(F.logSumExp),
  norm: ([x], { axis, keepdim }) => x!.norm(2, axis, { keepdim }),
  max: ([x], { axis }) => (axis === undefined ? x!.max() : pair(x!.max(axis))),
  min: ([x], { axis }) => (axis === undefined ? x!.min() : pair(x!.min(axis))),
  cumsum: ([x], { axis }) => x!.cumsum(axis),
  cumprod: ([x], { axis }) => x!.cumprod(axis),
  softmax: ([x], { axis }) => x!.softmax(axis),
  logSoftmax: ([x], { axis }) => x!.logSoftmax(axis),
  sort: ([x], { axis }) => pair(x!.sort(axis)),
  argsort: ([x], { axis }) => x!.argsort(axis),
  topk: ([x], { axis, k }) => pair(x!.topk(k, axis)),
  gather: ([x], { axis, index }) => x!.gather(axis, index),
  scatter: ([x, source], { axis, index, value }) => x!.scatter(axis, index, source ?? value),
  scatterAdd: ([x, source], { axis, index }) => x!.scatterAdd(axis, index, source!),
  indexSelect: ([x], { axis, index }) => x!.indexSelect(axis, index),
  indexCopy: ([x, source], { axis, index }) => x!.indexCopy(axis, index, source!),
  indexAdd: ([x, source], { axis, index }) => x!.indexAdd(axis, index, source!),
  embedding: ([w], { index }) => F.embedding(index, w!),
  scaledDotProductAttention: ([q, k, v, given], { causal = false, hidden, added }) => {
    const mask = given ?? (hidden && maskOf(toTensor(hidden as StoredTensor, q!.device), added as boolean, q!.dtype));
    return F.scaledDotProductAttention(q!, k!, v!, { causal, scale: 0.5, ...(mask && { mask }) });
  },
  crossEntropy: ([x], { index, reduction }) => F.crossEntropy(x!, index, { reduction }),
} satisfies { [name: string]: Call };

/** The same elements as in shapes.py. */
const countOf = (shape: readonly number[]): number => shape.reduce((n, size) => n * size, 1);
const waves = (count: number, wave: (i: number) => number): Float64Array =>
  Float64Array.from({ length: count }, (_, i) => wave(i));
const valuesAt = (shape: readonly number[], place: number): Float64Array =>
  waves(countOf(shape), i => 1 + 0.8 * Math.sin(1.7 * i + 0.9 * place + 0.3));
const seedOf = ({ shape, numel, dtype, device }: Tensor): Tensor =>
  fromTypedArray(
    waves(numel, i => Math.sin(1.7 * i + 0.6) + 1.3),
    shape,
    { dtype, device },
  );

function gradientsOf(outputs: readonly Tensor[], leaves: readonly Tensor[], createGraph: boolean): Tensor[] {
  const smooth = outputs.filter(out => out.isFloat && out.requiresGrad);
  if (smooth.length === 0) return leaves.map(x => x.zerosLike());
  const total = smooth.map(out => out.mul(seedOf(out)).sum()).reduce((a, b) => a.add(b));
  return autograd
    .grad(total, leaves, { createGraph, retainGraph: true, allowUnused: true })
    .map((g, i) => g ?? leaves[i]!.zerosLike());
}

/** The conditions of a call: the dtype and layout of its inputs, and the dtype of autocast. */
interface Way {
  readonly dtype: FloatDType;
  readonly tolerance: number;
  readonly transposed?: true;
  readonly autocast?: LowDType;
}
const float32: Way = { dtype: 'float32', tolerance: 1e-4 };
const ways: readonly Way[] = [
  float32,
  { dtype: 'float64', tolerance: 1e-6 },
  { dtype: 'float16', tolerance: 0.06 },
  { ...float32, transposed: true },
  { ...float32, autocast: 'float16', tolerance: 0.03 },
].slice(0, onEmulator ? 1 : undefined) as readonly Way[];

/** The inputs of the generator, in a layout and dtype. */
function leafOf(shape: readonly number[], place: number, { dtype, transposed }: Way, device: Device): Tensor {
  const x = fromTypedArray(valuesAt(shape, place), shape, { dtype, device });
  const order = shape.map((_, axis) => shape.length - 1 - axis);
  return (transposed ? x.permute(order).contiguous().permute(order).detach() : x).requiresGrad_();
}

const near = (actual: Tensor, expected: readonly Stored[] | null, { tolerance }: Way): string | null =>
  compareArrays(
    actual.dataSync(),
    expected === null ? new Float64Array(actual.numel) : Float64Array.from(expected, numberOf),
    { rtol: tolerance, atol: tolerance },
  );
const sizesOf = (t: Tensor): string => JSON.stringify(t.shape);

/**
 * docs/differences.md: convolutions and pools of nothing are sums over nothing. PyTorch refuses most of them, and loses
 * the output channels of a convolution without input channels, so only shapes can be compared.
 */
function goesFurther({ op, inputs: [x, weight], refused }: Record): boolean {
  if (op === 'conv2d' || op === 'conv1d') return x![1] === 0 || (refused === true && [weight![0], ...x!].includes(0));
  return (op === 'maxPool2d' || op === 'avgPool2d') && x![1] === 0;
}
/** docs/differences.md: PyTorch accepts additions to an axis of size 0, and fails in backward. */
const isStricter = ({ op, inputs, options }: Record): boolean =>
  op === 'indexAdd' && inputs[0]!.at(options.axis as number) === 0 && countOf(options.index.shape as number[]) > 0;

/** Describes how a call differs from PyTorch; null if it does not. */
function judge(known: Record, device: Device, way: Way): string | null {
  const leaves = known.inputs.map((shape, i) => leafOf(shape, i, way, device));
  const { index } = known.options;
  const options =
    index === undefined ? known.options : { ...known.options, index: toTensor(index as StoredTensor, device) };
  const call = (): Result<Tensor> => calls[known.op](leaves, options);
  const run = (): readonly Tensor[] => listOf(way.autocast ? autocast({ device, dtype: way.autocast }, call) : call());
  const further = goesFurther(known);
  if (known.refused || isStricter(known)) {
    try {
      const shapes = run().map(sizesOf);
      // A GPU reports an invalid index when it is waited for.
      synchronize(device);
      if (!further) return `gave ${shapes}, which PyTorch refuses`;
    } catch (error) {
      return error instanceof CastorError ? null : `threw ${String(error)}`;
    }
  }
  const outputs = run();
  for (const [i, [shape, data]] of (further ? [] : known.outputs!).entries()) {
    if (sizesOf(outputs[i]!) !== JSON.stringify(shape))
      return `result ${i} has shape ${sizesOf(outputs[i]!)}, not [${shape}]`;
    const wrong = near(outputs[i]!, data, way);
    if (wrong) return `result ${i}: ${wrong}`;
  }
  return judgeGradients(further ? null : known, outputs, leaves, way);
}

function judgeGradients(
  known: Record | null,
  outputs: readonly Tensor[],
  leaves: readonly Tensor[],
  way: Way,
): string | null {
  // First with the kernels of backward, then with formulas that can be differentiated.
  const plain = gradientsOf(outputs, leaves, false);
  const first = gradientsOf(outputs, leaves, true);
  const second = gradientsOf(first, leaves, false);
  for (const [name, own, wanted] of [
    ['gradient', plain, known?.gradients],
    ['gradient with a graph', first, known?.gradients],
    ['second gradient', second, known?.second],
  ] as const)
    for (const [i, x] of leaves.entries()) {
      if (sizesOf(own[i]!) !== sizesOf(x)) return `${name} ${i} has shape ${sizesOf(own[i]!)}, not [${x.shape}]`;
      const wrong = wanted && near(own[i]!, wanted[i]!, way);
      if (wrong) return `${name} ${i}: ${wrong}`;
    }
  return null;
}

const records = load<Record>('shapes');

describe.each([...devices])('sizes 0 and 1 and rank 0 on %s', device => {
  for (const op of Object.keys(calls) as (keyof typeof calls)[])
    test(`${op} is as PyTorch's, and so are its first and second gradients`, () => {
      const wrong: string[] = [];
      for (const known of records.filter(record => record.op === op))
        for (const way of ways) {
          const call = `${JSON.stringify(way)} ${JSON.stringify(known.inputs)} ${JSON.stringify({ ...known.options, index: known.options.index?.shape })}`;
          let problem: string | null;
          try {
            problem = tidy(() => judge(known, device, way));
          } catch (error) {
            problem = `threw ${String(error).slice(0, 200)}`;
          }
          if (problem) wrong.push(`${call}: ${problem}`);
        }
      expect(wrong).toEqual([]);
    });
});
