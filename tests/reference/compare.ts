export interface Tolerance {
  /** Relative to the expected value. */
  rtol?: number;
  atol?: number;
}

/**
 * Describes the largest difference of two arrays beyond the tolerance, or returns null. NaN equals NaN, and infinities
 * must match.
 */
export function compareArrays(
  actual: ArrayLike<number | bigint>,
  expected: ArrayLike<number | bigint>,
  { rtol = 1e-6, atol = 1e-8 }: Tolerance,
): string | null {
  if (actual.length !== expected.length) return `${actual.length} elements, expected ${expected.length}`;
  let worst = 0;
  let where = -1;
  let bad = 0;
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [Number(actual[i]!), Number(expected[i]!)];
    if (Object.is(a, e) || a === e) continue;
    const excess = Number.isFinite(a) && Number.isFinite(e) ? Math.abs(a - e) / (atol + rtol * Math.abs(e)) : Infinity;
    if (excess <= 1) continue;
    bad++;
    if (excess > worst) [worst, where] = [excess, i];
  }
  return bad === 0
    ? null
    : `${bad} of ${actual.length} elements differ, most at ${where}: ${actual[where]}, expected ${expected[where]} (${worst.toPrecision(3)} times the tolerance)`;
}
