import { ScalerError } from '../errors.ts';
import {
  carriedBy,
  Divided,
  LossScale,
  MixedScales,
  tracksScales,
  UNSCALED,
  warnOf,
  type Carried,
} from '../tensor/lossScale.ts';
import { format } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Returns the name of a parameter for error messages. */
export type NameOf = (parameter: Tensor) => string;

/** @throws ScalerError for a parameter whose gradient still carries a scale, or is a sum of gradients of different scales */
export function refuseScaled(op: string, parameters: Iterable<Tensor>, nameOf: NameOf, advice: string): void {
  findScaled(op, parameters, nameOf, (_, parameter) => {
    throw about(op, stillScaled(nameOf(parameter)), parameter.grad!, advice);
  });
}

/**
 * Warns, once for each scaler, of a parameter whose gradient is clipped while it still carries a scale.
 * @throws ScalerError for sums of gradients of different scales
 */
export function warnOfClipped(op: string, parameters: Iterable<Tensor>, nameOf: NameOf): void {
  findScaled(op, parameters, nameOf, ({ owner }, parameter) =>
    warnOf(
      owner,
      'CASTOR_SCALED_GRADIENT_CLIPPED',
      () =>
        `${op}: ${stillScaled(nameOf(parameter))}, so that it is larger than the bound expects. Call scaler.unscale(optimizer) first; or multiply the bound by the scale and pass { scaled: true }`,
    ),
  );
}
/** @throws ScalerError for sums of gradients of different scales */
export const refuseMixed = (op: string, parameters: Iterable<Tensor>, nameOf: NameOf): void =>
  findScaled(op, parameters, nameOf, () => {});

const stillScaled = (name: string): string => `the gradient of ${name} still carries the scale of a GradScaler`;

/** Calls `found` with each parameter whose gradient carries a scale. @throws ScalerError for sums of gradients of different scales */
function findScaled(
  op: string,
  parameters: Iterable<Tensor>,
  nameOf: NameOf,
  found: (scale: LossScale, parameter: Tensor) => void,
): void {
  if (!tracksScales()) return;
  for (const parameter of parameters) {
    const { grad } = parameter;
    if (grad === null) continue;
    const carried = carriedBy(grad);
    if (carried instanceof MixedScales) throw mixed(op, nameOf(parameter), carried, grad);
    if (carried instanceof LossScale) found(carried, parameter);
  }
}

const about = (op: string, message: string, grad: Tensor, advice: string): ScalerError =>
  new ScalerError(message, { op, shapes: [grad.shape], dtypes: [grad.dtype], advice });

const mixed = (op: string, name: string, { first, second }: MixedScales, grad: Tensor): ScalerError =>
  about(op, `the gradient of ${name} ${sumOf(first, second)}`, grad, adviceFor(first, second));

/** Returns the end of a sentence that says why a gradient carries two scales. */
function sumOf(a: Carried, b: Carried): string {
  if (a instanceof MixedScales) return sumOf(a.first, a.second);
  if (b instanceof MixedScales) return sumOf(b.first, b.second);
  if (a instanceof Divided || b instanceof Divided)
    return 'is a sum of gradients that were already unscaled and of gradients that are still scaled';
  if (a === UNSCALED || b === UNSCALED)
    return 'is a sum of gradients of a scaled loss and of a loss that was not scaled';
  if (a === b) return 'comes from a loss that was passed through scaler.scale() twice';
  return a.owner === b.owner
    ? 'is a sum of gradients of two scales: update() was called between their backward passes'
    : 'is a sum of gradients of losses that two GradScalers have scaled';
}

function adviceFor(a: Carried, b: Carried): string {
  if (a instanceof Divided || b instanceof Divided)
    return 'Call zeroGrad() after each step, and unscale() only after all backward passes of an iteration';
  if (a === UNSCALED || b === UNSCALED) return 'Pass every loss of an iteration through scaler.scale()';
  return 'Call scale() once for each loss, and update() once, after all backward passes and steps of an iteration';
}

/**
 * Must unscaling divide a gradient? Not where another optimizer with the same parameter has already divided it.
 * @throws ScalerError when dividing by this scale would make it wrong
 */
export function mustDivide(op: string, parameter: Tensor, nameOf: NameOf, scale: LossScale): boolean {
  const grad = parameter.grad!;
  const carried = carriedBy(grad);
  if (carried === null || carried === scale) return true;
  if (carried === scale.divided) return false;
  throw wrongScale(op, nameOf(parameter), grad, carried, scale);
}

/** Returns the error for a gradient that does not carry the scale by which it would be divided. */
function wrongScale(op: string, name: string, grad: Tensor, carried: Carried, scale: LossScale): ScalerError {
  if (carried instanceof MixedScales) return mixed(op, name, carried, grad);
  const gradient = `the gradient of ${name}`;
  if (carried === UNSCALED)
    return about(
      op,
      `${gradient} comes from a loss that was not scaled`,
      grad,
      'Call scaler.scale(loss).backward(). If you have multiplied the gradient by the scale yourself, assign it: p.grad = ...',
    );
  const owner = carried instanceof Divided ? carried.by.owner : carried.owner;
  if (owner !== scale.owner)
    return about(
      op,
      `${gradient} was ${carried instanceof Divided ? 'unscaled' : 'scaled'} by another GradScaler`,
      grad,
      'Use one scaler for all losses that reach a parameter',
    );
  return carried instanceof Divided
    ? about(
        op,
        `${gradient} is left over from an earlier iteration and already unscaled`,
        grad,
        'Call zeroGrad() after each step',
      )
    : about(
        op,
        `${gradient} was computed with a scale that update() has changed since`,
        grad,
        'Call update() once per iteration, after the steps of all optimizers; optimizers that step in different iterations need a scaler each',
      );
}

/** Returns the number of a parameter among others and its shape, for messages about parameters that have no name. */
export const numbered = (parameters: Iterable<Tensor>, parameter: Tensor): string =>
  `parameter ${[...parameters].indexOf(parameter)} of shape ${format(parameter.shape)}`;
