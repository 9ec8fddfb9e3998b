import { any, anyAs, checked, listOf, optional, options, text } from '../arguments.ts';
import { shown } from '../shown.ts';
import { ArgumentError, CheckpointError } from '../errors.ts';
import { bytesOf as piecesOf, PIECE, putBytes } from '../tensor/bytes.ts';
import { empty } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { device } from '../tensor/specs.ts';
import { assertLive, isTensor, type Tensor } from '../tensor/tensor.ts';
import { writeAtomically } from './atomic.ts';
import { checkedPath, fileError, openToRead, shownPath, type OpenFile } from './files.ts';
import {
  damaged,
  decodeHeader,
  encodeHeader,
  headerLength,
  layOut,
  MAX_HEADER,
  METADATA,
  PREFIX,
  type Entry,
  type FileEntry,
  type Header,
} from './header.ts';

/** Tensors by their names. */
export type NamedTensors = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>;

// ---- saving --------------------------------------------------------------------------------------------------------

/**
 * Writes named tensors of any dtype, shape and layout to one safetensors file, with metadata of your own. An existing
 * file of that name is replaced only when the new one is complete. Of several calls for the same path the last one
 * wins.
 * @throws CheckpointError if the file cannot be written, or if a tensor is written to before the promise is fulfilled
 */
export const saveTensors = checked(
  'saveTensors',
  {
    path: anyAs('the path of a file'),
    tensors: anyAs('an object or a Map of tensors by name'),
    metadata: optional(any),
  },
  doSaveTensors,
);
async function doSaveTensors(
  path: string,
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeTensors('saveTensors', path, tensors, metadata);
}

/** The same, with another name of the function for error messages. */
export async function writeTensors(
  op: string,
  path: string,
  tensors: NamedTensors,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const place = checkedPath(path, op);
  const named = checkedTensors(op, tensors);
  checkMetadata(op, metadata);
  const entries = layOut([...named].map(([name, { dtype, shape }]) => ({ name, dtype, shape })));
  const header = encodeHeader(entries, { ...metadata });
  if (header.length - PREFIX > MAX_HEADER)
    throw new ArgumentError(`names and metadata need ${header.length} bytes, the format allows ${MAX_HEADER}`, {
      op,
      advice: 'Save to several files',
    });
  await writeAtomically(op, place, header.length + (entries.at(-1)?.end ?? 0), chunks(op, named, entries, header));
}

function checkedTensors(op: string, tensors: NamedTensors): Map<string, Tensor> {
  if (typeof tensors !== 'object' || tensors === null || Array.isArray(tensors) || isTensor(tensors))
    throw new ArgumentError(`${shown(tensors)} is not a collection of named tensors`, {
      op,
      advice: 'Pass an object or a Map, such as { weight }',
    });
  const named = new Map<string, Tensor>(tensors instanceof Map ? tensors : Object.entries(tensors));
  for (const [name, t] of named as Map<unknown, unknown>) {
    if (typeof name !== 'string' || name === METADATA || !name.isWellFormed())
      throw new ArgumentError(`a tensor cannot have the name ${shown(name)} in a file`, {
        op,
        advice: `Use any string but ${METADATA}, which the format reserves`,
      });
    if (!isTensor(t))
      throw new ArgumentError(`${shown(name)} is ${shown(t)}, not a tensor`, {
        op,
        advice: 'Leave it out of the collection',
      });
    assertLive(t, op);
  }
  return named;
}

function checkMetadata(op: string, metadata: unknown): void {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata) || metadata instanceof Map)
    throw new ArgumentError(`the metadata is ${shown(metadata)}`, { op, advice: 'Pass an object of strings' });
  for (const [key, text] of Object.entries(metadata))
    if (typeof text !== 'string' || !text.isWellFormed() || !key.isWellFormed())
      throw new ArgumentError(`the metadata ${shown(key)} is ${shown(text)}, not a text that a file can store`, {
        op,
        advice: 'Pass strings, and convert anything else with JSON.stringify()',
      });
}

/** The bytes of a file. They are the bytes that the tensors had at the time of the call, or an error is thrown. */
function chunks(
  op: string,
  tensors: ReadonlyMap<string, Tensor>,
  entries: readonly Entry[],
  header: Uint8Array,
): AsyncGenerator<Uint8Array> {
  const versions = new Map([...tensors].map(([name, t]) => [name, t.version]));
  return (async function* () {
    yield header;
    for (const { name } of entries) yield* piecesOf(tensors.get(name)!);
    for (const [name, version] of versions)
      if (tensors.get(name)!.version !== version)
        throw new CheckpointError(`${shown(name)} was written to while it was saved`, {
          op,
          advice:
            'Wait for the promise before the next step, or save clones. The file that was there before is unchanged',
        });
  })();
}

// ---- loading -------------------------------------------------------------------------------------------------------

/** The result of loadTensors(). */
export interface LoadedTensors {
  /** The tensors by their names. */
  readonly tensors: Map<string, Tensor>;
  /** The metadata that was saved with them. */
  readonly metadata: Readonly<Record<string, string>>;
}
/** The options of loadTensors(). */
export interface LoadOptions {
  /** The device of the tensors. Default: the default device. */
  device?: Device;
  /** The names of the tensors to load. Default: all. */
  names?: Iterable<string>;
}

/**
 * Reads a safetensors file in pieces: no more memory is used than the tensors need, and the event loop is not blocked.
 * The whole header is checked before the first tensor is created.
 * @throws CheckpointError if the file is missing, truncated or not a safetensors file, or has tensors of a dtype that
 * Castor lacks
 */
export const loadTensors = checked(
  'loadTensors',
  {
    path: anyAs('the path of a file'),
    options: options({ device, names: listOf(text, "a list of names, such as ['weight']") }),
  },
  doLoadTensors,
);
async function doLoadTensors(path: string, options: LoadOptions = {}): Promise<LoadedTensors> {
  const { device, names } = options;
  return readTensors('loadTensors', path, () => device, names === undefined ? undefined : new Set(names));
}

/** The same, with another name of the function for error messages, and with a device for each tensor. */
export async function readTensors(
  op: string,
  path: string,
  deviceOf: (name: string) => Device | undefined,
  names?: ReadonlySet<string>,
): Promise<LoadedTensors> {
  const place = checkedPath(path, op);
  const opened = await openToRead(place, op);
  try {
    const source = new Source(op, place, opened);
    const { start, header } = await headerOf(source);
    const entries = wanted(source, header, names);
    return { tensors: await load(source, start, entries, deviceOf), metadata: header.metadata };
  } catch (error) {
    throw fileError(op, place, 'cannot be read', error);
  } finally {
    await opened.file.close();
  }
}

/** A file that is read through a buffer of one piece. */
class Source {
  readonly op: string;
  readonly path: string;
  readonly size: number;
  readonly #file: OpenFile['file'];
  readonly #window: Uint8Array;
  #start = 0;
  #end = 0;

  constructor(op: string, path: string, { file, size }: OpenFile) {
    this.op = op;
    this.path = path;
    this.size = size;
    this.#file = file;
    this.#window = new Uint8Array(new ArrayBuffer(Math.min(PIECE, size)));
  }

  /** Some of the bytes from a position on, at least one. They are valid until the next call. */
  async read(position: number, most: number): Promise<Uint8Array> {
    if (position < this.#start || position >= this.#end) {
      const { bytesRead } = await this.#file.read(this.#window, 0, this.#window.length, position);
      if (bytesRead === 0) throw damaged(this.path, 'became shorter while it was read', this.op);
      this.#start = position;
      this.#end = position + bytesRead;
      // Without this, reads that the system answers at once would follow each other and block the event loop.
      await turn();
    }
    const at = position - this.#start;
    return this.#window.subarray(at, Math.min(at + most, this.#end - this.#start));
  }

  /** All bytes from a position on, in memory of their own. */
  async readAll(position: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const piece = await this.read(position + done, length - done);
      bytes.set(piece, done);
      done += piece.length;
    }
    return bytes;
  }
}

async function headerOf(source: Source): Promise<{ start: number; header: Header }> {
  const { op, path, size } = source;
  const length = headerLength(path, await source.readAll(0, Math.min(PREFIX, size)), size, op);
  const start = PREFIX + length;
  return { start, header: decodeHeader(path, await source.readAll(PREFIX, length), size - start, op) };
}

/**
 * The entries to load. @throws CheckpointError for names that are not in the file, and for tensors that Castor does not
 * support
 */
function wanted({ op, path }: Source, { entries }: Header, names?: ReadonlySet<string>): FileEntry[] {
  const there = new Set(entries.map(({ name }) => name));
  for (const name of names ?? [])
    if (!there.has(name))
      throw new CheckpointError(`${shownPath(path)} has no tensor ${shown(name)}`, {
        op,
        advice: 'Check the names of the tensors in the file',
      });
  const chosen = names === undefined ? [...entries] : entries.filter(({ name }) => names.has(name));
  const lacking = chosen.find(({ lacks }) => lacks !== null);
  if (lacking)
    throw new CheckpointError(`${shownPath(path)} ${lacking.lacks}`, {
      op,
      advice: 'Load the others by their names, loadTensors(path, { names }), or convert it where the file was made',
    });
  return chosen.toSorted((a, b) => a.begin - b.begin);
}

/** Lets everything run that waits for the event loop. */
const turn = (): Promise<void> => new Promise(setImmediate);

/** The number of small tensors that are created between two turns of the event loop. */
const TENSORS_A_TURN = 64;

async function load(
  source: Source,
  start: number,
  entries: readonly FileEntry[],
  deviceOf: (name: string) => Device | undefined,
): Promise<Map<string, Tensor>> {
  const tensors = new Map<string, Tensor>();
  try {
    for (const [i, entry] of entries.entries()) {
      const t = empty(entry.shape, { dtype: entry.dtype, device: deviceOf(entry.name) });
      tensors.set(entry.name, t);
      await fill(t, source, start + entry.begin, entry.name);
      if (i % TENSORS_A_TURN === TENSORS_A_TURN - 1) await turn();
    }
    return tensors;
  } catch (error) {
    for (const t of tensors.values()) t.dispose();
    throw error;
  }
}

function holdsBools(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i]! > 1) return false;
  return true;
}

async function fill(t: Tensor, source: Source, position: number, name: string): Promise<void> {
  const { nbytes, dtype } = t;
  for (let done = 0; done < nbytes;) {
    const piece = await source.read(position + done, nbytes - done);
    if (dtype === 'bool' && !holdsBools(piece))
      throw damaged(source.path, `has a byte in the bool tensor ${shown(name)} that is neither 0 nor 1`, source.op);
    putBytes(t, done, piece);
    done += piece.length;
  }
}
