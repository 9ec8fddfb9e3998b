import { arrayOf, checked, number, options } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { metrics, type Metrics } from './metrics.ts';
import { fraction, lossPlot, type LossPlot } from './plot.ts';

/** A Braille character has 2 x 4 dots. These are their bits, by column and row. */
const BITS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;
const BLANK = 0x2800;

/**
 * Draws the losses of a run as text: a line of Braille dots, and o for the held-out losses. The text is empty if there
 * are no losses.
 */
export const drawCurve = checked(
  'drawCurve',
  { rows: arrayOf(metrics, 'an array of metrics'), size: options({ width: number, height: number }) },
  doDrawCurve,
);
function doDrawCurve(rows: readonly Metrics[], size: { width?: number; height?: number } = {}): string {
  const { width = 64, height = 12 } = size;
  for (const [name, value] of Object.entries({ width, height }))
    if (!Number.isInteger(value) || value < 2 || value > 1000)
      throw new ArgumentError(`${name} ${value} is not a whole number from 2 to 1000`, {
        op: 'drawCurve',
        advice: 'Pass numbers of characters; the default is 64 by 12',
      });
  const plot = lossPlot(rows);
  if (plot === null) return '';
  const cells = dots(plot, width, height);
  for (const point of plot.heldOut) {
    const column = Math.round(fraction(point.x, plot.x) * (width - 1));
    const row = Math.round((1 - fraction(point.y, plot.y)) * (height - 1));
    cells[row]![column] = 'o';
  }
  const label = (row: number): string =>
    row === 0 || row === height - 1 ? (row === 0 ? plot.y.to : plot.y.from).toFixed(2) : '';
  const lines = cells.map((line, row) => `${label(row).padStart(7)} ┤${line.join('')}`);
  const [first, last] = [String(plot.x.from), String(plot.x.to)];
  const axis = first + last.padStart(width - first.length);
  return [...lines, `${' '.repeat(8)}└${'─'.repeat(width)}`, `${' '.repeat(9)}${axis}`].join('\n');
}

function dots(plot: LossPlot, width: number, height: number): string[][] {
  const bits = Array.from({ length: height }, () => new Array<number>(width).fill(BLANK));
  const place = (x: number, y: number): void => {
    bits[y >> 2]![x >> 1]! |= BITS[x & 1]![y & 3]!;
  };
  const at = plot.loss.map(({ x, y }) => ({
    x: fraction(x, plot.x) * (2 * width - 1),
    y: (1 - fraction(y, plot.y)) * (4 * height - 1),
  }));
  at.forEach((to, i) => {
    const from = at[Math.max(i - 1, 0)]!;
    const steps = Math.max(1, Math.ceil(Math.max(Math.abs(to.x - from.x), Math.abs(to.y - from.y))));
    for (let s = 0; s <= steps; s++) {
      const t = s / steps;
      place(Math.round(from.x + t * (to.x - from.x)), Math.round(from.y + t * (to.y - from.y)));
    }
  });
  return bits.map(line => line.map(code => String.fromCharCode(code)));
}
