import {
  any,
  arrayOf,
  boolean,
  callable,
  either,
  nullable,
  number,
  object,
  oneOf,
  optional,
  options,
  rest,
  text,
  whole,
  type Spec,
  type Specs,
} from '../arguments.ts';
import { backwardSpecs } from '../autograd/autograd.ts';
import { axes, axis, device, dtype, operand, shape, sizes, tensor, tensors } from '../tensor/specs.ts';
import { isTensor } from '../tensor/tensor.ts';

/** The arguments of each function of ops/: x is the tensor of a method call. Rows of the table take their operands and nothing else. */
const x = tensor;
const optionalTensor = optional(nullable(tensor));

const reduction: Specs = { keepdim: boolean, dtype };
const reduceOptions = options(reduction, { boolean: 'keepdim', string: 'dtype' });
const reduce: Specs = { x, axes: optional(axes), options: reduceOptions };
/** One axis, or all. */
const reduceOne: Specs = { x, axis: optional(axis), options: reduceOptions };
const spread: Specs = {
  x,
  axes: optional(axes),
  options: {
    ...options({ ...reduction, correction: number }),
    advice: 'Pass { correction: 0 } for what PyTorch calls unbiased = false, and { keepdim: true } to keep the axes',
  },
};
const pick = (fn: string): Specs => ({
  x,
  axis: optional({ ...axis, advice: `Pass the number of an axis; of two tensors ${fn}() gives the elements` }),
  options: reduceOptions,
});
const along: Specs = { x, axis, options: options({ dtype }, { string: 'dtype' }) };
const order: Specs = { x, axis: optional(axis), options: options({ descending: boolean }, { boolean: 'descending' }) };

/** One number for both axes, or one for each. */
const pair = either(number, arrayOf(number, 'two numbers'), 'a number or an array of two');
export const convolution: Specs = { stride: pair, padding: pair, dilation: pair, groups: number };
const convOptions = options(convolution, { number: 'stride' });
const pool: Specs = { stride: nullable(pair), padding: pair, dilation: pair };
const weighted: Specs = { x, weight: tensor, bias: optionalTensor };
/** The sizes of the last axes, as PyTorch's functions take them. */
const lastSizes: Spec = {
  ...arrayOf(number, 'an array of sizes'),
  advice: 'Pass the sizes of the last axes as an array, such as [768]',
};
/** The normalised shape of layers: as in PyTorch, also one number for one axis. */
export const normalizedShape: Spec = {
  ...either(arrayOf(number, 'sizes'), { ...number, copy: size => [size] }, 'a size or an array of sizes'),
  advice: 'Pass the sizes of the last axes, such as [768]',
};

const classLoss: Specs = { reduction: text, ignoreIndex: whole, weight: tensor };
const loss = (fields: Specs): Specs => ({ x, target: tensor, options: options({ reduction: text, ...fields }) });

const isIndexItem = (item: unknown): boolean =>
  item === null || ['number', 'boolean', 'string'].includes(typeof item) || Array.isArray(item) || isTensor(item);
/** Lists are read at once and so need no copy. */
const indexItem: Spec = {
  wanted: "a number, a range such as '1:3', '...', null, a list, an index tensor or a mask",
  accepts: isIndexItem,
};
const ranked = { x, axis, index: tensor };
const destination = either(tensor, either(text, options({ dtype, device })), 'a dtype, a device or a tensor');

export const signatures = {
  reshape: { x, sizes: sizes('a shape') },
  view: { x, sizes: sizes('a shape') },
  expand: { x, sizes: sizes('a shape') },
  permute: { x, order: sizes('an order of axes') },
  broadcastTo: { x, shape },
  flatten: { x, start: optional(axis), end: optional(axis) },
  unflatten: { x, axis, sizes: shape },
  transpose: { x, a: axis, b: axis },
  squeeze: { x, axes: optional(axes) },
  unsqueeze: { x, axis },
  slice: {
    x,
    axis,
    start: optional(nullable(number)),
    end: optional(nullable(number)),
    step: optional(number),
  },
  narrow: { x, axis, start: number, length: number },
  select: { x, axis, index: number },
  split: { x, size: either(number, arrayOf(number, 'an array of sizes')), axis: optional(axis) },
  chunk: { x, count: number, axis: optional(axis) },
  unbind: { x, axis: optional(axis) },
  flip: { x, axes },
  contiguous: { x },
  clone: { x },
  to: { x, target: { ...destination, advice: "Pass 'float16', 'cuda', { dtype, device } or a tensor that has both" } },
  float: { x },
  half: { x },
  double: { x },
  long: { x },
  cat: { tensors, axis: optional(axis) },
  stack: { tensors, axis: optional(axis) },

  sum: reduce,
  mean: reduce,
  prod: reduce,
  logSumExp: reduce,
  any: reduce,
  all: reduce,
  amax: reduce,
  amin: reduce,
  var: spread,
  std: spread,
  norm: { x, p: optional(number), axes: optional(axes), options: reduceOptions },
  countNonzero: { x, axes: optional(axes) },
  argmax: reduceOne,
  argmin: reduceOne,
  max: pick('maximum'),
  min: pick('minimum'),
  cumsum: along,
  cumprod: along,
  softmax: along,
  logSoftmax: along,
  topk: { x, k: number, axis: optional(axis), options: options({ largest: boolean }, { boolean: 'largest' }) },
  sort: order,
  argsort: order,
  multinomial: {
    x,
    numSamples: number,
    options: options({ replacement: boolean }, { boolean: 'replacement' }),
  },

  gather: ranked,
  indexSelect: ranked,
  scatter: { ...ranked, source: operand },
  scatterAdd: { ...ranked, source: tensor },
  indexCopy: { ...ranked, source: tensor },
  indexAdd: { ...ranked, source: tensor },
  embedding: { x, weight: tensor },
  oneHot: { x, numClasses: number },
  at: { x, index: rest(indexItem) },
  set_: { x, index: indexItem, value: operand, options: options({ accumulate: boolean }, { boolean: 'accumulate' }) },

  matmul: { a: tensor, b: tensor },
  linear: weighted,
  conv1d: {
    ...weighted,
    options: options({ stride: number, padding: number, dilation: number, groups: number }, { number: 'stride' }),
  },
  conv2d: { ...weighted, options: convOptions },
  scaledDotProductAttention: {
    q: tensor,
    k: tensor,
    v: tensor,
    options: options({ mask: nullable(tensor), causal: boolean, scale: number, dropoutP: number }),
  },

  gelu: { x, options: options({ approximate: oneOf('none', 'tanh') }, { string: 'approximate' }) },
  softplus: { x, options: options({ beta: number, threshold: number }, { number: 'beta' }) },
  leakyRelu: { x, slope: optional(number) },
  elu: { x, alpha: optional(number) },
  clamp: {
    x,
    bounds: {
      ...options({ min: nullable(number), max: nullable(number) }),
      optional: false,
      wanted: 'a pair of bounds',
      advice: 'Call clamp({ min, max }), in which either may be left out, or clamp(min, max)',
    },
  },
  where: { x: operand, condition: tensor, other: operand },
  maskedFill: { x, mask: tensor, value: operand },
  addcmul: { x, a: operand, b: operand, value: optional(number) },
  addcdiv: { x, a: operand, b: operand, value: optional(number) },
  lerp: { x, end: operand, weight: operand },
  tril: { x, diagonal: optional(whole) },
  triu: { x, diagonal: optional(whole) },
  dropout: { x, p: optional(number), training: optional(boolean) },

  maxPool2d: { x, kernelSize: pair, options: options(pool, { number: 'stride' }) },
  maxPool2dWithIndices: { x, kernelSize: pair, options: options(pool, { number: 'stride' }) },
  avgPool2d: {
    x,
    kernelSize: pair,
    options: options({ stride: nullable(pair), padding: pair, countIncludePad: boolean }, { number: 'stride' }),
  },

  layerNorm: { x, normalizedShape: lastSizes, weight: optionalTensor, bias: optionalTensor, eps: optional(number) },
  rmsNorm: { x, normalizedShape: lastSizes, weight: optionalTensor, eps: optional(number) },
  groupNorm: { x, groups: number, weight: optionalTensor, bias: optionalTensor, eps: optional(number) },
  batchNorm: {
    x,
    options: options({
      weight: nullable(tensor),
      bias: nullable(tensor),
      runningMean: nullable(tensor),
      runningVar: nullable(tensor),
      training: boolean,
      momentum: number,
      eps: number,
    }),
  },

  mseLoss: loss({}),
  l1Loss: loss({}),
  crossEntropy: loss({ ...classLoss, labelSmoothing: number }),
  nllLoss: loss(classLoss),
  binaryCrossEntropy: loss({ weight: tensor }),
  binaryCrossEntropyWithLogits: loss({ weight: tensor, posWeight: tensor }),
} satisfies Readonly<Record<string, Specs>>;

/** Arguments in PyTorch's order that become those of the signature. */
export const positional: Readonly<Record<string, (args: readonly unknown[]) => readonly unknown[]>> = {
  to: ([x, device, dtype, ...more]) =>
    typeof device === 'string' && typeof dtype === 'string'
      ? [x, { device, dtype }, ...more]
      : [x, device, dtype, ...more],
  clamp: ([x, min, max, ...more]) => {
    const bound = (value: unknown): boolean => value === null || value === undefined || typeof value === 'number';
    if (!bound(min) || (min === undefined && max === undefined)) return [x, min, max, ...more];
    if (!bound(max)) return [x, min, max, ...more];
    return [x, { min, max }, ...more];
  },
};

/** Rows of the table that make a function by themselves, and their methods. */
export const unary: Specs = { x };
export const binary: Specs = { a: operand, b: operand };
export const unaryMethod: Specs = {};
export const binaryMethod: Specs = { other: operand };

/** Functions that write into their tensor, and those of the graph it hangs in. */
export const methodSignatures = {
  copy_: { x, source: { ...tensor, advice: 'Pass a tensor; fill_() takes a number' } },
  fill_: { x, value: number },
  zero_: { x },
  uniform_: { x, from: optional(number), to: optional(number) },
  normal_: { x, mean: optional(number), std: optional(number) },
  backward: backwardSpecs,
  registerHook: { x, hook: { ...callable, wanted: 'a function of the gradient' } },
  requiresGrad_: { x, on: optional(boolean) },
  retainGrad: { x },
} satisfies Record<string, Specs>;
