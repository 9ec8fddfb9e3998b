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

/** The options of clipGradValue(). */
export interface ClipOptions {
  /**
   * Is the bound meant for gradients that carry the scale of a GradScaler? Then it is the scale times the bound for
   * unscaled gradients.
   */
  scaled?: boolean;
}
/** The options of clipGradNorm(). */
export interface ClipNormOptions extends ClipOptions {
  /** The p of the p-norm. It may be Infinity. Default: 2. */
  normType?: number;
}

/** The gradients that exist. @throws ScalerError for sums of gradients of different scales */
function gradientsOf(op: string, given: Tensor | Iterable<Tensor>, { scaled = false }: ClipOptions): Tensor[] {
  const parameters = isTensor(given) ? [given] : [...given];
  const name = (parameter: Tensor): string => nameOfParameter(parameter) ?? numbered(parameters, parameter);
  (scaled ? refuseMixed : warnOfClipped)(op, parameters, name);
  return [...new Set(parameters.map(p => p.grad).filter(grad => grad !== null))];
}

/**
 * Scales all gradients by the same factor so that their p-norm is at most maxNorm. Returns the norm before clipping
 * (one float32, or float64 if any gradient is, on the device). Nothing is read by the host. With a GradScaler, call
 * unscale() first: there is a warning for gradients that still carry its scale.
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
        advice: 'Pass Infinity to measure the norm without clipping',
      });
    if (!(normType > 0))
      throw new ArgumentError(`normType ${normType} is not the order of a norm`, {
        op: 'clipGradNorm',
        advice: 'Pass a number > 0, or Infinity',
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

/**
 * The norm in float64. The single launch for all gradients gives a float32, which does not have the precision and range
 * of float64 gradients.
 */
const wideNorm = (grads: readonly Tensor[], p: number): Tensor =>
  cat(grads.map(grad => grad.reshape([-1]).to('float64'))).norm(p);
function wideScale(grads: readonly Tensor[], factor: Tensor): void {
  for (const grad of grads) grad.mul_(factor);
}

/**
 * Limits every element of the gradients to the range from -clipValue to clipValue. With a GradScaler, call unscale()
 * first: there is a warning for gradients that still carry its scale.
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
