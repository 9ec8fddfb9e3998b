import { number, options } from '../arguments.ts';
import type { ConvParams } from '../dispatch/convPool.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { format } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { define } from './define.ts';
import { INT32_MAX, pairOf, type Pair } from './pair.ts';
import { ops } from './registry.ts';
import * as takes from './specs.ts';

/** The options of conv2d(). */
export interface ConvOptions {
  /** The distance between neighbouring windows. Default: 1. */
  stride?: Pair;
  /** Zeros added at each side of the input. Default: 0. */
  padding?: Pair;
  /** The distance between the elements of a window. Default: 1. */
  dilation?: Pair;
  /** The number of groups that channels are split into; each has its own weights. Default: 1. */
  groups?: number;
}

/**
 * Computes the cross-correlation of input (N, C, H, W) with weight (O, C / groups, kH, kW), plus bias (O). The result is (N, O, oH, oW).
 */
export const conv2d = define(
  'conv2d',
  { ...takes.weighted, options: takes.convOptions },
  (x: Tensor, weight: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor => {
    const params: ConvParams = {
      stride: pairOf(options.stride ?? 1, 'stride', 'conv2d'),
      padding: pairOf(options.padding ?? 0, 'padding', 'conv2d', 0),
      dilation: pairOf(options.dilation ?? 1, 'dilation', 'conv2d'),
      groups: options.groups ?? 1,
    };
    if (!(Number.isInteger(params.groups) && params.groups > 0 && params.groups <= INT32_MAX))
      throw new ArgumentError(`groups ${params.groups} is not a whole number from 1 to 2^31 - 1`, {
        op: 'conv2d',
        advice: 'It divides the channels of the input and of the output',
      });
    return call(ops.convolution, [x, weight, bias], params);
  },
);

/** The options of conv1d(). */
export interface Conv1dOptions {
  /** The distance between neighbouring windows. Default: 1. */
  stride?: number;
  /** Zeros added at each side of the input. Default: 0. */
  padding?: number;
  /** The distance between the elements of a window. Default: 1. */
  dilation?: number;
  /** The number of groups that channels are split into; each has its own weights. Default: 1. */
  groups?: number;
}
/** Computes the cross-correlation of input (N, C, L) with weight (O, C / groups, k), plus bias (O). The result is (N, O, oL). */
export const conv1d = define(
  'conv1d',
  {
    ...takes.weighted,
    options: options({ stride: number, padding: number, dilation: number, groups: number }, { number: 'stride' }),
  },
  (x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv1dOptions = {}): Tensor => {
    if (x.rank !== 3 || weight.rank !== 3)
      throw new ShapeError(`input ${format(x.shape)} and weight ${format(weight.shape)} must have 3 axes`, {
        op: 'conv1d',
        shapes: [x.shape, weight.shape],
      });
    const wide = {
      stride: [1, options.stride ?? 1],
      padding: [0, options.padding ?? 0],
      dilation: [1, options.dilation ?? 1],
    } as const;
    return conv2d(x.unsqueeze(2), weight.unsqueeze(2), bias, { ...wide, groups: options.groups ?? 1 }).squeeze(2);
  },
);
