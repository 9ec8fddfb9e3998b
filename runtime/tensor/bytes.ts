import { current } from '../context.ts';
import { raise } from '../ffi/check.ts';
import { native } from '../ffi/library.ts';
import { completion } from '../ffi/wake.ts';
import { contiguousCopy } from './read.ts';
import { noteHostRead } from './storage.ts';
import { assertLive, viewOf, type Tensor } from './tensor.ts';

/**
 * The size of a piece in bytes: large enough that the cost of a call does not matter, small enough that copying takes about a
 * millisecond.
 */
export const PIECE = 4 * 2 ** 20;

/**
 * Returns the elements in row-major order as bytes, in the dtype of the tensor, in pieces of at most PIECE bytes that do not block the
 * event loop. A piece is valid until the next one is requested.
 */
export async function* bytesOf(t: Tensor): AsyncGenerator<Uint8Array> {
  noteHostRead(t.storage.device);
  const piece = new Uint8Array(new ArrayBuffer(Math.min(PIECE, t.nbytes)));
  for (const part of partsOf(t)) {
    assertLive(t, 'data');
    const packed = part.isContiguous ? part : contiguousCopy(part, part.info);
    try {
      for (let done = 0; done < part.nbytes; done += PIECE)
        yield await pieceAt(packed, done, piece.subarray(0, Math.min(PIECE, part.nbytes - done)));
    } finally {
      if (packed !== part) packed.dispose();
    }
  }
}

/** Returns a tensor without gaps as it is, any other one in slices of its leading axes that are no larger than a piece. */
function* partsOf(t: Tensor): Generator<Tensor> {
  if (t.isContiguous || t.nbytes <= PIECE) return yield t;
  const [size, ...rest] = t.shape as [number, ...number[]];
  const [stride, ...inner] = t.strides as [number, ...number[]];
  const rows = Math.floor((PIECE * size) / t.nbytes);
  for (let i = 0; i < size; i += Math.max(rows, 1)) {
    const offset = t.offset + i * stride;
    if (rows < 1) yield* partsOf(viewOf(t, rest, inner, offset));
    else yield viewOf(t, [Math.min(rows, size - i), ...rest], t.strides, offset);
  }
}

async function pieceAt(t: Tensor, at: number, piece: Uint8Array): Promise<Uint8Array> {
  assertLive(t, 'data');
  const context = { op: 'data', shapes: [t.shape] };
  const start = t.offset * t.info.bytes + at;
  const id = await completion(own => native.castor_read_start(t.storage.handle, start, piece.byteLength, own), context);
  const status = native.castor_read_finish(id, piece);
  if (status !== 0) raise(status, context);
  return piece;
}

/** Writes bytes into a new row-major tensor, starting at the byte `at`. */
export function putBytes(t: Tensor, at: number, bytes: Uint8Array): void {
  current();
  const status = native.castor_write(t.storage.handle, at, bytes, bytes.byteLength);
  if (status !== 0) raise(status, { op: 'putBytes', shapes: [t.shape] });
}
