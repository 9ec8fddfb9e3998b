import { AutocastError, type CastorError, type ErrorContext } from '../errors.ts';
import { isTensor } from '../tensor/tensor.ts';

/** A value as messages show it. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'function') return 'a function';
  if (value === null || typeof value !== 'object') return String(value);
  return isTensor(value) ? 'a tensor' : Array.isArray(value) ? 'an array' : 'an object';
}

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
      throw new error(`there is no option '${name}'`, {
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

/** @throws AutocastError for what is no function, and for a generator: it would run when the scope is over */
export function checkFunction(fn: unknown, op: string, example: string): void {
  if (typeof fn !== 'function')
    throw new AutocastError(`there is no function to run, but ${shown(fn)}`, { op, advice: `Call ${example}` });
  const tag = (fn as { [Symbol.toStringTag]?: string })[Symbol.toStringTag];
  if (tag === 'GeneratorFunction' || tag === 'AsyncGeneratorFunction')
    throw new AutocastError('a generator runs only when it is read, after the scope has ended', {
      op,
      advice: 'Return streamInContext(generator()) from a plain function: what reads the stream runs in the scope',
    });
}
