import { number, optional } from '../arguments.ts';
import { tensor } from '../tensor/specs.ts';
import { define } from './define.ts';
import { nodeOf } from '../autograd/node.ts';
import { copyInto } from '../dispatch/layout.ts';
import { check } from '../dispatch/op.ts';
import { backwardName, noteReads } from '../autograd/tape.ts';
import { OverwriteNode, rebaseHistory } from '../autograd/views.ts';
import { ShapeError } from '../errors.ts';
import { native } from '../ffi/library.ts';
import { fillRandom } from '../tensor/create.ts';
import { checkFits } from '../tensor/holds.ts';
import { copyIfOverlapping, once } from '../tensor/overlap.ts';
import { broadcast, format, sameShape } from '../tensor/shape.ts';
import { writeView, type Tensor } from '../tensor/tensor.ts';
import { checkInPlace, noteInPlace } from './call.ts';

/** Overwrites x with values that do not depend on it, so that the gradient of its earlier values is zero. */
function overwrite(name: string, x: Tensor, write: () => void, repeated = false): Tensor {
  const recorded = checkInPlace(name, x, [x], repeated);
  write();
  noteInPlace({ name }, x, [x]);
  if (recorded) becomes(name, x, null);
  return x;
}

function becomes(name: string, x: Tensor, source: Tensor | null): void {
  rebaseHistory(x, () => {
    x.node = new OverwriteNode(backwardName(name.slice(0, -1)), x, source === null ? null : nodeOf(source));
  });
}

/** Overwrites x with source, which is broadcast and converted. Gradients flow to source. */
export const copy_ = define(
  'copy_',
  { x: tensor, source: { ...tensor, advice: 'Pass a tensor; fill_() takes a number' } },
  (x: Tensor, source: Tensor): Tensor => {
    if (source === x) {
      checkInPlace('copy_', x, [x], true);
      return x;
    }
    if (!sameShape(broadcast(x.shape, source.shape, 'copy_'), x.shape))
      throw new ShapeError(`${format(source.shape)} does not broadcast to ${format(x.shape)}`, {
        op: 'copy_',
        shapes: [x.shape, source.shape],
      });
    const recorded = checkInPlace('copy_', x, [x, source]);
    noteReads([source]);
    const apart = copyIfOverlapping(x, source);
    copyInto(apart, x);
    if (apart !== source) apart.dispose();
    noteInPlace({ name: 'copy_' }, x, [x, source]);
    if (recorded) becomes('copy_', x, source);
    return x;
  },
);

function filled(op: string, x: Tensor, value: number): Tensor {
  checkFits(x.info, value, op);
  const write = (): void => check(native.castor_fill(writeView(0, once(x), op), value), { name: op }, [x]);
  return overwrite(op, x, write, true);
}
/** Overwrites x with one value. @throws DTypeError for a value that its dtype cannot hold */
export const fill_ = define('fill_', { x: tensor, value: number }, (x: Tensor, value: number): Tensor =>
  filled('fill_', x, value),
);
/** Overwrites x with zeros. */
export const zero_ = define('zero_', { x: tensor }, (x: Tensor): Tensor => filled('zero_', x, 0));

/** Overwrites x with numbers uniform in [from, to). */
export const uniform_ = define(
  'uniform_',
  { x: tensor, from: optional(number), to: optional(number) },
  (x: Tensor, from = 0, to = 1): Tensor =>
    overwrite('uniform_', x, () => fillRandom(x, 'uniform', from, to, undefined, 'uniform_')),
);
/** Overwrites x with normally distributed numbers. */
export const normal_ = define(
  'normal_',
  { x: tensor, mean: optional(number), std: optional(number) },
  (x: Tensor, mean = 0, std = 1): Tensor =>
    overwrite('normal_', x, () => fillRandom(x, 'normal', mean, std, undefined, 'normal_')),
);
