import { contiguousCopy } from './read.ts';
import { sameShape } from './shape.ts';
import { viewOf, type Tensor } from './tensor.ts';

type Layout = Pick<Tensor, 'shape' | 'strides' | 'offset'>;

/** The first and the last element of its storage that a tensor with elements shows. */
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
 * x, or a copy of it where writing to target, in whatever order, would change elements of x that are yet to be read: where the two
 * share memory, but not element by element.
 */
export function copyIfOverlapping(target: Tensor, x: Tensor): Tensor {
  if (x.storage !== target.storage) return x;
  const alike = x.offset === target.offset && sameShape(x.shape, target.shape) && sameShape(x.strides, target.strides);
  if (alike) return x;
  const [[a, b], [c, d]] = [extent(x), extent(target)];
  return b < c || d < a ? x : contiguousCopy(x, x.info);
}

/** Does it show an element of its memory at several positions, as expand() does? */
export const repeats = ({ shape, strides, numel }: Tensor): boolean =>
  numel > 0 && strides.some((stride, axis) => stride === 0 && shape[axis]! > 1);

/** The same memory with each element once. */
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
