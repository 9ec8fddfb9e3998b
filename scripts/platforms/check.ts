/** Says what is wrong with a library that is to be published. */
import { symbols } from '../../runtime/ffi/symbols.ts';
import { readLibrary, type SharedLibrary } from './elf.ts';
import type { Platform } from './table.ts';

/** Whether one version of glibc is newer than another: 2.4 is older than 2.17. */
export function isNewer(version: string, than: string): boolean {
  const [a = 0, b = 0] = version.split('.').map(Number);
  const [c = 0, d = 0] = than.split('.').map(Number);
  return a > c || (a === c && b > d);
}

/** The newest version of glibc that a library needs, or null if it needs none. */
export const newestGlibc = ({ versions }: SharedLibrary): string | null =>
  versions
    .filter(version => /^GLIBC_[\d.]+$/.test(version))
    .map(version => version.slice('GLIBC_'.length))
    .reduce<string | null>((newest, version) => (newest === null || isNewer(version, newest) ? version : newest), null);

function glibcProblems(library: SharedLibrary, { libc, glibc }: Platform): string[] {
  const newest = newestGlibc(library);
  if (libc === 'musl') return newest === null ? [] : [`it needs glibc ${newest}, which musl is not`];
  if (newest === null) return ['it names no version of glibc'];
  return glibc !== undefined && isNewer(newest, glibc) ? [`it needs glibc ${newest}, but ${glibc} is promised`] : [];
}

/** Each thing that is wrong with a library, in words. */
export function problemsOf(library: SharedLibrary, platform: Platform): string[] {
  const foreign = library.exported.filter(name => !name.startsWith('castor_'));
  const missing = Object.keys(symbols).filter(name => !library.exported.includes(name));
  const others = library.needed.filter(name => !platform.needs.includes(name));
  return [
    ...(library.cpu === platform.cpu ? [] : [`it is for ${library.cpu}, not for ${platform.cpu}`]),
    ...(foreign.length > 0 ? [`it exports ${foreign.slice(0, 3).join(', ')}, which do not begin with castor_`] : []),
    ...(missing.length > 0 ? [`it lacks ${missing.slice(0, 3).join(', ')}`] : []),
    ...(others.length > 0 ? [`it needs ${others.join(', ')}`] : []),
    ...(library.neverUnloaded ? [] : ['it can be unloaded while its threads run (NODELETE is missing)']),
    ...(library.stripped ? [] : ['it is not stripped']),
    ...glibcProblems(library, platform),
  ];
}

/** @throws Error if the library in a file is not fit to be published for a platform */
export function checkLibrary(file: string, platform: Platform): SharedLibrary {
  const library = readLibrary(file);
  const problems = problemsOf(library, platform);
  if (problems.length > 0) throw new Error(`${file} is not fit for ${platform.name}: ${problems.join('; ')}`);
  return library;
}
