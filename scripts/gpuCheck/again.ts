/** Runs compute-sanitizer on the cases that failed, and on a sample of all cases. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findToolkit } from '../cudaToolkit.ts';
import { endedHow } from '../limited.ts';
import { options, paths, remaining } from './options.ts';
import { lastLines, note, skip, type Part, type Shell } from './part.ts';
import { saveReport, type Outcome } from './report.ts';
import { failures, type Failure } from './kernels.ts';

let known: { readonly tool: string | undefined } | null = null;
/** The path of compute-sanitizer, which is searched once. */
const findSanitizer = (): string | undefined => (known ??= { tool: searchSanitizer() }).tool;
function searchSanitizer(): string | undefined {
  const onPath = Bun.which('compute-sanitizer');
  const nvcc = findToolkit().found?.nvcc;
  return onPath ?? (nvcc && [join(nvcc, '../compute-sanitizer')].find(existsSync));
}

/** The number of failed cases that are examined. */
const EXAMINED = 8;
/**
 * Each tensor gets an allocation of its own: otherwise an access beyond it reaches its neighbour, which the sanitizer
 * allows.
 */
const aloneInMemory = { CASTOR_CUDA_MEMORY_POOL: '0', CASTOR_NUM_THREADS: '1' };

async function examine(shell: Shell, { kind, name, env, why }: Failure): Promise<object> {
  const one = ['--kind', kind, '--case', name];
  const alone = await shell('alone', [paths.kernelTests, ...one], {
    limit: 20,
    env: { ...env, CUDA_LAUNCH_BLOCKING: '1' },
  });
  const tool = findSanitizer();
  const checked = tool
    ? await shell('memcheck', [tool, '--tool', 'memcheck', '--error-exitcode', '9', paths.kernelTests, ...one], {
        limit: 40,
        env: { ...env, ...aloneInMemory },
      })
    : null;
  const alonePassed = endedHow(alone) === null;
  const found = checked ? lastLines(checked.text, 25) : 'no compute-sanitizer';
  return { kind, name, env, why, alonePassed, alone: lastLines(alone.text, 12), memcheck: found };
}

/** Each case that failed, alone, with kernels that are waited for, and under memcheck. */
export const failing: Part = {
  limit: 75,
  async run(shell, outcome) {
    if (failures.length === 0) return skip(outcome, 'no case has failed');
    const examined: object[] = [];
    outcome.details.examined = examined;
    for (const failure of failures.slice(0, EXAMINED)) {
      examined.push(await examine(shell, failure));
      saveReport();
    }
    outcome.notes.push(`${examined.length} of ${failures.length} failed cases are examined in the report`);
  },
};

async function sample(shell: Shell, outcome: Outcome, tool: string, check: string): Promise<void> {
  // Other libraries are not checked: they are large, and take most of the time.
  const env = { CASTOR_CUBLAS: '0', ...(check === 'memcheck' ? aloneInMemory : { CASTOR_NUM_THREADS: '1' }) };
  const command = [tool, '--tool', check, '--error-exitcode', '9', paths.kernelTests, '--sample'];
  const ended = await shell(check, [...command, options.short ? '400' : '60'], { limit: 60, env });
  if (ended.stopped) outcome.notes.push(`${check}: not finished after ${ended.seconds.toFixed(0)} s`);
  else if (endedHow(ended)) note(outcome, `${check}: ${endedHow(ended)}: ${lastLines(ended.text, 20)}`);
  else outcome.passed++;
}

export const sanitizer: Part = {
  limit: 150,
  async run(shell, outcome) {
    const tool = findSanitizer();
    if (!tool) return skip(outcome, 'no compute-sanitizer on PATH or in the toolkit');
    for (const check of ['racecheck', 'synccheck', 'memcheck']) {
      if (remaining() < 5) return void (outcome.status = 'incomplete');
      await sample(shell, outcome, tool, check);
      saveReport();
    }
  },
};
