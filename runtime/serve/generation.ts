import { checkMethods } from '../arguments.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { KVCache } from './kvCache.ts';
import { Sampler, type SamplingOptions } from './sampler.ts';
import { TextSoFar, type Tokenizer } from './tokens.ts';

/** Why a generation ended: at a stop sequence or token, at maxTokens, or because it was cancelled. */
export type FinishReason = 'stop' | 'length' | 'cancelled';

/** Why a generation failed: the model or the tokenizer threw, its signal aborted, or its generator was closed. */
export type Failure = 'failed' | 'aborted' | 'closed';

/** A token of a generation, as it comes. There is one piece for each token, and their texts together are the text of the generation. */
export interface Piece {
  readonly token: number;
  /**
   * The text that is certain with this token; empty without a tokenizer, and while a character or a stop sequence may be incomplete. Text
   * that is still incomplete when the generation ends belongs to the piece of the last token. So a piece whose token leaves text incomplete
   * is given when the next token has come, or the generation has ended.
   */
  readonly text: string;
}

/** The result of a generation that has ended. */
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
  #outcome: FinishReason | Failure | null = null;
  #failure: { readonly error: unknown } | null = null;
  /** The last piece, as long as the rest of its text is not known. */
  #held: Piece | null = null;
  /** Called when it has ended. @internal */
  whenEnded = (): void => {};
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
  /** How it ended, or null. @internal */
  get outcome(): FinishReason | Failure | null {
    return this.#outcome;
  }

  /** Takes the logits (vocabulary) of the next token. @internal */
  take(logits: Float32Array): void {
    const token = this.#sampler.next(logits);
    if (this.#stopTokens.has(token)) return this.finish('stop');
    this.#made.push(token);
    const text = this.#text?.add(token) ?? '';
    if (this.#ended) return;
    this.#add({ token, text });
    if (this.#text?.stopped) this.finish('stop');
    else if (this.#made.length >= this.#maxTokens) this.finish('length');
  }
  /** Ends it. @internal */
  finish(reason: FinishReason): void {
    if (this.#ended) return;
    // The tokenizer, which is called for the rest of the text, may throw, or call cancel().
    this.#ended = true;
    try {
      this.#release(this.#text?.end() ?? '');
    } catch (error) {
      return this.#fail(error, 'failed');
    }
    this.#close(reason);
    this.#end.resolve({
      tokens: this.#made,
      text: this.#text?.text ?? '',
      reason,
      promptTokens: this.#prompt.length,
    });
  }
  /** @internal */
  fail(error: unknown, outcome: Failure): void {
    if (!this.#ended) this.#fail(error, outcome);
  }
  #fail(error: unknown, outcome: Failure): void {
    this.#failure = { error };
    this.#release('');
    this.#close(outcome);
    this.#end.reject(error);
  }
  #close(outcome: FinishReason | Failure): void {
    this.#ended = true;
    this.#outcome = outcome;
    this.#leave(this);
    this.whenEnded();
    this.#tell();
  }

  #add(piece: Piece): void {
    this.#release('');
    if (this.#text?.incomplete) this.#held = piece;
    else this.#pieces.push(piece);
    this.#tell();
  }
  /** Gives the piece that was held back, with the rest of its text. */
  #release(rest: string): void {
    if (this.#held === null) return;
    const { token, text } = this.#held;
    this.#held = null;
    this.#pieces.push({ token, text: text + rest });
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
  [Symbol.asyncIterator](): AsyncIterableIterator<Piece, void, undefined> {
    let at = 0;
    let left = false;
    let turn: Promise<unknown> = Promise.resolve();
    const read = async (): Promise<IteratorResult<Piece, void>> => {
      while (!left && at === this.#pieces.length && !this.#ended) await this.#news.promise;
      if (!left && at < this.#pieces.length) return { done: false, value: this.#pieces[at++]! };
      const failure = left ? null : this.#failure;
      left = true;
      if (failure !== null) throw failure.error;
      return { done: true, value: undefined };
    };
    const leave = (): void => {
      left = true;
      this.cancel();
      this.#tell();
    };
    return {
      next() {
        const result = turn.then(read);
        turn = result.catch(() => {});
        return result;
      },
      // Not an async generator, whose return() would wait for the next token.
      async return() {
        leave();
        return { done: true, value: undefined };
      },
      async throw(error: unknown) {
        leave();
        throw error;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }
}

checkMethods(Generation, { cancel: {}, result: {} });

/** A model that can be served: the logits (batch, time, vocabulary) of the token after each of tokens (batch, time), int64. */
export type CausalModel = (tokens: Tensor, cache: KVCache) => Tensor;
