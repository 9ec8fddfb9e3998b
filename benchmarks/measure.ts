import { clocks, type Clock } from './clocks.ts';

/** One figure. `npm run bench -- --json` writes one per line. */
export interface Figure {
  name: string;
  value: number;
  unit: string;
  /** The limit of the value, such as '<= 10'. */
  must?: string;
  /** PyTorch's figure in the same unit. */
  torch?: number;
  /** The limit of PyTorch's time over Castor's. */
  mustOverTorch?: string;
}

export const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** The seconds that a call takes: the median of `rounds` rounds of `calls` calls each, after one round of warm-up. */
export function seconds(fn: () => void, calls: number, clock: Clock, rounds = 9): number {
  const now = clocks[clock];
  const round = (): number => {
    const start = now();
    for (let i = 0; i < calls; i++) fn();
    return (now() - start) / calls;
  };
  round();
  return median(Array.from({ length: rounds }, round));
}

/**
 * The seconds that a call of each function takes: medians over rounds in which they take turns, after one round of
 * warm-up.
 */
export function interleaved(fns: readonly (() => void)[], rounds: number, clock: Clock): number[] {
  const now = clocks[clock];
  const times = fns.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    fns.forEach((fn, i) => {
      const start = now();
      fn();
      if (round > 0) times[i]!.push(now() - start);
    });
  }
  return times.map(median);
}
