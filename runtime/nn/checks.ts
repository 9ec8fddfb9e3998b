import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';

/** @throws ArgumentError unless a size of a layer is an integer of at least `least` */
export function size(op: string, name: string, value: unknown, least = 0): number {
  if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
  throw new ArgumentError(`${name} ${shown(value)} is not an integer >= ${least}`, {
    op,
    advice: 'Pass the number of features, channels, groups or embeddings',
  });
}

/** @throws ArgumentError unless a setting of a layer is a number from `least` to `most` */
export function between(op: string, name: string, value: unknown, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  const range = most === Infinity ? `>= ${least}` : `from ${least} to ${most}`;
  throw new ArgumentError(`${name} ${shown(value)} is not a number ${range}`, {
    op,
    advice: 'Leave it out to use the default',
  });
}
