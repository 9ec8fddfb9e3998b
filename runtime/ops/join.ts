import { optional } from '../arguments.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { promote } from '../tensor/dtype.ts';
import { axisOf, checkShape, format, sameShape } from '../tensor/shape.ts';
import { axis as axisSpec, tensors as list } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { define } from './define.ts';
import { ops } from './registry.ts';

/**
 * Joins tensors along an axis that they have; dtypes promote. As in PyTorch, tensors of shape [0] are skipped among tensors of another
 * shape.
 */
export const cat = define(
  'cat',
  { tensors: list, axis: optional(axisSpec) },
  (tensors: readonly Tensor[], axis = 0): Tensor => {
    if (tensors.length === 0)
      throw new ArgumentError('the list of tensors is empty', { op: 'cat', advice: 'Pass at least one tensor' });
    const some = tensors.filter(t => t.rank !== 1 || t.numel > 0);
    const joined = some.length > 0 ? some : tensors;
    const first = joined[0]!;
    const at = axisOf(axis, first.rank, 'cat');
    const shapes = tensors.map(t => t.shape);
    if (tensors.some(t => t.rank === 0))
      throw new ShapeError('tensors of rank 0 have no axis to join along', {
        op: 'cat',
        shapes,
        advice: 'Use stack()',
      });
    for (const t of joined)
      if (t.rank !== first.rank || t.shape.some((size, i) => i !== at && size !== first.shape[i]))
        throw new ShapeError(`${format(first.shape)} and ${format(t.shape)} differ outside axis ${axis}`, {
          op: 'cat',
          shapes,
        });
    const info = tensors.map(t => t.info).reduce(promote);
    return call(ops.cat, [...joined], { axis: at, info, sizes: joined.map(t => t.shape[at]!) });
  },
);

/** Joins tensors of one shape along a new axis. */
export const stack = define(
  'stack',
  { tensors: list, axis: optional(axisSpec) },
  (tensors: readonly Tensor[], axis = 0): Tensor => {
    if (tensors.length === 0)
      throw new ArgumentError('the list of tensors is empty', { op: 'stack', advice: 'Pass at least one tensor' });
    const other = tensors.find(t => !sameShape(t.shape, tensors[0]!.shape));
    if (other) throw new ShapeError(`${format(tensors[0]!.shape)} and ${format(other.shape)} differ`, { op: 'stack' });
    const at = axisOf(axis, tensors[0]!.rank + 1, 'stack');
    checkShape([...tensors[0]!.shape, tensors.length], 'stack');
    const info = tensors.map(t => t.info).reduce(promote);
    return call(ops.cat, [...tensors], { axis: at, info, sizes: tensors.map(() => 1), stacks: true });
  },
);
