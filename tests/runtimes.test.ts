/** What Deno and Node say when Castor cannot be loaded, and the programs of docs/runtimes.md. */
import { afterAll, describe, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reasonFor } from './runtimes/leftOut.ts';
import { finished, root } from './process.ts';

const runtime = 'bun' in process.versions ? 'bun' : 'deno' in process.versions ? 'deno' : 'node';
const folder = mkdtempSync(join(tmpdir(), 'castor-runtimes-'));
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
afterAll(() => rmSync(folder, { recursive: true }));

const index = JSON.stringify(join(root, 'runtime/index.ts'));
const program = join(folder, 'program.ts');
writeFileSync(
  program,
  `import(${index}).then(
    async c => console.log(await c.ones([3]).sum().item()),
    error => console.log(error.name, error.message),
  );`,
);
/** Returns a program for Node that ends while V8 compiles functions which call the library many times. */
const endsWhileCompiling = (inWorker: boolean): string => `
  import { isMainThread, Worker } from 'node:worker_threads';
  import { native } from ${JSON.stringify(join(root, 'runtime/ffi/library.ts'))};
  function compile() {
    const calls = 'native.castor_last_status();'.repeat(300);
    const hot = Array.from({ length: 8 }, () => new Function('native', calls));
    const prepare = new Function('f', '%PrepareFunctionForOptimization(f)');
    const optimize = new Function('f', '%OptimizeFunctionOnNextCall(f, "concurrent")');
    for (const f of hot) { prepare(f); f(native); f(native); optimize(f); }
    for (const f of hot) f(native);
    console.log('done');
  }
  if (${inWorker} && isMainThread) new Worker(new URL(import.meta.url));
  else compile();
`;
/** Returns the text that a runtime prints when it is started with these arguments. */
const printedWith = (...args: string[]): string =>
  spawnSync(process.execPath, [...args, program], {
    encoding: 'utf8',
    env: { ...process.env, NO_COLOR: '1' },
  }).stdout.trim();

describe.if(runtime === 'deno')('Deno', () => {
  const run = (...args: string[]): string => printedWith('run', '--no-prompt', '--no-check', ...args);

  test('runs Castor with three permissions, also where they are as narrow as can be', () => {
    expect(run('--allow-ffi', '--allow-read', '--allow-env')).toBe('3');
    const variables = '--allow-env=CASTOR_LIBRARY,CASTOR_NUM_THREADS,CASTOR_ISA,CASTOR_CACHE_SECONDS';
    expect(run('--allow-ffi', `--allow-read=${root}`, variables)).toBe('3');
  });
  test.each([
    [['--allow-read', '--allow-env'], '--allow-ffi is missing'],
    [['--allow-ffi', '--allow-read'], '--allow-env is missing'],
    [['--allow-ffi=/nowhere', '--allow-read', '--allow-env'], '--allow-ffi is missing'],
    [['--allow-env'], '--allow-ffi --allow-read is missing'],
  ])('with %j alone says what to pass', (args, missing) => {
    expect(run(...args)).toBe(
      `LibraryError Deno does not permit Castor to load its native library: ${missing}. ` +
        'Run: deno run --allow-ffi --allow-read --allow-env program.ts',
    );
  });
});

describe.if(runtime === 'node')('Node', () => {
  const run = (...args: string[]): string => printedWith('--disable-warning=ExperimentalWarning', ...args);

  test('runs Castor, also under its permission model', () => {
    expect(run()).toBe('3');
    expect(run('--permission', '--allow-ffi', '--allow-fs-read=*')).toBe('3');
  });
  test('without node:ffi, as older ones are, says in one line what it needs', () => {
    expect(run('--no-experimental-ffi')).toBe(
      `LibraryError Castor needs node:ffi, which this Node ${process.version} does not have. Update to Node 26 or newer, ` +
        'without --no-experimental-ffi, or run the program with Bun or Deno',
    );
  });
  test('whose flags of V8 are frozen has the collector only if it was asked for', () => {
    expect(run('--freeze-flags-after-init')).toBe('3');
    expect(run('--freeze-flags-after-init', '--expose-gc')).toBe('3');
  });
  test.each([
    ['a program', false],
    ['a Worker', true],
  ])('ends %s only when nothing is being compiled that calls the library', (_, inWorker) => {
    const hot = join(folder, 'hot.ts');
    writeFileSync(hot, endsWhileCompiling(inWorker));
    // Without the wait, each of them crashes three times in ten.
    for (let turn = 0; turn < 8; turn++) {
      const { status, signal, stdout } = spawnSync(process.execPath, ['--allow-natives-syntax', hot], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      expect([status, signal, stdout]).toEqual([0, null, 'done\n']);
    }
  });
  test('without the permission says what to pass', () => {
    expect(run('--permission', '--allow-fs-read=*')).toBe(
      'LibraryError Node does not permit Castor to load its native library: --allow-ffi is missing. ' +
        'Run: node --permission --allow-ffi --allow-fs-read=* program.ts',
    );
  });
});

describe('docs/runtimes.md', () => {
  const text = readFileSync(join(root, 'docs/runtimes.md'), 'utf8');
  const blocks = [...text.matchAll(/^```ts\n([\s\S]*?)^```\n\nprints\n\n((?: {4}.*\n)+)/gm)].map(
    ([, code, lines]) => [code!.replace("'castor'", index), lines!.trim()] as const,
  );
  test('has programs', () => expect(blocks.length).toBe(2));
  test.each(blocks)('a program of it prints what the page says', async (code, lines) => {
    const command = [process.execPath, '-e', code];
    const child = Bun.spawn(command, { cwd: root, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' });
    expect(await finished(child)).toEqual({ stdout: `${lines}\n`, stderr: '', exitCode: 0 });
  });
});

describe('the test files that are left out', () => {
  test.each([
    ['tests/structure.test.ts', 'node', /they read files/],
    ['tests/decorators.test.ts', 'node', /V8 has no decorators/],
    ['tests/decorators.test.ts', 'deno', null],
    ['tests/autograd.test.ts', 'deno', null],
  ] as const)('%s on %s', (file, on, reason) => {
    if (reason === null) expect(reasonFor(file, on)).toBeNull();
    else expect(reasonFor(file, on)).toMatch(reason);
  });
});
