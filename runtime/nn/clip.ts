import { numbered, refuseMixed, warnOfClipped } from '../amp/carried.ts';
import { boolean, checked, either, listOf, number, options } from '../arguments.ts';
import { noGrad } from '../autograd/autograd.ts';
import { multiNorm, multiScale } from '../dispatch/multi.ts';
import { ArgumentError } from '../errors.ts';
import { cat } from '../ops/functional.ts';
import { full } from '../tensor/create.ts';
import { float64 } from '../tensor/dtype.ts';
import { carryOn } from '../tensor/lossScale.ts';
import { tidyInner } from '../tensor/scope.ts';
import { tensor } from '../tensor/specs.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { nameOfParameter } from './module.ts';

export interface ClipOptions {
  /** The gradients carry the scale of a GradScaler, and the bound is meant for them: it is the scale times that of true gradients. */
  scaled?: boolean;
}
export interface ClipNormOptions extends ClipOptions {
  /** p of the p-norm; 2 unless given, may be Infinity. */
  normType?: number;
}

/** The gradients there are. @throws ScalerError for sums of gradients of different scales */
function gradientsOf(op: string, given: Tensor | Iterable<Tensor>, { scaled = false }: ClipOptions): Tensor[] {
  const parameters = isTensor(given) ? [given] : [...given];
  const name = (parameter: Tensor): string => nameOfParameter(parameter) ?? numbered(parameters, parameter);
  (scaled ? refuseMixed : warnOfClipped)(op, parameters, name);
  return [...new Set(parameters.map(p => p.grad).filter(grad => grad !== null))];
}

/**
 * Scales all gradients together so that their p-norm is at most maxNorm; returns the norm before (one float32, or float64 where a
 * gradient is, on the device).
 * Nothing is read by the host. With a GradScaler call unscale() first.
 * Warns of gradients that still carry the scale of a GradScaler.
 * @throws ScalerError for sums of gradients of different scales
 */
export const clipGradNorm = checked(
  'clipGradNorm',
  {
    parameters: either(tensor, listOf(tensor, 'an array of tensors')),
    maxNorm: number,
    options: options({ normType: number, scaled: boolean }, { number: 'normType' }),
  },
  (parameters: Tensor | Iterable<Tensor>, maxNorm: number, options: ClipNormOptions = {}): Tensor => {
    const { normType = 2 } = options;
    if (!(maxNorm >= 0))
      throw new ArgumentError(`maxNorm ${maxNorm} is not a number >= 0`, {
        op: 'clipGradNorm',
        advice: 'Infinity clips nothing: it only measures',
      });
    if (!(normType > 0))
      throw new ArgumentError(`there is no norm of type ${normType}`, {
        op: 'clipGradNorm',
        advice: 'normType is a number above 0, or Infinity',
      });
    const grads = gradientsOf('clipGradNorm', parameters, options);
    if (grads.length === 0) return full([], 0, { dtype: 'float32' });
    return noGrad(() => tidyInner(clip, { grads, maxNorm, p: normType }));
  },
);

function clip({ grads, maxNorm, p }: { grads: readonly Tensor[]; maxNorm: number; p: number }): Tensor {
  const perDevice = [...Map.groupBy(grads, grad => grad.storage.device).values()];
  const isWide = grads.some(grad => grad.info === float64);
  const [normOf, scale] = isWide ? ([wideNorm, wideScale] as const) : ([multiNorm, multiScale] as const);
  const norms = perDevice.map(own => normOf(own, p).to(grads[0]!.device));
  const norm = norms.length === 1 ? norms[0]! : normOf(norms, p);
  const factor = norm.add(1e-6).reciprocal().mul(maxNorm).clamp({ max: 1 });
  carryOn(grads, () => {
    for (const own of perDevice) scale(own, factor.to(own[0]!.device));
  });
  return norm;
}

/** The norm in float64: the one launch for all gradients gives a float32, in which those of float64 would lose digits and range. */
const wideNorm = (grads: readonly Tensor[], p: number): Tensor =>
  cat(grads.map(grad => grad.reshape([-1]).to('float64'))).norm(p);
function wideScale(grads: readonly Tensor[], factor: Tensor): void {
  for (const grad of grads) grad.mul_(factor);
}

/**
 * Brings every element of the gradients between -clipValue and clipValue. With a GradScaler call unscale() first.
 * Warns of gradients that still carry the scale of a GradScaler.
 * @throws ScalerError for sums of gradients of different scales
 */
export const clipGradValue = checked(
  'clipGradValue',
  {
    parameters: either(tensor, listOf(tensor, 'an array of tensors')),
    clipValue: number,
    options: options({ scaled: boolean }),
  },
  (parameters: Tensor | Iterable<Tensor>, clipValue: number, options: ClipOptions = {}): void => {
    if (!(clipValue >= 0))
      throw new ArgumentError(`clipValue ${clipValue} is not a number >= 0`, {
        op: 'clipGradValue',
        advice: 'Pass the largest absolute value that an element may have',
      });
    const grads = gradientsOf('clipGradValue', parameters, options);
    noGrad(() => tidyInner(clampAll, { grads, clipValue }));
  },
);

function clampAll({ grads, clipValue }: { grads: readonly Tensor[]; clipValue: number }): readonly Tensor[] {
  carryOn(grads, () => {
    for (const grad of grads) grad.copy_(grad.clamp({ min: -clipValue, max: clipValue }));
  });
  return [];
}
