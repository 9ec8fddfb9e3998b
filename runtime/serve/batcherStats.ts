import type { CaptureStats } from './captures.ts';
import { Histogram, ROWS, SECONDS } from './histogram.ts';
import type { Family } from './registry.ts';

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
  /** The graphs of a batcher with `capture`; null for others. */
  readonly captures: CaptureStats | null;
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
  now: Pick<BatcherStats, 'queued' | 'queuedBytes' | 'running' | 'captures'>,
): BatcherStats => ({
  ...now,
  requests: { ...counters.requests },
  batches: counters.batches,
  retries: counters.retries,
  rows: brief(counters.rows),
  waitSeconds: brief(counters.waitSeconds),
  runSeconds: brief(counters.runSeconds),
});

/** The figures of a batcher for metrics(). */
export function familiesOf(
  name: string,
  { requests, batches, retries, rows, waitSeconds, runSeconds }: Counters,
  { queued, queuedBytes, running, captures }: BatcherStats,
): readonly Family[] {
  const labels = { batcher: name };
  const one = (
    label: string,
    type: Family['type'],
    help: string,
    value: Family['samples'][number]['value'],
  ): Family => ({
    ...{ name: `castor_batcher_${label}`, type, help, samples: [{ labels, value }] },
  });
  return [
    one('queued_requests', 'gauge', 'Requests that wait for a batch', queued),
    one('queued_bytes', 'gauge', 'Bytes of the data of requests that wait', queuedBytes),
    one('running_batches', 'gauge', 'Batches that run', running),
    {
      name: 'castor_batcher_requests_total',
      type: 'counter',
      help: 'Requests by how they ended',
      samples: outcomes.map(outcome => ({ labels: { ...labels, outcome }, value: requests[outcome] })),
    },
    one('batches_total', 'counter', 'Calls of the model', batches),
    one('retries_total', 'counter', 'Calls of the model to find the row that a batch failed for', retries),
    ...(captures === null
      ? []
      : [
          one('captured', 'gauge', 'Kinds and sizes of batches that are captured as a graph', captures.captured),
          one('replays_total', 'counter', 'Batches that a graph computed', captures.replays),
          one('not_captured', 'gauge', 'Kinds and sizes of batches for which fn cannot be captured', captures.refused),
        ]),
    one('batch_rows', 'histogram', 'Rows of a batch', rows),
    one('wait_seconds', 'histogram', 'Seconds that requests waited for their batch to start', waitSeconds),
    one('run_seconds', 'histogram', 'Seconds that a batch took', runSeconds),
  ];
}
