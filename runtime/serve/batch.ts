import { atOnce, isThenable } from '../context.ts';
import { GraphError } from '../errors.ts';
import { offload } from '../offload.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { answersOf, type Answers } from './answers.ts';
import type { Captures } from './captures.ts';
import { collate, type Batch } from './collate.ts';
import { runInMode } from './modes.ts';
import type { Lane } from './queue.ts';
import type { Row } from './row.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Settings } from './settings.ts';

/** The second argument of fn, which describes a batch. */
export interface BatchInfo {
  /** The number of rows that belong to requests. With `invariant` or `capture` the batch may have more, which are copies of the first. */
  readonly rows: number;
  /** The shape of each row before it was padded. Where requests have several items, that of the first item by name. */
  readonly shapes: readonly Shape[];
}

/** The function that a batcher serves. */
export type Served = (batch: any, info: BatchInfo) => unknown;

/** How a batch runs. */
export interface How {
  readonly signal?: AbortSignal;
  /** The graphs of the batcher; null if fn is to be called. */
  readonly captures: Captures | null;
  /** Set if a graph computed the batch. */
  replayed?: boolean;
}

/** The sizes of batches that are captured: 1, 2, 3, 4, 6, 8, 12, 16 and so on, so that at most a third is added, and maxBatch. */
export function capturedSizes(maxBatch: number): number[] {
  const sizes = [];
  for (let power = 1; power < maxBatch; power *= 2) sizes.push(power, ...(power > 1 ? [1.5 * power] : []));
  return [...sizes.filter(size => size < maxBatch), maxBatch];
}
const capturedSize = (rows: number, maxBatch: number): number =>
  capturedSizes(maxBatch).find(size => size >= rows) ?? rows;

/** Batches of one key have one graph. */
export const captureKey = ({ key }: Lane, count: number): string => `${key};${count}`;

/** Refuses to tell fn about the rows while it is captured, because each replay has other rows. */
const untold = (): never => {
  throw new GraphError('fn reads the number or the shapes of the rows, which differ in each batch', {
    op: 'batcher',
    advice: 'Leave out its second argument, or capture: true',
  });
};
const unknown: BatchInfo = Object.defineProperties({} as BatchInfo, {
  rows: { get: untold, enumerable: true },
  shapes: { get: untold, enumerable: true },
});

/** A batch to compute: its rows, and for what. */
class Run {
  readonly #fn: Served;
  readonly #rows: readonly Row[];
  readonly #lane: Lane;
  readonly #settings: Settings;
  readonly #how: How;
  readonly #tensors: boolean;

  constructor(fn: Served, rows: readonly Row[], lane: Lane, settings: Settings, how: How) {
    this.#fn = fn;
    this.#rows = rows;
    this.#lane = lane;
    this.#settings = settings;
    this.#how = how;
    this.#tensors = rows[0]!.tensors;
  }

  run(): Promise<Answers> {
    return runInMode(this.#lane.mode, () => {
      const { captures, signal } = this.#how;
      const { threads } = this.#settings;
      const compute = (captures && this.#replaying(captures)) ?? (() => this.#calling(this.#count(false)));
      if (!this.#settings.offload) return compute();
      return offload(compute, { ...(signal && { signal }), ...(threads && { threads }) });
    }).then(({ answers }) => answers);
  }

  /** The number of rows that the batch gets. */
  #count(captured: boolean): number {
    const { invariant, maxBatch } = this.#settings;
    const { length } = this.#rows;
    if (invariant) return Math.max(maxBatch, length);
    return captured ? capturedSize(length, maxBatch) : length;
  }
  #batch(count: number): Batch {
    return collate(this.#rows, this.#lane.bucket, this.#settings.pad, count);
  }

  /** Returns what replays a graph, or calls fn until there is one; null if there will be none. */
  #replaying(captures: Captures): (() => Promise<Answered>) | null {
    const count = this.#count(true);
    const key = captureKey(this.#lane, count);
    if (captures.skips(key)) return null;
    const captured = captures.ready(key);
    if (captured === null) return () => this.#calling(count, output => this.#called(captures, key, count, output));
    return async () => {
      let output: unknown;
      try {
        output = captured.run(this.#batch(count), this.#tensors);
      } catch {
        // Something that the graph reads was freed, such as the copies of a weight: fn says whether that is an error.
        captures.forget(key);
        return await this.#calling(count);
      }
      this.#how.replayed = true;
      return await this.#answered(output, count);
    };
  }

  /** Has fn captured, or notes why it cannot be. What is in a stream cannot be captured, so it is done outside of it. */
  #called(captures: Captures, key: string, count: number, output: unknown): void {
    if (isThenable(output)) captures.refuse(key, new GraphError('fn is async', { op: 'batcher' }));
    const batch = (): Batch => this.#batch(count);
    atOnce(() => captures.called(key, batch, given => this.#fn(given, unknown)));
  }

  async #calling(count: number, called?: (output: unknown) => void): Promise<Answered> {
    const info = { rows: this.#rows.length, shapes: this.#rows.map(({ fields }) => fields[0]!.shape) };
    const output = this.#fn(this.#batch(count), info);
    called?.(output);
    return await this.#answered(await output, count);
  }
  /** Answers that are tensors are made from the output later, so it has to outlive the scope. */
  async #answered(output: unknown, count: number): Promise<Answered> {
    const kept = this.#tensors ? (output as Tensor) : null;
    return { answers: await answersOf(output, count, this.#tensors), kept };
  }
}
interface Answered {
  readonly answers: Answers;
  readonly kept: Tensor | null;
}

/** Runs fn once on rows of one lane. @throws what fn throws, or WrongResult for a result that cannot be split into rows */
export const runBatch = (
  fn: Served,
  rows: readonly Row[],
  lane: Lane,
  settings: Settings,
  how: How,
): Promise<Answers> => new Run(fn, rows, lane, settings, how).run();
