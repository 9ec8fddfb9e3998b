import { checked, number, optional } from '../arguments.ts';
import { noGrad } from '../autograd/autograd.ts';
import { ShapeError } from '../errors.ts';
import { format, numelOf } from '../tensor/shape.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';

function fansOf({ shape }: Tensor): { fanIn: number; fanOut: number } {
  if (shape.length < 2)
    throw new ShapeError(`a weight ${format(shape)} of fewer than 2 axes has no fan`, {
      op: 'nn.init',
      shapes: [shape],
    });
  const kernel = numelOf(shape.slice(2));
  return { fanIn: shape[1]! * kernel, fanOut: shape[0]! * kernel };
}
/**
 * The numbers of inputs (fanIn) and outputs (fanOut) of one unit of a weight (out, in, ...kernel). In PyTorch it is private:
 * `_calculate_fan_in_and_fan_out`.
 */
export const fans = checked('nn.init.fans', { t: tensor }, fansOf);

/** Overwrites t with numbers that are uniform in [from, to), without recording it, and returns t. PyTorch: `uniform_`. */
export const uniform = checked(
  'nn.init.uniform',
  { t: tensor, from: optional(number), to: optional(number) },
  (t: Tensor, from = 0, to = 1): Tensor => noGrad(() => t.uniform_(from, to)),
);
/** Overwrites t with normally distributed numbers, without recording it, and returns t. PyTorch: `normal_`. */
export const normal = checked(
  'nn.init.normal',
  { t: tensor, mean: optional(number), std: optional(number) },
  (t: Tensor, mean = 0, std = 1): Tensor => noGrad(() => t.normal_(mean, std)),
);
/** Overwrites t with one value, without recording it, and returns t. PyTorch: `constant_`. */
export const constant = checked('nn.init.constant', { t: tensor, value: number }, (t: Tensor, value: number): Tensor =>
  noGrad(() => t.fill_(value)),
);
/**
 * Fills a weight from U(-a, a), a = gain sqrt(6 / (fanIn + fanOut)), which keeps the variance of activations and
 * gradients from layer to layer (Glorot, Bengio: Understanding the difficulty of training deep feedforward neural
 * networks; 2010). PyTorch: `xavier_uniform_`.
 */
export const xavierUniform = checked(
  'nn.init.xavierUniform',
  { t: tensor, gain: optional(number) },
  (t: Tensor, gain = 1): Tensor => {
    const { fanIn, fanOut } = fans(t);
    const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
    return uniform(t, -bound, bound);
  },
);
/**
 * Fills a weight from U(-a, a), a = gain sqrt(3 / fanIn), which keeps the variance of activations from layer to layer;
 * gain sqrt(2) is for relu (He, Zhang, Ren, Sun: Delving deep into rectifiers; 2015). PyTorch: `kaiming_uniform_`.
 */
export const kaimingUniform = checked(
  'nn.init.kaimingUniform',
  { t: tensor, gain: optional(number) },
  (t: Tensor, gain = Math.SQRT2): Tensor => {
    const bound = gain * Math.sqrt(3 / fans(t).fanIn);
    return uniform(t, -bound, bound);
  },
);
