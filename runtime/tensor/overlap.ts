import { pack } from './read.ts';
import { sameShape } from './shape.ts';
import type { Tensor } from './tensor.ts';

/** The first and the last element of its storage that a tensor with elements shows. */
function extent({ shape, strides, offset }: Tensor): readonly [first: number, last: number] {
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
export function apartFrom(target: Tensor, x: Tensor): Tensor {
  if (x.storage !== target.storage || x.numel === 0 || target.numel === 0) return x;
  const alike = x.offset === target.offset && sameShape(x.shape, target.shape) && sameShape(x.strides, target.strides);
  if (alike) return x;
  const [[a, b], [c, d]] = [extent(x), extent(target)];
  return b < c || d < a ? x : pack(x, x.info);
}
