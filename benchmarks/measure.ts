/** One figure: what `npm run bench -- --json` writes, a line each. */
export interface Figure {
  name: string;
  value: number;
  unit: string;
  /** What Castor promises. */
  must?: string;
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** Seconds a call takes: the median of `rounds` rounds of `calls` calls each, after one round of warm-up. */
export function seconds(fn: () => void, calls: number, rounds = 9): number {
  const round = (): number => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) fn();
    return (performance.now() - start) / calls / 1000;
  };
  round();
  return median(Array.from({ length: rounds }, round));
}
