import { arrayOf, either, nullable, number, optional } from '../arguments.ts';
import { axes, axis, shape, sizes, tensor } from '../tensor/specs.ts';
import { define } from './define.ts';
import * as takes from './specs.ts';
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
export type Sizes = number[] | [readonly number[]];
const listOf = (sizes: Sizes): Shape => (Array.isArray(sizes[0]) ? (sizes[0] as Shape) : (sizes as Shape));

/** Returns the same elements in another shape; one size may be -1. It is a view if the layout allows it, else a copy. */
export const reshape = define(
  'reshape',
  { x: tensor, sizes: sizes('a shape') },
  (x: Tensor, ...sizes: Sizes): Tensor => {
    const shape = inferShape(listOf(sizes), x.numel, 'reshape', x.shape);
    if (sameShape(shape, x.shape)) return x;
    const source = viewStrides(x.shape, x.strides, shape) === null ? contiguous(x) : x;
    return call(ops.view, [source], { shape });
  },
);

/** Returns a view in another shape, like reshape() without copying. @throws ShapeError if the layout needs a copy */
export const view = define('view', { x: tensor, sizes: sizes('a shape') }, (x: Tensor, ...sizes: Sizes): Tensor => {
  const shape = inferShape(listOf(sizes), x.numel, 'view', x.shape);
  if (!x.isContiguous && viewStrides(x.shape, x.strides, shape) === null)
    throw new ShapeError(`${format(x.shape)} with strides ${format(x.strides)} has no view of shape ${format(shape)}`, {
      op: 'view',
      shapes: [x.shape, shape],
      advice: 'Use reshape(), which copies where it must',
    });
  return call(ops.view, [x], { shape });
});

/** Merges the axes from start to end (included) into one. */
export const flatten = define(
  'flatten',
  { x: tensor, start: optional(axis), end: optional(axis) },
  (x: Tensor, start = 0, end = -1): Tensor => {
    const [first, last] = [axisOf(start, x.rank, 'flatten'), axisOf(end, x.rank, 'flatten')];
    if (first > last)
      throw new ShapeError(`start axis ${start} is behind end axis ${end}`, { op: 'flatten', shapes: [x.shape] });
    if (x.rank === 0) return reshape(x, [1]);
    const merged = numelOf(x.shape.slice(first, last + 1));
    return reshape(x, [...x.shape.slice(0, first), merged, ...x.shape.slice(last + 1)]);
  },
);

/** Splits one axis into several; one size may be -1. */
export const unflatten = define(
  'unflatten',
  { x: tensor, axis, sizes: shape },
  (x: Tensor, axis: number, sizes: Shape): Tensor => {
    const at = axisWithin('unflatten', axis, x);
    if (sizes.length === 0)
      throw new ShapeError('an axis is split into one size or more, not into none', {
        op: 'unflatten',
        shapes: [x.shape],
      });
    const split = inferShape(sizes, x.shape[at]!, 'unflatten', [x.shape[at]!]);
    return reshape(x, [...x.shape.slice(0, at), ...split, ...x.shape.slice(at + 1)]);
  },
);

/** Returns a view with the axes in another order. */
export const permute = define(
  'permute',
  { x: tensor, order: sizes('an order of axes') },
  (x: Tensor, ...order: Sizes): Tensor => {
    const axes = listOf(order).map(axis => axisOf(axis, x.rank, 'permute'));
    if (axes.length !== x.rank || new Set(axes).size !== axes.length)
      throw new ShapeError(`${format(listOf(order))} is not an order of the ${x.rank} axes`, {
        op: 'permute',
        shapes: [x.shape],
      });
    return call(ops.permute, [x], { order: axes });
  },
);

/** Exchanges two axes. */
export const transpose = define(
  'transpose',
  { x: tensor, a: axis, b: axis },
  (x: Tensor, a: number, b: number): Tensor => {
    const order = x.shape.map((_, axis) => axis);
    const [i, j] = [axisOf(a, x.rank, 'transpose'), axisOf(b, x.rank, 'transpose')];
    if (x.rank === 0) return x;
    [order[i], order[j]] = [order[j]!, order[i]!];
    return call(ops.permute, [x], { order });
  },
);

/** Removes axes of size 1: all of them, or those given; given axes of another size stay. */
export const squeeze = define(
  'squeeze',
  { x: tensor, axes: optional(axes) },
  (x: Tensor, axes?: number | readonly number[]): Tensor => {
    const dropped = axesOf(axes, x.rank, 'squeeze').filter(axis => x.shape[axis] === 1);
    return reshape(
      x,
      x.shape.filter((_, axis) => !dropped.includes(axis)),
    );
  },
);

/** Inserts a new axis of size 1 at a position. */
export const unsqueeze = define('unsqueeze', { x: tensor, axis }, (x: Tensor, axis: number): Tensor => {
  const at = axisOf(axis, x.rank + 1, 'unsqueeze');
  checkShape([...x.shape, 1], 'unsqueeze');
  return call(ops.view, [x], { shape: x.shape.toSpliced(at, 0, 1) });
});

/** Repeats axes of size 1 without a copy; -1 keeps a size. */
export const expand = define('expand', { x: tensor, sizes: sizes('a shape') }, (x: Tensor, ...sizes: Sizes): Tensor => {
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
});
/** Repeats axes of size 1 without a copy: expand() by its NumPy name. */
export const broadcastTo = define('broadcastTo', { x: tensor, shape }, (x: Tensor, shape: Shape): Tensor =>
  expand(x, shape),
);

/** Returns an axis counted from 0. @throws ShapeError for an axis outside of the rank, and for rank 0 */
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

/**
 * Returns the elements from start to end of an axis, every step-th. end is excluded; without it the slice goes to the last element.
 * Negative bounds count from the end, and all bounds are clipped, as in Python.
 */
export const slice = define(
  'slice',
  {
    x: tensor,
    axis,
    start: optional(nullable(number)),
    end: optional(nullable(number)),
    step: optional(number),
  },
  (x: Tensor, axis: number, start: number | null = null, end: number | null = null, step = 1): Tensor => {
    const at = axisWithin('slice', axis, x);
    if (!Number.isInteger(step) || step === 0)
      throw new ArgumentError(`step ${shown(step)} is not a whole number other than 0`, {
        op: 'slice',
        advice: 'A step of 1 takes all, of 2 every second, of -1 all in reverse order',
      });
    for (const bound of [start, end])
      if (bound !== null && !Number.isInteger(bound))
        throw new ArgumentError(`bound ${shown(bound)} is not a whole number`, {
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
  },
);

/** Returns `length` elements of an axis from start. @throws ShapeError if they reach past its end */
export const narrow = define(
  'narrow',
  { x: tensor, axis, start: number, length: number },
  (x: Tensor, axis: number, start: number, length: number): Tensor => {
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
  },
);

/** Returns one position of an axis, as a view without that axis. */
export const select = define(
  'select',
  { x: tensor, axis, index: number },
  (x: Tensor, axis: number, index: number): Tensor => {
    const at = axisWithin('select', axis, x);
    return sliceBy(x, { axis: at, start: checkIndex(index, x, at), size: 1, step: 1, drop: true });
  },
);

function checkIndex(index: number, x: Tensor, axis: number): number {
  const size = x.shape[axis]!;
  if (!Number.isInteger(index) || index < -size || index >= size)
    throw new IndexError(`index ${shown(index)} is outside axis ${axis} of size ${size}`, {
      op: 'select',
      shapes: [x.shape],
    });
  return index < 0 ? index + size : index;
}

/** The largest number of views from one call. Each takes some hundred bytes. */
const MOST_VIEWS = 2 ** 20;

function checkCount(op: string, count: number, x: Tensor): void {
  if (count > MOST_VIEWS)
    throw new ArgumentError(`${count} parts are more than the ${MOST_VIEWS} that one call makes`, {
      op,
      shapes: [x.shape],
      advice: 'Take parts one by one with narrow() or select()',
    });
}

/** Splits an axis into parts of `size` (the last may be smaller), or of the given sizes. */
export const split = define(
  'split',
  { x: tensor, size: either(number, arrayOf(number, 'an array of sizes')), axis: optional(axis) },
  (x: Tensor, size: number | readonly number[], axis = 0): Tensor[] => {
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
  },
);

/** Returns the sizes of parts of equal size. A size of 0 is allowed only for an axis without elements. */
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

/** Splits an axis into at most `count` parts of equal size (the last may be smaller). An empty axis gives `count` empty parts. */
export const chunk = define(
  'chunk',
  { x: tensor, count: number, axis: optional(axis) },
  (x: Tensor, count: number, axis = 0): Tensor[] => {
    const length = x.shape[axisWithin('chunk', axis, x)]!;
    if (!(Number.isInteger(count) && count > 0))
      throw new ArgumentError(`${shown(count)} is not a number of parts`, {
        op: 'chunk',
        advice: 'Pass a whole number > 0',
      });
    if (length > 0) return split(x, Math.ceil(length / count), axis);
    checkCount('chunk', count, x);
    return split(x, Array<number>(count).fill(0), axis);
  },
);

/** Returns all positions of an axis, as a list of tensors without it. */
export const unbind = define('unbind', { x: tensor, axis: optional(axis) }, (x: Tensor, axis = 0): Tensor[] => {
  const at = axisWithin('unbind', axis, x);
  const length = x.shape[at]!;
  checkCount('unbind', length, x);
  const positions = Array.from({ length }, (_, start) => ({ axis: at, start, size: 1, step: 1, drop: true }));
  return callViews(ops.slice, x, positions);
});

/** Returns a copy with the elements of some axes in reverse order. */
export const flip = define('flip', { x: tensor, axes }, (x: Tensor, axes: number | readonly number[]): Tensor =>
  clone(axesOf(axes, x.rank, 'flip').reduce((t, axis) => slice(t, axis, null, null, -1), x)),
);

/** Returns the tensor itself if it is row-major, else a row-major copy. */
export const contiguous = define('contiguous', { x: tensor }, (x: Tensor): Tensor => (x.isContiguous ? x : clone(x)));
/** Returns a copy, through which gradients flow. */
export const clone = define('clone', { x: tensor }, (x: Tensor): Tensor =>
  carryToCopy(call(ops.copy, [x], { info: x.info, device: x.storage.device }), x),
);

/** A dtype, a device, or both. */
export interface Placement {
  /** The dtype. Default: that of the tensor. */
  dtype?: DType;
  /** The device. Default: that of the tensor. */
  device?: Device;
}
/** The argument of to(): a dtype, a device, both as an object, or a tensor that has them. */
export type Destination = DType | Device | Placement | Tensor;
/** The dtype that a tensor of dtype D has after to(). */
export type DTypeAt<T, D extends DType> = T extends DType
  ? T
  : T extends Device
    ? D
    : T extends Tensor<infer E>
      ? E
      : T extends { dtype: infer E extends DType }
        ? E
        : 'dtype' extends keyof T
          ? DType
          : D;
/** Makes an object of a device and a dtype in PyTorch's order. */
const destinationOf = ([x, device, dtype, ...more]: readonly unknown[]): readonly unknown[] =>
  typeof device === 'string' && typeof dtype === 'string'
    ? [x, { device, dtype }, ...more]
    : [x, device, dtype, ...more];
/**
 * Converts to another dtype, another device, or those of another tensor. Returns the tensor itself if nothing changes. Gradients flow
 * back through the conversion.
 */
export const to = define(
  'to',
  {
    x: tensor,
    target: { ...takes.destination, advice: "Pass 'float16', 'cuda', { dtype, device } or a tensor that has both" },
  },
  <D extends DType, T extends Destination>(x: Tensor<D>, target: T): Tensor<DTypeAt<T, D>> => {
    assertLive(x, 'to');
    const wanted: Placement = isTensor(target)
      ? { dtype: target.dtype, device: target.device }
      : typeof target === 'object'
        ? target
        : isDType(target)
          ? { dtype: target }
          : { device: target as Device };
    const info = wanted.dtype === undefined ? x.info : dtypeInfo(wanted.dtype, 'to');
    const device = wanted.device === undefined ? x.storage.device : deviceCode(wanted.device, 'to');
    const there = info === x.info && device === x.storage.device;
    return (there ? x : carryToCopy(call(ops.copy, [x], { info, device }), x)) as Tensor as Tensor<DTypeAt<T, D>>;
  },
  destinationOf,
);
/** Converts to float32: to('float32'). */
export const float = define('float', { x: tensor }, (x: Tensor): Tensor<'float32'> => to(x, 'float32'));
/** Converts to float16: to('float16'). */
export const half = define('half', { x: tensor }, (x: Tensor): Tensor<'float16'> => to(x, 'float16'));
/** Converts to float64: to('float64'). */
export const double = define('double', { x: tensor }, (x: Tensor): Tensor<'float64'> => to(x, 'float64'));
/** Converts to int64: to('int64'). */
export const long = define('long', { x: tensor }, (x: Tensor): Tensor<'int64'> => to(x, 'int64'));
