import { contiguousCopy } from './read.ts';
import { sameShape } from './shape.ts';
import { viewOf, type Tensor } from './tensor.ts';

type Layout = Pick<Tensor, 'shape' | 'strides' | 'offset'>;

/** Returns the first and the last element of its storage that a tensor shows. The tensor must have elements. */
export function extent({ shape, strides, offset }: Layout): readonly [first: number, last: number] {
  let [first, last] = [offset, offset];
  for (const [i, stride] of strides.entries()) {
    const reach = stride * (shape[i]! - 1);
    if (reach < 0) first += reach;
    else last += reach;
  }
  return [first, last];
}

/**
 * Returns x, or a copy of x if writing to target could change elements of x before they are read, because the two share memory in
 * different positions.
 */
export function copyIfOverlapping(target: Tensor, x: Tensor): Tensor {
  if (x.storage !== target.storage) return x;
  const alike = x.offset === target.offset && sameShape(x.shape, target.shape) && sameShape(x.strides, target.strides);
  if (alike) return x;
  const [[a, b], [c, d]] = [extent(x), extent(target)];
  return b < c || d < a ? x : contiguousCopy(x, x.info);
}

/** Does it show an element of its memory at several positions, as a result of expand() does? */
export const repeats = ({ shape, strides, numel }: Tensor): boolean =>
  numel > 0 && strides.some((stride, axis) => stride === 0 && shape[axis]! > 1);

/** Returns a view of the same memory that shows each element once. */
export function once(t: Tensor): Tensor {
  const { shape, strides, offset } = t;
  if (!repeats(t)) return t;
  return viewOf(
    t,
    shape.map((size, axis) => (strides[axis] === 0 ? 1 : size)),
    strides,
    offset,
  );
}
