import { operand, tensor } from '../tensor/specs.ts';
import { define } from './define.ts';
import * as takes from './specs.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { full } from '../tensor/create.ts';
import { checkFits } from '../tensor/holds.ts';
import { axisOf, format, sameShape } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';

/** Returns a tensor of rank 0 as one with a single axis of one element, and any other tensor as it is. */
const lined = (t: Tensor): Tensor => (t.rank === 0 ? t.reshape([1]) : t);

/** out[.., i, ..] = x[.., index[.., i, ..], ..] along an axis. The result has the shape of the index. */
export const gather = define('gather', takes.ranked, (x: Tensor, axis: number, index: Tensor): Tensor => {
  const at = axisOf(axis, x.rank, 'gather');
  const [from, line] = alike('gather', x, index);
  return call(ops.gather, [from, line], { axis: at }).reshape(index.shape);
});

/** Selects the positions of an axis that an index of one axis lists, in its order. */
export const indexSelect = define('indexSelect', takes.ranked, (x: Tensor, axis: number, index: Tensor): Tensor => {
  const at = axisOf(axis, x.rank, 'indexSelect');
  if (x.rank === 0) oneIndex('indexSelect', x, index);
  if (index.rank > 1)
    throw new ShapeError(`the index ${format(index.shape)} has more than one axis`, {
      op: 'indexSelect',
      shapes: [x.shape, index.shape],
      advice: 'Flatten it, or use at(), which gives the axes of the index a place in the result',
    });
  const out = call(ops.indexSelect, [lined(x), index.reshape([index.numel])], { axis: at });
  return x.rank === 0 ? out.reshape([]) : out;
});

/** @throws ShapeError unless the index refers to the one element of a tensor of rank 0 */
function oneIndex(op: string, x: Tensor, index: Tensor): void {
  if (index.numel !== 1)
    throw new ShapeError(
      `a tensor of rank 0 has one element, and the index ${format(index.shape)} names another number`,
      {
        op,
        shapes: [x.shape, index.shape],
        advice: 'Pass an index of one element, 0',
      },
    );
}

/** Returns x and an index of the same rank, at least 1. */
function alike(op: string, x: Tensor, index: Tensor): [Tensor, Tensor] {
  const pair: [Tensor, Tensor] = [lined(x), lined(index)];
  if (pair[0].rank !== pair[1].rank)
    throw new ShapeError(`index ${format(index.shape)} must have as many axes as ${format(x.shape)}`, {
      op,
      shapes: [x.shape, index.shape],
    });
  return pair;
}

/**
 * Returns the elements of a source that an index uses: its first ones along each axis.
 * @throws ShapeError for a source smaller than the index
 */
function leading(op: string, source: Tensor, index: Tensor, x: Tensor): Tensor {
  if (source.rank !== index.rank || source.shape.some((size, axis) => size < index.shape[axis]!))
    throw new ShapeError(`source ${format(source.shape)} is smaller than the index ${format(index.shape)}`, {
      op,
      shapes: [x.shape, index.shape, source.shape],
      advice: 'A source has as many axes as the index, and at least its size along each',
    });
  return index.shape.reduce((t, size, axis) => (t.shape[axis] === size ? t : t.narrow(axis, 0, size)), source);
}

function scattered(
  op: 'scatter' | 'scatterAdd',
  x: Tensor,
  axis: number,
  index: Tensor,
  source: Tensor | number,
): Tensor {
  const at = axisOf(axis, x.rank, op);
  const [target, line] = alike(op, x, index);
  if (!isTensor(source)) checkFits(x.info, source, op);
  const from = isTensor(source) ? leading(op, lined(source), line, x) : source;
  return call(ops[op], [target, line, from], { axis: at }).reshape(x.shape);
}
/** Returns a copy of x in which source, a tensor or one value, replaces the elements that gather() with this index would read. */
export const scatter = define(
  'scatter',
  { ...takes.ranked, source: operand },
  (x: Tensor, axis: number, index: Tensor, source: Tensor | number): Tensor =>
    scattered('scatter', x, axis, index, source),
);
/** Returns a copy of x in which source is added to the elements that gather() with this index would read. */
export const scatterAdd = define(
  'scatterAdd',
  { ...takes.ranked, source: tensor },
  (x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor => scattered('scatterAdd', x, axis, index, source),
);

function indexed(op: 'indexCopy' | 'indexAdd', x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor {
  const at = axisOf(axis, x.rank, op);
  if (x.rank === 0) oneIndex(op, x, index);
  const [target, line, from] = [lined(x), lined(index), lined(source)];
  const ranks = op === 'indexCopy' || source.rank === x.rank;
  if (!ranks || line.rank !== 1 || !sameShape(from.shape, target.shape.with(at, line.numel)))
    throw new ShapeError(
      `index ${format(index.shape)} and source ${format(source.shape)} do not fit axis ${axis} of ${format(x.shape)}`,
      {
        op,
        shapes: [x.shape, index.shape, source.shape],
      },
    );
  return call(ops[op], [target, line, from], { axis: at }).reshape(x.shape);
}
/** Returns a copy of x in which the positions of source replace the positions of an axis that the index lists. */
export const indexCopy = define(
  'indexCopy',
  { ...takes.ranked, source: tensor },
  (x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor => indexed('indexCopy', x, axis, index, source),
);
/** Returns a copy of x in which source is added at the positions of an axis that the index lists. */
export const indexAdd = define(
  'indexAdd',
  { ...takes.ranked, source: tensor },
  (x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor => indexed('indexAdd', x, axis, index, source),
);
