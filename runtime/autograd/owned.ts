import { isContiguous } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';

/** Made by the run at work, held by nobody else, and nothing but this gradient: it can become .grad, and be written to, without a copy. */
export const ownsMemory = ({ storage, shape, strides, nbytes }: Tensor): boolean =>
  storage.orphan && storage.holds === 1 && storage.bytes === nbytes && isContiguous(shape, strides);

/** Another object on memory that is all its own, and not a view: so that disposing of it gives the memory back. */
export const asOwner = (t: Tensor): Tensor => new Tensor(t.storage, t.shape, t.strides, t.offset, t.info, null);
