import { checkMethods, number, options, whole } from '../arguments.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { F } from '../ops/functional.ts';
import { tensor as makeTensor, zeros } from '../tensor/create.ts';
import type { Device } from '../tensor/device.ts';
import { keep } from '../tensor/scope.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** The keys and values of one layer, for all slots: (slots, heads, features). */
interface LayerMemory {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** The memory for keys and values of all sequences, in pages of as many tokens each. */
export class PagePool {
  readonly pageSize: number;
  readonly pages: number;
  /** The pages that were given back, and the number of those from the first that were ever given. */
  readonly #returned: number[] = [];
  #given = 0;
  readonly #layers = new Map<number, LayerMemory>();
  /** The layers whose memory was made since the last call of the model that succeeded. */
  readonly #unproven = new Set<number>();

  constructor(pages: number, pageSize: number) {
    this.pages = pages;
    this.pageSize = pageSize;
  }
  get freePages(): number {
    return this.pages - this.#given + this.#returned.length;
  }
  pagesFor(tokens: number): number {
    return Math.ceil(tokens / this.pageSize);
  }
  /** Gives a sequence the pages that it needs for a number of tokens. Returns false, and gives none, if there are too few. */
  grow(pages: number[], tokens: number): boolean {
    const missing = this.pagesFor(tokens) - pages.length;
    if (missing > this.freePages) return false;
    for (let i = 0; i < missing; i++) pages.push(this.#returned.pop() ?? this.#given++);
    return true;
  }
  release(pages: number[]): void {
    while (pages.length > 0) this.#returned.push(pages.pop()!);
  }

  /** The memory of a layer, which is made when the layer is used for the first time, for keys and values like these. */
  layer(index: number, k: Tensor, v: Tensor): LayerMemory {
    let memory = this.#layers.get(index);
    if (memory === undefined) {
      memory = { keys: this.#make(k), values: this.#make(v) };
      this.#layers.set(index, memory);
      this.#unproven.add(index);
    }
    return memory;
  }
  #make(like: Tensor): Tensor {
    const [, heads, , features] = like.shape as [number, number, number, number];
    const { dtype } = like;
    return keep(zeros([this.pages * this.pageSize, heads, features], { dtype, device: like.device as Device }));
  }
  /**
   * Says that a call of the model has ended. Memory that was made in a call that failed is dropped, because the work that makes it may have
   * failed with the call, and the next call makes it again.
   */
  settle(succeeded: boolean): void {
    if (!succeeded) for (const index of this.#unproven) this.#drop(index);
    this.#unproven.clear();
  }
  #drop(index: number): void {
    const { keys, values } = this.#layers.get(index)!;
    this.#layers.delete(index);
    keys.dispose();
    values.dispose();
  }
  /** The bytes of the memory that was made. */
  get bytes(): number {
    let sum = 0;
    for (const { keys, values } of this.#layers.values()) sum += keys.storage.bytes + values.storage.bytes;
    return sum;
  }
  dispose(): void {
    for (const index of [...this.#layers.keys()]) this.#drop(index);
  }
}

/** A sequence as the cache sees it: its pages, how many of its tokens are in them, and how many follow in this step. */
export interface CachedSequence {
  readonly pages: readonly number[];
  readonly cached: number;
  readonly added: number;
}

/**
 * The cache of keys and values that a model is called with: it has those of the tokens before, of each sequence of the batch, and takes those
 * of the tokens of this call.
 */
export class KVCache {
  readonly #pool: PagePool;
  readonly #sequences: readonly CachedSequence[];
  #positions: Tensor | null = null;
  #reads: { slots: Tensor; mask: Tensor | null; length: number } | null = null;

  /** @internal generator() makes one for each call of the model. */
  constructor(pool: PagePool, sequences: readonly CachedSequence[]) {
    this.#pool = pool;
    this.#sequences = sequences;
  }

  /** The positions of the tokens of this call in their sequences, (batch, time), int64, for position embeddings. */
  get positions(): Tensor<'int64'> {
    this.#positions ??= makeTensor(
      this.#sequences.map(({ cached, added }) => Array.from({ length: added }, (_, i) => cached + i)),
      { dtype: 'int64' },
    );
    return this.#positions as Tensor<'int64'>;
  }

  /**
   * Adds the keys and values of this call to the cache, and returns the attention of its queries to all tokens up to their own. q, k and v are
   * (batch, heads, time, features), the result is like q. `layer` is the number of the attention layer, from 0.
   */
  attend(layer: number, q: Tensor, k: Tensor, v: Tensor, given: { scale?: number } = {}): Tensor {
    this.#check(layer, q, k, v);
    const memory = this.#pool.layer(layer, k, v);
    this.#sequences.forEach((sequence, i) => {
      this.#write(memory.keys, sequence, k.select(0, i));
      this.#write(memory.values, sequence, v.select(0, i));
    });
    if (this.#sequences.every(({ cached }) => cached === 0))
      return F.scaledDotProductAttention(q, k, v, { causal: true, ...given });
    const { slots, mask, length } = this.#whereToRead();
    const read = (from: Tensor): Tensor =>
      from
        .indexSelect(0, slots)
        .reshape([this.#sequences.length, length, from.shape[1]!, from.shape[2]!])
        .transpose(1, 2);
    const masking = mask === null ? {} : { mask };
    return F.scaledDotProductAttention(q, read(memory.keys), read(memory.values), { ...masking, ...given });
  }

  #check(layer: number, q: Tensor, k: Tensor, v: Tensor): void {
    if (layer < 0)
      throw new ArgumentError(`layer is ${layer}`, {
        op: 'KVCache.attend',
        advice: 'Number the attention layers of the model 0, 1, 2 and so on',
      });
    const [batch, time] = [this.#sequences.length, this.#sequences[0]!.added];
    for (const [name, t] of Object.entries({ q, k, v }))
      if (t.shape.length !== 4 || t.shape[0] !== batch || t.shape[2] !== time)
        throw new ShapeError(`${name} is not (${batch}, heads, ${time}, features)`, {
          op: 'KVCache.attend',
          shapes: [q.shape, k.shape, v.shape],
          advice: 'Pass the queries, keys and values of the tokens that forward() was given',
        });
  }

  /** Writes rows (heads, time, features) into the slots of the tokens that a sequence adds, page by page. */
  #write(memory: Tensor, { pages, cached, added }: CachedSequence, rows: Tensor): void {
    const { pageSize } = this.#pool;
    const byToken = rows.transpose(0, 1);
    for (let done = 0; done < added;) {
      const position = cached + done;
      const within = position % pageSize;
      const count = Math.min(pageSize - within, added - done);
      const slot = pages[Math.floor(position / pageSize)]! * pageSize + within;
      memory.narrow(0, slot, count).copy_(byToken.narrow(0, done, count));
      done += count;
    }
  }

  /**
   * The slots of the tokens of each sequence, filled up to the longest one, and the mask (batch, 1, time, length) that hides those beyond its
   * end and those after each query; null where nothing is hidden.
   */
  #whereToRead(): { slots: Tensor; mask: Tensor | null; length: number } {
    if (this.#reads !== null) return this.#reads;
    const { pageSize } = this.#pool;
    const lengths = this.#sequences.map(({ cached, added }) => cached + added);
    const length = Math.max(...lengths);
    const slots = new Int32Array(this.#sequences.length * length);
    this.#sequences.forEach(({ pages }, i) => {
      for (let at = 0; at < lengths[i]!; at++)
        slots[i * length + at] = pages[Math.floor(at / pageSize)]! * pageSize + (at % pageSize);
    });
    return (this.#reads = { slots: makeTensor(slots), mask: this.#mask(lengths, length), length });
  }
  #mask(lengths: readonly number[], length: number): Tensor | null {
    const time = this.#sequences[0]!.added;
    if (time === 1 && lengths.every(each => each === length)) return null;
    const seen = new Uint8Array(lengths.length * time * length);
    lengths.forEach((end, i) => {
      for (let query = 0; query < time; query++) {
        const from = (i * time + query) * length;
        seen.fill(1, from, from + end - time + query + 1);
      }
    });
    return makeTensor(seen, { dtype: 'bool' }).reshape([lengths.length, 1, time, length]);
  }
}
checkMethods(KVCache, {
  attend: { layer: whole, q: tensor, k: tensor, v: tensor, options: options({ scale: number }) },
});
