import { number, options, whole, type Specs } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';

/** How the next token is chosen from the logits. The filters apply in the order in which they stand here. */
export interface SamplingOptions {
  /** Divides the logits of tokens that were there before, or multiplies negative ones. 1, the default, changes nothing. */
  repetitionPenalty?: number;
  /** Divides the logits. 0 chooses the most likely token always, without chance. Default: 1. */
  temperature?: number;
  /** Only so many of the most likely tokens. Default: all. */
  topK?: number;
  /** Only the most likely tokens whose probabilities add up to this. Default: 1, all. */
  topP?: number;
  /** Only tokens whose probability is at least this share of that of the most likely one. Default: 0, all. */
  minP?: number;
  /** The same seed gives the same tokens for the same logits. Default: a random one. */
  seed?: number;
}

export const samplingSpecs: Specs = {
  ...{ repetitionPenalty: number, temperature: number, topK: whole, topP: number, minP: number, seed: whole },
};
export const samplingOptions = options(samplingSpecs);

const limits = {
  repetitionPenalty: { least: Number.MIN_VALUE, most: Infinity, range: 'above 0' },
  temperature: { least: 0, most: Infinity, range: '0 or above' },
  topK: { least: 1, most: Infinity, range: '1 or above' },
  topP: { least: Number.MIN_VALUE, most: 1, range: 'above 0, up to 1' },
  minP: { least: 0, most: 1, range: 'from 0 to 1' },
  seed: { least: 0, most: Number.MAX_SAFE_INTEGER, range: '0 or above' },
} as const;

/** @throws ArgumentError for a value out of its range */
export function checkSampling(given: SamplingOptions, op: string): void {
  for (const [name, { least, most, range }] of Object.entries(limits)) {
    const value = given[name as keyof SamplingOptions];
    if (value === undefined || (value >= least && value <= most)) continue;
    throw new ArgumentError(`${name} is ${value}, and must be ${range}`, {
      op,
      advice: 'Leave it out for the default',
    });
  }
}

/** A stream of random numbers from 0 to 1 (xoshiro128++ by Blackman and Vigna, seeded by splitmix32). */
function randomFrom(seed: number): () => number {
  let state = (seed % 2 ** 32) ^ Math.floor(seed / 2 ** 32);
  const next = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  let [a, b, c, d] = [next(), next(), next(), next()];
  const rotated = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
  return () => {
    const result = (rotated((a + d) | 0, 7) + a) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotated(d, 11);
    return result / 2 ** 32;
  };
}

/** The position of the largest value; the first of several. */
function argmax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
/** A token whose logit is not a number is never chosen, as if its probability were 0. */
function withoutNaN(logits: Float32Array): void {
  for (let i = 0; i < logits.length; i++) if (Number.isNaN(logits[i]!)) logits[i] = -Infinity;
}

/** Chooses the tokens of one request. */
export class Sampler {
  readonly #options: Required<Omit<SamplingOptions, 'seed'>>;
  readonly #random: () => number;
  readonly #seen = new Set<number>();

  constructor(given: SamplingOptions, prompt: readonly number[]) {
    const { repetitionPenalty = 1, temperature = 1, topK = Infinity, topP = 1, minP = 0 } = given;
    this.#options = { repetitionPenalty, temperature, topK, topP, minP };
    this.#random = randomFrom(given.seed ?? Math.floor(Math.random() * 2 ** 32));
    for (const token of prompt) this.#seen.add(token);
  }

  /** Returns the next token for logits (vocabulary), which it may change. @throws ArgumentError if no token can be chosen */
  next(logits: Float32Array): number {
    const { repetitionPenalty, temperature } = this.#options;
    if (repetitionPenalty !== 1)
      for (const token of this.#seen)
        if (logits[token] !== 0) logits[token]! *= logits[token]! > 0 ? 1 / repetitionPenalty : repetitionPenalty;
    withoutNaN(logits);
    const best = argmax(logits);
    if (logits[best] === -Infinity) throw noChoice();
    const token = temperature === 0 ? best : this.#draw(logits, logits[best]!);
    this.#seen.add(token);
    return token;
  }

  #draw(logits: Float32Array, largest: number): number {
    const { temperature, topK, topP, minP } = this.#options;
    if (largest === Infinity) return argmax(logits);
    const weights = logits.map(logit => Math.exp((logit - largest) / temperature));
    const likely = topK < weights.length || topP < 1 ? mostLikely(weights, topK, topP) : [...weights.keys()];
    const kept = minP > 0 ? likely.filter(i => weights[i]! >= minP) : likely;
    let left = this.#random() * sum(weights, kept);
    for (const i of kept) {
      left -= weights[i]!;
      if (left < 0) return i;
    }
    return kept.findLast(i => weights[i]! > 0)!;
  }
}

const noChoice = (): ArgumentError =>
  new ArgumentError('the model returned logits of which each is NaN or -Infinity, so no token can be chosen', {
    op: 'generator',
    advice: 'Look for an overflow in the model; bfloat16 has the range of float32, and float16 has not',
  });

const sum = (weights: Float32Array, positions: readonly number[]): number =>
  positions.reduce((total, i) => total + weights[i]!, 0);

/**
 * The positions of the topK largest weights, of which only the first whose share adds up to topP, in falling order. The largest weight is 1.
 * Most weights of a large vocabulary are tiny, so only as many as needed are sorted.
 */
function mostLikely(weights: Float32Array, topK: number, topP: number): number[] {
  const all = [...weights.keys()];
  const wanted = topK < weights.length ? Infinity : topP * sum(weights, all);
  let least = 0.03;
  let likely = all.filter(i => weights[i]! >= least);
  while (least > 0 && likely.length < topK && sum(weights, likely) < wanted) {
    least = least > 1e-9 ? least / 30 : 0;
    likely = all.filter(i => weights[i]! >= least);
  }
  const kept = likely.sort((a, b) => weights[b]! - weights[a]! || a - b).slice(0, topK);
  if (topP >= 1) return kept;
  let left = topK < weights.length ? topP * sum(weights, kept) : wanted;
  const end = kept.findIndex(i => (left -= weights[i]!) <= 0);
  return end < 0 ? kept : kept.slice(0, end + 1);
}
