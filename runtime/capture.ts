import { callable, checked, checkMethods, number, options } from './arguments.ts';
import { withFreshCasts } from './amp/autocast.ts';
import { current, isGenerator, isThenable } from './context.ts';
import { ArgumentError, DisposedError, GraphError } from './errors.ts';
import { raise } from './ffi/check.ts';
import { native, shared } from './ffi/library.ts';
import { deviceCode, type Device } from './tensor/device.ts';
import { generator, type Generator } from './tensor/generator.ts';
import { currentCapture, setCapture, type GraphCapture, type Held, type Written } from './tensor/graphCapture.ts';
import { GraphNumbers, setNumbers } from './tensor/graphNumbers.ts';
import { device as onDevice } from './tensor/specs.ts';
import { escapeOf, tidy } from './tensor/scope.ts';
import type { Storage } from './tensor/storage.ts';

/** The options of capture(). */
export interface CaptureOptions {
  /**
   * The number of times that fn runs before it is captured. The first run creates what later ones reuse, such as the
   * state of an optimizer. Default: 1.
   */
  warmup?: number;
  /** The device whose work is captured. Default: the default device. */
  device?: Device;
}

/** The largest number of warm-up runs. One creates all state, and millions can only be a mistake. */
const MOST_WARMUPS = 10_000;

/**
 * Runs fn `warmup` times, then once more to record its calls on a device without running them: on a GPU as one CUDA graph, on the
 * CPU as a list of calls. replay() then repeats the calls any number of times, as one call and without JavaScript in between, and
 * draws new random numbers as fn would. Numbers that are not tensors (a shape, a factor) keep their values; the learning rate of an
 * optimizer is the exception, and follows its groups of parameters. fn is synchronous and runs inside tidy(). The tensors that it returns
 * contain the results of the last replay.
 *
 *     const step = graph.capture(() => { optimizer.zeroGrad(); const loss = F.mseLoss(model.forward(x), y); loss.backward(); optimizer.step(); return loss; });
 *     for (const batch of batches) { x.copy_(batch); step.replay(); }
 *
 * @throws GraphError for calls that cannot be part of a graph: reads, host data, copies to the CPU, another capture
 */
export const capture = checked(
  'capture',
  { fn: callable, options: options({ warmup: number, device: onDevice }) },
  doCapture,
);
function doCapture<T>(fn: () => T, options: CaptureOptions = {}): CapturedGraph<T> {
  const { warmup = 1 } = options;
  if (!Number.isInteger(warmup) || warmup < 0 || warmup > MOST_WARMUPS)
    throw new ArgumentError(`warmup ${warmup} is not a whole number from 0 to ${MOST_WARMUPS}`, {
      op: 'capture',
      advice: 'Use the default of one run, which creates the state of an optimizer',
    });
  const device = deviceCode(options.device, 'capture');
  for (let i = 0; i < warmup; i++) tidy(() => void refusePromise(fn()));
  return captureOn(device, fn, false);
}

/**
 * Captures fn on a device. With `derived`, the graph reads weights in the packed and cast forms that are there, and isStale() tells when they
 * were written to; otherwise each replay makes the forms that it needs.
 */
export function captureOn<T>(device: number, fn: () => T, derived: boolean): CapturedGraph<T> {
  const source = generator();
  const before = source.state();
  const numbers = new GraphNumbers(device);
  const capturing: GraphCapture = {
    device,
    generator: source,
    made: new WeakSet(),
    written: new Set(),
    before: [],
    after: [],
    held: [],
    derived: derived ? new Map() : null,
  };
  let status = native.castor_capture_begin(device, before.seed, before.offset);
  if (status !== 0) {
    numbers.close(true);
    raise(status, { op: 'capture' });
  }
  setCapture(capturing);
  setNumbers(numbers);
  let handle = 0;
  try {
    const call = (): T => refusePromise(fn());
    const result = tidy(() => (derived ? call() : withFreshCasts(call)));
    const { seed, offset } = source.state();
    if (seed !== before.seed) throw new GraphError('a seed was set while a graph was captured', { op: 'capture' });
    handle = native.castor_capture_end(device);
    status = native.castor_last_status();
    if (handle === 0) raise(status, { op: 'capture' });
    return new CapturedGraph(fn, handle, result, source, offset - before.offset, capturing);
  } finally {
    setCapture(null);
    setNumbers(null);
    source.setState(before);
    if (handle === 0 && status === 0) native.castor_capture_abort(device);
    numbers.close(handle === 0);
  }
}

function refusePromise<T>(result: T): T {
  if (isThenable(result)) {
    // Some objects with then(), such as queries, start their work only when they are awaited.
    if (result instanceof Promise) Promise.prototype.then.call(result, null, () => {});
    throw new GraphError('an async function cannot be captured', {
      op: 'capture',
      advice: 'Await its data before the capture, and capture a synchronous function',
    });
  }
  if (isGenerator(result))
    throw new GraphError('a generator cannot be captured: it runs only when it is read', {
      op: 'capture',
      advice: 'Capture a function that does the work at once and returns tensors',
    });
  return result;
}

/** Recorded work. It owns its memory, also between replays, until dispose() or until it is no longer referenced. */
export class CapturedGraph<T = unknown> {
  /**
   * The value that the captured function returned. Its tensors contain the results of the last replay, and nothing
   * before the first.
   */
  readonly result: T;
  /** The captured function. It keeps the tensors that it reads alive. */
  readonly fn: () => T;
  #handle: number;
  readonly #source: Generator;
  /** The number of random ops in one replay. */
  readonly #draws: number;
  readonly #written: readonly Written[];
  readonly #returned: readonly Storage[];
  readonly #held: readonly Held[];
  readonly #before: readonly (() => void)[];
  readonly #after: readonly (() => void)[];
  readonly #derived: ReadonlyMap<Written, number>;

  /** @internal */
  constructor(
    fn: () => T,
    handle: number,
    result: T,
    source: Generator,
    draws: number,
    { made, written, before, after, held, derived }: GraphCapture,
  ) {
    this.fn = fn;
    this.#handle = handle;
    this.result = result;
    this.#source = source;
    this.#draws = draws;
    this.#written = [...written].filter(storage => storage.handle !== 0);
    this.#returned = [...escapeOf(result).storages].filter(storage => made.has(storage) && !storage.kept);
    for (const storage of this.#returned) storage.kept = true;
    this.#held = held;
    this.#before = before;
    this.#after = after;
    this.#derived = derived ?? new Map();
    shared.graphs.register(this, handle, this);
  }

  /**
   * Queues the work, and returns the result of the captured function. Captured steps of an optimizer use the learning
   * rate that each group of parameters has now. @throws DisposedError if a tensor that it uses was freed,
   * GradientOverflowError after the maxConsecutiveSkips of a GradScaler
   */
  replay(): T {
    if (this.#handle === 0) throw new DisposedError('the graph was replayed after it was disposed', { op: 'replay' });
    current();
    if (currentCapture() === null) for (const call of this.#before) call();
    const { seed, offset } = this.#source.state();
    const status = native.castor_graph_replay(this.#handle, seed, offset);
    if (status !== 0) raise(status, { op: 'replay' });
    this.#source.skip(this.#draws);
    for (const storage of this.#written) storage.version++;
    for (const call of this.#after) call();
    return this.result;
  }

  /** Was a weight written to or freed that it reads in another form? @internal */
  get stale(): boolean {
    for (const [{ handle, version }, known] of this.#derived) if (handle === 0 || version !== known) return true;
    return false;
  }
  /** Was its memory freed? */
  get disposed(): boolean {
    return this.#handle === 0;
  }
  /** Frees its memory, and with it the tensors that the function returned. Gradients that it created are kept. */
  dispose(): void {
    if (this.#handle === 0) return;
    shared.graphs.unregister(this);
    native.castor_graph_free(this.#handle);
    this.#handle = 0;
    for (const storage of [...this.#returned, ...this.#held]) storage.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
checkMethods(CapturedGraph, { replay: {}, dispose: {} });
