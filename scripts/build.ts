/** Builds the native library: `bun scripts/build.ts [--cuda]`. Does nothing, quickly, when it is newer than its sources. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';

const root = join(import.meta.dir, '..');
const build = join(root, 'build');
const library = join(build, 'libcastor.so');
const sources = ['abi', 'cpu', 'cuda', 'kernels', 'CMakeLists.txt', 'scripts/build.ts'].map(name => join(root, name));
const cuda = process.argv.includes('--cuda');
const started = performance.now();
const startedAt = new Date();

const say = (text: string): void => console.log(`castor: ${text}`);

function stop(text: string): never {
  console.error(`castor: ${text}`);
  process.exit(1);
}

/** Of a file, or of a directory and all in it: a directory changes when a file in it comes or goes. */
function newest(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map(name => newest(join(path, name))));
}

function cached(key: string): string | undefined {
  const cache = join(build, 'CMakeCache.txt');
  return existsSync(cache) ? new RegExp(`^${key}:\\w+=(.*)$`, 'm').exec(readFileSync(cache, 'utf8'))?.[1] : undefined;
}

function upToDate(): boolean {
  const built = statSync(library, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return built >= Math.max(...sources.map(newest)) && cached('CASTOR_CUDA') === (cuda ? 'ON' : 'OFF');
}

interface Tools {
  readonly compiler: string;
  readonly generator: string;
  readonly nvcc: string | null;
}

function findTools(): Tools {
  if (!Bun.which('cmake')) stop('no cmake found; install it: sudo apt-get install cmake (or dnf install cmake)');
  const compiler = [process.env.CXX, 'g++', 'clang++', 'c++']
    .map(name => (name ? Bun.which(name) : null))
    .find(Boolean);
  if (!compiler) stop('no C++ compiler found; install one: sudo apt-get install g++ (or dnf install gcc-c++)');
  const generator = Bun.which('ninja') ? 'Ninja' : Bun.which('make') ? 'Unix Makefiles' : null;
  if (!generator)
    stop('no build tool found; install one: sudo apt-get install ninja-build (or dnf install ninja-build)');
  const nvcc = Bun.which('nvcc') ?? Bun.which('/usr/local/cuda/bin/nvcc');
  if (cuda && !nvcc) stop('no nvcc found; install the CUDA toolkit, or build without --cuda');
  return { compiler, generator, nvcc };
}

const version = (command: string): string =>
  Bun.spawnSync([command, '--version']).stdout.toString().split('\n')[0] ?? command;

/** Runs a command to its end and hands over each line it prints as it comes. */
async function run(command: readonly string[], onLine: (line: string) => void): Promise<boolean> {
  const child = Bun.spawn(['sh', '-c', 'exec "$@" 2>&1', 'sh', ...command], {
    cwd: root,
    stdout: 'pipe',
  });
  let rest = '';
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  }
  if (rest) onLine(rest);
  return (await child.exited) === 0;
}

async function configure({ compiler, generator, nvcc }: Tools): Promise<void> {
  if (cached('CMAKE_HOME_DIRECTORY') !== root || cached('CMAKE_CXX_COMPILER') !== compiler)
    rmSync(build, { recursive: true, force: true });
  const fresh = existsSync(join(build, 'CMakeCache.txt')) ? [] : ['-G', generator, `-DCMAKE_CXX_COMPILER=${compiler}`];
  const lines: string[] = [];
  const ok = await run(['cmake', '-S', root, '-B', build, ...fresh, `-DCASTOR_CUDA=${cuda ? 'ON' : 'OFF'}`], line =>
    lines.push(line),
  );
  if (!ok) stop(`cmake failed\n${lines.join('\n')}`);
  const isas = /instruction sets: (.*)/.exec(lines.join('\n'))?.[1]?.replaceAll(';', ', ');
  say(
    `${version(compiler)}; instruction sets ${isas}; ${nvcc ? `nvcc at ${nvcc}${cuda ? '' : ' (not used without --cuda)'}` : 'no nvcc'}`,
  );
}

/** One line, rewritten on a terminal; elsewhere a line each quarter. */
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

/** What Ninja prints before a step, and what Make does: with a percentage, which is then out of 100. */
const step = /^\[\s*(\d+)(?:\/(\d+)|%)\]/;

async function compile(): Promise<void> {
  const show = progress();
  const messages: string[] = [];
  const ok = await run(['cmake', '--build', build, '-j', String(availableParallelism())], line => {
    const match = step.exec(line);
    if (match) show(Number(match[1]), Number(match[2] ?? 100));
    if (!match || line.includes('FAILED')) messages.push(line);
  });
  if (!ok && process.stdout.isTTY) console.log();
  if (!ok) stop(`the compiler failed\n${messages.join('\n')}`);
  if (messages.some(line => line.includes('warning:'))) console.log(messages.join('\n'));
}

/** One build at a time: a second one waits for the first, and then finds its work done. */
function buildAlone(): void {
  if (process.env.CASTOR_BUILD_ALONE || !Bun.which('flock')) return;
  const child = Bun.spawnSync(['flock', import.meta.path, process.execPath, ...process.argv.slice(1)], {
    stdio: ['inherit', 'inherit', 'inherit'],
    env: { ...process.env, CASTOR_BUILD_ALONE: '1' },
  });
  process.exit(child.exitCode);
}

if (!upToDate()) buildAlone();
if (upToDate()) {
  say(`${relative(process.cwd(), library)} is up to date`);
} else {
  await configure(findTools());
  await compile();
  // As of the start: a source that changed meanwhile is newer.
  utimesSync(library, startedAt, startedAt);
  say(`built ${relative(process.cwd(), library)} in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
