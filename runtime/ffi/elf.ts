import { closeSync, openSync, readSync, statSync } from 'node:fs';

/** The magic number and the class of a 64-bit little-endian ELF file. */
const [MAGIC, CLASS_64] = [0x464c457f, 2];
const HEADER = 64;
const MACHINE = 18;
const PROGRAMS = { offset: 32, entry: 54, count: 56 };
const SECTIONS = { offset: 40, entry: 58, count: 60 };
/** Fields of a program header, and the types of those that are read here. */
const SEGMENT = { bytes: 56, offset: 8, address: 16, size: 32, load: 1, dynamic: 2 };
/** Tags of the dynamic section, whose entries are pairs of a tag and a value. */
const DYNAMIC = { bytes: 16, needed: 1, strings: 5 };
/** No library of Castor has more bytes than this in its program headers, its dynamic section or a name. */
const [MOST, LONGEST] = [65_536, 256];

const machines: Readonly<Record<number, string>> = { 3: 'ia32', 40: 'arm', 62: 'x64', 183: 'arm64', 243: 'riscv64' };

/** Files of other systems, by their first four bytes. One for several processors of macOS has a magic number of its own. */
const MACH_O_64 = 0xfeedfacf;
const foreign: Readonly<Record<number, string>> = {
  0xbebafeca: 'macOS',
  [MAGIC]: 'Linux',
};
/** The processors of macOS, by their numbers. */
const applesMachines: Readonly<Record<number, string>> = { 0x01000007: 'x64', 0x0100000c: 'arm64' };
const systems: Readonly<Record<string, string>> = { linux: 'Linux', darwin: 'macOS', win32: 'Windows' };

/** The files of a compiled program are in memory. They were whole when it was made, and only parts of node:fs know them. */
const isEmbedded = (path: string): boolean => /^(\/\$bunfs\/|[A-Za-z]:[\\/]~BUN[\\/])/.test(path);

/** Reads parts of a file: up to `length` bytes from an offset on, none from beyond the end of the file. */
type Read = (offset: number, length: number) => DataView;

/** Opens a file for a function that reads parts of it. */
function reading<T>(path: string, use: (read: Read) => T): T {
  const file = openSync(path, 'r');
  try {
    return use((offset, length) => {
      const bytes = new Uint8Array(length);
      const count = Number.isSafeInteger(offset) ? readSync(file, bytes, 0, length, offset) : 0;
      return new DataView(bytes.buffer, 0, count);
    });
  } finally {
    closeSync(file);
  }
}

const isElf64 = (header: DataView): boolean =>
  header.byteLength === HEADER && header.getUint32(0, true) === MAGIC && header.getUint8(4) === CLASS_64;

/**
 * Throws if a shared library is shorter than its own header says. The loader of the system does not check this: it maps
 * the file and is then killed by a bus error, which no program can catch. Files of other formats are left to the
 * loader.
 */
export function assertWhole(path: string): void {
  if (isEmbedded(path)) return;
  const stat = statSync(path);
  // A pipe would be waited for without end.
  if (!stat.isFile()) throw new Error(`it is ${stat.isDirectory() ? 'a folder' : 'no regular file'}`);
  const { size } = stat;
  const header = reading(path, read => read(0, HEADER));
  if (!isElf64(header)) return;
  for (const table of [PROGRAMS, SECTIONS]) {
    const start = Number(header.getBigUint64(table.offset, true));
    const end = start + header.getUint16(table.entry, true) * header.getUint16(table.count, true);
    if (end > size) throw new Error(`the file is truncated: ${size} bytes of at least ${end}`);
  }
}

/**
 * Throws if a shared library is of another system, processor or C library than the platform it is to run on, such as
 * linux-x64-glibc. The loader's own messages for these do not say so, and musl tries to load libraries made for glibc.
 */
export function assertFits(path: string, platform: string): void {
  if (isEmbedded(path)) return;
  const what = reading(path, described);
  const [system = '', machine = '', libc] = platform.split('-');
  const fits =
    (what.system === undefined || what.system === systems[system]) &&
    (what.machine === undefined || what.machine === machine) &&
    (what.libc === undefined || libc === undefined || what.libc === libc);
  if (!fits) {
    const parts = [what.system, what.machine, what.libc].filter(part => part !== undefined);
    throw new Error(`it is a library for ${parts.join(', ')}, and this process is ${platform}`);
  }
}

interface Described {
  readonly system?: string | undefined;
  readonly machine?: string | undefined;
  readonly libc?: string | undefined;
}

/** The system, processor and C library that a library file was made for. */
function described(read: Read): Described {
  const header = read(0, HEADER);
  if (header.byteLength < HEADER) return {};
  if (!isElf64(header)) {
    const magic = header.getUint32(0, true);
    if (magic === MACH_O_64) return { system: 'macOS', machine: applesMachines[header.getUint32(4, true)] };
    return { system: (magic & 0xffff) === 0x5a4d ? 'Windows' : foreign[magic] };
  }
  const machine = header.getUint16(MACHINE, true);
  return { system: 'Linux', machine: machines[machine] ?? `processor ${machine}`, libc: libcOf(needed(header, read)) };
}

/** glibc is needed as libc.so.6, musl as libc.so or libc.musl-x86_64.so.1. */
function libcOf(libraries: readonly string[]): string | undefined {
  if (libraries.includes('libc.so.6')) return 'glibc';
  return libraries.some(name => name === 'libc.so' || name.startsWith('libc.musl-')) ? 'musl' : undefined;
}

/** The libraries that a library needs, by its dynamic section; none if the file makes no sense. */
function needed(header: DataView, read: Read): string[] {
  const count = Math.min(header.getUint16(PROGRAMS.count, true), MOST / SEGMENT.bytes);
  const table = read(Number(header.getBigUint64(PROGRAMS.offset, true)), count * SEGMENT.bytes);
  const segments = chunks(table, SEGMENT.bytes).map(at => ({
    type: table.getUint32(at, true),
    offset: Number(table.getBigUint64(at + SEGMENT.offset, true)),
    address: Number(table.getBigUint64(at + SEGMENT.address, true)),
    size: Number(table.getBigUint64(at + SEGMENT.size, true)),
  }));
  const dynamic = segments.find(({ type }) => type === SEGMENT.dynamic);
  if (!dynamic) return [];
  const entries = read(dynamic.offset, Math.min(dynamic.size, MOST));
  const values = (tag: number): number[] =>
    chunks(entries, DYNAMIC.bytes)
      .filter(at => Number(entries.getBigUint64(at, true)) === tag)
      .map(at => Number(entries.getBigUint64(at + 8, true)));
  const [address = 0] = values(DYNAMIC.strings);
  const holder = segments.find(
    each => each.type === SEGMENT.load && address >= each.address && address < each.address + each.size,
  );
  if (!holder) return [];
  const strings = address - holder.address + holder.offset;
  return values(DYNAMIC.needed).map(at => textOf(read(strings + at, LONGEST)));
}

/** The offsets of the whole entries of a table. */
const chunks = (table: DataView, bytes: number): number[] =>
  Array.from({ length: Math.floor(table.byteLength / bytes) }, (_, i) => i * bytes);

/** A text that ends with a byte of 0. */
function textOf(bytes: DataView): string {
  const all = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = all.indexOf(0);
  return String.fromCharCode(...all.subarray(0, end < 0 ? all.length : end));
}
