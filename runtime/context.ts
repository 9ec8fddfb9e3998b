import { any, checked, isClass } from './arguments.ts';
import { AsyncLocalStorage } from 'node:async_hooks';
import { ArgumentError, type CastorError, type ErrorContext } from './errors.ts';
import { shown } from './shown.ts';

/** The state of autocast, as far as folders below amp/ need it. */
export interface AutocastMode {
  /** Collects which ops ran in which dtypes; null if there is no report. */
  readonly report: object | null;
}

/** A stream of the CPU, as offload() makes it. */
export interface WorkStream {
  /** Its handle in the native library; 0 once it has ended, so that later work runs at once. */
  handle: number;
}

/**
 * The settings that follow the async context, in one object that is never changed, so that each op needs one lookup. The type of a field
 * is `object` if only one folder knows what is in it: autocastHere(), scopeHere() and generator() return such fields.
 */
export interface Mode {
  /** Are ops recorded for backward? */
  readonly grad: boolean;
  /** Is it inference mode? Then tensors are made that never take part in backward, and grad is false. */
  readonly inference: boolean;
  readonly autocast: AutocastMode | null;
  /** The tidy scope, which frees the storages that are made in it when it ends; null outside of every scope. */
  readonly scope: object | null;
  readonly generator: object | null;
  /** Collects the nodes that a checkpointed function records and the tensors that it reads; null outside of checkpoints. */
  readonly trace: object | null;
  /** The stream that takes the work of the CPU; null while it runs at once. */
  readonly stream: WorkStream | null;
  /** Inside of Castor's own code, the mode of the user's code that called it; null in the user's own code. */
  readonly user: Mode | null;
}

const base: Mode = {
  grad: true,
  inference: false,
  autocast: null,
  scope: null,
  generator: null,
  trace: null,
  stream: null,
  user: null,
};
const store = new AsyncLocalStorage<Mode>();

/** The stream that the native library adds the calls of this thread to, and the function that tells it another one. */
let streamInUse: WorkStream | null = null;
let useStream: (stream: WorkStream | null) => void = () => {};
export function setUseStream(use: (stream: WorkStream | null) => void): void {
  useStream = use;
}
function changeStream(stream: WorkStream | null): void {
  streamInUse = stream;
  useStream(stream);
}

/**
 * Returns the mode of the running code. It is stored in the async context alone, so that a function which another task has bound to its
 * own context always runs under the mode of that task, wherever it is called. The native library does not know the async context: it is
 * told the stream here, where each call begins, if another one was in use before.
 */
export function current(): Mode {
  const mode = store.getStore() ?? base;
  if (mode.stream !== streamInUse) changeStream(mode.stream);
  return mode;
}

/**
 * Runs fn under another mode, which follows it through every await and ends when fn returns, throws or rejects. There is no function that
 * sets a mode without an end, as enterWith() of AsyncLocalStorage does, because the mode would leak into the caller of an async function.
 */
export const withMode = <T>(mode: Mode, fn: () => T): T => store.run(mode, fn);

/** Runs synchronous code outside of every stream: what it makes lasts, whatever becomes of the work of the stream. */
export function atOnce<T>(fn: () => T): T {
  const mode = current();
  return mode.stream === null ? fn() : store.run(modeWith(mode, { stream: null }), fn);
}

/**
 * Runs fn without the async context of its caller, Castor's modes and those of others: timers that it starts then keep nothing of a
 * request alive.
 */
export const outsideOfRequests: <T>(fn: () => T) => T = AsyncLocalStorage.snapshot();

/** Runs synchronous code of Castor's own under another mode. It may call user code through asUser() only. */
export const withInner = <A, T>(mode: Mode, fn: (argument: A) => T, argument: A): T => store.run(mode, fn, argument);

/**
 * Returns a mode with some fields changed. All modes list their fields in one order, because engines access objects of the same layout
 * faster.
 */
export function modeWith(mode: Mode, changes: Partial<Mode>): Mode {
  const { grad = mode.grad, inference = mode.inference, autocast = mode.autocast, scope = mode.scope } = changes;
  const { generator = mode.generator, trace = mode.trace, stream = mode.stream, user = mode.user } = changes;
  return { grad, inference, autocast, scope, generator, trace, stream, user };
}
/** Returns a mode for Castor's own code, which knows the mode of the user code around it. */
export const innerMode = (mode: Mode, { grad, autocast, scope }: Partial<Mode>): Mode =>
  modeWith(mode, { grad, autocast, scope, user: mode.user ?? mode });

/** Runs user code from inside of Castor's own code, under the mode of the user code that called Castor. */
export function asUser<T>(fn: () => T): T {
  const { user } = current();
  return user === null ? fn() : store.run(user, fn);
}

/** A function that runs user code under a mode, as its error messages describe it. */
export interface ScopeFunction {
  readonly op: string;
  /** An example of a correct call, for error messages. */
  readonly call: string;
  readonly error?: new (message: string, context: ErrorContext) => CastorError;
}

const generatorTags = ['Generator', 'AsyncGenerator', 'GeneratorFunction', 'AsyncGeneratorFunction', 'Iterator Helper'];
const tagOf = (value: object): unknown => (value as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag];
const isObject = (value: unknown): value is object =>
  (typeof value === 'object' && value !== null) || typeof value === 'function';

/** Is it a generator, a function that makes one, or an iterator that reads one? Its code runs only when somebody reads it. */
export function isGenerator(value: unknown): boolean {
  const tag = isObject(value) ? tagOf(value) : undefined;
  return typeof tag === 'string' && generatorTags.includes(tag);
}

function refuseGenerator(value: unknown, scope: ScopeFunction): void {
  if (!isGenerator(value)) return;
  const { op, error = ArgumentError } = scope;
  throw new error('a generator runs only when it is read, after the scope has ended', {
    op,
    advice: 'Return streamInContext(generator()) from a plain function: what reads the stream runs in the scope',
  });
}

/** @throws the given error for a value that is not a function, and for a generator, which would run after the scope has ended */
export function checkFunction(fn: unknown, scope: ScopeFunction): void {
  if (typeof fn !== 'function' || isClass(fn)) refuseAsFunction(fn, scope);
  refuseGenerator(fn, scope);
}
function refuseAsFunction(fn: unknown, { op, call, error = ArgumentError }: ScopeFunction): never {
  throw new error(`there is no function to run, but ${typeof fn === 'function' ? 'a class' : shown(fn)}`, {
    op,
    advice: `Call ${call}`,
  });
}

/** Marks results whose `then` starts no work, which scope functions return as they are. */
export const startsNothing: unique symbol = Symbol('startsNothing');

/** Is it a promise, or an object that can be awaited as one, such as a query builder or a promise of another library? */
export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  isObject(value) && !(startsNothing in value) && typeof (value as { then?: unknown }).then === 'function';

const isPlainPromise = (value: object): boolean =>
  value instanceof Promise && Object.getPrototypeOf(value) === Promise.prototype && !Object.hasOwn(value, 'then');
/** Can it be awaited without being a plain promise? Then it may start its work only when it is awaited. */
const isLazy = (value: unknown): boolean => isThenable(value) && !isPlainPromise(value);

/**
 * Starts the work of a returned value that can be awaited, unless it is a plain promise, whose work has started already. It is awaited
 * here, so that the work runs under the mode of the scope.
 */
function begun(value: unknown): unknown {
  if (!isObject(value) || startsNothing in value) return value;
  if (isPlainPromise(value)) return value;
  const { then } = value as { then?: unknown };
  if (typeof then !== 'function') return value;
  return new Promise((resolve, reject) => void then.call(value, resolve, reject));
}

/** Returns the items of an array, or the property values of an object without a class; getters are not called. */
function itemsOf(value: object): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return [];
  return Object.values(Object.getOwnPropertyDescriptors(value)).map(property => property.value as unknown);
}

/** @throws the error of the scope for a value that would run after it: a generator, or a query in an array or object */
function refuseLater(value: unknown, scope: ScopeFunction): void {
  if (!isObject(value)) return;
  refuseGenerator(value, scope);
  if (itemsOf(value).some(isLazy)) refuseQueries(scope);
}
function refuseQueries({ op, error = ArgumentError }: ScopeFunction): never {
  throw new error(
    'what it is to return holds a query or the like, which may run only when it is awaited, after the scope has ended',
    {
      op,
      advice: 'Await it inside of the scope, with Promise.all() where there are several',
    },
  );
}

/** Called when a scope ends, with the value that the function returned, or with null after an error. */
export type ScopeEnd = (returned: { readonly value: unknown } | null) => void;

/**
 * Runs a user function, sync or async, as every scope function does. A promise, or any other value that can be awaited, is awaited in the
 * scope, and a true Promise is returned. A generator, or an object that contains queries, is refused. `end` is called once, when the
 * result is known, and `suspended` before if the result is a promise.
 */
export function runScope<T>(scope: ScopeFunction, mode: Mode, fn: () => T, end?: ScopeEnd, suspended?: () => void): T {
  try {
    const result = store.run(mode, begin, fn);
    if (result instanceof Promise) {
      suspended?.();
      return settled(result, scope, end) as T;
    }
    refuseLater(result, scope);
    end?.({ value: result });
    return result as T;
  } catch (error) {
    end?.(null);
    throw error;
  }
}
const begin = (fn: () => unknown): unknown => begun(fn());

async function settled(result: Promise<unknown>, scope: ScopeFunction, end?: ScopeEnd): Promise<unknown> {
  try {
    const value = await result;
    refuseLater(value, scope);
    end?.({ value });
    return value;
  } catch (error) {
    end?.(null);
    throw error;
  }
}

const binding: ScopeFunction = { op: 'bindContext', call: 'bindContext(fn)' };
/**
 * Returns a function that runs fn, whenever and by whomever it is called, under the modes that apply where bindContext() is called:
 * autocast, noGrad, tidy scope, generator. It is meant for callbacks that would lose them: message ports, abort signals, finalizers,
 * listeners registered elsewhere.
 */
export const bindContext = checked('bindContext', { fn: any }, doBindContext);
function doBindContext<This, Args extends unknown[], T>(
  fn: (this: This, ...args: Args) => T,
): (this: This, ...args: Args) => T {
  checkFunction(fn, binding);
  const mode = current();
  return function (...args) {
    return runScope(binding, mode, () => fn.apply(this, args));
  };
}

/** Can it be iterated? A typed array whose memory was transferred to another thread cannot. */
function isIterable(values: unknown): boolean {
  if (!isObject(values) || (ArrayBuffer.isView(values) && (values.buffer as ArrayBuffer).detached)) return false;
  const { [Symbol.asyncIterator]: slow, [Symbol.iterator]: quick } = values as Partial<
    AsyncIterable<unknown> & Iterable<unknown>
  >;
  return typeof (slow ?? quick) === 'function';
}

/**
 * Returns the values of an iterator as a stream that is computed under the modes that apply where streamInContext() is called, also if a
 * server reads it after the scope has returned. (A generator that is passed to new Response() directly loses them at its first line.)
 */
export const streamInContext = checked('streamInContext', { values: any }, doStreamInContext);
function doStreamInContext<T>(values: Iterable<T> | AsyncIterable<T>): ReadableStream<T> {
  if (!isIterable(values))
    throw new ArgumentError(`it was given ${shown(values)}, which has no iterator`, {
      op: 'streamInContext',
      advice: 'Call streamInContext(generator())',
    });
  const iterator =
    Symbol.asyncIterator in values && values[Symbol.asyncIterator]
      ? values[Symbol.asyncIterator]()
      : (values as Iterable<T>)[Symbol.iterator]();
  return new ReadableStream<T>({
    pull: bindContext(async (controller: ReadableStreamDefaultController<T>) => {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    }),
    cancel: bindContext(async (reason?: unknown) => {
      await iterator.return?.(reason as T);
    }),
  });
}
