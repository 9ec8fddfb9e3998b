/** The metrics of a training run, their file, and the loss curve as text. */
import { afterAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { train } from 'castor';
import { fraction, ticks } from '../runtime/train/plot.ts';

const folder = mkdtempSync(join(tmpdir(), 'castor-metrics-'));
afterAll(() => rmSync(folder, { recursive: true }));

const row = (step: number, loss: number | null, heldOutLoss: number | null = null) => ({
  step,
  loss,
  heldOutLoss,
  tokensPerSecond: 1000,
  lossScale: 65536,
  skippedSteps: 0,
  peakBytes: 0,
});
const stepsIn = (path: string): number[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map(line => (JSON.parse(line) as { step: number }).step);

describe('a log of metrics', () => {
  test('begins anew, or goes on after a step', () => {
    const path = join(folder, 'run', 'metrics.jsonl');
    const first = new train.MetricsLog(path);
    for (const step of [0, 1, 2, 3]) first.append(row(step, 1));
    expect(stepsIn(path)).toEqual([0, 1, 2, 3]);
    const resumed = new train.MetricsLog(path, 2);
    expect(resumed.rows.map(({ step }) => step)).toEqual([0, 1, 2]);
    resumed.append(row(3, 0.5));
    expect(stepsIn(path)).toEqual([0, 1, 2, 3]);
    expect(new train.MetricsLog(path).rows).toEqual([]);
    expect(stepsIn(path)).toEqual([]);
  });
});

describe('a curve', () => {
  const curve = train.drawCurve([row(0, 4, 4), row(5, 3), row(10, 2, 2)], { width: 11, height: 5 }).split('\n');
  test('has the bounds of both axes, and nothing else, as labels', () => {
    expect(curve.map(line => line.slice(0, 7).trim())).toEqual(['4.00', '', '', '', '2.00', '', '']);
    expect(curve.at(-1)!.trim()).toBe('0        10');
  });
  test('marks held-out losses where they are', () => {
    expect(curve[0]!.slice(9)[0]).toBe('o');
    expect(curve[4]!.slice(9)[10]).toBe('o');
    expect(curve.join('').split('o')).toHaveLength(3);
  });
  test('draws a straight line of dots from corner to corner', () => {
    const dotted = curve.slice(0, 5).map(line => [...line.slice(9)].map(cell => cell !== '⠀'));
    dotted.forEach((cells, i) => {
      expect(cells.indexOf(true)).toBeGreaterThanOrEqual(2 * i - 1);
      expect(cells.lastIndexOf(true)).toBeLessThanOrEqual(2 * i + 3);
    });
  });
  test('is empty without a loss, and refuses sizes it cannot draw', () => {
    expect(train.drawCurve([row(0, null)])).toBe('');
    for (const width of [1, 1001, 2.5]) expect(() => train.drawCurve([], { width })).toThrow(/from 2 to 1000/);
  });
});

test('a fraction says where a value lies in a range, and ticks are round', () => {
  const range = { from: 2, to: 6 };
  expect([2, 3, 6].map(value => fraction(value, range))).toEqual([0, 0.25, 1]);
  expect(ticks(range, 4)).toEqual([2, 3, 4, 5, 6]);
  expect(ticks({ from: 0.13, to: 0.91 }, 4)).toEqual([0.2, 0.4, 0.6, 0.8]);
});
