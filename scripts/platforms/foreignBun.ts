/**
 * Fetches Bun for another platform, and what it needs to run here on Linux x64, into a folder of the user's cache: for
 * arm64 qemu-user and the C library from Debian's packages, for musl its loader from Debian 13 and the C++ library that
 * wheels for musl contain. Nothing is installed, and no root is needed.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { currentPlatform } from '../../runtime/ffi/platform.ts';
import { say } from '../native.ts';
import { caches, download } from '../wheels.ts';

/** Runs a command in a folder. */
function must(cwd: string, ...command: readonly string[]): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd, stdout: 'pipe', stderr: 'pipe' });
  if (exitCode !== 0) throw new Error(`${command.join(' ')} failed\n${stdout.toString()}${stderr.toString()}`);
}

/** Bun's own package for a platform, of the version that runs this. */
function unpackBun(folder: string, name: string): void {
  must(folder, 'npm', 'pack', '--silent', `@oven/${name}@${Bun.version}`);
  must(folder, 'tar', 'xzf', globSync('oven-*.tgz', { cwd: folder })[0]!);
}

const SOURCES = '/etc/apt/sources.list.d/debian.sources';

/**
 * Unpacks Debian's packages into a folder. The system's lists of packages are neither read nor changed, so that packages of
 * another release of Debian can be had too.
 */
function unpackDebian(folder: string, packages: readonly string[], release?: string): void {
  if (!existsSync(SOURCES)) throw new Error(`packages of Debian are needed, and there is no ${SOURCES}`);
  const lists = join(folder, 'lists');
  mkdirSync(join(lists, 'partial'), { recursive: true });
  const [archive = ''] = readFileSync(SOURCES, 'utf8').split(/\n\n+/);
  const chosen = release === undefined ? archive : archive.replace(/^Suites:.*$/m, `Suites: ${release}`);
  writeFileSync(join(folder, 'debian.sources'), `${chosen.trim()}\n`);
  const settings = {
    'Dir::Etc::sourcelist': join(folder, 'debian.sources'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': lists,
    'Dir::State::status': '/dev/null',
    'Dir::Cache': folder,
    'APT::Sandbox::User': 'root',
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  must(folder, 'apt-get', '-q', ...options, 'update');
  must(folder, 'apt-get', '-q', ...options, 'download', ...packages);
  for (const file of globSync('*.deb', { cwd: folder })) must(folder, 'dpkg-deb', '-x', file, 'debian');
  rmSync(lists, { recursive: true });
}

/** The command of a program for arm64, as words of a shell. HERE is the folder. */
function fetchArm64(folder: string): string {
  const libraries = ['libc6-arm64-cross', 'libstdc++6-arm64-cross', 'libgcc-s1-arm64-cross'];
  unpackDebian(folder, ['qemu-user-static', ...libraries]);
  for (const other of globSync('debian/usr/bin/qemu-*', { cwd: folder, exclude: ['**/qemu-aarch64-static'] }))
    rmSync(join(folder, other));
  unpackBun(folder, 'bun-linux-aarch64');
  return '"$HERE/debian/usr/bin/qemu-aarch64-static" -L "$HERE/debian/usr/aarch64-linux-gnu"';
}

/** Bun for musl needs version 1.2.4 or later of it, which Debian 12 does not have. */
async function fetchMusl(folder: string): Promise<string> {
  unpackDebian(folder, ['musl'], 'trixie');
  unpackBun(folder, 'bun-linux-x64-musl');
  const wheel = join(folder, 'numpy');
  const platform = ['--platform', 'musllinux_1_2_x86_64', '--python-version', '3.12', '--only-binary=:all:'];
  await download('the C++ library of musl', wheel, [...platform, 'numpy==2.3.5'], say);
  const libraries = join(folder, 'lib');
  mkdirSync(libraries);
  const loader = 'debian/usr/lib/x86_64-linux-musl/libc.so';
  // libstdc++ names the copy of libgcc_s that lies beside it in the wheel; the loader is also the C library.
  for (const name of globSync('libgcc_s-*', { cwd: join(wheel, 'numpy.libs') }))
    copyFileSync(join(wheel, 'numpy.libs', name), join(libraries, name));
  const [cxx] = globSync('libstdc++-*', { cwd: join(wheel, 'numpy.libs') });
  copyFileSync(join(wheel, 'numpy.libs', cxx!), join(libraries, 'libstdc++.so.6'));
  for (const name of ['ld-musl-x86_64.so.1', 'libc.musl-x86_64.so.1'])
    copyFileSync(join(folder, loader), join(libraries, name));
  chmodSync(join(libraries, 'ld-musl-x86_64.so.1'), 0o755);
  rmSync(wheel, { recursive: true });
  return '"$HERE/lib/ld-musl-x86_64.so.1" --library-path "$HERE/lib"';
}

const fetchers: Readonly<Record<string, (folder: string) => string | Promise<string>>> = {
  'linux-arm64-glibc': fetchArm64,
  'linux-x64-musl': fetchMusl,
};

/** Fetches everything into a folder, with a script that runs Bun in the place of its program. */
async function fetchInto(folder: string, platform: string): Promise<void> {
  const runner = await fetchers[platform]!(folder);
  for (const file of globSync('*.{deb,tgz}', { cwd: folder })) rmSync(join(folder, file));
  const script = `#!/bin/sh\nHERE=$(dirname "$(readlink -f "$0")")\nexec ${runner} "$HERE/package/bin/bun" "$@"\n`;
  writeFileSync(join(folder, 'bun'), script);
  chmodSync(join(folder, 'bun'), 0o755);
}

/**
 * The path of a program that behaves as Bun does on a platform.
 *
 * @throws Error if something cannot be fetched, or if no program of the platform can run here
 */
export async function foreignBun(platform: string): Promise<string> {
  if (platform === currentPlatform()) return process.execPath;
  if (!(platform in fetchers)) throw new Error(`nothing here runs programs for ${platform}`);
  const folder = join(caches, `bun-${Bun.version}-${platform}`);
  if (!existsSync(folder)) {
    say(`fetching Bun for ${platform} into ${folder}`);
    const partial = `${folder}.partial-${process.pid}`;
    mkdirSync(partial, { recursive: true });
    try {
      await fetchInto(partial, platform);
      if (!existsSync(folder)) renameSync(partial, folder);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
  }
  return join(folder, 'bun');
}
