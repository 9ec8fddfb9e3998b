import { LeafNode } from '../autograd/node.ts';
import { ScalerError } from '../errors.ts';
import { carriedBy, carry, warnOf, wasDividedBy, type LossScale } from '../tensor/lossScale.ts';
import { sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { mustDivide, refuseScaled, type NameOf } from './carried.ts';
import { nameOf, withGradients, type ScalableOptimizer } from './scalable.ts';

/** The state of a scaler that decides how gradients are unscaled. */
export interface Unscale {
  readonly lossScale: LossScale;
  /** Has the user divided them? undefined: the user does not say. */
  readonly byHand: boolean | undefined;
  readonly float16Gradients: boolean;
}

/** Gradients to divide, each memory once, and those that are divided already and are only looked at. */
interface UnscalePlan {
  readonly parameters: readonly Tensor[];
  readonly divide: readonly Tensor[];
  readonly check: readonly Tensor[];
  /** Gradients that backward has not made: what they carry is the user's affair, also in iterations to come. */
  readonly foreign: readonly Tensor[];
}

const op = 'GradScaler.unscale';

/** @throws ScalerError for float16 gradients that are not expected, and for those that do not carry the scale */
export function planOf(optimizer: ScalableOptimizer, unscale: Unscale): UnscalePlan {
  const parameters = withGradients(optimizer, op);
  const name = (parameter: Tensor): string => nameOf(optimizer, parameter);
  if (!unscale.float16Gradients) for (const parameter of parameters) refuseFloat16(parameter, name);
  if (unscale.byHand) refuseScaled(op, parameters, name, 'Divide it before: p.grad = p.grad.div(scale)');
  if (unscale.byHand === undefined) warnOfWritten(parameters, unscale, name);
  const divide: Tensor[] = [];
  const check: Tensor[] = [];
  const foreign: Tensor[] = [];
  for (const parameter of parameters) {
    const grad = parameter.grad!;
    const done =
      unscale.byHand === true ||
      wasDividedBy(grad, unscale.lossScale) ||
      !mustDivide(op, parameter, name, unscale.lossScale);
    (done ? check : divide).push(grad);
    if (carriedBy(grad) === null && !isOfBackward(parameter, unscale.lossScale)) foreign.push(grad);
  }
  return { parameters, divide: distinct(divide), check: distinct(check), foreign };
}

/** Gradients were divided by a scale: what they carry now is known of those that are not foreign. */
export function noteDivided(grads: readonly Tensor[], foreign: readonly Tensor[], scale: LossScale): void {
  for (const grad of grads) carry(grad, scale.divided, scale);
  for (const grad of foreign) if (wasDividedBy(grad, scale)) carry(grad, null, scale);
}

/** Has backward given this parameter a gradient of this scale, whatever was done with it since? */
const isOfBackward = ({ node }: Tensor, lossScale: LossScale): boolean =>
  node instanceof LeafNode && node.lastScale === lossScale;

/** A gradient that backward gave a scale and somebody has written to since: divided by it perhaps, and it would be divided again. */
function warnOfWritten(parameters: readonly Tensor[], { lossScale }: Unscale, name: NameOf): void {
  const written = parameters.find(
    parameter =>
      carriedBy(parameter.grad!) === null &&
      !wasDividedBy(parameter.grad!, lossScale) &&
      isOfBackward(parameter, lossScale),
  );
  if (written !== undefined)
    warnOf(
      lossScale.owner,
      'CASTOR_GRADIENT_WRITTEN',
      () =>
        `the gradient of ${name(written)} was assigned or written to after backward, and is now divided by the scale. If you have divided it yourself, call scaler.unscale(optimizer, { byHand: true }) before step(); if not, { byHand: false } says so`,
    );
}

function refuseFloat16(parameter: Tensor, name: (parameter: Tensor) => string): void {
  const { dtype, shape } = parameter.grad!;
  if (dtype === 'float16')
    throw new ScalerError(`the gradient of ${name(parameter)} is float16: unscaled it would underflow`, {
      op,
      shapes: [shape],
      dtypes: [dtype],
      advice:
        'Keep the parameters in float32 and let autocast convert them, or construct the scaler with { float16Gradients: true }',
    });
}

/** Without those that are the same memory seen in the same way. */
function distinct(grads: readonly Tensor[]): readonly Tensor[] {
  const storages = new Set<unknown>();
  for (const { storage } of grads) storages.add(storage);
  if (storages.size === grads.length) return grads;
  const seen = new Map<unknown, Tensor[]>();
  return grads.filter(grad => {
    const others = seen.get(grad.storage) ?? [];
    seen.set(grad.storage, [...others, grad]);
    return !others.some(
      t => t.offset === grad.offset && sameShape(t.shape, grad.shape) && sameShape(t.strides, grad.strides),
    );
  });
}
