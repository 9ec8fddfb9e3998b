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
export function seconds(fn: () => void, calls: number, rounds = 9): number {
  const round = (): number => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) fn();
    return (performance.now() - start) / calls / 1000;
  };
  round();
  return median(Array.from({ length: rounds }, round));
}

/**
 * The seconds that a call of each function takes: medians over rounds in which they take turns, after one round of
 * warm-up.
 */
export function interleaved(fns: readonly (() => void)[], rounds: number): number[] {
  const times = fns.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    fns.forEach((fn, i) => {
      const start = performance.now();
      fn();
      if (round > 0) times[i]!.push((performance.now() - start) / 1000);
    });
  }
  return times.map(median);
}
