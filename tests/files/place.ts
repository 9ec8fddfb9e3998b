import { afterAll, beforeAll } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let folder = '';
/** Gives a test file a folder of its own, which is removed when the tests end. */
export function useFolder(): void {
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'castor-files-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
}
export const place = (name = ''): string => join(folder, name);

/** Writes a safetensors file with any header, valid or not, and the bytes after it. */
export function writeRaw(name: string, header: unknown, body: Uint8Array = new Uint8Array()): string {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const path = place(name);
  writeFileSync(path, Buffer.concat([size, text, body]));
  return path;
}

export interface RawTensor {
  readonly dtype: string;
  readonly shape: number[];
  readonly bytes: Uint8Array;
}
/** Reads a valid file in the simplest way, for comparison. */
export function readRaw(path: string): {
  tensors: Map<string, RawTensor>;
  metadata: Record<string, string>;
  start: number;
} {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata, ...rows } = JSON.parse(file.toString('utf8', 8, start)) as Record<string, any>;
  const tensors = Object.entries(rows).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [begin, end],
      },
    ]): [string, RawTensor] => [
      name,
      { dtype, shape, bytes: new Uint8Array(file.subarray(start + begin, start + end)) },
    ],
  );
  return { tensors: new Map(tensors), metadata: metadata ?? {}, start };
}
