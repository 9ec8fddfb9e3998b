/** What the release makes is right, and its checks find what is not. */
import { beforeAll, describe, expect, test } from 'bun:test';
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CUDA_PLATFORM, currentPlatform, packageOf } from '../../runtime/ffi/platform.ts';
import { build } from '../native.ts';
import { mainFaults, platformFaults, templateFaults } from '../release/checks.ts';
import { filesBelow } from '../release/javascript.ts';
import type { Packed } from '../release/pack.ts';
import { root, user, VERSION } from './setup.ts';

const made = join(build, 'release');
const { folder } = user();

/** A copy of a package after a change, with all of its files. */
function changed(name: string, change: (place: string) => void): Packed {
  const place = join(mkdtempSync(join(folder, 'changed-')), name);
  cpSync(join(made, name), place, { recursive: true });
  change(place);
  return { name, folder: place, tarball: '', bytes: 0, unpacked: 0, files: filesBelow(place) };
}
const edit = (path: string, from: string | RegExp, to: string): void =>
  writeFileSync(path, readFileSync(path, 'utf8').replace(from, to));
const faultsIn = (name: string, change: (place: string) => void): string[] => {
  const packed = changed(name, change);
  return name === 'castor'
    ? mainFaults(packed)
    : name === 'create-castor'
      ? templateFaults(packed)
      : platformFaults(packed, null, true);
};
const platform = currentPlatform();

describe('the checks', () => {
  test.each(['castor', 'create-castor', platform])('of %s find nothing where nothing was changed', name => {
    expect(faultsIn(name, () => {})).toEqual([]);
  });
  test.each<[string, string, (place: string) => void, string]>([
    ['castor', 'a licence that is missing', at => rmSync(join(at, 'LICENSE')), 'it lacks LICENSE'],
    [
      'castor',
      'another licence',
      at => writeFileSync(join(at, 'LICENSE'), 'Mine'),
      'its licence is not that of the project',
    ],
    [
      'castor',
      'an install script',
      at => edit(join(at, 'package.json'), '{', '{"scripts":{"postinstall":"true"},'),
      'its package.json has scripts',
    ],
    [
      'castor',
      'a dependency',
      at => edit(join(at, 'package.json'), '{', '{"dependencies":{"left-pad":"1"},'),
      'its package.json has dependencies',
    ],
    ['castor', 'a module that is missing', at => rmSync(join(at, 'dist/nn/layers.js')), 'it lacks dist/nn/layers.js'],
    [
      'castor',
      'a source that is missing',
      at => rmSync(join(at, 'runtime/nn/layers.ts')),
      'dist/nn/layers.js.map: ../../runtime/nn/layers.ts is not in the package',
    ],
    [
      'castor',
      'a file too many',
      at => writeFileSync(join(at, 'dist/libcastor.so'), ''),
      'dist/libcastor.so does not belong there',
    ],
    [
      'castor',
      'the path of this checkout',
      at => writeFileSync(join(at, 'CHANGELOG.md'), root),
      'CHANGELOG.md contains the path of the checkout',
    ],
    [
      'create-castor',
      'a file of the template that is missing',
      at => rmSync(join(at, 'template/train.ts')),
      'it lacks template/train.ts',
    ],
    [platform, 'a library that is missing', at => rmSync(join(at, 'libcastor.so')), 'it lacks libcastor.so'],
    [
      platform,
      'another library',
      at => cpSync(otherLibrary(), join(at, 'libcastor.so')),
      'it does not export castor_abi_version',
    ],
  ])('of %s find %s', (name, _, change, fault) => {
    const faults = faultsIn(name, change);
    expect(faults.filter(text => text.startsWith(fault))).toHaveLength(1);
  });
  test('of the size find a package that is too large', () => {
    expect(templateFaults({ ...changed('create-castor', () => {}), bytes: 1e6 })).toEqual([
      '1000000 bytes packed are more than 100000',
    ]);
  });
  test('of a library find one that needs too new a glibc', () => {
    const packed = changed(platform, () => {});
    expect(platformFaults(packed, '2.2', true)).toEqual([
      expect.stringMatching(/^it needs glibc 2\.\d+, and the limit is 2\.2$/),
    ]);
  });
});

describe('the CUDA backend', () => {
  const own = changed(platform, () => {});
  const library = join(own.folder, 'libcastor.so');
  test('has to be in its package', () => {
    writeFileSync(library, readFileSync(library, 'latin1').replaceAll('.nv_fatbin', '.no_fatbin'), 'latin1');
    expect(platformFaults({ ...own, name: packageOf(CUDA_PLATFORM) }, null)).toEqual([
      'it is without the CUDA backend',
    ]);
    expect(platformFaults({ ...own, name: packageOf(platform) }, null)).toEqual([]);
  });
  test('may not be in another', () => {
    writeFileSync(library, `${readFileSync(library, 'latin1')}.nv_fatbin`, 'latin1');
    expect(platformFaults({ ...own, name: packageOf(platform) }, null)).toEqual(['it contains the CUDA backend']);
    expect(platformFaults({ ...own, name: packageOf(CUDA_PLATFORM) }, null)).toEqual([]);
    expect(platformFaults({ ...own, name: packageOf(platform) }, null, true)).toEqual([]);
  });
});

/** A library of this machine that is not Castor: the C library itself. */
const otherLibrary = (): string =>
  realpathSync(/\/\S+\/(libc\.so\.6|ld-musl-\S+)/.exec(readFileSync('/proc/self/maps', 'latin1'))![0]);

describe('the manifest', () => {
  let manifest: Record<string, unknown>;
  beforeAll(() => {
    manifest = JSON.parse(readFileSync(join(made, 'castor/package.json'), 'utf8')) as Record<string, unknown>;
  });
  test('has the version of the project, and names the platform packages in exactly this version', () => {
    expect(manifest).toMatchObject({ version: VERSION, optionalDependencies: { [packageOf(platform)]: VERSION } });
  });
  test('says which files have effects, and one of them is every file that attaches methods', () => {
    const effective = (manifest.sideEffects as string[]).map(pattern => new Bun.Glob(pattern.replace('./', '')));
    const has = (path: string): boolean => effective.some(glob => glob.match(path));
    expect(
      [
        'dist/index.js',
        'dist/ops/methods.js',
        'dist/ops/derivatives/index.js',
        'dist/autograd/autograd.js',
        'dist/entries/nn.js',
        'dist/ffi/library.js',
      ].filter(path => !has(path)),
    ).toEqual([]);
    expect(['dist/nn/layers.js', 'dist/optim/optimizers.js', 'dist/serve/batcher.js'].filter(has)).toEqual([]);
  });
});

describe('the command', () => {
  const release = (...args: readonly string[]): [number, string] => {
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, join(root, 'scripts/release.ts'), ...args], {
      cwd: tmpdir(),
    });
    return [exitCode, stderr.toString()];
  };
  test('publishes nothing, and says so', () => {
    expect(release()).toEqual([
      1,
      'castor: nothing is published by a script; npm run release -- --dry-run makes the tarballs\n',
    ]);
  });
  test('knows its platforms', () => {
    expect(release('--dry-run', 'linux-x64-gnu')).toEqual([
      1,
      expect.stringContaining('there is no platform linux-x64-gnu; there are linux-x64-glibc, '),
    ]);
  });
});
