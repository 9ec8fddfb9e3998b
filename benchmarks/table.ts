import {
  autograd,
  cat,
  F,
  memory,
  noGrad,
  ones,
  optim,
  rand,
  randint,
  randn,
  zeros,
  tidy,
  type Tensor,
} from '../runtime/index.ts';
import { timed, turns, us, type Bench, type Part } from './bench.ts';
import type { Figure } from './measure.ts';
import { dtypes } from './steps.ts';

type TableDtype = 'f32' | 'bf16';
/** Prepares an op on n^2 elements, and returns a function whose call is measured. */
type Make = (n: number, dtype: TableDtype) => () => void;

/** An op of the table, and the dtypes in which it is measured: bfloat16 where the time is that of memory. */
interface Row {
  readonly make: Make;
  readonly dtypes: readonly TableDtype[];
}
const both = (make: Make): Row => ({ make, dtypes: ['f32', 'bf16'] });
const wide = (make: Make): Row => ({ make, dtypes: ['f32'] });

const gaussian = (n: number, dtype: TableDtype): Tensor => randn([n, n], { dtype: dtypes[dtype] });
const positive = (n: number, dtype: TableDtype): Tensor => rand([n, n]).add(0.5).to(dtypes[dtype]);
type Source = typeof gaussian;

/** The result of an op is freed at once, as in PyTorch. */
const freed =
  (fn: () => Tensor): (() => void) =>
  () =>
    noGrad(() => fn().dispose());
const pair =
  (fn: () => { values: Tensor; indices: Tensor }): (() => void) =>
  () =>
    void tidy(() => void noGrad(fn));
const unary =
  (fn: (x: Tensor) => Tensor, source: Source = gaussian): Make =>
  (n, dtype) => {
    const x = source(n, dtype);
    return freed(() => fn(x));
  };
const binary =
  (fn: (a: Tensor, b: Tensor) => Tensor, source: Source = gaussian): Make =>
  (n, dtype) => {
    const [a, b] = [source(n, dtype), source(n, dtype)];
    return freed(() => fn(a, b));
  };

/** An op with a derivative: the function and its leaves. */
type Recorded = (n: number, dtype: TableDtype) => readonly [fn: () => Tensor, inputs: Tensor[]];
const forward =
  (make: Recorded): Make =>
  (n, dtype) =>
    freed(make(n, dtype)[0]);
const forwardBackward =
  (make: Recorded): Make =>
  (n, dtype) => {
    const [fn, inputs] = make(n, dtype);
    const like = noGrad(fn);
    const gradOutputs = [randn(like.shape, { dtype: like.dtype as 'float32' })];
    return () => void tidy(() => void autograd.grad([fn()], inputs, { gradOutputs }));
  };
const leaves = (dtype: TableDtype, ...shapes: readonly (readonly number[])[]): Tensor[] =>
  shapes.map(shape => randn([...shape], { dtype: dtypes[dtype], requiresGrad: true }));

const gelu: Recorded = (n, dtype) => {
  const inputs = leaves(dtype, [n, n]);
  return [() => F.gelu(inputs[0]!), inputs];
};
const softmax: Recorded = (n, dtype) => {
  const inputs = leaves(dtype, [n, n]);
  return [() => inputs[0]!.softmax(-1), inputs];
};
const layerNorm: Recorded = (n, dtype) => {
  const inputs = leaves(dtype, [n, n], [n], [n]) as [Tensor, Tensor, Tensor];
  const [x, weight, bias] = inputs;
  return [() => F.layerNorm(x, [n], weight, bias), inputs];
};
const batchNorm: Recorded = (n, dtype) => {
  const channels = n / 16;
  const inputs = leaves(dtype, [n / 16, channels, 16, 16], [channels], [channels]) as [Tensor, Tensor, Tensor];
  const [x, weight, bias] = inputs;
  const place = { dtype: dtypes[dtype] };
  const running = { runningMean: zeros([channels], place), runningVar: ones([channels], place) };
  return [() => F.batchNorm(x, { weight, bias, ...running, training: true }), inputs];
};
const crossEntropy: Recorded = (n, dtype) => {
  const inputs = leaves(dtype, [n, n]);
  const target = randint(0, n, [n]);
  return [() => F.crossEntropy(inputs[0]!, target), inputs];
};
const embedding: Recorded = (n, dtype) => {
  const inputs = leaves(dtype, [4 * n, n]);
  const ids = randint(0, 4 * n, [n]);
  return [() => F.embedding(ids, inputs[0]!), inputs];
};
const attention: Recorded = (n, dtype) => {
  const shape = [n / 128, 8, n / 4, 64];
  const inputs = leaves(dtype, shape, shape, shape) as [Tensor, Tensor, Tensor];
  return [() => F.scaledDotProductAttention(...inputs, { causal: true }), inputs];
};
const convolution =
  (size: number, padding: number, groups = 1): Recorded =>
  (n, dtype) => {
    const inputs = leaves(dtype, [n / 64, 64, 32, 32], [64, 64 / groups, size, size]) as [Tensor, Tensor];
    return [() => F.conv2d(...inputs, null, { padding, groups }), inputs];
  };
const maxPool: Recorded = (n, dtype) => {
  const inputs = leaves(dtype, [n / 64, 64, 32, 32]);
  return [() => F.maxPool2d(inputs[0]!, 2), inputs];
};

const addRow: Make = (n, dtype) => {
  const [x, row] = [gaussian(n, dtype), randn([n], { dtype: dtypes[dtype] })];
  return freed(() => x.add(row));
};
const where: Make = (n, dtype) => {
  const [a, b, condition] = [gaussian(n, dtype), gaussian(n, dtype), rand([n, n]).gt(0.5)];
  return freed(() => F.where(condition, a, b));
};
const gather: Make = (n, dtype) => {
  const [x, index] = [gaussian(n, dtype), randint(0, n, [n, n])];
  return freed(() => x.gather(1, index));
};
const castWide: Make = n => {
  const x = gaussian(n, 'bf16');
  return freed(() => x.to('float32'));
};
const sort: Make = (n, dtype) => {
  const x = gaussian(n, dtype);
  return pair(() => x.sort(1));
};
const topk: Make = (n, dtype) => {
  const x = gaussian(n, dtype);
  return pair(() => x.topk(16, 1));
};
const adamw: Make = n => {
  const parameter = leaves('f32', [n, n])[0]!;
  parameter.grad = randn([n, n]);
  const optimizer = new optim.AdamW([parameter], { lr: 1e-4 });
  return () => optimizer.step();
};

/** The names are those of table.py. `.both` is forward and backward. */
export const rows: Readonly<Record<string, Row>> = {
  add: both(binary((a, b) => a.add(b))),
  mul: both(binary((a, b) => a.mul(b))),
  div: both(binary((a, b) => a.div(b), positive)),
  pow: wide(binary((a, b) => a.pow(b), positive)),
  maximum: both(binary((a, b) => a.maximum(b))),
  addRow: both(addRow),
  exp: both(unary(x => x.exp())),
  log: wide(unary(x => x.log(), positive)),
  sqrt: both(unary(x => x.sqrt(), positive)),
  sin: wide(unary(x => x.sin())),
  cos: wide(unary(x => x.cos())),
  tanh: both(unary(x => x.tanh())),
  erf: wide(unary(x => x.erf())),
  sigmoid: both(unary(x => x.sigmoid())),
  relu: both(unary(x => x.relu())),
  silu: both(unary(x => x.silu())),
  gelu: both(forward(gelu)),
  'gelu.both': both(forwardBackward(gelu)),
  where: both(where),
  dropout: both(unary(x => x.dropout(0.5))),
  castLow: wide(unary(x => x.to('bfloat16'))),
  castWide: wide(castWide),
  transpose: both(unary(x => x.T.contiguous())),
  cat: both(binary((a, b) => cat([a, b]))),
  sum: both(unary(x => x.sum())),
  sumRows: both(unary(x => x.sum(1))),
  sumColumns: both(unary(x => x.sum(0))),
  mean: both(unary(x => x.mean())),
  max: both(unary(x => x.max())),
  maxRows: both(unary(x => x.amax(1))),
  argmaxRows: wide(unary(x => x.argmax(1))),
  cumsum: both(unary(x => x.cumsum(1))),
  sort: wide(sort),
  topk: wide(topk),
  softmax: both(forward(softmax)),
  'softmax.both': both(forwardBackward(softmax)),
  logSoftmax: both(unary(x => x.logSoftmax(-1))),
  layerNorm: both(forward(layerNorm)),
  'layerNorm.both': both(forwardBackward(layerNorm)),
  batchNorm: both(forward(batchNorm)),
  'batchNorm.both': both(forwardBackward(batchNorm)),
  crossEntropy: both(forward(crossEntropy)),
  'crossEntropy.both': both(forwardBackward(crossEntropy)),
  embedding: both(forward(embedding)),
  'embedding.both': wide(forwardBackward(embedding)),
  gather: both(gather),
  attention: both(forward(attention)),
  'attention.both': both(forwardBackward(attention)),
  conv3x3: both(forward(convolution(3, 1))),
  'conv3x3.both': both(forwardBackward(convolution(3, 1))),
  conv1x1: both(forward(convolution(1, 0))),
  depthwise: wide(forward(convolution(3, 1, 64))),
  maxPool: both(forward(maxPool)),
  adamw: wide(adamw),
};

/** Measures one op in one dtype. */
async function figureOf(bench: Bench, name: string, dtype: TableDtype): Promise<Figure> {
  const n = bench.tiny ? 128 : 1024;
  const cases = { [name]: rows[name]!.make(n, dtype) };
  const times = await turns(bench, { part: 'table', sizes: { name, elements: n * n, dtype }, cases });
  memory.collect();
  return { name: `table.${name}.${dtype}.us`, ...timed(times, name, us), mustOverTorch: '>= 0.9' };
}

/** The geometric mean of what the figures are over PyTorch's, in times. */
function geometricMean(figures: readonly Figure[]): Figure[] {
  const ratios = figures.flatMap(({ value, torch }) => (torch === undefined ? [] : [Math.log(torch / value)]));
  if (ratios.length < figures.length || ratios.length === 0) return [];
  const value = Math.exp(ratios.reduce((sum, each) => sum + each, 0) / ratios.length);
  return [{ name: 'table.geometricMean', value, unit: 'ratio', must: '>= 1.3' }];
}

/** Ops on about a million elements, forward, and forward and backward. */
export const table: Part = async bench => {
  const figures: Figure[] = [];
  for (const [name, row] of Object.entries(rows))
    for (const dtype of row.dtypes)
      if (bench.wants(`table.${name}.${dtype}`)) figures.push(await figureOf(bench, name, dtype));
  return [...figures, ...geometricMean(figures)];
};
