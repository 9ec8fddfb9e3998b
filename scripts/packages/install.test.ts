/** Each package manager installs Castor with the right library and nothing else, from empty caches and without a compiler. */
import { describe, expect, test } from 'bun:test';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { currentPlatform, packageOf } from '../../runtime/ffi/platform.ts';
import { expectedLosses, training } from './programs.ts';
import type { Ended } from './project.ts';
import { root, user, VERSION } from './setup.ts';

const expected = await expectedLosses(root);
const linesOf = ({ text }: Ended): string[] => text.trim().split('\n');
const folderOf = (at: string): readonly string[] => (existsSync(at) ? readdirSync(at) : []);

/** The platform packages below node_modules, in every layout. */
function platformsIn(folder: string): string[] {
  const modules = join(folder, 'node_modules');
  const stores = ['.bun', '.pnpm', '.deno'].flatMap(store => folderOf(join(modules, store)));
  const names = stores.flatMap(name => /^@castor\+([\w-]+)@/.exec(name)?.[1] ?? []);
  return [...new Set([...folderOf(join(modules, '@castor')), ...names])];
}

const managers: readonly (readonly [string, readonly string[]])[] = [
  ['npm', ['npm', 'install', 'castor']],
  ['bun', ['bun', 'add', 'castor']],
  ['bun with isolated packages', ['bun', 'add', '--linker', 'isolated', 'castor']],
  ['pnpm', ['pnpm', 'add', 'castor']],
  // Deno does not take packages of the last day.
  ['deno', ['deno', 'add', '--minimum-dependency-age=0', 'npm:castor']],
];
const permitted = ['deno', 'run', '--allow-ffi', '--allow-read', '--allow-env'];
const runtimes: readonly (readonly string[])[] = [
  ['bun'],
  ['node26', '--disable-warning=ExperimentalWarning'],
  permitted,
];

describe.each(managers)('%s', (name, command) => {
  test('installs what Castor trains with, on Bun, Node and Deno', async () => {
    const project = user().project('first', { 'train.ts': training });
    const install = await project.run(command);
    expect([install.code, install.text]).toEqual([0, expect.any(String)]);
    expect(platformsIn(project.folder)).toEqual([currentPlatform()]);
    for (const runtime of runtimes) {
      const trained = await project.run([...runtime, 'train.ts']);
      expect([runtime[0], trained.code, ...linesOf(trained)]).toEqual([runtime[0], 0, ...expected]);
      const seconds = (install.seconds + trained.seconds).toFixed(2);
      console.log(`${name}, then ${runtime[0]}: ${seconds} s from installing to the last of ten losses`);
    }
  });
});

describe('Deno', () => {
  const settings = JSON.stringify({ imports: { castor: `npm:castor@${VERSION}` }, minimumDependencyAge: 0 });
  test('needs no node_modules folder', async () => {
    const project = user().project('bare', { 'train.ts': training, 'deno.json': settings });
    rmSync(join(project.folder, 'package.json'));
    const trained = await project.run([...permitted, 'train.ts']);
    expect(trained.code).toBe(0);
    expect(trained.text).toContain(expected.join('\n'));
    expect(existsSync(join(project.folder, 'node_modules'))).toBe(false);
  });
  test('says what must be permitted', async () => {
    const project = user().project('bare', { 'train.ts': training, 'deno.json': settings });
    rmSync(join(project.folder, 'package.json'));
    const { code, text } = await project.run(['deno', 'run', 'train.ts']);
    expect([code, text]).toEqual([1, expect.stringContaining('Run: deno run --allow-ffi --allow-read --allow-env')]);
  });
});

test('an older Node says which it needs', async () => {
  const project = user().project('older', { 'train.mjs': training });
  expect((await project.run(['npm', 'install', 'castor'])).code).toBe(0);
  const { code, text } = await project.run(['node', 'train.mjs']);
  const { text: version } = await project.run(['node', '--version']);
  if (Number(version.slice(1).split('.')[0]) >= 26)
    expect([code, ...text.trim().split('\n')]).toEqual([0, ...expected]);
  else expect([code, text]).toEqual([1, expect.stringContaining('Update to Node 26 or newer')]);
});

describe('a lockfile', () => {
  test('of npm installs the same again', async () => {
    const project = user().project('locked', { 'train.ts': training });
    expect((await project.run(['npm', 'install', 'castor'])).code).toBe(0);
    expect((await project.run(['npm', 'ci'])).code).toBe(0);
    expect(platformsIn(project.folder)).toEqual([currentPlatform()]);
    expect((await project.run(['bun', 'train.ts'])).text.trim().split('\n')).toEqual(expected);
  });
  test('of bun names every platform with its C library', async () => {
    const project = user().project('locked', { 'train.ts': training });
    expect((await project.run(['bun', 'add', 'castor'])).code).toBe(0);
    const lock = await Bun.file(join(project.folder, 'bun.lock')).text();
    expect(lock).toContain(`"${packageOf(currentPlatform())}@${VERSION}"`);
    expect(lock).toContain('"libc": ');
    expect((await project.run(['bun', 'install', '--frozen-lockfile'])).code).toBe(0);
  });
});

describe('the first loss', () => {
  test('comes soon after bun add', async () => {
    const first = training.replace('step < 10', 'step < 1');
    const project = user().project('timed', { 'train.ts': first });
    const [install, trained] = [await project.run(['bun', 'add', 'castor']), await project.run(['bun', 'train.ts'])];
    expect(trained.text.trim().split('\n')).toEqual(expected.slice(0, 1));
    console.log(`\nbun add to the first loss: ${(install.seconds + trained.seconds).toFixed(2)} s (limit 10 s)\n`);
  });
});
