/** The least time that a step takes on a GPU: each call is bound by its bytes or by its products, whichever takes longer. */
import type { Call } from './calls.ts';
import type { Gpu } from './devices.ts';
import type { Step } from './trace.ts';

/** The calls of one name together. Seconds are for each GPU in turn. */
export interface Row {
  readonly name: string;
  readonly calls: number;
  readonly launches: number;
  readonly bytes: number;
  readonly flops: number;
  readonly seconds: readonly number[];
  /** For each GPU, what bounds most of the time: bytes or products. */
  readonly bound: readonly ('bytes' | 'products')[];
}

/** The share of the rates of a GPU that kernels reach. */
export interface Reached {
  readonly bytes: number;
  readonly products: number;
}
export const all: Reached = { bytes: 1, products: 1 };

const bytesTime = (call: Call, gpu: Gpu, reached: Reached): number => call.bytes / (gpu.bandwidth * reached.bytes);
const productsTime = (call: Call, gpu: Gpu, reached: Reached): number =>
  call.flops / (gpu[call.unit] * reached.products);
export const timeOf = (call: Call, gpu: Gpu, reached = all): number =>
  Math.max(bytesTime(call, gpu, reached), productsTime(call, gpu, reached));

export const total = (calls: readonly Call[], of: (call: Call) => number): number =>
  calls.reduce((sum, call) => sum + of(call), 0);
export const secondsOf = ({ calls }: Step, gpu: Gpu, reached = all): number =>
  total(calls, call => timeOf(call, gpu, reached));

function rowOf(name: string, calls: readonly Call[], gpus: readonly Gpu[]): Row {
  const byProducts = (gpu: Gpu): number =>
    total(calls, call => (productsTime(call, gpu, all) > bytesTime(call, gpu, all) ? timeOf(call, gpu) : 0));
  const seconds = gpus.map(gpu => total(calls, call => timeOf(call, gpu)));
  return {
    name,
    calls: calls.length,
    launches: total(calls, call => call.launches),
    bytes: total(calls, call => call.bytes),
    flops: total(calls, call => call.flops),
    seconds,
    bound: gpus.map((gpu, i) => (byProducts(gpu) > seconds[i]! / 2 ? 'products' : 'bytes')),
  };
}

/** The rows of a step. What takes longest on the first GPU is first. */
export function rowsOf({ calls }: Step, gpus: readonly Gpu[]): Row[] {
  const names = [...new Set(calls.map(call => call.name))];
  const rows = names.map(name =>
    rowOf(
      name,
      calls.filter(call => call.name === name),
      gpus,
    ),
  );
  return rows.toSorted((a, b) => b.seconds[0]! - a.seconds[0]!);
}
