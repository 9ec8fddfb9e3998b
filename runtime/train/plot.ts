import type { Metrics } from './metrics.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}
interface Range {
  readonly from: number;
  readonly to: number;
}

/** The contents of a loss plot: the loss of each step as a line, the held-out losses as points. */
export interface LossPlot {
  readonly loss: readonly Point[];
  readonly heldOut: readonly Point[];
  readonly x: Range;
  readonly y: Range;
}

/**
 * Values beyond this limit are not drawn, like infinite ones, so that the difference of any two drawn values is finite.
 */
const LARGEST = 1e300;

/** The plot of a run, or null if it has no finite losses. */
export function lossPlot(rows: readonly Metrics[]): LossPlot | null {
  const points = (key: 'loss' | 'heldOutLoss'): Point[] =>
    rows.map(row => ({ x: row.step, y: row[key] ?? NaN })).filter(point => Math.abs(point.y) <= LARGEST);
  const [loss, heldOut] = [points('loss'), points('heldOutLoss')];
  const all = [...loss, ...heldOut];
  if (all.length === 0) return null;
  return { loss, heldOut, x: rangeOf(all.map(p => p.x)), y: rangeOf(all.map(p => p.y)) };
}

/** The range from the least to the greatest value. It is never empty. */
function rangeOf(values: readonly number[]): Range {
  const from = values.reduce((a, b) => Math.min(a, b));
  const to = values.reduce((a, b) => Math.max(a, b));
  // The range is at least so wide that doubles can represent the distance between ticks.
  const least = Math.max(Math.abs(from), Math.abs(to), 1e-290) * 1e-9;
  if (to - from >= least) return { from, to };
  const half = from === to ? Math.max(0.5, least) : least;
  return { from: from - half, to: to + half };
}

/** The position of a value in a range: 0 at its start, 1 at its end. */
export const fraction = (value: number, { from, to }: Range): number => (value - from) / (to - from);

/** About `count` round numbers inside a range. */
export function ticks({ from, to }: Range, count: number): number[] {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(n => n * power).find(n => n >= rough)!;
  const first = Math.ceil(from / step);
  const last = Math.floor(to / step);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}
