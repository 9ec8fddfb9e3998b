import { optional, options as optionsSpec, type Spec } from '../arguments.ts';
import type { ScopeFunction } from '../context.ts';
import { shown } from '../shown.ts';

/**
 * Returns a function that checks and copies the options of another function. It throws that function's error for a value that is not an
 * object, an unknown option, or an option of a wrong type.
 */
export function known<T extends object>(
  { op, call, error }: Required<ScopeFunction>,
  fields: { readonly [K in keyof Required<T>]: Spec },
): (options: T) => T {
  const own = Object.entries<Spec>(fields).map(([name, spec]) => [name, { ...optional(spec), error }]);
  const spec = optionsSpec(Object.fromEntries(own) as Record<string, Spec>, {}, error);
  return options => {
    if (!spec.accepts(options))
      throw new error(`${shown(options)} is not an options object`, { op, advice: `Call ${call}` });
    return spec.copy!(options, op, 'options') as T;
  };
}
