import { describe, expect, test } from 'bun:test';
import { ArgumentError, deviceInfo, setNumThreads } from 'castor';
import { checkEnvironment } from '../runtime/ffi/environment.ts';
import { root } from './process.ts';

/**
 * Values of environment variables, and of calls that change the same settings, are refused, or limited with a warning.
 */

/** The output of a process with these environment variables, from both streams. */
async function started(variables: Record<string, string>): Promise<string> {
  const code = `const { deviceInfo } = await import('castor').catch(error => (console.log(error.name + ': ' + error.message), process.exit()));
    const { threads, isa } = deviceInfo('cpu');
    console.log(threads, isa);`;
  const child = Bun.spawn(
    [process.execPath, '-e', code.replace("'castor'", JSON.stringify(`${root}/runtime/index.ts`))],
    {
      cwd: root,
      env: { ...process.env, CASTOR_NUM_THREADS: '', CASTOR_ISA: '', ...variables },
      stdout: 'pipe',
      stderr: 'pipe',
    },
  );
  const [out, warnings] = [await new Response(child.stdout).text(), await new Response(child.stderr).text()];
  return (out + warnings).trim();
}

describe('CASTOR_NUM_THREADS', () => {
  test.concurrent.each([
    ['3', /^3 \w+$/],
    [' 2 ', /^2 \w+$/],
    ['1024', /^1024 \w+$/],
    ['1025', /^1024 \w+\n.*CastorWarning: CASTOR_NUM_THREADS is '1025': 1024 threads are used/],
    ['1e9', /^1024 \w+\n.*CastorWarning: CASTOR_NUM_THREADS is '1e9'/],
    [
      'abc',
      /^LibraryError: CASTOR_NUM_THREADS is 'abc', which is not a number of threads\. Set it to a whole number from 1 to 1024/,
    ],
    ['2.5', /^LibraryError/],
    ['0', /^LibraryError/],
    ['-1', /^LibraryError/],
    ['4x', /^LibraryError/],
    [' ', /^LibraryError/],
  ])('%p', async (value, expected) => expect(await started({ CASTOR_NUM_THREADS: value })).toMatch(expected));
});

describe('CASTOR_CACHE_SECONDS', () => {
  test.concurrent.each([
    ['0.5', /^\d+ \w+$/],
    ['1e9', /^\d+ \w+$/],
    ['0', /^LibraryError: CASTOR_CACHE_SECONDS is '0', which is not a number of seconds\. Set it to a number above 0/],
    ['-1', /^LibraryError/],
    ['4s', /^LibraryError/],
    [' ', /^LibraryError/],
  ])('%p', async (value, expected) => expect(await started({ CASTOR_CACHE_SECONDS: value })).toMatch(expected));
});

describe('CASTOR_ISA', () => {
  test.concurrent.each([
    ['generic', /^\d+ generic$/],
    [
      'nope',
      /^LibraryError: CASTOR_ISA is 'nope', which is not an instruction set\. Set it to one of generic, avx2, avx512, avx512bf16, amx/,
    ],
    ['AVX2', /^LibraryError/],
  ])('%p', async (value, expected) => expect(await started({ CASTOR_ISA: value })).toMatch(expected));
  test('that the machine does not have is a warning', () => {
    const warnings: string[] = [];
    const warn = (text: string): void => void warnings.push(text);
    checkEnvironment({ CASTOR_ISA: 'avx512' }, () => 'avx2', warn);
    checkEnvironment({ CASTOR_ISA: 'avx2' }, () => 'avx2', warn);
    expect(warnings).toEqual(["CASTOR_ISA is 'avx512', which this machine or library does not have: avx2 is used"]);
  });
});

test('setNumThreads takes whole numbers from 1 to 1024', () => {
  const before = deviceInfo('cpu').threads!;
  for (const wrong of [0, -1, 2.5, 1025, 1e9, NaN, Infinity, '3', null, undefined])
    expect(() => setNumThreads(wrong as number)).toThrow(ArgumentError);
  expect(deviceInfo('cpu').threads).toBe(before);
  for (const count of [1, 1024, before]) {
    setNumThreads(count);
    expect(deviceInfo('cpu').threads).toBe(count);
  }
});
