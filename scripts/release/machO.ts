/** Reads what a library for macOS needs and exports: a Mach-O file of 64 bits. Its names of functions begin with an underscore. */
import { readFileSync } from 'node:fs';

export const MACH_O = 0xfeedfacf;
const HEADER = 32;
const SYMBOL = 16;
/** The symbols that the linker of Zig always exports. They stand for the start of the file, by which files are told apart. */
const OF_THE_LINKER = ['__dso_handle', '_mh_dylib_header'];
/** The load commands that are read here. */
const COMMAND = {
  symbols: 0x2,
  dynamicSymbols: 0xb,
  load: 0xc,
  segment: 0x19,
  signature: 0x1d,
  version: 0x32,
  loadWeak: 0x80000018,
  reexport: 0x8000001f,
  info: 0x80000022,
  exports: 0x80000033,
};
/** Processors by their number, with the names that readelf has for them. */
const machines: Readonly<Record<number, string>> = {
  0x01000007: 'Advanced Micro Devices X86-64',
  0x0100000c: 'AArch64',
};

export interface MachO {
  readonly machine: string;
  /** The oldest macOS that it runs on, as in 13.0. */
  readonly oldest: string | null;
  readonly needed: readonly string[];
  readonly exported: readonly string[];
  /** The functions that it takes from others. */
  readonly imported: readonly string[];
  /** macOS loads no library for arm64 without a signature, which may be one that names nobody. */
  readonly signed: boolean;
  readonly stripped: boolean;
}

interface Command {
  readonly kind: number;
  /** A number of the command, 4 bytes from an offset on. */
  number(offset: number): number;
  text(offset: number): string;
}

function textAt(bytes: DataView, start: number): string {
  let end = start;
  while (bytes.getUint8(end) !== 0) end++;
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

function commandsOf(bytes: DataView): Command[] {
  let at = HEADER;
  return Array.from({ length: bytes.getUint32(16, true) }, () => {
    const start = at;
    at += bytes.getUint32(start + 4, true);
    return {
      kind: bytes.getUint32(start, true),
      number: offset => bytes.getUint32(start + offset, true),
      text: offset => textAt(bytes, start + offset),
    };
  });
}

/** A number of variable length: 7 bits in each byte, the lowest first. Returns it with the offset of what follows. */
function variable(bytes: DataView, start: number): readonly [value: number, next: number] {
  let [value, at] = [0, start];
  for (let factor = 1; ; factor *= 128) {
    const byte = bytes.getUint8(at++);
    value += (byte & 127) * factor;
    if (byte < 128) return [value, at];
  }
}

/** The names in a tree of exported symbols, whose edges are parts of names. A tree of no bytes has none. */
function exportedBelow(bytes: DataView, offset = 0, name = ''): string[] {
  if (bytes.byteLength === 0) return [];
  const [size, content] = variable(bytes, offset);
  const names = size > 0 ? [name] : [];
  let at = content + size;
  const children = bytes.getUint8(at++);
  for (let child = 0; child < children; child++) {
    const edge = textAt(bytes, at);
    const [below, next] = variable(bytes, at + edge.length + 1);
    names.push(...exportedBelow(bytes, below, name + edge));
    at = next;
  }
  return names;
}

/** The exported symbols: a command of their own says where they are, or in older files one for everything that the loader needs. */
function exportedIn(bytes: DataView, commands: readonly Command[]): string[] {
  const own = commands.find(({ kind }) => kind === COMMAND.exports);
  const info = commands.find(({ kind }) => kind === COMMAND.info);
  const [start, size] = own ? [own.number(8), own.number(12)] : info ? [info.number(40), info.number(44)] : [0, 0];
  const tree = new DataView(bytes.buffer, bytes.byteOffset + start, size);
  return exportedBelow(tree)
    .map(withoutUnderscore)
    .filter(name => !OF_THE_LINKER.includes(name));
}
const withoutUnderscore = (name: string): string => name.replace(/^_/, '');

/** The symbols of one kind, of which the table has those within the library first. The offsets are those of the kind's start and count. */
function symbolsIn(bytes: DataView, commands: readonly Command[], start: number, length: number): string[] {
  const table = commands.find(({ kind }) => kind === COMMAND.symbols);
  const parts = commands.find(({ kind }) => kind === COMMAND.dynamicSymbols);
  if (!table || !parts) return [];
  return Array.from({ length: parts.number(length) }, (_, i) => {
    const symbol = table.number(8) + (parts.number(start) + i) * SYMBOL;
    return withoutUnderscore(textAt(bytes, table.number(16) + bytes.getUint32(symbol, true)));
  });
}
const localIn = (bytes: DataView, commands: readonly Command[]): string[] => symbolsIn(bytes, commands, 8, 12);
const importedIn = (bytes: DataView, commands: readonly Command[]): string[] => symbolsIn(bytes, commands, 24, 28);

/** A stripped library has no segments for debuggers, and no symbols but those that the linker makes for calls of other libraries. */
const isStripped = (bytes: DataView, commands: readonly Command[]): boolean =>
  localIn(bytes, commands).every(name => name.endsWith('__thunk')) &&
  !commands.some(each => each.kind === COMMAND.segment && each.text(8) === '__DWARF');

export function readMachO(path: string): MachO {
  const file = readFileSync(path);
  const bytes = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const commands = commandsOf(bytes);
  const version = commands.find(({ kind }) => kind === COMMAND.version)?.number(12);
  const processor = bytes.getUint32(4, true);
  return {
    machine: machines[processor] ?? `processor ${processor}`,
    oldest: version === undefined ? null : `${version >> 16}.${(version >> 8) & 255}`,
    needed: commands
      .filter(({ kind }) => [COMMAND.load, COMMAND.loadWeak, COMMAND.reexport].includes(kind))
      .map(each => each.text(each.number(8))),
    exported: exportedIn(bytes, commands),
    imported: importedIn(bytes, commands),
    signed: commands.some(({ kind }) => kind === COMMAND.signature),
    stripped: isStripped(bytes, commands),
  };
}
