import { CheckpointError } from '../errors.ts';
import { dtypes, type DType } from '../tensor/dtype.ts';
import { MAX_RANK, numelOf, type Shape } from '../tensor/shape.ts';
import { cut, shown } from '../shown.ts';
import { shownPath } from './files.ts';
import { isRecord, parseStrictly } from './json.ts';

/**
 * The safetensors format: the length of the header as 8 little-endian bytes, the header as JSON, then the bytes of all
 * tensors without gaps. See https://huggingface.co/docs/safetensors. These are its names of the dtypes.
 */
const codes: Record<DType, string> = {
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  float64: 'F64',
  int32: 'I32',
  int64: 'I64',
  uint8: 'U8',
  bool: 'BOOL',
};
const byCode = new Map(Object.entries(codes).map(([name, code]) => [code, name as DType]));

/** The key of the header whose value is not a tensor but a collection of texts. */
export const METADATA = '__metadata__';
/** The largest size of the JSON text that the format allows, in bytes. */
export const MAX_HEADER = 100_000_000;
/** The size of the number before the JSON text, in bytes. */
export const PREFIX = 8;

/** One tensor of a file. The offsets are in bytes from the end of the header. */
export interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly begin: number;
  readonly end: number;
}
/** One tensor of a file, which may have a dtype or rank that Castor does not support. Then `lacks` is the reason. */
export interface FileEntry extends Entry {
  readonly lacks: string | null;
}
export interface Header {
  readonly entries: readonly FileEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

const bytesOf = (dtype: DType, shape: Shape): number => numelOf(shape) * dtypes[dtype].bytes;

/** The length and the JSON text, padded with spaces to a multiple of 8 bytes so that the tensors are aligned. */
export function encodeHeader(entries: readonly Entry[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const rows = entries.map(({ name, dtype, shape, begin, end }) => [
    name,
    { dtype: codes[dtype], shape, data_offsets: [begin, end] },
  ]);
  const json = Buffer.from(JSON.stringify({ [METADATA]: metadata, ...Object.fromEntries(rows) }));
  const bytes = Buffer.alloc(PREFIX + Math.ceil(json.length / 8) * 8, ' ');
  bytes.writeBigUInt64LE(BigInt(bytes.length - PREFIX));
  json.copy(bytes, PREFIX);
  return bytes;
}

/** Arranges tensors one after the other, the widest dtypes first, so that each is aligned. */
export function layOut(tensors: readonly { name: string; dtype: DType; shape: Shape }[]): Entry[] {
  let end = 0;
  return tensors
    .toSorted((a, b) => dtypes[b.dtype].bytes - dtypes[a.dtype].bytes)
    .map(tensor => ({ ...tensor, begin: end, end: (end += bytesOf(tensor.dtype, tensor.shape)) }));
}

/** The error for a damaged file, with the reason. */
export const damaged = (path: string, why: string, op: string): CheckpointError =>
  new CheckpointError(`${shownPath(path)} ${why}`, { op, advice: 'Nothing was loaded. Use another copy of the file' });

/** The length of the JSON text, read from the first bytes of a file. @throws CheckpointError */
export function headerLength(path: string, prefix: Uint8Array, size: number, op: string): number {
  if (prefix.length < PREFIX) throw damaged(path, 'is truncated, or not a safetensors file', op);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > size - PREFIX) throw damaged(path, 'is truncated, or not a safetensors file', op);
  if (length > MAX_HEADER) throw damaged(path, `has a header of ${length} bytes, the format allows ${MAX_HEADER}`, op);
  return Number(length);
}

/** Reads and checks the header. `size` is the number of bytes after the header. @throws CheckpointError */
export function decodeHeader(path: string, bytes: Uint8Array, size: number, op: string): Header {
  const fail = (why: string): never => {
    throw damaged(path, why, op);
  };
  const { [METADATA]: metadata, ...rows } = jsonOf(bytes) ?? fail('is not a safetensors file: its header is not JSON');
  const texts = metadata ?? {};
  if (!isRecord(texts)) fail(`has metadata that is not an object`);
  for (const [key, text] of Object.entries(texts))
    if (typeof text !== 'string') fail(`has metadata ${shown(key)} that is not a text`);
  const entries = Object.entries(rows).map(
    ([name, row]) => entryOf(name, row) ?? fail(`has a damaged entry ${shown(name)}`),
  );
  let end = 0;
  for (const entry of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin !== end) fail(`has a gap or an overlap before ${shown(entry.name)}`);
    end = entry.end;
  }
  if (end > size) fail(`is truncated: its tensors have ${size} bytes of ${end}`);
  if (end < size) fail(`has ${size - end} bytes too many`);
  return { entries, metadata: texts as Record<string, string> };
}

function jsonOf(bytes: Uint8Array): Record<string, unknown> | null {
  if (bytes[0] !== '{'.charCodeAt(0)) return null;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value = parseStrictly(text);
    return isRecord(value) ? value : null;
  } catch {
    return null; // It is not UTF-8.
  }
}

function entryOf(name: string, row: unknown): FileEntry | null {
  if (!isRecord(row)) return null;
  const { dtype: code, shape, data_offsets: offsets } = row;
  if (typeof code !== 'string' || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) return null;
  const [begin, end] = offsets as [number, number];
  const dtype = byCode.get(code);
  const lacks = whatIsLacking(name, code, shape);
  if (begin > end || (dtype !== undefined && end - begin !== bytesOf(dtype, shape))) return null;
  return { name, dtype: dtype ?? 'uint8', shape, begin, end, lacks };
}

function whatIsLacking(name: string, code: string, shape: Shape): string | null {
  if (!byCode.has(code)) return `has the tensor ${shown(name)} of dtype ${cut(code)}, which Castor does not have`;
  if (shape.length > MAX_RANK)
    return `has the tensor ${shown(name)} of ${shape.length} axes, Castor has at most ${MAX_RANK}`;
  return null;
}

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every(n => Number.isSafeInteger(n) && n >= 0 && !Object.is(n, -0));
