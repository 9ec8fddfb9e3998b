import { checked } from '../arguments.ts';
import { ABI_VERSION, libraryPath } from '../ffi/library.ts';
import { deviceInfo, type Device, type DeviceInfo } from '../tensor/device.ts';
import { memory } from '../tensor/memory.ts';
import { devicesHere, residentBytes } from './metrics.ts';
import { lastError, type LastError } from './registry.ts';

/** The state of a device. */
export interface DeviceHealth extends Pick<DeviceInfo, 'name' | 'isa' | 'threads' | 'emulated'> {
  readonly device: Device;
  /** Does it take work? */
  readonly working: boolean;
  /** Why it does not, such as a kernel that crashed; null if it does. */
  readonly error: string | null;
  /** The bytes of tensors that are alive, of freed blocks that are kept, and those that are free on the device. */
  readonly liveBytes: number;
  readonly cachedBytes: number;
  readonly freeBytes: number;
}

/** The result of health(). JSON.stringify() writes all of it. */
export interface Health {
  /** 'failing' if a device does not take work any more: the process must be restarted. */
  readonly status: 'ok' | 'failing';
  /** The file of the native library, and the version of its interface. */
  readonly library: { readonly path: string; readonly abi: number };
  readonly devices: readonly DeviceHealth[];
  /** The bytes of memory that the process has; null where the system does not tell, as in an emulator of another processor. */
  readonly residentBytes: number | null;
  /** The last error that a model threw in a batch, or null. An error of a request's data is none. */
  readonly lastError: LastError | null;
}

function deviceHealth(device: Device): DeviceHealth {
  const { name, isa, threads, emulated } = deviceInfo(device);
  const about = {
    device,
    ...(name && { name }),
    ...(isa && { isa }),
    ...(threads && { threads }),
    ...(emulated && { emulated }),
  };
  try {
    const { liveBytes, cachedBytes, freeBytes } = memory.stats(device);
    return { ...about, working: true, error: null, liveBytes, cachedBytes, freeBytes };
  } catch (error) {
    return { ...about, working: false, error: (error as Error).message, liveBytes: 0, cachedBytes: 0, freeBytes: 0 };
  }
}

/** Returns the state of the native library, the devices and memory, and the last error. It runs no kernel and does not wait. */
export const health = checked('health', {}, (): Health => {
  const devices = devicesHere().map(deviceHealth);
  return {
    status: devices.every(({ working }) => working) ? 'ok' : 'failing',
    library: { path: libraryPath, abi: ABI_VERSION },
    devices,
    residentBytes: residentBytes(),
    lastError: lastError(),
  };
});
