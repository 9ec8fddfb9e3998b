/** A build that begins anew removes what it has made, and nothing that other scripts put into the folder. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { root } from './process.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-build-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of the scripts, with a build folder of another checkout and a CMake that fails. */
function prepare(): string {
  for (const name of ['build', 'native', 'cudaToolkit', 'wheels'])
    cpSync(join(root, `scripts/${name}.ts`), join(folder, `scripts/${name}.ts`));
  cpSync(join(root, 'runtime/ffi'), join(folder, 'runtime/ffi'), { recursive: true });
  for (const name of ['platforms/linux-x64-musl', 'release', 'CMakeFiles'])
    mkdirSync(join(folder, 'build', name), { recursive: true });
  writeFileSync(join(folder, 'build/CMakeCache.txt'), 'CMAKE_HOME_DIRECTORY:INTERNAL=/elsewhere\n');
  mkdirSync(join(folder, 'bin'));
  for (const name of ['cmake', 'ninja', 'g++']) {
    writeFileSync(join(folder, 'bin', name), '#!/bin/sh\nexit 1\n');
    chmodSync(join(folder, 'bin', name), 0o755);
  }
  return join(folder, 'bin');
}

test('the libraries of platforms and the packages stay', () => {
  const PATH = `${prepare()}${delimiter}${process.env.PATH}`;
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, join(folder, 'scripts/build.ts'), '--no-cuda'], {
    cwd: folder,
    env: { ...process.env, PATH, CASTOR_BUILD_ALONE: '1' },
    stderr: 'pipe',
  });
  expect([exitCode, stderr.toString()]).toEqual([1, expect.stringContaining('cmake failed')]);
  expect(readdirSync(join(folder, 'build')).toSorted()).toEqual(['platforms', 'release']);
});
