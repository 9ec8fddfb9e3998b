/**
 * Mutation testing: do the tests notice when Castor is made wrong? Makes small changes to runtime/, abi/ and cpu/, one
 * at a time, each in a copy of the project, and runs the tests until one of them fails: `bun scripts/mutants.ts [part
 * of a path ...]`. A change of native code that they do not notice is compiled once more with AddressSanitizer, as
 * `npm run test:memory` runs the tests. A change that no test can notice is listed in tests/mutants.json with the
 * reason. At least 95 % of the others must be noticed. The last line is `N passed, N failed`.
 *
 *     --count N   the number of changes (default 200), chosen at random among all that are possible
 *     --seed S    of the random choice (default 1)
 *     --jobs N    the number of changes at a time (default: one for each core)
 *     --list      prints the changes without making them
 */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { changesProgram, mutationsOf, sample, type Mutation } from './mutations.ts';
import { findTools, root, sanitizerSettings, say, stop, testFiles, testsMemory } from './native.ts';

const wanted = process.argv.slice(2);
function option(name: string, otherwise: number): number {
  const at = wanted.indexOf(name);
  const value = at >= 0 ? Number(wanted.splice(at, 2)[1]) : otherwise;
  return Number.isSafeInteger(value) && value >= 0 ? value : stop(`${name} takes a whole number`);
}
const count = option('--count', 200);
const seed = option('--seed', 1);
const jobs = option('--jobs', availableParallelism());
const list = wanted.includes('--list') && wanted.splice(wanted.indexOf('--list'), 1).length > 0;

/** The share of the changes not in the list that the tests must notice. */
const ENOUGH = 0.95;
/** The seconds that a test file may take beyond five times its usual time. With a change it may run forever. */
const PATIENCE = 20;
/**
 * Test files that are not run: those for scripts, documentation, source rules and the list of changes, and those that
 * run other tests again.
 */
const leftOut = ['scripts', 'docs', 'structure', 'kernelRules', 'mutants', 'addOp', 'hover', 'fuzz'];

interface Equivalent {
  readonly file: string;
  readonly before: string;
  /** One change of the line, or several with the same reason. */
  readonly after: string | readonly string[];
  readonly reason: string;
}
const equivalents = JSON.parse(readFileSync(join(root, 'tests/mutants.json'), 'utf8')) as Equivalent[];
const isListed = (m: Mutation): boolean =>
  equivalents.some(e => e.file === m.file && e.before === m.before && [e.after].flat().includes(m.after));

const sources = ['runtime/**/*.ts', 'abi/*.{cpp,h}', 'cpu/*.{cpp,h}'];
/** Files for units that the narrowest instruction set does not have. They are tested by `npm run test:levels`. */
const notCompiled = ['cpu/products.cpp', 'cpu/tiles.h'];
const isTypeScript = (file: string): boolean => file.endsWith('.ts');
const isNative = ({ file }: Mutation): boolean => !isTypeScript(file);

function candidates(): Mutation[] {
  const all = sources.flatMap(glob => [...new Bun.Glob(glob).scanSync(root)]).sort();
  const files = all.filter(file => !notCompiled.includes(file));
  const chosen = wanted.length === 0 ? files : files.filter(file => wanted.some(part => file.includes(part)));
  return chosen.flatMap(file => {
    const text = readFileSync(join(root, file), 'utf8');
    const all = mutationsOf(file, text);
    return isTypeScript(file) ? all.filter(m => changesProgram(text, m)) : all;
  });
}

const triedFiles = testFiles().filter(file => !leftOut.includes(basename(file, '.test.ts')));

interface TestFile {
  readonly file: string;
  readonly seconds: number;
  /** The number of changes of native code that it has noticed. */
  noticed: number;
  /** The lines of runtime/ that it executes, as `path:line`. */
  readonly lines: ReadonlySet<string>;
}

/** A copy of the project in which files may be changed, with its own build folder. */
class Copy {
  readonly folder: string;
  #configured = false;
  constructor(name: string) {
    this.folder = join(tmpdir(), `castor-mutants-${process.pid}`, name);
    mkdirSync(join(this.folder, 'build'), { recursive: true });
    const skipped = new Set(['node_modules', 'build', '.git', 'runs', '.gpu']);
    cpSync(root, this.folder, { recursive: true, filter: path => !skipped.has(basename(path)) });
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'));
    cpSync(join(root, 'build/libcastor.so'), join(this.folder, 'build/libcastor.so'));
  }

  async run(command: readonly string[], seconds: number, settings: Record<string, string> = {}): Promise<boolean> {
    const child = Bun.spawn([...command], {
      cwd: this.folder,
      stdio: ['ignore', 'ignore', 'ignore'],
      env: { ...process.env, CASTOR_NUM_THREADS: '2', ...settings },
      timeout: Math.ceil(seconds * 1000),
      killSignal: 'SIGKILL',
    });
    return (await child.exited) === 0;
  }

  test(file: string, seconds: number, ...flags: string[]): Promise<boolean> {
    return this.run([process.execPath, 'test', '--bail', ...flags, `./${file}`], seconds);
  }

  /** Runs a test file with the library that `build('castor_cpu_asan')` makes. */
  testMemory(file: string, seconds: number): Promise<boolean> {
    const library = join(this.folder, 'build/castor_cpu_asan/libcastor.so');
    const settings = { CASTOR_LIBRARY: library, ...sanitizerSettings() };
    return this.run([process.execPath, 'test', '--bail', `./${file}`], seconds, settings);
  }

  /**
   * Compiles with less optimisation than the shipped library and for one instruction set, because compiling takes most
   * of the time.
   */
  async build(target: 'castor' | 'castor_cpu_asan' = 'castor'): Promise<boolean> {
    const folder = join(this.folder, 'build');
    if (!this.#configured) {
      const { compiler, generator } = findTools();
      // CMakeLists.txt decides how Release is compiled, so this is a build type of its own.
      const less = ['-DCMAKE_BUILD_TYPE=Mutants', '-DCMAKE_CXX_FLAGS_MUTANTS=-O1', '-DCASTOR_NARROWEST_ISAS=1'];
      const flags = [`-DCMAKE_CXX_COMPILER=${compiler}`, ...less];
      if (!(await this.run(['cmake', '-S', this.folder, '-B', folder, '-G', generator, ...flags], 600))) return false;
      this.#configured = true;
    }
    return this.run(['cmake', '--build', folder, '--target', target, '-j', '2'], 1200);
  }

  write(file: string, text: string): void {
    writeFileSync(join(this.folder, file), text);
  }
}

/**
 * Measures the time of each test file and, if TypeScript is changed, the lines of runtime/ that it executes. If native
 * code is changed, the library is compiled as the changed ones will be, so that a test that fails with it anyway does
 * not count as noticing.
 */
async function measure(copy: Copy): Promise<TestFile[]> {
  if (all.some(isNative) && !(await copy.build())) stop('the project does not compile without a change');
  const folder = join(copy.folder, 'build/coverage');
  const coverage = ['--coverage', '--coverage-reporter=lcov', `--coverage-dir=${folder}`];
  const flags = all.every(isNative) ? [] : coverage;
  const files: TestFile[] = [];
  for (const file of triedFiles) {
    const started = performance.now();
    if (!(await copy.test(file, 900, ...flags))) stop(`${file} fails without a change`);
    const seconds = (performance.now() - started) / 1000;
    const report = join(folder, 'lcov.info');
    const lines = existsSync(report) ? linesOf(readFileSync(report, 'utf8')) : new Set<string>();
    files.push({ file, seconds, noticed: 0, lines });
    rmSync(folder, { recursive: true, force: true });
  }
  return files.toSorted((a, b) => a.seconds - b.seconds);
}

/** The lines that were executed, from a coverage report in lcov format. */
function linesOf(report: string): Set<string> {
  const lines = new Set<string>();
  let file = '';
  for (const line of report.split('\n')) {
    if (line.startsWith('SF:')) file = line.slice(3);
    const [, number, times] = /^DA:(\d+),(\d+)/.exec(line) ?? [];
    if (number !== undefined && times !== '0') lines.add(`${file}:${number}`);
  }
  return lines;
}

/**
 * The test file that notices a change of native code with AddressSanitizer, or null. Without the change it must pass.
 */
async function noticedByMemory(mutation: Mutation, original: string, copy: Copy, files: readonly TestFile[]) {
  if (!(await copy.build('castor_cpu_asan'))) return null;
  for (const { file, seconds } of files.filter(({ file }) => testsMemory(file))) {
    const limit = 20 * seconds + 3 * PATIENCE;
    if (await copy.testMemory(file, limit)) continue;
    copy.write(mutation.file, original);
    if (!(await copy.build('castor_cpu_asan')) || !(await copy.testMemory(file, limit)))
      stop(`${file} fails with AddressSanitizer without a change`);
    return file;
  }
  return null;
}

type Verdict = 'noticed' | 'missed' | 'invalid' | 'listed';

/** The number of noticed changes that a test file counts with at first, so that fast ones are tried early. */
const HOPE = 0.05;
const worth = ({ noticed, seconds }: TestFile): number => (noticed + HOPE) / seconds;

/**
 * The test files that may notice a change, in the order in which they are tried. For TypeScript these are the files
 * that execute the line, and those that run Castor in other processes, fastest first; all files if none executes it.
 * For native code these are all files, because there is no coverage report; first those that have noticed most changes
 * per second.
 */
function testsFor(mutation: Mutation, files: readonly TestFile[]): readonly TestFile[] {
  if (isNative(mutation)) return files.toSorted((a, b) => worth(b) - worth(a));
  const place = `${mutation.file}:${mutation.line}`;
  if (!files.some(({ lines }) => lines.has(place))) return files;
  return files.filter(({ lines }) => lines.has(place) || lines.size === 0);
}

async function judge(mutation: Mutation, copy: Copy, files: readonly TestFile[]): Promise<[Verdict, string]> {
  if (isListed(mutation)) return ['listed', ''];
  const native = isNative(mutation);
  // The original is read from the copy, because the files of the project may change during a long run.
  const original = readFileSync(join(copy.folder, mutation.file), 'utf8');
  copy.write(mutation.file, mutation.text);
  try {
    if (native && !(await copy.build())) return ['invalid', ''];
    for (const test of testsFor(mutation, files)) {
      if (await copy.test(test.file, 5 * test.seconds + PATIENCE)) continue;
      if (native) test.noticed++;
      return ['noticed', test.file];
    }
    const by = native ? await noticedByMemory(mutation, original, copy, files) : null;
    return by === null ? ['missed', ''] : ['noticed', `${by} with AddressSanitizer`];
  } finally {
    copy.write(mutation.file, original);
  }
}

const show = ({ file, line, before, after }: Mutation): string => `${file}:${line}\n    - ${before}\n    + ${after}`;

const all = candidates();
// Some changes of native code do not compile, so more are prepared than requested.
const queue = sample(all, list ? count : count * 2, seed).values();
say(`${all.length} changes are possible; ${count} are tried (seed ${seed})`);
if (list) {
  for (const mutation of queue) console.log(show(mutation));
  process.exit(0);
}

const totals: Record<Verdict, number> = { noticed: 0, missed: 0, invalid: 0, listed: 0 };
const copies = Array.from({ length: jobs }, (_, i) => new Copy(String(i)));
const scratch = join(tmpdir(), `castor-mutants-${process.pid}`);
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const files = await measure(copies[0]!);
say(`${files.length} test files take ${files.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(0)} s`);

let left = count;
await Promise.all(
  copies.map(async copy => {
    for (const mutation of queue) {
      if (left-- <= 0) break;
      const [verdict, by] = await judge(mutation, copy, files);
      totals[verdict]++;
      if (verdict === 'invalid') left++;
      if (verdict === 'missed') console.log(`not noticed: ${show(mutation)}`);
      else if (verdict === 'noticed') console.log(`noticed by ${by}: ${mutation.file}:${mutation.line}`);
    }
  }),
);

const { noticed, missed, listed, invalid } = totals;
const share = noticed / Math.max(noticed + missed, 1);
say(`${noticed} noticed, ${missed} not, ${listed} listed as changing nothing, ${invalid} do not compile`);
say(`${(100 * share).toFixed(1)} % of those that matter are noticed; ${100 * ENOUGH} % must be`);
console.log(`${noticed + listed} passed, ${share >= ENOUGH ? 0 : missed} failed`);
process.exit(share >= ENOUGH ? 0 : 1);
