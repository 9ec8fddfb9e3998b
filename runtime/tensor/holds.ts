import { ArgumentError, DTypeError } from '../errors.ts';
import { shown } from '../shown.ts';
import { bool, endsOf, holds, int64, type DType, type DTypeInfo } from './dtype.ts';

/** Can an integer dtype hold this value without its fraction? true for floating dtypes and bool, which accept every number. */
export function canHold(info: DTypeInfo, value: number | bigint): boolean {
  if (info.category !== 'int') return true;
  if (info === int64 && typeof value === 'bigint') return BigInt.asIntN(64, value) === value;
  return holds(info, Math.trunc(Number(value)));
}

/** @throws DTypeError for a value that an integer dtype cannot hold */
export function checkHolds(info: DTypeInfo, value: number | bigint, op: string): void {
  if (canHold(info, value)) return;
  const bounds = info === int64 ? '-2^63 to 2^63 - 1' : endsOf(info).join(' to ');
  throw new DTypeError(`${shown(value)} is not a value of ${info.name}`, {
    op,
    dtypes: [info.name],
    advice: `${info.name} holds the whole numbers ${bounds}: use a wider dtype, or a floating one`,
  });
}

/** @throws DTypeError for a finite number that would become infinite, or that an integer dtype cannot hold */
export function checkFits(info: DTypeInfo, value: number, op: string): void {
  checkHolds(info, value, op);
  if (info.category === 'float' && !holds(info, value))
    throw new DTypeError(`${value} is beyond the largest ${info.name}, ${endsOf(info)[1]}`, {
      op,
      dtypes: [info.name],
      advice: 'Use a wider dtype, or write Infinity where that is meant',
    });
}

/** @throws DTypeError for bool, because a sequence of numbers cannot be bool, and for a value that the dtype cannot hold */
export function checkNumeric(info: DTypeInfo, value: number, op: string): void {
  if (info === bool)
    throw new DTypeError('a sequence of numbers cannot be bool', { op, advice: 'Compare the sequence with a number' });
  checkHolds(info, value, op);
}

/** @throws DTypeError for a whole number that a dtype cannot hold; bool holds 0 and 1 only */
export function checkWhole(info: DTypeInfo, value: number, op: string): void {
  checkFits(info, value, op);
  if (info === bool && value !== 0 && value !== 1)
    throw new DTypeError(`${value} is not a value of bool`, { op, dtypes: [info.name], advice: 'bool holds 0 and 1' });
}

/** @throws DTypeError if a dtype cannot hold all whole numbers below n exactly: float16, for instance, does not have 2049 */
export function checkDistinct(info: DTypeInfo, n: number): void {
  if (n <= 1) return;
  checkWhole(info, n - 1, 'randperm');
  const digits: Partial<Record<DType, number>> = { float16: 11, bfloat16: 8, float32: 24 };
  const exact = 2 ** (digits[info.name] ?? 53);
  if (n - 1 > exact)
    throw new DTypeError(`${info.name} holds each whole number only up to ${exact}, not up to ${n - 1}`, {
      op: 'randperm',
      dtypes: [info.name],
      advice: 'Leave the dtype out: int64 holds all',
    });
}

/** @throws ArgumentError for a number that is not a probability */
export function checkProbability(p: number, op: string): void {
  if (!(p >= 0 && p <= 1))
    throw new ArgumentError(`probability ${p} is outside [0, 1]`, { op, advice: 'Pass a number from 0 to 1' });
}
