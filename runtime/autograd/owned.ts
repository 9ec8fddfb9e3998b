import { binaryInto, noScalars } from '../dispatch/elementwise.ts';
import type { Op } from '../dispatch/op.ts';
import { opNumber } from '../ffi/library.ts';
import { isContiguous } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';

/** Made by the run at work, held by nobody else, and nothing but this gradient: it can become .grad, and be written to, without a copy. */
export const ownsMemory = ({ storage, shape, strides, nbytes }: Tensor): boolean =>
  storage.orphan && storage.holds === 1 && storage.bytes === nbytes && isContiguous(shape, strides);

/** Another object on memory that is all its own, and not a view: so that disposing of it gives the memory back. */
export const asOwner = (t: Tensor): Tensor => new Tensor(t.storage, t.shape, t.strides, t.offset, t.info, null);

const add = { name: 'add', kind: 'binary', result: 'same', code: opNumber('binary', 'add') } as Op<'binary'>;
/** Adds a gradient to one that the run owns, or to a part of it: nobody else can see that, so that nobody has to be told. */
export const addInto = (owned: Tensor, grad: Tensor): void => binaryInto(add, [owned, grad], noScalars, owned);
