/** What a library must be before it is published for a platform (scripts/platforms.ts): each fault is found and named. */
import { describe, expect, test } from 'bun:test';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { libraryPath } from '../runtime/ffi/library.ts';
import { CUDA_PLATFORM, PLATFORMS } from '../runtime/ffi/platform.ts';
import { symbols } from '../runtime/ffi/symbols.ts';
import { checkLibrary, faultsOf } from '../scripts/platforms/check.ts';
import { platforms, type Platform } from '../scripts/platforms/table.ts';
import { libraryFacts, type LibraryFacts } from '../scripts/release/library.ts';

const platform = (name: string): Platform => platforms.find(each => each.name === name)!;
const glibc = platform('linux-x64-glibc');
const musl = platform('linux-x64-musl');

const fit: LibraryFacts = {
  system: 'Linux',
  bytes: 1,
  machine: 'Advanced Micro Devices X86-64',
  stripped: true,
  glibc: '2.17',
  macos: null,
  signed: true,
  needed: ['libm.so.6', 'libc.so.6'],
  exported: Object.keys(symbols),
  stays: true,
};
const mac = platform('darwin-arm64');
const fitForMac: LibraryFacts = {
  ...{ ...fit, system: 'macOS', machine: 'AArch64', glibc: null, macos: '13.0' },
  needed: ['/usr/lib/libSystem.B.dylib'],
};

describe('a library for a platform', () => {
  test('that is fit has no fault', () => {
    expect(faultsOf(fit, glibc)).toEqual([]);
    expect(faultsOf({ ...fit, glibc: '2.4' }, glibc)).toEqual([]);
    expect(faultsOf({ ...fit, needed: ['libc.so'], glibc: null }, musl)).toEqual([]);
    expect(faultsOf({ ...fit, machine: 'AArch64' }, platform('linux-arm64-glibc'))).toEqual([]);
    expect(faultsOf(fitForMac, mac)).toEqual([]);
  });
  test.each<[string, Partial<LibraryFacts>, string]>([
    ['another processor', { machine: 'AArch64' }, 'it is for AArch64, not for x64'],
    ['a foreign symbol', { exported: [...fit.exported, '_ZdlPv'] }, 'it exports _ZdlPv'],
    ['a missing function', { exported: fit.exported.slice(1) }, `it does not export ${fit.exported[0]}`],
    ['a library that is not everywhere', { needed: ['libstdc++.so.6'] }, 'it needs libstdc++.so.6'],
    ['a newer glibc', { glibc: '2.34' }, 'it needs glibc 2.34, and the limit is 2.17'],
    ['no glibc', { glibc: null }, 'it names no version of glibc'],
    ['unloading', { stays: false }, 'it can be unloaded'],
    ['symbols for debuggers', { stripped: false }, 'it is not stripped'],
  ])('is refused for %s', (_, change, fault) => {
    const faults = faultsOf({ ...fit, ...change }, glibc);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(fault);
  });
  test.each<[string, Partial<LibraryFacts>, string]>([
    ['no signature', { signed: false }, 'it has no signature'],
    ['a newer macOS', { macos: '15.0' }, 'it is for macOS 15.0, and should be for 13.0'],
    ['a library that is not everywhere', { needed: ['/opt/lib/libomp.dylib'] }, 'it needs /opt/lib/libomp.dylib'],
  ])('for macOS is refused for %s', (_, change, fault) => {
    expect(faultsOf({ ...fitForMac, ...change }, mac)).toEqual([expect.stringContaining(fault)]);
  });
  test('of another system is refused', () => {
    expect(faultsOf(fitForMac, glibc)).toContain('it is for macOS');
    expect(faultsOf(fit, mac)).toContain('it is for Linux');
  });
  test('for musl is refused if it needs glibc', () => {
    expect(faultsOf(fit, musl)).toEqual(['it needs glibc 2.17, which linux-x64-musl is without']);
  });
  test('has every fault named at once', () => {
    const faults = faultsOf({ ...fit, stays: false, needed: ['libz.so'], stripped: false }, glibc);
    expect(faults).toHaveLength(3);
  });
});

describe('a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'castor-platforms-'));
  const file = join(folder, 'libcastor.so');
  const remove = (): void => rmSync(file);
  const attempt = (check: () => unknown): string => {
    try {
      check();
      return 'it is fit';
    } catch (error) {
      return (error as Error).message;
    }
  };

  test('that is loaded exports the functions of the C ABI alone, and no C++ library is needed', () => {
    const { exported, needed, stays } = libraryFacts(libraryPath);
    expect(exported).toEqual(expect.arrayContaining(Object.keys(symbols)));
    expect(exported.filter(name => !name.startsWith('castor_'))).toEqual([]);
    expect(needed.filter(name => /^libc\.so/.test(name))).toHaveLength(1);
    expect(needed.filter(name => name.includes('stdc++'))).toEqual([]);
    expect(stays).toBe(true);
  });
  test('is stripped if it has no table of symbols beside the one for the loader', () => {
    copyFileSync(libraryPath, file);
    const message = attempt(() => checkLibrary(file, { ...glibc, glibc: '2.0' }));
    expect(message.includes('it is not stripped')).toBe(readFileSync(file).includes('.symtab\0'));
    remove();
  });
  test('of another processor is told by its header', () => {
    const bytes = Buffer.from(readFileSync(libraryPath));
    bytes.writeUInt16LE(183, 18);
    writeFileSync(file, bytes);
    expect(() => checkLibrary(file, glibc)).toThrow('it is for AArch64, not for x64');
    remove();
  });
  test('that is no library is refused', () => {
    writeFileSync(file, 'not a library');
    expect(() => checkLibrary(file, glibc)).toThrow('readelf');
    remove();
  });
});

test('every platform that is built has a package, and stands in the table once', () => {
  const names = platforms.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  for (const name of names) expect([...Object.keys(PLATFORMS), CUDA_PLATFORM]).toContain(name);
});
