import { ShapeError } from '../errors.ts';
import { native } from '../ffi/library.ts';
import { describeAs } from '../ffi/view.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import { broadcast, broadcastStrides, format, sameShape, type Shape } from '../tensor/shape.ts';
import { assertLive, empty, writeView, writeViews, type Tensor } from '../tensor/tensor.ts';
import { statInfo } from './axes.ts';
import type { DropoutParams } from './elementwise.ts';
import { check, contextOf, deviceOf, needFloat, needSame, type Run } from './op.ts';

export interface AttentionParams {
  /** The dropout of the probabilities (B, H, L, S), or null for none. */
  readonly dropout: DropoutParams | null;
  /** The factor of the scores, usually 1 / sqrt(E). */
  readonly scale: number;
  readonly causal: boolean;
}

/**
 * Computes attention. Inputs: q (B, H, L, E), k (B, H, S, E), v (B, H, S, F), mask that broadcasts to (B, H, L, S) or null. Outputs: [out
 * (B, H, L, F), logsumexp (B, H, L)].
 */
export const attention: Run<AttentionParams> = (op, inputs, { scale, causal, dropout }) => {
  const [q, k, v, mask] = inputs as [Tensor, Tensor, Tensor, Tensor | null];
  needFloat(op, q);
  needSame(op, q, k);
  needSame(op, q, v);
  const device = deviceOf(op, inputs);
  const [b, h, l, e] = q.shape as [number, number, number, number];
  const s = k.shape[2]!;
  const fits = sameShape(k.shape, [b, h, s, e]) && sameShape(v.shape.slice(0, 3), [b, h, s]) && v.rank === 4;
  if (!fits)
    throw new ShapeError(`query ${format(q.shape)}, key ${format(k.shape)} and value ${format(v.shape)} do not fit`, {
      ...contextOf(op, inputs),
      advice: 'They are (B, H, L, E), (B, H, S, E) and (B, H, S, F)',
    });
  if (mask !== null) {
    assertLive(mask, op.name);
    broadcast(mask.shape, [b, h, l, s], op.name);
  }
  const out = empty([b, h, l, v.shape[3]!], q.info, device);
  const logsumexp = empty([b, h, l], statInfo(q), device);
  const status = native.castor_attention(
    writeView(0, q, op.name),
    writeView(1, k, op.name),
    writeView(2, v, op.name),
    mask === null ? 0 : maskView(3, mask, [b, h, l, s]),
    writeView(4, out, op.name),
    writeView(5, logsumexp, op.name),
    scale,
    causal ? 1 : 0,
    ...randomOf(dropout),
  );
  check(status, op, inputs);
  return [out, logsumexp];
};

const randomOf = (dropout: DropoutParams | null): [number, number, number] =>
  dropout === null ? [0, 0, 0] : [dropout.p, dropout.seed, dropout.offset];

function maskView(slot: number, mask: Tensor, shape: Shape): number {
  return describeAs(slot, mask, shape, broadcastStrides(mask, shape));
}

/** Computes the gradients of q, k and v, each in the dtype that is wanted. */
export function attentionBackward(
  op: { name: string },
  grad: Tensor,
  saved: { q: Tensor; k: Tensor; v: Tensor; mask: Tensor | null; out: Tensor; logsumexp: Tensor },
  { scale, causal, dropout }: AttentionParams,
  infos: readonly DTypeInfo[],
): Tensor[] {
  const { q, k, v, mask, out, logsumexp } = saved;
  const made = (t: Tensor, i: number): Tensor => empty(t.shape, infos[i]!, t.storage.device);
  const gradients = [made(q, 0), made(k, 1), made(v, 2)] as const;
  const views = writeViews([grad, q, k, v], op.name);
  const rest = writeViews([out, logsumexp, ...gradients], op.name, 5);
  const masked = mask === null ? 0 : maskView(4, mask, [...q.shape.slice(0, 3), k.shape[2]!]);
  check(native.castor_attention_backward(...views, masked, ...rest, scale, causal ? 1 : 0, ...randomOf(dropout)), op, [
    grad,
    q,
    k,
    v,
  ]);
  return [...gradients];
}
