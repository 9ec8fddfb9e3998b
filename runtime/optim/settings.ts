import { any, options, signature, type Signature, type Spec } from '../arguments.ts';
import { shown } from '../shown.ts';
import { ArgumentError } from '../errors.ts';

/** The kinds of settings: a finite number of at least 0, numbers from 0 to below 1, or a boolean. */
export type SettingKind = 'number' | 'betas' | 'flag';

const isNumber = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value < Infinity;
const holds: Record<SettingKind, (value: unknown) => boolean> = {
  number: isNumber,
  betas: value => Array.isArray(value) && value.length === 2 && value.every(beta => isNumber(beta) && beta < 1),
  flag: value => typeof value === 'boolean',
};
const wanted: Record<SettingKind, string> = {
  number: 'It is a finite number >= 0',
  betas: 'They are two numbers >= 0 and below 1, such as [0.9, 0.999]',
  flag: 'It is true or false',
};

/** The settings of an optimizer by their kinds, as an argument. */
export const settingKinds: Spec = {
  wanted: "an object of 'number', 'betas' or 'flag' by names",
  accepts: kinds =>
    typeof kinds === 'object' &&
    kinds !== null &&
    Object.values(kinds as object).every(kind => Object.hasOwn(holds, kind as PropertyKey)),
};

/** Copies of those that have a value: an option that is undefined stands for its default, and a list belongs to one group. */
export const given = <T extends object>(options: T): Partial<T> =>
  Object.fromEntries(
    Object.entries(options)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, Array.isArray(value) ? [...(value as unknown[])] : value]),
  ) as Partial<T>;

/** The arguments of an optimizer's constructor: a number in place of the options is the learning rate, as in PyTorch. */
export const takes = (op: string, kinds: Readonly<Record<string, SettingKind>>): Signature =>
  signature(op, {
    params: any,
    options: {
      ...options(Object.fromEntries(Object.keys(kinds).map(name => [name, any])), { number: 'lr' }),
      advice: 'Pass an object, such as { lr: 0.1 }',
    },
  });

/** @throws ArgumentError for a setting of a group that makes no sense */
export function checkSettings(op: string, settings: object, kinds: Readonly<Record<string, SettingKind>>): void {
  for (const [name, kind] of Object.entries(kinds)) {
    const value: unknown = (settings as Record<string, unknown>)[name];
    if (!holds[kind](value))
      throw new ArgumentError(`${name} ${shown(value)} makes no sense`, { op, advice: wanted[kind] });
  }
}
