import { readFile } from 'node:fs/promises';
import { CheckpointError } from '../errors.ts';
import { fromTypedArray } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { dtypes, type AnyTypedArray } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { writeAtomically } from './atomic.ts';
import { decodeHeader, encodeHeader, layOut, type Entry } from './header.ts';

export type NamedTensors = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>;

/**
 * Writes named tensors of any dtype, shape and layout to one safetensors file, with texts of your own beside them. A file of that
 * name is replaced only when the new one is complete. The tensors must not change until the promise is fulfilled.
 */
export async function saveTensors(
  path: string,
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const named = tensors instanceof Map ? tensors : new Map(Object.entries(tensors));
  const entries = layOut([...named].map(([name, { dtype, shape }]) => ({ name, dtype, shape })));
  await writeAtomically(path, chunks(named, entries, metadata));
}

async function* chunks(
  tensors: ReadonlyMap<string, Tensor>,
  entries: readonly Entry[],
  metadata: Readonly<Record<string, string>>,
): AsyncGenerator<Uint8Array> {
  yield encodeHeader(entries, metadata);
  for (const { name, dtype } of entries) {
    const array = await tensors.get(name)!.data();
    yield dtype === 'bfloat16'
      ? upperHalves(array as Float32Array)
      : new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
  }
}

/** bfloat16 is the upper half of the float32 it is read as. */
function upperHalves(array: Float32Array): Uint8Array {
  const words = new Uint32Array(array.buffer, array.byteOffset, array.length);
  return new Uint8Array(Uint16Array.from(words, word => word >>> 16).buffer);
}

export interface LoadedTensors {
  readonly tensors: Map<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Reads a safetensors file. The whole file is checked before the first tensor is made.
 * @throws CheckpointError when it is missing, truncated, or no such file
 */
export async function loadTensors(path: string, options: { device?: Device } = {}): Promise<LoadedTensors> {
  const file = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? `there is no file ${path}` : `${path} cannot be read: ${error.message}`;
    throw new CheckpointError(why, { op: 'loadTensors', advice: 'Look at the path' });
  });
  const { entries, metadata, start } = decodeHeader(path, file);
  const load = ({ name, dtype, shape, begin, end }: Entry): [string, Tensor] => {
    // A copy of its own: typed arrays must be aligned.
    const { buffer } = new Uint8Array(file.subarray(start + begin, start + end));
    return [name, fromTypedArray(arrayOf(dtype, buffer), shape, { ...options, dtype })];
  };
  return { tensors: new Map(entries.map(load)), metadata };
}

function arrayOf(dtype: Entry['dtype'], buffer: ArrayBuffer): AnyTypedArray {
  if (dtype !== 'bfloat16') return new dtypes[dtype].array(buffer);
  return new Float32Array(Uint32Array.from(new Uint16Array(buffer), half => half << 16).buffer);
}
