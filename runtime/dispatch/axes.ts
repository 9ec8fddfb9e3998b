import { native } from '../ffi/library.ts';
import { describeAs } from '../ffi/view.ts';
import { bool, float32, float64, int64, toFloat, type DTypeInfo } from '../tensor/dtype.ts';
import { stridesOf, type Shape } from '../tensor/shape.ts';
import { assertLive, empty, emptyLike, writeView, writeViews, type Tensor } from '../tensor/tensor.ts';
import { check, deviceOf, needFloat, type OpInfo, type Run } from './op.ts';

export interface ReduceParams {
  /** The axes that are reduced, ascending, from 0 to the rank - 1. */
  readonly axes: readonly number[];
  readonly keepdim: boolean;
  /** The order p of norm(), or the correction of var() and std(). */
  readonly p0: number;
  /** The dtype of the result, if the caller asked for one. */
  readonly dtype?: DTypeInfo;
}

function reduceInfo(op: OpInfo, a: Tensor): DTypeInfo {
  if (op.result === 'bool') return bool;
  if (op.result === 'int64') return int64;
  if (op.result === 'sum') return a.info.category === 'float' ? a.info : int64;
  if (op.result === 'float') return toFloat(a.info);
  if (op.result === 'floating') needFloat(op, a);
  return a.info;
}

export const reduce: Run<ReduceParams> = (op, inputs, { axes, keepdim, p0, dtype: asked }, dtype) => {
  const a = inputs[0] as Tensor;
  const kept = a.shape.slice();
  let mask = 0;
  for (const axis of axes) {
    kept[axis] = 1;
    mask |= 1 << axis;
  }
  const shape = keepdim ? kept : a.shape.filter((_, axis) => !(mask & (1 << axis)));
  const out = empty(shape, asked ?? dtype ?? reduceInfo(op, a), a.storage.device);
  const target = describeAs(1, out, kept, stridesOf(kept));
  check(native.castor_reduce(op.code, writeView(0, a, op.name), target, mask, p0), op, inputs);
  return out;
};

export interface AxisParams {
  readonly axis: number;
  readonly dtype?: DTypeInfo;
}

export const scan: Run<AxisParams> = (op, inputs, { axis, dtype: asked }, dtype) => {
  const a = inputs[0] as Tensor;
  const out = emptyLike(a, asked ?? dtype ?? (a.isFloat ? a.info : int64));
  check(native.castor_scan(op.code, writeView(0, a, op.name), writeView(1, out, op.name), axis), op, inputs);
  return out;
};

export const softmax: Run<AxisParams> = (op, inputs, { axis, dtype: asked }, dtype) => {
  const a = inputs[0] as Tensor;
  if (!asked) needFloat(op, a);
  const out = emptyLike(a, asked ?? dtype ?? a.info);
  check(native.castor_softmax(op.code, writeView(0, a, op.name), writeView(1, out, op.name), axis), op, inputs);
  return out;
};

export function softmaxBackward(op: OpInfo, grad: Tensor, y: Tensor, axis: number): Tensor {
  const out = emptyLike(grad, grad.info);
  const status = native.castor_softmax_backward(
    op.code,
    writeView(0, grad, op.name),
    writeView(1, y, op.name),
    writeView(2, out, op.name),
    axis,
  );
  check(status, op, [grad, y]);
  return out;
}

export interface SortParams {
  readonly axis: number;
  /** The number of elements that are kept along the axis. */
  readonly k: number;
  readonly descending: boolean;
}

/** Returns [values, indices] of the first k elements along the axis in sorted order. */
export const sort: Run<SortParams> = (op, inputs, { axis, k, descending }) => {
  const a = inputs[0] as Tensor;
  const shape = a.shape.with(axis, k);
  const values = empty(shape, a.info, a.storage.device);
  const indices = empty(shape, int64, a.storage.device);
  const status = native.castor_sort(
    writeView(0, a, op.name),
    writeView(1, values, op.name),
    writeView(2, indices, op.name),
    axis,
    descending ? 1 : 0,
  );
  check(status, op, inputs);
  return [values, indices];
};

/** Returns the dtype of row statistics and losses: float32, or float64 for float64 inputs. */
export const statInfo = (a: Tensor): DTypeInfo => (a.info === float64 ? float64 : float32);

export interface NormParams {
  /** The number of elements of the trailing axes that are normalised together. */
  readonly n: number;
  readonly eps: number;
  /** Is the mean subtracted? It is in layerNorm, but not in rmsNorm. */
  readonly centred: boolean;
}

/** The shape and dtype of a gradient; null if it is not wanted. */
export type Wanted = { readonly shape: Shape; readonly info: DTypeInfo } | null;

const rowsOf = (a: Tensor, n: number): readonly [number, number] => [n === 0 ? 0 : a.numel / n, n];
const LAST = [1];

/** Describes a contiguous tensor as (rows, n), a tensor of n elements as (n), and returns 0 for an absent one. */
const asRows = (slot: number, a: Tensor, n: number): number => describeAs(slot, a, rowsOf(a, n), [n, 1]);
const asRow = (slot: number, a: Tensor | null, n: number): number => (a === null ? 0 : describeAs(slot, a, [n], LAST));
const asColumn = (slot: number, a: Tensor | null): number => (a === null ? 0 : describeAs(slot, a, [a.numel], LAST));

/** Computes layerNorm or rmsNorm. Inputs: x, weight, bias, all contiguous. Outputs: [out, rstd, mean]; without mean for rmsNorm. */
export const norm: Run<NormParams> = (op, inputs, { n, eps, centred }, dtype) => {
  const [x, weight, bias] = inputs as [Tensor, Tensor | null, Tensor | null];
  needFloat(op, x);
  for (const t of [x, weight, bias]) if (t?.disposed) assertLive(t, op.name);
  const out = empty(x.shape, dtype ?? x.info, deviceOf(op, inputs));
  const rows = [rowsOf(x, n)[0]];
  const rstd = empty(rows, statInfo(x), x.storage.device);
  const mean = centred ? empty(rows, statInfo(x), x.storage.device) : null;
  const status = native.castor_norm(
    op.code,
    asRows(0, x, n),
    asRow(1, weight, n),
    asRow(2, bias, n),
    asRows(3, out, n),
    asColumn(4, mean),
    asColumn(5, rstd),
    eps,
  );
  check(status, op, inputs);
  return mean ? [out, rstd, mean] : [out, rstd];
};

/** Computes the gradients of x, weight and bias, each in the dtype that is wanted; null for those that are not wanted. */
export function normBackward(
  op: OpInfo,
  grad: Tensor,
  saved: { x: Tensor; weight: Tensor | null; rstd: Tensor; mean: Tensor | null },
  n: number,
  wanted: readonly [Wanted, Wanted, Wanted],
): (Tensor | null)[] {
  const { x, weight, rstd, mean } = saved;
  const make = (to: Wanted): Tensor | null => to && empty(to.shape, to.info, x.storage.device);
  const [gx, gw, gb] = [make(wanted[0]), make(wanted[1]), make(wanted[2])];
  const status = native.castor_norm_backward(
    op.code,
    asRows(0, grad, n),
    asRows(1, x, n),
    asRow(2, weight, n),
    asColumn(3, mean),
    asColumn(4, rstd),
    gx ? asRows(5, gx, n) : 0,
    asRow(6, gw, n),
    asRow(7, gb, n),
  );
  check(status, op, [grad, x]);
  return [gx, gw, gb];
}

export interface CrossEntropyParams {
  readonly ignoreIndex: number;
  readonly labelSmoothing: number;
}

/** Computes cross-entropy. Inputs: logits (rows, classes), target (rows). Outputs: [loss (rows), logsumexp (rows) in float64]. */
export const crossEntropy: Run<CrossEntropyParams> = (op, inputs, { ignoreIndex, labelSmoothing }) => {
  const [logits, target] = inputs as [Tensor, Tensor];
  needFloat(op, logits);
  const rows = [logits.shape[0]!];
  const loss = empty(rows, statInfo(logits), deviceOf(op, inputs));
  const logsumexp = empty(rows, float64, logits.storage.device);
  const views = writeViews([logits, target, loss, logsumexp], op.name);
  check(native.castor_cross_entropy(...views, ignoreIndex, labelSmoothing), op, inputs);
  return [loss, logsumexp];
};

export function crossEntropyBackward(
  op: OpInfo,
  grad: Tensor,
  logits: Tensor,
  target: Tensor,
  logsumexp: Tensor,
  { ignoreIndex, labelSmoothing }: CrossEntropyParams,
): Tensor {
  const out = empty(logits.shape, logits.info, logits.storage.device);
  const views = writeViews([grad, logits, target, logsumexp, out], op.name);
  check(native.castor_cross_entropy_backward(...views, ignoreIndex, labelSmoothing), op, [grad, logits, target]);
  return out;
}
