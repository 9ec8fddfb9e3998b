import { boolean, nullable, number, optional, options } from '../arguments.ts';
import { tensor } from '../tensor/specs.ts';
import { composed } from './define.ts';
import * as takes from './specs.ts';
import { ShapeError } from '../errors.ts';
import { format, numelOf, sameShape, type Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { noteReads } from '../autograd/tape.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';

function trailing(op: string, x: Tensor, shape: Shape, parameters: readonly (Tensor | null)[]): number {
  const fits =
    sameShape(x.shape.slice(x.rank - shape.length), shape) &&
    parameters.every(p => p === null || sameShape(p.shape, shape));
  if (!fits || shape.length === 0 || shape.length > x.rank)
    throw new ShapeError(
      `${format(x.shape)} does not end in the normalised shape ${format(shape)}, which weight and bias share`,
      {
        op,
        shapes: [x.shape, ...parameters.filter(p => p !== null).map(p => p.shape)],
      },
    );
  return numelOf(shape);
}

/** Returns the operands of a norm, which its kernels read in row-major order. */
const rowMajor = (x: Tensor, weight: Tensor | null, bias: Tensor | null): (Tensor | null)[] => [
  x.contiguous(),
  weight?.contiguous() ?? null,
  bias?.contiguous() ?? null,
];

/**
 * Computes (x - mean) / sqrt(var + eps) over the trailing axes of normalizedShape, times weight, plus bias. Statistics are float32, or
 * float64 for float64.
 */
export const layerNorm = composed(
  'layerNorm',
  {
    x: tensor,
    normalizedShape: takes.lastSizes,
    weight: takes.optionalTensor,
    bias: takes.optionalTensor,
    eps: optional(number),
  },
  (x: Tensor, normalizedShape: Shape, weight: Tensor | null = null, bias: Tensor | null = null, eps = 1e-5): Tensor => {
    const n = trailing('layerNorm', x, normalizedShape, [weight, bias]);
    return call(ops.layerNorm, rowMajor(x, weight, bias), { n, eps, centred: true });
  },
);

/**
 * Computes x / sqrt(mean(x^2) + eps) over the trailing axes of normalizedShape, times weight. As in PyTorch, the default of eps is the
 * distance from 1 to the next number of the dtype in which the mean is computed: 2^-52 for float64, else 2^-23 (float32).
 */
export const rmsNorm = composed(
  'rmsNorm',
  { x: tensor, normalizedShape: takes.lastSizes, weight: takes.optionalTensor, eps: optional(number) },
  (
    x: Tensor,
    normalizedShape: Shape,
    weight: Tensor | null = null,
    eps: number = x.dtype === 'float64' ? 2 ** -52 : 2 ** -23,
  ): Tensor => {
    const n = trailing('rmsNorm', x, normalizedShape, [weight]);
    return call(ops.rmsNorm, rowMajor(x, weight, null), { n, eps, centred: false });
  },
);

/** Normalises groups of channels of x (N, C, ...), each to mean 0 and variance 1. weight and bias are (C). */
export const groupNorm = composed(
  'groupNorm',
  { x: tensor, groups: number, weight: takes.optionalTensor, bias: takes.optionalTensor, eps: optional(number) },
  (x: Tensor, groups: number, weight: Tensor | null = null, bias: Tensor | null = null, eps = 1e-5): Tensor => {
    const [n, c, ...sizes] = x.shape as [number, number, ...number[]];
    const length = numelOf(sizes);
    if (c === 0 || length === 0)
      throw new ShapeError(`${format(x.shape)} has no values to normalise in its channels`, {
        op: 'groupNorm',
        shapes: [x.shape],
      });
    if (x.rank < 2 || !Number.isInteger(groups) || groups < 1 || c % groups !== 0)
      throw new ShapeError(`the channels of ${format(x.shape)} do not form ${groups} groups`, {
        op: 'groupNorm',
        shapes: [x.shape],
      });
    if (((n * c) / groups) * length === 1) throw alone('groupNorm', x);
    perChannel('groupNorm', x, [weight, bias]);
    return call(ops.groupNorm, rowMajor(x, weight, bias), { groups, eps, statistics: 'group', running: null });
  },
);

/** Returns the error for a batch with one value for each channel: its variance is 0, and so would the result be. */
const alone = (op: string, x: Tensor): ShapeError =>
  new ShapeError(`one value alone has no variance: ${format(x.shape)}`, { op, shapes: [x.shape] });

/** @throws ShapeError unless weight, bias and running statistics have a value for each channel, axis 1 */
function perChannel(op: string, x: Tensor, parameters: readonly (Tensor | null)[]): void {
  const there = parameters.filter(p => p !== null);
  if (there.every(p => sameShape(p.shape, [x.shape[1]!]))) return;
  throw new ShapeError(`weight, bias and running statistics need one value for each of ${x.shape[1]} channels`, {
    op,
    shapes: [x.shape, ...there.map(p => p.shape)],
  });
}
/** The options of batchNorm(). */
export interface BatchNormOptions {
  /** The factor of each channel after it was normalised, (C). */
  weight?: Tensor | null;
  /** The number that is then added to each channel, (C). */
  bias?: Tensor | null;
  /**
   * The running means, (C), updated in place while training: running = (1 - momentum) running + momentum batch. No gradient flows to
   * them.
   */
  runningMean?: Tensor | null;
  /** The running variances, (C), updated in place with the unbiased variance of the batch. */
  runningVar?: Tensor | null;
  /** Are the statistics computed from the batch, and the running ones updated? Default: false. */
  training?: boolean;
  /** The weight of the batch in the running statistics. Default: 0.1. */
  momentum?: number;
  /** The number that is added to the variance, so that the divisor is not 0. Default: 1e-5. */
  eps?: number;
}

/** Normalises each channel of x (N, C, ...) with the statistics of the batch while training, else with the running ones. */
export const batchNorm = composed(
  'batchNorm',
  {
    x: tensor,
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
  (x: Tensor, options: BatchNormOptions = {}): Tensor => {
    const {
      weight = null,
      bias = null,
      runningMean = null,
      runningVar = null,
      training = false,
      momentum = 0.1,
      eps = 1e-5,
    } = options;
    const groups = x.shape[1] ?? 0;
    if (groups === 0)
      throw new ShapeError(`${format(x.shape)} has no channels, which are axis 1`, {
        op: 'batchNorm',
        shapes: [x.shape],
      });
    perChannel('batchNorm', x, [weight, bias, runningMean, runningVar]);
    const inputs = rowMajor(x, weight, bias);
    const running = runningMean && runningVar ? { mean: runningMean, variance: runningVar, momentum } : null;
    if (!training && running) {
      noteReads([runningMean, runningVar]);
      return call(ops.batchNormEval, inputs, { groups, eps, statistics: 'running', running });
    }
    if (x.numel === groups) throw alone('batchNorm', x);
    // An empty batch leaves the running statistics as they are.
    return call(ops.batchNorm, inputs, { groups, eps, statistics: 'batch', running });
  },
);
