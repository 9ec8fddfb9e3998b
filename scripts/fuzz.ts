/**
 * Calls everything that is public with valid and invalid values, in subprocesses under limits of memory and time, and
 * runs chains of stateful actions: `npm run fuzz -- --calls 20000 --seed 1`. Every call must end with a result, a typed
 * error, or an error of the caller's own code. Anything else is a finding, which is printed once with a call that
 * reproduces it. `--only N` with the same seed repeats one call. The last line is `N passed, N failed`, the numbers of
 * calls.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { choice, parseOptions, whole, type OptionTable } from '../runtime/train/options.ts';
import type { Finding } from './fuzz/worker.ts';

const table = {
  calls: whole(20_000, 'calls to make'),
  seed: whole(1, 'decides all calls', 0),
  jobs: whole(2, 'processes at a time'),
  only: whole(0, 'make this call alone, and say what comes of it', 0),
  from: whole(0, 'number of the first call', 0),
  hang: whole(10, 'seconds of CPU time after which a call hangs'),
  memory: whole(4096, 'megabytes beyond which a process is ended'),
  plant: choice(['none', 'hang', 'crash', 'memory', 'internal'], 'none', 'a fault to put in, which must be found'),
} satisfies OptionTable;

/** The number of calls that one process makes. */
const PER_PROCESS = 1000;
/** The address space that the JavaScript engine reserves, which the kernel counts whether it is used or not. */
const RESERVED_BYTES = 8 * 2 ** 30;
/** A call that takes longer counts as hanging, even on a busy machine. */
const HANG_SECONDS = 90;

interface Totals {
  readonly counts: Map<string, number>;
  readonly findings: Map<string, Finding & { times: number }>;
}
const add = (totals: Totals, outcome: string, times = 1): void =>
  void totals.counts.set(outcome, (totals.counts.get(outcome) ?? 0) + times);
function note(totals: Totals, finding: Finding): void {
  const known = totals.findings.get(finding.key);
  if (known) known.times++;
  else totals.findings.set(finding.key, { ...finding, times: 1 });
}

const readText = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const lines = (path: string): string[] => readText(path).split('\n').filter(Boolean);

/** The CPU seconds and resident bytes of a process, or null if it has ended. */
function usage(pid: number): { cpu: number; resident: number } | null {
  const stat = readText(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields.length < 22) return null;
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, resident: Number(fields[21]) * 4096 };
}

interface Settings {
  readonly seed: number;
  readonly hang: number;
  readonly memory: number;
  readonly plant: string;
}

/** Waits for a process, and ends it if a call takes too long or too much memory. Returns why it ended. */
async function watch(
  child: Bun.Subprocess,
  status: string,
  { hang, memory }: Settings,
): Promise<'done' | 'crash' | 'hang' | 'memory'> {
  let last = '';
  let since = { cpu: 0, time: performance.now() };
  let verdict: 'hang' | 'memory' | null = null;
  const timer = setInterval(() => {
    const now = usage(child.pid);
    if (now === null) return;
    const text = readText(status);
    if (text !== last) {
      last = text;
      since = { cpu: now.cpu, time: performance.now() };
    }
    const seconds = (performance.now() - since.time) / 1000;
    if (now.resident > memory * 2 ** 20) verdict = 'memory';
    else if (now.cpu - since.cpu > hang || seconds > HANG_SECONDS) verdict = 'hang';
    if (verdict !== null) child.kill('SIGKILL');
  }, 50);
  const code = await child.exited;
  clearInterval(timer);
  return verdict ?? (code === 0 ? 'done' : 'crash');
}

/** Makes the calls from..to. After a call that ended its process, a new process continues. */
async function batch(settings: Settings, from: number, to: number, totals: Totals): Promise<void> {
  const { seed, plant } = settings;
  for (let next = from; next < to;) {
    const folder = mkdtempSync(join(tmpdir(), 'castor-fuzz-'));
    const script = resolve(import.meta.path);
    const command = [
      process.execPath,
      '--no-install',
      script,
      'worker',
      String(seed),
      String(next),
      String(to),
      folder,
    ];
    const limited = [
      'prlimit',
      `--data=${settings.memory * 2 ** 20 + RESERVED_BYTES}`,
      '--core=0',
      '--fsize=1000000000',
      '--',
      ...command,
    ];
    const env = { ...process.env, CASTOR_NUM_THREADS: '1', NODE_NO_WARNINGS: '1', CASTOR_FUZZ_PLANT: plant };
    const child = Bun.spawn(limited, { stdout: 'ignore', stderr: Bun.file(`${folder}/errors`), stdin: 'ignore', env });
    const end = await watch(child, `${folder}/status`, settings);
    for (const line of lines(`${folder}/findings`)) note(totals, JSON.parse(line) as Finding);
    for (const line of lines(`${folder}/counts`))
      for (const [outcome, times] of Object.entries(JSON.parse(line) as Record<string, number>))
        add(totals, outcome, times);
    if (end === 'done') next = to;
    else {
      const [number, ...source] = readText(`${folder}/status`).split('\n');
      const call = Number(number);
      const text = source.join('\n');
      const what = /^\W*(?:new )?[(C.]*([\w.]+)/.exec(text)?.[1] ?? '';
      const said = readText(`${folder}/errors`).trim().split('\n').slice(-3).join(' ').slice(0, 300);
      add(totals, end);
      note(totals, { outcome: end, key: `${end} ${what}`, call, source: text, text: said });
      next = Math.max(call, next) + 1;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

function report({ counts, findings }: Totals, calls: number, seed: number): boolean {
  const shown = [...counts].map(([outcome, times]) => `${times} ${outcome}`).join(', ');
  console.log(`${calls} calls of seed ${seed}: ${shown}`);
  for (const { times, key, call, source, text } of findings.values())
    console.log(`\n${times} x ${key}\n  ${text}\n  call ${call}: ${source}`);
  const failed = [...findings.values()].reduce((sum, { times }) => sum + times, 0);
  console.log(`\n${findings.size} findings\n${Math.max(calls - failed, 0)} passed, ${failed} failed`);
  return findings.size === 0;
}

async function main(): Promise<void> {
  const options = parseOptions(table, process.argv.slice(2));
  if (options === null)
    return console.log(
      'npm run fuzz -- [--calls N] [--seed S] [--jobs N] [--from N] [--only N] [--hang N] [--plant FAULT]',
    );
  const { calls, seed, jobs, only, from } = options;
  if (only > 0) {
    const { work } = await import('./fuzz/worker.ts');
    return work(seed, only, only + 1, mkdtempSync(join(tmpdir(), 'castor-fuzz-')), true);
  }
  const totals: Totals = { counts: new Map(), findings: new Map() };
  const batches = Array.from({ length: Math.ceil(calls / PER_PROCESS) }, (_, i) => from + i * PER_PROCESS);
  const runner = async (): Promise<void> => {
    for (let start = batches.shift(); start !== undefined; start = batches.shift())
      await batch(options, start, Math.min(start + PER_PROCESS, from + calls), totals);
  };
  await Promise.all(Array.from({ length: jobs }, runner));
  if (!report(totals, calls, seed)) process.exitCode = 1;
}

if (process.argv[2] === 'worker') {
  const [seed, from, to] = process.argv.slice(3, 6).map(Number) as [number, number, number];
  const { work } = await import('./fuzz/worker.ts');
  await work(seed, from, to, process.argv[6]!);
  process.exit(0);
} else await main();
