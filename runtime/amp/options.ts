import { any, boolean, callable, number, object, options as optionsSpec, type Spec } from '../arguments.ts';
import type { CastorError, ErrorContext } from '../errors.ts';
import { shown } from '../shown.ts';

const specs = { boolean, number, function: callable, object, any };

/** What a function takes as options: the type of each, and a call to show to who calls it otherwise. */
export interface OptionsOf<T> {
  readonly op: string;
  readonly types: { readonly [K in keyof Required<T>]: keyof typeof specs };
  readonly call: string;
  readonly error: new (message: string, context: ErrorContext) => CastorError;
}

/** The same, ready to check options. */
export interface Known<T> extends OptionsOf<T> {
  readonly spec: Spec;
}
export function known<T>(description: OptionsOf<T>): Known<T> {
  const { types, error } = description;
  const fields = Object.entries<keyof typeof specs>(types).map(([name, type]) => [
    name,
    { ...specs[type], error, optional: true },
  ]);
  return { ...description, spec: optionsSpec(Object.fromEntries(fields) as Record<string, Spec>, {}, error) };
}

/** A copy of options. @throws the given error for what is no options object, an option that is not there, or one of another type */
export function checkOptions<T extends object>(options: T, { spec, op, call, error }: Known<T>): T {
  if (!spec.accepts(options)) throw new error(`${shown(options)} is no options object`, { op, advice: `Call ${call}` });
  return spec.copy!(options, op, 'options') as T;
}
