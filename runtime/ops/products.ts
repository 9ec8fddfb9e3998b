import type { ConvParams } from '../dispatch/windows.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { checkProbability } from '../tensor/holds.ts';
import { format } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';
import { attentionProbabilities } from './attention.ts';
import { INT32_MAX, pairOf, type Pair } from './pair.ts';

/**
 * The matrix product (..., m, k) by (..., k, n); leading axes broadcast. A tensor of one axis is a row on the left and a column on
 * the right, and that axis is dropped from the result.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
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
}

/** x (..., in) by the transpose of weight (out, in), plus bias (out). */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  if (x.rank === 0) throw new ShapeError('the input has no axes', { op: 'linear', shapes: [x.shape, weight.shape] });
  return call(ops.linear, [x.isContiguous ? x : x.contiguous(), weight, bias], {});
}

export interface ConvOptions {
  stride?: Pair;
  padding?: Pair;
  dilation?: Pair;
  groups?: number;
}

/** Cross-correlation of input (N, C, H, W) with weight (O, C / groups, kH, kW), plus bias (O): (N, O, oH, oW). */
export function conv2d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: ConvOptions = {}): Tensor {
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
}

export interface Conv1dOptions {
  stride?: number;
  padding?: number;
  dilation?: number;
  groups?: number;
}
/** Cross-correlation of input (N, C, L) with weight (O, C / groups, k), plus bias (O): (N, O, oL). */
export function conv1d(x: Tensor, weight: Tensor, bias: Tensor | null = null, options: Conv1dOptions = {}): Tensor {
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
}

export interface AttentionOptions {
  /** bool: true where a query may look; float: added to the scores. Broadcasts to (B, H, L, S). */
  mask?: Tensor;
  /** Query i sees keys 0 to i only. */
  causal?: boolean;
  /** Factor of the scores; 1 / sqrt(E) unless given. */
  scale?: number;
  dropoutP?: number;
}

/**
 * softmax(scale * q k^T + mask) v, without ever holding the (L, S) scores. q (..., L, E), k (..., S, E), v (..., S, F) with the
 * same leading axes, at most two.
 */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const shapes = [q.shape, k.shape, v.shape];
  if (q.rank < 2 || q.rank > 4 || k.rank !== q.rank || v.rank !== q.rank)
    throw new ShapeError(
      `query ${format(q.shape)}, key ${format(k.shape)} and value ${format(v.shape)} must have 2 to 4 axes alike`,
      {
        op: 'scaledDotProductAttention',
        shapes,
      },
    );
  // Vectors of size 0 are all alike.
  const scale = options.scale ?? 1 / Math.sqrt(Math.max(q.shape.at(-1)!, 1));
  checkProbability(options.dropoutP ?? 0, 'scaledDotProductAttention');
  if (options.dropoutP) return attentionWithDropout(q, k, v, options, scale);
  const wide = (t: Tensor): Tensor =>
    t.rank === 4 ? t : t.reshape([...Array<number>(4 - t.rank).fill(1), ...t.shape]);
  const params = { scale, causal: options.causal ?? false };
  const out = call(ops.scaledDotProductAttention, [wide(q), wide(k), wide(v), options.mask ?? null], params);
  return q.rank === 4 ? out : out.reshape(out.shape.slice(4 - q.rank));
}

/** Dropout acts on the probabilities, which the fused kernel never holds. */
function attentionWithDropout(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { mask, causal, dropoutP }: AttentionOptions,
  scale: number,
): Tensor {
  const p = attentionProbabilities(q, k, mask ?? null, { scale, causal: causal ?? false });
  return p.dropout(dropoutP!).to(v.dtype).matmul(v);
}
