import { deviceInfo, type Device } from '../tensor/device.ts';

/** 1234567 as '1.2 M'. */
export function shortCount(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  return value >= 1e3 ? `${(value / 1e3).toFixed(1)} k` : value.toFixed(0);
}

/** Bytes as '12.3 MB', in powers of 1000. */
export const shortBytes = (bytes: number): string =>
  bytes >= 1e9
    ? `${(bytes / 1e9).toFixed(1)} GB`
    : bytes >= 1e6
      ? `${(bytes / 1e6).toFixed(1)} MB`
      : `${(bytes / 1e3).toFixed(1)} kB`;

/** Seconds as '1:02:03' or '2:03'. */
export function clock(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** A device with what the library knows of it: 'cpu (AMD EPYC, avx512, 2 threads)'. */
export function deviceLine(device: Device): string {
  const { name, isa, threads } = deviceInfo(device);
  return `${device} (${[name, isa, threads && `${threads} threads`].filter(Boolean).join(', ')})`;
}
