import { arrayOf, checked } from '../arguments.ts';
import { metrics, type Metrics } from './metrics.ts';
import { fraction, lossPlot, ticks, type Point } from './plot.ts';

const WIDTH = 720;
const HEIGHT = 400;
/** Space around the plot for the labels. */
const LEFT = 56;
const RIGHT = 16;
const TOP = 36;
const BOTTOM = 44;

/** The losses of a run as an SVG image: a line for the loss of each step, dots for the held-out losses. */
export const lossSvg = checked('lossSvg', { rows: arrayOf(metrics, 'an array of metrics') }, doLossSvg);
function doLossSvg(rows: readonly Metrics[]): string {
  const plot = lossPlot(rows);
  const parts = plot === null ? [] : [...axes(plot), ...curves(plot)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

type Plot = NonNullable<ReturnType<typeof lossPlot>>;
const across = (x: number, plot: Plot): string => (LEFT + fraction(x, plot.x) * (WIDTH - LEFT - RIGHT)).toFixed(1);
const down = (y: number, plot: Plot): string =>
  (HEIGHT - BOTTOM - fraction(y, plot.y) * (HEIGHT - TOP - BOTTOM)).toFixed(1);

function axes(plot: Plot): string[] {
  const rows = ticks(plot.y, 6).map(y => {
    const at = down(y, plot);
    return `<path d="M${LEFT} ${at}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 8}" y="${at}" dy="4" text-anchor="end">${y}</text>`;
  });
  const columns = ticks(plot.x, 6).map(
    x => `<text x="${across(x, plot)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${x}</text>`,
  );
  return [
    ...rows,
    ...columns,
    `<text x="${WIDTH / 2}" y="${HEIGHT - 8}" text-anchor="middle">step</text>`,
    `<text x="${LEFT}" y="20"><tspan fill="#2563eb">loss</tspan> and <tspan fill="#dc2626">held-out loss</tspan></text>`,
  ];
}

function curves(plot: Plot): string[] {
  const path = (points: readonly Point[]): string =>
    points.map(p => `${across(p.x, plot)},${down(p.y, plot)}`).join(' ');
  const line = (points: readonly Point[], colour: string): string =>
    `<polyline points="${path(points)}" fill="none" stroke="${colour}" stroke-width="1.5" stroke-linejoin="round"/>`;
  const circles = plot.heldOut.map(
    p => `<circle cx="${across(p.x, plot)}" cy="${down(p.y, plot)}" r="3.5" fill="#dc2626"/>`,
  );
  return [line(plot.loss, '#2563eb'), line(plot.heldOut, '#dc2626'), ...circles];
}
