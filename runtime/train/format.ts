import { any, checked, number } from '../arguments.ts';
import { deviceInfo, type Device } from '../tensor/device.ts';

/** A number as two or three digits and a letter for the power of 1000: 950, 8.4k, 21k, 1.2M, 3.0G. */
export const shortCount = checked('shortCount', { value: number }, doShortCount);
function doShortCount(value: number): string {
  let power = 0;
  // A value of 999.5 or more would be rounded to four digits.
  for (; value >= 999.5 && power < 4; power++) value /= 1000;
  return value.toFixed(power > 0 && value < 9.95 ? 1 : 0) + ['', 'k', 'M', 'G', 'T'][power];
}

/** Bytes as '97MB', in powers of 1000. */
export const shortBytes = checked('shortBytes', { bytes: number }, (bytes: number): string => `${shortCount(bytes)}B`);

/** Seconds as '1:02:03' or '2:03'. */
export const clock = checked('clock', { seconds: number }, doClock);
function doClock(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** The name of a device with what the library knows about it: 'cpu (AMD EPYC, avx512, 2 threads)'. */
export const deviceLine = checked('deviceLine', { device: any }, doDeviceLine);
function doDeviceLine(device: Device): string {
  const { name, isa, threads } = deviceInfo(device);
  return `${device} (${[name, isa, threads && `${threads} threads`].filter(Boolean).join(', ')})`;
}
