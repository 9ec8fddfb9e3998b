import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';

/** One number for both axes, or a pair: height, then width. */
export type Pair = number | readonly [number, number];
/** The largest number of a geometry. The native library takes geometry as int32, to which a larger number would be converted wrongly. */
export const INT32_MAX = 2 ** 31 - 1;

/** Returns both numbers of a pair. @throws ArgumentError unless they are whole and in range */
export function pairOf(value: Pair, name: string, op: string, least = 1): readonly [number, number] {
  const pair = typeof value === 'number' ? ([value, value] as const) : value;
  if (pair.length !== 2 || !pair.every(n => Number.isInteger(n) && n >= least && n <= INT32_MAX))
    throw new ArgumentError(`${name} ${shown(value)} is not one or two whole numbers from ${least} to 2^31 - 1`, {
      op,
      advice: 'Pass a number for both axes, or [height, width]',
    });
  return pair;
}
