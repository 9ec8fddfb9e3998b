/**
 * Builds the native library. If the library is newer than its sources, nothing is built.
 *
 *     bun scripts/build.ts                       for this machine: with the CUDA backend if there are a GPU and nvcc
 *     bun scripts/build.ts --cuda [--release]    with the CUDA backend; --release: for sm_80, sm_90 and later GPUs
 *     bun scripts/build.ts --no-cuda             without the CUDA backend
 *     bun scripts/build.ts --if-needed           only if no platform package with the library is installed
 *     bun scripts/build.ts --emulated [asan|race]   for tests: the CUDA device is an emulator on the CPU
 *     bun scripts/build.ts --models              for tests: units for matrix products are models in plain C++
 *     bun scripts/build.ts --asan                for tests: with AddressSanitizer, without the CUDA backend
 */
import { existsSync, globSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { installed } from '../runtime/ffi/installed.ts';
import { CUDA_PLATFORM, currentPlatform, packageOf } from '../runtime/ffi/platform.ts';
import { VERSION } from '../runtime/ffi/version.ts';
import { findHeaders, findToolkit, installToolkit, notFound } from './cudaToolkit.ts';
import { build, cached, findTools, newest, root, run, say, stop, type Tools } from './native.ts';

const flags = process.argv.slice(2);
const flag = (name: string): boolean => flags.includes(name);
const sources = ['abi', 'cpu', 'cuda', 'kernels', 'CMakeLists.txt', 'scripts/build.ts'].map(name => join(root, name));
const started = performance.now();
const startedAt = new Date();

/** A build: a target of CMake, its file, its variables, and a line that explains the choice. */
interface Goal {
  readonly target: string;
  readonly library: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly decision: string;
}

const goal = (target: string, decision: string, variables: Record<string, string>): Goal => {
  const library = join(build, target === 'castor' ? '' : target, 'libcastor.so');
  return { target, library, variables, decision };
};

const hasGpu = (): boolean => globSync(['/dev/nvidia[0-9]*', '/dev/dxg']).length > 0;

/** The library that is shipped. Once it has been built with the CUDA backend, later builds include it too. */
function shipped(): Goal {
  const without = (why: string): Goal => goal('castor', `no CUDA backend: ${why}`, { CASTOR_CUDA: 'OFF' });
  const demanded = flag('--cuda') || flag('--release');
  const kept = !demanded && cached('CASTOR_CUDA') === 'ON';
  if (flag('--no-cuda')) return without('--no-cuda');
  if (!demanded && !kept && !hasGpu()) return without('no GPU here (npm run build:cuda builds it all the same)');
  const search = findToolkit();
  if (!search.found && demanded) stop(notFound('nvcc', search));
  if (!search.found) return without('no nvcc (npm run build:cuda says where it was looked for)');
  const { nvcc, version } = search.found;
  const architecture = flag('--release') ? 'release' : (process.env.CASTOR_CUDA_ARCH ?? '');
  const variables = { CASTOR_CUDA: 'ON', CMAKE_CUDA_COMPILER: nvcc };
  const why = kept ? 'as before (--no-cuda leaves it out)' : demanded ? 'as asked' : 'a GPU is here';
  return goal('castor', `CUDA backend: ${why}; nvcc ${version} at ${nvcc}`, {
    ...variables,
    ...(kept ? {} : { CASTOR_CUDA_ARCH: architecture, CASTOR_WERROR: flag('--release') ? 'ON' : 'OFF' }),
  });
}

/** The library with the emulated device. CUDA's headers are downloaded if they are missing. */
async function emulated(): Promise<Goal> {
  const kind = flags[flags.indexOf('--emulated') + 1] ?? '';
  if (!['', 'asan', 'race'].includes(kind)) stop(`--emulated ${kind}: there are asan and race`);
  const known = cached('CASTOR_CUDA_HEADERS');
  let headers = known && existsSync(known) ? known : findHeaders().found;
  if (!headers) {
    await installToolkit(say);
    headers = findHeaders().found;
  }
  if (!headers) stop(notFound('headers of CUDA', findHeaders()));
  return goal(`castor_${kind || 'emulated'}`, `headers of CUDA in ${headers}`, {
    CASTOR_EMULATED: 'ON',
    CASTOR_CUDA_HEADERS: headers,
  });
}

function upToDate({ library, variables }: Goal): boolean {
  const built = statSync(library, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (built < Math.max(...sources.map(newest))) return false;
  return Object.entries(variables).every(([key, value]) => (cached(key) ?? '') === value);
}

/** The folders below build/ that other scripts fill: the libraries of platforms and the packages. */
const others = ['platforms', 'release'];
/** Begins anew, with all that was built here. */
function removeBuild(): void {
  const names = existsSync(build) ? readdirSync(build) : [];
  for (const name of names.filter(each => !others.includes(each))) rmSync(join(build, name), { recursive: true });
}

async function configure({ compiler, generator }: Tools, { variables, decision }: Goal): Promise<void> {
  const { CMAKE_CUDA_COMPILER: nvcc } = variables;
  const changed = nvcc !== undefined && ![nvcc, undefined].includes(cached('CMAKE_CUDA_COMPILER'));
  if (changed || cached('CMAKE_HOME_DIRECTORY') !== root || cached('CMAKE_CXX_COMPILER') !== compiler) removeBuild();
  const all = {
    ...variables,
    ...(existsSync(join(build, 'CMakeCache.txt')) ? {} : { CMAKE_CXX_COMPILER: compiler }),
    ...(nvcc ? { CMAKE_CUDA_HOST_COMPILER: compiler } : {}),
  };
  const lines: string[] = [];
  const ok = await run(
    ['cmake', '-S', root, '-B', build, '-G', generator, ...Object.entries(all).map(([k, v]) => `-D${k}=${v}`)],
    line => lines.push(line),
  );
  if (!ok) stop(`cmake failed\n${lines.join('\n')}`);
  const said = (what: string): string | undefined =>
    new RegExp(`-- ${what}: (.*)`).exec(lines.join('\n'))?.[1]?.replaceAll(';', ', ');
  const version = Bun.spawnSync([compiler, '--version']).stdout.toString().split('\n')[0];
  const architectures = said('CUDA architectures');
  say(`${version}; instruction sets ${said('instruction sets')}`);
  say(architectures && nvcc ? `${decision}; architectures ${architectures}` : decision);
}

/** On a terminal the progress is one line that is rewritten, elsewhere a line for each quarter. */
function progress(): (done: number, total: number) => void {
  let quarter = 0;
  return (done, total) => {
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    if (process.stdout.isTTY)
      process.stdout.write(`\r\x1b[Kcastor: compiling ${done}/${total}, ${seconds} s${done === total ? '\n' : ''}`);
    else if (Math.floor((4 * done) / total) > quarter) {
      quarter = Math.floor((4 * done) / total);
      say(`compiling ${done}/${total}, ${seconds} s`);
    }
  };
}

/** The prefix that Ninja and Make print for a step. Make prints a percentage, which counts as a number out of 100. */
const step = /^\[\s*(\d+)(?:\/(\d+)|%)\]/;

async function compile({ target }: Goal): Promise<void> {
  const show = progress();
  const messages: string[] = [];
  const ok = await run(['cmake', '--build', build, '--target', target, '-j', String(availableParallelism())], line => {
    const match = step.exec(line);
    if (match) show(Number(match[1]), Number(match[2] ?? 100));
    if (!match || line.includes('FAILED')) messages.push(line);
  });
  if (!ok && process.stdout.isTTY) console.log();
  if (!ok) stop(`the compiler failed\n${messages.join('\n')}`);
  if (messages.some(line => line.includes('warning:'))) console.log(messages.join('\n'));
}

/** Makes sure that only one build runs at a time. A second one waits for the first, and then finds nothing to do. */
function buildAlone(): void {
  if (process.env.CASTOR_BUILD_ALONE || !Bun.which('flock')) return;
  const child = Bun.spawnSync(['flock', import.meta.path, process.execPath, ...process.argv.slice(1)], {
    stdio: ['inherit', 'inherit', 'inherit'],
    env: { ...process.env, CASTOR_BUILD_ALONE: '1' },
  });
  process.exit(child.exitCode);
}

/** The library without the CUDA backend whose memory accesses AddressSanitizer checks. */
const sanitized = (): Goal => goal('castor_cpu_asan', 'no CUDA backend: --asan', {});
const models = (): Goal => goal('castor_models', 'models of the units for matrix products', {});

const wanted = flag('--emulated')
  ? await emulated()
  : flag('--models')
    ? models()
    : flag('--asan')
      ? sanitized()
      : shipped();
const { library } = wanted;
/** The installed package whose library the sources use as long as nothing is built, if it is of their version. */
const packageHere = (): string | undefined =>
  [CUDA_PLATFORM, currentPlatform()].find(platform => installed(platform)?.version === VERSION);
const used = flag('--if-needed') && !existsSync(library) ? packageHere() : undefined;
if (used !== undefined) {
  const gpu =
    hasGpu() && used !== CUDA_PLATFORM ? `, which does not know the GPU here; ${packageOf(CUDA_PLATFORM)} does` : '';
  say(`the library of ${packageOf(used)} is used${gpu}; npm run build builds one from these sources`);
  process.exit(0);
}
if (!upToDate(wanted)) buildAlone();
if (upToDate(wanted)) {
  say(`${relative(process.cwd(), library)} is up to date`);
} else {
  await configure(findTools(), wanted);
  await compile(wanted);
  // The library gets the time of the start, so that a source that changed during the build counts as newer.
  utimesSync(library, startedAt, startedAt);
  say(`built ${relative(process.cwd(), library)} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
