/** What a native library needs and exports, by what readelf prints, and what is wrong with it as part of a package. */
import { statSync } from 'node:fs';

export interface LibraryFacts {
  readonly bytes: number;
  /** The newest version of glibc that a symbol needs, as in 2.17; null for musl and macOS. */
  readonly glibc: string | null;
  /** The libraries that it needs, as in libc.so.6. */
  readonly needed: readonly string[];
  /** The names of the functions that it exports. */
  readonly exported: readonly string[];
  /** Is it never unloaded? Its threads do not end. */
  readonly stays: boolean;
}

export function readelf(path: string, ...what: readonly string[]): string {
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

export function libraryFacts(path: string): LibraryFacts {
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
    bytes: statSync(path).size,
    glibc: versions.toSorted(compareVersions).at(-1) ?? null,
    needed: [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(match => match[1]!),
    exported,
    stays: /NODELETE/.test(dynamic),
  };
}

/** What every Linux has. The C++ library is not among them: it is linked in. */
const system = /^(libc|libm|libdl|librt|libpthread)\.so(\.\d+)?$|^ld-linux-[\w-]+\.so\.\d$|^libc\.musl-\w+\.so\.1$/;

/** Everything that is wrong with a library of a platform package. `newest` is the newest glibc that it may need. */
export function libraryFaults(facts: LibraryFacts, functions: readonly string[], newest: string | null): string[] {
  const others = facts.exported.filter(name => !functions.includes(name));
  const missing = functions.filter(name => !facts.exported.includes(name));
  const foreign = facts.needed.filter(name => !system.test(name));
  return [
    ...(others.length > 0 ? [`it exports ${others.join(', ')}`] : []),
    ...(missing.length > 0 ? [`it does not export ${missing.join(', ')}`] : []),
    ...(foreign.length > 0 ? [`it needs ${foreign.join(', ')}, which not every system has`] : []),
    ...(facts.stays ? [] : ['it can be unloaded, while its threads run']),
    ...(newest !== null && facts.glibc !== null && compareVersions(facts.glibc, newest) > 0
      ? [`it needs glibc ${facts.glibc}, and the limit is ${newest}`]
      : []),
  ];
}
