import type { Tensor } from '../tensor/tensor.ts';
import type { KVCache } from './kvCache.ts';
import { Sampler, type SamplingOptions } from './sampler.ts';
import { TextSoFar, type Tokenizer } from './tokens.ts';

/** Why a generation ended: at a stop sequence or token, at maxTokens, or because it was cancelled. */
export type FinishReason = 'stop' | 'length' | 'cancelled';

/** A token of a generation, as it comes. */
export interface Piece {
  readonly token: number;
  /** The text that is certain with this token; empty without a tokenizer, and while a character or a stop sequence may be incomplete. */
  readonly text: string;
}

/** What a generation has made when it has ended. */
export interface Generated {
  readonly tokens: readonly number[];
  readonly text: string;
  readonly reason: FinishReason;
  readonly promptTokens: number;
}

/** The options of one request, besides those of sampling. */
export interface GenerateOptions extends SamplingOptions {
  /** The largest number of tokens to make. Default: 128. */
  maxTokens?: number;
  /** Tokens, or texts if there is a tokenizer, that end the generation and are not part of it. */
  stop?: readonly (number | string)[];
  /** Ends the generation when it aborts. */
  signal?: AbortSignal;
  /** Requests of a higher priority begin first. Default: 0. */
  priority?: number;
}

/** One request: a generator gives it tokens, and whoever asked reads them as they come. */
export class Generation implements AsyncIterable<Piece> {
  readonly #pieces: Piece[] = [];
  readonly #prompt: readonly number[];
  readonly #made: number[] = [];
  readonly #sampler: Sampler;
  readonly #text: TextSoFar | null;
  readonly #stopTokens: ReadonlySet<number>;
  readonly #maxTokens: number;
  readonly #leave: (generation: Generation) => void;
  readonly #end = Promise.withResolvers<Generated>();
  #news = Promise.withResolvers<void>();
  #ended = false;
  #error: unknown;
  /** Its pages of the cache, and the number of its tokens in them. @internal */
  readonly pages: number[] = [];
  /** @internal */
  cached = 0;
  /** @internal */
  readonly priority: number;

  /** @internal generator().generate() makes one. */
  constructor(
    prompt: readonly number[],
    given: GenerateOptions,
    tokenizer: Tokenizer | null,
    leave: (generation: Generation) => void,
  ) {
    const { stop = [], maxTokens = 128, priority = 0 } = given;
    this.#prompt = prompt;
    this.#sampler = new Sampler(given, prompt);
    this.#maxTokens = maxTokens;
    this.#stopTokens = new Set(stop.filter(each => typeof each === 'number'));
    this.#text =
      tokenizer &&
      new TextSoFar(
        tokenizer,
        stop.filter(each => typeof each === 'string'),
      );
    this.#leave = leave;
    this.priority = priority;
    this.#end.promise.catch(() => {});
  }

  /** The tokens that the model has to see before it can make the next: those of the prompt and those made, without the ones in the cache. @internal */
  get pending(): readonly number[] {
    return [...this.#prompt, ...this.#made].slice(this.cached);
  }
  /** The number of tokens of the prompt and those made. @internal */
  get length(): number {
    return this.#prompt.length + this.#made.length;
  }
  get ended(): boolean {
    return this.#ended;
  }

  /** Takes the logits (vocabulary) of the next token. @internal */
  take(logits: Float32Array): void {
    const token = this.#sampler.next(logits);
    if (this.#stopTokens.has(token)) return this.finish('stop');
    this.#made.push(token);
    const text = this.#text?.add(token) ?? '';
    this.#pieces.push({ token, text });
    this.#tell();
    if (this.#text?.stopped) this.finish('stop');
    else if (this.#made.length >= this.#maxTokens) this.finish('length');
  }
  /** Ends it. @internal */
  finish(reason: FinishReason): void {
    if (this.#ended) return;
    const rest = this.#text?.end() ?? '';
    if (rest !== '') this.#pieces.push({ token: this.#made.at(-1)!, text: rest });
    this.#close();
    this.#end.resolve({
      tokens: this.#made,
      text: this.#text?.text ?? '',
      reason,
      promptTokens: this.#prompt.length,
    });
  }
  /** @internal */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#error = error;
    this.#close();
    this.#end.reject(error);
  }
  #close(): void {
    this.#ended = true;
    this.#leave(this);
    this.#tell();
  }
  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  /** Ends it now and frees its part of the cache. What it has made stays readable. */
  cancel(): void {
    this.finish('cancelled');
  }
  /** Resolves when it has ended. @throws (rejects with) what the model threw, or the reason of the signal */
  result(): Promise<Generated> {
    return this.#end.promise;
  }
  /** The tokens as they come. Leaving the loop early cancels the generation. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Piece, void, undefined> {
    try {
      for (let next = 0; ;) {
        while (next < this.#pieces.length) yield this.#pieces[next++]!;
        if (this.#ended) break;
        await this.#news.promise;
      }
      if (this.#error !== undefined) throw this.#error;
    } finally {
      this.cancel();
    }
  }
}

/** A model that can be served: the logits (batch, time, vocabulary) of the token after each of tokens (batch, time), int64. */
export type CausalModel = (tokens: Tensor, cache: KVCache) => Tensor;
