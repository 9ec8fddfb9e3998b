import { binaryInto, noScalars, type Scalars } from '../dispatch/elementwise.ts';
import { flatBinaryInto } from '../dispatch/flat.ts';
import { kinds } from '../dispatch/kinds.ts';
import type { OpInfo } from '../dispatch/op.ts';
import { opNumber } from '../ffi/library.ts';
import { Tensor } from '../tensor/tensor.ts';

/** Did the current run allocate this gradient, and does nothing else use its memory? Then it may be written to, or become .grad. */
export const ownsMemory = ({ storage, layout, nbytes }: Tensor): boolean =>
  storage.unreachable && storage.refCount === 1 && storage.bytes === nbytes && layout.contiguous;

/** Returns another tensor object on the memory of t. It is not a view of t, so that disposing of it frees the memory. */
export const asOwner = (t: Tensor): Tensor => new Tensor(t.storage, t.layout, t.info, null);

const add: OpInfo<Scalars> = {
  name: 'add',
  kind: kinds.binary,
  result: 'same',
  bool: 'kept',
  wraps: true,
  code: opNumber('binary', 'add'),
};
/** Adds a gradient in place to one that the run owns, or to a part of it. Nothing else sees that memory, so that nothing is recorded. */
export function addInto(owned: Tensor, grad: Tensor): void {
  if (!flatBinaryInto(add, owned, grad, noScalars, owned)) binaryInto(add, [owned, grad], noScalars, owned);
}
