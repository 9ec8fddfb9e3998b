import { boolean, nullable, options } from '../arguments.ts';
import { tensor } from '../tensor/specs.ts';
import { define } from './define.ts';
import * as takes from './specs.ts';
import type { PoolParams } from '../dispatch/convPool.ts';
import { ShapeError } from '../errors.ts';
import { format } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call, callAll } from './call.ts';
import { pairOf, type Pair } from './pair.ts';
import { ops } from './registry.ts';

/** The options of pooling. */
export interface PoolOptions {
  /** The distance between neighbouring windows. Default: the kernel size, so that windows do not overlap. */
  stride?: Pair;
  /** The number of positions added at each side. Default: 0. */
  padding?: Pair;
  /** The distance between the elements of a window. Default: 1. */
  dilation?: Pair;
}

function paramsOf(op: string, x: Tensor, kernelSize: Pair, options: PoolOptions, countIncludePad: boolean): PoolParams {
  if (x.rank !== 4) throw new ShapeError(`${format(x.shape)} must be (N, C, H, W)`, { op, shapes: [x.shape] });
  const kernel = pairOf(kernelSize, 'kernel', op);
  const stride = pairOf(options.stride ?? kernel, 'stride', op);
  const padding = pairOf(options.padding ?? 0, 'padding', op, 0);
  const dilation = pairOf(options.dilation ?? 1, 'dilation', op);
  const size = (i: 0 | 1): number =>
    Math.floor((x.shape[2 + i]! + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1;
  const shape = [x.shape[0]!, x.shape[1]!, size(0), size(1)];
  if (shape[2]! < 1 || shape[3]! < 1 || padding[0] * 2 > kernel[0] || padding[1] * 2 > kernel[1])
    throw new ShapeError(`windows of ${format(kernel)} with padding ${format(padding)} do not fit ${format(x.shape)}`, {
      op,
      shapes: [x.shape],
    });
  return { kernel, stride, padding, dilation, countIncludePad, shape };
}

/** Computes the largest value of each window of x (N, C, H, W). */
export const maxPool2d = define(
  'maxPool2d',
  { x: tensor, kernelSize: takes.pair, options: options(takes.pool, { number: 'stride' }) },
  (x: Tensor, kernelSize: Pair, options: PoolOptions = {}): Tensor =>
    call(ops.maxPool, [x], paramsOf('maxPool2d', x, kernelSize, options, false)),
);

/** Computes the values of maxPool2d, and their positions within H * W. */
export const maxPool2dWithIndices = define(
  'maxPool2dWithIndices',
  { x: tensor, kernelSize: takes.pair, options: options(takes.pool, { number: 'stride' }) },
  (x: Tensor, kernelSize: Pair, options: PoolOptions = {}): { values: Tensor; indices: Tensor } => {
    const [values, indices] = callAll(ops.maxPool, [x], paramsOf('maxPool2d', x, kernelSize, options, false));
    return { values: values!, indices: indices! };
  },
);

/** Computes the mean of each window of x (N, C, H, W). */
export const avgPool2d = define(
  'avgPool2d',
  {
    x: tensor,
    kernelSize: takes.pair,
    options: options(
      { stride: nullable(takes.pair), padding: takes.pair, countIncludePad: boolean },
      { number: 'stride' },
    ),
  },
  (x: Tensor, kernelSize: Pair, options: Omit<PoolOptions, 'dilation'> & { countIncludePad?: boolean } = {}): Tensor =>
    call(ops.avgPool, [x], paramsOf('avgPool2d', x, kernelSize, options, options.countIncludePad ?? true)),
);
