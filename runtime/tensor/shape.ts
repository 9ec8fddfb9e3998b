import { ArgumentError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';

/** The sizes of the axes, outermost first. It is never changed after creation, because tensors share it. */
export type Shape = readonly number[];
export const MAX_RANK = 8;

/** The largest number of sizes that messages show. */
const LONGEST_SHAPE = 32;
export function format(shape: Shape): string {
  const sizes = shape.slice(0, LONGEST_SHAPE).map(size => (typeof size === 'number' ? size : shown(size)));
  return `[${sizes.join(', ')}${shape.length > LONGEST_SHAPE ? `, ... (${shape.length} numbers)` : ''}]`;
}

export function numelOf(shape: Shape): number {
  let n = 1;
  for (let i = 0; i < shape.length; i++) n *= shape[i]!;
  return n;
}

/** Returns row-major strides, in elements. */
export function stridesOf(shape: Shape): Shape {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= Math.max(shape[i]!, 1);
  }
  return strides;
}

/** Returns sizes or strides with another value on one axis. Engines copy few numbers faster so than with with(). */
export function replaced(list: Shape, axis: number, value: number): Shape {
  const copy = list.slice();
  copy[axis] = value;
  return copy;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Are these the strides of a row-major tensor without gaps? Axes of size 1 and tensors without elements fit any strides. */
export function isContiguous(shape: Shape, strides: Shape): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== step) return numelOf(shape) === 0;
    step *= shape[i]!;
  }
  return true;
}

/** Have tensors of these layouts one shape? */
export const sameSizes = (a: Layout, b: Layout): boolean => a === b || sameShape(a.shape, b.shape);

/** The sizes, strides and offset of a tensor, and what follows from them. It is never changed after creation. */
export class Layout {
  readonly shape: Shape;
  readonly strides: Shape;
  /** The position of the first element in the storage. */
  readonly offset: number;
  /** The number of elements. */
  readonly numel: number;
  /** Is it row-major without gaps? */
  readonly contiguous: boolean;
  /** Are there elements, which lie in row-major order from the start of the storage? The strides of an empty tensor may have any value. */
  readonly flat: boolean;

  constructor(shape: Shape, strides: Shape, offset: number) {
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
    // numelOf() and isContiguous() in one loop, because every view makes a layout.
    let numel = 1;
    let gapless = true;
    for (let i = shape.length - 1; i >= 0; i--) {
      const size = shape[i]!;
      if (size !== 1 && strides[i] !== numel) gapless = false;
      numel *= size;
    }
    this.numel = numel;
    this.contiguous = gapless || numel === 0;
    this.flat = gapless && numel > 0 && offset === 0;
  }
}

/** Returns a shape after checking it. @throws ArgumentError for a size that is not a whole number >= 0, ShapeError for more than 8 axes */
export function checkShape(shape: Shape, op: string): Shape {
  if (!Array.isArray(shape))
    throw new ArgumentError(`a shape is an array of sizes, not ${shown(shape)}`, {
      op,
      advice: 'Pass one such as [2, 3]; [] is the shape of one number',
    });
  if (shape.length > MAX_RANK)
    throw new ShapeError(`${shape.length} axes are more than the ${MAX_RANK} a tensor may have`, {
      op,
      shapes: [shape],
    });
  for (const size of shape)
    if (!Number.isSafeInteger(size) || size < 0)
      throw new ArgumentError(`size ${shown(size)} in shape ${format(shape)} is not a whole number >= 0`, {
        op,
        shapes: [shape],
        advice: 'Sizes are whole numbers, 0 or more',
      });
  // Sizes of 0 count as 1 here, because strides are products of sizes too.
  if (shape.reduce((n, size) => n * Math.max(size, 1), 1) > Number.MAX_SAFE_INTEGER)
    throw new ShapeError(`shape ${format(shape)} has more than 2^53 elements`, {
      op,
      shapes: [shape],
      advice: 'No memory is that large: look for a size that is computed wrongly',
    });
  return shape;
}

/**
 * Returns the shape two shapes broadcast to: they are aligned at the last axis, and sizes must be equal or 1.
 * @throws ShapeError naming both shapes and the axis
 */
export function broadcast(a: Shape, b: Shape, op: string): Shape {
  if (sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const x = a[a.length - i] ?? 1;
    const y = b[b.length - i] ?? 1;
    if (x !== y && x !== 1 && y !== 1)
      throw new ShapeError(
        `shapes ${format(a)} and ${format(b)} do not broadcast: sizes ${x} and ${y} meet at axis -${i}`,
        {
          op,
          shapes: [a, b],
          advice: 'Sizes must be equal, or one of them 1',
        },
      );
    out[rank - i] = x === 1 ? y : x;
  }
  return out;
}

/** Returns an axis counted from 0; a negative one counts from the end. A tensor of rank 0 is treated as having one axis, as in PyTorch. */
export function axisOf(axis: number, rank: number, op: string): number {
  const span = Math.max(rank, 1);
  if (!Number.isInteger(axis) || axis < -span || axis >= span)
    throw new ShapeError(`axis ${shown(axis)} is outside a tensor of ${rank} axes`, {
      op,
      advice: `Use ${-span} to ${span - 1}`,
    });
  // -0 becomes 0, because Deno does not take it for an integer.
  return axis < 0 ? axis + span : axis + 0;
}

/** Returns several axes, each once, in ascending order; all axes if none are given. */
export function axesOf(axes: number | readonly number[] | undefined, rank: number, op: string): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (typeof axes === 'number' ? [axes] : [...axes]).map(axis => axisOf(axis, rank, op));
  if (new Set(list).size !== list.length) throw new ShapeError(`axes ${format(list)} name one axis twice`, { op });
  return rank === 0 ? [] : list.sort((x, y) => x - y);
}

/** Replaces one -1 in a shape by the size that keeps the number of elements. */
export function inferShape(shape: Shape, numel: number, op: string, from: Shape): Shape {
  const unknown = shape.indexOf(-1);
  const known = shape.map((size, i) => (i === unknown ? 1 : size));
  checkShape(known, op);
  const rest = numelOf(known);
  if (unknown >= 0 && rest === 0)
    throw new ShapeError(`the -1 in ${format(shape)} may be any size, because another size is 0`, {
      op,
      shapes: [from, shape],
      advice: 'Write every size',
    });
  const inferred = unknown < 0 ? known : known.with(unknown, numel / rest);
  if (numelOf(inferred) !== numel || !Number.isInteger(inferred[unknown] ?? 0))
    throw new ShapeError(`${format(from)} with ${numel} elements cannot become ${format(shape)}`, {
      op,
      shapes: [from, shape],
    });
  return inferred;
}

/** Returns the strides that show the same memory in another shape with as many elements without a copy, or null if there are none. */
export function viewStrides(shape: Shape, strides: Shape, to: Shape): Shape | null {
  if (isContiguous(shape, strides)) return stridesOf(to);
  // The stride of an axis of size 1 is never used, so that it says nothing about the layout. Such axes are left out.
  const axes = shape.map((_, axis) => axis).filter(axis => shape[axis] !== 1);
  const out = new Array<number>(to.length).fill(1);
  let axis = to.length - 1;
  // From the last axis on: old axes that are contiguous among themselves form a block, which is split into new axes.
  while (axes.length > 0) {
    const last = axes.pop()!;
    let [left, step] = [shape[last]!, strides[last]!];
    while (axes.length > 0 && strides[axes.at(-1)!] === step * left) left *= shape[axes.pop()!]!;
    for (; axis >= 0 && (left > 1 || to[axis] === 1); axis--) {
      if (left % to[axis]! !== 0) return null;
      out[axis] = step;
      step *= to[axis]!;
      left /= to[axis]!;
    }
    if (left !== 1) return null;
  }
  return axis < 0 ? out : null;
}

/** Returns the strides that show a tensor in a shape that it broadcasts to: 0 along the axes that are repeated. */
export function broadcastStrides({ shape, strides }: { shape: Shape; strides: Shape }, to: Shape): Shape {
  const lead = to.length - shape.length;
  return to.map((size, i) => (i < lead || shape[i - lead] !== size ? 0 : strides[i - lead]!));
}
