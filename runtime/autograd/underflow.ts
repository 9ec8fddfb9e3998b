import { float16 } from '../tensor/dtype.ts';
import { carriedBy, LossScale } from '../tensor/lossScale.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { warn } from '../tensor/warnings.ts';
import { LeafNode, type Node } from './node.ts';

/**
 * Warns if gradients flow back through float16 from a loss that was not scaled: gradients below 6e-8 become 0. Warns once for each set of
 * parameters, and not at all if one of them has had the gradient of a scaled loss.
 */
export function warnUnscaled(nodes: readonly Node[], seeds: readonly (Tensor | null)[]): void {
  if (!nodes.some(node => node.info === float16)) return;
  const leaves = nodes.filter(node => node instanceof LeafNode);
  const known = leaves.some(leaf => leaf.underflowKnown);
  for (const leaf of leaves) leaf.underflowKnown = true;
  if (known) return;
  const scaled =
    nodes.some(node => node.lossScale !== null) ||
    seeds.some(seed => seed !== null && carriedBy(seed) instanceof LossScale);
  if (!scaled)
    warn(
      'CASTOR_FLOAT16_UNSCALED',
      'gradients flow back through float16 and no loss was scaled: those below 6e-8 become 0. Use a GradScaler, or bfloat16',
    );
}
