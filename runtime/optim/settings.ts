import { any, options, signature, type Signature, type Spec } from '../arguments.ts';
import { shown } from '../shown.ts';
import { ArgumentError } from '../errors.ts';

/**
 * The kinds of settings: a finite number of at least 0, a list of numbers that are at least 0 and below 1, or a
 * boolean.
 */
export type SettingKind = 'number' | 'betas' | 'flag';

const isNumber = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value < Infinity;
const holds: Record<SettingKind, (value: unknown) => boolean> = {
  number: isNumber,
  betas: value => Array.isArray(value) && value.length === 2 && value.every(beta => isNumber(beta) && beta < 1),
  flag: value => typeof value === 'boolean',
};
const wanted: Record<SettingKind, { readonly text: string; readonly advice: string }> = {
  number: { text: 'a finite number >= 0', advice: 'Leave it out to use the default' },
  betas: { text: 'a pair of numbers >= 0 and below 1', advice: 'Pass an array such as [0.9, 0.999]' },
  flag: { text: 'true or false', advice: 'Pass a boolean' },
};

/** The settings of an optimizer with their kinds, as an argument of a function. */
export const settingKinds: Spec = {
  wanted: "an object of 'number', 'betas' or 'flag' by names",
  accepts: kinds =>
    typeof kinds === 'object' &&
    kinds !== null &&
    Object.values(kinds as object).every(kind => Object.hasOwn(holds, kind as PropertyKey)),
};

/**
 * Copies of the settings that have a value. An undefined option stands for its default, and each group gets a list of
 * its own.
 */
export const given = <T extends object>(options: T): Partial<T> =>
  Object.fromEntries(
    Object.entries(options)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, Array.isArray(value) ? [...(value as unknown[])] : value]),
  ) as Partial<T>;

/**
 * The signature of an optimizer's constructor. As in PyTorch, a number in place of the options is the learning rate.
 */
export const takes = (op: string, kinds: Readonly<Record<string, SettingKind>>): Signature =>
  signature(op, {
    params: any,
    options: {
      ...options(Object.fromEntries(Object.keys(kinds).map(name => [name, any])), { number: 'lr' }),
      advice: 'Pass an object, such as { lr: 0.1 }',
    },
  });

/** @throws ArgumentError for a setting of a group that is not valid */
export function checkSettings(op: string, settings: object, kinds: Readonly<Record<string, SettingKind>>): void {
  for (const [name, kind] of Object.entries(kinds)) {
    const value: unknown = (settings as Record<string, unknown>)[name];
    const { text, advice } = wanted[kind];
    if (!holds[kind](value)) throw new ArgumentError(`${name} ${shown(value)} is not ${text}`, { op, advice });
  }
}
