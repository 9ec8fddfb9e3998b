import type { CastorError, ErrorContext } from '../errors.ts';
import { cut, shown } from '../shown.ts';

/** What a function takes as options: the type of each, and a call to show to who calls it otherwise. */
export interface OptionsOf<T> {
  readonly op: string;
  readonly types: { readonly [K in keyof Required<T>]: 'boolean' | 'number' | 'function' | 'object' | 'any' };
  readonly call: string;
  readonly error: new (message: string, context: ErrorContext) => CastorError;
}

/** @throws the given error for what is no options object, an option that is not there, or one of another type */
export function checkOptions<T extends object>(options: T, { op, types, call, error }: OptionsOf<T>): void {
  if (options === null || typeof options !== 'object' || Array.isArray(options))
    throw new error(`${shown(options)} is no options object`, { op, advice: `Call ${call}` });
  for (const name in options) {
    if (!Object.hasOwn(types, name))
      throw new error(`there is no option '${cut(name)}'`, {
        op,
        advice: `The options are ${Object.keys(types).join(', ')}`,
      });
    const value: unknown = options[name];
    const type = types[name as keyof T];
    if (value !== undefined && type !== 'any' && (typeof value !== type || value === null))
      throw new error(`${name} is ${shown(value)}, which is no ${type}`, {
        op,
        advice: `Pass ${type === 'object' ? 'an' : 'a'} ${type}, or leave it out`,
      });
  }
}
