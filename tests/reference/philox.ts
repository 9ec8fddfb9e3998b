import type { Values } from './values.ts';

const MASK = 0xffffffffn;
const hilo = (product: bigint): [bigint, bigint] => [product >> 32n, product & MASK];

/**
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): four words from a counter (block, offset) and a key, low words
 * first.
 */
function philox(seed: bigint, offset: bigint, block: bigint): number[] {
  let c = [block & MASK, block >> 32n, offset & MASK, offset >> 32n] as [bigint, bigint, bigint, bigint];
  let [k0, k1] = [seed & MASK, seed >> 32n];
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = hilo(0xd2511f53n * c[0]);
    const [high1, low1] = hilo(0xcd9e8d57n * c[2]);
    c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0];
    k0 = (k0 + 0x9e3779b9n) & MASK;
    k1 = (k1 + 0xbb67ae85n) & MASK;
  }
  return c.map(Number);
}

/** Element i uses word i % 4 of block i / 4. Its upper 24 bits are the fraction. */
export const uniform = (i: number, seed: number, offset: number): number =>
  Math.floor(philox(BigInt(seed), BigInt(offset), BigInt(Math.floor(i / 4)))[i % 4]! / 256) / 2 ** 24;

/** Sets elements to zero with probability p, and divides the others by 1 - p. */
export const dropout = (x: Values, p: number, seed: number, offset: number): Values => ({
  shape: x.shape,
  data: x.data.map((value, i) => (uniform(i, seed, offset) < p ? 0 : value / (1 - p))),
});
