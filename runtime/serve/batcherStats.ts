import { Histogram, ROWS, SECONDS } from './histogram.ts';

/** The ways in which a request can end. */
export const outcomes = ['answered', 'failed', 'refused', 'overloaded', 'timedOut', 'aborted', 'closed'] as const;
export type Outcome = (typeof outcomes)[number];

/** Counters of a batcher: requests since it was made, and those that wait or run now. */
export interface BatcherStats {
  /** The requests that wait, and the bytes of their data. */
  readonly queued: number;
  readonly queuedBytes: number;
  /** The batches that run. */
  readonly running: number;
  /**
   * The requests by how they ended: `answered`; `failed`, because fn threw for this row; `refused`, because the data is no row;
   * `overloaded`; `timedOut`; `aborted` by their signal; `closed`.
   */
  readonly requests: Readonly<Record<Outcome, number>>;
  /** The calls of fn, and those among them that tell which row a failed batch failed for. */
  readonly batches: number;
  readonly retries: number;
  /** The rows of a batch, the seconds that requests waited, and the seconds that batches took: how many and their mean. */
  readonly rows: { readonly count: number; readonly mean: number };
  readonly waitSeconds: { readonly count: number; readonly mean: number };
  readonly runSeconds: { readonly count: number; readonly mean: number };
}

/** The counters of a batcher. */
export class Counters {
  readonly requests = Object.fromEntries(outcomes.map(outcome => [outcome, 0])) as Record<Outcome, number>;
  batches = 0;
  retries = 0;
  readonly rows = new Histogram(ROWS);
  readonly waitSeconds = new Histogram(SECONDS);
  readonly runSeconds = new Histogram(SECONDS);
}

const brief = ({ count, mean }: Histogram): { count: number; mean: number } => ({ count, mean });

/** Returns the counters as an object that does not change any more. */
export const statsOf = (
  counters: Counters,
  now: Pick<BatcherStats, 'queued' | 'queuedBytes' | 'running'>,
): BatcherStats => ({
  ...now,
  requests: { ...counters.requests },
  batches: counters.batches,
  retries: counters.retries,
  rows: brief(counters.rows),
  waitSeconds: brief(counters.waitSeconds),
  runSeconds: brief(counters.runSeconds),
});
