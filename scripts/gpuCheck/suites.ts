/** The TypeScript suite, and the comparison of large products. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root } from '../native.ts';
import { options, paths } from './options.ts';
import { bun, countsIn, note, noteEnd, type Part } from './part.ts';
import { saveReport } from './report.ts';

export const products: Part = {
  limit: 60,
  async run(shell, outcome) {
    const program = join(root, 'scripts/gpuCheck/products.ts');
    const ended = await shell('products', [bun, program, ...(options.tiny ? ['--tiny'] : [])]);
    const { passed, failed } = countsIn(ended.text) ?? { passed: 0, failed: 1 };
    Object.assign(outcome, { passed, failed });
    const wrong = [...ended.text.matchAll(/^FAILED (.*)\n {4}(.*)/gm)].map(match => `${match[1]}: ${match[2]}`);
    outcome.notes.push(...wrong);
    if (wrong.length === 0) noteEnd(outcome, 'products', ended);
  },
};

/** The results of the files in the output of scripts/test.ts, which has a line for each file that has ended. */
function filesIn(text: string): Record<string, { passed: number; failed: number; seconds: number }> {
  const lines = text.matchAll(/^(tests\S+): (\d+) passed, (\d+) failed, ([\d.]+) s$/gm);
  return Object.fromEntries(
    [...lines].map(([, file, passed, failed, seconds]) => [
      file!,
      { passed: Number(passed), failed: Number(failed), seconds: Number(seconds) },
    ]),
  );
}

/** The number of processes at a time: several, and fewer than the processors, because others measure nothing here. */
const JOBS = Math.max(2, Math.min(8, availableParallelism() >> 1));
const FEW = ['tests/precision', 'tests/emptyNorms', 'tests/attention.test'];

export const suite: Part = {
  limit: 125,
  async run(shell, outcome) {
    const files = options.short ? FEW : [];
    const limit = String(options.short ? 12 : 40 * options.slow);
    const command = [
      bun,
      'scripts/test.ts',
      '--library',
      paths.library,
      '--jobs',
      String(JOBS),
      '--limit',
      limit,
      ...files,
    ];
    const ended = await shell('suite', command, { env: { CASTOR_TEST_DEVICES: 'cuda', CASTOR_NUM_THREADS: '2' } });
    const results = filesIn(ended.text);
    outcome.details.files = results;
    // The last line is missing when the time was up. Then the files that have ended count.
    const counted = countsIn(ended.text);
    const { passed, failed } = counted ?? {
      passed: Object.values(results).reduce((sum, each) => sum + each.passed, 0),
      failed: Object.values(results).reduce((sum, each) => sum + each.failed, 0),
    };
    Object.assign(outcome, { passed, failed });
    outcome.notes.push(
      ...ended.text
        .split('\n')
        .filter(line => /^\(fail\)|the runner /.test(line))
        .slice(0, 60),
    );
    if (!counted && ended.stopped) outcome.status = 'incomplete';
    if (!counted) outcome.notes.unshift(`${Object.keys(results).length} files have ended`);
    if (!counted && !ended.stopped) noteEnd(outcome, 'suite', ended);
    if (passed === 0) note(outcome, 'no test has passed');
    saveReport();
  },
};
