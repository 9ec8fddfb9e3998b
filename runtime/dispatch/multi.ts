import { native } from '../ffi/library.ts';
import { describeList } from '../ffi/view.ts';
import { empty, assertLive, writeView, type Tensor } from '../tensor/tensor.ts';
import { float32 } from '../tensor/dtype.ts';
import { noteWrite } from '../tensor/graphCapture.ts';
import { check } from './op.ts';

/** Calls on many tensors at once: one launch a device. All tensors of one call live on one device. */

function list(op: string, ...lists: (readonly Tensor[])[]): number {
  const tensors = lists.flat();
  for (const t of tensors) assertLive(t, op);
  return describeList(tensors);
}

const wrote = (tensors: readonly Tensor[]): void => {
  for (const t of tensors) noteWrite(t.storage);
};

/** Multiplies gradients in place by inverseScale (one float32), and sets foundInf (one float32) to 1 if a value is not finite. */
export function multiUnscale(gradients: readonly Tensor[], inverseScale: Tensor, foundInf: Tensor): void {
  if (gradients.length === 0) return;
  const op = { name: 'unscale' };
  const status = native.castor_multi_unscale(
    list(op.name, gradients),
    gradients.length,
    writeView(0, inverseScale, op.name),
    writeView(1, foundInf, op.name),
  );
  check(status, op, gradients);
  wrote([...gradients, foundInf]);
}

/** Returns the p-norm of all elements of all tensors together, as one float32. */
export function multiNorm(tensors: readonly Tensor[], p: number): Tensor {
  const op = { name: 'norm' };
  const out = empty([], float32, tensors[0]!.storage.device);
  check(native.castor_multi_norm(list(op.name, tensors), tensors.length, writeView(0, out, op.name), p), op, tensors);
  return out;
}

/** Multiplies every tensor in place by factor (one float32). */
export function multiScale(tensors: readonly Tensor[], factor: Tensor): void {
  const op = { name: 'scale' };
  check(native.castor_multi_scale(list(op.name, tensors), tensors.length, writeView(0, factor, op.name)), op, tensors);
  wrote(tensors);
}

const hyper = new Float64Array(new ArrayBuffer(8 * 8));
const setHyper = (values: readonly (number | boolean)[]): Float64Array => {
  hyper.set(values.map(Number));
  return hyper;
};

export interface SgdRule {
  lr: number;
  momentum: number;
  dampening: number;
  weightDecay: number;
  nesterov: boolean;
  maximize: boolean;
}

/** Values on the device that a step of an optimizer reads, so that the host need not wait for them. */
export interface OnDevice {
  /** A float64 that is read in place of the learning rate of the rule; null for the latter. */
  readonly lr: Tensor | null;
  /** Nothing is written if this float32 is not 0; null to always step. */
  readonly foundInf: Tensor | null;
}
const addressOf = (slot: number, t: Tensor | null, op: string): number => (t === null ? 0 : writeView(slot, t, op));

/** Runs one SGD step. Lists: parameters, gradients, momentum buffers (or none), steps. */
export function multiSgd(lists: readonly (readonly Tensor[])[], rule: SgdRule, { lr, foundInf }: OnDevice): void {
  const op = { name: 'SGD.step' };
  const values = setHyper([rule.lr, rule.momentum, rule.dampening, rule.weightDecay, rule.nesterov, rule.maximize]);
  const [rate, found] = [addressOf(0, lr, op.name), addressOf(1, foundInf, op.name)];
  check(native.castor_multi_sgd(list(op.name, ...lists), lists[0]!.length, values, rate, found), op, lists[0]!);
  for (const [i, tensors] of lists.entries()) if (i !== 1) wrote(tensors);
}

export interface AdamRule {
  lr: number;
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
  /** Is weight decay applied to the parameter (AdamW) rather than added to the gradient (Adam)? */
  decoupled: boolean;
  amsgrad: boolean;
  maximize: boolean;
}

/**
 * Runs one Adam step. Lists: parameters, gradients, first moments, second moments, steps, and with amsgrad the largest second moments.
 */
export function multiAdam(lists: readonly (readonly Tensor[])[], rule: AdamRule, { lr, foundInf }: OnDevice): void {
  const op = { name: 'Adam.step' };
  const values = setHyper([
    rule.lr,
    ...rule.betas,
    rule.eps,
    rule.weightDecay,
    rule.decoupled,
    rule.amsgrad,
    rule.maximize,
  ]);
  const [rate, found] = [addressOf(0, lr, op.name), addressOf(1, foundInf, op.name)];
  check(native.castor_multi_adam(list(op.name, ...lists), lists[0]!.length, values, rate, found), op, lists[0]!);
  for (const [i, tensors] of lists.entries()) if (i !== 1) wrote(tensors);
}

export interface ScaleRule {
  growthFactor: number;
  backoffFactor: number;
  growthInterval: number;
  minScale: number;
  maxScale: number;
}

/** Updates the scale of a GradScaler on the device: lowers it after an overflow, raises it after growthInterval steps without one. */
export function updateScale(scale: Tensor, growthTracker: Tensor, foundInf: Tensor, rule: ScaleRule): void {
  const op = { name: 'GradScaler.update' };
  const values = setHyper([rule.growthFactor, rule.backoffFactor, rule.growthInterval, rule.minScale, rule.maxScale]);
  const status = native.castor_update_scale(
    writeView(0, scale, op.name),
    writeView(1, growthTracker, op.name),
    writeView(2, foundInf, op.name),
    values,
  );
  check(status, op, [scale]);
  wrote([scale, growthTracker]);
}
