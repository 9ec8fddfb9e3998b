import { arrayOf, boolean, either, having, number, options, text, whole } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import type { Precision } from './modes.ts';
import { samplingSpecs } from './sampler.ts';
import { checkedBatch, checkedThreads, precisionSpec } from './settings.ts';
import type { Tokenizer } from './tokens.ts';

/** The size of the memory for keys and values. */
export interface KVCacheOptions {
  /** How many tokens of all sequences together it has room for. Default: 16384. */
  tokens?: number;
  /** How many tokens a page has, the unit in which sequences take memory. Default: 16. */
  pageSize?: number;
}

/** The options of a generator. */
export interface GeneratorOptions {
  /** The name in metrics. Default: 'model'. */
  name?: string;
  /** The largest number of sequences that are computed together. Default: 16. */
  maxBatch?: number;
  kvCache?: KVCacheOptions;
  /** The largest number of tokens of a sequence, with its prompt. Default: as many as the cache has room for. */
  context?: number;
  /** How many requests may wait for a place in the batch. More are refused with OverloadedError. Default: 256. */
  maxQueue?: number;
  /** Makes tokens of texts, and texts of tokens. Without one, prompts are arrays of tokens. */
  tokenizer?: Tokenizer;
  /** The precision of the model, under autocast. Default: that of the weights. */
  precision?: Precision;
  /**
   * Is the answer to a request the same bit for bit, whoever is computed with it? Then every batch is filled up to maxBatch sequences, because
   * a kernel may add up few rows in another order than many. So one request takes the time of a full batch.
   */
  invariant?: boolean;
  /** The number of CPU threads of each op, from 1 to 1024; see offload(). */
  threads?: number;
}

export const generatorOptions = options({
  ...{ name: text, maxBatch: whole, context: whole, maxQueue: whole, precision: precisionSpec, invariant: boolean },
  ...{ kvCache: options({ tokens: whole, pageSize: whole }), threads: whole },
  tokenizer: having('a tokenizer with encode() and decode()', 'encode', 'decode'),
});
export const generateOptions = options({
  ...samplingSpecs,
  ...{ maxTokens: whole, priority: number, stop: arrayOf(either(whole, text), 'an array of tokens or texts') },
  signal: having('an AbortSignal, such as request.signal', 'addEventListener', 'removeEventListener'),
});

/** The options of a generator with their defaults, checked. */
export interface GeneratorSettings {
  readonly name: string;
  readonly maxBatch: number;
  readonly tokens: number;
  readonly pageSize: number;
  readonly context: number;
  readonly maxQueue: number;
  readonly tokenizer: Tokenizer | null;
  readonly precision: Precision | undefined;
  readonly invariant: boolean;
  readonly threads: number | undefined;
}

function atLeastOne(value: number, name: string): number {
  if (value >= 1) return value;
  throw new ArgumentError(`${name} is ${value}, and must be at least 1`, {
    op: 'generator',
    advice: 'Leave it out for the default',
  });
}

/** Fills in the defaults. @throws ArgumentError for values that make no sense */
export function generatorSettings(given: GeneratorOptions): GeneratorSettings {
  const { maxBatch = 16, kvCache: { tokens = 16384, pageSize = 16 } = {}, maxQueue = 256 } = given;
  const pages = Math.floor(atLeastOne(tokens, 'kvCache.tokens') / atLeastOne(pageSize, 'kvCache.pageSize'));
  return {
    name: given.name ?? 'model',
    maxBatch: checkedBatch(maxBatch, 'generator'),
    tokens: pages * pageSize,
    pageSize,
    context: Math.min(atLeastOne(given.context ?? Infinity, 'context'), atLeastOne(pages * pageSize, 'kvCache.tokens')),
    maxQueue: atLeastOne(maxQueue, 'maxQueue'),
    tokenizer: given.tokenizer ?? null,
    precision: given.precision,
    invariant: given.invariant ?? false,
    threads: checkedThreads(given.threads, 'generator'),
  };
}
