import { castArguments, refuseBanned, under } from '../amp/cast.ts';
import { policyOf, type Policy } from '../amp/policy.ts';
import { autocastHere, autocastIn, overrideIn, type AutocastState } from '../amp/state.ts';
import { signature, signatureSpecs, type Spec, type Specs } from '../arguments.ts';
import { current, innerMode, withInner, type Mode } from '../context.ts';
import { contextOf } from '../dispatch/op.ts';
import { CastorError } from '../errors.ts';
import { escapeOf, Scope, scopeHere } from '../tensor/scope.ts';
import { policyNamesOf, writtenOptions } from './table.ts';

type Fn = (...args: any[]) => any;

/**
 * Runs fn, which is synchronous, under another autocast state. Its intermediate results are freed when it returns, except those that
 * backward needs.
 */
function within<T>(mode: Mode, autocast: AutocastState | null, fn: () => T): T {
  const scope = new Scope(scopeHere(mode));
  let result: T;
  try {
    result = withInner(innerMode(mode, { scope, autocast }), fn, undefined);
  } catch (error) {
    scope.end({ storages: new Set(), graph: false });
    throw error;
  }
  scope.end(escapeOf(result));
  return result;
}

/**
 * Runs a function to which a scope gives another policy than its own: its arguments are cast, and autocast does not change the ops
 * inside.
 */
function overridden<T>(name: string, policy: Policy, fn: (...args: any[]) => T, args: unknown[]): T {
  const mode = current();
  const autocast = autocastIn(mode)!;
  if (policy === 'banned') refuseBanned(name, autocast);
  return within(mode, { ...autocast, force: 'input', given: policy }, () =>
    fn(...castArguments(args, policy, autocast, mode.grad, writtenOptions[name] ?? [])),
  );
}

/** Brings arguments in PyTorch's order into the order of the signature. */
type Reorder = (args: readonly unknown[]) => readonly unknown[];

/**
 * Makes a public function of tensors: checks its arguments, follows the overrides of autocast, and gives errors the shapes and dtypes of
 * the call. F is inferred from fn alone: if it were bound to functions of any, a parameter with a default would be any.
 */
export function define<F>(name: string, specs: Specs, fn: F & Function, reorder?: Reorder): F {
  const run = fn as Fn;
  const row = policyNamesOf[name] ?? name;
  const own = policyOf(row);
  const gate = signature(name, specs);
  const call = (...given: unknown[]): unknown => {
    let args = given;
    try {
      args = gate(reorder === undefined ? given : reorder(given));
      const autocast = autocastHere();
      const policy = autocast === null ? null : overrideIn(autocast, row);
      return policy === null || policy === own ? run(...args) : overridden(name, policy, run, args);
    } catch (error) {
      if (error instanceof CastorError) error.explain(contextOf({ name }, args === given ? args : args.flat()));
      throw error;
    }
  };
  return Object.defineProperty(call, 'name', { value: name }) as unknown as F;
}

/**
 * Makes a function of several ops: autocast treats it as a whole by its own policy, and its intermediate results are freed when it
 * returns. The check of its arguments has copied them, so that no user code runs inside.
 */
export function inScope<F extends Fn>(name: string, fn: F): F {
  const policy = policyOf(name);
  return ((...args: unknown[]) => {
    const mode = current();
    const autocast = autocastIn(mode);
    return within(mode, autocast && under(name, policy, autocast), () => fn(...args));
  }) as F;
}

/** Makes a public function of several ops. */
export const composed = <F>(name: string, specs: Specs, fn: F & Function): F =>
  define<F>(name, specs, inScope(name, fn as Fn) as F & Function);

/** Returns the description of one argument of a public function. Modules use it, because they take the options of their function. */
export const argumentOf = (fn: Fn, argument: string): Spec => signatureSpecs.get(fn.name)![argument]!;
