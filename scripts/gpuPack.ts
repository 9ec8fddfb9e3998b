/**
 * Packs everything that `npm run gpu:check -- --prebuilt` needs into .gpu: `npm run gpu:pack`. It builds the library for
 * sm_90 with PTX for later GPUs, the native tests and the conformance program, in a build folder of their own, and packs
 * them without their symbols, with the sources, the tests, and Bun. The machine with the GPU then needs a driver and
 * python3, which unpacks both archives; it compiles nothing. There, `bash .gpu/gpuCheck.sh` runs the check.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { findToolkit, installToolkit, notFound } from './cudaToolkit.ts';
import { build, findTools, root, run, say, stop, writeJson } from './native.ts';

/** Code for sm_90 (H100, H200), and PTX, which a driver compiles for later GPUs. */
const ARCHITECTURES = '90;90-virtual';
/** The bytes that the pack may have. */
const LARGEST = 60 * 2 ** 20;

/** The files that are built: the library, the native tests, and the conformance program. */
export interface Programs {
  readonly library: string;
  readonly kernelTests: string;
  readonly conformance: string;
  /** Files with another content than that of the project. */
  readonly replaced?: Readonly<Record<string, string>>;
}

async function runOrStop(command: readonly string[]): Promise<void> {
  const lines: string[] = [];
  if (!(await run(command, line => lines.push(line)))) stop(`${command[0]} failed\n${lines.slice(-40).join('\n')}`);
}

async function buildPrograms(): Promise<Programs> {
  if (!findToolkit().found) await installToolkit(say);
  const search = findToolkit();
  if (!search.found) stop(notFound('nvcc', search));
  const folder = join(build, 'gpu-pack');
  const { compiler, generator } = findTools();
  const variables = {
    CASTOR_CUDA: 'ON',
    CASTOR_CUDA_ARCH: ARCHITECTURES,
    CMAKE_CUDA_COMPILER: search.found.nvcc,
    CMAKE_CUDA_HOST_COMPILER: compiler,
    // The other machine may have an older C++ runtime.
    CMAKE_EXE_LINKER_FLAGS: '-static-libstdc++ -static-libgcc',
  };
  const settings = Object.entries(variables).map(([key, value]) => `-D${key}=${value}`);
  say(`building for ${ARCHITECTURES} in ${folder}`);
  await runOrStop(['cmake', '-S', root, '-B', folder, '-G', generator, ...settings]);
  const targets = ['castor', 'castor_kernel_tests', 'castor_conformance_cuda'];
  await runOrStop(['cmake', '--build', folder, '-j', String(availableParallelism()), '--target', ...targets]);
  return {
    library: join(folder, 'libcastor.so'),
    kernelTests: join(folder, 'kernel_tests/castor_kernel_tests'),
    conformance: join(folder, 'kernel_tests/castor_conformance_cuda'),
  };
}

/** The files of the project, from its root: those of git, with new ones, or all where there is no git. */
function sources(): string[] {
  const { stdout, exitCode } = Bun.spawnSync(['git', 'ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    stderr: 'ignore',
  });
  if (exitCode === 0)
    return stdout
      .toString()
      .split('\n')
      .filter(file => file && existsSync(join(root, file)));
  const all = [...new Bun.Glob('**/*').scanSync({ cwd: root, dot: true })];
  return all.filter(file => !/^(node_modules|build|runs|\.git|\.gpu)\//.test(file));
}

/** The newest version of glibc that a file asks for. An older one on the other machine cannot run it. */
function glibcOf(file: string): string {
  const versions = readFileSync(file, 'latin1').match(/GLIBC_2\.\d+/g) ?? [];
  const minor = Math.max(...versions.map(version => Number(version.split('.')[1])));
  return `2.${minor}`;
}

const commit = (): string | null => {
  const { stdout, exitCode } = Bun.spawnSync(['git', 'rev-parse', 'HEAD'], { cwd: root, stderr: 'ignore' });
  return exitCode === 0 ? stdout.toString().trim() : null;
};

/** Copies what the archive contains into a folder. The programs lie where a build puts them. */
async function stage(folder: string, { library, kernelTests, conformance, replaced = {} }: Programs): Promise<void> {
  const put = (from: string, to: string): void => {
    mkdirSync(dirname(join(folder, to)), { recursive: true });
    copyFileSync(from, join(folder, to));
  };
  for (const file of sources()) put(join(root, file), file);
  for (const [file, content] of Object.entries(replaced)) await Bun.write(join(folder, file), content);
  const built = { 'libcastor.so': library, 'kernel_tests/castor_kernel_tests': kernelTests };
  const all = Object.entries({ ...built, 'kernel_tests/castor_conformance_cuda': conformance });
  for (const [name, from] of all) {
    const to = join(folder, 'build', name);
    put(from, join('build', name));
    chmodSync(to, 0o755);
    // Wrappers that a rehearsal puts in the place of a program have no symbols.
    if (readFileSync(to).subarray(1, 4).toString() === 'ELF') await runOrStop(['strip', '--strip-unneeded', to]);
  }
  const elf = all.map(([, from]) => from).filter(from => readFileSync(from).subarray(1, 4).toString() === 'ELF');
  const glibc = elf.map(glibcOf).sort(Bun.semver.order).at(-1);
  writeJson(join(folder, 'build/manifest.json'), {
    commit: commit(),
    date: new Date().toISOString(),
    bun: Bun.version,
    glibc,
  });
}

const compressor = `import lzma, os, shutil, sys, tarfile
kind, source, target, preset = sys.argv[1:]
if kind == 'tar':
    with tarfile.open(target + '.partial', 'w:xz', preset=int(preset)) as archive:
        archive.add(source, arcname='.')
else:
    with open(source, 'rb') as file, lzma.open(target + '.partial', 'wb', preset=int(preset)) as packed:
        shutil.copyfileobj(file, packed, 1 << 20)
os.replace(target + '.partial', target)`;
const compress = (kind: 'tar' | 'file', source: string, target: string, preset: number): Promise<void> =>
  runOrStop(['python3', '-c', compressor, kind, source, target, String(preset)]);

/**
 * Writes a pack into a folder.
 * @param preset how hard to compress, from 0 to 9
 */
export async function pack(folder: string, programs: Programs, preset: number): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const staged = mkdtempSync(join(tmpdir(), 'castor-pack-'));
  try {
    await stage(staged, programs);
    await compress('tar', staged, join(folder, 'castor.tar.xz'), preset);
  } finally {
    rmSync(staged, { recursive: true, force: true });
  }
  // Bun takes most of the time, so it is packed once for each version.
  const [bun, version] = [join(folder, 'bun.xz'), join(folder, 'bun.version')];
  if (!existsSync(bun) || !existsSync(version) || readFileSync(version, 'utf8') !== Bun.version) {
    await compress('file', process.execPath, bun, preset);
    await Bun.write(version, Bun.version);
  }
  copyFileSync(join(root, 'scripts/gpuCheck.sh'), join(folder, 'gpuCheck.sh'));
}

if (import.meta.main) {
  const folder = join(root, '.gpu');
  const start = performance.now();
  await pack(folder, await buildPrograms(), 6);
  const files = ['castor.tar.xz', 'bun.xz', 'bun.version', 'gpuCheck.sh'];
  const sizes = files.map(file => statSync(join(folder, file)).size);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  for (const [i, file] of files.entries()) say(`${file}: ${(sizes[i]! / 2 ** 20).toFixed(1)} MiB`);
  say(`${(bytes / 2 ** 20).toFixed(1)} MiB in ${folder}, in ${((performance.now() - start) / 1000).toFixed(0)} s`);
  if (bytes > LARGEST) stop(`the pack has more than ${LARGEST / 2 ** 20} MiB`);
}
