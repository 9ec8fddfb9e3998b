import { atOnce, current, innerMode, withInner } from '../context.ts';
import { multiUnscale, updateScale, type ScaleRule } from '../dispatch/multi.ts';
import { full } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { keep, tidyInner } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Runs the scaler's own arithmetic with autocast off, so that no scope casts or reports it. */
export const withoutAutocast = <A, T>(fn: (argument: A) => T, argument: A): T =>
  withInner(innerMode(current(), { autocast: null }), fn, argument);
/** Runs fn without autocast and without recording for backward, and frees its intermediate results. */
export const quietly = <A, T extends Tensor | readonly Tensor[]>(fn: (argument: A) => T, argument: A): T =>
  tidyInner(fn, argument, { autocast: null, grad: false });

/** Returns a float32 tensor of rank 0 with the value 0, which no scope frees. */
export const flagOn = (device: Device): Tensor => atOnce(() => keep(full([], 0, { dtype: 'float32', device })));

/** Are all values of a gradient finite? Waits for the device. */
export function isFinite(grad: Tensor): boolean {
  const finite = quietly(g => g.isFinite().all(), grad);
  const answer = Boolean(finite.itemSync());
  finite.dispose();
  return answer;
}

interface Unscaling {
  /** The gradients to divide by the scale, and those that are divided already and are only checked. */
  readonly divide: readonly Tensor[];
  readonly check: readonly Tensor[];
  readonly scale: Tensor;
  readonly foundInf: Tensor;
  /** A found-inf flag for each gradient; null if it need not be known which gradient overflowed. */
  readonly flags: ReadonlyMap<Tensor, Tensor> | null;
  /** The function to call with gradients right after they were divided. An out-of-memory error may occur before all of them are. */
  readonly divided: (grads: readonly Tensor[]) => void;
}

/** Divides gradients in place; sets foundInf if one is infinite or NaN, before or after. Allocates before it writes to the first. */
export function unscaleAll({ divide, check, scale, foundInf, flags, divided }: Unscaling): Tensor {
  // PyTorch divides in float64 and rounds the quotient: for a float32 divisor that is what a division in float32 gives.
  const inverse = scale.reciprocal();
  const one = check.length > 0 ? full([], 1, { dtype: 'float32', device: scale.device }) : inverse;
  const groups = [...grouped(divide, flags !== null), ...grouped(check, flags !== null)];
  const launches = groups.map(group => {
    const { device } = group[0]!;
    const found = flags?.get(group[0]!) ?? (device === scale.device ? foundInf : flagOn(device));
    return { group, factor: (check.includes(group[0]!) ? one : inverse).to(device), found };
  });
  for (const { group, factor, found } of launches) {
    multiUnscale(group, factor, found);
    divided(group);
  }
  for (const { found } of launches) if (found !== foundInf) foundInf.copy_(foundInf.maximum(found.to(scale.device)));
  return foundInf;
}
/** Returns the gradients of each launch: all of one device, or each `alone`. The results are then moved to the device of the scale. */
function grouped(grads: readonly Tensor[], alone: boolean): readonly (readonly Tensor[])[] {
  if (alone) return grads.map(grad => [grad]);
  // Usually all gradients are on one device.
  const device = grads[0]?.storage.device;
  if (grads.every(grad => grad.storage.device === device)) return grads.length > 0 ? [grads] : [];
  return [...Map.groupBy(grads, grad => grad.storage.device).values()];
}

/** Sets the scale to the value of another tensor if it lies within the bounds. The device decides, so that the host does not wait. */
export function setWithinBounds({ scale, to, rule }: { scale: Tensor; to: Tensor; rule: ScaleRule }): Tensor {
  const value = to.reshape([]).to('float32');
  const fits = value.ge(rule.minScale).logicalAnd(value.le(rule.maxScale));
  return scale.copy_(value.where(fits, scale));
}

interface Updating {
  found: readonly Tensor[];
  scale: Tensor;
  growthTracker: Tensor;
  consecutive: Tensor;
  rule: ScaleRule;
}

/** Lowers or raises the scale, and counts the iterations skipped in a row. */
export function updateAll({ found, scale, growthTracker, consecutive, rule }: Updating): Tensor {
  const any = found.reduce((a, b) => a.maximum(b));
  updateScale(scale, growthTracker, any, rule);
  consecutive.add_(any).mul_(any);
  return scale;
}
