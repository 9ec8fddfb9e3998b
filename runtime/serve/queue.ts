import type { BatchMode } from './modes.ts';
import type { Row } from './row.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Answers } from './answers.ts';

/** A request that waits for its answer. */
export interface Waiting {
  readonly row: Row;
  readonly priority: number;
  /** When it came, and when its time is up, in milliseconds of performance.now(). */
  readonly since: number;
  readonly deadline: number;
  readonly lane: Lane;
  /** Was it answered, refused or given up? Then nobody waits for it any more. */
  settled: boolean;
  /** Called when it is settled while its batch runs. */
  onSettled: (() => void) | null;
  resolve(answers: Answers, index: number): void;
  reject(error: unknown): void;
}

/** The requests that may share a batch: rows of one bucket and one mode. The first is that of the highest priority, and then the oldest. */
export class Lane {
  readonly key: string;
  readonly bucket: readonly Shape[];
  readonly mode: BatchMode;
  readonly waiting: Waiting[] = [];

  constructor(key: string, bucket: readonly Shape[], mode: BatchMode) {
    this.key = key;
    this.bucket = bucket;
    this.mode = mode;
  }

  add(request: Waiting): void {
    const { waiting } = this;
    let at = waiting.length;
    while (at > 0 && waiting[at - 1]!.priority < request.priority) at--;
    waiting.splice(at, 0, request);
  }
  remove(request: Waiting): void {
    const at = this.waiting.indexOf(request);
    if (at >= 0) this.waiting.splice(at, 1);
  }
  /** When did the oldest come? */
  get since(): number {
    let since = Infinity;
    for (const request of this.waiting) if (request.since < since) since = request.since;
    return since;
  }
  get priority(): number {
    return this.waiting[0]!.priority;
  }
}

/** The lanes in which requests wait. */
export class Queue {
  readonly #lanes = new Map<string, Lane>();
  #last: Lane | null = null;
  /** The number of requests that wait, and the bytes of their data. */
  size = 0;
  bytes = 0;

  lane(key: string, make: () => Lane): Lane {
    if (this.#last?.key === key) return this.#last;
    let lane = this.#lanes.get(key);
    if (lane === undefined) this.#lanes.set(key, (lane = make()));
    return (this.#last = lane);
  }
  add(request: Waiting): void {
    this.size++;
    this.bytes += request.row.bytes;
    request.lane.add(request);
  }
  /** Takes out a request that nobody waits for any more. Returns whether it was still there. */
  remove(request: Waiting): boolean {
    const { waiting } = request.lane;
    const before = waiting.length;
    request.lane.remove(request);
    if (waiting.length === before) return false;
    this.#left([request], request.lane);
    return true;
  }
  /** Takes out the first requests of a lane. */
  take(lane: Lane, count: number): Waiting[] {
    const taken = lane.waiting.splice(0, count);
    this.#left(taken, lane);
    return taken;
  }
  #left(requests: readonly Waiting[], lane: Lane): void {
    this.size -= requests.length;
    for (const { row } of requests) this.bytes -= row.bytes;
    if (lane.waiting.length > 0) return;
    // An empty lane is forgotten: clients choose shapes, and so how many lanes there are.
    this.#lanes.delete(lane.key);
    if (this.#last === lane) this.#last = null;
  }
  /** The requests that wait, in the order of their lanes. */
  *[Symbol.iterator](): Generator<Waiting> {
    for (const lane of this.#lanes.values()) yield* lane.waiting;
  }

  /**
   * Returns the lane whose batch is next: the one of the highest priority among those that are ready, and of these the one that has waited
   * longest. A lane is ready when its batch is full, or when its oldest request came before a time.
   */
  next(maxBatch: number, before: number): Lane | null {
    let best: Lane | null = null;
    for (const lane of this.#lanes.values()) {
      if (lane.waiting.length < maxBatch && lane.since > before) continue;
      if (
        best === null ||
        lane.priority > best.priority ||
        (lane.priority === best.priority && lane.since < best.since)
      )
        best = lane;
    }
    return best;
  }
  /** When did the oldest request come? */
  get since(): number {
    let since = Infinity;
    for (const lane of this.#lanes.values()) since = Math.min(since, lane.since);
    return since;
  }
}
