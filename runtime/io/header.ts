import { CheckpointError } from '../errors.ts';
import { dtypes, type DType } from '../tensor/dtype.ts';
import { MAX_RANK, numelOf, type Shape } from '../tensor/shape.ts';

/**
 * The safetensors layout: the length of the header as 8 little-endian bytes, the header as JSON, then the bytes of all tensors
 * without gaps. https://huggingface.co/docs/safetensors
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

/** One tensor of a file. Offsets in bytes from the end of the header. */
export interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly begin: number;
  readonly end: number;
}
export interface Header {
  readonly entries: readonly Entry[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the bytes of the tensors begin. */
  readonly start: number;
}

const bytesOf = (dtype: DType, shape: Shape): number => numelOf(shape) * dtypes[dtype].bytes;

/** Length and JSON, padded with blanks to a multiple of 8 bytes, so that the tensors lie aligned. */
export function encodeHeader(entries: readonly Entry[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const rows = entries.map(({ name, dtype, shape, begin, end }) => [
    name,
    { dtype: codes[dtype], shape, data_offsets: [begin, end] },
  ]);
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(rows) }));
  const bytes = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8));
  json.copy(bytes, 8);
  return bytes;
}

/** Places tensors one after the other, widest dtype first, so that each is aligned. */
export function layOut(tensors: readonly { name: string; dtype: DType; shape: Shape }[]): Entry[] {
  let end = 0;
  return tensors
    .toSorted((a, b) => dtypes[b.dtype].bytes - dtypes[a.dtype].bytes)
    .map(tensor => ({ ...tensor, begin: end, end: (end += bytesOf(tensor.dtype, tensor.shape)) }));
}

/** Reads and checks the header of a whole file. @throws CheckpointError */
export function decodeHeader(path: string, file: Buffer): Header {
  const fail = (why: string): never => {
    throw new CheckpointError(`${path} ${why}`, {
      op: 'loadTensors',
      advice: 'Nothing was loaded; use another copy of the file',
    });
  };
  const length = file.length < 8 ? Infinity : Number(file.readBigUInt64LE(0));
  if (length > file.length - 8) fail('is truncated, or not a safetensors file');
  const start = 8 + length;
  const { __metadata__: metadata = {}, ...rows } =
    parse(file.toString('utf8', 8, start)) ?? fail('is not a safetensors file');
  const entries = Object.entries(rows).map(
    ([name, row]) => entryOf(name, row) ?? fail(`has a damaged entry '${name}'`),
  );
  let end = 0;
  for (const entry of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin !== end) fail(`has a gap or an overlap before '${entry.name}'`);
    end = entry.end;
  }
  if (start + end > file.length) fail(`is truncated: it has ${file.length} bytes of ${start + end}`);
  if (start + end < file.length) fail(`has ${file.length - start - end} bytes too many`);
  return { entries, metadata: metadata as Record<string, string>, start };
}

function parse(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

function entryOf(name: string, row: unknown): Entry | null {
  const { dtype: code, shape, data_offsets: offsets } = (row ?? {}) as Record<string, unknown>;
  const dtype = byCode.get(code as string);
  if (dtype === undefined || !isCounts(shape) || shape.length > MAX_RANK || !isCounts(offsets)) return null;
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined || end - begin !== bytesOf(dtype, shape)) return null;
  return { name, dtype, shape, begin, end };
}

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every(n => Number.isSafeInteger(n) && n >= 0);
