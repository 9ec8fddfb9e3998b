import { any, anyAs, checked } from '../arguments.ts';
import { native } from '../ffi/library.ts';
import { ArgumentError, DeviceError } from '../errors.ts';
import { shown } from '../shown.ts';
import { noteChange } from './graphCapture.ts';

/** The name of a device. 'cuda' means 'cuda:0'. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}`;

/** The code of CUDA devices. In the native library a device is a number: kind + 256 * index (abi/castor.h). */
const CUDA = 1;
export const deviceName = (code: number): Device => (code === 0 ? 'cpu' : `cuda:${code >> 8}`);

/** The properties of a device that deviceInfo() returns. */
export interface DeviceInfo {
  /** Can tensors be made on it? */
  available: boolean;
  /** The reason why it is not available, and what to do. */
  reason?: string;
  /** The name that its manufacturer gave it. */
  name?: string;
  /** CPU only: the instruction set that its kernels use. */
  isa?: string;
  /**
   * CPU only: how it computes matrix products, convolutions and attention of each dtype. Operands that are converted to
   * float32 take the time of float32.
   */
  products?: Readonly<Record<'float32' | 'float16' | 'bfloat16', string>>;
  /**
   * CPU only: the columns of the panels in which inference mode keeps the weights of linear layers, by the dtype that they are computed in;
   * 0 for dtypes whose products are not sums of float32.
   */
  panel?: Readonly<Record<'float32' | 'float16' | 'bfloat16', number>>;
  /** CPU only: the number of threads of its kernels. */
  threads?: number;
  /** GPU only: its architecture, such as 90 for sm_90. */
  architecture?: number;
  /** GPU only: its memory in bytes. */
  memory?: number;
  /** GPU only: the number of its multiprocessors. */
  multiprocessors?: number;
  /** GPU only: the version of CUDA that the driver supports. */
  driver?: string;
  /** GPU only: the version of the CUDA runtime. */
  runtime?: string;
  /** GPU only: the largest number of threads that have used it at the same time. */
  streams?: number;
  /** The library that computes matrix products. */
  matmul?: string;
  /** Is it an emulator, for tests, because there is no GPU, or because the CPU has no such unit for matrix products? */
  emulated?: boolean;
}
const known = new Map<number, DeviceInfo>();

function describe(code: number): DeviceInfo {
  let info = known.get(code);
  if (!info) known.set(code, (info = JSON.parse(native.castor_describe(code)) as DeviceInfo));
  return info;
}

const named = anyAs("'cpu', 'cuda' or 'cuda:1'");
/** Returns the properties of a device as the library sees them now, or the reason why it is not available. */
export const deviceInfo = checked('deviceInfo', { device: named }, doDeviceInfo);
function doDeviceInfo(device: Device): DeviceInfo {
  const code = parse(device, 'deviceInfo');
  known.delete(code);
  return { ...describe(code) };
}
/** Is the device present, and does it work? PyTorch: `torch.cuda.is_available()`. */
export const isAvailable = checked(
  'isAvailable',
  { device: named },
  (device: Device): boolean => describe(parse(device, 'isAvailable')).available,
);

/** Returns the code of a device, available or not. @throws DeviceError for an unknown name */
export function parse(device: Device, op: string): number {
  if (device === 'cpu') return 0;
  const match = typeof device === 'string' ? /^cuda(?::(\d{1,4}))?$/.exec(device) : null;
  if (!match)
    throw new DeviceError(`there is no device ${shown(device)}`, { op, advice: "Use 'cpu', 'cuda' or 'cuda:1'" });
  return CUDA + 256 * Number(match[1] ?? 0);
}

/** Returns the code of a device. @throws DeviceError for an unknown device, or one that is not available, with the reason */
export function deviceCode(device: Device | undefined, op: string): number {
  if (device === undefined) return defaultDeviceCode();
  const code = parse(device, op);
  const info = describe(code);
  if (!info.available) throw new DeviceError(`device '${device}' is not available: ${info.reason}`, { op });
  return code;
}

let chosen: number | null = null;
const defaultDeviceCode = (): number => (chosen ??= describe(CUDA).available ? CUDA : 0);
/** Returns the device on which new tensors are made: the one given to setDefaultDevice(), else cuda if there is a GPU, else cpu. */
export const getDefaultDevice = checked('getDefaultDevice', {}, (): Device => deviceName(defaultDeviceCode()));
/** Sets the device on which new tensors are made, for the whole process. Until then it is cuda if there is a GPU, else cpu. */
export const setDefaultDevice = checked('setDefaultDevice', { device: named }, doSetDefaultDevice);
function doSetDefaultDevice(device: Device): void {
  chosen = deviceCode(device, 'setDefaultDevice');
}

/** The precision of float32 matrix products: see setFloat32MatmulPrecision(). */
export type Float32MatmulPrecision = 'highest' | 'high' | 'medium';
const precisions: readonly Float32MatmulPrecision[] = ['highest', 'high', 'medium'];
let precision: Float32MatmulPrecision = 'highest';
/** Returns the precision of float32 matrix products: 'highest', or the one given to setFloat32MatmulPrecision(). */
export const getFloat32MatmulPrecision = checked(
  'getFloat32MatmulPrecision',
  {},
  (): Float32MatmulPrecision => precision,
);
/**
 * Sets the precision of matrix products and convolutions of float32 (on the CPU also of attention), for the whole process.
 * 'highest' (the default): they are computed in float32. 'high': their operands may be rounded, to tf32 (10 bits of
 * mantissa) on the tensor cores of a GPU, and to the sum of two bfloat16 (16 bits) on the tiles of a CPU. 'medium': on a CPU
 * with a unit for bfloat16 they may be rounded to bfloat16 (7 bits of mantissa); a GPU takes tf32. Sums stay float32. Where a
 * lower precision is not faster, the setting changes nothing.
 */
export const setFloat32MatmulPrecision = checked(
  'setFloat32MatmulPrecision',
  { wanted: any },
  doSetFloat32MatmulPrecision,
);
function doSetFloat32MatmulPrecision(wanted: Float32MatmulPrecision): void {
  const number = precisions.indexOf(wanted);
  if (number < 0)
    throw new ArgumentError(`there is no precision ${shown(wanted)}`, {
      op: 'setFloat32MatmulPrecision',
      advice: "Use 'highest', 'high' or 'medium'",
    });
  native.castor_set_float32_precision(number);
  noteChange();
  precision = wanted;
}
