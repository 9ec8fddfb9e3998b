/** Reads what the header of a shared library of Linux (ELF, 64 bits, little-endian) says of it. */
import { readFileSync } from 'node:fs';

export interface SharedLibrary {
  readonly cpu: 'x64' | 'arm64' | 'other';
  /** The symbols that other programs can see. */
  readonly exported: readonly string[];
  /** The libraries that the loader loads with it. */
  readonly needed: readonly string[];
  /** The versions of symbols that it needs from other libraries, such as GLIBC_2.17. */
  readonly versions: readonly string[];
  /** Whether the loader keeps it until the process ends. */
  readonly neverUnloaded: boolean;
  /** Whether it has neither a symbol table beside the one of the loader nor information for debuggers. */
  readonly stripped: boolean;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  /** The section with the names for this one. */
  readonly link: number;
  readonly entry: number;
}

const [MACHINE_X64, MACHINE_ARM64] = [62, 183];
const SECTION = { symbols: 2, dynamic: 6, dynamicSymbols: 11, neededVersions: 0x6ffffffe } as const;
const TAG = { needed: 1, flags1: 0x6ffffffb } as const;
const NODELETE = 8;
const UNDEFINED = 0;

class Elf {
  readonly #data: DataView;
  readonly bytes: Buffer;
  readonly sections: readonly Section[];

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (bytes.toString('latin1', 0, 4) !== '\x7fELF' || bytes[4] !== 2 || bytes[5] !== 1)
      throw new Error('this is not a library of 64-bit Linux');
    this.sections = this.#sections();
  }

  u8 = (at: number): number => this.#data.getUint8(at);
  u16 = (at: number): number => this.#data.getUint16(at, true);
  u32 = (at: number): number => this.#data.getUint32(at, true);
  u64 = (at: number): number => Number(this.#data.getBigUint64(at, true));
  text = (at: number): string => this.bytes.toString('latin1', at, this.bytes.indexOf(0, at));

  ofType = (type: number): readonly Section[] => this.sections.filter(section => section.type === type);
  /** The name that a number in a section stands for. */
  nameIn = (section: Section, at: number): string => this.text(this.sections[section.link]!.offset + at);

  #sections(): Section[] {
    const [start, size, count] = [this.u64(40), this.u16(58), this.u16(60)];
    const raw = Array.from({ length: count }, (_, i) => start + i * size);
    const names = raw[this.u16(62)];
    const base = names === undefined ? 0 : this.u64(names + 24);
    return raw.map(at => ({
      name: this.text(base + this.u32(at)),
      type: this.u32(at + 4),
      offset: this.u64(at + 24),
      size: this.u64(at + 32),
      link: this.u32(at + 40),
      entry: this.u64(at + 56),
    }));
  }
}

/** Where each entry of a section begins. */
const entries = ({ offset, size, entry }: Section): number[] =>
  Array.from({ length: Math.floor(size / entry) }, (_, i) => offset + i * entry);

const exportedOf = (elf: Elf): string[] =>
  elf.ofType(SECTION.dynamicSymbols).flatMap(section =>
    entries(section)
      .filter(at => elf.u16(at + 6) !== UNDEFINED && elf.u8(at + 4) >> 4 !== 0)
      .map(at => elf.nameIn(section, elf.u32(at))),
  );

function* dynamicOf(elf: Elf): Generator<readonly [tag: number, value: number, section: Section]> {
  for (const section of elf.ofType(SECTION.dynamic))
    for (const at of entries(section)) yield [elf.u64(at), elf.u64(at + 8), section];
}

/** The section is a list of libraries, each with a list of versions; both say where the next one begins. */
function* versionsOf(elf: Elf): Generator<string> {
  for (const section of elf.ofType(SECTION.neededVersions)) {
    for (let at = section.offset, next = 1; next !== 0; at += next) {
      next = elf.u32(at + 12);
      for (let aux = at + elf.u32(at + 8), step = 1; step !== 0; aux += step) {
        step = elf.u32(aux + 12);
        yield elf.nameIn(section, elf.u32(aux + 8));
      }
    }
  }
}

/** @throws Error if the file is not a library of 64-bit Linux */
export function readLibrary(file: string): SharedLibrary {
  const elf = new Elf(readFileSync(file));
  const dynamic = [...dynamicOf(elf)];
  const machine = elf.u16(18);
  return {
    cpu: machine === MACHINE_X64 ? 'x64' : machine === MACHINE_ARM64 ? 'arm64' : 'other',
    exported: exportedOf(elf),
    needed: dynamic.filter(([tag]) => tag === TAG.needed).map(([, at, section]) => elf.nameIn(section, at)),
    versions: [...new Set(versionsOf(elf))],
    neverUnloaded: dynamic.some(([tag, value]) => tag === TAG.flags1 && (value & NODELETE) !== 0),
    stripped: !elf.sections.some(({ type, name }) => type === SECTION.symbols || name.startsWith('.debug')),
  };
}
