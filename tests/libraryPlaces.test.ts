/** Where the native library is looked for, and libraries that were made for another system, processor or C library. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deviceInfo, LibraryError } from 'castor';
import { assertFits, assertWhole } from '../runtime/ffi/elf.ts';
import { built, checkout, installed } from '../runtime/ffi/installed.ts';
import { libraryPath, openLibrary } from '../runtime/ffi/library.ts';
import { candidates, remedy } from '../runtime/ffi/locate.ts';
import { currentPlatform, packageOf, PLATFORMS } from '../runtime/ffi/platform.ts';
import { VERSION } from '../runtime/ffi/version.ts';
import { platforms } from '../scripts/platforms/table.ts';
import { root } from './process.ts';

let folder: string;
beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'castor-places-')));
});
afterAll(() => rmSync(folder, { recursive: true }));

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
function messageOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof LibraryError) return error.message;
    throw error;
  }
  return 'no error';
}

describe('the version', () => {
  test('of the sources is that of the package', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    expect(VERSION).toBe(version);
  });
});

describe('the platform', () => {
  test('of this process is named by system, processor and C library', () => {
    const libc = readFileSync('/proc/self/maps', 'latin1').includes('ld-musl-') ? 'musl' : 'glibc';
    expect(currentPlatform()).toBe(`linux-${process.arch}-${libc}`);
  });
  test.skipIf('deno' in process.versions)('is asked of Deno, where reading /proc may be forbidden', () => {
    const names = globalThis as { Deno?: unknown };
    const before = names.Deno;
    try {
      for (const [target, libc] of [
        ['x86_64-unknown-linux-gnu', 'glibc'],
        ['x86_64-unknown-linux-musl', 'musl'],
      ]) {
        names.Deno = { build: { target } };
        expect(currentPlatform()).toBe(`linux-${process.arch}-${libc}`);
      }
    } finally {
      if (before === undefined) delete names.Deno;
      else names.Deno = before;
    }
  });
  test('has a library that is compiled, and no other is', () => {
    expect(platforms.map(({ name }) => name)).toEqual([...Object.keys(PLATFORMS), 'linux-x64-cuda13']);
  });
  test('has its package named literally where bundlers look for it, and nothing else is named there', () => {
    const names = [...read('runtime/ffi/installed.ts').matchAll(/require\('(@[^']+)'\)/g)].map(([, name]) => name!);
    expect(names.toSorted()).toEqual([...Object.keys(PLATFORMS), 'linux-x64-cuda13'].map(packageOf).toSorted());
  });
});

describe('the places', () => {
  test('are the build of the checkout and then the package of the platform', () => {
    const library = join(root, 'build/libcastor.so');
    expect([checkout(), built()]).toEqual([root, library]);
    expect(candidates({}).map(({ from, path }) => [from, path])).toEqual([
      ['the build of this checkout', library],
      [`the package ${packageOf(currentPlatform())}`, null],
    ]);
    expect(candidates({ CASTOR_LIBRARY: '' })).toEqual(candidates({}));
  });
  test('are the one file that CASTOR_LIBRARY names, from the current folder on', () => {
    const pathsOf = (path: string): unknown => candidates({ CASTOR_LIBRARY: path }).map(each => each.path);
    expect(pathsOf('some.so')).toEqual([join(process.cwd(), 'some.so')]);
    expect(pathsOf('/some.so')).toEqual(['/some.so']);
  });
  test('of packages that are not installed are none, for platforms without a package too', () => {
    for (const platform of [...Object.keys(PLATFORMS), 'linux-x64-cuda13', 'win32-x64'])
      expect(installed(platform)).toBeNull();
  });
  test('that have a library of another version of Castor are refused', () => {
    const place = { from: 'the package @castor/x', path: libraryPath, version: '9.9.9', remedy: 'Do this' };
    expect(messageOf(() => openLibrary([place]))).toBe(
      `the package @castor/x is version 9.9.9, and castor is version ${VERSION}. Do this`,
    );
    expect(openLibrary([{ ...place, version: VERSION }]).path).toBe(libraryPath);
  });
  test('without a library are an error that says what to do in a checkout, elsewhere and on other platforms', () => {
    const place = { from: 'the package @castor/x', path: null, remedy: 'Not this' };
    expect(messageOf(() => openLibrary([place]))).toBe(
      `the native library for ${currentPlatform()} was not found; tried: the package @castor/x (not installed). ${remedy()}`,
    );
    expect(remedy()).toContain('npm run build');
  });
});

/** Runs a copy of some sources from another folder, where it is not a checkout. */
async function elsewhere(code: string): Promise<string> {
  const copy = join(folder, 'dist/ffi');
  mkdirSync(copy, { recursive: true });
  for (const name of ['installed', 'locate', 'platform', 'version'])
    copyFileSync(join(root, `runtime/ffi/${name}.ts`), join(copy, `${name}.ts`));
  writeFileSync(join(copy, 'main.ts'), code);
  // What lies in a folder beside the program by chance is not taken.
  mkdirSync(join(folder, 'build'), { recursive: true });
  copyFileSync(libraryPath, join(folder, 'build/libcastor.so'));
  const child = Bun.spawn([process.execPath, join(copy, 'main.ts')], {
    cwd: folder,
    stdout: 'pipe',
    stderr: 'inherit',
  });
  return (await new Response(child.stdout).text()).trim();
}

describe('outside of a checkout', () => {
  test('only packages are looked for, and the advice names them in the right version', async () => {
    const lines = await elsewhere(`
      import { checkout } from './installed.ts';
      import { candidates, remedy } from './locate.ts';
      console.log(checkout());
      for (const { from, path } of candidates({})) console.log(from, path);
      console.log(remedy('linux-x64-musl'));
      console.log(remedy('win32-x64'));
      Object.defineProperties(process, { platform: { value: 'darwin' }, arch: { value: 'arm64' } });
      for (const { from, remedy } of candidates({})) console.log(from + ': ' + remedy);`);
    const [place, found, musl, windows, mac] = lines.split('\n');
    expect([place, found]).toEqual(['null', `the package ${packageOf(currentPlatform())} null`]);
    expect(musl).toStartWith(`Add its package: bun add @castor/linux-x64-musl@${VERSION} (or npm install, pnpm add)`);
    expect(musl).toContain('--omit=optional');
    expect(mac).toStartWith(
      `the package @castor/darwin-arm64: Install it again: bun add @castor/darwin-arm64@${VERSION}`,
    );
    expect(windows).toStartWith('There is no package for win32-x64, only for linux-x64-glibc, linux-x64-musl');
  });
});

describe('a library', () => {
  const whole = readFileSync(libraryPath);
  /** The library of this machine with some bytes changed. */
  function changed(name: string, change: (bytes: Buffer) => void): string {
    const bytes = Buffer.from(whole);
    change(bytes);
    const path = join(folder, `${name}.so`);
    writeFileSync(path, bytes);
    return path;
  }
  const reasonOf = (path: string, platform = currentPlatform()): string => {
    try {
      assertFits(path, platform);
    } catch (error) {
      return (error as Error).message;
    }
    return 'fits';
  };
  const own = ['Linux', process.arch, deviceInfo('cpu') && currentPlatform().split('-')[2]].join(', ');

  test('of this machine fits here, and nowhere else', () => {
    expect(reasonOf(libraryPath)).toBe('fits');
    for (const other of ['linux-riscv64-glibc', 'darwin-arm64', 'win32-x64'])
      expect(reasonOf(libraryPath, other)).toBe(`it is a library for ${own}, and this process is ${other}`);
  });
  const machines = [
    [183, 'arm64'],
    [40, 'arm'],
    [3, 'ia32'],
    [9999, 'processor 9999'],
  ] as const;
  test.each(machines.filter(([, name]) => name !== process.arch))('of machine %d is refused', (machine, name) => {
    const path = changed(`machine${machine}`, bytes => bytes.writeUInt16LE(machine, 18));
    expect(reasonOf(path)).toContain(`it is a library for Linux, ${name}, `);
  });
  // One for glibc is changed to look like one for musl.
  test.if(currentPlatform().endsWith('-glibc'))('of another C library is refused', () => {
    const at = whole.indexOf('libc.so.6\0');
    expect(at).toBeGreaterThan(0);
    const path = changed('musl', bytes => bytes.write('libc.so\0\0\0', at, 'latin1'));
    expect(reasonOf(path, 'linux-x64-glibc')).toBe(
      `it is a library for Linux, ${process.arch}, musl, and this process is linux-x64-glibc`,
    );
    expect(reasonOf(path, `linux-${process.arch}-musl`)).toBe('fits');
    expect(reasonOf(libraryPath, `linux-${process.arch}-musl`)).toContain('glibc, and this process is');
    const message = messageOf(() => openLibrary([{ from: 'a test', path, remedy: 'Do this' }]));
    expect(message).toBe(
      `${path} cannot be loaded: it is a library for Linux, ${process.arch}, musl, and this process is ${currentPlatform()}. Do this`,
    );
  });
  test.each([
    ['macOS, arm64', [0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0x00, 0x00, 0x01]],
    ['macOS, x64', [0xcf, 0xfa, 0xed, 0xfe, 0x07, 0x00, 0x00, 0x01]],
    ['macOS', [0xcf, 0xfa, 0xed, 0xfe]],
    ['macOS', [0xca, 0xfe, 0xba, 0xbe]],
    ['Windows', [0x4d, 0x5a, 0x90, 0x00]],
  ])('of %s is refused', (system, magic) => {
    const path = join(folder, 'foreign.so');
    writeFileSync(path, new Uint8Array([...magic, ...Array<number>(100).fill(0)]));
    expect(reasonOf(path)).toBe(`it is a library for ${system}, and this process is ${currentPlatform()}`);
  });
  test('of macOS fits a Mac with its processor only', () => {
    const path = join(folder, 'mac.so');
    writeFileSync(path, new Uint8Array([0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1, ...Array<number>(100).fill(0)]));
    expect(reasonOf(path, 'darwin-arm64')).toBe('fits');
    expect(reasonOf(path, 'darwin-x64')).toBe('it is a library for macOS, arm64, and this process is darwin-x64');
  });
  test('that is a folder or a pipe is refused without reading it', () => {
    const pipe = join(folder, 'pipe');
    expect(Bun.spawnSync(['mkfifo', pipe]).exitCode).toBe(0);
    expect(() => assertWhole(pipe)).toThrow('it is no regular file');
    expect(messageOf(() => openLibrary([{ from: 'a test', path: folder, remedy: 'Do this' }]))).toBe(
      `${folder} cannot be loaded: it is a folder. Do this`,
    );
  });
  test('whose tables make no sense is left to the loader', () => {
    const segments = Number(whole.readBigUInt64LE(32));
    const noise = (seed: number) => (bytes: Buffer) => {
      for (let i = 0; i < 56 * whole.readUInt16LE(56); i++)
        bytes[segments + i] = (bytes[segments + i]! * seed + i * seed) & 0xff;
    };
    for (let seed = 1; seed < 40; seed++)
      expect(() => assertFits(changed('noise', noise(seed)), currentPlatform())).not.toThrow(RangeError);
    const far = changed('far', bytes => bytes.writeBigUInt64LE(2n ** 62n, 32));
    expect(() => assertFits(far, currentPlatform())).not.toThrow(RangeError);
  });
  test('of a compiled program is not read: its file is in memory', () => {
    for (const path of ['/$bunfs/library-abc.so', 'B:/~BUN/library-abc.so', 'B:\\~BUN\\library-abc.dll']) {
      expect(() => assertWhole(path)).not.toThrow();
      expect(() => assertFits(path, currentPlatform())).not.toThrow();
    }
  });
});
