import type { Level } from './levels.ts';
import type { Figure } from './measure.ts';
import { takeTurns, type Times, type Turns, type Way } from './turns.ts';

/** A run of the benchmark, as its parts see it. */
export interface Bench extends Way {
  readonly level: Level;
  /** Are the sizes small? That proves the code, and says nothing of speed. */
  readonly tiny: boolean;
  /** Is a figure, or are figures whose names begin so, to be measured? */
  readonly wants: (name: string) => boolean;
}

/** Measures figures. It is called once for each number of threads. */
export type Part = (bench: Bench) => Figure[] | Promise<Figure[]>;

/** Measures what Castor does in turn with PyTorch. */
export const turns = (bench: Bench, what: Turns): Promise<Times> => takeTurns(what, bench);

/** A figure made from the seconds of a case, with PyTorch's beside it. */
export function timed(
  times: Times,
  name: string,
  to: { readonly unit: string; readonly from: (seconds: number) => number },
): Omit<Figure, 'name'> {
  const torch = times.torch?.[name];
  const value = to.from(times.own[name]!);
  return { value, unit: to.unit, ...(torch === undefined ? {} : { torch: to.from(torch) }) };
}

export const ms = { unit: 'ms', from: (seconds: number): number => seconds * 1e3 };
export const us = { unit: 'us', from: (seconds: number): number => seconds * 1e6 };
export const gflops = (flops: number): { unit: string; from: (seconds: number) => number } => ({
  unit: 'GFLOP/s',
  from: seconds => flops / seconds / 1e9,
});
