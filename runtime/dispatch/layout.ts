import type { DTypeInfo } from '../tensor/dtype.ts';
import { native } from '../ffi/library.ts';
import { expectRepeated } from '../tensor/graphCapture.ts';
import { broadcastStrides, replaced, stridesOf, viewStrides, type Shape } from '../tensor/shape.ts';
import { assertLive, empty, emptyLike, writeView, viewOf, type Tensor } from '../tensor/tensor.ts';
import { InternalError } from '../errors.ts';
import { check, contextOf, deviceOf, type Run } from './op.ts';

/** Returns a view of a tensor. @throws DisposedError if the tensor was disposed */
function shown(a: Tensor, shape: Shape, strides: Shape, offset: number): Tensor {
  if (a.disposed) assertLive(a);
  return viewOf(a, shape, strides, offset);
}

/** The shape of the result of reshape() or expand(). */
export interface ShapeParams {
  readonly shape: Shape;
}

/** Shows the same memory in another shape. The caller has made the tensor contiguous if that is needed. */
export const reshape: Run<ShapeParams> = (op, inputs, { shape }) => {
  const a = inputs[0] as Tensor;
  const { layout } = a;
  const strides = layout.contiguous ? stridesOf(shape) : viewStrides(layout.shape, layout.strides, shape);
  if (strides === null) throw new InternalError(`no view of [${a.shape}] as [${shape}]`, contextOf(op, inputs));
  return shown(a, shape, strides, layout.offset);
};

/** Repeats axes of size 1 without a copy. The caller has checked that the input broadcasts to the shape. */
export const expand: Run<ShapeParams> = (_, inputs, { shape }) => {
  const a = inputs[0] as Tensor;
  return shown(a, shape, broadcastStrides(a, shape), a.offset);
};

/** Returns sizes or strides in another order of the axes. */
function picked(list: Shape, order: readonly number[]): Shape {
  const out = order.slice();
  for (let i = 0; i < out.length; i++) out[i] = list[order[i]!]!;
  return out;
}

export interface PermuteParams {
  readonly order: readonly number[];
}

export const permute: Run<PermuteParams> = (_, inputs, { order }) => {
  const a = inputs[0] as Tensor;
  const { shape, strides, offset } = a.layout;
  return shown(a, picked(shape, order), picked(strides, order), offset);
};

/** A slice along one axis: `size` elements from start, with a distance of step, which may be negative. */
export interface SliceParams {
  readonly axis: number;
  readonly start: number;
  readonly size: number;
  readonly step: number;
  /** Is the axis removed? Then size is 1. */
  readonly drop?: boolean;
}

export const slice: Run<SliceParams> = (_, inputs, params) => sliceOf(inputs[0] as Tensor, params);

/** Returns the elements that a slice selects, as a view. */
export function sliceOf(a: Tensor, { axis, start, size, step, drop }: SliceParams): Tensor {
  const { shape, strides, offset } = a.layout;
  const first = size === 0 ? offset : offset + start * strides[axis]!;
  if (drop) return shown(a, shape.toSpliced(axis, 1), strides.toSpliced(axis, 1), first);
  const along = step === 1 ? strides : replaced(strides, axis, strides[axis]! * step);
  return shown(a, replaced(shape, axis, size), along, first);
}

/** The gradient of a slice: zeros of a shape, with the input at the positions that the slice selects. */
export interface SliceBackwardParams extends SliceParams {
  readonly shape: Shape;
}

export const sliceBackward: Run<SliceBackwardParams> = (op, inputs, params) => {
  const a = inputs[0] as Tensor;
  const out = empty(params.shape, a.info, a.storage.device);
  check(native.castor_fill(writeView(0, out, op.name), 0), op, inputs);
  check(native.castor_copy(writeView(0, a, op.name), writeView(1, sliceOf(out, params), op.name)), op, inputs);
  return out;
};

/** A copy in row-major order, in another dtype or on another device if given. */
export interface CopyParams {
  readonly info: DTypeInfo;
  readonly device: number;
}

export const copy: Run<CopyParams> = (op, inputs, { info, device }) => {
  const a = inputs[0] as Tensor;
  expectRepeated(op.name, a.storage, device);
  const out = emptyLike(a, info, device);
  check(native.castor_copy(writeView(0, a, op.name), writeView(1, out, op.name)), op, inputs);
  return out;
};

/** Writes an input over a tensor, broadcasting and converting it: the in-place form of copy. */
export function copyInto(a: Tensor, out: Tensor): void {
  const op = { name: 'copy_' };
  expectRepeated(op.name, a.storage, out.storage.device);
  check(native.castor_copy(writeView(0, a, op.name), writeView(1, out, op.name)), op, [a, out]);
}

export interface CatParams {
  readonly axis: number;
  readonly info: DTypeInfo;
  /** The size of each tensor along the axis. */
  readonly sizes: readonly number[];
  /** Is the axis a new one, which the tensors do not have (stack)? */
  readonly stacks?: boolean;
}

/** Joins tensors along an axis; their other sizes are equal. */
export const cat: Run<CatParams> = (op, inputs, { axis, info, sizes, stacks = false }) => {
  const tensors = inputs as readonly Tensor[];
  const { shape } = tensors[0]!;
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const out = empty(shape.toSpliced(axis, stacks ? 0 : 1, total), info, deviceOf(op, inputs));
  let start = 0;
  for (const [i, t] of tensors.entries()) {
    const size = sizes[i]!;
    const part = sliceOf(out, { axis, start, size, step: 1, drop: stacks });
    check(native.castor_copy(writeView(0, t, op.name), writeView(1, part, op.name)), op, inputs);
    start += size;
  }
  return out;
};
