import { raise } from '../ffi/check.ts';
import { native } from '../ffi/library.ts';
import { completion } from '../ffi/wake.ts';
import { pack } from './read.ts';
import { noteHostRead } from './storage.ts';
import { assertLive, type Tensor } from './tensor.ts';

/** In bytes: large enough that a call costs nothing, small enough that copying it takes about a millisecond. */
export const PIECE = 4 * 2 ** 20;

/**
 * The elements in row-major order as bytes, in the dtype of the tensor, in pieces of PIECE bytes that do not block the event loop. A
 * piece is valid until the next one is asked for.
 */
export async function* bytesOf(t: Tensor): AsyncGenerator<Uint8Array> {
  assertLive(t, 'data');
  const packed = t.isContiguous ? t : pack(t, t.info);
  noteHostRead(t.storage.device);
  const piece = new Uint8Array(new ArrayBuffer(Math.min(PIECE, t.nbytes)));
  try {
    for (let done = 0; done < t.nbytes; done += PIECE)
      yield await pieceAt(packed, done, piece.subarray(0, Math.min(PIECE, t.nbytes - done)));
  } finally {
    if (packed !== t) packed.dispose();
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

/** Writes bytes into a new row-major tensor, from a byte of it on. */
export function putBytes(t: Tensor, at: number, bytes: Uint8Array): void {
  const status = native.castor_write(t.storage.handle, at, bytes, bytes.byteLength);
  if (status !== 0) raise(status, { op: 'putBytes', shapes: [t.shape] });
}
