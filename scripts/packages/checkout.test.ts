/** A checkout beside which a platform package is installed need not be built. */
import { beforeAll, expect, test } from 'bun:test';
import { cpSync, existsSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { currentPlatform, packageOf } from '../../runtime/ffi/platform.ts';
import { expectedLosses, training } from './programs.ts';
import type { Project } from './project.ts';
import { root, user, VERSION } from './setup.ts';

let checkout: Project;
beforeAll(async () => {
  checkout = user().project('checkout', { 'program.ts': training.replace("'castor'", "'./runtime/index.ts'") });
  const isOwn = (path: string): boolean => !path.includes('/node_modules');
  for (const name of ['runtime', 'scripts', 'abi', 'package.json', 'tsconfig.json'])
    cpSync(join(root, name), join(checkout.folder, name), { recursive: true, filter: path => isOwn(path) });
});
const start = async (): Promise<string> => (await checkout.run(['bun', 'program.ts'])).text.trim();

test('without it, the error says to build, and the build says that there are no tools', async () => {
  expect(await start()).toMatch(
    /libcastor\.so \(no such file, from the build of this checkout\), the package @castor\/[\w-]+ \(not installed\)\. Build it with: npm run build/,
  );
  const { code, text } = await checkout.run(['bun', 'scripts/build.ts', '--if-needed']);
  expect([code, text]).toEqual([
    1,
    'castor: no cmake found; install it: sudo apt-get install cmake (or dnf install cmake)\n',
  ]);
});
test('with it, nothing is built and everything runs', async () => {
  const name = packageOf(currentPlatform());
  const holder = user().project('holder');
  expect((await holder.run(['npm', 'install', `${name}@${VERSION}`])).code).toBe(0);
  symlinkSync(join(holder.folder, 'node_modules'), join(checkout.folder, 'node_modules'));
  const { code, text } = await checkout.run(['bun', 'scripts/build.ts', '--if-needed']);
  expect([code, text]).toEqual([
    0,
    `castor: the library of ${name} is used; npm run build builds one from these sources\n`,
  ]);
  expect((await start()).split('\n')).toEqual(await expectedLosses(root));
  expect(existsSync(join(checkout.folder, 'build')) ? readdirSync(join(checkout.folder, 'build')) : []).toEqual([]);
});
