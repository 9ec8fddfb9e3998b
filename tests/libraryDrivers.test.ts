/** A library with the CUDA backend beside drivers that are missing, too old, or without a GPU. It loads with each, and the CPU works. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deviceInfo } from 'castor';
import { libraryPath } from '../runtime/ffi/library.ts';
import { root } from './process.ts';

const compiler = ['cc', 'gcc', 'clang'].find(name => Bun.which(name));
/** GPU code is in a section of its own, which the library with the emulated device does not have. */
const hasBackend = readFileSync(libraryPath).includes('.nv_fatbin');
const { available } = deviceInfo('cuda');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'castor-drivers-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A driver that knows a version of CUDA, as in 12020, and does not start, for a reason: 3, not initialised, or 100, no device. */
function driver(version: number, reason: number): string {
  const place = join(folder, `${version}`);
  mkdirSync(place);
  writeFileSync(
    join(place, 'driver.c'),
    `int cuInit(unsigned flags) { return flags ? 1 : ${reason}; }
    int cuDriverGetVersion(int *version) { *version = ${version}; return 0; }`,
  );
  const command = [compiler!, '-shared', '-fPIC', '-o', 'libcuda.so.1', 'driver.c'];
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd: place, stderr: 'pipe' });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return place;
}

const program = `
import { deviceInfo, getDefaultDevice, ones } from 'castor';
console.log(deviceInfo('cuda').reason);
console.log(getDefaultDevice(), ones([3]).sum().itemSync());
try { ones([2], { device: 'cuda' }); } catch (error) { console.log(error.name); }`;

/** Returns the lines that the program prints where the loader finds the driver in a folder, and none of this machine. */
function printed(place: string): string[] {
  const env = { ...process.env, CASTOR_LIBRARY: libraryPath, LD_LIBRARY_PATH: place };
  const { stdout } = Bun.spawnSync([process.execPath, '-e', program], { cwd: root, env, stderr: 'inherit' });
  return stdout.toString().trim().split('\n');
}

describe.skipIf(!hasBackend || available || !compiler)('the CUDA backend', () => {
  test('without a driver names the version that is needed', () => {
    expect(printed('')).toEqual([
      expect.stringMatching(
        /^no NVIDIA driver is installed.* needs one that knows CUDA 1\d\.\d: version \d{3} or newer$/,
      ),
      'cpu 3',
      'DeviceError',
    ]);
  });
  test('with a driver that is too old names both versions', () => {
    expect(printed(driver(11040, 3))).toEqual([
      expect.stringMatching(
        /^the NVIDIA driver is too old: it knows CUDA 11\.4, this library needs 1\d\.\d\. Update the driver to version \d{3} or newer$/,
      ),
      'cpu 3',
      'DeviceError',
    ]);
  });
  test('with a driver and no GPU says what to look at', () => {
    expect(printed(driver(13000, 100))).toEqual([
      expect.stringMatching(/^there is an NVIDIA driver but no GPU\. nvidia-smi lists/),
      'cpu 3',
      'DeviceError',
    ]);
  });
});
