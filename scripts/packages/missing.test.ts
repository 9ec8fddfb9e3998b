/** A library that is missing or wrong where Castor is installed: what the error says helps, as it stands. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { currentPlatform, packageOf } from '../../runtime/ffi/platform.ts';
import { failing } from './programs.ts';
import type { Project } from './project.ts';
import { user, VERSION } from './setup.ts';

const name = packageOf(currentPlatform());
const add = `bun add ${name}@${VERSION}`;
let project: Project;
const place = (file: string): string => join(project.folder, 'node_modules', name, file);
const start = async (variables: Record<string, string> = {}, ...options: string[]): Promise<string> =>
  (await project.run(['bun', ...options, 'main.ts'], variables)).text.trim();

describe.each([
  ['npm', ['npm', 'install', '--omit=optional', 'castor']],
  ['bun', ['bun', 'add', '--omit', 'optional', 'castor']],
  ['pnpm', ['pnpm', 'add', '--no-optional', 'castor']],
])('%s without optional dependencies', (_, command) => {
  test('leaves the library out, and the error says how to add it', async () => {
    project = user().project('bare', { 'main.ts': failing });
    expect((await project.run(command)).code).toBe(0);
    const text = await start();
    expect(text).toStartWith(
      `LibraryError: the native library for ${currentPlatform()} was not found; tried: the package ${name} (not installed). Add its package: ${add}`,
    );
    expect(text).toContain('--omit=optional');
    expect(text).not.toContain('npm run build');
    if (command[0] === 'bun') {
      expect((await project.run(add.split(' '))).code).toBe(0);
      expect(await start()).toBe('sum 3');
    }
  });
});

describe('an installed library', () => {
  beforeAll(async () => {
    project = user().project('whole', { 'main.ts': failing });
    expect((await project.run(['bun', 'add', 'castor'])).code).toBe(0);
    cpSync(place(''), join(project.folder, 'spare'), { recursive: true });
  });
  const repair = (): void => {
    rmSync(place(''), { recursive: true, force: true });
    cpSync(join(project.folder, 'spare'), place(''), { recursive: true });
  };
  test('loads', async () => {
    expect(await start()).toBe('sum 3');
  });
  test('loads in CommonJS too, on Bun and Node', async () => {
    project.write({ 'main.cjs': "const { ones } = require('castor');\nconsole.log(ones([3]).sum().itemSync());\n" });
    for (const runtime of [['bun'], ['node26', '--disable-warning=ExperimentalWarning']])
      expect((await project.run([...runtime, 'main.cjs'])).text.trim()).toBe('3');
  });
  test('that is cut off: the error says to install it again', async () => {
    truncateSync(place('libcastor.so'), 5000);
    expect(await start()).toMatch(
      /^LibraryError: .*libcastor\.so cannot be loaded: the file is truncated.*\. Install it again: bun add /,
    );
    repair();
  });
  test('of another version is named with both versions', async () => {
    const manifest = place('package.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(`"${VERSION}"`, '"9.9.9"'));
    expect(await start()).toStartWith(
      `LibraryError: the package ${name} is version 9.9.9, and castor is version ${VERSION}. Install it again: ${add}`,
    );
    repair();
  });
  test('is not used when CASTOR_LIBRARY names another, as a .env of the current folder can', async () => {
    project.write({ '.env': 'CASTOR_LIBRARY=./other.so\n' });
    const text = await start();
    expect(text).toStartWith(
      `LibraryError: the native library for ${currentPlatform()} was not found; tried: ${join(project.folder, 'other.so')} (no such file, from CASTOR_LIBRARY). CASTOR_LIBRARY names this file, in the environment or in a .env file`,
    );
    expect(await start({}, '--no-env-file')).toBe('sum 3');
    expect(await start({ CASTOR_LIBRARY: '' })).toBe('sum 3');
    rmSync(join(project.folder, '.env'));
  });
  test('is the only one that is taken: none of the current folder or beside the program', async () => {
    const decoys = [
      'libcastor.so',
      'build/libcastor.so',
      'node_modules/build/libcastor.so',
      'node_modules/castor/libcastor.so',
    ];
    project.write(Object.fromEntries(decoys.map(path => [path, 'no library'])));
    expect(await start()).toBe('sum 3');
    rmSync(place(''), { recursive: true });
    expect(await start()).toStartWith(`LibraryError: the native library for ${currentPlatform()} was not found`);
    repair();
  });
});

test('Bun, which downloads packages where there is no node_modules folder, does not do so for the library', async () => {
  project = user().project('automatic', { 'main.ts': failing });
  expect(await start()).toStartWith(`LibraryError: the native library for ${currentPlatform()} was not found`);
});
