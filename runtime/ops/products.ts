import { ShapeError } from '../errors.ts';
import { format } from '../tensor/shape.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { define } from './define.ts';
import { ops } from './registry.ts';

/**
 * Computes the matrix product of (..., m, k) and (..., k, n); leading axes broadcast. A tensor of one axis is a row on the left and a
 * column on the right, and that axis is dropped from the result.
 */
export const matmul = define('matmul', { a: tensor, b: tensor }, (a: Tensor, b: Tensor): Tensor => {
  if (a.rank === 0 || b.rank === 0)
    throw new ShapeError(`${format(a.shape)} by ${format(b.shape)}: a tensor of rank 0 has no product`, {
      op: 'matmul',
      shapes: [a.shape, b.shape],
      advice: 'Use mul()',
    });
  const left = a.rank === 1 ? a.unsqueeze(0) : a;
  const right = b.rank === 1 ? b.unsqueeze(1) : b;
  const out = call(ops.matmul, [left, right], {});
  if (a.rank > 1 && b.rank > 1) return out;
  return out.squeeze([...(a.rank === 1 ? [out.rank - 2] : []), ...(b.rank === 1 ? [out.rank - 1] : [])]);
});
