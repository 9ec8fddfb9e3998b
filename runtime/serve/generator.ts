import { any, anyAs, boolean, checked, checkMethods, options } from '../arguments.ts';
import { outsideOfRequests } from '../context.ts';
import { ArgumentError, ClosedError, OverloadedError } from '../errors.ts';
import { offload } from '../offload.ts';
import { shown } from '../shown.ts';
import { tensor } from '../tensor/create.ts';
import { Generation, type CausalModel, type GenerateOptions } from './generation.ts';
import { checkedLogits, checkStops, GENERATE, tokensOf } from './generatorChecks.ts';
import {
  generateOptions,
  generatorOptions,
  generatorSettings,
  type GeneratorOptions,
  type GeneratorSettings,
} from './generatorOptions.ts';
import { familiesOf, type GenerationOutcome, type GeneratorStats } from './generatorStats.ts';
import { Histogram, ROWS, SECONDS } from './histogram.ts';
import { KVCache, PagePool, type CachedSequence } from './kvCache.ts';
import { batchMode, runInMode } from './modes.ts';
import { noteError, freeName, register, type Family } from './registry.ts';
import { checkSampling } from './sampler.ts';

/** Makes texts for many requests at once. generator() makes one. */
export class TextGenerator {
  readonly #model: CausalModel;
  readonly #settings: GeneratorSettings;
  readonly #pool: PagePool;
  /** Those that wait, the next one first, and those that have pages, the oldest first. */
  readonly #queue: Generation[] = [];
  readonly #active: Generation[] = [];
  /** The name in metrics: the one of the options, with a number if another generator or batcher has it. */
  readonly name: string;
  /** A page that belongs to no sequence: rows that only fill up a batch write there. */
  readonly #spare: readonly number[];
  readonly #unregister: () => void;
  readonly #steps = new Histogram(SECONDS);
  readonly #rows = new Histogram(ROWS);
  readonly #requests: Record<GenerationOutcome, number> = {
    ...{ stop: 0, length: 0, cancelled: 0, failed: 0, aborted: 0, closed: 0, overloaded: 0 },
  };
  #promptTokens = 0;
  #tokens = 0;
  #preemptions = 0;
  #running = false;
  #closing: PromiseWithResolvers<void> | null = null;

  /** @internal generator() makes one. */
  constructor(model: CausalModel, settings: GeneratorSettings) {
    this.#model = model;
    this.#settings = settings;
    const { tokens, pageSize, invariant } = settings;
    this.#pool = new PagePool(tokens / pageSize + (invariant ? 1 : 0), pageSize);
    const spare: number[] = [];
    if (invariant) this.#pool.grow(spare, 1);
    this.#spare = spare;
    this.name = freeName(settings.name);
    this.#unregister = register(this);
  }

  /**
   * Begins to make tokens after a prompt, a text or an array of tokens, and returns the generation, whose tokens come while others are made.
   * @throws OverloadedError if too many wait, ClosedError, and ArgumentError for a prompt that is empty or too long
   */
  generate(prompt: string | readonly number[], given: GenerateOptions = {}): Generation {
    if (this.#closing !== null) {
      this.#requests.closed++;
      throw new ClosedError('the generator is closed', { op: GENERATE });
    }
    const { signal } = given;
    signal?.throwIfAborted();
    checkSampling(given, GENERATE);
    const { context, tokenizer, maxQueue } = this.#settings;
    const tokens = tokensOf(prompt, tokenizer, context);
    if (this.#queue.length >= maxQueue) throw this.#overloaded(maxQueue);
    const maxTokens = Math.min(given.maxTokens ?? 128, context - tokens.length);
    checkStops(given, tokenizer !== null);
    const generation = new Generation(tokens, { ...given, maxTokens }, tokenizer, ended => this.#leave(ended));
    const abort = (): void => generation.fail(signal!.reason, 'aborted');
    signal?.addEventListener('abort', abort, { once: true });
    generation.whenEnded = () => signal?.removeEventListener('abort', abort);
    this.#enqueue(generation);
    this.#start();
    return generation;
  }

  /** Returns counters of the requests since it was made, and of those that wait or run now. */
  stats(): GeneratorStats {
    const { pages, freePages, bytes } = this.#pool;
    const spare = this.#spare.length;
    return {
      queued: this.#queue.length,
      active: this.#active.length,
      usedPages: pages - freePages - spare,
      pages: pages - spare,
      cacheBytes: bytes,
      promptTokens: this.#promptTokens,
      tokens: this.#tokens,
      tokensPerSecond: this.#steps.sum === 0 ? 0 : this.#tokens / this.#steps.sum,
      preemptions: this.#preemptions,
      requests: { ...this.#requests },
    };
  }

  /** Takes no more requests, and resolves when all have ended; with `drain: false` those under way fail with ClosedError. Frees the cache. */
  close({ drain = true }: { drain?: boolean } = {}): Promise<void> {
    this.#closing ??= Promise.withResolvers<void>();
    if (!drain)
      for (const generation of [...this.#queue, ...this.#active])
        generation.fail(new ClosedError('the generator was closed', { op: GENERATE }), 'closed');
    this.#endIfIdle();
    return this.#closing.promise;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #overloaded(limit: number): OverloadedError {
    this.#requests.overloaded++;
    const waiting = this.#queue.length;
    const retryAfter = Math.max(1, Math.ceil(this.#steps.mean * 100));
    return new OverloadedError(
      `${waiting} requests wait, as many as may (maxQueue)`,
      { op: GENERATE },
      { waiting, limit, retryAfter },
    );
  }

  // ---- who has pages -------------------------------------------------------------------------------------------------

  #enqueue(generation: Generation, first = false): void {
    const { priority } = generation;
    const at = this.#queue.findIndex(each => (first ? each.priority <= priority : each.priority < priority));
    this.#queue.splice(at < 0 ? this.#queue.length : at, 0, generation);
  }
  /** Takes out a generation that has ended. A step that is running may still write to its pages, but nobody gets them before it has ended. */
  #leave(generation: Generation): void {
    this.#requests[generation.outcome!]++;
    for (const list of [this.#queue, this.#active]) {
      const at = list.indexOf(generation);
      if (at >= 0) list.splice(at, 1);
    }
    this.#pool.release(generation.pages);
    this.#endIfIdle();
  }
  /** Lets requests in as long as there is room for them and the pages for what they have. */
  #admit(): void {
    while (this.#active.length < this.#settings.maxBatch && this.#queue.length > 0) {
      const [next] = this.#queue as [Generation];
      if (!this.#pool.grow(next.pages, next.length)) return;
      this.#queue.shift();
      this.#active.push(next);
    }
  }
  /** Returns the sequences that have a page for their next token. The youngest give theirs to older ones if there are too few. */
  #withRoom(generations: readonly Generation[]): Generation[] {
    const ready: Generation[] = [];
    for (const generation of generations) {
      while (generation.pages.length > 0 && !this.#pool.grow(generation.pages, generation.length))
        this.#preempt(this.#active.at(-1)!);
      if (generation.pages.length > 0) ready.push(generation);
    }
    return ready.filter(({ pages }) => pages.length > 0);
  }
  #preempt(generation: Generation): void {
    this.#preemptions++;
    this.#active.splice(this.#active.indexOf(generation), 1);
    this.#pool.release(generation.pages);
    generation.cached = 0;
    this.#enqueue(generation, true);
  }

  // ---- steps ---------------------------------------------------------------------------------------------------------

  #start(): void {
    if (this.#running) return;
    this.#running = true;
    outsideOfRequests(() => setImmediate(() => void this.#loop()));
  }
  /** Each turn reads one new prompt, and makes one token of every sequence that was read. */
  async #loop(): Promise<void> {
    for (;;) {
      this.#admit();
      if (this.#active.length === 0) break;
      const fresh = this.#active.find(({ cached }) => cached === 0);
      if (fresh) await this.#step([fresh]);
      const read = this.#withRoom(this.#active.filter(({ cached }) => cached > 0));
      if (read.length > 0) await this.#step(read);
    }
    this.#running = false;
    this.#endIfIdle();
  }
  #endIfIdle(): void {
    if (this.#closing === null || this.#running || this.#active.length + this.#queue.length > 0) return;
    this.#unregister();
    this.#pool.dispose();
    this.#closing.resolve();
  }

  /** Runs the model for some sequences, and gives each its logits. If it fails for several, each runs alone. */
  async #step(generations: readonly Generation[]): Promise<void> {
    const pending = generations.map(generation => generation.pending);
    const start = performance.now();
    let logits: readonly Float32Array[];
    try {
      logits = await this.#logits(generations, pending);
    } catch (error) {
      this.#pool.settle(false);
      if (generations.length === 1) return this.#failed(generations[0]!, error);
      for (const generation of generations) if (!generation.ended) await this.#step([generation]);
      return;
    }
    this.#pool.settle(true);
    this.#steps.add((performance.now() - start) / 1000);
    this.#rows.add(generations.length);
    generations.forEach((generation, i) => this.#take(generation, pending[i]!.length, logits[i]!));
  }
  #failed(generation: Generation, error: unknown): void {
    noteError(error);
    generation.fail(error, 'failed');
  }
  #take(generation: Generation, read: number, logits: Float32Array): void {
    if (generation.ended) return;
    if (generation.cached === 0) this.#promptTokens += read;
    generation.cached += read;
    this.#tokens++;
    try {
      generation.take(logits);
    } catch (error) {
      // The tokenizer of this generation failed. The other generations have their tokens.
      this.#failed(generation, error);
    }
  }

  /** The logits (vocabulary) of the last token of each sequence. */
  async #logits(generations: readonly Generation[], pending: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const { precision, threads } = this.#settings;
    const rows = [...pending];
    const sequences: CachedSequence[] = generations.map(({ pages, cached }, i) => ({
      pages,
      cached,
      added: pending[i]!.length,
    }));
    this.#fillUp(rows, sequences);
    const run = async (): Promise<Float32Array> => {
      const tokens = tensor(
        rows.map(row => [...row]),
        { dtype: 'int64' },
      );
      const logits = checkedLogits(this.#model(tokens, new KVCache(this.#pool, sequences)), tokens);
      return (await logits.select(1, -1).to('float32').data()) as Float32Array;
    };
    const all = await runInMode(batchMode(precision), () => offload(run, threads === undefined ? {} : { threads }));
    const size = all.length / rows.length;
    return generations.map((_, i) => all.subarray(i * size, (i + 1) * size));
  }
  /** In invariant mode, adds rows that nobody asked for, so that every batch has the same number. */
  #fillUp(rows: (readonly number[])[], sequences: CachedSequence[]): void {
    if (!this.#settings.invariant || sequences[0]!.cached === 0) return;
    while (rows.length < this.#settings.maxBatch) {
      rows.push([0]);
      sequences.push({ pages: this.#spare, cached: 0, added: 1 });
    }
  }

  /** The figures for metrics(). @internal */
  families(): readonly Family[] {
    return familiesOf(this.name, this.stats(), this.#steps, this.#rows);
  }
}
checkMethods(TextGenerator, {
  generate: { prompt: anyAs('a text or an array of tokens'), options: generateOptions },
  stats: {},
  close: { options: options({ drain: boolean }) },
});

/** A module whose forward() is such a model. */
export interface CausalModule {
  forward: CausalModel;
}

/**
 * Returns a generator, which makes tokens for many requests at once with a causal language model: requests join and leave the batch between
 * two steps (continuous batching), and a paged cache keeps the keys and values of their tokens. The model is a function of tokens (batch,
 * time) and the cache, or a module with such a forward(); each of its attention layers calls `cache.attend(layer, q, k, v)`, and position
 * embeddings use `cache.positions`. It runs off the event loop, in inference mode.
 */
export const generator = checked('generator', { model: any, options: generatorOptions }, doGenerator);
function doGenerator(model: CausalModel | CausalModule, given: GeneratorOptions = {}): TextGenerator {
  const forward = typeof model === 'function' ? model : model?.forward;
  if (typeof forward !== 'function')
    throw new ArgumentError(`${shown(model)} is not a model`, {
      op: 'generator',
      advice: 'Pass a function of (tokens, cache), or a module with such a forward()',
    });
  return new TextGenerator((tokens, cache) => forward.call(model, tokens, cache), generatorSettings(given));
}
