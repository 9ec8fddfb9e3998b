/** The wrappers of single instructions, and the native tests of the kernels: one process for each kind of op. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compare } from '../conformance.ts';
import { endedHow } from '../limited.ts';
import { options, paths } from './options.ts';
import { countsIn, note, noteEnd, type Part, type Shell } from './part.ts';
import { saveReport, type Outcome } from './report.ts';

/** Each has a process of its own, since a GPU that one of them crashes answers nothing more in the same process. */
const GROUPS = ['copies', 'tiles', 'warps', 'atomics', 'arithmetic'];
export const conformance: Part = {
  limit: 30,
  async run(shell, outcome) {
    let answers = '';
    for (const group of GROUPS) {
      const ended = await shell(group, [paths.conformance, group], { limit: 10 });
      answers += ended.text;
      noteEnd(outcome, group, ended);
    }
    const { passed, wrong } = await compare(answers);
    outcome.passed = passed;
    outcome.failed = wrong.length;
    outcome.notes.push(...wrong.slice(0, 60));
  },
};

/** The number of processes at a time, and the seconds that each may take. */
const [JOBS, LIMIT] = [6, options.short ? 10 : 25];
/** How often a kind goes on behind a case that ended its process. */
const RETURNS = 5;

export interface Task {
  readonly kind: string;
  readonly env: Readonly<Record<string, string>>;
}
/** A case that failed, with the settings that it failed with. */
export interface Failure extends Task {
  readonly name: string;
  readonly why: string;
}
/** The cases that failed in this run. */
export const failures: Failure[] = [];

const titleOf = ({ kind, env }: Task): string => [kind, ...Object.entries(env).map(pair => pair.join('='))].join(' ');

/** Reads how many cases castor_kernel_tests has finished, and the name of the case that it was running. */
function progressIn(file: string): { passed: number; failed: number; name: string } | null {
  try {
    const match = /^(\d+) passed, (\d+) failed, then (.*?) *$/m.exec(readFileSync(file, 'utf8'));
    return match && { passed: Number(match[1]), failed: Number(match[2]), name: match[3]! };
  } catch {
    return null;
  }
}

/** The cases that the output calls failed, each with its reason. */
function failedIn(text: string, task: Task): Failure[] {
  const found = text.matchAll(/^FAILED (.*)\n((?: {4}.*\n?)?)/gm);
  return [...found].map(match => ({ ...task, name: match[1]!, why: match[2]!.trim() }));
}

/** Runs the cases of a kind that come after one of them. Returns the name of the case that ended the process, if one did. */
async function runOnce(
  shell: Shell,
  outcome: Outcome,
  task: Task,
  file: string,
  after?: string,
): Promise<string | null> {
  const from = after === undefined ? [] : ['--after', after];
  const sample = options.short ? ['--sample', '60'] : [];
  const command = [paths.kernelTests, '--kind', task.kind, '--progress', file, ...sample, ...from];
  const ended = await shell(titleOf(task), command, { limit: LIMIT, env: task.env });
  const progress = progressIn(file);
  const counts = countsIn(ended.text) ?? progress ?? { passed: 0, failed: 0 };
  const failed = failedIn(ended.text, task);
  failures.push(...failed);
  outcome.passed += counts.passed;
  outcome.failed += counts.failed;
  outcome.notes.push(...failed.slice(0, 5).map(({ name, why }) => `${titleOf(task)}: ${name}: ${why}`));
  const lost = ended.text.includes('the device is lost');
  const how = lost ? 'the device is lost' : countsIn(ended.text) ? null : (endedHow(ended) ?? 'ended without counts');
  if (how === null) return null;
  const name = progress?.name ?? null;
  note(outcome, `${titleOf(task)}: ${how} in ${name ?? 'no case'}`);
  if (!lost) {
    outcome.failed++;
    if (name) failures.push({ ...task, name, why: how });
  }
  return name === 'the end' ? null : name;
}

/** Runs a kind. Where a case ends the process (it crashes, hangs, or loses the device), another goes on behind it. */
async function runKind(shell: Shell, outcome: Outcome, task: Task, file: string): Promise<void> {
  let after: string | undefined;
  for (let i = 0; i <= RETURNS; i++) {
    rmSync(file, { force: true });
    const name = await runOnce(shell, outcome, task, file, after);
    saveReport();
    if (name === null) return;
    after = name;
  }
  note(outcome, `${titleOf(task)}: the cases after ${after} were not run`);
}

/** Runs kinds, several at a time. */
export async function runKinds(shell: Shell, outcome: Outcome, tasks: readonly Task[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'castor-progress-'));
  const waiting = tasks.entries();
  const worker = async (): Promise<void> => {
    for (const [i, task] of waiting) await runKind(shell, outcome, task, join(folder, String(i)));
  };
  await Promise.all(Array.from({ length: JOBS }, worker));
  rmSync(folder, { recursive: true, force: true });
}

/** Kinds of products, which cuBLASLt computes where it is found, with Castor's own kernels at each tile. */
const ownProducts: readonly Task[] = ['matmul', 'convolution'].flatMap(kind =>
  ['', '64', '128', '256'].map(tile => ({
    kind,
    env: { CASTOR_CUBLAS: '0', ...(tile ? { CASTOR_MATMUL_TILE: tile } : {}) },
  })),
);

export const kernels: Part = {
  limit: 75,
  async run(shell, outcome) {
    const listed = await shell('kinds', [paths.kernelTests, '--kinds'], { limit: 10 });
    const kinds = listed.text.split('\n').filter(Boolean);
    if (listed.code !== 0 || kinds.length === 0) return noteEnd(outcome, 'kinds', listed);
    outcome.details.kinds = kinds.length;
    const plain = kinds.map(kind => ({ kind, env: {} }));
    await runKinds(shell, outcome, [...plain, ...ownProducts]);
    outcome.details.failures = failures;
  },
};
