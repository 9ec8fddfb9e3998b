/** docs/performance.md and README.md show what was measured. */
import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { levels } from '../benchmarks/levels.ts';
import { allResults, type Results } from '../benchmarks/results.ts';
import { PAGE, pageOf, shownInReadme } from '../scripts/performancePage.ts';
import { root } from './process.ts';

const taken = {
  date: '2026-01-02',
  castor: '0.1.0',
  bun: '1.4.5',
  torch: '2.15.0',
  rounds: 7,
  clock: 'wall',
  waited: 0,
} as const;
const results = (level: string, more: Partial<Results> = {}): Results => ({
  machine: 'Machine X',
  level,
  processors: 2,
  products: { float32: 'multiply-add', bfloat16: 'converted' },
  parts: {
    gpt512: {
      taken,
      figures: [
        {
          name: 'gpt512.f32.ms',
          unit: 'ms',
          measured: [
            { threads: 1, value: 1200, torch: 1500 },
            { threads: 2, value: 500, torch: 400 },
          ],
        },
        {
          name: 'gpt512.bf16.speedup',
          unit: 'ratio',
          must: '>= 1.4',
          measured: [
            { threads: 1, value: 1.5 },
            { threads: 2, value: 1.1 },
          ],
        },
      ],
    },
  },
  ...more,
});

describe('docs/performance.md', () => {
  test('is what `npm run docs:performance` writes', () => {
    expect(readFileSync(PAGE, 'utf8')).toBe(pageOf(allResults()));
  });
  test('shows each figure with the limit it should reach', () => {
    const page = pageOf([results('avx512bf16')]);
    expect(page).toContain('## Machine X, level avx512bf16\n');
    expect(page).toContain('2 processors. Products: float32: multiply-add; bfloat16: converted. Results: ');
    expect(page).toContain('Measured on 2026-01-02 with Castor 0.1.0, Bun 1.4.5, PyTorch 2.15.0, 7 rounds.\n');
    expect(page).toContain('| `gpt512.f32.ms` | ms | 1200 | 1500 | 1.25 | 500 | 400 | 0.800 |  |  |\n');
    expect(page).toContain(
      '| `gpt512.bf16.speedup` | ratio | 1.50 |  |  | 1.10 |  |  | >= 1.4 | **no** with 2 threads |\n',
    );
  });
  test('says of each level whether it was measured, the widest first', () => {
    const page = pageOf([results('avx2'), results('avx512bf16')]);
    for (const level of levels.filter(name => name !== 'avx2' && name !== 'avx512bf16'))
      expect(page).toContain(`| ${level} | unmeasured: `);
    expect(page).toContain('| avx512bf16 | Machine X | **1.10** | not measured | >= 1.4 | >= 1 |\n');
    expect(page.indexOf('level avx512bf16\n')).toBeLessThan(page.indexOf('level avx2\n'));
  });
  test('says when other programs ran', () => {
    const part = results('avx2').parts['gpt512']!;
    const page = pageOf([results('avx2', { parts: { gpt512: { ...part, taken: { ...taken, waited: 0.31 } } } })]);
    expect(page).toContain('**other programs took 31 % of its time**');
    const counted = { ...part, taken: { ...taken, waited: 0.31, clock: 'processor' as const } };
    const other = pageOf([results('avx2', { parts: { gpt512: counted } })]);
    expect(other).toContain('7 rounds, processor time instead of time on the clock.\n');
  });
});

test('README.md shows the output of examples/mixedPrecision.ts', () => {
  const [head, columns, ...rows] = shownInReadme(readFileSync(join(root, 'README.md'), 'utf8'));
  expect(head).toMatch(/^(cpu|cuda) \(.+\): .+ parameters, \d+ steps of \d+x\d+ bytes$/);
  expect(columns!.trim().split(/ +/)).toEqual(['step', 'speed', 'memory', 'ratio', 'loss']);
  expect(rows.map(row => row.split(' ')[0])).toEqual(['float32', 'bfloat16', 'float16']);
});
