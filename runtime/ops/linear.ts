import { number, oneOf, options } from '../arguments.ts';
import { autocastHere } from '../amp/state.ts';
import { wantsGrad } from '../autograd/tape.ts';
import { noScalars } from '../dispatch/elementwise.ts';
import type { LinearParams } from '../dispatch/matmul.ts';
import { current } from '../context.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { format } from '../tensor/shape.ts';
import { full } from '../tensor/create.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { composed, define } from './define.ts';
import { ops } from './registry.ts';
import * as takes from './specs.ts';

/** The options of linear(). */
export interface LinearOptions {
  /** A function of the result, which is computed with it in one kernel where no gradient is wanted. Default: 'none'. */
  activation?: LinearParams['activation'];
}
const activations = { none: null, relu: ops.relu, gelu: ops.gelu, geluTanh: ops.geluTanh };

/**
 * Is an activation computed with the product? Not if a gradient is wanted, which needs the values before it, and not if they are rounded
 * to 16 bits: the result is the same to the bit either way. relu gives the same before rounding as after.
 */
const fuses = (activation: LinearParams['activation'], operands: readonly (Tensor | null)[]): boolean =>
  !(current().grad && wantsGrad(operands)) &&
  (activation === 'relu' || (autocastHere() === null && operands[0]!.info.bytes > 2));

/** x (..., in) by the transpose of weight (out, in), plus bias (out); then an activation, if the options name one. */
export const linear = define(
  'linear',
  { ...takes.weighted, options: options({ activation: oneOf(...Object.keys(activations)) }, { string: 'activation' }) },
  (x: Tensor, weight: Tensor, bias: Tensor | null = null, options: LinearOptions = {}): Tensor => {
    if (x.rank === 0) throw new ShapeError('the input has no axes', { op: 'linear', shapes: [x.shape, weight.shape] });
    const { activation = 'none' } = options;
    const operands = [x.isContiguous ? x : x.contiguous(), weight, bias];
    const after = activations[activation];
    if (after === null || fuses(activation, operands)) return call(ops.linear, operands, { activation });
    return call(after, [call(ops.linear, operands, { activation: 'none' })], noScalars);
  },
);

/**
 * Selects the rows of weight (n, d) whose numbers are in x. The result has the shape of x, then d.
 * @throws IndexError for a row that does not exist
 */
export const embedding = define('embedding', { x: tensor, weight: tensor }, (x: Tensor, weight: Tensor): Tensor => {
  if (weight.rank !== 2)
    throw new ShapeError(`weight ${format(weight.shape)} must be (rows, size)`, {
      op: 'embedding',
      shapes: [x.shape, weight.shape],
    });
  return call(ops.indexSelect, [weight, x.reshape([-1])], { axis: 0 }).reshape([...x.shape, weight.shape[1]!]);
});

/**
 * Returns a tensor with a new last axis of size numClasses that is 1 at the class of each element, else 0. int64, as in PyTorch.
 * @throws IndexError for a class that does not exist
 */
export const oneHot = composed('oneHot', { x: tensor, numClasses: number }, (x: Tensor, numClasses: number): Tensor => {
  if (!(Number.isInteger(numClasses) && numClasses > 0))
    throw new ArgumentError(`numClasses ${numClasses} is not a whole number above 0`, {
      op: 'oneHot',
      shapes: [x.shape],
      advice: 'It is the number of classes there are: one more than the largest class',
    });
  // A negative class must not count from the end, as a position does. It is replaced by a class that does not exist.
  const classes = x.maskedFill(x.lt(0), numClasses).unsqueeze(-1);
  return full([...x.shape, numClasses], 0, { dtype: 'int64', device: x.device }).scatter(-1, classes, 1);
});
