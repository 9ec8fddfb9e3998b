/** Random cases for property tests: a number in [0, 1) each call. */
export type Random = () => number;

/** The same cases in every run, unless CASTOR_TEST_SEED gives another seed. A failing case prints its seed. */
export function seeded(): { random: Random; seed: number } {
  const seed = Number(process.env.CASTOR_TEST_SEED ?? 1);
  return { random: generator(seed), seed };
}

/** The algorithm mulberry32. */
export function generator(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer from low to high, both included. */
export const whole = (random: Random, low: number, high: number): number =>
  low + Math.floor(random() * (high - low + 1));
export const choose = <T>(random: Random, list: readonly T[]): T => list[whole(random, 0, list.length - 1)]!;
export const chance = (random: Random, probability: number): boolean => random() < probability;
/** The same items in random order. */
export function shuffled<T>(random: Random, list: readonly T[]): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = whole(random, 0, i);
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}
