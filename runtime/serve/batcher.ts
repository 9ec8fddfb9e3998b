import { any, arrayOf, boolean, callable, checked, checkMethods, options, whole } from '../arguments.ts';
import { outsideOfRequests } from '../context.ts';
import { ArgumentError, ClosedError, GraphError, OverloadedError, TimeoutError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { WrongResult, type Answer, type Answers } from './answers.ts';
import { capturedSizes, captureKey, runBatch, type BatchInfo, type How, type Served } from './batch.ts';
import { Counters, familiesOf, statsOf, type BatcherStats, type Outcome } from './batcherStats.ts';
import { CAPTURED_AFTER, Captures } from './captures.ts';
import { bucketKey, bucketOf } from './bucket.ts';
import type { Batch } from './collate.ts';
import { batchMode, type Precision } from './modes.ts';
import { Lane, Queue, type Waiting } from './queue.ts';
import { freeName, noteError, register, type Family } from './registry.ts';
import { freeRow, ownRow, rowOf, type Input, type Row } from './row.ts';
import {
  batcherOptions,
  checkRequest,
  checkRounds,
  requestOptions,
  settingsOf,
  type BatcherOptions,
  type RequestOptions,
  precisionSpec,
  type Settings,
} from './settings.ts';

/** The options of close(). */
export interface CloseOptions {
  /** Are the requests that wait answered? Otherwise they are rejected with ClosedError. Default: true. */
  drain?: boolean;
}

/** The options of warmUp(). */
export interface WarmUpOptions {
  /** The precisions that requests will have. Default: that of the batcher. */
  precisions?: readonly Precision[];
  /** How often each size of batch runs. Default: 3. */
  rounds?: number;
}

/** Collects requests that come one by one into batches. batcher() makes one. */
export class Batcher<Output = unknown> {
  /** The name in metrics: the one of the options, with a number if another batcher has it. */
  readonly name: string;
  readonly #fn: Served;
  readonly #settings: Settings;
  readonly #queue = new Queue();
  readonly #counters = new Counters();
  readonly #captures: Captures | null;
  readonly #unregister: () => void;
  #running = 0;
  #warming = 0;
  #ended = false;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closing: PromiseWithResolvers<void> | null = null;

  /** @internal batcher() makes one. */
  constructor(fn: Served, settings: Settings) {
    this.#fn = fn;
    this.#settings = settings;
    this.name = freeName(settings.name);
    this.#captures = settings.capture ? new Captures(this.name) : null;
    this.#unregister = register(this);
  }

  /**
   * Answers one request: waits until its row has been computed in a batch with others. A request of tensors is answered with tensors, any
   * other with typed arrays.
   * @throws OverloadedError if too many wait, TimeoutError, ClosedError, the reason of the signal, what fn throws for this row, and errors of
   * the data, such as ShapeError
   */
  async run<const From extends Input>(input: From, given: RequestOptions = {}): Promise<Answer<Output, From>> {
    const { promise, resolve, reject } = Promise.withResolvers<{ answers: Answers; index: number }>();
    const { signal } = given;
    const request = this.#enter(input, given, (answers, index) => resolve({ answers, index }), reject);
    const timer = request.deadline < Infinity ? this.#startTimer(request) : undefined;
    const abort = signal && ((): void => this.#give(request, 'aborted', signal.reason));
    if (abort) signal.addEventListener('abort', abort, { once: true });
    try {
      const { answers, index } = await promise;
      // Here, in the async context of the request: a tensor then belongs to its tidy scope.
      return answers(index) as Answer<Output, From>;
    } finally {
      clearTimeout(timer);
      if (abort) signal.removeEventListener('abort', abort);
    }
  }

  /**
   * Runs fn on examples, one for each shape that requests will have, before the first request comes: alone and as a full batch, in each of
   * the given precisions. Kernels and JavaScript's compiler are then warm, and 16-bit copies of weights are made. With `capture` each size is
   * captured.
   * @throws what fn throws, GraphError if it cannot be captured, and ClosedError
   */
  async warmUp(inputs: readonly Input[], { precisions = [], rounds = 3 }: WarmUpOptions = {}): Promise<void> {
    checkRounds(rounds);
    this.#warming++;
    try {
      await this.#warmAll(inputs, precisions, rounds);
    } finally {
      this.#warming--;
      this.#endIfIdle();
    }
  }
  async #warmAll(inputs: readonly Input[], precisions: readonly Precision[], rounds: number): Promise<void> {
    for (const precision of precisions.length > 0 ? precisions : [this.#settings.precision])
      for (const input of inputs) {
        const row = rowOf(input, this.#settings);
        const { key, bucket, mode } = this.#kindOf(row, precision);
        await this.#warm(row, new Lane(key, bucket, mode), rounds);
      }
  }
  async #warm(row: Row, lane: Lane, rounds: number): Promise<void> {
    const { maxBatch, invariant } = this.#settings;
    const captures = this.#captures;
    const sizes = captures && !invariant ? capturedSizes(maxBatch) : [1, maxBatch];
    for (let round = 0; round < (captures ? Math.max(rounds, CAPTURED_AFTER) : rounds); round++)
      for (const size of sizes) {
        if (this.#closing !== null) throw closedWhileWarm();
        await this.#run(Array<Row>(size).fill(row), lane, { captures }).catch((error: unknown) => {
          throw WrongResult.is(error) ? error.error : error;
        });
      }
    for (const size of sizes) {
      const reason = captures?.refusal(captureKey(lane, invariant ? maxBatch : size)) ?? null;
      if (reason !== null)
        throw new GraphError(`fn cannot be captured: ${reason}`, {
          op: 'Batcher.warmUp',
          advice: 'Leave out capture: true, or let fn compute with tensors alone',
        });
    }
  }

  /** Returns counters of the requests since it was made, and of those that wait or run now. */
  stats(): BatcherStats {
    const { size: queued, bytes: queuedBytes } = this.#queue;
    const captures = this.#captures?.stats() ?? null;
    return statsOf(this.#counters, { queued, queuedBytes, running: this.#running, captures });
  }

  /** Takes no more requests, and resolves when those that wait and run have been answered. A warmUp() that goes on ends with ClosedError. */
  close({ drain = true }: CloseOptions = {}): Promise<void> {
    this.#closing ??= Promise.withResolvers<void>();
    if (!drain)
      for (const request of [...this.#queue])
        this.#give(request, 'closed', closed('the batcher was closed while it waited'));
    this.#schedule();
    return this.#closing.promise;
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  /** Was it closed? */
  get closed(): boolean {
    return this.#closing !== null;
  }

  #enter(input: Input, given: RequestOptions, resolve: Waiting['resolve'], reject: Waiting['reject']): Waiting {
    const { signal, priority = 0, timeout = this.#settings.timeout } = given;
    const { row, key, bucket, mode } = this.#admit(input, given);
    if (signal?.aborted) {
      this.#counters.requests.aborted++;
      throw signal.reason;
    }
    const since = performance.now();
    const lane = this.#queue.lane(key, () => new Lane(key, bucket, mode));
    const request = {
      row: ownRow(row),
      priority,
      since,
      deadline: since + timeout,
      lane,
      settled: false,
      onSettled: null,
      resolve,
      reject,
    };
    this.#queue.add(request);
    this.#schedule();
    return request;
  }

  /** Reads the data of a request. @throws an error if it is no row, and ClosedError and OverloadedError if it is not taken */
  #admit(input: Input, given: RequestOptions): { row: Row } & Kind {
    const { requests } = this.#counters;
    if (this.#closing !== null) {
      requests.closed++;
      throw closed('the batcher is closed');
    }
    const { size, bytes } = this.#queue;
    const { maxQueue, maxQueueBytes } = this.#settings;
    if (size >= maxQueue) throw this.#overloaded(`${size} requests wait, as many as may (maxQueue)`, size, maxQueue);
    try {
      checkRequest(given);
      const row = rowOf(input, this.#settings);
      if (size > 0 && bytes + row.bytes > maxQueueBytes)
        throw this.#overloaded(
          `requests of ${bytes} bytes wait, and this one has ${row.bytes} (maxQueueBytes)`,
          bytes,
          maxQueueBytes,
        );
      return { row, ...this.#kindOf(row, given.precision ?? this.#settings.precision) };
    } catch (error) {
      if (!(error instanceof OverloadedError)) requests.refused++;
      throw error;
    }
  }
  #overloaded(message: string, waiting: number, limit: number): OverloadedError {
    this.#counters.requests.overloaded++;
    const { maxBatch, concurrency } = this.#settings;
    const batches = Math.ceil(this.#queue.size / maxBatch / concurrency) + 1;
    const retryAfter = Math.max(1, Math.ceil(batches * this.#counters.runSeconds.mean));
    return new OverloadedError(message, { op: 'batcher.run' }, { waiting, limit, retryAfter });
  }

  /** The key, bucket and mode of a row. Rows with the same key may share a batch. */
  #kindOf(row: Row, precision: Precision | undefined): Kind {
    const bucket = bucketOf(row, this.#settings.bucketBy, this.#settings.pad);
    const mode = batchMode(precision);
    return { key: `${mode.key};${bucketKey(row, bucket)}`, bucket, mode };
  }

  #startTimer(request: Waiting): ReturnType<typeof setTimeout> {
    const { deadline, since } = request;
    return outsideOfRequests(() => setTimeout(() => this.#expire(request), Math.min(deadline - since, LONGEST_TIMER)));
  }
  #expire(request: Waiting): void {
    const timeout = Math.round(request.deadline - request.since);
    const error = new TimeoutError(`it was not answered within ${timeout} ms`, { op: 'batcher.run' }, timeout);
    this.#give(request, 'timedOut', error);
  }

  /** Ends the wait of a request with an error. */
  #give(request: Waiting, outcome: Outcome, error: unknown): void {
    if (request.settled) return;
    request.settled = true;
    this.#counters.requests[outcome]++;
    if (this.#queue.remove(request)) freeRow(request.row);
    request.reject(error);
    request.onSettled?.();
    this.#endIfIdle();
  }

  // ---- when batches run ----------------------------------------------------------------------------------------------

  /** Looks for a batch to run after the current turn of the event loop, in which more requests may come. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    outsideOfRequests(() => setImmediate(() => this.#start()));
  }

  /** Starts batches as long as any are ready, and otherwise sets the timer for when the next one will be. */
  #start(): void {
    this.#scheduled = false;
    clearTimeout(this.#timer);
    const { maxBatch, maxDelay, concurrency } = this.#settings;
    while (this.#running < concurrency) {
      const wait = this.#closing === null ? maxDelay : 0;
      const now = performance.now();
      const lane = this.#queue.next(maxBatch, now - wait);
      if (lane === null) {
        if (this.#queue.size > 0)
          this.#timer = setTimeout(
            () => this.#start(),
            Math.min(Math.ceil(this.#queue.since + wait - now), LONGEST_TIMER),
          );
        break;
      }
      const requests = this.#queue.take(lane, maxBatch);
      this.#running++;
      void this.#serve(requests, lane).finally(() => {
        this.#running--;
        this.#schedule();
      });
    }
    this.#endIfIdle();
  }

  /** Is the batcher closed, and everything answered? Then close() resolves. */
  #endIfIdle(): void {
    if (this.#closing === null || this.#running + this.#warming > 0 || this.#queue.size > 0) return;
    if (!this.#ended) this.#captures?.close();
    this.#ended = true;
    this.#unregister();
    this.#closing.resolve();
  }

  // ---- one batch -----------------------------------------------------------------------------------------------------

  async #serve(requests: readonly Waiting[], lane: Lane): Promise<void> {
    const now = performance.now();
    for (const { since } of requests) this.#counters.waitSeconds.add((now - since) / 1000);
    await this.#attempt(requests, lane);
    for (const { row } of requests) freeRow(row);
  }

  /** Runs a batch. If it fails, its halves run one after the other, until the rows that it fails for are alone. */
  async #attempt(requests: readonly Waiting[], lane: Lane, captures = this.#captures): Promise<void> {
    // While a batch blocks the event loop, no timer runs.
    const now = performance.now();
    for (const request of requests) if (request.deadline <= now) this.#expire(request);
    const waiting = requests.filter(({ settled }) => !settled);
    if (waiting.length === 0) return;
    // If nobody waits for the batch any more, the work of it that has not begun is dropped.
    const nobody = new AbortController();
    const check = (): void => {
      if (waiting.every(({ settled }) => settled)) nobody.abort();
    };
    for (const request of waiting) request.onSettled = check;
    const how: How = { signal: nobody.signal, captures };
    try {
      const rows = waiting.map(({ row }) => row);
      const answers = await this.#run(rows, lane, how);
      waiting.forEach((request, i) => this.#answer(request, answers, i));
    } catch (error) {
      if (nobody.signal.aborted) return;
      const { retry } = this.#settings;
      // fn itself tells what failed, and for which row.
      if (how.replayed && retry) return this.#attempt(waiting, lane, null);
      if (waiting.length === 1 || !retry || WrongResult.is(error)) {
        this.#fail(waiting, WrongResult.is(error) ? error.error : error);
        return;
      }
      this.#counters.retries += 2;
      const half = waiting.length >> 1;
      await this.#attempt(waiting.slice(0, half), lane, null);
      await this.#attempt(waiting.slice(half), lane, null);
    }
  }
  #fail(requests: readonly Waiting[], error: unknown): void {
    noteError(error);
    for (const request of requests) this.#give(request, 'failed', error);
  }
  #answer(request: Waiting, answers: Answers, index: number): void {
    if (request.settled) return;
    request.settled = true;
    this.#counters.requests.answered++;
    request.resolve(answers, index);
  }

  async #run(rows: readonly Row[], lane: Lane, how: How): Promise<Answers> {
    const { batches: _, rows: sizes, runSeconds } = this.#counters;
    this.#counters.batches++;
    sizes.add(rows.length);
    const start = performance.now();
    try {
      return await runBatch(this.#fn, rows, lane, this.#settings, how);
    } finally {
      runSeconds.add((performance.now() - start) / 1000);
    }
  }

  /** The figures for metrics(). @internal */
  families(): readonly Family[] {
    return familiesOf(this.name, this.#counters, this.stats());
  }
}

/** The properties that all rows of a batch share. */
type Kind = Pick<Lane, 'key' | 'bucket' | 'mode'>;

/** The longest time of a timer in milliseconds; longer ones would end at once. */
const LONGEST_TIMER = 2 ** 31 - 1;
const closedWhileWarm = (): ClosedError =>
  new ClosedError('the batcher is closed', { op: 'Batcher.warmUp', advice: 'Call warmUp() before close()' });
const closed = (message: string): ClosedError => new ClosedError(message, { op: 'batcher.run' });

checkMethods(Batcher, {
  run: { input: any, options: requestOptions },
  warmUp: {
    inputs: arrayOf(any, 'an array of examples'),
    options: options({ precisions: arrayOf(precisionSpec, 'an array of precisions'), rounds: whole }),
  },
  stats: {},
  close: { options: options({ drain: boolean }) },
});

/**
 * Returns a batcher, whose run() answers one request at a time while fn computes them together. Requests of one shape, dtype and precision
 * share a batch: fn is given a tensor with their rows along its first axis, in inference mode, and returns tensors with one row for each.
 * fn may be async. Requests that differ in precision, in the autocast scope around run() or in the random generator never share a batch.
 */
export const batcher = checked('batcher', { fn: callable, options: batcherOptions }, doBatcher);
function doBatcher<X extends Batch = Tensor, Output = unknown>(
  fn: (batch: X, info: BatchInfo) => Output,
  given: BatcherOptions = {},
): Batcher<Awaited<Output>> {
  return new Batcher<Awaited<Output>>(fn, settingsOf(given));
}
