import type { AttentionParams } from '../dispatch/attention.ts';
import { full } from '../tensor/create.ts';
import type { Tensor } from '../tensor/tensor.ts';

/**
 * softmax(scale q k^T + mask) by differentiable ops: the (L, S) matrix that the fused kernel never stores. If every key of a query is
 * masked, its probabilities and their gradients are 0, as in the kernel.
 */
export function attentionProbabilities(
  q: Tensor,
  k: Tensor,
  mask: Tensor | null,
  { scale, causal }: AttentionParams,
): Tensor {
  let scores = q.matmul(k.transpose(-2, -1)).mul(scale);
  if (mask !== null)
    scores = mask.dtype === 'bool' ? scores.maskedFill(mask.logicalNot(), -Infinity) : scores.add(mask);
  if (causal) {
    const later = full(scores.shape.slice(-2), 1, { dtype: 'bool', device: scores.device }).triu(1);
    scores = scores.maskedFill(later, -Infinity);
  }
  // Without a mask, also with the causal one, no query has all its keys masked.
  if (mask === null) return scores.softmax(-1);
  const blind = scores.eq(-Infinity).all(-1, { keepdim: true });
  return scores.maskedFill(blind, 0).softmax(-1).maskedFill(blind, 0);
}
