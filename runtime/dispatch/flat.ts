import { native } from '../ffi/library.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import { sameSizes } from '../tensor/shape.ts';
import { storageOf } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { OpInfo } from './op.ts';

/**
 * Most elementwise calls of a model are on floating tensors of one dtype and shape that fill their memory from its start. For small
 * tensors their cost is that of the call itself, so for them one native call allocates the result and computes it, without views. The
 * functions here return null where anything is unusual, and also where the native call fails: then the general path computes the
 * same or throws the error.
 */

/** Is it a floating tensor whose elements lie in order from the start of its memory? */
const isFlat = ({ info, layout, disposed }: Tensor): boolean => layout.flat && info.category === 'float' && !disposed;

/** Is the result, of the wanted dtype, in the dtype of floating operands? */
const keeps = ({ result }: OpInfo, info: DTypeInfo, wanted: DTypeInfo | null): boolean =>
  (wanted === null || wanted === info) && (result === 'same' || result === 'float');

const resultOf = (handle: number, { layout, info, storage }: Tensor): Tensor | null =>
  handle === 0 ? null : new Tensor(storageOf(handle, layout.numel * info.bytes, storage.device), layout, info, null);

interface Numbers {
  readonly p0: number;
  readonly p1: number;
}

/** Computes an op of one flat operand. `wanted` is the dtype of the result if the caller asks for one. */
export function flatUnary(op: OpInfo, a: Tensor, { p0, p1 }: Numbers, wanted: DTypeInfo | null): Tensor | null {
  const { info } = a;
  if (!isFlat(a) || !keeps(op, info, wanted)) return null;
  return resultOf(native.castor_flat_unary(op.code, info.code, a.layout.numel, a.storage.handle, p0, p1), a);
}

const alike = (a: Tensor, b: Tensor): boolean =>
  a.info === b.info && sameSizes(a.layout, b.layout) && isFlat(b) && a.storage.device === b.storage.device;

/** Computes an op of two flat operands. */
export function flatBinary(
  op: OpInfo,
  a: Tensor,
  b: Tensor,
  { p0, p1 }: Numbers,
  wanted: DTypeInfo | null,
): Tensor | null {
  const { info } = a;
  if (!alike(a, b) || !isFlat(a) || !keeps(op, info, wanted)) return null;
  const { handle } = a.storage;
  return resultOf(
    native.castor_flat_binary(op.code, info.code, a.layout.numel, handle, b.storage.handle, 0, p0, p1),
    a,
  );
}

/** Computes an op of two flat operands into a third tensor. Returns whether it did. */
export function flatBinaryInto(op: OpInfo, a: Tensor, b: Tensor, { p0, p1 }: Numbers, out: Tensor): boolean {
  const { info } = a;
  if (!alike(a, b) || !isFlat(a) || !alike(a, out) || !keeps(op, info, null)) return false;
  const { handle } = out.storage;
  return (
    native.castor_flat_binary(
      op.code,
      info.code,
      a.layout.numel,
      a.storage.handle,
      b.storage.handle,
      handle,
      p0,
      p1,
    ) !== 0
  );
}
