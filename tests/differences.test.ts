import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  arange,
  autocast,
  autograd,
  CastorError,
  eye,
  F,
  full,
  GradScaler,
  linspace,
  manualSeed,
  nn,
  ones,
  optim,
  rand,
  randint,
  randperm,
  tensor,
  Tensor,
  tidy,
  zeros,
} from 'castor';
import { signatureSpecs, type Specs } from '../runtime/arguments.ts';
import { load } from './golden/load.ts';
import { root } from './process.ts';

/** An argument that has no default. */
const REQUIRED = 'required';
/**
 * The default of an argument, another value that gives a different result, and PyTorch's name if it is not just spelled
 * differently.
 */
type Argument = readonly [ours: unknown, other: unknown, theirs?: string, also?: Record<string, unknown>];
interface Row {
  readonly arguments: Record<string, Argument>;
  /** Returns the results for some of the arguments; the others are left out. */
  call(given: any): unknown;
}

const x = (): Tensor => tensor([[3, 1, 2], [5, 4, 6]]); // prettier-ignore
const positive = (): Tensor => tensor([[0.3, 0.1, 0.2], [0.5, 0.4, 0.6]]); // prettier-ignore
const leaf = (): Tensor => tensor([1, 2], { requiresGrad: true });
const weight3 = { weight: [null, [2, 3, 4]] } as const;
const optionsOnly =
  (fn: (x: Tensor, options: any) => unknown) =>
  (given: any): unknown =>
    fn(x(), given);
const axis = [null, 0, 'dim'] as const;
const keepdim = [false, true, 'keepdim', { axis: 0, axes: 0 }] as const;
const dtype = [null, 'float64'] as const;

const reduce = (fn: (x: Tensor, axes: any, options: any) => unknown, more: Record<string, Argument> = {}): Row => ({
  arguments: { axes: axis, keepdim, ...more },
  call: ({ axes, axis: _, ...options }) => fn(x(), axes, options),
});
const reduceOne = (fn: (x: Tensor, axis: any, options: any) => unknown): Row => ({
  arguments: { axis, keepdim },
  call: ({ axis: at, axes: _, ...options }) => fn(x(), at, options),
});
/** Converts a value to a tensor if it is an array. */
const asTensor = (value: unknown): any => (Array.isArray(value) ? tensor(value) : value);
const withTensors = (given: Record<string, unknown>): any =>
  Object.fromEntries(Object.entries(given).map(([name, value]) => [name, asTensor(value)]));
const loss = (
  fn: (x: Tensor, target: Tensor, options: any) => Tensor,
  target: () => Tensor,
  more: Record<string, Argument> = {},
): Row => ({
  arguments: { reduction: ['mean', 'sum'], ...more },
  call: given => fn(positive(), target(), withTensors(given)),
});
const lossModule = (Loss: new (options: any) => any, target: () => Tensor, more: Record<string, Argument> = {}): Row =>
  loss((input, wanted, options) => new Loss(options).forward(input, wanted), target, more);
const classes = (): Tensor => tensor([2n, 1n]);
const classLoss = { ...weight3, ignoreIndex: [-100, 1] } as const;
const same = (): Tensor => positive().square();

const conv = (rank: 1 | 2): Row => ({
  arguments: { bias: [null, [1, 2]], stride: [1, 2], padding: [0, 1], dilation: [1, 2], groups: [1, 2] },
  call: ({ bias, ...options }) => {
    const input = arange(2 * 5 ** rank).to('float32').reshape([1, 2, ...Array<number>(rank).fill(5)]); // prettier-ignore
    const kernel = ones([2, 2, ...Array<number>(rank).fill(2)]);
    return (rank === 1 ? F.conv1d : F.conv2d)(input, kernel, asTensor(bias), options);
  },
});
const image = (): Tensor => arange(25).to('float32').reshape([1, 1, 5, 5]); // prettier-ignore
const pool = { stride: [null, 1], padding: [0, 1] } as const;
const made = (fn: (options: any) => Tensor): Row => ({ arguments: { dtype }, call: fn });
const optimizer = (
  Optimizer: new (params: Tensor[], options: any) => any,
  settings: Record<string, Argument>,
): Row => ({
  arguments: settings,
  call: given => {
    const { params: _, ...group } = new Optimizer([leaf()], given).paramGroups[0];
    return group;
  },
});
const adam = { lr: [1e-3, 1], betas: [[0.9, 0.999], [0.5, 0.5]], eps: [1e-8, 1], amsgrad: [false, true], maximize: [false, true] } as const; // prettier-ignore

const rows: Record<string, Row> = {
  'F.sum': reduce(F.sum, { dtype }),
  'F.mean': reduce(F.mean, { dtype }),
  'F.prod': reduce(F.prod, { dtype }),
  'F.amax': reduce(F.amax),
  'F.amin': reduce(F.amin),
  'F.any': reduce(F.any),
  'F.all': reduce(F.all),
  'F.logSumExp': reduce(F.logSumExp),
  'F.var': reduce(F.var, { correction: [1, 0] }),
  'F.std': reduce(F.std, { correction: [1, 0] }),
  'F.argmax': reduceOne(F.argmax),
  'F.argmin': reduceOne(F.argmin),
  'F.max': reduceOne(F.max),
  'F.min': reduceOne(F.min),
  'F.norm': {
    arguments: { p: [2, 1], axes: axis, keepdim, dtype },
    call: ({ p, axes, axis: _, ...options }) => F.norm(x(), p, axes, options),
  },
  'F.countNonzero': { arguments: { axes: axis }, call: ({ axes }) => F.countNonzero(x(), axes) },
  'F.cumsum': { arguments: { dtype }, call: optionsOnly((t, options) => F.cumsum(t, 0, options)) },
  'F.cumprod': { arguments: { dtype }, call: optionsOnly((t, options) => F.cumprod(t, 0, options)) },
  'F.softmax': { arguments: { dtype }, call: optionsOnly((t, options) => F.softmax(t, 0, options)) },
  'F.logSoftmax': { arguments: { dtype }, call: optionsOnly((t, options) => F.logSoftmax(t, 0, options)) },
  'F.topk': {
    arguments: { axis: [-1, 0, 'dim'], largest: [true, false] },
    call: ({ axis: at, ...options }) => F.topk(x(), 1, at, options),
  },
  'F.sort': {
    arguments: { axis: [-1, 0, 'dim'], descending: [false, true] },
    call: ({ axis: at, ...options }) => F.sort(x(), at, options),
  },
  'F.argsort': {
    arguments: { axis: [-1, 0, 'dim'], descending: [false, true] },
    call: ({ axis: at, ...options }) => F.argsort(x(), at, options),
  },
  'F.multinomial': { arguments: { replacement: [false, true] }, call: given => F.multinomial(ones([20]), 20, given) },
  'F.flatten': {
    arguments: { start: [0, 1, 'start_dim'], end: [-1, 1, 'end_dim'] },
    call: ({ start, end }) => F.flatten(zeros([2, 3, 4]), start, end),
  },
  'F.squeeze': { arguments: { axes: axis }, call: ({ axes }) => F.squeeze(zeros([1, 2, 1]), axes) },
  'F.split': { arguments: { axis: [0, 1, 'dim'] }, call: ({ axis: at }) => F.split(x(), 1, at) },
  'F.chunk': { arguments: { axis: [0, 1, 'dim'] }, call: ({ axis: at }) => F.chunk(x(), 2, at) },
  'F.unbind': { arguments: { axis: [0, 1, 'dim'] }, call: ({ axis: at }) => F.unbind(x(), at) },
  'F.cat': { arguments: { axis: [0, 1, 'dim'] }, call: ({ axis: at }) => F.cat([x(), x()], at) },
  'F.stack': { arguments: { axis: [0, 1, 'dim'] }, call: ({ axis: at }) => F.stack([x(), x()], at) },
  'F.tril': { arguments: { diagonal: [0, 1] }, call: ({ diagonal }) => F.tril(x(), diagonal) },
  'F.triu': { arguments: { diagonal: [0, 1] }, call: ({ diagonal }) => F.triu(x(), diagonal) },
  'F.clamp': {
    arguments: { min: [null, 3], max: [null, 3] },
    call: given => F.clamp(x(), { min: 0, ...given, ...('min' in given && { max: 9 }) }),
  },
  'F.addcmul': { arguments: { value: [1, 2] }, call: ({ value }) => F.addcmul(x(), x(), x(), value) },
  'F.addcdiv': { arguments: { value: [1, 2] }, call: ({ value }) => F.addcdiv(x(), x(), x(), value) },
  'F.linear': { arguments: { bias: [null, [1, 2]] }, call: ({ bias }) => F.linear(x(), ones([2, 3]), asTensor(bias)) },
  'F.conv1d': conv(1),
  'F.conv2d': conv(2),
  'F.gelu': { arguments: { approximate: ['none', 'tanh'] }, call: optionsOnly(F.gelu) },
  'F.softplus': { arguments: { beta: [1, 2], threshold: [20, 0.1] }, call: optionsOnly(F.softplus) },
  'F.leakyRelu': {
    arguments: { slope: [0.01, 0.5, 'negative_slope'] },
    call: ({ slope }) => F.leakyRelu(x().neg(), slope),
  },
  'F.elu': { arguments: { alpha: [1, 2] }, call: ({ alpha }) => F.elu(x().neg(), alpha) },
  'F.dropout': {
    arguments: { p: [0.5, 0.1], training: [true, false] },
    call: ({ p, training }) => F.dropout(ones([100]), p, training),
  },
  'F.maxPool2d': { arguments: { ...pool, dilation: [1, 2] }, call: given => F.maxPool2d(image(), 2, given) },
  'F.avgPool2d': {
    arguments: { ...pool, countIncludePad: [true, false, 'count_include_pad', { padding: 1 }] },
    call: given => F.avgPool2d(image(), 2, given),
  },
  'F.layerNorm': {
    arguments: { ...weight3, bias: [null, [1, 2, 3]], eps: [1e-5, 1] },
    call: ({ weight, bias, eps }) => F.layerNorm(x(), [3], asTensor(weight), asTensor(bias), eps),
  },
  'F.rmsNorm': {
    arguments: { ...weight3, eps: [null, 1] },
    call: ({ weight, eps }) => F.rmsNorm(x(), [3], asTensor(weight), eps),
  },
  'F.groupNorm': {
    arguments: { ...weight3, bias: [null, [1, 2, 3]], eps: [1e-5, 1] },
    call: ({ weight, bias, eps }) => F.groupNorm(x(), 1, asTensor(weight), asTensor(bias), eps),
  },
  'F.batchNorm': {
    arguments: { ...weight3, bias: [null, [1, 2, 3]], training: [false, true], momentum: [0.1, 0.5, 'momentum', { training: true }], eps: [1e-5, 1] }, // prettier-ignore
    call: given => {
      const [runningMean, runningVar] = [zeros([3]), ones([3])];
      return [F.batchNorm(x(), { runningMean, runningVar, ...withTensors(given) }), runningMean, runningVar];
    },
  },
  'F.mseLoss': loss(F.mseLoss, same),
  'F.l1Loss': loss(F.l1Loss, same),
  'F.crossEntropy': loss(F.crossEntropy, classes, { ...classLoss, labelSmoothing: [0, 0.1] }),
  'F.nllLoss': loss(F.nllLoss, classes, classLoss),
  'F.binaryCrossEntropy': loss(F.binaryCrossEntropy, same, weight3),
  'F.binaryCrossEntropyWithLogits': loss(F.binaryCrossEntropyWithLogits, same, { ...weight3, posWeight: [null, [1, 2, 3]] }), // prettier-ignore
  'F.embedding': { arguments: {}, call: () => F.embedding(classes(), ones([3, 2])) },
  'F.oneHot': { arguments: { numClasses: [REQUIRED, 5] }, call: ({ numClasses }) => F.oneHot(classes(), numClasses) },
  'F.scaledDotProductAttention': {
    arguments: { mask: [null, [[true, false], [true, true]], 'attn_mask'], dropoutP: [0, 0.5], causal: [false, true, 'is_causal'], scale: [null, 0.1] }, // prettier-ignore
    call: given => F.scaledDotProductAttention(x(), x(), x().square(), withTensors(given)),
  },
  'F.set_': { arguments: { accumulate: [false, true] }, call: optionsOnly((t, options) => t.set_([0], 1, options)) },

  'Tensor.uniform_': {
    arguments: { from: [0, 0.5], to: [1, 2] },
    call: ({ from, to }) => zeros([3]).uniform_(from, to),
  },
  'Tensor.normal_': {
    arguments: { mean: [0, 1], std: [1, 2] },
    call: ({ mean, std }) => zeros([3]).normal_(mean, std),
  },
  'Tensor.backward': {
    arguments: { grad: [null, [5, 6], 'gradient'], retainGraph: [null, true], createGraph: [false, true] },
    call: ({ grad, ...options }) => {
      const [a, gradient] = [leaf(), asTensor(grad)];
      const y = gradient === undefined ? a.square().sum() : a.square();
      y.backward(gradient, options);
      return [a.grad, a.grad!.requiresGrad, outcome(() => void y.backward(gradient))];
    },
  },
  'Tensor.requiresGrad_': {
    arguments: { on: [true, false, 'requires_grad'] },
    call: ({ on }) => ones([1]).requiresGrad_(on).requiresGrad,
  },
  'autograd.grad': {
    arguments: { gradOutputs: [null, [[5, 6]], 'grad_outputs'], retainGraph: [null, true], createGraph: [false, true], allowUnused: [null, true] }, // prettier-ignore
    call: ({ gradOutputs, ...options }) => {
      const [a, unused] = [leaf(), leaf()];
      const y = gradOutputs ? a.square() : a.square().sum();
      const given = { ...(gradOutputs && { gradOutputs: gradOutputs.map(asTensor) }), ...options };
      const [first] = autograd.grad(y, [a], given);
      const again = outcome(() => void autograd.grad(y, [a], given));
      return [first, first!.requiresGrad, again, outcome(() => autograd.grad(leaf().sum(), [unused], options))];
    },
  },
  'autograd.gradcheck': {
    arguments: { eps: [1e-6, 0.5], atol: [1e-5, 1], rtol: [1e-4, 1] },
    call: given => {
      // The distances that were tried, and the error of a gradient that is still accepted, for gradients of 0 and of
      // 1000.
      const tried: number[] = [];
      const [a] = [tensor([0], { dtype: 'float64', requiresGrad: true })];
      outcome(() => autograd.gradcheck(t => (tried.push(t.itemSync()), t.mul(1)), [a], given));
      const wrong = (slope: number, by: number): unknown =>
        outcome(() => autograd.gradcheck(t => F.add(t.mul(slope), t.sub(t.detach()).mul(by)), [a], given));
      const errors = [0.5e-5, 0.9e-5, 2e-5, 0.1];
      return [tried.map(Math.abs), errors.map(by => wrong(0, by)), errors.map(by => wrong(1, by * 10))];
    },
  },

  arange: {
    arguments: { step: [1, 2], dtype },
    call: ({ step, ...options }) => (step === undefined ? arange(0, 5, options) : arange(0, 5, step, options)),
  },
  linspace: made(options => linspace(0, 1, 3, options)),
  eye: made(options => eye(2, 3, options)),
  full: made(options => full([2], 1.5, options)),
  zeros: made(options => zeros([2], options)),
  rand: made(options => rand([2], options)),
  randint: { arguments: { dtype: ['int64', 'int32'] }, call: options => randint(0, 5, [2], options) },
  randperm: { arguments: { dtype: ['int64', 'int32'] }, call: options => randperm(5, options) },

  'nn.Linear': { arguments: { bias: [true, false] }, call: given => new nn.Linear(2, 3, given).bias },
  'nn.Conv2d': {
    arguments: { stride: [1, 2], padding: [0, 1], dilation: [1, 2], groups: [1, 2], bias: [true, false] },
    call: given => new nn.Conv2d(2, 2, 2, given).forward(F.cat([image(), image()], 1)),
  },
  'nn.BatchNorm2d': {
    arguments: { eps: [1e-5, 1], momentum: [0.1, 0.5], affine: [true, false], trackRunningStats: [true, false] },
    call: given => {
      const layer = new nn.BatchNorm2d(1, given);
      return [layer.forward(image()), layer.weight, layer.bias, layer.runningMean];
    },
  },
  'nn.Embedding': { arguments: {}, call: () => new nn.Embedding(2, 3).weight },
  'nn.LayerNorm': {
    arguments: { eps: [1e-5, 1], affine: [true, false, 'elementwise_affine'], bias: [true, false] },
    call: given => {
      const layer = new nn.LayerNorm(3, given);
      return [layer.forward(x()), layer.weight, layer.bias];
    },
  },
  'nn.RMSNorm': {
    arguments: { eps: [null, 1], affine: [true, false, 'elementwise_affine'] },
    call: given => {
      const layer = new nn.RMSNorm(3, given);
      return [layer.forward(x()), layer.weight];
    },
  },
  'nn.Dropout': { arguments: { p: [0.5, 0.1] }, call: ({ p }) => new nn.Dropout(p).forward(ones([100])) },
  'nn.GELU': { arguments: { approximate: ['none', 'tanh'] }, call: given => new nn.GELU(given).forward(x()) },
  'nn.Flatten': {
    arguments: { start: [1, 0, 'start_dim'], end: [-1, 1, 'end_dim'] },
    call: ({ start, end }) => new nn.Flatten(start, end).forward(zeros([2, 3, 4])),
  },
  'nn.MaxPool2d': {
    arguments: { ...pool, dilation: [1, 2] },
    call: given => new nn.MaxPool2d(2, given).forward(image()),
  },
  'nn.MSELoss': lossModule(nn.MSELoss, same),
  'nn.L1Loss': lossModule(nn.L1Loss, same),
  'nn.CrossEntropyLoss': lossModule(nn.CrossEntropyLoss, classes, { ...classLoss, labelSmoothing: [0, 0.1] }),
  'nn.NLLLoss': lossModule(nn.NLLLoss, classes, classLoss),
  'nn.BCELoss': lossModule(nn.BCELoss, same, weight3),
  'nn.BCEWithLogitsLoss': lossModule(nn.BCEWithLogitsLoss, same, { ...weight3, posWeight: [null, [1, 2, 3]] }),
  'nn.clipGradNorm': {
    arguments: { normType: [2, 1] },
    call: given => {
      const a = leaf();
      a.square().sum().backward();
      return [nn.clipGradNorm([a], 1, given), a.grad];
    },
  },
  'nn.clipGradValue': { arguments: {}, call: () => 0 },
  'nn.init.uniform': {
    arguments: { from: [0, 0.5, 'a'], to: [1, 2, 'b'] },
    call: ({ from, to }) => nn.init.uniform(zeros([3]), from, to),
  },
  'nn.init.normal': {
    arguments: { mean: [0, 1], std: [1, 2] },
    call: ({ mean, std }) => nn.init.normal(zeros([3]), mean, std),
  },
  'nn.init.xavierUniform': { arguments: { gain: [1, 2] }, call: ({ gain }) => nn.init.xavierUniform(x(), gain) },
  'nn.init.kaimingUniform': { arguments: {}, call: () => nn.init.kaimingUniform(x()) },
  'nn.Parameter': {
    arguments: { requiresGrad: [true, false] },
    call: given => nn.Parameter(ones([1]), given).requiresGrad,
  },
  'nn.Buffer': {
    arguments: { persistent: [true, false] },
    call: given => {
      class Own extends nn.Module {
        seen = nn.Buffer(ones([1]), given);
        forward(): Tensor {
          return this.seen;
        }
      }
      return [...new Own().stateDict().keys()];
    },
  },
  'optim.SGD': optimizer(optim.SGD, {
    lr: [1e-3, 1],
    momentum: [0, 0.9],
    dampening: [0, 0.5],
    weightDecay: [0, 0.1],
    nesterov: [false, true, 'nesterov', { momentum: 0.9 }],
    maximize: [false, true],
  }),
  'optim.Adam': optimizer(optim.Adam, { ...adam, weightDecay: [0, 0.1] }),
  'optim.AdamW': optimizer(optim.AdamW, { ...adam, weightDecay: [0.01, 0.1] }),
  GradScaler: {
    arguments: { initScale: [65536, 1024], growthFactor: [2, 4], backoffFactor: [0.5, 0.25], growthInterval: [2000, 7], enabled: [true, false] }, // prettier-ignore
    call: given => {
      const scaler = new GradScaler({ device: 'cpu', ...given });
      return [scaler.scale(ones([1])), scaler.growthFactor, scaler.backoffFactor, scaler.growthInterval];
    },
  },
  autocast: {
    arguments: { enabled: [true, false], cacheEnabled: [true, false] },
    call: given => autocast(given, () => [autocast.current()!.enabled, autocast.current()!.cacheEnabled]),
  },
  'model.zeroGrad': { arguments: {}, call: () => 0 },
  'model.loadStateDict': { arguments: {}, call: () => 0 },
  'model.train': { arguments: { on: [true, false, 'mode'] }, call: ({ on }) => new nn.Dropout().train(on).training },
};

/** The result of a call, or the error that it throws, in a form that can be compared. */
function outcome(call: () => unknown): unknown {
  try {
    return told(call());
  } catch (error) {
    if (error instanceof CastorError) return error.name;
    throw error;
  }
}
function told(value: unknown): unknown {
  if (value instanceof Tensor) return [value.dtype, value.shape, value.toArraySync()];
  if (Array.isArray(value)) return value.map(told);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value).map(([name, item]) => [name, told(item)]);
}

const golden = new Map(
  load<{ name: string; defaults: string }>('signatures').map(({ name, defaults }) => [
    name,
    JSON.parse(defaults) as Record<string, unknown>,
  ]),
);
const snake = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
const theirName = (name: string, [, , theirs]: Argument): string => theirs ?? snake(name);
const code = (value: unknown): string => `\`${String(Array.isArray(value) ? `[${value.join(', ')}]` : value)}\``;

const page = readFileSync(join(root, 'docs/differences.md'), 'utf8');
/** The rows of the table under a heading, cell by cell. */
function tableOf(heading: string): string[][] {
  const section = page.split(/^## /m).find(part => part.startsWith(`${heading}\n`));
  const lines = section!.split('\n').filter(line => line.startsWith('|'));
  return lines.slice(2).map(line => line.slice(1, -1).split('|').map(cell => cell.trim())); // prettier-ignore
}

describe('docs/differences.md', () => {
  test('every row has a reason', () => {
    for (const heading of ['Values and behaviour', 'Defaults', 'Arguments that Castor does not have'])
      for (const cells of tableOf(heading)) expect(cells.at(-1)!.length, cells.join(' | ')).toBeGreaterThan(3);
  });

  test("lists the defaults that are not PyTorch's, and no others", () => {
    const differences = Object.entries(rows).flatMap(([fn, row]) =>
      Object.entries(row.arguments).flatMap(([name, argument]) => {
        const theirs = golden.get(fn)![theirName(name, argument)];
        return Bun.deepEquals(theirs, argument[0])
          ? []
          : [[`\`${fn}\``, `\`${name}\``, code(theirs), code(argument[0])]];
      }),
    );
    expect(tableOf('Defaults').map(cells => cells.slice(0, 4))).toEqual(differences);
  });

  test('lists the arguments of PyTorch that Castor does not have, and no others', () => {
    const missing = [...golden].flatMap(([fn, defaults]) => {
      const here = Object.entries(rows[fn]!.arguments).map(([name, argument]) => theirName(name, argument));
      return Object.keys(defaults).flatMap(name => (here.includes(name) ? [] : [`${name} of ${fn}`]));
    });
    const listed = tableOf('Arguments that Castor does not have').flatMap(([names, of]) =>
      [...names!.matchAll(/`(\w+)`/g)].flatMap(([, name]) =>
        [...of!.matchAll(/`([\w.]+)`/g)].map(([, fn]) => `${name} of ${fn}`),
      ),
    );
    expect(listed.toSorted()).toEqual(missing.toSorted());
  });
});

describe('defaults are what the table of this test says', () => {
  test('and it has every function and module that takes something optional', () => {
    // Functions that are parts of others, and functions that have no counterpart in PyTorch.
    const inner = ['maxPool2dWithIndices', 'slice', 'copy_', 'fill_', 'uniform_', 'normal_'];
    const takesMore = ([, specs]: [string, Specs]): boolean => Object.values(specs).some(spec => spec.optional);
    const functions = Object.keys(F)
      .map((name): [string, Specs] => [name, signatureSpecs.get(name)!])
      .filter(takesMore).map(([name]) => name); // prettier-ignore
    expect(functions.filter(name => !inner.includes(name) && !(`F.${name}` in rows))).toEqual([]);
    const plainLayers = ['Module', 'Sequential', 'ReLU', 'SiLU', 'Tanh', 'Sigmoid'];
    const classes = Object.keys(nn).filter(name => /^[A-Z]/.test(name) && !plainLayers.includes(name));
    expect(classes.filter(name => !(`nn.${name}` in rows))).toEqual([]);
    const optimizers = Object.keys(optim).filter(name => /^[A-Z]/.test(name) && name !== 'Optimizer');
    expect(optimizers.filter(name => !(`optim.${name}` in rows))).toEqual([]);
  });
  test('for each function whose signature is known', () => {
    expect(Object.keys(rows).toSorted()).toEqual([...golden.keys()].toSorted());
    for (const [fn, row] of Object.entries(rows))
      for (const [name, argument] of Object.entries(row.arguments))
        expect(Object.keys(golden.get(fn)!), `${fn}, ${name}`).toContain(theirName(name, argument));
  });

  const probes = Object.entries(rows).flatMap(([fn, row]) =>
    Object.entries(row.arguments).map(([name, argument]) => [fn, name, row, argument] as const),
  );
  test.each(probes)('%s: %s', (_fn, name, row, [ours, other, , also = {}]) => {
    const come = (given: Record<string, unknown>): unknown => {
      manualSeed(7);
      return tidy(() => outcome(() => row.call({ ...also, ...given })));
    };
    const left = come({});
    expect(come({ [name]: undefined }), 'undefined is the default').toEqual(left);
    if (ours === REQUIRED) expect(left).toBe('ArgumentError');
    else if (ours !== null) expect(come({ [name]: ours }), 'the default, given').toEqual(left);
    expect(come({ [name]: other }), 'another value makes a difference').not.toEqual(left);
  });

  test('the eps of rmsNorm is that of the dtype in which PyTorch computes', () => {
    tidy(() => {
      const value = (dtype: any, make = (t: Tensor): Tensor => F.rmsNorm(t, [2])): string =>
        Number(make(full([2], 1e-3, { dtype })).select(0, 0).itemSync()).toFixed(4); // prettier-ignore
      // The value of PyTorch 2.15.
      expect(value('float32')).toBe('0.9452');
      expect(value('float16')).toBe('0.9453');
      expect(value('bfloat16')).toBe('0.9453');
      expect(value('float64')).toBe('1.0000');
      expect(value('float32', t => new nn.RMSNorm(2).forward(t))).toBe('0.9452');
    });
  });
});
