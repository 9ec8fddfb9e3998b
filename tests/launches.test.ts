/** How `npm run test:launches` judges what its runtime without a GPU reports. */
import { describe, expect, test } from 'bun:test';
import { judge, merged, readReport } from '../scripts/launches/judge.ts';
import { inject, type Table } from '../scripts/launches/table.ts';

const names = new Map([
  ['_Za', 'a_kernel<float>'],
  ['_Zb', 'b_kernel'],
]);
const problems = (report: string, unlaunched: Record<string, string> = {}): readonly string[] =>
  judge(readReport(report), names, unlaunched).problems;

describe('the check of launches', () => {
  test('passes when every kernel is launched as it should be', () => {
    expect(judge(readReport('_Za\n_Zb\n_Za\n'), names, {})).toEqual({ passed: 2, problems: [] });
  });
  test('names each launch that a driver would not accept', () => {
    const report = '_Za\n_Za wrong: threads 512 of 256; launch bounds;\n_Zb\n- something else\n';
    expect(problems(report)).toEqual([
      'a_kernel<float>: wrong: threads 512 of 256; launch bounds;',
      '-: something else',
    ]);
    expect(judge(readReport(report), names, {}).passed).toBe(1);
  });
  test('names a kernel that was not launched, unless the reason is listed', () => {
    expect(problems('_Za\n')).toEqual([
      'b_kernel is never launched. Add a call to tests/launches/sweep.ts, or the reason to unlaunched.json',
    ]);
    expect(problems('_Za\n', { b_kernel: 'only on a larger GPU' })).toEqual([]);
  });
  test('takes a kernel for launched that one of several devices runs', () => {
    const both = merged([readReport('_Za\n'), readReport('_Zb\n_Zb wrong: an empty grid;\n')]);
    expect(judge(both, names, {})).toEqual({ passed: 1, problems: ['b_kernel: wrong: an empty grid;'] });
  });
  test('does not let the list of reasons grow old', () => {
    expect(problems('_Za\n_Zb\n', { b_kernel: 'a reason', c_kernel: 'a reason' })).toEqual([
      'b_kernel is launched, although unlaunched.json says that it is not',
      'c_kernel is in unlaunched.json, and the library has no such kernel',
    ]);
  });
  test('is tried with wrong figures of every kind', () => {
    const table: Table = new Map([['_Za', { registers: 32, shared: 0, threads: 256 }]]);
    const wrong = inject(table).map(([, each]) => each.get('_Za'));
    expect(wrong).toEqual([
      { registers: 32, shared: 0, threads: 32 },
      { registers: 300, shared: 0, threads: 256 },
      { registers: 32, shared: 49156, threads: 256 },
      undefined,
    ]);
    expect(table.get('_Za')).toEqual({ registers: 32, shared: 0, threads: 256 });
  });
});
