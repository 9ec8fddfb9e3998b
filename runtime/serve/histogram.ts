/** Counts of values in ranges, as Prometheus has them. */
export class Histogram {
  /** The largest value of each range; values above the last are counted by `count` alone. */
  readonly bounds: readonly number[];
  /** The number of values in each range. */
  readonly counts: number[];
  /** The number of all values, and their sum. */
  count = 0;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }
  add(value: number): void {
    this.count++;
    this.sum += value;
    const at = this.bounds.findIndex(bound => value <= bound);
    if (at >= 0) this.counts[at]!++;
  }
  /** The mean of the values; 0 if there is none. */
  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }
}

/** Bounds for times in seconds: 100 us to 10 s. */
export const SECONDS: readonly number[] = [
  1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
/** Bounds for numbers of rows. */
export const ROWS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
