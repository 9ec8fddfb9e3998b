import { native } from '../ffi/library.ts';
import { describeAs } from '../ffi/view.ts';
import { noteWrite } from '../tensor/graphCapture.ts';
import { numelOf, type Shape } from '../tensor/shape.ts';
import { assertLive, empty, writeView, type Tensor } from '../tensor/tensor.ts';
import { statInfo, type Wanted } from './axes.ts';
import { check, deviceOf, needFloat, type OpInfo, type Run } from './op.ts';

export interface BatchGroupNormParams {
  /** The number of groups of neighbouring channels that share statistics: the number of channels, except for groupNorm. */
  readonly groups: number;
  readonly eps: number;
  /**
   * The values that share a mean and a variance: those of a channel in the whole 'batch', or of a 'group' of channels in one sample. With
   * 'running' the statistics are given, not computed.
   */
  readonly statistics: 'batch' | 'running' | 'group';
  /** The running mean and variance, (C) each: updated in place for 'batch', read for 'running'. */
  readonly running: { readonly mean: Tensor; readonly variance: Tensor; readonly momentum: number } | null;
}

const LAST = [1];
/** Describes a contiguous tensor (N, C, ...) as (N, C, L). */
function asPlanes(slot: number, a: Tensor): number {
  const [n, c] = a.shape as [number, number];
  const length = numelOf(a.shape.slice(2));
  return describeAs(slot, a, [n, c, length], [c * length, length, 1]);
}
const asColumn = (slot: number, a: Tensor | null): number => (a === null ? 0 : describeAs(slot, a, [a.numel], LAST));
const statisticsShape = ([n, c]: Shape, { statistics, groups }: BatchGroupNormParams): Shape => [
  statistics === 'group' ? n! * groups : c!,
];

/** Computes batchNorm or groupNorm. Inputs: x, weight, bias, all contiguous. Outputs: [out, rstd, mean]. */
export const batchGroupNorm: Run<BatchGroupNormParams> = (op, inputs, params, dtype) => {
  const { groups, eps, statistics, running } = params;
  const [x, weight, bias] = inputs as [Tensor, Tensor | null, Tensor | null];
  needFloat(op, x);
  const device = deviceOf(op, running ? [...inputs, running.mean, running.variance] : inputs);
  for (const t of [x, weight, bias]) if (t?.disposed) assertLive(t, op.name);
  const out = empty(x.shape, dtype ?? x.info, device);
  const shape = statisticsShape(x.shape, params);
  const [mean, rstd] = [empty(shape, statInfo(x), device), empty(shape, statInfo(x), device)];
  const status = native.castor_batch_group_norm(
    op.code,
    asPlanes(0, x),
    asColumn(1, weight),
    asColumn(2, bias),
    asPlanes(3, out),
    asColumn(4, mean),
    asColumn(5, rstd),
    running ? writeView(6, running.mean, op.name) : 0,
    running ? writeView(7, running.variance, op.name) : 0,
    groups,
    running?.momentum ?? 0,
    eps,
  );
  check(status, op, inputs);
  if (running && statistics === 'batch') for (const t of [running.mean, running.variance]) noteWrite(t.storage);
  return [out, rstd, mean];
};

/** Computes the gradients of x, weight and bias, each in the dtype that is wanted; null for those that are not wanted. */
export function batchGroupNormBackward(
  op: OpInfo,
  grad: Tensor,
  saved: { x: Tensor; weight: Tensor | null; rstd: Tensor; mean: Tensor },
  groups: number,
  wanted: readonly [Wanted, Wanted, Wanted],
): (Tensor | null)[] {
  const { x, weight, rstd, mean } = saved;
  const make = (to: Wanted): Tensor | null => to && empty(to.shape, to.info, x.storage.device);
  const [gx, gw, gb] = [make(wanted[0]), make(wanted[1]), make(wanted[2])];
  const status = native.castor_batch_group_norm_backward(
    op.code,
    asPlanes(0, grad),
    asPlanes(1, x),
    asColumn(2, weight),
    asColumn(3, mean),
    asColumn(4, rstd),
    gx ? asPlanes(5, gx) : 0,
    asColumn(6, gw),
    asColumn(7, gb),
    groups,
  );
  check(status, op, [grad, x]);
  return [gx, gw, gb];
}
