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
  /** The option of unscale(): has the user divided the gradients? undefined if not given. */
  readonly byHand: boolean | undefined;
  readonly float16Gradients: boolean;
}

/** The gradients to divide, once for each block of memory, and those that are already divided and are only checked. */
interface UnscalePlan {
  readonly parameters: readonly Tensor[];
  readonly divide: readonly Tensor[];
  readonly check: readonly Tensor[];
  /** Gradients that the user assigned: which scale they carry is not tracked. */
  readonly foreign: readonly Tensor[];
}

const op = 'GradScaler.unscale';

/** @throws ScalerError for float16 gradients that are not expected, and for those that do not carry the scale */
export function planOf(optimizer: ScalableOptimizer, unscale: Unscale): UnscalePlan {
  const parameters = withGradients(optimizer, op);
  const name = (parameter: Tensor): string => nameOf(optimizer, parameter);
  if (!unscale.float16Gradients) for (const parameter of parameters) refuseFloat16(parameter, name);
  if (unscale.byHand) refuseScaled(op, parameters, name, 'Divide the gradient first: p.grad = p.grad.div(scale)');
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

/** Marks gradients as divided by a scale. For foreign ones it stays unknown which scale they carry. */
export function noteDivided(grads: readonly Tensor[], foreign: readonly Tensor[], scale: LossScale): void {
  for (const grad of grads) carry(grad, scale.divided, scale);
  for (const grad of foreign) if (wasDividedBy(grad, scale)) carry(grad, null, scale);
}

/** Did backward give this parameter a gradient of this scale, even if somebody has written to it since? */
const isOfBackward = ({ node }: Tensor, lossScale: LossScale): boolean =>
  node instanceof LeafNode && node.lastScale === lossScale;

/** Warns of a scaled gradient that was written to after backward: if the user has divided it, it would now be divided twice. */
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
        `the gradient of ${name(written)} was assigned or written to after backward, and is now divided by the scale. If you have divided it yourself, call scaler.unscale(optimizer, { byHand: true }) before step(); if you have not, pass { byHand: false }`,
    );
}

function refuseFloat16(parameter: Tensor, name: (parameter: Tensor) => string): void {
  const { dtype, shape } = parameter.grad!;
  if (dtype === 'float16')
    throw new ScalerError(
      `the gradient of ${name(parameter)} is float16, in which small numbers become 0 when they are unscaled`,
      {
        op,
        shapes: [shape],
        dtypes: [dtype],
        advice:
          'Keep the parameters in float32 and let autocast convert them, or construct the scaler with { float16Gradients: true }',
      },
    );
}

/** Returns the gradients without those that have the same memory, shape and strides as an earlier one. */
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
