import { checked, checkMethods, nullable, number, optional, signature, text, type Spec } from '../arguments.ts';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ArgumentError } from '../errors.ts';
import { shownPath, systemReason, wrongPath } from '../io/files.ts';

/** One measurement of a training run. A value that was not measured at this step is null. */
export interface Metrics {
  /** The number of optimizer steps done. */
  readonly step: number;
  /** The training loss of the step. */
  readonly loss: number | null;
  /** The loss on the part of the corpus that the model is not trained on. */
  readonly heldOutLoss: number | null;
  /** The number of tokens that were trained on in a second. */
  readonly tokensPerSecond: number | null;
  /** The scale of the GradScaler; 1 without one. */
  readonly lossScale: number;
  /** The number of steps that the GradScaler has skipped so far. */
  readonly skippedSteps: number;
  /** The largest number of bytes of the device in use so far. */
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
  advice: 'Pass rows from a MetricsLog or readRows(): step is an integer, losses are numbers or null',
};
const takesLog = signature('MetricsLog', { path: nullable(text), from: optional(number) });

/** The rows of a run, in memory and, if it has a path, in a file with one JSON object per line. */
export class MetricsLog {
  /** All rows so far, those of the run that is continued first. */
  readonly rows: Metrics[];
  readonly #path: string | null;

  /** Rows of an earlier run at this path are kept up to step `from`, and later ones are removed. */
  constructor(path: string | null, from = 0) {
    takesLog(arguments);
    this.#path = path;
    if (path === null) {
      this.rows = [];
      return;
    }
    this.rows = onFile('MetricsLog', path, () => {
      const rows = from > 0 && existsSync(path) ? readRows(path).filter(row => row.step <= from) : [];
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, rows.map(line).join(''));
      return rows;
    });
  }

  /** Adds a row, and writes it to the end of the file. */
  append(row: Metrics): void {
    this.rows.push(row);
    if (this.#path !== null) appendFileSync(this.#path, line(row));
  }
}

checkMethods(MetricsLog, { append: { row: metrics } });

const line = (row: Metrics): string => `${JSON.stringify(row)}\n`;

/**
 * Reads the rows of a metrics file. An incomplete last line, left by a crash, is ignored. @throws ArgumentError for
 * another file
 */
export const readRows = checked('readRows', { path: text }, doReadRows);
function doReadRows(path: string): Metrics[] {
  const lines = onFile('readRows', path, () => readFileSync(path, 'utf8').split('\n'));
  return lines.slice(0, -1).map((text, i) => {
    const row = parsed(text);
    if (!metrics.accepts(row))
      throw new ArgumentError(`line ${i + 1} of ${shownPath(path)} is not a row of metrics`, {
        op: 'readRows',
        advice: 'Pass the metrics.jsonl of a run',
      });
    return row as Metrics;
  });
}
function parsed(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
}

/** @throws ArgumentError for a value that is not a path, and with the reason that the system gives */
function onFile<T>(op: string, path: string, use: () => T): T {
  const wrong = wrongPath(path);
  if (wrong !== null) throw new ArgumentError(wrong, { op, advice: 'Pass the path of a file' });
  try {
    return use();
  } catch (error) {
    const reason = systemReason(error);
    if (reason === null) throw error;
    throw new ArgumentError(`${shownPath(path)} cannot be used: ${reason.why}`, { op, advice: reason.advice });
  }
}
