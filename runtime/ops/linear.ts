import { number } from '../arguments.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { format } from '../tensor/shape.ts';
import { full } from '../tensor/create.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { composed, define } from './define.ts';
import { ops } from './registry.ts';
import * as takes from './specs.ts';

/** x (..., in) by the transpose of weight (out, in), plus bias (out). */
export const linear = define(
  'linear',
  takes.weighted,
  (x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor => {
    if (x.rank === 0) throw new ShapeError('the input has no axes', { op: 'linear', shapes: [x.shape, weight.shape] });
    return call(ops.linear, [x.isContiguous ? x : x.contiguous(), weight, bias], {});
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
