import { types } from 'node:util';
import { ArgumentError, type CastorError, type ErrorContext } from './errors.ts';
import { cut, didYouMean, NAMED, shown } from './shown.ts';

/**
 * The gate: the check of the arguments of every public function. Bun runs TypeScript without checking its types, so
 * each function has a signature at run time: one Spec for each argument, in order. Arguments that pass have the right
 * types, and arrays and options are copied, so that later changes by the caller have no effect. The function itself
 * checks the range of values, such as an axis that exists or sizes that fit.
 */
export interface Spec {
  /** A description of the accepted values for error messages, such as 'a boolean'. */
  readonly wanted: string;
  readonly accepts: (value: any) => boolean;
  /** May it be left out? undefined then means the default. */
  readonly optional?: boolean;
  /** Converts the accepted value to the one that the function gets. */
  readonly copy?: (value: any, op: string, name: string) => unknown;
  readonly error?: CastorErrorClass;
  /** The advice of the error, if it is not just to pass an accepted value. */
  readonly advice?: string;
  /** The spec is for all arguments from here on. 'one array' means that an array is allowed as the only one. */
  readonly rest?: 'any' | 'one array';
  /** The specs of the options, for an options object. */
  readonly fields?: Specs;
}
type CastorErrorClass = new (message: string, context: ErrorContext) => CastorError;
/** The specs of arguments by name, in order. */
export type Specs = Readonly<Record<string, Spec>>;

/** @throws CastorError, else returns the arguments for the function, which is the same list if nothing was copied */
export type Signature = (args: ArrayLike<unknown>) => any[];

const refuse = (op: string, name: string, value: unknown, spec: Spec): CastorError =>
  new (spec.error ?? ArgumentError)(`${name} is ${shown(value)}, which is not ${spec.wanted}`, {
    op,
    advice: spec.advice ?? `Pass ${spec.wanted}${spec.optional ? ', or leave it out' : ''}`,
  });

/** The arguments of a function in one line: (x, axes?, { keepdim, dtype }?). */
function usage(specs: Specs): string {
  const one = ([name, spec]: [string, Spec]): string =>
    `${spec.rest ? '...' : ''}${spec.fields ? `{ ${Object.keys(spec.fields).join(', ')} }` : name}${spec.optional && !spec.rest ? '?' : ''}`;
  const receiver = Object.keys(specs)[0] === 'x' ? ', x being the tensor of a method call' : '';
  return `(${Object.entries(specs).map(one).join(', ')})${receiver}`;
}

function taken(value: unknown, spec: Spec, op: string, name: string): unknown {
  if (!spec.accepts(value)) throw refuse(op, name, value, spec);
  return spec.copy === undefined ? value : spec.copy(value, op, name);
}

/** Checks arguments beyond the last one. Those that are undefined count as left out. @throws ArgumentError */
export function refuseSuperfluous(op: string, specs: Specs, args: ArrayLike<unknown>): void {
  const count = Object.keys(specs).length;
  for (let i = count; i < args.length; i++)
    if (args[i] !== undefined)
      throw new ArgumentError(`${shown(args[i])} is an argument too many: it takes ${usage(specs)}`, {
        op,
        advice: superfluousAdvice(args, specs),
      });
}
/** Advice for the case that array.map(fn) called fn(item, index, array). */
function superfluousAdvice(args: ArrayLike<unknown>, specs: Specs): string {
  const list = Object.values(specs);
  if (args.length === 3 && typeof args[1] === 'number' && Array.isArray(args[2]))
    return 'As a callback of map(), wrap it: map(x => fn(x))';
  const fields = list.find(spec => spec.fields)?.fields;
  return fields ? `Leave it out, or name it: { ${Object.keys(fields)[0]}: ... }` : 'Leave it out';
}

function refuseSecondArray(op: string, args: readonly unknown[], from: number): void {
  for (let i = from; i < args.length; i++)
    if (Array.isArray(args[i]))
      throw new ArgumentError(`${shown(args[i])} was passed together with other arguments`, {
        op,
        advice: 'Pass one array, or numbers only',
      });
}

/** Every signature by the name of its function. Tests and the fuzzer create arguments from them. */
export const signatureSpecs = new Map<string, Specs>();

/** @param op the name of the function in error messages */
export function signature(op: string, specs: Specs): Signature {
  signatureSpecs.set(op, specs);
  const names = Object.keys(specs);
  const list = Object.values(specs);
  const last = list.at(-1);
  const count = last?.rest ? list.length - 1 : list.length;
  // Lists of functions are faster to read than fields of objects of different shapes, and this runs at every call.
  const accepts = list.map(spec => (spec.accepts === any.accepts ? null : spec.accepts));
  const copies = list.map(spec => spec.copy);
  const copying = last?.rest !== undefined || copies.some(copy => copy !== undefined);
  return args => {
    if (args.length > count && !last?.rest) refuseSuperfluous(op, specs, args);
    const out = copying ? Array.prototype.slice.call(args, 0, count) : (args as unknown[]);
    for (let i = 0; i < count; i++) {
      const value = args[i];
      if (value !== undefined) {
        const accepted = accepts[i]!;
        if (accepted !== null && !accepted(value)) throw refuse(op, names[i]!, value, list[i]!);
        const copy = copies[i];
        if (copy !== undefined) out[i] = copy(value, op, names[i]!);
      } else if (!list[i]!.optional)
        throw new ArgumentError(`the argument ${names[i]} is missing: it takes ${usage(specs)}`, {
          op,
          advice: `Pass ${list[i]!.wanted}`,
        });
    }
    if (last?.rest) {
      for (let i = count; i < args.length; i++) out.push(taken(args[i], last, op, names[count]!));
      if (last.rest === 'one array' && args.length > count + 1) refuseSecondArray(op, out, count);
    }
    return out;
  };
}

/** The part of a class that is needed here. */
interface Class {
  readonly prototype: object;
  readonly name: string;
}

/** @throws ArgumentError for a method without its object, and for a Proxy, which cannot access private fields */
function checkReceiver(op: string, { prototype, name }: Class, self: unknown): void {
  if (types.isProxy(self))
    throw new ArgumentError(`it was called on a Proxy of a ${name}`, {
      op,
      advice: 'Call it on the object itself, which toRaw() returns. markRaw() keeps an object out of reactive objects',
    });
  if (!Object.prototype.isPrototypeOf.call(prototype, self as object))
    throw new ArgumentError(`it was called on ${shown(self)}, not on a ${name}`, {
      op,
      advice: 'A method that is passed as a value loses its object. Pass (...args) => object.method(...args)',
    });
}

const promising = new WeakSet<object>();
/** Marks a function that returns a promise without being async: checked() makes it reject for wrong arguments, too. */
export function returnsPromise<F extends (...args: any[]) => Promise<unknown>>(fn: F): F {
  promising.add(fn);
  return fn;
}

/**
 * Returns a function whose arguments are checked first. A method of a class also checks its receiver. An async function
 * rejects instead of throwing.
 */
export function checked<F extends (...args: any[]) => any>(op: string, specs: Specs, fn: F, type?: Class): F {
  const gate = signature(op, specs);
  const rejects = fn.constructor.name === 'AsyncFunction' || promising.has(fn);
  if (type === undefined && !rejects && isOneOrTwo(specs)) return named(op, quick(gate, specs, fn));
  const gated = function (this: unknown, ...args: unknown[]): unknown {
    let given: unknown[];
    try {
      if (type !== undefined) checkReceiver(op, type, this);
      given = gate(args);
    } catch (error) {
      if (rejects) return Promise.reject(error as Error);
      throw error;
    }
    return fn.apply(this, given);
  };
  return named(op, gated) as unknown as F;
}
const named = <F extends object>(op: string, fn: F): F =>
  Object.defineProperty(fn, 'name', { value: op.slice(op.lastIndexOf('.') + 1) });

/**
 * Are the specs one or two arguments of any type? Functions that run another one, such as noGrad(), have such specs and
 * are called often.
 */
function isOneOrTwo(specs: Specs): boolean {
  const list = Object.values(specs);
  const free = ({ accepts, copy, rest }: Spec): boolean => accepts === any.accepts && !copy && !rest;
  return [1, 2].includes(list.length) && list.every(free);
}
/** Skips the check for calls with all arguments of any type, because there is nothing to refuse. */
function quick<F extends (...args: any[]) => any>(gate: Signature, specs: Specs, fn: F): F {
  const count = Object.keys(specs).length;
  return function (this: unknown, a: unknown, b: unknown): unknown {
    if (arguments.length !== count || a === undefined) return fn.apply(this, gate(arguments));
    if (count === 1) return fn.call(this, a);
    return b === undefined ? fn.apply(this, gate(arguments)) : fn.call(this, a, b);
  } as F;
}

/** Adds the check to all functions of an object. */
export function checkedAll<M extends Readonly<Record<string, (...args: any[]) => any>>>(
  prefix: string,
  specs: Readonly<Record<keyof M, Specs>>,
  module: M,
): M {
  return Object.fromEntries(
    Object.entries(module).map(([name, fn]) => [name, checked(`${prefix}.${name}`, specs[name]!, fn)]),
  ) as M;
}

/** Adds the check to methods of a class, by name. */
export function checkMethods(type: Class, methods: Readonly<Record<string, Specs>>): void {
  for (const [name, specs] of Object.entries(methods)) {
    const property = Object.getOwnPropertyDescriptor(type.prototype, name)!;
    const value = checked(`${type.name}.${name}`, specs, property.value as (...args: any[]) => any, type);
    Object.defineProperty(type.prototype, name, { ...property, value });
  }
}

// ---- specs ---------------------------------------------------------------------------------------------------------

/**
 * Is a function a class, which cannot be called? The prototype of a class cannot be replaced, and arrow functions have
 * none.
 */
export const isClass = (fn: { readonly prototype?: unknown }): boolean =>
  fn.prototype !== undefined && Object.getOwnPropertyDescriptor(fn, 'prototype')?.writable === false;
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

export const any: Spec = { wanted: 'a value', accepts: () => true };
/** Any value, for functions that check it themselves. */
export const anyAs = (wanted: string): Spec => ({ ...any, wanted });
export const boolean: Spec = { wanted: 'a boolean', accepts: value => typeof value === 'boolean' };
export const number: Spec = { wanted: 'a number', accepts: value => typeof value === 'number' };
export const whole: Spec = { wanted: 'a whole number', accepts: value => Number.isSafeInteger(value) };
export const text: Spec = { wanted: 'a string', accepts: value => typeof value === 'string' };
export const object: Spec = { wanted: 'an object', accepts: isObject };
/** A function, as an argument or an option. */
export const callable: Spec = {
  wanted: 'a function',
  accepts: value => typeof value === 'function' && !isClass(value),
  advice: 'Pass a function; for a class, pass () => new Class()',
};
/**
 * Anything that for..of accepts, other than a string, a typed array or a tensor: a tensor is meant as itself, not as
 * its rows.
 */
export const iterable: Spec = {
  wanted: 'an array or another iterable',
  accepts: value =>
    isObject(value) &&
    !ArrayBuffer.isView(value) &&
    !(NAMED in value) &&
    typeof (value as Partial<Iterable<unknown>>)[Symbol.iterator] === 'function',
};

export const optional = (spec: Spec): Spec => ({ ...spec, optional: true });
/** null is accepted as well, and stays null. */
export function nullable(spec: Spec): Spec {
  const { accepts, copy } = spec;
  return {
    ...spec,
    wanted: `${spec.wanted} or null`,
    accepts: value => value === null || accepts(value),
    ...(copy && { copy: (value, op, name) => (value === null ? null : copy(value, op, name)) }),
  };
}
/** One of two specs. */
export const either = (a: Spec, b: Spec, wanted = `${a.wanted} or ${b.wanted}`): Spec => {
  const { copy: _, ...rest } = a;
  const both: Spec = { ...rest, wanted, accepts: value => a.accepts(value) || b.accepts(value) };
  if (a.copy === undefined && b.copy === undefined) return both;
  return {
    ...both,
    copy: (value, op, name) => {
      const { copy } = a.accepts(value) ? a : b;
      return copy === undefined ? value : copy(value, op, name);
    },
  };
};
export const rest = (spec: Spec): Spec => ({ ...spec, rest: 'any' });

/** One of some words. */
export const oneOf = (...words: readonly string[]): Spec => ({
  wanted: words.map(word => `'${word}'`).join(' or '),
  accepts: value => words.includes(value as string),
  advice: `Use ${words.map(word => `'${word}'`).join(' or ')}`,
});

/** Any object with these methods. */
export const having = (wanted: string, ...methods: readonly string[]): Spec => ({
  wanted,
  accepts: value =>
    isObject(value) && methods.every(name => typeof (value as Record<string, unknown>)[name] === 'function'),
});

/** An instance of a class. The class is given by a function, because it may be loaded later than the spec. */
export const instanceOf = (wanted: string, type: () => abstract new (...args: any[]) => unknown): Spec => ({
  wanted,
  accepts: value => isObject(value) && !types.isProxy(value) && value instanceof type(),
});

/** An array of items of one spec. It is copied. */
export const arrayOf = (item: Spec, wanted: string): Spec => ({
  wanted,
  accepts: value => Array.isArray(value),
  copy: (value: unknown[], op, name) => {
    const copy = new Array<unknown>(value.length);
    for (let i = 0; i < copy.length; i++) {
      const given = value[i];
      // Names are made only for errors, because this runs for every shape.
      if (!item.accepts(given)) throw refuse(op, `${name}[${i}]`, given, item);
      copy[i] = item.copy === undefined ? given : item.copy(given, op, `${name}[${i}]`);
    }
    return copy;
  },
});

/** More items than any list has, so that an iterator without end is refused. */
const LONGEST_LIST = 1_000_000;

/** Anything that for..of accepts, read once into a new array. */
export const listOf = (item: Spec, wanted: string): Spec => ({
  ...iterable,
  wanted,
  copy: (values: Iterable<unknown> & { next?: unknown }, op, name) => {
    const list: unknown[] = [];
    for (const value of values) {
      if (list.push(taken(value, item, op, `${name}[${list.length}]`)) > LONGEST_LIST)
        throw new ArgumentError(`${name} does not end`, { op, advice: `Pass ${wanted}` });
    }
    if (list.length === 0 && typeof values.next === 'function')
      throw new ArgumentError(`${name} is an iterator that has ended: it can be read only once`, {
        op,
        advice: 'Pass an array, such as [...iterator], which can be read again',
      });
    return list;
  },
});

/** Another way to give options: the option that a single value of a type stands for. */
interface Positional {
  readonly boolean?: string;
  readonly number?: string;
  readonly string?: string;
}

/**
 * An object of named options. Each option is read once and copied; undefined options count as left out. `positional`
 * accepts a single value for the option that PyTorch has at this position: linear(3, 2, false) is linear(3, 2, { bias:
 * false }).
 */
export function options(fields: Specs, positional: Positional = {}, error: CastorErrorClass = ArgumentError): Spec {
  const names = Object.keys(fields);
  const specOf = new Map(Object.entries(fields));
  const needed = names.filter(own => fields[own]!.optional === false);
  const lone = (value: unknown): string | undefined =>
    typeof value === 'object' ? undefined : positional[typeof value as keyof Positional];
  return {
    wanted: 'an options object',
    optional: true,
    fields,
    error,
    advice: names.length === 0 ? 'Leave it out' : `Pass { ${names.join(', ')} }, each of which may be left out`,
    accepts: value => isPlain(value) || lone(value) !== undefined || isOptions(value),
    copy: (given: object, op, name) => {
      const single = lone(given);
      if (single !== undefined) return { [single]: taken(given, fields[single]!, op, name) };
      const copy: Record<string, unknown> = {};
      const literal = isPlain(given);
      for (const own in given) {
        const spec = specOf.get(own);
        if (spec === undefined) throw unknownOption(op, own, names, error);
        if (literal) read(copy, given, own, spec, op);
      }
      // The options of a class instance may be getters of its prototype, which Object.keys does not list.
      if (!literal) for (const own of names) read(copy, given, own, fields[own]!, op);
      for (const own of needed)
        if (copy[own] === undefined)
          throw new ArgumentError(`the option ${own} is missing`, { op, advice: `Pass { ${names.join(', ')} }` });
      return copy;
    },
  };
}

function read(copy: Record<string, unknown>, given: object, name: string, spec: Spec, op: string): void {
  const value = (given as Record<string, unknown>)[name];
  if (value !== undefined) copy[name] = taken(value, spec, op, name);
}

/**
 * Is a value an object literal, as in nearly all calls? A Proxy of one has the same prototype, and is read like any
 * other.
 */
const isPlain = (value: unknown): boolean => isObject(value) && Object.getPrototypeOf(value) === Object.prototype;
/** Is a value an object of a user's class, which may hold options, and not a list, typed array or tensor? */
const isOptions = (value: unknown): boolean =>
  isObject(value) &&
  !Array.isArray(value) &&
  !ArrayBuffer.isView(value) &&
  !(NAMED in value) &&
  !(Symbol.iterator in value);

/** An option that is required. */
export const required = (spec: Spec): Spec => ({ ...spec, optional: false });

const unknownOption = (op: string, name: string, names: readonly string[], error: CastorErrorClass): CastorError =>
  new error(`there is no option '${cut(name)}'`, {
    op,
    advice: `${didYouMean(name, names)}The options are ${names.join(', ')}`,
  });
