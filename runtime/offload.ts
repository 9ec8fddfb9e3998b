import { any, checked, instanceOf, number, options } from './arguments.ts';
import {
  checkFunction,
  current,
  modeWith,
  runScope,
  setUseStream,
  type ScopeFunction,
  type WorkStream,
} from './context.ts';
import { ArgumentError } from './errors.ts';
import { raise } from './ffi/check.ts';
import { MAX_THREADS } from './ffi/environment.ts';
import { native } from './ffi/library.ts';
import { completion } from './ffi/wake.ts';
import { deviceCode } from './tensor/device.ts';
import { escapeOf } from './tensor/scope.ts';

/** The options of offload(). */
export interface OffloadOptions {
  /** Drops the work that has not begun when it is aborted, and rejects with its reason. */
  signal?: AbortSignal;
  /**
   * The number of CPU threads that each op may use, from 1 to 1024. Calls with the same number run side by side, as many as fit on the
   * threads of setNumThreads(). By default an op may use all of them, and one call runs after the other.
   */
  threads?: number;
}

setUseStream(stream => void native.castor_stream_use(stream?.handle ?? 0));

const offloading: ScopeFunction = { op: 'offload', call: 'offload(() => ...)' };

/**
 * Runs fn so that its work on the CPU runs on other threads, and the event loop stays free: ops return at once, and their work is done in the
 * order of the calls while JavaScript goes on. Inside, read with `await`; functions whose name ends in Sync wait. Resolves with the
 * result of fn when all of the work is done. Errors that only the work can see, such as an index outside of its axis, are thrown by the
 * next read, or reject the promise; work that was queued after them is dropped until then.
 *
 *     const classes = await offload(() => tidy(() => noGrad(() => model.forward(x).argmax(-1))), { signal: request.signal });
 *
 * Tensors may be used on both sides: what runs at once waits for earlier work that writes its tensors, and work waits for what was queued
 * before it. On a GPU, where ops return at once anyway, the promise waits for the work of the device.
 * @throws (rejects with) the reason of the signal; work that was begun ends, so that a write in place may be done or not
 */
export const offload = checked(
  'offload',
  { fn: any, options: options({ signal: instanceOf('an AbortSignal', () => AbortSignal), threads: number }) },
  doOffload,
);
async function doOffload<T>(fn: () => T, { signal, threads }: OffloadOptions = {}): Promise<Awaited<T>> {
  checkFunction(fn, offloading);
  checkThreads(threads);
  if (signal === undefined) return runOffloaded(fn, threads ?? 0);
  signal.throwIfAborted();
  return abortable(abort => runOffloaded(fn, threads ?? 0, abort), signal);
}

function checkThreads(threads: number | undefined): void {
  if (threads === undefined || (Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS)) return;
  throw new ArgumentError(`${threads} is not a number of threads`, {
    op: 'offload',
    advice: `Pass a whole number from 1 to ${MAX_THREADS}, or leave it out to use all of them`,
  });
}

/** Passes on the result of work, or rejects as soon as the signal is aborted, and then calls the function that the work has set. */
function abortable<T>(start: (abort: { now: () => void }) => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = { now: (): void => {} };
    const onAbort = (): void => {
      abort.now();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    start(abort)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}

async function runOffloaded<T>(fn: () => T, threads: number, abort?: { now: () => void }): Promise<Awaited<T>> {
  const mode = current();
  const stream = beginStream(threads);
  if (abort) abort.now = () => void native.castor_stream_cancel(stream.handle);
  let result: Awaited<T>;
  try {
    const pending = runScope(offloading, modeWith(mode, { stream }), fn);
    current();
    result = await pending;
  } catch (error) {
    await endStream(stream).catch(() => {});
    throw error;
  }
  await endStream(stream);
  await devicesAreDone(result);
  return result;
}

function beginStream(threads: number): WorkStream {
  const handle = native.castor_stream_begin(threads);
  if (handle === 0) raise(native.castor_last_status(), { op: 'offload' });
  return { handle };
}

/** Waits for the work of a stream, and throws its failure if nobody was told of it. */
async function endStream(stream: WorkStream): Promise<void> {
  const { handle } = stream;
  await completion(id => native.castor_stream_notify(handle, id), { op: 'offload' });
  stream.handle = 0;
  const status = native.castor_stream_end(handle);
  if (status !== 0) raise(status, { op: 'offload' });
}

/** Waits for the GPUs that may have work: the default device, and those of the tensors in the result. */
async function devicesAreDone(result: unknown): Promise<void> {
  const devices = new Set([deviceCode(undefined, 'offload')]);
  for (const storage of escapeOf(result).storages) devices.add(storage.device);
  devices.delete(0);
  for (const device of devices) {
    await completion(id => native.castor_notify(device, id), { op: 'offload' });
    const status = native.castor_synchronize(device);
    if (status !== 0) raise(status, { op: 'offload' });
  }
}
