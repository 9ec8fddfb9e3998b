import { checked, checkMethods, nullable, number, optional, signature, text, type Spec } from '../arguments.ts';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** One measurement of a training run. null is what was not measured at this step. */
export interface Metrics {
  /** Optimizer steps done. */
  readonly step: number;
  readonly loss: number | null;
  readonly heldOutLoss: number | null;
  readonly tokensPerSecond: number | null;
  readonly lossScale: number;
  readonly skippedSteps: number;
  /** The most bytes the device held at once so far. */
  readonly peakBytes: number;
}

const measured = (value: unknown): boolean => value == null || typeof value === 'number';
/** A row of metrics, as an argument. */
export const metrics: Spec = {
  wanted: 'a row of metrics',
  accepts: row =>
    typeof row === 'object' &&
    row !== null &&
    Number.isSafeInteger((row as Metrics).step) &&
    measured((row as Metrics).loss) &&
    measured((row as Metrics).heldOutLoss),
  advice: 'Pass what a MetricsLog or readRows() gives: step is a whole number, losses are numbers or null',
};
const takesLog = signature('MetricsLog', { path: nullable(text), from: optional(number) });

/** Rows of a run, in memory and, when it has a path, in a file of one JSON object a line. */
export class MetricsLog {
  readonly rows: Metrics[];
  readonly #path: string | null;

  /** Rows of an earlier run at this path are kept up to step `from`, and what it did after that is dropped. */
  constructor(path: string | null, from = 0) {
    takesLog(arguments);
    this.#path = path;
    this.rows = path !== null && from > 0 && existsSync(path) ? readRows(path).filter(row => row.step <= from) : [];
    if (path === null) return;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, this.rows.map(line).join(''));
  }

  append(row: Metrics): void {
    this.rows.push(row);
    if (this.#path !== null) appendFileSync(this.#path, line(row));
  }
}

checkMethods(MetricsLog, { append: { row: metrics } });

const line = (row: Metrics): string => `${JSON.stringify(row)}\n`;

/** The rows of a metrics file. A last line that was cut off by a crash is left out. */
export const readRows = checked('readRows', { path: text }, doReadRows);
function doReadRows(path: string): Metrics[] {
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.slice(0, -1).map(text => JSON.parse(text) as Metrics);
}
