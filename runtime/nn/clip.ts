import { checked, either, listOf, number, options } from '../arguments.ts';
import { multiNorm, multiScale } from '../dispatch/multi.ts';
import { ArgumentError } from '../errors.ts';
import { full } from '../tensor/create.ts';
import { noGrad } from '../autograd/autograd.ts';
import { tidyInner } from '../tensor/scope.ts';
import { tensor } from '../tensor/specs.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';

/**
 * Scales all gradients together so that their p-norm is at most maxNorm; returns the norm before (one float32, on the device).
 * Nothing is read by the host. With a GradScaler call unscale() first.
 */
export const clipGradNorm = checked(
  'clipGradNorm',
  {
    parameters: either(tensor, listOf(tensor, 'an array of tensors')),
    maxNorm: number,
    options: options({ normType: number }, { number: 'normType' }),
  },
  (parameters: Tensor | Iterable<Tensor>, maxNorm: number, { normType = 2 }: { normType?: number } = {}): Tensor => {
    if (!(maxNorm >= 0)) throw new ArgumentError(`maxNorm ${maxNorm} makes no sense`, { op: 'clipGradNorm' });
    const list = isTensor(parameters) ? [parameters] : [...parameters];
    const grads = list.map(p => p.grad).filter(g => g !== null);
    if (grads.length === 0) return full([], 0);
    return noGrad(() => tidyInner(clip, { grads, maxNorm, p: normType }));
  },
);

function clip({ grads, maxNorm, p }: { grads: readonly Tensor[]; maxNorm: number; p: number }): Tensor {
  const perDevice = [...Map.groupBy(grads, grad => grad.storage.device).values()];
  const norms = perDevice.map(own => multiNorm(own, p).to(grads[0]!.device));
  const norm = norms.length === 1 ? norms[0]! : multiNorm(norms, p);
  const factor = norm.add(1e-6).reciprocal().mul(maxNorm).clamp({ max: 1 });
  for (const own of perDevice) multiScale(own, factor.to(own[0]!.device));
  return norm;
}
