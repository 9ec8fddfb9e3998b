import { autocastIn } from '../amp/state.ts';
import { current, innerMode, withInner } from '../context.ts';
import { GraphError, OutOfMemoryError } from '../errors.ts';
import { captureOn, type CapturedGraph } from '../capture.ts';
import { forgetParts, noteReplaced } from '../nn/replaced.ts';
import { deviceCode } from '../tensor/device.ts';
import { changesSoFar } from '../tensor/graphCapture.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { warn } from '../tensor/warnings.ts';
import type { Batch } from './collate.ts';
import { described } from './registry.ts';

/** The result of a model: a tensor, or an object of outputs by name. */
type Output = Tensor | { readonly [name: string]: Output };

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/** The tensors of a batch or of an output. @throws GraphError for anything else */
function tensorsOf(value: unknown): Tensor[] {
  if (isTensor(value)) return [value];
  if (isRecord(value)) return Object.values(value).flatMap(tensorsOf);
  throw new GraphError('fn returned a value that is no tensor, which a graph could not compute again', {
    op: 'batcher',
    advice: 'Return tensors, from which each request gets its row',
  });
}
function mapped(value: Output, change: (t: Tensor) => Tensor): Output {
  if (isTensor(value)) return change(value);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, mapped(each, change)]));
}

/** Counts the parts of models that were replaced, too, and returns the number of all changes. */
function changesUntilNow(): number {
  noteReplaced();
  return changesSoFar();
}

/** The calls of fn for batches of one kind and size, with the memory that they read and write. */
class CapturedBatch {
  readonly #inputs: readonly Tensor[];
  readonly #graph: CapturedGraph<Output>;
  /** changesUntilNow() when it was made. */
  readonly #changes = changesUntilNow();

  /** @throws what fn throws, or GraphError if its calls cannot be captured */
  constructor(batch: Batch, fn: (batch: Batch) => unknown) {
    // They belong to no scope. keep() would make them parameters to autocast and to linear layers, which are copied once.
    const inputs = withInner(innerMode(current(), { scope: null }), () => mapped(batch, t => t.clone()), undefined);
    this.#inputs = tensorsOf(inputs);
    // fn may dispose of its input, which as a view ends alone.
    const shown = mapped(inputs, t => t.alias()) as Batch;
    const device = deviceCode(this.#inputs[0]!.device, 'batcher');
    try {
      this.#graph = captureOn(device, () => fn(shown) as Output, true);
    } catch (error) {
      this.#free();
      throw error;
    }
    this.#check(device);
  }
  #check(device: number): void {
    try {
      if (this.stale)
        throw new GraphError(
          'fn itself changes a weight that it reads, or the mode of a model: a graph would always be outdated',
          {
            op: 'batcher',
            advice: 'Change the model between batches, or leave out capture: true',
          },
        );
      if (tensorsOf(this.#graph.result).every(({ storage }) => storage.device === device)) return;
      throw new GraphError('fn returned a tensor of another device than that of the batch', { op: 'batcher' });
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Did anything change that the graph keeps as it was? */
  get stale(): boolean {
    return this.#changes !== changesUntilNow() || this.#graph.stale;
  }
  /** Makes the calls with another batch. The output is valid until the next one; with `own` it is a copy. */
  run(batch: Batch, own: boolean): Output {
    tensorsOf(batch).forEach((t, i) => this.#inputs[i]!.copy_(t));
    const output = this.#graph.replay();
    return own ? mapped(output, t => t.clone()) : output;
  }
  dispose(): void {
    this.#graph.dispose();
    this.#free();
  }
  #free(): void {
    for (const t of this.#inputs) t.dispose();
  }
}

/** Counters of captured batches. */
export interface CaptureStats {
  /** The kinds and sizes of batches that are captured now. */
  readonly captured: number;
  /** The batches that a graph computed. */
  readonly replays: number;
  /** The kinds and sizes of batches for which fn is called each time, because its calls cannot be captured, and why: the last reason. */
  readonly refused: number;
  readonly reason: string | null;
}

/** Why fn could not be captured. */
interface Refusal {
  readonly message: string;
  /** changesUntilNow() at that time. */
  readonly changes: number;
  /** The number of batches until it is tried again. */
  batches: number;
}

/** The graph and the history of the batches of one kind and size. */
interface Entry {
  /** How many batches fn was called for since the last change, and since it could not be captured. */
  runs: number;
  captured: CapturedBatch | null;
  /** Why fn could not be captured; null if it was not tried, or worked. */
  refused: Refusal | null;
}

/** The number of batches for which fn is called before it is captured: it then works, and its code and memory are warm. */
const WARM = 2;
/** The batch that is the first to be computed by a graph. */
export const CAPTURED_AFTER = WARM + 1;
/** The number of batches for which fn is called after memory ran out in a capture. */
const AFTER_OUT_OF_MEMORY = 100;
/** The largest number of kinds and sizes. Those used longest ago are forgotten, because clients choose shapes. */
const MOST = 128;

/** The number of those that are not closed. */
let open = 0;

/** The captured batches of one batcher, by their kind and size. */
export class Captures {
  readonly #entries = new Map<string, Entry>();
  readonly #name: string;
  #replays = 0;
  #reason: string | null = null;

  constructor(name: string) {
    this.#name = name;
    open++;
  }

  /** Returns why fn cannot be captured for batches of a kind; null if that is not known. It may be able to after a change. */
  refusal(key: string): string | null {
    const refused = this.#entries.get(key)?.refused ?? null;
    return refused !== null && refused.changes === changesUntilNow() ? refused.message : null;
  }

  /** Is fn to be called for a batch, because it cannot be captured? */
  skips(key: string): boolean {
    if (this.refusal(key) === null) return false;
    const entry = this.#entry(key);
    if (--entry.refused!.batches > 0) return true;
    entry.refused = null;
    return false;
  }
  /** Returns the captured batch; null if fn is to be called. */
  ready(key: string): CapturedBatch | null {
    const entry = this.#entry(key);
    if (entry.captured?.stale) this.forget(key);
    if (entry.captured !== null) this.#replays++;
    return entry.captured;
  }
  /**
   * Notes that fn was called for a batch, and captures it for later ones if that was often enough. It is to be called right after fn: the
   * weights then have the packed and cast forms that fn reads, and nobody can have written to them since.
   */
  called(key: string, batch: () => Batch, fn: (batch: Batch) => unknown): void {
    const entry = this.#entry(key);
    if (entry.captured !== null || this.refusal(key) !== null) return;
    if (++entry.runs >= WARM) this.#capture(entry, batch, fn);
  }
  #entry(key: string): Entry {
    const entry = this.#entries.get(key) ?? { runs: 0, captured: null, refused: null };
    // The last in the order of a Map is the one used last.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > MOST) {
      const [oldest] = this.#entries.keys();
      this.#entries.get(oldest!)!.captured?.dispose();
      this.#entries.delete(oldest!);
    }
    return entry;
  }
  #capture(entry: Entry, batch: () => Batch, fn: (batch: Batch) => unknown): void {
    try {
      if (autocastIn(current())?.report)
        throw new GraphError('a replay would not be in the report of the autocast scope');
      entry.captured = new CapturedBatch(batch(), fn);
      entry.refused = null;
    } catch (error) {
      this.#refuse(entry, error);
    }
  }
  #refuse(entry: Entry, error: unknown): void {
    const { message } = described(error);
    const batches = error instanceof OutOfMemoryError ? AFTER_OUT_OF_MEMORY : Infinity;
    entry.refused = { changes: changesUntilNow(), message, batches };
    entry.runs = 0;
    if (this.#reason === null)
      warn(
        'CASTOR_NOT_CAPTURED',
        `fn of the batcher '${this.#name}' is called for each batch, as without capture: ${message}`,
      );
    this.#reason = message;
  }
  /** Notes why fn cannot be captured for batches of a kind. */
  refuse(key: string, error: unknown): void {
    this.#refuse(this.#entry(key), error);
  }
  /** Frees a captured batch. fn is called for the next one, and captured again. */
  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.captured?.dispose();
    entry.captured = null;
    entry.runs = WARM - 1;
  }

  stats(): CaptureStats {
    const entries = [...this.#entries.values()];
    return {
      captured: entries.filter(({ captured }) => captured !== null).length,
      replays: this.#replays,
      refused: entries.filter(({ refused }) => refused !== null).length,
      reason: this.#reason,
    };
  }
  /** Frees the memory of all graphs. It is called once. */
  close(): void {
    if (--open === 0) forgetParts();
    for (const { captured } of this.#entries.values()) captured?.dispose();
    this.#entries.clear();
  }
}
