/**
 * Finds CUDA's compiler and headers, or downloads them: `bun scripts/cudaToolkit.ts [--install] [--system FOLDER]`. The
 * download consists of NVIDIA's own Python wheels (compiler, runtime, headers, disassembler; about 300 MB unpacked) in
 * folders of the user's cache. Nothing of the system is changed. With --system, FOLDER is searched in the place of the
 * root folder, so that a test does not depend on what its machine has.
 */
import { existsSync, globSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { caches, download } from './wheels.ts';

const VERSION = '13.0.88';
const wheels = [
  `nvidia-cuda-nvcc==${VERSION}`,
  `nvidia-cuda-crt==${VERSION}`,
  `nvidia-nvvm==${VERSION}`,
  'nvidia-cuda-runtime==13.0.96',
  'nvidia-cuda-cccl==13.0.85',
];
/** The first version that exists as wheels. It reads what older compilers have written. */
const DISASSEMBLER = '13.2.78';
const disassemblerWheels = [`nvidia-cuda-cuobjdump==${DISASSEMBLER}`, `nvidia-cuda-nvdisasm==${DISASSEMBLER}`];
/**
 * The first version whose kernels may take more than 4 KB of arguments, which those for many tensors need
 * (cuda/multi.h).
 */
const OLDEST = '12.1';

const cache = join(caches, `cuda-${VERSION}`);
const disassemblerCache = join(caches, `disassembler-${DISASSEMBLER}`);

export interface Toolkit {
  readonly nvcc: string;
  /** In the form of nvcc: 13.0.88. */
  readonly version: string;
  /** The folder that contains cuda_runtime.h. */
  readonly headers: string;
}
export interface Search<T> {
  readonly found: T | null;
  /** Each place that was searched, with the reason why it is not suitable. */
  readonly looked: readonly string[];
}

/** The folders of Python packages: those that python3 names, and the usual ones. */
function sitePackages(system: string): string[] {
  const code = 'import site; print(*site.getsitepackages(), site.getusersitepackages(), sep="\\n")';
  const asked = Bun.which('python3') ? Bun.spawnSync(['python3', '-c', code], { stderr: 'ignore' }).stdout : '';
  const roots = [process.env.VIRTUAL_ENV, process.env.CONDA_PREFIX, join(homedir(), '.local')].filter(Boolean);
  return [
    ...asked.toString().split('\n').filter(Boolean),
    ...globSync(roots.map(root => `${root}/lib/python3*/site-packages`)),
    ...globSync(`${system}/usr/{lib,local/lib}/python3*/{dist,site}-packages`),
  ];
}

/** Folders that may contain bin/nvcc and include/cuda_runtime.h, in order of preference, with the name of the place. */
function* places(system: string): Generator<readonly [place: string, folders: readonly string[]]> {
  const onPath = Bun.which('nvcc');
  yield ['PATH', onPath ? [dirname(dirname(realpathSync(onPath))), dirname(dirname(onPath))] : []];
  for (const name of ['CUDA_HOME', 'CUDA_PATH']) {
    const folder = process.env[name];
    yield [folder ? `${name} (${folder})` : `${name} (not set)`, folder ? [folder] : []];
  }
  const usual = `${system}/usr/local/cuda`;
  yield [usual, [usual, ...globSync(`${usual}-*`).toSorted().reverse()]];
  yield [`the project's cache (${cache})`, [join(cache, 'nvidia/cu13')]];
  const sites = [...new Set(sitePackages(system))];
  yield [
    `nvidia/cu* of Python's packages (${sites.join(', ') || 'none found'})`,
    globSync(sites.map(s => `${s}/nvidia/cu*`)),
  ];
}

const headersNeeded = ['cuda_runtime.h', 'cuda_fp16.h', 'crt/host_config.h'];
const headersIn = (folder: string): string | undefined =>
  [join(folder, 'include'), join(folder, 'targets/x86_64-linux/include')].find(include =>
    headersNeeded.every(name => existsSync(join(include, name))),
  );

/** The toolkit in a folder, or the reason why it cannot be used, or undefined if there is nothing of it. */
function toolkitIn(folder: string, system: string): Toolkit | Error | undefined {
  const nvcc = join(folder, 'bin/nvcc');
  if (!existsSync(nvcc)) return undefined;
  const { stdout, exitCode } = Bun.spawnSync([nvcc, '--version'], { stderr: 'ignore' });
  const version = /V(\d+\.\d+\.\d+)/.exec(stdout.toString())?.[1];
  if (exitCode !== 0 || !version) return new Error(`${nvcc} does not run`);
  if (Bun.semver.order(version, `${OLDEST}.0`) < 0)
    return new Error(`${nvcc} is version ${version}; ${OLDEST} or newer is needed`);
  const headers = headersIn(folder) ?? headersIn(`${system}/usr`);
  return headers ? { nvcc, version, headers } : new Error(`${nvcc} has no headers (${headersNeeded.join(', ')})`);
}

function search<T extends object | string>(
  look: (folder: string, system: string) => T | Error | undefined,
  system = '',
): Search<T> {
  const looked: string[] = [];
  for (const [place, folders] of places(system)) {
    const wrong: string[] = [];
    for (const folder of new Set(folders)) {
      const result = look(folder, system);
      if (result instanceof Error) wrong.push(result.message);
      else if (result) return { found: result, looked };
    }
    looked.push([place, ...wrong].join(': '));
  }
  return { found: null, looked };
}

/** Finds a compiler with its headers. */
export const findToolkit = (system?: string): Search<Toolkit> => search(toolkitIn, system);

/** Finds the folder with cuda_runtime.h, which is all that the emulated device needs. */
export const findHeaders = (): Search<string> => search(headersIn);

const disassemblerIn = (folder: string): string | undefined =>
  ['cuobjdump', 'nvdisasm'].every(tool => existsSync(join(folder, 'bin', tool))) ? join(folder, 'bin') : undefined;

/**
 * Finds the folder with cuobjdump and nvdisasm. The downloaded ones are preferred, so that everybody reads the same
 * output.
 */
export function findDisassembler(): Search<string> {
  const downloaded = disassemblerIn(join(disassemblerCache, 'nvidia/cu13'));
  return downloaded ? { found: downloaded, looked: [] } : search(disassemblerIn);
}

export const notFound = (what: string, { looked }: Search<unknown>): string =>
  `no ${what} found; looked in\n${looked.map(place => `  ${place}`).join('\n')}\n` +
  `Install the CUDA toolkit (${OLDEST} or newer), set CUDA_HOME, or fetch version ${VERSION} into the cache: bun scripts/cudaToolkit.ts --install`;

/** Downloads the compiler with its headers. */
export const installToolkit = (say: (text: string) => void): Promise<void> =>
  download(`CUDA ${VERSION}`, cache, wheels, say);

/** Downloads the programs that print machine code. */
const installDisassembler = (say: (text: string) => void): Promise<void> =>
  download(`cuobjdump ${DISASSEMBLER}`, disassemblerCache, disassemblerWheels, say);

if (import.meta.main) {
  const say = (text: string): void => console.log(`castor: ${text}`);
  try {
    if (process.argv.includes('--install')) {
      await installToolkit(say);
      await installDisassembler(say);
    }
    const at = process.argv.indexOf('--system');
    const result = findToolkit(at < 0 ? undefined : process.argv[at + 1]);
    if (!result.found) throw new Error(notFound('nvcc', result));
    say(`nvcc ${result.found.version} at ${result.found.nvcc}, headers in ${result.found.headers}`);
  } catch (error) {
    console.error(`castor: ${(error as Error).message}`);
    process.exit(1);
  }
}
