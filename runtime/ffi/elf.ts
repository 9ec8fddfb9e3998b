import { closeSync, openSync, readSync, statSync } from 'node:fs';

/** The magic number and the class of a 64-bit little-endian ELF file. */
const [MAGIC, CLASS_64] = [0x464c457f, 2];
const PROGRAMS = { offset: 32, entry: 54, count: 56 };
const SECTIONS = { offset: 40, entry: 58, count: 60 };

/**
 * Throws if a shared library is shorter than its own header says. The loader of the system does not check this: it maps
 * the file and is then killed by a bus error, which no program can catch. Files of other formats are left to the
 * loader.
 */
export function assertWhole(path: string): void {
  const { size } = statSync(path);
  const header = new DataView(new ArrayBuffer(64));
  const file = openSync(path, 'r');
  readSync(file, header, 0, 64, 0);
  closeSync(file);
  if (header.getUint32(0, true) !== MAGIC || header.getUint8(4) !== CLASS_64) return;
  for (const table of [PROGRAMS, SECTIONS]) {
    const start = Number(header.getBigUint64(table.offset, true));
    const end = start + header.getUint16(table.entry, true) * header.getUint16(table.count, true);
    if (end > size) throw new Error(`the file is truncated: ${size} bytes of at least ${end}`);
  }
}
