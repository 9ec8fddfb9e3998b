import { dlopen, ptr } from 'bun:ffi';

/** A sample counts the time on the clock, or the time in which a processor worked for this thread. */
export type Clock = 'wall' | 'processor';

const openLibc = () => dlopen('libc.so.6', { clock_gettime: { args: ['i32', 'ptr'], returns: 'i32' } }).symbols;
let libc: ReturnType<typeof openLibc> | null = null;

/** CLOCK_THREAD_CPUTIME_ID of Linux. */
const THREAD = 3;
/** Seconds and nanoseconds. */
const time = new BigInt64Array(2);

/** The seconds in which a processor has worked for this thread. Other threads, such as JavaScript's compilers, do not count. */
function processor(): number {
  libc ??= openLibc();
  if (libc.clock_gettime(THREAD, ptr(time)) !== 0) throw new Error('the system has no clock of a thread');
  return Number(time[0]) + Number(time[1]) / 1e9;
}

/** Functions that return the seconds since some moment. */
export const clocks: Readonly<Record<Clock, () => number>> = { wall: () => performance.now() / 1e3, processor };
