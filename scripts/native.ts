/** Functions that the build scripts share: the build folder, the tools, and running them. */
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export const root = join(import.meta.dir, '..');
export const build = join(root, 'build');

export const say = (text: string): void => console.log(`castor: ${text}`);

export function stop(text: string): never {
  console.error(`castor: ${text}`);
  process.exit(1);
}

/** Writes a file as JSON. A reader sees either the whole new file or the old one. */
export function writeJson(file: string, value: unknown): void {
  writeFileSync(`${file}.partial`, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(`${file}.partial`, file);
}

/** The test files of the project, and not those that packages in node_modules bring. */
export const testFiles = (): string[] =>
  [...new Bun.Glob('tests/**/*.test.ts').scanSync(root)].filter(file => !file.includes('node_modules/')).toSorted();

/**
 * The time of the newest change of a file, or of a directory and everything in it. A directory changes when a file in
 * it is added or removed.
 */
export function newest(path: string): number {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map(name => newest(join(path, name))));
}

/** A variable of CMake in the build folder. */
export function cached(key: string): string | undefined {
  const cache = join(build, 'CMakeCache.txt');
  return existsSync(cache) ? new RegExp(`^${key}:\\w+=(.*)$`, 'm').exec(readFileSync(cache, 'utf8'))?.[1] : undefined;
}

export interface Tools {
  readonly compiler: string;
  readonly generator: string;
}

/** The C++ compiler of this machine: the one that CXX names, else the first that is found. */
export const findCompiler = (): string | null =>
  [process.env.CXX, 'g++', 'clang++', 'c++'].map(name => (name ? Bun.which(name) : null)).find(Boolean) ?? null;

export function findTools(): Tools {
  if (!Bun.which('cmake')) stop('no cmake found; install it: sudo apt-get install cmake (or dnf install cmake)');
  const compiler = findCompiler();
  if (!compiler) stop('no C++ compiler found; install one: sudo apt-get install g++ (or dnf install gcc-c++)');
  const generator = Bun.which('ninja') ? 'Ninja' : Bun.which('make') ? 'Unix Makefiles' : null;
  if (!generator)
    stop('no build tool found; install one: sudo apt-get install ninja-build (or dnf install ninja-build)');
  return { compiler, generator };
}

/** Runs a command to its end, and passes each line of its output to a function as it comes. */
export async function run(
  command: readonly string[],
  onLine: (line: string) => void,
  env: Record<string, string | undefined> = process.env,
): Promise<boolean> {
  const child = Bun.spawn(['sh', '-c', 'exec "$@" 2>&1', 'sh', ...command], {
    cwd: root,
    stdout: 'pipe',
    env,
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

/**
 * The variables for a program that opens a library built with AddressSanitizer, but is not built with it itself. A
 * report ends the process.
 */
export function sanitizerSettings(): Record<string, string> {
  const compiler = process.env.CXX ?? 'g++';
  const runtime = Bun.spawnSync([compiler, '-print-file-name=libasan.so']).stdout.toString().trim();
  return {
    LD_PRELOAD: runtime,
    CASTOR_TEST_LIMIT: '300000',
    ASAN_OPTIONS: 'detect_leaks=0:detect_stack_use_after_return=0',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
}

/** Test files that run many kernels, beside those in tests/ops. */
const manyKernels = [
  'abi',
  'abiLayouts',
  'attention',
  'creation',
  'distributions',
  'emptyNorms',
  'graph',
  'indexErrors',
  'layers',
  'nn',
  'nullPointers',
  'optimizers',
  'parity',
  'precision',
  'randomGraphs',
  'refusals',
];
/** The test files that run with AddressSanitizer. tests/ops/isa.test.ts needs every instruction set. */
export const testsMemory = (file: string): boolean =>
  (file.startsWith('tests/ops/') && basename(file) !== 'isa.test.ts') ||
  manyKernels.includes(basename(file, '.test.ts'));
