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
/** Numbers of inputs and outputs of one unit of a weight (out, in, ...kernel). PyTorch keeps it to itself, as `_calculate_fan_in_and_fan_out`. */
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
/** Uniform with the variance that keeps activations and gradients of one size (Glorot and Bengio 2010). PyTorch: `xavier_uniform_`. */
export const xavierUniform = checked(
  'nn.init.xavierUniform',
  { t: tensor, gain: optional(number) },
  (t: Tensor, gain = 1): Tensor => {
    const { fanIn, fanOut } = fans(t);
    const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
    return uniform(t, -bound, bound);
  },
);
/** Uniform with variance gain^2 / fanIn (He et al. 2015); gain sqrt(2) suits relu. PyTorch: `kaiming_uniform_`. */
export const kaimingUniform = checked(
  'nn.init.kaimingUniform',
  { t: tensor, gain: optional(number) },
  (t: Tensor, gain = Math.SQRT2): Tensor => {
    const bound = gain * Math.sqrt(3 / fans(t).fanIn);
    return uniform(t, -bound, bound);
  },
);
