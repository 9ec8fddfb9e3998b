/**
 * Runs everything that only a GPU can show, in under nine minutes: builds for the GPU of this machine, compares the
 * wrappers of the device code with the emulator's results, runs the native and the TypeScript tests and
 * compute-sanitizer, and compares the speed with PyTorch. It needs no network and no node_modules. At the end it prints
 * a table and writes a report in JSON.
 *
 *     npm run gpu:check -- [--only PART,...] [--out FILE] [--fresh] [--limit SECONDS] [--library FILE] [--tiny]
 *
 * Parts that have passed with the same library are not run again, unless --fresh or --only is given; the report
 * contains their earlier results. With --only the library is built as well. After the limit (530 s) no further part is
 * started and the run is incomplete; the next run continues. With --library nothing is built and that library is
 * tested; with --tiny the benchmarks are small. The two together test this program on the emulated device.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { compare } from './conformance.ts';
import { findToolkit } from './cudaToolkit.ts';
import { build, cached, root, say, stop, writeJson } from './native.ts';

const args = process.argv.slice(2);
const flag = (name: string): boolean => args.includes(name);
const option = (name: string): string | undefined => (flag(name) ? args[args.indexOf(name) + 1] : undefined);

const TOTAL = Number(option('--limit') ?? 530);
const given = option('--library');
/** Trial runs are kept apart from real checks. */
const folder = join(build, given || flag('--tiny') ? 'gpu-check-trial' : 'gpu-check');
const library = resolve(given ?? join(build, 'libcastor.so'));
const emulated = given !== undefined && basename(join(library, '..')).startsWith('castor_emulated');
const out = resolve(option('--out') ?? join(folder, 'report.json'));
const started = performance.now();
const elapsed = (): number => (performance.now() - started) / 1000;

interface Outcome {
  /** incomplete: not started, because the time was up. */
  status: 'passed' | 'failed' | 'skipped' | 'incomplete';
  passed: number;
  failed: number;
  seconds: number;
  /** The reason why it was skipped, or what failed. */
  notes: string[];
  /** The fingerprint of the library that it ran with. */
  library: string;
}
interface Part {
  /** The number of seconds after which it counts as failed. */
  readonly limit: number;
  run(shell: Shell): Promise<Partial<Outcome> & { status: Outcome['status'] }>;
}
/** Runs a command and stores its output in the log of the part. */
type Shell = (command: readonly string[], env?: Record<string, string>) => Promise<{ code: number; text: string }>;

const bun = process.execPath;
const skipped = (why: string): { status: 'skipped'; notes: string[] } => ({ status: 'skipped', notes: [why] });
const passedIf = (ok: boolean, notes: string[]): { status: Outcome['status']; notes: string[] } => ({
  status: ok ? 'passed' : 'failed',
  notes: ok ? [] : notes,
});
const lastLines = (text: string, n = 5): string => text.trimEnd().split('\n').slice(-n).join('\n');

/** The result of a program whose last line is `N passed, N failed`. */
function counted({ code, text }: { code: number; text: string }): Partial<Outcome> & { status: Outcome['status'] } {
  const match = [...text.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1);
  const [passed, failed] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 1)];
  const bad = text.split('\n').filter(line => /^(\(fail\)|FAILED)/.test(line));
  const ended = code === 0 || match ? [] : [`ended with code ${code}: ${lastLines(text)}`];
  return {
    status: code === 0 && passed > 0 ? 'passed' : 'failed',
    passed,
    failed,
    notes: [...ended, ...bad].slice(0, 60),
  };
}

const target = async (shell: Shell, ...names: string[]): Promise<string | null> => {
  if (!cached('CMAKE_HOME_DIRECTORY'))
    return `${names.join(', ')} cannot be built: leave --library out, and all is built`;
  const { code, text } = await shell([
    ...['cmake', '--build', build, '-j', String(availableParallelism()), '--target'],
    ...names,
  ]);
  return code === 0 ? null : `${names.join(', ')} cannot be built: ${lastLines(text, 30)}`;
};
const kernelTests = join(build, 'kernel_tests/castor_kernel_tests');

const parts: Record<string, Part> = {
  build: {
    limit: 200,
    async run(shell) {
      if (given) return existsSync(library) ? skipped(`--library ${given}`) : passedIf(false, [`no ${library}`]);
      const { code, text } = await shell([bun, 'scripts/build.ts', '--cuda']);
      return passedIf(code === 0, [lastLines(text, 40)]);
    },
  },
  device: {
    limit: 30,
    async run(shell) {
      const program = `import { deviceInfo, ones } from './runtime/index.ts';
        console.log(JSON.stringify(deviceInfo('cuda')));
        if (ones([1000], { device: 'cuda' }).mul(2).sum().itemSync() !== 2000) throw new Error('1000 twos do not sum to 2000');`;
      const { code, text } = await shell([bun, '-e', program]);
      const error = text.split('\n').find(each => /^\w*Error: /.test(each));
      return { status: code === 0 ? 'passed' : 'failed', notes: [error ?? lastLines(text)] };
    },
  },
  conformance: {
    limit: 60,
    async run(shell) {
      const name = emulated ? 'castor_conformance_emulated' : 'castor_conformance_cuda';
      const unbuilt = await target(shell, name);
      if (unbuilt) return passedIf(false, [unbuilt]);
      const { code, text } = await shell([join(build, 'kernel_tests', name)]);
      const { passed, wrong } = await compare(text);
      const status = code === 0 && wrong.length === 0 ? 'passed' : 'failed';
      return { status, passed, failed: wrong.length, notes: wrong.slice(0, 60) };
    },
  },
  kernels: {
    limit: 120,
    async run(shell) {
      const wrong = await target(shell, 'castor_kernel_tests');
      return wrong ? passedIf(false, [wrong]) : counted(await shell([kernelTests]));
    },
  },
  benchmarks: {
    limit: 170,
    async run(shell) {
      // The program needs some more time to finish the part that it is in.
      const limit = String(Math.max(20, Math.min(this.limit, TOTAL - elapsed()) - 50));
      const figures = join(folder, 'figures.json');
      rmSync(figures, { force: true });
      const tiny = flag('--tiny') ? ['--tiny'] : [];
      const { code, text } = await shell([bun, 'benchmarks/gpu.ts', '--limit', limit, '--out', figures, ...tiny]);
      return passedIf(code === 0, [lastLines(text, 12)]);
    },
  },
  suite: {
    limit: 180,
    async run(shell) {
      const jobs = String(Math.max(1, Math.min(6, availableParallelism() >> 1)));
      return counted(await shell([bun, 'scripts/test.ts', '--library', library, '--jobs', jobs]));
    },
  },
  sanitizer: {
    limit: 90,
    async run(shell) {
      const tool = Bun.which('compute-sanitizer') ?? findSanitizer();
      if (!tool) return skipped('no compute-sanitizer on PATH or in the toolkit');
      if (emulated) return skipped('the emulated device has sanitizers of its own');
      const wrong = await target(shell, 'castor_kernel_tests');
      if (wrong) return passedIf(false, [wrong]);
      const notes: string[] = [];
      for (const check of ['memcheck', 'racecheck']) {
        const { code, text } = await shell([
          tool,
          '--tool',
          check,
          '--error-exitcode',
          '9',
          kernelTests,
          '--sample',
          '50',
        ]);
        if (code !== 0) notes.push(`${check}: ${lastLines(text, 20)}`);
      }
      return passedIf(notes.length === 0, notes);
    },
  },
};

function findSanitizer(): string | undefined {
  const nvcc = findToolkit().found?.nvcc;
  return nvcc && [join(nvcc, '../compute-sanitizer')].find(existsSync);
}

/** Identifies the library that a part ran with. With another library it has to run again. */
function fingerprint(): string {
  const stat = statSync(library, { throwIfNoEntry: false });
  return stat ? `${library} ${stat.size} ${stat.mtimeMs}` : `${library} missing`;
}

const fileOf = (name: string): string => join(folder, `${name}.json`);
function remembered(name: string): Outcome | null {
  if (!existsSync(fileOf(name))) return null;
  const outcome = JSON.parse(readFileSync(fileOf(name), 'utf8')) as Outcome;
  return outcome.library === fingerprint() ? outcome : null;
}

function shellFor(name: string, limit: number): Shell {
  const log = join(folder, `${name}.log`);
  writeFileSync(log, '');
  const end = Math.min(elapsed() + limit, TOTAL);
  return async (command, env = {}) => {
    const seconds = Math.max(1, end - elapsed());
    const child = Bun.spawn(['timeout', '-k', '5', String(seconds), 'sh', '-c', 'exec "$@" 2>&1', 'sh', ...command], {
      cwd: root,
      env: { ...process.env, CASTOR_LIBRARY: library, ...env },
      stdin: 'ignore',
      stdout: 'pipe',
    });
    const text = await new Response(child.stdout).text();
    const code = await child.exited;
    const note = code === 124 || code === 137 ? `\nstopped after ${seconds.toFixed(0)} s` : '';
    writeFileSync(log, `$ ${command.join(' ')}\n${text}${note}\n`, { flag: 'a' });
    return { code, text: text + note };
  };
}

async function runPart(name: string, part: Part): Promise<Outcome> {
  const start = elapsed();
  let result: Partial<Outcome> & { status: Outcome['status'] };
  try {
    result = start > TOTAL - 5 ? { status: 'incomplete' } : await part.run(shellFor(name, part.limit));
  } catch (error) {
    result = passedIf(false, [String((error as Error).stack)]);
  }
  const outcome = { passed: 0, failed: 0, notes: [], seconds: elapsed() - start, ...result, library: fingerprint() };
  if (outcome.status !== 'incomplete') writeJson(fileOf(name), outcome);
  return outcome;
}

/** The first line that a command prints, or null if the command does not exist. */
function line(...command: string[]): string | null {
  if (!Bun.which(command[0]!)) return null;
  const { stdout, exitCode } = Bun.spawnSync(command, { cwd: root, stderr: 'ignore', timeout: 10_000 });
  return exitCode === 0 ? (stdout.toString().trim().split('\n')[0] ?? null) : null;
}
const about = {
  date: new Date().toISOString(),
  commit: line('git', 'rev-parse', 'HEAD'),
  changed: line('git', 'status', '--porcelain', '--untracked-files=no') !== '',
  gpu: line('nvidia-smi', '--query-gpu=name,driver_version,compute_cap,memory.total', '--format=csv,noheader'),
  clocks: line('nvidia-smi', '--query-gpu=clocks.sm,clocks.mem,power.limit', '--format=csv,noheader'),
  nvcc: findToolkit().found?.version ?? null,
  compiler: line('c++', '--version'),
  cmake: line('cmake', '--version'),
  bun: Bun.version,
  system: line('uname', '-sr'),
  processor: `${cpus()[0]?.model}, ${availableParallelism()} threads`,
  library,
};

const figures = (): unknown => {
  const file = join(folder, 'figures.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
};

if (flag('--help')) {
  console.log(
    readFileSync(import.meta.path, 'utf8')
      .split('*/')[0]!
      .replaceAll(/^\/?[* ]+/gm, ''),
  );
  process.exit(0);
}
if (flag('--fresh')) rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const only = option('--only')?.split(',');
const unknown = only?.find(name => !(name in parts));
if (unknown) stop(`there is no part '${unknown}'; there are ${Object.keys(parts).join(', ')}`);

const outcomes: Record<string, Outcome> = {};
/** The results of this run, and for the other parts their earlier results with this library. */
function report(): void {
  const all = Object.keys(parts).map(name => [name, outcomes[name] ?? remembered(name)] as const);
  const known = Object.fromEntries(all.filter(([, outcome]) => outcome));
  writeJson(out, { ...about, seconds: elapsed(), parts: known, figures: known.benchmarks ? figures() : null });
}
for (const [name, part] of Object.entries(parts)) {
  if (only && name !== 'build' && !only.includes(name)) continue;
  const last = only || name === 'build' ? null : remembered(name);
  const before = last?.status === 'passed' ? last : null;
  say(before ? `${name}: passed before, with this library` : `${name} ...`);
  outcomes[name] = before ?? (await runPart(name, part));
  // Written after each part, so that an interrupted run leaves a report as well.
  report();
  if (name === 'build' && outcomes.build!.status === 'failed') break;
}

console.log();
for (const [name, { status, passed, failed, seconds, notes }] of Object.entries(outcomes)) {
  const counts = passed + failed > 0 ? `${passed} passed, ${failed} failed` : '';
  console.log(`${name.padEnd(12)} ${status.padEnd(8)} ${seconds.toFixed(0).padStart(4)} s  ${counts}`);
  if (status !== 'passed') for (const note of notes.slice(0, 8)) console.log(`    ${note.replaceAll('\n', '\n    ')}`);
}
const measured = existsSync(join(folder, 'benchmarks.log')) && outcomes.benchmarks;
if (measured)
  console.log(`\n${readFileSync(join(folder, 'benchmarks.log'), 'utf8').split('\n').slice(1).join('\n').trim()}`);
console.log(`\nreport in ${out}; logs in ${folder}`);
const withStatus = (status: Outcome['status']): string[] =>
  Object.keys(outcomes).filter(name => outcomes[name]!.status === status);
const missing = withStatus('incomplete');
if (missing.length > 0) console.log(`incomplete: the time was up before ${missing.join(', ')}; run it again to go on`);
process.exit(withStatus('failed').length + missing.length > 0 ? 1 : 0);
