import {
  any,
  boolean,
  checkMethods,
  instanceOf,
  number,
  optional,
  options as optionsOf,
  rest,
  signature,
  type Specs,
} from '../arguments.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { pairOf, type Pair } from '../ops/pair.ts';
import type { ConvOptions } from '../ops/convolution.ts';
import { argumentOf } from '../ops/define.ts';
import { F } from '../ops/functional.ts';
import { convolution, normalizedShape as sizes } from '../ops/specs.ts';
import { empty, ones, zeros, type TensorOptions } from '../tensor/create.ts';
import type { FloatDType } from '../tensor/dtype.ts';
import { format, type Shape } from '../tensor/shape.ts';
import { device, dtype, tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { tidyInner } from '../tensor/scope.ts';
import { fans, kaimingUniform, normal, uniform } from './init.ts';
import { Flatten, GELU, MaxPool2d, ReLU, Sigmoid, SiLU, Tanh } from './activations.ts';
import { between, size } from './checks.ts';
import { Lambda } from './lambda.ts';
import { Module } from './module.ts';
import { Parameter } from './parameter.ts';

/** The dtype and device of a layer's parameters. */
export type LayerOptions = Pick<TensorOptions<FloatDType>, 'dtype' | 'device'>;

const placed: Specs = { dtype, device };
const placeOf = ({ dtype, device }: LayerOptions): LayerOptions => ({
  ...(dtype && { dtype }),
  ...(device && { device }),
});

/** PyTorch's default initialisation of the weights and biases of products: U(-a, a), a = 1 / sqrt(fanIn). */
function initProduct(weight: Tensor, bias: Tensor | null): void {
  if (weight.numel > 0) kaimingUniform(weight, Math.sqrt(1 / 3));
  const { fanIn } = fans(weight);
  const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
  if (bias) uniform(bias, -bound, bound);
}

const takesLinear = signature('nn.Linear', {
  inFeatures: number,
  outFeatures: number,
  options: optionsOf({ ...placed, bias: boolean }, { boolean: 'bias' }),
});
/**
 * y = x W^T + b. x (..., inFeatures), weight W (outFeatures, inFeatures), bias b (outFeatures), y (..., outFeatures).
 */
export class Linear extends Module {
  /** (outFeatures, inFeatures). */
  weight!: Tensor;
  /** (outFeatures), or null without bias. */
  bias!: Tensor | null;

  /** y = x W^T + b for x (..., inFeatures); { bias: false } leaves out b. */
  constructor(inFeatures: number, outFeatures: number, options: LayerOptions & { bias?: boolean } = {}) {
    super();
    [inFeatures, outFeatures, options = {}] = takesLinear(arguments);
    const place = placeOf(options);
    const shape = [size('nn.Linear', 'outFeatures', outFeatures), size('nn.Linear', 'inFeatures', inFeatures)];
    this.registerParameter('weight', Parameter(empty(shape, place)));
    this.registerParameter('bias', (options.bias ?? true) ? Parameter(empty([outFeatures], place)) : null);
    initProduct(this.weight, this.bias);
  }
  /** x (..., inFeatures) to (..., outFeatures). */
  forward(x: Tensor): Tensor {
    return F.linear(x, this.weight, this.bias);
  }
}

const takesConv2d = signature('nn.Conv2d', {
  inChannels: number,
  outChannels: number,
  kernelSize: argumentOf(F.maxPool2d, 'kernelSize'),
  options: optionsOf({ ...placed, ...convolution, bias: boolean }, { number: 'stride' }),
});
/** @throws ArgumentError for invalid arguments of a convolution */
function checkedConvolution(inChannels: number, outChannels: number, options: ConvOptions): ConvOptions {
  const op = 'nn.Conv2d';
  const { stride = 1, padding = 0, dilation = 1 } = options;
  const groups = size(op, 'groups', options.groups ?? 1, 1);
  size(op, 'inChannels', inChannels, 1);
  size(op, 'outChannels', outChannels, 1);
  if (inChannels % groups !== 0 || outChannels % groups !== 0)
    throw new ArgumentError(`${inChannels} channels in and ${outChannels} out do not form ${groups} groups`, {
      op,
      advice: 'Pass numbers of channels that are multiples of groups',
    });
  return {
    stride: pairOf(stride, 'stride', op),
    padding: pairOf(padding, 'padding', op, 0),
    dilation: pairOf(dilation, 'dilation', op),
    groups,
  };
}

/**
 * 2-D convolution. Input (N, inChannels, H, W), weight (outChannels, inChannels / groups, kH, kW), bias (outChannels).
 */
export class Conv2d extends Module {
  /** (outChannels, inChannels / groups, kernel height, kernel width). */
  weight!: Tensor;
  /** (outChannels), or null without bias. */
  bias!: Tensor | null;
  /** Stride, padding, dilation and groups. */
  readonly options: ConvOptions;

  /** A convolution of (N, inChannels, H, W). Options: stride, padding, dilation, groups, and { bias: false }. */
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Pair,
    options: LayerOptions & ConvOptions & { bias?: boolean } = {},
  ) {
    super();
    [inChannels, outChannels, kernelSize, options = {}] = takesConv2d(arguments);
    const { bias = true } = options;
    const place = placeOf(options);
    const kernel = pairOf(kernelSize, 'kernel', 'nn.Conv2d');
    this.options = checkedConvolution(inChannels, outChannels, options);
    const perGroup = inChannels / (options.groups ?? 1);
    this.registerParameter('weight', Parameter(empty([outChannels, perGroup, ...kernel], place)));
    this.registerParameter('bias', bias ? Parameter(empty([outChannels], place)) : null);
    initProduct(this.weight, this.bias);
  }
  /** x (N, inChannels, H, W) to (N, outChannels, oH, oW). */
  forward(x: Tensor): Tensor {
    return F.conv2d(x, this.weight, this.bias, this.options);
  }
}

const takesBatchNorm2d = signature('nn.BatchNorm2d', {
  channels: number,
  options: optionsOf(
    { ...placed, eps: number, momentum: number, affine: boolean, trackRunningStats: boolean },
    { number: 'eps' },
  ),
});
/**
 * y = (x - mean) / sqrt(var + eps) * weight + bias for each channel of x (N, C, H, W). While training, mean and var are
 * those of the batch; in evaluation they are the running statistics.
 */
export class BatchNorm2d extends Module {
  /** The factor of each channel, (C), or null without affine. */
  weight!: Tensor | null;
  /** The bias of each channel, (C), or null without affine. */
  bias!: Tensor | null;
  /**
   * The mean of each channel over the batches so far, (C). null without trackRunningStats: then evaluation uses the
   * statistics of the batch too.
   */
  runningMean!: Tensor | null;
  /** The unbiased variance of each channel over the batches so far, (C), or null without trackRunningStats. */
  runningVar!: Tensor | null;
  /** Added to the variance, so that it is never 0. */
  readonly eps: number;
  /** The share of each new batch: running = (1 - momentum) running + momentum batch. */
  readonly momentum: number;

  /**
   * For inputs (N, channels, H, W). { affine: false } leaves out weight and bias. Default: eps = 1e-5, momentum = 0.1.
   */
  constructor(
    channels: number,
    options: LayerOptions & { eps?: number; momentum?: number; affine?: boolean; trackRunningStats?: boolean } = {},
  ) {
    super();
    [channels, options = {}] = takesBatchNorm2d(arguments);
    const op = 'nn.BatchNorm2d';
    const place = placeOf(options);
    const { affine = true, trackRunningStats: tracked = true, eps = 1e-5, momentum = 0.1 } = options;
    size(op, 'channels', channels, 1);
    this.eps = between(op, 'eps', eps, 0, Infinity);
    this.momentum = between(op, 'momentum', momentum, 0, 1);
    this.registerParameter('weight', affine ? Parameter(ones([channels], place)) : null);
    this.registerParameter('bias', affine ? Parameter(zeros([channels], place)) : null);
    this.registerBuffer('runningMean', tracked ? zeros([channels], place) : null);
    this.registerBuffer('runningVar', tracked ? ones([channels], place) : null);
  }
  /** x (N, C, H, W), normalised in each channel; while training it also updates the running statistics. */
  forward(x: Tensor): Tensor {
    const { weight, bias, runningMean, runningVar, eps, momentum, training } = this;
    if (x.rank !== 4)
      throw new ShapeError(`${format(x.shape)} is not (N, C, H, W)`, {
        op: 'nn.BatchNorm2d',
        shapes: [x.shape],
        advice: 'Pass an input with 4 axes, or use F.batchNorm(), which accepts 2 or more',
      });
    return F.batchNorm(x, { weight, bias, runningMean, runningVar, eps, momentum, training });
  }
}

const takesEmbedding = signature('nn.Embedding', {
  numEmbeddings: number,
  embeddingDim: number,
  options: optionsOf(placed),
});
/**
 * A table of numEmbeddings learned vectors: ids (...) become vectors (..., embeddingDim). weight (numEmbeddings,
 * embeddingDim) is initialised from N(0, 1).
 */
export class Embedding extends Module {
  /** (numEmbeddings, embeddingDim): a row for each id. */
  weight!: Tensor;

  /** numEmbeddings vectors of embeddingDim numbers, drawn from N(0, 1). */
  constructor(numEmbeddings: number, embeddingDim: number, options: LayerOptions = {}) {
    super();
    [numEmbeddings, embeddingDim, options = {}] = takesEmbedding(arguments);
    const op = 'nn.Embedding';
    const shape = [size(op, 'numEmbeddings', numEmbeddings), size(op, 'embeddingDim', embeddingDim)];
    this.registerParameter('weight', Parameter(normal(empty(shape, options))));
  }
  /** Integer ids of any shape (...) to their vectors (..., embeddingDim). */
  forward(ids: Tensor): Tensor {
    return F.embedding(ids, this.weight);
  }
}

const takesLayerNorm = signature('nn.LayerNorm', {
  normalizedShape: sizes,
  options: optionsOf({ ...placed, eps: number, affine: boolean, bias: boolean }, { number: 'eps' }),
});
/** y = (x - mean) / sqrt(var + eps) * weight + bias, with mean and var over the trailing axes. */
export class LayerNorm extends Module {
  /** The sizes of the trailing axes that are normalised together. */
  readonly normalizedShape: Shape;
  /** Added to the variance, so that it is never 0. */
  readonly eps: number;
  /** The factor of each element, of shape normalizedShape, or null without affine. */
  weight!: Tensor | null;
  /** The bias of each element, of shape normalizedShape, or null without affine or without bias. */
  bias!: Tensor | null;

  /** normalizedShape is the sizes of the trailing axes, or the size of the last. Default: eps = 1e-5. */
  constructor(
    normalizedShape: number | Shape,
    options: LayerOptions & { eps?: number; affine?: boolean; bias?: boolean } = {},
  ) {
    super();
    [normalizedShape, options = {}] = takesLayerNorm(arguments);
    const shape = normalizedShape as Shape;
    this.normalizedShape = shape;
    this.eps = between('nn.LayerNorm', 'eps', options.eps ?? 1e-5, 0, Infinity);
    const { affine = true, bias = true } = options;
    const place = placeOf(options);
    this.registerParameter('weight', affine ? Parameter(ones(shape, place)) : null);
    this.registerParameter('bias', affine && bias ? Parameter(zeros(shape, place)) : null);
  }
  /** x, normalised over its trailing axes to mean 0 and variance 1, times weight, plus bias. */
  forward(x: Tensor): Tensor {
    return F.layerNorm(x, this.normalizedShape, this.weight, this.bias, this.eps);
  }
}

const takesRMSNorm = signature('nn.RMSNorm', {
  normalizedShape: sizes,
  options: optionsOf({ ...placed, eps: number, affine: boolean }, { number: 'eps' }),
});
/** y = x / sqrt(mean(x^2) + eps) * weight, with the mean over the trailing axes. */
export class RMSNorm extends Module {
  /** The sizes of the trailing axes that are normalised together. */
  readonly normalizedShape: Shape;
  /** Added to the mean of the squares; undefined stands for the default of F.rmsNorm. */
  readonly eps: number | undefined;
  /** The factor of each element, of shape normalizedShape, or null without affine. */
  weight!: Tensor | null;

  /** normalizedShape is the sizes of the trailing axes, or the size of the last. */
  constructor(normalizedShape: number | Shape, options: LayerOptions & { eps?: number; affine?: boolean } = {}) {
    super();
    [normalizedShape, options = {}] = takesRMSNorm(arguments);
    const shape = normalizedShape as Shape;
    const { eps, affine = true } = options;
    this.normalizedShape = shape;
    this.eps = eps === undefined ? undefined : between('nn.RMSNorm', 'eps', eps, 0, Infinity);
    this.registerParameter('weight', affine ? Parameter(ones(shape, placeOf(options))) : null);
  }
  /** x, divided by the root of the mean of its squares over the trailing axes, times weight. */
  forward(x: Tensor): Tensor {
    return F.rmsNorm(x, this.normalizedShape, this.weight, this.eps);
  }
}

const takesDropout = signature('nn.Dropout', { p: optional(number) });
/** While training, sets elements to zero with probability p and divides the others by 1 - p. */
export class Dropout extends Module {
  /** The probability with which an element becomes 0. */
  readonly p: number;
  /** p is the probability with which an element becomes 0. */
  constructor(p = 0.5) {
    super();
    takesDropout(arguments);
    this.p = between('nn.Dropout', 'p', p, 0, 1);
  }
  /** x with elements zeroed at random and the others divided by 1 - p while training; in evaluation x itself. */
  forward(x: Tensor): Tensor {
    return F.dropout(x, this.p, this.training);
  }
}

/** The layers whose forward() calls no code of the user. */
const ownLayers: readonly (abstract new (...args: never[]) => Module)[] = [
  ...[Linear, Conv2d, BatchNorm2d, Embedding, LayerNorm, RMSNorm, Dropout],
  ...[ReLU, GELU, SiLU, Tanh, Sigmoid, Flatten, MaxPool2d],
];
const ownPrototypes: ReadonlySet<unknown> = new Set(ownLayers.map(layer => layer.prototype as unknown));
/** Is it a built-in layer without any property or method of the user? */
const isOwn = (layer: Module): boolean =>
  ownPrototypes.has(Object.getPrototypeOf(layer)) && !Object.hasOwn(layer, 'forward');

const takesSequential = signature('nn.Sequential', {
  layers: rest({
    ...instanceOf('a module', () => Module),
    advice:
      'Pass modules one by one: new Sequential(...layers). A function has a module of its own, such as new nn.ReLU()',
  }),
});
/**
 * Applies modules one after the other. A tensor between two of Castor's own layers is freed as soon as backward does
 * not need it. The input and output of a user's layer are not freed, because the layer may keep them.
 */
export class Sequential extends Module {
  /** The modules in their order. */
  readonly layers: readonly Module[];
  /** Takes the modules one by one: new nn.Sequential(...layers). */
  constructor(...layers: Module[]) {
    super();
    this.layers = takesSequential(layers);
    // It cannot be replaced, because anything that is not a list of modules would only fail in forward().
    Object.defineProperty(this, 'layers', { writable: false });
  }
  /** Applies the modules to x in their order. */
  forward(x: Tensor): Tensor {
    let out = x;
    for (let i = 0; i < this.layers.length;) {
      let end = i;
      while (end < this.layers.length && isOwn(this.layers[end]!)) end++;
      out = end > i ? tidyInner(forwardAll(this.layers.slice(i, end)), out) : (this.layers[i]!.forward(out) as Tensor);
      i = Math.max(end, i + 1);
    }
    return out;
  }
}
const forwardAll =
  (layers: readonly Module[]) =>
  (x: Tensor): Tensor => {
    let out = x;
    for (let i = 0; i < layers.length; i++) {
      const [layer, next] = [layers[i]!, layers[i + 1]];
      const activation = layer instanceof Linear && next instanceof Lambda ? next.epilogue : null;
      if (activation !== null) i++;
      out = activation === null ? (layer.forward(out) as Tensor) : linearWith(layer as Linear, out, activation);
    }
    return out;
  };
/** A Linear and the activation after it, which are one kernel where no gradient is wanted. */
const linearWith = ({ weight, bias }: Linear, x: Tensor, activation: 'relu' | 'gelu' | 'geluTanh'): Tensor =>
  F.linear(x, weight, bias, { activation });

for (const type of [Linear, Conv2d, BatchNorm2d, Embedding, LayerNorm, RMSNorm, Dropout])
  checkMethods(type, { forward: { x: tensor } });
checkMethods(Sequential, { forward: { x: any } });
