import { ArgumentError, IndexError, ShapeError } from '../errors.ts';
import { dtypeInfo, isDType, promote, type DType } from '../tensor/dtype.ts';
import { deviceCode, type Device } from '../tensor/device.ts';
import {
  axesOf,
  axisOf,
  broadcast,
  checkShape,
  format,
  inferShape,
  numelOf,
  sameShape,
  viewStrides,
  type Shape,
} from '../tensor/shape.ts';
import { shown } from '../shown.ts';
import { carryToCopy } from '../tensor/lossScale.ts';
import { assertLive, isTensor, type Tensor } from '../tensor/tensor.ts';
import { call, callViews } from './call.ts';
import { sliceBy } from './primitives.ts';
import { ops } from './registry.ts';

/** Sizes as one array or one by one. */
type Sizes = number[] | [readonly number[]];
const listOf = (sizes: Sizes): Shape => (Array.isArray(sizes[0]) ? (sizes[0] as Shape) : (sizes as Shape));

/** The same elements in another shape; one size may be -1. A view where the layout allows it, else a copy. */
export function reshape(x: Tensor, ...sizes: Sizes): Tensor {
  const shape = inferShape(listOf(sizes), x.numel, 'reshape', x.shape);
  if (sameShape(shape, x.shape)) return x;
  const source = viewStrides(x.shape, x.strides, shape) === null ? contiguous(x) : x;
  return call(ops.view, [source], { shape });
}

/** reshape that never copies. @throws ShapeError where the layout needs a copy */
export function view(x: Tensor, ...sizes: Sizes): Tensor {
  const shape = inferShape(listOf(sizes), x.numel, 'view', x.shape);
  if (viewStrides(x.shape, x.strides, shape) === null)
    throw new ShapeError(`${format(x.shape)} with strides ${format(x.strides)} has no view of shape ${format(shape)}`, {
      op: 'view',
      shapes: [x.shape, shape],
      advice: 'Use reshape(), which copies where it must',
    });
  return call(ops.view, [x], { shape });
}

/** Axes from start to end (included) merged into one. */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
  const [first, last] = [axisOf(start, x.rank, 'flatten'), axisOf(end, x.rank, 'flatten')];
  if (first > last)
    throw new ShapeError(`start axis ${start} is behind end axis ${end}`, { op: 'flatten', shapes: [x.shape] });
  if (x.rank === 0) return reshape(x, [1]);
  const merged = numelOf(x.shape.slice(first, last + 1));
  return reshape(x, [...x.shape.slice(0, first), merged, ...x.shape.slice(last + 1)]);
}

/** One axis split into several; one size may be -1. */
export function unflatten(x: Tensor, axis: number, sizes: Shape): Tensor {
  const at = axisWithin('unflatten', axis, x);
  if (sizes.length === 0)
    throw new ShapeError('an axis is split into one size or more, not into none', {
      op: 'unflatten',
      shapes: [x.shape],
    });
  const split = inferShape(sizes, x.shape[at]!, 'unflatten', [x.shape[at]!]);
  return reshape(x, [...x.shape.slice(0, at), ...split, ...x.shape.slice(at + 1)]);
}

/** Axes in another order. */
export function permute(x: Tensor, ...order: Sizes): Tensor {
  const axes = listOf(order).map(axis => axisOf(axis, x.rank, 'permute'));
  if (axes.length !== x.rank || new Set(axes).size !== axes.length)
    throw new ShapeError(`${format(listOf(order))} is no order of the ${x.rank} axes`, {
      op: 'permute',
      shapes: [x.shape],
    });
  return call(ops.permute, [x], { order: axes });
}

/** Two axes exchanged. */
export function transpose(x: Tensor, a: number, b: number): Tensor {
  const order = x.shape.map((_, axis) => axis);
  const [i, j] = [axisOf(a, x.rank, 'transpose'), axisOf(b, x.rank, 'transpose')];
  if (x.rank === 0) return x;
  [order[i], order[j]] = [order[j]!, order[i]!];
  return call(ops.permute, [x], { order });
}

/** Axes of size 1 dropped: all, or the ones given (others of them stay). */
export function squeeze(x: Tensor, axes?: number | readonly number[]): Tensor {
  const dropped = axesOf(axes, x.rank, 'squeeze').filter(axis => x.shape[axis] === 1);
  return reshape(
    x,
    x.shape.filter((_, axis) => !dropped.includes(axis)),
  );
}

/** A new axis of size 1 at a position. */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const at = axisOf(axis, x.rank + 1, 'unsqueeze');
  checkShape([...x.shape, 1], 'unsqueeze');
  return call(ops.view, [x], { shape: x.shape.toSpliced(at, 0, 1) });
}

/** Axes of size 1 repeated without a copy; -1 keeps a size. */
export function expand(x: Tensor, ...sizes: Sizes): Tensor {
  const wanted = listOf(sizes);
  const lead = wanted.length - x.rank;
  const shape = wanted.map((size, i) => (size === -1 && i >= lead ? x.shape[i - lead]! : size));
  checkShape(shape, 'expand');
  if (lead < 0 || !sameShape(broadcast(x.shape, shape, 'expand'), shape))
    throw new ShapeError(`${format(x.shape)} does not expand to ${format(wanted)}`, {
      op: 'expand',
      shapes: [x.shape, wanted],
    });
  return sameShape(shape, x.shape) ? x : call(ops.expand, [x], { shape });
}
/** expand by its NumPy name. */
export const broadcastTo = (x: Tensor, shape: Shape): Tensor => expand(x, shape);

/** An axis of a tensor that has some. @throws ShapeError for rank 0 too */
function axisWithin(op: string, axis: number, x: Tensor): number {
  const at = axisOf(axis, x.rank, op);
  if (x.rank === 0)
    throw new ShapeError('a tensor of rank 0 has no axes', {
      op,
      shapes: [x.shape],
      advice: 'reshape([1]) gives it one',
    });
  return at;
}

/** Elements start to end (left out: to the last; negative: from the end) of an axis, every step-th. Bounds are clipped, as in Python. */
export function slice(
  x: Tensor,
  axis: number,
  start: number | null = null,
  end: number | null = null,
  step = 1,
): Tensor {
  const at = axisWithin('slice', axis, x);
  if (!Number.isInteger(step) || step === 0)
    throw new ArgumentError(`step ${shown(step)} is not a whole number other than 0`, {
      op: 'slice',
      advice: 'A step of 1 takes all, of 2 every second, of -1 all in reverse order',
    });
  for (const bound of [start, end])
    if (bound !== null && !Number.isInteger(bound))
      throw new ArgumentError(`bound ${shown(bound)} is no whole number`, {
        op: 'slice',
        advice: 'Pass whole numbers; null leaves a bound out',
      });
  const length = x.shape[at]!;
  const clip = (bound: number, low: number, high: number): number =>
    Math.min(Math.max(bound < 0 ? bound + length : bound, low), high);
  const first =
    start === null ? (step > 0 ? 0 : length - 1) : clip(start, step > 0 ? 0 : -1, step > 0 ? length : length - 1);
  const last = end === null ? (step > 0 ? length : -1) : clip(end, step > 0 ? 0 : -1, step > 0 ? length : length - 1);
  const size = Math.max(Math.ceil((last - first) / step), 0);
  return sliceBy(x, { axis: at, start: first, size, step });
}

/** length elements of an axis from start. @throws ShapeError when they reach past its end */
export function narrow(x: Tensor, axis: number, start: number, length: number): Tensor {
  const at = axisWithin('narrow', axis, x);
  const size = x.shape[at]!;
  const first = start < 0 ? start + size : start;
  if (!Number.isInteger(first) || !Number.isInteger(length) || first < 0 || length < 0 || first + length > size)
    throw new ShapeError(
      `${shown(length)} elements from ${shown(start)} on are not within axis ${axis} of size ${size}`,
      {
        op: 'narrow',
        shapes: [x.shape],
      },
    );
  return sliceBy(x, { axis: at, start: first, size: length, step: 1 });
}

/** One position of an axis; the axis goes. */
export function select(x: Tensor, axis: number, index: number): Tensor {
  const at = axisWithin('select', axis, x);
  return sliceBy(x, { axis: at, start: checkIndex(index, x, at), size: 1, step: 1, drop: true });
}

function checkIndex(index: number, x: Tensor, axis: number): number {
  const size = x.shape[axis]!;
  if (!Number.isInteger(index) || index < -size || index >= size)
    throw new IndexError(`index ${shown(index)} is outside axis ${axis} of size ${size}`, {
      op: 'select',
      shapes: [x.shape],
    });
  return index < 0 ? index + size : index;
}

/** The largest number of views from one call; each costs some hundred bytes. */
const MOST_VIEWS = 2 ** 20;

function checkCount(op: string, count: number, x: Tensor): void {
  if (count > MOST_VIEWS)
    throw new ArgumentError(`${count} parts are more than the ${MOST_VIEWS} that one call makes`, {
      op,
      shapes: [x.shape],
      advice: 'Take parts one by one with narrow() or select()',
    });
}

/** Parts of `size` along an axis (the last may be smaller), or of the sizes given. */
export function split(x: Tensor, size: number | readonly number[], axis = 0): Tensor[] {
  const at = axisWithin('split', axis, x);
  const length = x.shape[at]!;
  const sizes = typeof size === 'number' ? evenSizes(size, length, x) : size;
  checkCount('split', sizes.length, x);
  const wrong = sizes.find(n => !Number.isInteger(n) || n < 0);
  if (wrong !== undefined || sizes.reduce((sum, n) => sum + n, 0) !== length)
    throw new ShapeError(`parts ${format(sizes)} do not fill axis ${axis} of size ${length}`, {
      op: 'split',
      shapes: [x.shape],
      advice: 'Part sizes are whole numbers >= 0 whose sum is the size of the axis',
    });
  let end = 0;
  return callViews(
    ops.slice,
    x,
    sizes.map(n => ({ axis: at, start: (end += n) - n, size: n, step: 1 })),
  );
}

/** Sizes of parts of one size. A size of 0 is for an axis without elements. */
function evenSizes(size: number, length: number, x: Tensor): number[] {
  if (!Number.isInteger(size) || size < 0 || (size === 0 && length > 0))
    throw new ArgumentError(`part size ${size} is not a whole number > 0`, {
      op: 'split',
      shapes: [x.shape],
      advice: 'Pass the number of elements of each part, or an array of such numbers',
    });
  const count = length === 0 ? 1 : Math.ceil(length / size);
  checkCount('split', count, x);
  return Array.from({ length: count }, (_, i) => Math.min(size, length - i * size));
}

/** At most `count` parts of equal size along an axis (the last may be smaller). An empty axis gives `count` empty parts. */
export function chunk(x: Tensor, count: number, axis = 0): Tensor[] {
  const length = x.shape[axisWithin('chunk', axis, x)]!;
  if (!(Number.isInteger(count) && count > 0))
    throw new ArgumentError(`${shown(count)} is no number of parts`, {
      op: 'chunk',
      advice: 'Pass a whole number > 0',
    });
  if (length > 0) return split(x, Math.ceil(length / count), axis);
  checkCount('chunk', count, x);
  return split(x, Array<number>(count).fill(0), axis);
}

/** All positions of an axis, as a list of tensors without it. */
export function unbind(x: Tensor, axis = 0): Tensor[] {
  const at = axisWithin('unbind', axis, x);
  const length = x.shape[at]!;
  checkCount('unbind', length, x);
  const positions = Array.from({ length }, (_, start) => ({ axis: at, start, size: 1, step: 1, drop: true }));
  return callViews(ops.slice, x, positions);
}

/** A copy with the elements of some axes in reverse order. */
export const flip = (x: Tensor, axes: number | readonly number[]): Tensor =>
  clone(axesOf(axes, x.rank, 'flip').reduce((t, axis) => slice(t, axis, null, null, -1), x));

/** Itself when row-major, else a row-major copy. */
export const contiguous = (x: Tensor): Tensor => (x.isContiguous ? x : clone(x));
/** A copy, through which gradients flow. */
export const clone = (x: Tensor): Tensor =>
  carryToCopy(call(ops.copy, [x], { info: x.info, device: x.storage.device }), x);

/** Another dtype, another device, or those of another tensor. Itself when nothing changes. Gradients flow back through it. */
export function to(x: Tensor, target: DType | Device | Tensor | { dtype?: DType; device?: Device }): Tensor {
  assertLive(x, 'to');
  const wanted = isTensor(target)
    ? { dtype: target.dtype, device: target.device }
    : typeof target === 'object'
      ? target
      : isDType(target)
        ? { dtype: target }
        : { device: target as Device };
  const info = wanted.dtype === undefined ? x.info : dtypeInfo(wanted.dtype, 'to');
  const device = wanted.device === undefined ? x.storage.device : deviceCode(wanted.device, 'to');
  return info === x.info && device === x.storage.device ? x : carryToCopy(call(ops.copy, [x], { info, device }), x);
}
/** to('float32'). */
export const float = (x: Tensor): Tensor<'float32'> => to(x, 'float32') as Tensor<'float32'>;
/** to('float16'). */
export const half = (x: Tensor): Tensor<'float16'> => to(x, 'float16') as Tensor<'float16'>;
/** to('float64'). */
export const double = (x: Tensor): Tensor<'float64'> => to(x, 'float64') as Tensor<'float64'>;
/** to('int64'). */
export const long = (x: Tensor): Tensor<'int64'> => to(x, 'int64') as Tensor<'int64'>;

/**
 * Tensors one after the other along an axis; dtypes promote. As in PyTorch, tensors of shape [0] are passed over among tensors of
 * another shape.
 */
export function cat(tensors: readonly Tensor[], axis = 0): Tensor {
  if (tensors.length === 0) throw new ArgumentError('there is nothing to join', { op: 'cat', advice: 'Pass tensors' });
  const some = tensors.filter(t => t.rank !== 1 || t.numel > 0);
  const joined = some.length > 0 ? some : tensors;
  const first = joined[0]!;
  const at = axisOf(axis, first.rank, 'cat');
  const shapes = tensors.map(t => t.shape);
  if (tensors.some(t => t.rank === 0))
    throw new ShapeError('tensors of rank 0 have no axis to join along', { op: 'cat', shapes, advice: 'Use stack()' });
  for (const t of joined)
    if (t.rank !== first.rank || t.shape.some((size, i) => i !== at && size !== first.shape[i]))
      throw new ShapeError(`${format(first.shape)} and ${format(t.shape)} differ outside axis ${axis}`, {
        op: 'cat',
        shapes,
      });
  const info = tensors.map(t => t.info).reduce(promote);
  return call(ops.cat, [...joined], { axis: at, info, sizes: joined.map(t => t.shape[at]!) });
}

/** Tensors of one shape along a new axis. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  if (tensors.length === 0)
    throw new ArgumentError('there is nothing to join', { op: 'stack', advice: 'Pass tensors' });
  const other = tensors.find(t => !sameShape(t.shape, tensors[0]!.shape));
  if (other) throw new ShapeError(`${format(tensors[0]!.shape)} and ${format(other.shape)} differ`, { op: 'stack' });
  const at = axisOf(axis, tensors[0]!.rank + 1, 'stack');
  checkShape([...tensors[0]!.shape, tensors.length], 'stack');
  const info = tensors.map(t => t.info).reduce(promote);
  return call(ops.cat, [...tensors], { axis: at, info, sizes: tensors.map(() => 1), stacks: true });
}
