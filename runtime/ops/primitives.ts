import type { DropoutParams } from '../dispatch/elementwise.ts';
import type { SliceParams, SliceBackwardParams } from '../dispatch/layout.ts';
import type { ConvParams, PoolParams } from '../dispatch/convPool.ts';
import { empty, fillRandom } from '../tensor/create.ts';
import { promote, type DTypeInfo } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';

/** Calls of ops with all their parameters, for Castor's own code: derivatives need them, users do not. */

/** Returns the elements of x that a slice selects, as a view. */
export const sliceBy = (x: Tensor, params: SliceParams): Tensor => call(ops.slice, [x], params);
/** Computes the gradient of a slice: zeros of params.shape, with x at the positions that the slice selects. */
export const sliceBackward = (x: Tensor, params: SliceBackwardParams): Tensor => call(ops.sliceBackward, [x], params);

/** Applies dropout with given random numbers (seed and offset). */
export const dropoutBy = (x: Tensor, params: DropoutParams): Tensor => call(ops.dropout, [x], params);

export const avgPoolBy = (x: Tensor, params: PoolParams): Tensor => call(ops.avgPool, [x], params);
/** Computes the gradient of the input of average pooling, which has the shape params.shape. */
export const avgPoolBackward = (g: Tensor, params: PoolParams): Tensor => call(ops.avgPoolBackward, [g], params);

/**
 * Returns two factors in one dtype. In second derivatives one may be a float32 gradient and the other have 16 bits: both become float32.
 */
function inOneDType(a: Tensor, b: Tensor): [Tensor, Tensor] {
  if (a.info === b.info) return [a, b];
  const info = promote(a.info, b.info);
  return [a.to(info.name), b.to(info.name)];
}
/** Returns the parameter for a result dtype. It is never narrower than the factors: the engine rounds once, after it has summed. */
const resultIn = ({ info }: Tensor, wanted: DTypeInfo | undefined): { dtype?: DTypeInfo } =>
  wanted === undefined || info === wanted ? {} : { dtype: promote(info, wanted) };

/**
 * Computes the product of matrices (..., m, k) and (..., k, n). Its float32 sums are written in a dtype that may be wider than the
 * factors.
 */
export function matmulIn(a: Tensor, b: Tensor, dtype: DTypeInfo): Tensor {
  const [left, right] = inOneDType(a, b);
  return call(ops.matmul, [left, right], resultIn(left, dtype));
}

const convParams = (a: Tensor, { dtype, ...params }: ConvParams): ConvParams => ({ ...params, ...resultIn(a, dtype) });
export function convolutionBy(x: Tensor, weight: Tensor, params: ConvParams): Tensor {
  const [a, b] = inOneDType(x, weight);
  return call(ops.convolution, [a, b, null], convParams(a, params));
}
/** Computes the gradient of a convolution's input, which has the shape params.shape, from the gradient of the output and the weight. */
export function convInputGrad(g: Tensor, weight: Tensor, params: ConvParams): Tensor {
  const [a, b] = inOneDType(g, weight);
  return call(ops.convInputGrad, [a, b], convParams(a, params));
}
/** Computes the gradient of a convolution's weight, which has the shape params.shape, from the input and the gradient of the output. */
export function convWeightGrad(x: Tensor, g: Tensor, params: ConvParams): Tensor {
  const [a, b] = inOneDType(x, g);
  return call(ops.convWeightGrad, [a, b], convParams(a, params));
}

/** Returns exponentially distributed numbers with rate 1, of the same shape, dtype and device. */
export function exponentialLike(x: Tensor): Tensor {
  const out = empty(x.shape, { dtype: x.dtype, device: x.device });
  fillRandom(out, 'exponential', 1, 0);
  return out;
}
