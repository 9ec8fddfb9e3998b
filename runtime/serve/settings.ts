import { boolean, callable, having, number, object, oneOf, options, text, whole } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { MAX_THREADS } from '../ffi/environment.ts';
import { dtypeInfo, type DType, type DTypeInfo } from '../tensor/dtype.ts';
import { dtype } from '../tensor/specs.ts';
import { checkShape, type Shape } from '../tensor/shape.ts';
import type { BucketBy } from './bucket.ts';
import { precisions, type Precision } from './modes.ts';

/** The options of a batcher. */
export interface BatcherOptions {
  /** The name in metrics. Default: 'model'. */
  name?: string;
  /** The largest number of rows of a batch. Default: 32. */
  maxBatch?: number;
  /**
   * How long the oldest request waits for others to share its batch with, in milliseconds. Default: 0: a batch has those that came while
   * the one before it ran, or together in one turn of the event loop.
   */
  maxDelay?: number;
  /** How many requests may wait. More are refused with OverloadedError. Default: 1024. */
  maxQueue?: number;
  /** How many bytes of data may wait. More are refused with OverloadedError. Default: no limit. */
  maxQueueBytes?: number;
  /** The time within which a request must be answered, in milliseconds, or TimeoutError. Default: no limit. */
  timeout?: number;
  /** How many batches run at the same time, if fn is async. Default: 1. */
  concurrency?: number;
  /** The shape of a row, or of each item by name. Typed arrays are read as rows of it. Default: any; a typed array has one axis. */
  shape?: readonly number[] | { readonly [name: string]: readonly number[] };
  /** The dtype that arrays of numbers become, such as 'int64' for tokens. Default: that of the typed array, or the default dtype. */
  dtype?: DType;
  /** Returns the shape that a row is padded to. Default: none; only rows of equal shapes share a batch. */
  bucketBy?: BucketBy;
  /** The value that rows are padded with. Default: 0. */
  pad?: number;
  /** The precision of requests that do not choose one. Default: the autocast scope around run(). */
  precision?: Precision;
  /**
   * Is the answer to a row the same bit for bit, whoever shares its batch? Then each batch is filled up to maxBatch rows, because a kernel
   * may add up few rows in another order than many. So one request takes the time of a full batch.
   */
  invariant?: boolean;
  /**
   * Does the work of a batch run on other threads, with offload(), so that the event loop stays free? Default: true. Without it a batch of a
   * small model ends a little earlier, and nothing else happens while it runs.
   */
  offload?: boolean;
  /** The number of CPU threads that the ops of a batch may use, from 1 to 1024, as in offload(). Default: all; one batch then runs after the other. */
  threads?: number;
  /**
   * Are the calls of fn captured as a graph for each kind and size of batch, after two calls, and replayed from then on? That saves the time of
   * JavaScript, which is most of the time of models with many small ops. Batches are filled up to 1, 2, 3, 4, 6, 8, 12, 16 ... rows. fn must be
   * synchronous and do the same each time: what is no tensor stays as it was. Where fn cannot be captured it is called as without, and stats()
   * tells why. Needs concurrency 1. Default: false.
   */
  capture?: boolean;
  /** Is a batch that fails run again in halves, to find the row that it fails for? Then fn may be called several times. Default: true. */
  retry?: boolean;
}

/** The options of one request. */
export interface RequestOptions {
  /** Ends the wait when it aborts; run() then rejects with its reason. */
  signal?: AbortSignal;
  /** Requests of a higher priority run first. Default: 0. */
  priority?: number;
  /** The time within which this request must be answered, in milliseconds. Default: that of the batcher. */
  timeout?: number;
  /** The precision of this request. Default: that of the batcher. */
  precision?: Precision;
}

/** The options of a batcher with their defaults, checked. */
export interface Settings {
  readonly name: string;
  readonly maxBatch: number;
  readonly maxDelay: number;
  readonly maxQueue: number;
  readonly maxQueueBytes: number;
  readonly timeout: number;
  readonly concurrency: number;
  readonly shape: Shape | { readonly [name: string]: Shape } | undefined;
  readonly dtype: DTypeInfo | null;
  readonly bucketBy: BucketBy | undefined;
  readonly pad: number;
  readonly precision: Precision | undefined;
  readonly invariant: boolean;
  readonly retry: boolean;
  readonly offload: boolean;
  readonly capture: boolean;
  readonly threads: number | undefined;
}

export const precisionSpec = oneOf(...precisions);
const signal = having('an AbortSignal, such as request.signal', 'addEventListener', 'removeEventListener');
export const batcherOptions = options({
  ...{ name: text, maxBatch: whole, maxDelay: number, maxQueue: whole, maxQueueBytes: number, timeout: number },
  ...{ concurrency: whole, shape: object, dtype, bucketBy: callable, pad: number, precision: precisionSpec },
  ...{ invariant: boolean, retry: boolean, offload: boolean, threads: whole, capture: boolean },
});
export const requestOptions = options({ signal, priority: number, timeout: number, precision: precisionSpec });

const OP = 'batcher';
function atLeast(value: number, least: number, name: string, op = OP): number {
  if (value >= least) return value;
  throw new ArgumentError(`${name} is ${value}, and must be at least ${least}`, {
    op,
    advice: 'Leave it out for the default',
  });
}

/** The largest size of a batch. One of a million rows can only be a mistake, and in invariant mode every batch has so many. */
const MOST_ROWS = 2 ** 20;
export function checkedBatch(maxBatch: number, op = OP): number {
  if (maxBatch >= 1 && maxBatch <= MOST_ROWS) return maxBatch;
  throw new ArgumentError(`maxBatch is ${maxBatch}, and must be from 1 to ${MOST_ROWS}`, {
    op,
    advice: 'Leave it out for the default',
  });
}

/** @throws ArgumentError for a number of threads that offload() would refuse later, for every batch */
export function checkedThreads(threads: number | undefined, op = OP): number | undefined {
  if (threads === undefined || (threads >= 1 && threads <= MAX_THREADS)) return threads;
  throw new ArgumentError(`threads is ${threads}, and must be from 1 to ${MAX_THREADS}`, {
    op,
    advice: 'Leave it out to let each op use all of them',
  });
}

/** Returns the time limit of a request. @throws ArgumentError unless it is above 0 */
export function checkedTimeout(timeout: number, op = OP): number {
  if (timeout > 0) return timeout;
  throw new ArgumentError(`timeout is ${timeout} milliseconds, in which nothing can be answered`, {
    op,
    advice: 'Pass a number above 0, or leave it out for no limit',
  });
}

/** @throws ArgumentError for captured batches that are to run at the same time */
function checkedCapture({ capture = false, concurrency = 1 }: BatcherOptions): boolean {
  if (!capture || concurrency === 1) return capture;
  throw new ArgumentError(`concurrency is ${concurrency}, and a captured batch has its memory once`, {
    op: OP,
    advice: 'Leave out capture or concurrency',
  });
}

/** @throws ArgumentError for options of a request that make no sense */
export function checkRequest({ priority = 0, timeout }: RequestOptions): void {
  const op = 'batcher.run';
  if (timeout !== undefined) checkedTimeout(timeout, op);
  if (Number.isNaN(priority))
    throw new ArgumentError('priority is NaN', { op, advice: 'Pass a number, or leave it out' });
}

/** The largest number of rounds of a warm-up. */
const MOST_ROUNDS = 10_000;
export function checkRounds(rounds: number): void {
  if (rounds >= 1 && rounds <= MOST_ROUNDS) return;
  throw new ArgumentError(`rounds is ${rounds}, and must be from 1 to ${MOST_ROUNDS}`, {
    op: 'Batcher.warmUp',
    advice: 'Leave it out for the default of 3',
  });
}

const shapesOf = (shape: NonNullable<BatcherOptions['shape']>): Settings['shape'] =>
  Array.isArray(shape)
    ? [...checkShape(shape as readonly number[], OP)]
    : Object.fromEntries(Object.entries(shape).map(([name, sizes]) => [name, [...checkShape(sizes as number[], OP)]]));

/** Fills in the defaults. @throws ArgumentError, ShapeError, DTypeError for values that make no sense */
export function settingsOf(given: BatcherOptions): Settings {
  const { maxBatch = 32, maxDelay = 0, maxQueue = 1024, maxQueueBytes = Infinity, concurrency = 1 } = given;
  const { timeout = Infinity, pad = 0 } = given;
  return {
    name: given.name ?? 'model',
    maxBatch: checkedBatch(maxBatch),
    maxDelay: atLeast(maxDelay, 0, 'maxDelay'),
    maxQueue: atLeast(maxQueue, 1, 'maxQueue'),
    maxQueueBytes: atLeast(maxQueueBytes, 1, 'maxQueueBytes'),
    concurrency: atLeast(concurrency, 1, 'concurrency'),
    timeout: checkedTimeout(timeout),
    shape: given.shape && shapesOf(given.shape),
    dtype: given.dtype === undefined ? null : dtypeInfo(given.dtype, OP),
    bucketBy: given.bucketBy,
    pad,
    precision: given.precision,
    invariant: given.invariant ?? false,
    retry: given.retry ?? true,
    offload: given.offload ?? true,
    threads: checkedThreads(given.threads),
    capture: checkedCapture(given),
  };
}
