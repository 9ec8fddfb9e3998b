/** What a library must be before it is published for a platform (scripts/platforms.ts): each fault is found and named. */
import { describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { libraryPath } from '../runtime/ffi/library.ts';
import { symbols } from '../runtime/ffi/symbols.ts';
import { checkLibrary, isNewer, newestGlibc, problemsOf } from '../scripts/platforms/check.ts';
import { readLibrary, type SharedLibrary } from '../scripts/platforms/elf.ts';
import { platforms } from '../scripts/platforms/table.ts';

const platform = (name: string) => platforms.find(each => each.name === name)!;
const glibc = platform('linux-x64-glibc');
const musl = platform('linux-x64-musl');

const fit: SharedLibrary = {
  cpu: 'x64',
  exported: Object.keys(symbols),
  needed: ['libm.so.6', 'libc.so.6'],
  versions: ['GLIBC_2.2.5', 'GLIBC_2.17', 'GLIBC_2.4'],
  neverUnloaded: true,
  stripped: true,
};

describe('a library for a platform', () => {
  test('that is fit has no problem', () => {
    expect(problemsOf(fit, glibc)).toEqual([]);
    expect(problemsOf({ ...fit, needed: ['libc.so'], versions: [] }, musl)).toEqual([]);
  });
  test.each<[string, Partial<SharedLibrary>, string]>([
    ['another processor', { cpu: 'arm64' }, 'it is for arm64, not for x64'],
    ['a foreign symbol', { exported: [...fit.exported, '_ZdlPv'] }, 'it exports _ZdlPv'],
    ['a missing function', { exported: fit.exported.slice(1) }, `it lacks ${fit.exported[0]}`],
    ['a library that is not everywhere', { needed: ['libstdc++.so.6'] }, 'it needs libstdc++.so.6'],
    ['a newer glibc', { versions: ['GLIBC_2.17', 'GLIBC_2.34'] }, 'it needs glibc 2.34, but 2.17 is promised'],
    ['no glibc', { versions: [] }, 'it names no version of glibc'],
    ['unloading', { neverUnloaded: false }, 'it can be unloaded'],
    ['symbols for debuggers', { stripped: false }, 'it is not stripped'],
  ])('is refused for %s', (_, change, problem) => {
    const problems = problemsOf({ ...fit, ...change }, glibc);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(problem);
  });
  test('for musl is refused if it needs glibc', () => {
    expect(problemsOf(fit, musl)).toEqual(['it needs libm.so.6, libc.so.6', 'it needs glibc 2.17, which musl is not']);
  });
  test('has every problem named at once', () => {
    expect(problemsOf({ ...fit, stripped: false, neverUnloaded: false, needed: ['libz.so'] }, glibc)).toHaveLength(3);
  });
});

test('versions of glibc are compared number by number', () => {
  expect(isNewer('2.17', '2.4')).toBe(true);
  expect(isNewer('2.4', '2.17')).toBe(false);
  expect(isNewer('2.17', '2.17')).toBe(false);
  expect(isNewer('3.0', '2.40')).toBe(true);
  expect(newestGlibc(fit)).toBe('2.17');
  expect(newestGlibc({ ...fit, versions: ['GLIBC_ABI_DT_RELR', 'GCC_3.0'] })).toBeNull();
});

describe('the header of a library', () => {
  test('of this checkout says what it exports and needs', () => {
    const library = readLibrary(libraryPath);
    expect(library.exported.toSorted()).toEqual(Object.keys(symbols).toSorted());
    expect(library.needed).toContain('libc.so.6');
    expect(library.needed).not.toContain('libstdc++.so.6');
    expect(newestGlibc(library)).toMatch(/^2\.\d+$/);
    expect(library.neverUnloaded).toBe(true);
  });
  test.each([
    ['another format', Buffer.from('MZ not a library of Linux at all')],
    ['32 bits', Buffer.from([...Buffer.from('\x7fELF'), 1, 1, 1, ...new Uint8Array(57)])],
    ['nothing', Buffer.alloc(0)],
  ])('of %s is refused', (_, bytes) => {
    const folder = mkdtempSync(join(tmpdir(), 'castor-elf-'));
    const file = join(folder, 'libcastor.so');
    writeFileSync(file, bytes);
    expect(() => readLibrary(file)).toThrow('not a library of 64-bit Linux');
    rmSync(folder, { recursive: true });
  });
  test('of another processor is told from this one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'castor-elf-'));
    const file = join(folder, 'libcastor.so');
    const bytes = Buffer.from(readFileSync(libraryPath));
    bytes.writeUInt16LE(183, 18);
    writeFileSync(file, bytes);
    expect(readLibrary(file).cpu).toBe('arm64');
    expect(() => checkLibrary(file, glibc)).toThrow(/is not fit for linux-x64-glibc: it is for arm64, not for x64/);
    rmSync(folder, { recursive: true });
  });
});

test('a package is for one kind of machine', () => {
  const names = platforms.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const { name, os, cpu, libc, cuda } of platforms)
    expect(name).toBe([os, cpu, cuda ? 'cuda' : libc].filter(Boolean).join('-'));
});
