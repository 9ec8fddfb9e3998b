/** Bundles and compiled programs take the library along, and never take one that lies beside them by chance. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { currentPlatform, packageOf } from '../../runtime/ffi/platform.ts';
import { expectedLosses, failing, training } from './programs.ts';
import type { Ended, Project, User } from './project.ts';
import { root, user, VERSION } from './setup.ts';

const expected = await expectedLosses(root);
const worker = `import { ones } from 'castor';
postMessage(ones([4]).sum().itemSync());
`;
const withWorker = `import { ones } from 'castor';
const worker = new Worker(new URL('./worker.ts', import.meta.url).href);
const [sum] = await new Promise(done => (worker.onmessage = ({ data }) => done([data])));
console.log(sum + ones([3]).sum().itemSync());
worker.terminate();
`;
let developer: User;
let project: Project;
let without: Project;
beforeAll(async () => {
  developer = user();
  const files = { 'train.ts': training, 'failing.ts': failing, 'worker.ts': worker, 'main.ts': withWorker };
  project = developer.project('source', files);
  expect((await project.run(['bun', 'add', 'castor'])).code).toBe(0);
  without = developer.project('without', files);
  expect((await without.run(['bun', 'add', '--omit', 'optional', 'castor'])).code).toBe(0);
});

/** Builds, moves what was built to a machine of its own, and starts it there. */
async function built(
  name: string,
  from: Project,
  args: readonly string[],
  command: readonly string[],
  variables = {},
  files = {},
): Promise<Ended> {
  const made = await from.run(['bun', 'build', ...args]);
  expect([made.code, made.text]).toEqual([0, expect.any(String)]);
  const elsewhere = user().project(`${name}-moved`);
  cpSync(join(from.folder, 'out'), join(elsewhere.folder, 'a/b/out'), { recursive: true });
  rmSync(join(from.folder, 'out'), { recursive: true });
  elsewhere.write({
    'a/build/libcastor.so': 'no library',
    'a/b/build/libcastor.so': 'no library',
    'libcastor.so': 'no library',
    ...files,
  });
  const program = join(elsewhere.folder, 'a/b/out', command.at(-1)!);
  if (command.length > 1) return elsewhere.run([...command.slice(0, -1), program], variables);
  renameSync(program, join(elsewhere.folder, '../bin/program'));
  return elsewhere.run(['program'], variables);
}
const linesOf = ({ text }: Ended): string[] => text.trim().split('\n');

describe('a bundle', () => {
  test.each([
    ['as it is', []],
    ['minified', ['--minify']],
    ['split', ['--splitting']],
    ['as CommonJS', ['--format', 'cjs']],
    ['with a source map', ['--sourcemap=linked']],
  ])('%s has the library beside it and can be moved', async (_, options) => {
    // Top-level await is not for CommonJS, so the program is a module without it there.
    const source = options.includes('cjs') ? 'later.ts' : 'train.ts';
    project.write({ 'later.ts': `import { ones } from 'castor';\nconsole.log(ones([3]).sum().itemSync());\n` });
    const ended = await built(
      'bundle',
      project,
      ['--target', 'bun', '--outdir', 'out', ...options, source],
      ['bun', source.replace('.ts', '.js')],
    );
    expect([ended.code, ...linesOf(ended)]).toEqual([0, ...(source === 'later.ts' ? ['3'] : expected)]);
  });
  test('leaves out what is not used, and keeps what attaches the methods', async () => {
    project.write({
      'small.ts': `import { ones } from 'castor';\nconsole.log(ones([2]).add(1).exp().sum().itemSync() > 14);\n`,
    });
    expect((await project.run(['bun', 'build', '--target', 'bun', '--outdir', 'small', 'small.ts'])).code).toBe(0);
    expect(linesOf(await project.run(['bun', 'small/small.js']))).toEqual(['true']);
    const text = readFileSync(join(project.folder, 'small/small.js'), 'utf8');
    expect([/class Conv2d\b/, /class AdamW\b/, /class Monitor\b/].filter(part => part.test(text))).toEqual([]);
  });
  test('with a Worker works', async () => {
    const args = ['--target', 'bun', '--outdir', 'out', '--splitting', 'main.ts', 'worker.ts'];
    project.write({ 'main.ts': withWorker.replace('worker.ts', 'worker.js') });
    const ended = await built('worker', project, args, ['bun', 'main.js']);
    project.write({ 'main.ts': withWorker });
    expect([ended.code, ...linesOf(ended)]).toEqual([0, '7']);
  });
  test('that was made without the library says which package it lacks', async () => {
    const ended = await built(
      'bare',
      without,
      ['--target', 'bun', '--outdir', 'out', 'failing.ts'],
      ['bun', 'failing.js'],
    );
    expect(ended.text).toStartWith(
      `LibraryError: the native library for ${currentPlatform()} was not found; tried: the package ${packageOf(currentPlatform())} (not installed)`,
    );
    expect(ended.text).toContain(`bun add ${packageOf(currentPlatform())}@${VERSION}`);
    expect(ended.text).toContain('A bundle takes it in where it is made');
  });
});

describe('a compiled program', () => {
  const compile = (...more: readonly string[]): string[] => ['--compile', '--outfile', 'out/program', ...more];
  test.each([
    ['as it is', []],
    ['minified', ['--minify']],
    ['of bytecode', ['--bytecode', '--format', 'esm']],
    ['minified and of bytecode', ['--minify', '--bytecode', '--format', 'esm', '--sourcemap']],
  ])('%s contains the library', async (_, options) => {
    const ended = await built('compiled', project, compile(...options, 'train.ts'), ['program']);
    expect([ended.code, ...linesOf(ended)]).toEqual([0, ...expected]);
  });
  test('of bytecode, which is CommonJS by default, contains the library', async () => {
    project.write({ 'later.ts': `import { ones } from 'castor';\nconsole.log(ones([3]).sum().itemSync());\n` });
    const ended = await built('bytecode', project, compile('--bytecode', '--minify', 'later.ts'), ['program']);
    expect([ended.code, ...linesOf(ended)]).toEqual([0, '3']);
  });
  test('with a Worker works', async () => {
    const ended = await built('worker', project, compile('main.ts', 'worker.ts'), ['program']);
    expect([ended.code, ...linesOf(ended)]).toEqual([0, '7']);
  });
  test('without a folder for temporary files says what to set', async () => {
    const variables = { TMPDIR: '/none/at/all', BUN_TMPDIR: '/none/at/all' };
    const ended = await built('temporary', project, compile('failing.ts'), ['program'], variables);
    expect(ended.code).toBe(3);
    expect(ended.text).toMatch(/^LibraryError: .*cannot be loaded: .*TMPDIR \(or BUN_TMPDIR\)/);
  });
  test('heeds a .env file of the current folder, and does not where it was made not to', async () => {
    const other = { '.env': 'CASTOR_LIBRARY=./other.so\n' };
    const refused = await built('env', project, compile('failing.ts'), ['program'], {}, other);
    expect(refused.text).toContain('other.so (no such file, from CASTOR_LIBRARY)');
    const args = compile('--no-compile-autoload-dotenv', 'failing.ts');
    expect(linesOf(await built('env', project, args, ['program'], {}, other))).toEqual(['sum 3']);
  });
  test('writes the library to the folder that BUN_TMPDIR names', async () => {
    const place = mkdtempSync(join(developer.folder, 'private-'));
    const ended = await built('temporary', project, compile('failing.ts'), ['program'], { BUN_TMPDIR: place });
    expect([linesOf(ended), readdirSync(place)]).toEqual([['sum 3'], [expect.stringMatching(/\.so$/)]]);
  });
  test('that was made without the library says which package it lacks', async () => {
    const ended = await built('bare', without, compile('failing.ts'), ['program']);
    expect(ended.text).toStartWith(`LibraryError: the native library for ${currentPlatform()} was not found`);
  });
});

describe('from a checkout', () => {
  test.each([
    ['a bundle', ['--target', 'bun', '--outdir'], ['bun', 'program.js']],
    ['a compiled program', ['--compile', '--outfile'], ['program']],
  ])('%s has the library that was built there', async (_, options, command) => {
    const from = developer.project(`checkout-${options.length}-${command.length}`);
    from.write({ 'program.ts': training.replace("'castor'", JSON.stringify(`${root}/runtime/index.ts`)) });
    mkdirSync(join(from.folder, 'out'));
    const target = command.length > 1 ? 'out' : 'out/program';
    const ended = await built('checkout', from, [...options, target, 'program.ts'], command);
    expect([ended.code, ...linesOf(ended)]).toEqual([0, ...expected]);
    expect(readdirSync(from.folder)).not.toContain('out');
  });
});
