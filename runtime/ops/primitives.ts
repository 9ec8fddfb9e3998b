import type { DropoutParams } from '../dispatch/elementwise.ts';
import type { SliceParams, SliceBackwardParams } from '../dispatch/layout.ts';
import type { ConvParams, PoolParams } from '../dispatch/convPool.ts';
import { empty, fillRandom } from '../tensor/create.ts';
import { promote, type DTypeInfo } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';

/** Ops by their exact parameters, for Castor's own code: derivatives need them, users do not. */

/** The part of x that a slice shows, as a view. */
export const sliceBy = (x: Tensor, params: SliceParams): Tensor => call(ops.slice, [x], params);
/** Zeros of params.shape with x at the place that the slice shows: the gradient of a slice. */
export const sliceBackward = (x: Tensor, params: SliceBackwardParams): Tensor => call(ops.sliceBackward, [x], params);

/** Dropout that draws from a given random stream. */
export const dropoutBy = (x: Tensor, params: DropoutParams): Tensor => call(ops.dropout, [x], params);

export const avgPoolBy = (x: Tensor, params: PoolParams): Tensor => call(ops.avgPool, [x], params);
/** The gradient of average pooling at its input, whose shape is params.shape. */
export const avgPoolBackward = (g: Tensor, params: PoolParams): Tensor => call(ops.avgPoolBackward, [g], params);

/** Two factors in one dtype. In second derivatives a float32 gradient meets a 16-bit factor: both become float32. */
function inOneDType(a: Tensor, b: Tensor): [Tensor, Tensor] {
  if (a.info === b.info) return [a, b];
  const info = promote(a.info, b.info);
  return [a.to(info.name), b.to(info.name)];
}
/** The parameter that asks for a result dtype. It is never narrower than the factors: the engine rounds once, after it has summed. */
const resultIn = ({ info }: Tensor, wanted: DTypeInfo | undefined): { dtype?: DTypeInfo } =>
  wanted === undefined || info === wanted ? {} : { dtype: promote(info, wanted) };

/** The product of matrices (..., m, k) and (..., k, n). Its float32 sums are written in a dtype that may be wider than the factors. */
export function matmulIn(a: Tensor, b: Tensor, dtype: DTypeInfo): Tensor {
  const [left, right] = inOneDType(a, b);
  return call(ops.matmul, [left, right], resultIn(left, dtype));
}

const convParams = (a: Tensor, { dtype, ...params }: ConvParams): ConvParams => ({ ...params, ...resultIn(a, dtype) });
export function convolutionBy(x: Tensor, weight: Tensor, params: ConvParams): Tensor {
  const [a, b] = inOneDType(x, weight);
  return call(ops.convolution, [a, b, null], convParams(a, params));
}
/** The gradient of a convolution at its input (params.shape), from the gradient at its output and the weight. */
export function convInputGrad(g: Tensor, weight: Tensor, params: ConvParams): Tensor {
  const [a, b] = inOneDType(g, weight);
  return call(ops.convInputGrad, [a, b], convParams(a, params));
}
/** The gradient of a convolution at its weight (params.shape), from its input and the gradient at its output. */
export function convWeightGrad(x: Tensor, g: Tensor, params: ConvParams): Tensor {
  const [a, b] = inOneDType(x, g);
  return call(ops.convWeightGrad, [a, b], convParams(a, params));
}

/** Exponentially distributed numbers, rate 1, of the same shape, dtype and device. */
export function exponentialLike(x: Tensor): Tensor {
  const out = empty(x.shape, { dtype: x.dtype, device: x.device });
  fillRandom(out, 'exponential', 1, 0);
  return out;
}
