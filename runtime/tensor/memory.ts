import { boolean, checked, checkedAll, number, optional } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { raise } from '../ffi/check.ts';
import { MAX_THREADS } from '../ffi/environment.ts';
import { native } from '../ffi/library.ts';
import { deviceCode, type Device } from './device.ts';
import { liveStoragesInTable, madeWhere, memoryOf, reclaim, setLeakMode, type MemoryStats } from './storage.ts';
import { device } from './specs.ts';

const run = (status: number, op = 'memory'): void => {
  if (status !== 0) raise(status, { op });
};
const MB = 2 ** 20;

const onDevice = optional(device);
const memorySpecs = {
  stats: { device: onDevice },
  peak: { device: onDevice },
  resetPeak: { device: onDevice },
  releaseCached: { device: onDevice },
  setLimit: { bytes: number, device: onDevice },
  setFraction: { fraction: number, device: onDevice },
  collect: {},
  setLeakMode: { on: boolean },
  live: {},
  summary: { device: onDevice },
};

/** Reads and controls the memory that Castor uses on a device. */
export const memory = checkedAll('memory', memorySpecs, {
  /** Returns counters in bytes: live, peak, cached, limit, and the total and free memory of the device. */
  stats: (device?: Device): MemoryStats => memoryOf(deviceCode(device, 'memory')),
  /** Returns the largest number of bytes that were live at once since the last resetPeak(). */
  peak: (device?: Device): number => memoryOf(deviceCode(device, 'memory')).peakBytes,
  /** Resets peak() to the bytes that are live now. PyTorch: `torch.cuda.reset_peak_memory_stats`. */
  resetPeak: (device?: Device): void => run(native.castor_memory_reset_peak(deviceCode(device, 'memory'))),
  /** Returns cached blocks to the system. */
  releaseCached: (device?: Device): void => run(native.castor_memory_release_cached(deviceCode(device, 'memory'))),
  /** Limits the live bytes: allocations beyond the limit fail with OutOfMemoryError. 0 removes the limit. */
  setLimit: (bytes: number, device?: Device): void =>
    run(native.castor_memory_set_limit(deviceCode(device, 'memory'), bytes)),
  /** Sets the share (above 0, up to 1) of the device's memory that this process may take, including the blocks it keeps for reuse. */
  setFraction: (fraction: number, device?: Device): void =>
    run(native.castor_memory_set_fraction(deviceCode(device, 'memory'), fraction)),
  /** Frees now every tensor that nothing refers to any more. */
  collect: (): void => reclaim(true),
  /** Switches leak mode on or off. It records where tensors are made and disposed, which is slow, to find leaks. */
  setLeakMode,
  /** Returns the live tensors outside of tidy scopes: bytes, and in leak mode where they were made. */
  live: (): { bytes: number; origin: string | null }[] => {
    reclaim(true);
    return [...liveStoragesInTable()].map(storage => ({ bytes: storage.bytes, origin: madeWhere(storage) }));
  },
  /** Returns the counters as one line of text. */
  summary(device?: Device): string {
    const s = memory.stats(device);
    const mb = (bytes: number): string => `${(bytes / MB).toFixed(1)} MB`;
    return `${s.device}: ${mb(s.liveBytes)} live in ${s.liveStorages} storages, peak ${mb(s.peakBytes)}, cached ${mb(s.cachedBytes)}, ${s.allocations} allocations`;
  },
});

/**
 * Waits until all work that this thread has queued on a device is done.
 * @throws an error for wrong data that this work found, such as IndexError
 */
export const synchronize = checked('synchronize', { device: onDevice }, (device?: Device): void =>
  run(native.castor_synchronize(deviceCode(device, 'synchronize')), 'synchronize'),
);
/** Sets the number of CPU threads that kernels use, a whole number from 1 to 1024. CASTOR_NUM_THREADS sets it at start. */
export const setNumThreads = checked('setNumThreads', { count: number }, (count: number): void => {
  if (!Number.isInteger(count) || count < 1 || count > MAX_THREADS)
    throw new ArgumentError(`${count} is not a number of threads`, {
      op: 'setNumThreads',
      advice: `Pass a whole number from 1 to ${MAX_THREADS}`,
    });
  run(native.castor_set_threads(count), 'setNumThreads');
});
