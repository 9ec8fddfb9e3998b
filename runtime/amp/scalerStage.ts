import type { Tensor } from '../tensor/tensor.ts';
import { isFinite } from './scalerMath.ts';

/** How far the gradients of one optimizer have come since the last update(). */
export interface Stage {
  name: 'unscaled' | 'stepped';
  /** Has this step been added to the count of skipped steps? When a step fails and is called again, it is not counted twice. */
  counted: boolean;
  readonly foundInf: Tensor;
  /** The parameters that had a gradient. */
  readonly parameters: readonly Tensor[];
  /** One found-inf flag per gradient; empty unless update() may have to name the parameters whose gradients overflowed. */
  readonly flags: readonly { parameter: Tensor; flag: Tensor }[];
  /** In a captured graph, the gradients in the order of parameters, which still have their values after a replay; else null. */
  readonly grads: readonly Tensor[] | null;
}

/** The parameters of a skipped step whose gradients are not finite. */
export function overflowed({ flags, grads, parameters }: Stage): Tensor[] {
  if (grads === null) return flags.filter(({ flag }) => flag.itemSync() !== 0).map(({ parameter }) => parameter);
  return parameters.filter((_, i) => !grads[i]!.disposed && !isFinite(grads[i]!));
}
