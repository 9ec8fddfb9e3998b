import { boolean, nullable, number, options } from '../arguments.ts';
import type { AttentionParams } from '../dispatch/fusedAttention.ts';
import { ShapeError } from '../errors.ts';
import { full } from '../tensor/create.ts';
import { draw, generator } from '../tensor/generator.ts';
import { checkProbability } from '../tensor/holds.ts';
import { format } from '../tensor/shape.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { composed } from './define.ts';
import { ops } from './registry.ts';

/**
 * Computes softmax(scale q k^T + mask) by differentiable ops: the (L, S) matrix that the fused kernel never stores. If every key of a
 * query is masked, its probabilities and their gradients are 0, as in the kernel.
 */
export function attentionProbabilities(
  q: Tensor,
  k: Tensor,
  mask: Tensor | null,
  { scale, causal }: Pick<AttentionParams, 'scale' | 'causal'>,
): Tensor {
  let scores = q.matmul(k.transpose(-2, -1)).mul(scale);
  if (mask !== null)
    scores = mask.dtype === 'bool' ? scores.maskedFill(mask.logicalNot(), -Infinity) : scores.add(mask);
  if (causal) {
    const later = full(scores.shape.slice(-2), 1, { dtype: 'bool', device: scores.device }).triu(1);
    scores = scores.maskedFill(later, -Infinity);
  }
  // Without a mask every query has a key that is not masked, also if `causal` is set.
  if (mask === null) return scores.softmax(-1);
  const blind = scores.eq(-Infinity).all(-1, { keepdim: true });
  return scores.maskedFill(blind, 0).softmax(-1).maskedFill(blind, 0);
}

/** The options of scaledDotProductAttention(). */
export interface AttentionOptions {
  /** The mask, which broadcasts to (B, H, L, S). bool: true for keys that a query may attend to. Float: it is added to the scores. */
  mask?: Tensor;
  /** May query i attend to keys 0 to i only? Default: false. */
  causal?: boolean;
  /** The factor of the scores. Default: 1 / sqrt(E). */
  scale?: number;
  /** The probability with which a probability becomes 0. Default: 0. */
  dropoutP?: number;
}

/**
 * Computes softmax(scale * q k^T + mask) v without storing the scores (L, S). q (..., L, E), k (..., S, E) and v (..., S, F) have the
 * same leading axes, at most two.
 */
export const scaledDotProductAttention = composed(
  'scaledDotProductAttention',
  {
    q: tensor,
    k: tensor,
    v: tensor,
    options: options({ mask: nullable(tensor), causal: boolean, scale: number, dropoutP: number }),
  },
  (q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor => {
    const shapes = [q.shape, k.shape, v.shape];
    if (q.rank < 2 || q.rank > 4 || k.rank !== q.rank || v.rank !== q.rank)
      throw new ShapeError(
        `query ${format(q.shape)}, key ${format(k.shape)} and value ${format(v.shape)} must have 2 to 4 axes alike`,
        {
          op: 'scaledDotProductAttention',
          shapes,
        },
      );
    // For vectors of size 0 the scale does not matter.
    const scale = options.scale ?? 1 / Math.sqrt(Math.max(q.shape.at(-1)!, 1));
    const p = options.dropoutP ?? 0;
    checkProbability(p, 'scaledDotProductAttention');
    const wide = (t: Tensor): Tensor =>
      t.rank === 4 ? t : t.reshape([...Array<number>(4 - t.rank).fill(1), ...t.shape]);
    const dropout = p > 0 ? { p, ...draw(generator()) } : null;
    const params = { scale, causal: options.causal ?? false, dropout };
    const out = call(ops.scaledDotProductAttention, [wide(q), wide(k), wide(v), options.mask ?? null], params);
    return q.rank === 4 ? out : out.reshape(out.shape.slice(4 - q.rank));
  },
);
