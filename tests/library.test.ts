import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CastorError, tensor, zeros } from 'castor';
import { candidates, libraryPath, native, openLibrary, opNumbers } from '../runtime/ffi/library.ts';
import { symbols } from '../runtime/ffi/symbols.ts';
import type { CType } from '../runtime/ffi/types.ts';

const root = resolve(import.meta.dir, '..');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-library-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What a program sees that uses Castor with another library. */
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

const compiler = ['cc', 'gcc', 'clang', 'c++', 'g++'].find(name => Bun.which(name));
/** A shared library made of a few lines of C. */
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
    expect(output).toStartWith('LibraryError the native library was not found; tried: ');
    expect(output).toContain(`${path} (no such file)`);
    expect(output).toContain('npm run build');
    expect(output).toContain('bun run build');
  });
  test('names every path it tried', () => {
    const paths = ['a.so', 'b.so'].map(name => join(folder, name));
    expect(() => openLibrary(paths)).toThrow(`tried: ${paths[0]} (no such file), ${paths[1]} (no such file)`);
    expect(openLibrary([paths[0]!, libraryPath]).path).toBe(libraryPath);
    expect(candidates()).toContain(libraryPath);
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
    expect(output).toStartWith(`LibraryError ${path} speaks ABI version 999, this package needs 1`);
    expect(output).toContain('npm run build');
  });
  test.skipIf(!compiler)('that is another library altogether', async () => {
    const path = compiled('other', 'int something_else(void) { return 1; }');
    expect((await withLibrary(path)).output).toStartWith(`LibraryError ${path} cannot be loaded: `);
  });
  test.skipIf(!compiler)('that lacks functions', async () => {
    const path = compiled('bare', 'int castor_abi_version(void) { return 1; }');
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
      `int castor_abi_version(void) { return 1; }
      const char *castor_op_names(void) { return ${JSON.stringify(`${lines.join('\n')}\n`)}; }
      ${others.join('\n')}`,
    );
    const { exitCode, output } = await withLibrary(path);
    expect(exitCode).toBe(0);
    expect(output).toStartWith(`LibraryError ${path} lacks the unary op 'erfinv'`);
    expect(output).toContain('npm run build');
  });
});

describe('the header', () => {
  const header = readFileSync(join(root, 'abi/castor.h'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
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
  const typeOf = (declaration: string): CType => {
    const type = /^(.*?)\w+$/.exec(declaration.trim())![1]!.trim();
    if (!(type in ctypes)) throw new Error(`no FFI type for '${type}' in '${declaration}'`);
    return ctypes[type]!;
  };
  const declared = [...header.matchAll(/CASTOR_API\s+([^;(]+?)(\w+)\(([^)]*)\);/g)].map(([, returns, name, args]) => ({
    name: name!,
    returns: ctypes[returns!.trim()],
    args: args!.trim() === 'void' ? [] : args!.split(',').map(typeOf),
  }));

  test('and the symbol table list the same functions in the same order', () => {
    expect(declared.length).toBeGreaterThan(40);
    expect(declared.map(({ name }) => name)).toEqual(Object.keys(symbols));
  });
  test.each(Object.keys(symbols) as (keyof typeof symbols)[])('%s has the same types', name => {
    const { args, returns } = declared.find(each => each.name === name)!;
    expect({ args, returns } as object).toEqual({ ...symbols[name], args: [...symbols[name].args] });
  });
  test('and the TypeScript agree on the version, the rank and the dtype numbers', async () => {
    const { ABI_VERSION } = await import('../runtime/ffi/library.ts');
    const { MAX_RANK } = await import('../runtime/tensor/shape.ts');
    const { dtypes } = await import('../runtime/tensor/dtype.ts');
    const constant = (name: string): number => Number(new RegExp(`${name}\\s*=?\\s*(\\d+)`).exec(header)![1]);
    expect(ABI_VERSION).toBe(constant('CASTOR_ABI_VERSION'));
    expect(native.castor_abi_version()).toBe(ABI_VERSION);
    expect(MAX_RANK).toBe(constant('CASTOR_MAX_RANK'));
    for (const { name, code } of Object.values(dtypes)) expect(code).toBe(constant(`CASTOR_${name.toUpperCase()}`));
  });
});

/** A castor_view (abi/castor.h) written by hand, so that it can be wrong in every way. */
class View {
  readonly buffer = new ArrayBuffer(152 * 4);
  readonly doubles = new Float64Array(this.buffer);
  readonly ints = new Int32Array(this.buffer);
  write(
    slot: number,
    storage: number,
    offset: number,
    dtype: number,
    rank: number,
    sizes: number[],
    strides: number[],
  ): void {
    const word = slot * 19;
    this.doubles[word] = storage;
    this.doubles[word + 1] = offset;
    this.ints[word * 2 + 4] = dtype;
    this.ints[word * 2 + 5] = rank;
    sizes.forEach((size, i) => (this.doubles[word + 3 + i] = size));
    strides.forEach((stride, i) => (this.doubles[word + 11 + i] = stride));
  }
}

describe('the border', () => {
  const wild = [0, -1, NaN, Infinity, -Infinity, 0.5, 1e9, 2 ** 40, 2 ** 52, 2 ** 53, 2 ** 60, 1e300, -(2 ** 31)];

  test('turns every wild handle into a status', () => {
    const host = new Uint8Array(new ArrayBuffer(64));
    using t = zeros([4]);
    const stale = zeros([4]);
    const { handle } = stale.storage;
    stale.dispose();
    for (const name of [...wild, handle]) {
      expect(native.castor_free(name)).not.toBe(0);
      expect(native.castor_write(name, 0, host, 16)).not.toBe(0);
      expect(native.castor_read(name, 0, host, 16)).not.toBe(0);
    }
    expect(native.castor_last_error()).toMatch(/^read: .+/);
    for (const bad of [...wild.filter(x => x !== 0), 13]) {
      expect(native.castor_read(t.storage.handle, bad, host, 16)).not.toBe(0);
      expect(
        native.castor_write(t.storage.handle, 0, host, bad < 17 && bad > 0 && Number.isInteger(bad) ? 17 : bad),
      ).not.toBe(0);
    }
    expect(t.toArraySync()).toEqual([0, 0, 0, 0]);
  });
  test('turns wild addresses, sizes and devices into a status', () => {
    for (const address of wild.filter(x => !(x > 4096 && Number.isInteger(x) && x < 2 ** 53))) {
      expect(native.castor_fill(address, 1)).not.toBe(0);
      expect(native.castor_unary(0, address, address, 0, 0)).not.toBe(0);
      expect(native.castor_multi_unscale(address, 3, address, address)).not.toBe(0);
    }
    for (const bytes of wild.filter(x => x !== 0 && x !== 1e9)) {
      const made = native.castor_alloc(0, bytes);
      expect(made).toBe(0);
      expect(native.castor_last_status()).not.toBe(0);
    }
    for (const device of [-1, 1, 7, 256, 2 ** 31 - 1]) expect(native.castor_alloc(device, 4)).toBe(0);
    for (const device of [-1, 7, 256])
      expect(native.castor_memory(device, new Float64Array(new ArrayBuffer(64)))).not.toBe(0);
    expect(JSON.parse(native.castor_describe(99))).toMatchObject({ available: false });
    expect(native.castor_free_many(new Float64Array(new ArrayBuffer(16)).fill(NaN), 2)).not.toBe(0);
  });
  test('never reaches outside of a storage, whatever a view says', async () => {
    const { ffi } = await import('#ffi');
    using t = tensor([1, 2, 3, 4]);
    using other = tensor([5, 6, 7, 8]);
    const views = new View();
    const address = ffi.address(views.buffer);
    let seed = 1;
    const pick = <T>(list: readonly T[]): T => list[(seed = (seed * 16807) % 2147483647) % list.length]!;
    const numbers = [0, 1, 2, 3, 4, 5, -1, -2, NaN, Infinity, 0.5, 1e15, 2 ** 53, -(2 ** 53), 2 ** 31];
    const write = (slot: number): void => {
      const list = (): number[] => Array.from({ length: 8 }, () => pick(numbers));
      const handle = pick([t.storage.handle, t.storage.handle, t.storage.handle, 0, 17, NaN]);
      views.write(
        slot,
        handle,
        pick(numbers),
        pick([0, 0, 0, 1, 3, 5, -1, 8, 99]),
        pick([0, 1, 1, 2, 3, 8, -1, 9]),
        list(),
        list(),
      );
    };
    let refused = 0;
    const calls: (() => number)[] = [
      () => native.castor_fill(address, 1),
      () => native.castor_copy(address, address + 152),
      () => native.castor_unary(pick([0, 1, 999, -1]), address, address + 152, 0, 0),
      () => native.castor_binary(pick([0, 3, 999, -1]), address, address + 152, address + 304, 0, 0),
      () => native.castor_reduce(pick([0, 1, 5, 99]), address, address + 152, pick([0, 1, 3, -1, 255]), 1),
      () => native.castor_matmul(address, address + 152, pick([0, address + 304]), address + 456, pick([0, 5, -1])),
      () => native.castor_softmax(0, address, address + 152, pick([0, 1, -1, 9])),
      () => native.castor_gather(pick([0, 1, 7]), address, address + 152, address + 304, pick([0, 1, -3, 8])),
      () => native.castor_scatter(pick([0, 1, 2, 3, 7]), address, address + 152, address + 304, pick([0, 1, -3, 8])),
      () => native.castor_sort(address, address + 152, address + 304, pick([0, 2, -1]), 1),
      () => native.castor_scan(pick([0, 1, 9]), address, address + 152, pick([0, -1, 4])),
      () => native.castor_arange(address, 0, 1),
      () => native.castor_random(pick([0, 1, 4, 9]), address, pick(numbers), pick(numbers), 0, 1),
    ];
    for (let round = 0; round < 20_000; round++) {
      for (let slot = 0; slot < 4; slot++) write(slot);
      const status = pick(calls)();
      expect(status).toBeGreaterThanOrEqual(0);
      expect(status).toBeLessThan(8);
      if (status !== 0) refused++;
    }
    expect(refused).toBeGreaterThan(15_000);
    expect(refused).toBeLessThan(20_000);
    expect(other.toArraySync()).toEqual([5, 6, 7, 8]);
    expect(() => zeros([2]).add(zeros([3]))).toThrow(CastorError);
  });
  test('gives each failure its text', () => {
    expect(native.castor_free(12345)).toBe(7);
    expect(native.castor_last_error()).toBe('free: 12345 names no live storage');
    expect(native.castor_set_threads(-5)).toBe(1);
    expect(native.castor_last_error()).toContain('-5');
  });
});
