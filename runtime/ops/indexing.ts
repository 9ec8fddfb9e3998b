import { ArgumentError, DTypeError, IndexError, ShapeError } from '../errors.ts';
import { arange, full } from '../tensor/create.ts';
import { axisOf, broadcast, format, numelOf, sameShape, stridesOf } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { shown } from '../shown.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';

/** A tensor of rank 0 is indexed as one of a single axis with one element. */
const lined = (t: Tensor): Tensor => (t.rank === 0 ? t.reshape([1]) : t);

/** out[.., i, ..] = x[.., index[.., i, ..], ..] along an axis; the result has the index's shape. */
export function gather(x: Tensor, axis: number, index: Tensor): Tensor {
  const at = axisOf(axis, x.rank, 'gather');
  const [from, line] = alike('gather', x, index);
  return call(ops.gather, [from, line], { axis: at }).reshape(index.shape);
}

/** The positions of an axis that a one-axis index names, in its order. */
export function indexSelect(x: Tensor, axis: number, index: Tensor): Tensor {
  const at = axisOf(axis, x.rank, 'indexSelect');
  if (x.rank === 0) oneIndex('indexSelect', x, index);
  const out = call(ops.indexSelect, [lined(x), index.reshape([index.numel])], { axis: at });
  return x.rank === 0 ? out.reshape([]) : out;
}

/** @throws ShapeError unless the index names the one element of a tensor of rank 0 */
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

/** x and an index of the same rank, at least 1. */
function alike(op: string, x: Tensor, index: Tensor): [Tensor, Tensor] {
  const pair: [Tensor, Tensor] = [lined(x), lined(index)];
  if (pair[0].rank !== pair[1].rank)
    throw new ShapeError(`index ${format(index.shape)} must have as many axes as ${format(x.shape)}`, {
      op,
      shapes: [x.shape, index.shape],
    });
  return pair;
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
  const from = isTensor(source) ? lined(source) : source;
  if (isTensor(from) && !sameShape(from.shape, line.shape))
    throw new ShapeError(`source ${format(from.shape)} must have the shape ${format(index.shape)} of the index`, {
      op,
      shapes: [x.shape, index.shape, from.shape],
    });
  return call(ops[op], [target, line, from], { axis: at }).reshape(x.shape);
}
/** A copy of x with source, a tensor or one value, written where gather with this index would read. */
export const scatter = (x: Tensor, axis: number, index: Tensor, source: Tensor | number): Tensor =>
  scattered('scatter', x, axis, index, source);
/** A copy of x with source added where gather with this index would read. */
export const scatterAdd = (x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor =>
  scattered('scatterAdd', x, axis, index, source);

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
/** A copy of x with the positions of an axis that the index names replaced by those of source. */
export const indexCopy = (x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor =>
  indexed('indexCopy', x, axis, index, source);
/** A copy of x with source added at the positions of an axis that the index names. */
export const indexAdd = (x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor =>
  indexed('indexAdd', x, axis, index, source);

/** The rows of weight (n, d) that x names: shape of x, then d. @throws IndexError for a row that is not there */
export function embedding(x: Tensor, weight: Tensor): Tensor {
  if (weight.rank !== 2)
    throw new ShapeError(`weight ${format(weight.shape)} must be (rows, size)`, {
      op: 'embedding',
      shapes: [x.shape, weight.shape],
    });
  return indexSelect(weight, 0, x.reshape([-1])).reshape([...x.shape, weight.shape[1]!]);
}

/** 1 at the class of each element, else 0, in a new last axis of numClasses. int64, as in PyTorch. @throws IndexError */
export function oneHot(x: Tensor, numClasses: number): Tensor {
  if (!(Number.isInteger(numClasses) && numClasses > 0))
    throw new ArgumentError(`${numClasses} classes`, { op: 'oneHot', shapes: [x.shape] });
  return full([...x.shape, numClasses], 0, { dtype: 'int64', device: x.device }).scatter(-1, x.unsqueeze(-1), 1);
}

/** One item of an index: a position, a range as '1:', '::2' or ':', '...' for all axes between, null for a new axis, an index tensor. */
export type IndexItem = number | string | null | Tensor;

/**
 * Indexes as NumPy does: at(0), at('1:, ..., ::2'), at(null, rows, ':'). Numbers and ranges give views; index tensors (int64 or
 * int32, negative from the end) copy, and several of them broadcast together.
 */
export function at(x: Tensor, ...items: IndexItem[]): Tensor {
  const list = items.flatMap((item): IndexItem[] =>
    typeof item === 'string' ? item.split(',').map(part => part.trim()) : [item],
  );
  const isAxis = (item: IndexItem): boolean => item !== null && item !== 'null' && item !== '...';
  const used = list.filter(isAxis).length;
  if (used > x.rank || list.filter(item => item === '...').length > 1)
    throw new IndexError(`${used} indices for a tensor of ${x.rank} axes`, {
      op: 'at',
      shapes: [x.shape],
      advice: "Use '...' at most once",
    });
  const dots = list.includes('...') ? list : [...list, '...'];
  let t = x;
  let axis = 0;
  const tensors: { axis: number; index: Tensor }[] = [];
  for (const item of dots) {
    if (item === '...') axis += x.rank - used;
    else if (item === null || item === 'null') t = t.unsqueeze(axis++);
    else if (isTensor(item)) tensors.push({ axis: axis++, index: item });
    else {
      const [next, keeps] = basic(t, axis, item);
      t = next;
      axis += keeps;
    }
  }
  return tensors.length === 0 ? t : advanced(t, tensors);
}

/** A position or a range; and how many axes are left of the one it used. */
function basic(t: Tensor, axis: number, item: number | string): [Tensor, 0 | 1] {
  const number = typeof item === 'number' ? item : /^-?\d+$/.test(item) ? Number(item) : null;
  if (number !== null) return [t.select(axis, number), 0];
  const range = /^(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?\d+)?)?$/.exec(item as string);
  if (!range)
    throw new ArgumentError(`${shown(item)} is no index`, {
      op: 'at',
      shapes: [t.shape],
      advice: "Use numbers, '1:3', '::2', '...', null or index tensors",
    });
  const [start, end, step] = range.slice(1, 4).map(part => (part === undefined ? null : Number(part)));
  return [t.slice(axis, start, end, step ?? 1), 1];
}

function advanced(t: Tensor, tensors: readonly { axis: number; index: Tensor }[]): Tensor {
  for (const { index } of tensors)
    if (index.info.category !== 'int')
      throw new DTypeError(`an index is int64 or int32, not ${index.dtype}`, {
        op: 'at',
        shapes: [index.shape],
        advice: 'For a mask use where() or maskedFill()',
      });
  const axes = tensors.map(({ axis }) => axis);
  const shape = tensors.map(({ index }) => index.shape).reduce((a, b) => broadcast(a, b, 'at'));
  // One axis, the product of the indexed ones, is looked up at position sum of index * stride.
  const sizes = axes.map(axis => t.shape[axis]!);
  const strides = stridesOf(sizes);
  const position = tensors
    .map(({ index }, i) => wrap(index, sizes[i]!).mul(strides[i]!))
    .reduce((a, b) => a.add(b))
    .expand(shape);
  const rest = t.shape.map((_, axis) => axis).filter(axis => !axes.includes(axis));
  const together = axes.every((axis, i) => axis === axes[0]! + i);
  const first = together ? rest.filter(axis => axis < axes[0]!).length : 0;
  const front = t.permute([...axes, ...rest]).reshape([numelOf(sizes), ...rest.map(axis => t.shape[axis]!)]);
  const taken = front.indexSelect(0, position.reshape([-1])).reshape([...shape, ...front.shape.slice(1)]);
  const order = taken.shape.map((_, axis) => axis);
  const moved = [
    ...order.slice(shape.length, shape.length + first),
    ...order.slice(0, shape.length),
    ...order.slice(shape.length + first),
  ];
  return taken.permute(moved);
}

/** Negative positions made positive; a lookup in 0 .. n - 1, which also checks them. */
const wrap = (index: Tensor, n: number): Tensor =>
  arange(n, { device: index.device })
    .indexSelect(0, index.reshape([-1]))
    .reshape(index.shape);

/** Writes a tensor or one value to the part of x that at() shows. */
export function set_(x: Tensor, index: IndexItem | readonly IndexItem[], value: Tensor | number): Tensor {
  const items = (Array.isArray(index) ? index : [index]) as IndexItem[];
  if (items.some(isTensor))
    throw new ArgumentError('index tensors cannot be written through', {
      op: 'set_',
      advice: 'Use scatter() or indexCopy()',
    });
  const part = x.at(...items);
  if (isTensor(value)) part.copy_(value);
  else part.fill_(value);
  return x;
}
