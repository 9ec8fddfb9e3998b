import { any, anyAs, checked } from '../arguments.ts';
import { native } from '../ffi/library.ts';
import { ArgumentError, DeviceError } from '../errors.ts';
import { shown } from '../shown.ts';

/** 'cuda' is 'cuda:0'. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}`;

/** Below the surface a device is a number: kind + 256 * index (abi/castor.h). */
const CUDA = 1;
export const deviceName = (code: number): Device => (code === 0 ? 'cpu' : `cuda:${code >> 8}`);

/** What deviceInfo() says of a device. */
export interface DeviceInfo {
  /** Whether tensors can be made on it. */
  available: boolean;
  /** Why it is not available, and what to do. */
  reason?: string;
  /** The name that its maker gave it. */
  name?: string;
  /** Of the CPU: the instruction set that its kernels use. */
  isa?: string;
  /** Of the CPU: the number of threads of its kernels. */
  threads?: number;
  /** Of a GPU: its architecture, 90 for sm_90. */
  architecture?: number;
  /** Of a GPU: its memory in bytes. */
  memory?: number;
  /** Of a GPU: the number of its multiprocessors. */
  multiprocessors?: number;
  /** Of a GPU: the version of CUDA that the driver supports. */
  driver?: string;
  /** Of a GPU: the version of the CUDA runtime. */
  runtime?: string;
  /** Of a GPU: the number of threads that have used it at the same time. */
  streams?: number;
  /** Where matrix products come from. */
  matmul?: string;
  /** There is no GPU: an executor on the CPU takes its place, for tests. */
  emulated?: boolean;
}
const known = new Map<number, DeviceInfo>();

function describe(code: number): DeviceInfo {
  let info = known.get(code);
  if (!info) known.set(code, (info = JSON.parse(native.castor_describe(code)) as DeviceInfo));
  return info;
}

const named = anyAs("'cpu', 'cuda' or 'cuda:1'");
/** What the library says of a device now, or why it is not available. */
export const deviceInfo = checked('deviceInfo', { device: named }, doDeviceInfo);
function doDeviceInfo(device: Device): DeviceInfo {
  const code = parse(device, 'deviceInfo');
  known.delete(code);
  return { ...describe(code) };
}
/** Is the device there, and does it work? PyTorch: `torch.cuda.is_available()`. */
export const isAvailable = checked(
  'isAvailable',
  { device: named },
  (device: Device): boolean => describe(parse(device, 'isAvailable')).available,
);

/** The code of a device, available or not. @throws DeviceError for a name that is none */
export function parse(device: Device, op: string): number {
  if (device === 'cpu') return 0;
  const match = typeof device === 'string' ? /^cuda(?::(\d{1,4}))?$/.exec(device) : null;
  if (!match)
    throw new DeviceError(`there is no device ${shown(device)}`, { op, advice: "Use 'cpu', 'cuda' or 'cuda:1'" });
  return CUDA + 256 * Number(match[1] ?? 0);
}

/** @throws DeviceError for an unknown device, or one that is not available, with the reason */
export function deviceCode(device: Device | undefined, op: string): number {
  if (device === undefined) return defaultDeviceCode();
  const code = parse(device, op);
  const info = describe(code);
  if (!info.available) throw new DeviceError(`device '${device}' is not available: ${info.reason}`, { op });
  return code;
}

let chosen: number | null = null;
const defaultDeviceCode = (): number => (chosen ??= describe(CUDA).available ? CUDA : 0);
/** Where new tensors are made: cuda when a GPU is there, else cpu, or what setDefaultDevice() was given. */
export const getDefaultDevice = checked('getDefaultDevice', {}, (): Device => deviceName(defaultDeviceCode()));
/** Where new tensors are made, process-wide: cuda when a GPU is there, else cpu, until set. */
export const setDefaultDevice = checked('setDefaultDevice', { device: named }, doSetDefaultDevice);
function doSetDefaultDevice(device: Device): void {
  chosen = deviceCode(device, 'setDefaultDevice');
}

/** How products of float32 are computed: see setFloat32MatmulPrecision(). */
export type Float32MatmulPrecision = 'highest' | 'high';
let precision: Float32MatmulPrecision = 'highest';
/** How products of float32 are computed: 'highest', or what setFloat32MatmulPrecision() was given. */
export const getFloat32MatmulPrecision = checked(
  'getFloat32MatmulPrecision',
  {},
  (): Float32MatmulPrecision => precision,
);
/**
 * 'highest' (the default): products of float32 are computed in float32. 'high': their factors may be rounded to tf32 (10 bits of
 * mantissa), several times faster on tensor cores; sums stay float32. Process-wide, and of convolutions too; the cpu ignores it.
 */
export const setFloat32MatmulPrecision = checked(
  'setFloat32MatmulPrecision',
  { wanted: any },
  doSetFloat32MatmulPrecision,
);
function doSetFloat32MatmulPrecision(wanted: Float32MatmulPrecision): void {
  if (wanted !== 'highest' && wanted !== 'high')
    throw new ArgumentError(`there is no precision ${shown(wanted)}`, {
      op: 'setFloat32MatmulPrecision',
      advice: "Use 'highest' or 'high'",
    });
  native.castor_set_tf32(wanted === 'high' ? 1 : 0);
  precision = wanted;
}
