import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { deviceInfo, getDefaultDevice, ones } from 'castor';
import { ABI_VERSION, libraryPath, native, openLibrary, opNumbers } from '../runtime/ffi/library.ts';
import { currentPlatform } from '../runtime/ffi/platform.ts';
import { symbols } from '../runtime/ffi/symbols.ts';
import type { CType } from '../runtime/ffi/types.ts';
import { declared, header } from './header.ts';

const root = resolve(import.meta.dirname, '..');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-library-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The output of a program that uses Castor with another library. */
async function withLibrary(path: string): Promise<{ exitCode: number; output: string }> {
  const program = join(folder, 'program.ts');
  writeFileSync(
    program,
    `try {
      const { ones } = await import(${JSON.stringify(join(root, 'runtime/index.ts'))});
      console.log('sum', ones([3]).sum().itemSync());
    } catch (error) {
      console.log(error.name, error.message);
    }`,
  );
  const child = Bun.spawn([process.execPath, program], {
    env: { ...process.env, CASTOR_LIBRARY: path },
    cwd: folder,
    stdout: 'pipe',
    stderr: 'inherit',
  });
  const output = await new Response(child.stdout).text();
  return { exitCode: await child.exited, output: output.trim() };
}

/** The names that compilers give to the processors for which Castor has libraries. */
const processors: Readonly<Record<string, RegExp>> = { x64: /^x86_64/, arm64: /^(aarch64|arm64)/ };
/** Whether a compiler makes libraries for the processor of this process, which may be an emulated one. */
function suits(compiler: string): boolean {
  if (Bun.which(compiler) === null) return false;
  const target = Bun.spawnSync([compiler, '-dumpmachine']).stdout.toString();
  return processors[process.arch]?.test(target) ?? false;
}
const compiler = ['cc', 'gcc', 'clang', 'c++', 'g++'].find(suits);
if (!compiler) console.log(`Tests that compile a library are skipped: no compiler here makes one for ${process.arch}`);
/** A shared library compiled from a few lines of C. */
function compiled(name: string, code: string): string {
  const [source, library] = [join(folder, `${name}.c`), join(folder, `${name}.so`)];
  writeFileSync(source, code);
  const { exitCode, stderr } = Bun.spawnSync([compiler!, '-shared', '-fPIC', '-xc', '-o', library, source]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  return library;
}

describe('the library', () => {
  test('is found where CASTOR_LIBRARY says', async () => {
    expect(await withLibrary(libraryPath)).toEqual({ exitCode: 0, output: 'sum 3' });
  });
  test('that is missing: names the path and the command that builds it', async () => {
    const path = join(folder, 'missing.so');
    const { exitCode, output } = await withLibrary(path);
    expect(exitCode).toBe(0);
    expect(output).toStartWith(`LibraryError the native library for ${currentPlatform()} was not found; tried: `);
    expect(output).toContain(`${path} (no such file, from CASTOR_LIBRARY)`);
    expect(output).toContain('.env');
    expect(output).toContain('npm run build');
    expect(output).toContain('bun run build');
  });
  test('names every path it tried', () => {
    const paths = ['a.so', 'b.so'].map(name => join(folder, name));
    const places = paths.map((path, i) => ({ from: `place ${i}`, path, remedy: 'None' }));
    expect(() => openLibrary(places)).toThrow(
      `tried: ${paths[0]} (no such file, from place 0), ${paths[1]} (no such file, from place 1)`,
    );
    expect(openLibrary([places[0]!, { ...places[1]!, path: libraryPath }]).path).toBe(libraryPath);
  });
  test.each([
    ['empty', 0],
    ['truncated', 4096],
    ['cut in half', 0.5],
  ])('that is %s', async (name, size) => {
    const path = join(folder, `${name}.so`);
    const whole = readFileSync(libraryPath);
    writeFileSync(path, whole);
    truncateSync(path, size < 1 ? Math.floor(size * whole.length) : size);
    const { exitCode, output } = await withLibrary(path);
    expect(exitCode).toBe(0);
    expect(output).toStartWith(`LibraryError ${path} cannot be loaded: `);
    expect(output).toContain('npm run build');
  });
  test('that is text', async () => {
    const path = join(folder, 'text.so');
    writeFileSync(path, 'no library at all\n'.repeat(1000));
    expect((await withLibrary(path)).output).toStartWith(`LibraryError ${path} cannot be loaded: `);
  });
  test.skipIf(!compiler)('of another ABI version', async () => {
    const path = compiled('version', 'int castor_abi_version(void) { return 999; }');
    const { exitCode, output } = await withLibrary(path);
    expect(exitCode).toBe(0);
    expect(output).toStartWith(`LibraryError ${path} speaks ABI version 999, this package needs ${ABI_VERSION}`);
    expect(output).toContain('npm run build');
  });
  test.skipIf(!compiler)('that is another library altogether', async () => {
    const path = compiled('other', 'int something_else(void) { return 1; }');
    expect((await withLibrary(path)).output).toStartWith(`LibraryError ${path} cannot be loaded: `);
  });
  test.skipIf(!compiler)('that lacks functions', async () => {
    const path = compiled('bare', `int castor_abi_version(void) { return ${ABI_VERSION}; }`);
    expect((await withLibrary(path)).output).toStartWith(`LibraryError ${path} cannot be loaded: `);
  });
  test.skipIf(!compiler)('that lacks an op names it', async () => {
    const lines = [...opNumbers].map(([kind, names]) =>
      [kind, ...[...names.keys()].filter(name => name !== 'erfinv')].join(' '),
    );
    const others = Object.keys(symbols)
      .filter(name => name !== 'castor_abi_version' && name !== 'castor_op_names')
      .map(name => `double ${name}(void) { return 0; }`);
    const path = compiled(
      'ops',
      `int castor_abi_version(void) { return ${ABI_VERSION}; }
      const char *castor_op_names(void) { return ${JSON.stringify(`${lines.join('\n')}\n`)}; }
      ${others.join('\n')}`,
    );
    const { exitCode, output } = await withLibrary(path);
    expect(exitCode).toBe(0);
    expect(output).toStartWith(`LibraryError ${path} lacks the unary op 'erfinv'`);
    expect(output).toContain('npm run build');
    expect(output).toContain('A new op needs a line in kernels/unary.inc');
  });
});

describe('the cuda device', () => {
  /** GPU code is in a section of its own. */
  const hasBackend = readFileSync(libraryPath).includes('.nv_fatbin');
  const { available, reason } = deviceInfo('cuda');
  test.skipIf(available)('that is not available says why, and what to do', () => {
    expect(reason).toMatch(hasBackend ? /driver|GPU/ : /no CUDA backend/);
    expect(getDefaultDevice()).toBe('cpu');
    expect(() => ones([2], { device: 'cuda' })).toThrow(`device 'cuda' is not available: ${reason}`);
    expect(ones([2]).sum().itemSync()).toBe(2);
  });
  test.skipIf(!available)('that is available computes', () => {
    using twos = ones([1000], { device: 'cuda' }).mul(2);
    expect(twos.device).toBe('cuda:0');
    expect(twos.sum().itemSync()).toBe(2000);
  });
});

describe('the header', () => {
  const ctypes: Record<string, CType> = {
    int32_t: 'i32',
    double: 'f64',
    castor_handle: 'f64',
    castor_address: 'f64',
    'const char *': 'cstring',
    'const double *': 'buffer',
    'double *': 'buffer',
    'const int32_t *': 'buffer',
    'void *': 'buffer',
    'const void *': 'buffer',
  };

  test('and the symbol table list the same functions in the same order', () => {
    expect(declared.length).toBeGreaterThan(40);
    expect(declared.map(({ name }) => name)).toEqual(Object.keys(symbols));
  });
  test.each(Object.keys(symbols) as (keyof typeof symbols)[])('%s has the same types', name => {
    const { args, returns } = declared.find(each => each.name === name)!;
    expect(args.map(({ type }) => ctypes[type]) as unknown[]).toEqual([...symbols[name].args]);
    expect(ctypes[returns] as string).toBe(symbols[name].returns);
  });
  test('and the TypeScript agree on the version, the rank and the dtype numbers', async () => {
    const { MAX_RANK } = await import('../runtime/tensor/shape.ts');
    const { dtypes } = await import('../runtime/tensor/dtype.ts');
    const constant = (name: string): number => Number(new RegExp(`${name}\\s*=?\\s*(\\d+)`).exec(header)![1]);
    expect(ABI_VERSION).toBe(constant('CASTOR_ABI_VERSION'));
    expect(native.castor_abi_version()).toBe(ABI_VERSION);
    expect(MAX_RANK).toBe(constant('CASTOR_MAX_RANK'));
    for (const { name, code } of Object.values(dtypes)) expect(code).toBe(constant(`CASTOR_${name.toUpperCase()}`));
  });
});
