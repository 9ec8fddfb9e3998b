/** A shared library that is shorter than its header says is refused, whichever of its two tables is cut off. */
import { afterAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assertWhole } from '../runtime/ffi/elf.ts';

const folder = mkdtempSync(join(tmpdir(), 'castor-elf-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'library.so');

interface Table {
  readonly start: number;
  readonly entry: number;
  readonly count: number;
}
const none: Table = { start: 64, entry: 0, count: 0 };
/** An ELF file of a given size, in the layout of the specification. Bytes that do not matter are not 0. */
function write(size: number, programs: Table, sections: Table, magic = 0x464c457f, kind = 2): void {
  const bytes = new Uint8Array(Math.max(size, 64)).fill(0xff);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, magic, true);
  header.setUint8(4, kind);
  header.setBigUint64(32, BigInt(programs.start), true);
  header.setUint16(54, programs.entry, true);
  header.setUint16(56, programs.count, true);
  header.setBigUint64(40, BigInt(sections.start), true);
  header.setUint16(58, sections.entry, true);
  header.setUint16(60, sections.count, true);
  writeFileSync(path, bytes.subarray(0, size));
}
const table: Table = { start: 100, entry: 56, count: 300 };
const END = 100 + 56 * 300;

describe.each(['programs', 'sections'] as const)('the table of %s', which => {
  const tables = (of: Table): [Table, Table] => (which === 'programs' ? [of, none] : [none, of]);
  test('may end where the file ends, or before', () => {
    for (const size of [END, END + 1, 2 * END]) {
      write(size, ...tables(table));
      expect(() => assertWhole(path)).not.toThrow();
    }
  });
  test('may not end behind it', () => {
    for (const size of [END - 1, 100, 64]) {
      write(size, ...tables(table));
      expect(() => assertWhole(path)).toThrow(`the file is truncated: ${size} bytes of at least ${END}`);
    }
  });
  test('may lie beyond 4 GiB', () => {
    write(1000, ...tables({ start: 2 ** 33, entry: 1, count: 1 }));
    expect(() => assertWhole(path)).toThrow(`1000 bytes of at least ${2 ** 33 + 1}`);
  });
});
test('files of another kind are left to the loader', () => {
  for (const [magic, kind] of [
    [0x464c457f, 1],
    [0x464c457e, 2],
    [0x7f454c46, 2],
  ] as const) {
    write(64, table, table, magic, kind);
    expect(() => assertWhole(path)).not.toThrow();
  }
  for (const size of [0, 3, 5]) {
    writeFileSync(path, new Uint8Array(size));
    expect(() => assertWhole(path)).not.toThrow();
  }
});
test('the file is closed again', () => {
  const open = (): number => readdirSync('/proc/self/fd').length;
  write(END, table, none);
  const before = open();
  for (let i = 0; i < 20; i++) assertWhole(path);
  expect(open()).toBe(before);
});
