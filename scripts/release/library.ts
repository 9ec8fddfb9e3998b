/** Reads the needs and the exports of a native library, and finds the faults that it has as part of a package. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { MACH_O, readMachO } from './machO.ts';

export interface LibraryFacts {
  readonly system: 'Linux' | 'macOS';
  readonly bytes: number;
  /** The processor, as readelf names it. */
  readonly machine: string;
  /** Is it without symbols for debuggers? */
  readonly stripped: boolean;
  /** The newest version of glibc that a symbol needs, as in 2.17; null for musl and macOS. */
  readonly glibc: string | null;
  /** The oldest macOS that it is for, as in 13.0; null for Linux. */
  readonly macos: string | null;
  /** Does it have what the system demands of a signature? Linux demands none. */
  readonly signed: boolean;
  /** The libraries that it needs, as in libc.so.6. */
  readonly needed: readonly string[];
  /** The names of the functions that it exports. */
  readonly exported: readonly string[];
  /** Is it never unloaded? Its threads do not end. */
  readonly stays: boolean;
}

function readelf(path: string, ...what: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(['readelf', '-W', ...what, path], {
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (exitCode !== 0) throw new Error(`readelf ${path}: ${stderr.toString()}`);
  return stdout.toString();
}

const parts = (version: string): number[] => version.split('.').map(Number);
/** Compares versions such as 2.4 and 2.17. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)];
  const at = left.findIndex((part, i) => part !== (right[i] ?? 0));
  return at < 0 ? left.length - right.length : left[at]! - (right[at] ?? 0);
}

function isMachO(path: string): boolean {
  const [file, magic] = [openSync(path, 'r'), new Uint32Array(1)];
  readSync(file, magic);
  closeSync(file);
  return magic[0] === MACH_O;
}

export const libraryFacts = (path: string): LibraryFacts => (isMachO(path) ? factsOfMachO(path) : factsOfElf(path));

function factsOfElf(path: string): LibraryFacts {
  const dynamic = readelf(path, '-d');
  const versions = [...readelf(path, '-V').matchAll(/Name: GLIBC_([\d.]+)/g)].map(match => match[1]!);
  // A line of a symbol: number, value, size, type, binding, visibility, section, name. UND: it is needed, not defined.
  const exported = readelf(path, '--dyn-syms')
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(words => /^\d+:$/.test(words[0] ?? '') && ['GLOBAL', 'WEAK'].includes(words[4]!) && words[6] !== 'UND')
    .filter(words => words[6] !== 'ABS')
    .map(words => words[7]!.replace(/@.*/, ''));
  return {
    system: 'Linux',
    bytes: statSync(path).size,
    machine: /Machine: *(.*)/.exec(readelf(path, '-h'))?.[1] ?? 'unknown',
    stripped: !/ \.(symtab|debug_\w+) /.test(readelf(path, '-S')),
    glibc: versions.toSorted(compareVersions).at(-1) ?? null,
    macos: null,
    signed: true,
    needed: [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(match => match[1]!),
    exported,
    stays: /NODELETE/.test(dynamic),
  };
}

/** A Mach-O file has no mark against unloading. The library keeps itself with dlopen() (cpu/machine_darwin.cpp), which nothing else in it calls. */
function factsOfMachO(path: string): LibraryFacts {
  const { machine, stripped, oldest, signed, needed, exported, imported } = readMachO(path);
  const stays = imported.includes('dlopen');
  return {
    ...{ system: 'macOS', bytes: statSync(path).size, machine, stripped, glibc: null, macos: oldest },
    ...{ signed, needed, exported, stays },
  };
}

/** The libraries that every Linux and every macOS has. The C++ library is not among them, because it is linked in. */
const system = {
  Linux: /^(libc|libm|libdl|librt|libpthread)\.so(\.\d+)?$|^ld-linux-[\w-]+\.so\.\d$|^libc\.musl-\w+\.so\.1$/,
  macOS: /^\/usr\/lib\/libSystem\.B\.dylib$/,
};

/** Everything that is wrong with a library of a platform package. `newest` is the newest glibc that it may need. */
export function libraryFaults(facts: LibraryFacts, functions: readonly string[], newest: string | null): string[] {
  const others = facts.exported.filter(name => !functions.includes(name));
  const missing = functions.filter(name => !facts.exported.includes(name));
  const foreign = facts.needed.filter(name => !system[facts.system].test(name));
  return [
    ...(others.length > 0 ? [`it exports ${others.join(', ')}`] : []),
    ...(missing.length > 0 ? [`it does not export ${missing.join(', ')}`] : []),
    ...(foreign.length > 0 ? [`it needs ${foreign.join(', ')}, which not every system has`] : []),
    ...(facts.signed ? [] : ['it has no signature']),
    ...(facts.stays ? [] : ['it can be unloaded, while its threads run']),
    ...(newest !== null && facts.glibc !== null && compareVersions(facts.glibc, newest) > 0
      ? [`it needs glibc ${facts.glibc}, and the limit is ${newest}`]
      : []),
  ];
}
