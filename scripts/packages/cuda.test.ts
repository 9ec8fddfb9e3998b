/**
 * The package with the CUDA backend is installed by those who want it only, and then used. Here a library without that
 * backend stands in for it.
 */
import { beforeAll, describe, expect, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CUDA_PLATFORM, currentPlatform, packageOf } from '../../runtime/ffi/platform.ts';
import { build } from '../native.ts';
import { makePlatform, pack } from '../release/pack.ts';
import { publishTo } from './registry.ts';
import { url, user } from './setup.ts';

const name = packageOf(CUDA_PLATFORM);
const program = `import { health } from 'castor/serve';
console.log(health().library.path);
`;
const managers: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['npm', ['npm', 'install', 'castor'], ['npm', 'install', name]],
  ['bun', ['bun', 'add', 'castor'], ['bun', 'add', name]],
  [
    'bun with isolated packages',
    ['bun', 'add', '--linker', 'isolated', 'castor'],
    ['bun', 'add', '--linker', 'isolated', name],
  ],
  ['pnpm', ['pnpm', 'add', 'castor'], ['pnpm', 'add', name]],
];

beforeAll(() => {
  const { folder } = user();
  publishTo(
    url,
    folder,
    pack(makePlatform(folder, CUDA_PLATFORM, join(build, 'release/libcastor.so')), folder).tarball,
  );
});

describe.skipIf(currentPlatform() !== 'linux-x64-glibc').each(managers)('%s', (_, install, add) => {
  test('does not install it by itself, and takes it when asked', async () => {
    const project = user().project('gpu', { 'main.ts': program });
    expect((await project.run(install)).code).toBe(0);
    expect((await project.run(['bun', 'main.ts'])).text).toContain(currentPlatform());
    expect(existsSync(join(project.folder, 'node_modules', name))).toBe(false);
    expect((await project.run(add)).code).toBe(0);
    for (const runtime of ['bun', 'node26'])
      expect((await project.run([runtime, 'main.ts'])).text).toContain(CUDA_PLATFORM);
  });
});
