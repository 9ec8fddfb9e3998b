import { ArgumentError, DTypeError, IndexError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import { arange, full, tensor, zeros } from '../tensor/create.ts';
import { readNested } from '../tensor/hostData.ts';
import { contiguousCopy, type Nested } from '../tensor/read.ts';
import { broadcast, format, numelOf, sameShape, stridesOf, type Shape } from '../tensor/shape.ts';
import { checkFits } from '../tensor/holds.ts';
import { operand, tensor as given } from '../tensor/specs.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { boolean, options, rest } from '../arguments.ts';
import { noteReads } from '../autograd/tape.ts';
import { scatterInto, type GatherParams } from '../dispatch/gatherScatter.ts';
import type { OpInfo } from '../dispatch/op.ts';
import { call, checkInPlace, noteInPlace } from './call.ts';
import { define, inScope } from './define.ts';
import { ops } from './registry.ts';
import * as takes from './specs.ts';

/** Positions of one axis, or booleans, as nested arrays. They stand for a tensor of the same values. */
export type IndexList = readonly (number | bigint | boolean | IndexList)[];
/**
 * One item of an index: a position, a range as '1:', '::2' or ':', '...' for all axes between, null for a new axis, an index tensor or
 * list (int64 or int32), a mask (bool, with as many axes as it covers), true or false (a new axis of size 1 or 0).
 */
export type IndexItem = number | boolean | string | null | Tensor | IndexList;

/** The axes of a view whose positions an index tensor lists: one axis, or the axes that a mask covers, taken as one. */
interface Lookup {
  readonly axis: number;
  readonly axes: number;
  readonly index: Tensor;
}
/** An index after parsing: the view that positions, ranges and new axes give, and the index tensors to look up in it. */
interface ParsedIndex {
  readonly view: Tensor;
  readonly lookups: readonly Lookup[];
}

function read(x: Tensor, ...items: IndexItem[]): Tensor {
  const { view, lookups } = parseIndex(x, items, 'at');
  if (lookups.length === 0) return view;
  const plan = planned(view, lookups, 'at');
  const taken = plan
    .front(view)
    .indexSelect(0, plan.positions)
    .reshape([...plan.indexShape, ...plan.restSizes]);
  return taken.permute(plan.placed);
}
const readInScope = inScope('at', read);
/**
 * Indexes as NumPy and PyTorch do: at(0), at('1:, ..., ::2'), at(null, rows, ':'), at(x.gt(0)), at([0, 2]). Numbers and ranges give
 * views. Index tensors, lists and masks copy: negative positions count from the end, several tensors broadcast together, and their axes
 * stay in place if they were neighbours, else come first. Only the device knows how many elements a mask selects, so reading with a mask
 * waits for it.
 */
export const at = define(
  'at',
  { x: given, index: rest(takes.indexItem) },
  // Positions and ranges make only views, so that they need no scope that frees intermediate results.
  (x: Tensor, ...items: IndexItem[]): Tensor => (isBasic(items) ? read : readInScope)(x, ...items),
);

/** The options of set_(). */
export interface WriteOptions {
  /** Is the value added to what is there, instead of replacing it? */
  accumulate?: boolean;
}
function write(
  x: Tensor,
  index: IndexItem | readonly IndexItem[],
  value: Tensor | number,
  { accumulate = false }: WriteOptions,
): Tensor {
  const { view, lookups } = parseIndex(x, Array.isArray(index) ? (index as IndexItem[]) : [index as IndexItem], 'set_');
  if (lookups.length === 0) writeView(view, value, accumulate);
  else {
    const source = sourceOf(x, value, accumulate);
    const next = maskedWrite(view, lookups, source, accumulate);
    if (next === null) lookedUpWrite(view, lookups, source, accumulate);
    else view.copy_(next);
  }
  return x;
}
const writeInScope = inScope('set_', write);
/**
 * Writes a tensor or one value, converted and broadcast, to the elements of x that at() shows. Several items are given as an array:
 * set_([0, '1:'], value). A list of positions is therefore an array in an array: set_([[0, 2]], value). With accumulate the value is
 * added as often as a position is listed; without it, the result is not defined if a position is listed with several values.
 */
export const set_ = define(
  'set_',
  {
    x: given,
    index: takes.indexItem,
    value: operand,
    options: options({ accumulate: boolean }, { boolean: 'accumulate' }),
  },
  (x: Tensor, index: IndexItem | readonly IndexItem[], value: Tensor | number, how: WriteOptions = {}): Tensor =>
    (isBasic(index) && !how.accumulate ? write : writeInScope)(x, index, value, how),
);

function writeView(view: Tensor, value: Tensor | number, accumulate: boolean): void {
  if (accumulate) view.add_(fitted(sourceOf(view, value, true), view.shape));
  else if (isTensor(value)) view.copy_(fitted(value, view.shape));
  else view.fill_(value);
}

/** Does an index consist of positions, ranges and new axes only? Then it gives a view. */
const isBasic = (index: IndexItem | readonly IndexItem[]): boolean =>
  Array.isArray(index) ? (index as readonly IndexItem[]).every(isPlain) : isPlain(index as IndexItem);
const isPlain = (item: IndexItem): boolean => item === null || typeof item === 'number' || typeof item === 'string';

/**
 * Returns the value in the dtype of the tensor that it is written to.
 * @throws DTypeError for a sum of integers and fractions, which would drop the fractions
 */
function sourceOf(x: Tensor, value: Tensor | number, accumulate: boolean): Tensor {
  const fractions = isTensor(value) ? value.isFloat : !Number.isInteger(value);
  if (accumulate && fractions && !x.isFloat)
    throw new DTypeError(`floating values cannot be added to ${x.dtype}`, {
      op: 'set_',
      shapes: [x.shape],
      dtypes: [x.dtype],
      advice: "Convert the tensor that is written with to('float32')",
    });
  if (isTensor(value)) return value.to(x.dtype);
  checkFits(x.info, value, 'set_');
  return full([], value, { dtype: x.dtype, device: x.device });
}

/**
 * Returns the value without leading axes of size 1 that the written part does not have, as in PyTorch.
 * @throws ShapeError unless the value broadcasts
 */
function fitted(value: Tensor, shape: Shape): Tensor {
  let extra = value.rank - shape.length;
  if (extra > 0 && value.shape.slice(0, extra).some(size => size !== 1)) extra = 0;
  const source = extra > 0 ? value.reshape(value.shape.slice(extra)) : value;
  if (source.rank > shape.length || !sameShape(broadcast(source.shape, shape, 'set_'), shape))
    throw new ShapeError(`the value ${format(value.shape)} does not broadcast to the part ${format(shape)}`, {
      op: 'set_',
      shapes: [value.shape, shape],
      advice: 'Its shape must be that of at() with the same index, or broadcast to it',
    });
  return source;
}

/** Writes a value to the positions that index tensors list. */
function lookedUpWrite(view: Tensor, lookups: readonly Lookup[], value: Tensor, accumulate: boolean): void {
  const plan = planned(view, lookups, 'set_');
  const part = [...plan.indexShape, ...plan.restSizes];
  const shape = plan.placed.map(axis => part[axis]!);
  const source = fitted(value, shape)
    .expand(shape)
    .permute(inverse(plan.placed))
    .reshape([plan.positions.numel, ...plan.restSizes]);
  const op = accumulate ? ops.indexAdd : ops.indexCopy;
  const recorded = checkInPlace('set_', view, [view, source]);
  const front = plan.front(view);
  if (!recorded && front.storage === view.storage) return scatterThrough(op, view, front, plan.positions, source);
  const next = call(op, [front, plan.positions, source], { axis: 0 });
  view.copy_(next.reshape(plan.order.map(axis => view.shape[axis]!)).permute(inverse(plan.order)));
}

/** Writes only the listed elements, for writes that backward need not know of. */
function scatterThrough(
  op: OpInfo<GatherParams>,
  view: Tensor,
  front: Tensor,
  positions: Tensor,
  source: Tensor,
): void {
  noteReads([positions, source]);
  const apart = (t: Tensor): Tensor => (t.storage === view.storage ? contiguousCopy(t, t.info) : t);
  const inputs = [front, apart(positions), apart(source)];
  scatterInto(op, inputs, { axis: 0 }, front);
  noteInPlace({ name: 'set_' }, view, [view, source]);
}

/**
 * Returns a copy of a view with a value written at the elements that one mask selects, if the value has one element for all of them: then
 * their number is not needed, and nothing waits for the device. null for any other index or value.
 */
function maskedWrite(view: Tensor, lookups: readonly Lookup[], value: Tensor, accumulate: boolean): Tensor | null {
  const [{ axis, axes, index: mask }] = lookups as [Lookup];
  if (lookups.length > 1 || mask.dtype !== 'bool') return null;
  const behind = view.rank - axis - axes;
  // The axis of the value that runs over the selected elements, counted from the front.
  const counted = value.rank - behind - 1;
  if (counted >= 0 && value.shape[counted] !== 1) return null;
  const whole = counted < 0 ? value : value.reshape(value.shape.toSpliced(counted, 1, ...Array<number>(axes).fill(1)));
  const source = fitted(whole, view.shape);
  const chosen = mask.reshape([...mask.shape, ...Array<number>(behind).fill(1)]);
  return call(ops.where, [chosen, accumulate ? view.add(source) : source, view], { p0: 0, p1: 0 });
}

// ---- what the items say --------------------------------------------------------------------------------------------

function parseIndex(x: Tensor, items: readonly IndexItem[], op: string): ParsedIndex {
  // An index of 8 axes is never this long.
  const long = items.find(item => typeof item === 'string' && item.length > 1000);
  if (long !== undefined) throw noIndex(x, long, op);
  const list = items.flatMap((item): (Exclude<IndexItem, IndexList> | Tensor)[] =>
    typeof item === 'string'
      ? item.split(',').map(part => part.trim())
      : [Array.isArray(item) ? listed(item as IndexList, x, op) : (item as Exclude<IndexItem, IndexList>)],
  );
  const used = list.reduce<number>((sum, item) => sum + axesUsed(item, op), 0);
  if (used > x.rank) throw new IndexError(`${used} indices for a tensor of ${x.rank} axes`, { op, shapes: [x.shape] });
  if (list.filter(item => item === '...').length > 1)
    throw new IndexError("'...' stands for all axes between, and is given more than once", {
      op,
      shapes: [x.shape],
      advice: "Use '...' at most once, and ':' for one axis",
    });
  const state: { view: Tensor; axis: number; lookups: Lookup[] } = { view: x, axis: 0, lookups: [] };
  for (const item of list.includes('...') ? list : [...list, '...'])
    if (item === '...') state.axis += x.rank - used;
    else step(state, item, op);
  return state;
}

/** Applies one item to the view that the items before it gave. */
function step(state: { view: Tensor; axis: number; lookups: Lookup[] }, item: IndexItem, op: string): void {
  const { view, axis } = state;
  if (item === null || item === 'null') state.view = view.unsqueeze(state.axis++);
  else if (typeof item === 'boolean' || (isTensor(item) && item.dtype === 'bool' && item.rank === 0)) {
    const mask = isTensor(item) ? item.reshape([1]) : tensor([item], { device: view.device });
    state.view = view.unsqueeze(state.axis++);
    state.lookups.push({ axis, axes: 1, index: mask });
  } else if (isTensor(item)) {
    const axes = axesUsed(item, op);
    if (item.dtype === 'bool') checkMask(item, view.shape.slice(axis, axis + axes), op);
    state.lookups.push({ axis, axes, index: item });
    state.axis += axes;
  } else {
    if (typeof item !== 'number' && typeof item !== 'string') throw noIndex(view, item, op);
    const [next, keeps] = basic(view, axis, item, op);
    state.view = next;
    state.axis += keeps;
  }
}

function checkMask(mask: Tensor, covered: Shape, op: string): void {
  if (!sameShape(mask.shape, covered))
    throw new IndexError(`a mask of shape ${format(mask.shape)} does not fit the axes of sizes ${format(covered)}`, {
      op,
      shapes: [mask.shape],
      advice: 'A mask has the sizes of the axes that it covers',
    });
}

/** Returns the number of axes of the tensor that an item uses. @throws DTypeError for a tensor that is neither index nor mask */
function axesUsed(item: IndexItem, op: string): number {
  if (item === null || item === 'null' || item === '...' || typeof item === 'boolean') return 0;
  if (!isTensor(item)) return 1;
  if (item.dtype === 'bool') return item.rank;
  if (item.dtype !== 'int64' && item.dtype !== 'int32')
    throw new DTypeError(`an index is int64 or int32, and a mask is bool, not ${item.dtype}`, {
      op,
      shapes: [item.shape],
      advice: "For a mask compare with 0, x.ne(0); for positions convert with to('int64')",
    });
  return 1;
}

/** Returns the tensor that a list stands for. */
function listed(list: IndexList, x: Tensor, op: string): Tensor {
  if (list.some(item => typeof item === 'string' || item === null || isTensor(item)))
    throw new ArgumentError('a list holds positions or truth values; ranges, null and tensors are items of their own', {
      op,
      advice: op === 'at' ? 'Spread the array: at(...items)' : 'Give the items in one array: set_([item, item], value)',
    });
  const { values } = readNested(list as Nested, op);
  const wrong = values.find(value => typeof value === 'number' && !Number.isInteger(value));
  if (wrong !== undefined) throw new IndexError(`${String(wrong)} is not a position of an axis`, { op });
  const masks = values.length > 0 && values.every(value => typeof value === 'boolean');
  return tensor(list as Nested, { dtype: masks ? 'bool' : 'int64', device: x.device });
}

const noIndex = (x: Tensor, item: unknown, op: string): ArgumentError =>
  new ArgumentError(`${shown(item)} is not an index`, {
    op,
    shapes: [x.shape],
    advice: "Use numbers, '1:3', '::2', '...', null, index tensors, lists or masks",
  });

/** Applies a position or a range to an axis. Returns the view and the number of axes that are left of that axis. */
function basic(t: Tensor, axis: number, item: number | string, op: string): [Tensor, 0 | 1] {
  const number = typeof item === 'number' ? item : /^-?\d+$/.test(item) ? Number(item) : null;
  if (number !== null) return [t.select(axis, number), 0];
  const range = /^(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?\d+)?)?$/.exec(item as string);
  if (!range) throw noIndex(t, item, op);
  const [start, end, step] = range.slice(1, 4).map(part => (part === undefined ? null : Number(part)));
  return [t.slice(axis, start, end, step ?? 1), 1];
}

// ---- looking up ----------------------------------------------------------------------------------------------------

/** Several lookups as one lookup along the first axis of a view with permuted axes. */
interface Plan {
  /** The axes of the view: those that are looked up, then the rest. */
  readonly order: readonly number[];
  /** Returns the view with the axes that are looked up merged into one, the first. */
  front(view: Tensor): Tensor;
  /** The positions along the first axis of front, as a tensor of rank 1. */
  readonly positions: Tensor;
  readonly indexShape: Shape;
  readonly restSizes: Shape;
  /** The order in which the axes of [...indexShape, ...restSizes] stand in the result. */
  readonly placed: readonly number[];
}

function planned(view: Tensor, lookups: readonly Lookup[], op: string): Plan {
  const covered = lookups.map(({ axis, axes }) => Array.from({ length: axes }, (_, i) => axis + i));
  const sizes = covered.map(axes => numelOf(axes.map(axis => view.shape[axis]!)));
  const indices = lookups.map(({ index }) => (index.dtype === 'bool' ? trueIn(index) : index));
  const indexShape = indices.map(index => index.shape).reduce((a, b) => broadcast(a, b, op));
  checkElements(sizes, indexShape, view, op);
  const rest = view.shape.map((_, axis) => axis).filter(axis => !covered.flat().includes(axis));
  const restSizes = rest.map(axis => view.shape[axis]!);
  const order = [...covered.flat(), ...rest];
  // An index of rank 0 takes one position and removes its axis, as a number does.
  const dropped = covered.filter((_, i) => indices[i]!.rank === 0).flat();
  const spread = covered.filter((_, i) => indices[i]!.rank > 0).flat();
  const first = axesBefore(view.rank, spread, dropped);
  return {
    order,
    front: t => t.permute(order).reshape([numelOf(sizes), ...restSizes]),
    positions: positionsOf(indices, sizes, indexShape),
    indexShape,
    restSizes,
    placed: placement(indexShape.length, rest.length, first),
  };
}

/** @throws IndexError if positions are looked up along an axis without elements, also if the result would have none */
function checkElements(sizes: readonly number[], indexShape: Shape, view: Tensor, op: string): void {
  if (sizes.includes(0) && numelOf(indexShape) > 0)
    throw new IndexError('an index names positions of an axis of size 0', { op, shapes: [view.shape] });
}

/** Returns the number of axes before those of the index in the result: 0 if the axes that are looked up are not neighbours. */
function axesBefore(rank: number, spread: readonly number[], dropped: readonly number[]): number {
  const axes = Array.from({ length: rank }, (_, axis) => axis).filter(axis => !dropped.includes(axis));
  const places = spread.map(axis => axes.indexOf(axis));
  const first = places[0] ?? 0;
  return places.every((place, i) => place === first + i) ? first : 0;
}

/** Returns the axes of [...index, ...rest] in the order of the result. */
function placement(index: number, rest: number, first: number): number[] {
  const order = Array.from({ length: index + rest }, (_, axis) => axis);
  return [...order.slice(index, index + first), ...order.slice(0, index), ...order.slice(index + first)];
}

/** Returns the positions along several axes as positions along these axes taken as one: the sum of index * stride. */
function positionsOf(indices: readonly Tensor[], sizes: readonly number[], shape: Shape): Tensor {
  if (indices.length === 1) return indices[0]!.reshape([-1]);
  const strides = stridesOf(sizes);
  return indices
    .map((index, i) => wrap(index, sizes[i]!).mul(strides[i]!))
    .reduce((a, b) => a.add(b))
    .expand(shape)
    .reshape([-1]);
}

/** Makes negative positions positive by looking them up in 0 .. n - 1, which also checks them. */
const wrap = (index: Tensor, n: number): Tensor =>
  arange(n, { device: index.device })
    .indexSelect(0, index.reshape([-1]))
    .reshape(index.shape);

/** Returns the positions, in row-major order, at which a mask is true. It waits for the device, which alone knows their number. */
function trueIn(mask: Tensor): Tensor {
  const flat = mask.reshape([-1]);
  const { device, numel } = flat;
  if (numel === 0) return zeros([0], { dtype: 'int64', device });
  const ends = flat.to('int64').cumsum(0);
  const count = ends.select(0, -1).itemSync();
  // Each true element is written to the slot of its number, all others to one more slot at the end.
  const slots = call(ops.where, [flat, ends.sub(1), count], { p0: 0, p1: 0 });
  const all = zeros([count + 1], { dtype: 'int64', device }).scatter(0, slots, arange(numel, { device }));
  return all.narrow(0, 0, count);
}

const inverse = (order: readonly number[]): number[] => order.map((_, axis) => order.indexOf(axis));
