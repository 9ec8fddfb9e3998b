import type { FinishReason } from './generation.ts';
import type { Histogram } from './histogram.ts';
import type { Family } from './registry.ts';

/** How a request of a generator ended. */
export type GenerationOutcome = FinishReason | 'failed' | 'aborted' | 'closed' | 'overloaded';

/** Counters of a generator: requests and tokens since it was made, and the requests that wait or run now. */
export interface GeneratorStats {
  /** Requests that wait for a place, and sequences that are being made. */
  readonly queued: number;
  readonly active: number;
  /** Pages of the cache that sequences have, and all of them; the bytes of the cache. */
  readonly usedPages: number;
  readonly pages: number;
  readonly cacheBytes: number;
  /** Tokens of prompts that were read, and tokens that were made. */
  readonly promptTokens: number;
  readonly tokens: number;
  /** Tokens made in a second while any were being made. */
  readonly tokensPerSecond: number;
  /** Sequences that gave their pages to older ones, and were read again later. */
  readonly preemptions: number;
  readonly requests: Readonly<Record<GenerationOutcome, number>>;
}

/** The figures of a generator in Prometheus's terms. */
export function familiesOf(name: string, stats: GeneratorStats, steps: Histogram, rows: Histogram): Family[] {
  const labels = { generator: name };
  type Value = Family['samples'][number]['value'];
  const one = (of: string, type: Family['type'], help: string, value: Value): Family => ({
    ...{ name: `castor_generator_${of}`, type, help, samples: [{ labels, value }] },
  });
  return [
    one('queued_requests', 'gauge', 'Requests that wait for a place in the batch', stats.queued),
    one('active_requests', 'gauge', 'Sequences that are being made', stats.active),
    one('cache_used_pages', 'gauge', 'Pages of the cache that sequences have', stats.usedPages),
    one('cache_pages', 'gauge', 'Pages of the cache', stats.pages),
    one('cache_bytes', 'gauge', 'Bytes of the cache', stats.cacheBytes),
    one('prompt_tokens_total', 'counter', 'Tokens of prompts that were read', stats.promptTokens),
    one('tokens_total', 'counter', 'Tokens that were made', stats.tokens),
    one('preemptions_total', 'counter', 'Sequences that gave their pages to older ones', stats.preemptions),
    {
      name: 'castor_generator_requests_total',
      type: 'counter',
      help: 'Requests by how they ended',
      samples: Object.entries(stats.requests).map(([outcome, value]) => ({ labels: { ...labels, outcome }, value })),
    },
    one('step_seconds', 'histogram', 'Seconds of a call of the model', steps),
    one('step_rows', 'histogram', 'Sequences of a call of the model', rows),
  ];
}
