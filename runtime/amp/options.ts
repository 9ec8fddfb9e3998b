import { optional, options as optionsSpec, type Spec } from '../arguments.ts';
import type { ScopeFunction } from '../context.ts';
import { shown } from '../shown.ts';

/**
 * The check of the options that a function takes. It returns a copy of them, and throws the function's error for what is no options
 * object, for an option that is not there, and for one of another type.
 */
export function known<T extends object>(
  { op, call, error }: Required<ScopeFunction>,
  fields: { readonly [K in keyof Required<T>]: Spec },
): (options: T) => T {
  const own = Object.entries<Spec>(fields).map(([name, spec]) => [name, { ...optional(spec), error }]);
  const spec = optionsSpec(Object.fromEntries(own) as Record<string, Spec>, {}, error);
  return options => {
    if (!spec.accepts(options))
      throw new error(`${shown(options)} is no options object`, { op, advice: `Call ${call}` });
    return spec.copy!(options, op, 'options') as T;
  };
}
