import { any, boolean, callable, checked, optional, refuseSuperfluous, signatureSpecs } from '../arguments.ts';
import * as autograd from '../autograd/autograd.ts';
import { isLeaf } from '../autograd/node.ts';
import { noScalars, type Scalars } from '../dispatch/elementwise.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import * as create from '../tensor/create.ts';
import type { DType, TypedArrayOf } from '../tensor/dtype.ts';
import { toText } from '../tensor/print.ts';
import * as read from '../tensor/read.ts';
import { tensor } from '../tensor/specs.ts';
import { isTensor, Tensor } from '../tensor/tensor.ts';
import { call, callInPlace } from './call.ts';
import { define } from './define.ts';
import { F, methods } from './functional.ts';
import * as inplace from './inplace.ts';
import { ops, type Op } from './registry.ts';
import { binary, binaryMethod, unary, unaryMethod } from './specs.ts';
import { table, type MethodName, type Table } from './table.ts';

/** A function of a tensor as a method: the first argument is this. Overloads are kept where there are two. */
type Method<F> = F extends { (x: Tensor, ...args: infer A1): infer R1; (x: Tensor, ...args: infer A2): infer R2 }
  ? { (...args: A1): R1; (...args: A2): R2 }
  : F extends (x: Tensor, ...args: infer A) => infer R
    ? (...args: A) => R
    : never;
/** Not filtered by what M[K] is: asking would need the Tensor type that is being built here. */
type MethodsOf<M> = { [K in keyof M]: Method<M[K]> };
/** Rows of the table as methods, which keep the row's documentation. */
type RowMethods = { [N in keyof Pick<Table, MethodName<'unary'>>]: () => Tensor } & {
  [N in keyof Pick<Table, MethodName<'binary'> | MethodName<'compare'>>]: (other: Tensor | number) => Tensor;
};
/** The same, writing over the tensor: add_, mul_, exp_ ... */
type InPlaceMethods = { [N in MethodName<'unary'> as `${N}_`]: () => Tensor } & {
  [N in MethodName<'binary'> as `${N}_`]: (other: Tensor | number) => Tensor;
};
const like = {
  emptyLike: create.emptyLike,
  fullLike: create.fullLike,
  zerosLike: create.zerosLike,
  onesLike: create.onesLike,
  randLike: create.randLike,
  randnLike: create.randnLike,
};
const graph = {
  backward: define('backward', autograd.backwardSpecs, autograd.uncheckedBackward),
  registerHook: define(
    'registerHook',
    { x: tensor, hook: { ...callable, wanted: 'a function of the gradient' } },
    autograd.registerHook,
  ),
};
/** Declared below: they return this. */
const leaves = {
  requiresGrad_: define('requiresGrad_', { x: tensor, on: optional(boolean) }, autograd.requiresGrad_),
  retainGrad: define('retainGrad', { x: tensor }, autograd.retainGrad),
};

export interface Methods
  extends
    RowMethods,
    InPlaceMethods,
    MethodsOf<typeof methods>,
    MethodsOf<typeof inplace>,
    MethodsOf<typeof like>,
    MethodsOf<typeof graph> {}

declare module '../tensor/tensor.ts' {
  interface Tensor<D extends DType> extends Methods {
    /** The elements in row-major order; int64 as BigInt64Array, bfloat16 as Float32Array. Does not block the event loop. */
    data(): Promise<TypedArrayOf<D>>;
    /** data(), waiting for the device. */
    dataSync(): TypedArrayOf<D>;
    /** The value of a tensor of one element. */
    item(): Promise<number>;
    /** item(), waiting for the device. */
    itemSync(): number;
    /** Nested arrays, or one value for rank 0. */
    toArray(): Promise<read.Nested>;
    /** toArray(), waiting for the device. */
    toArraySync(): read.Nested;
    /** The transpose: the last two axes exchanged. */
    readonly T: Tensor<D>;
    /** The same memory without history. */
    detach(): Tensor<D>;
    /** Does it want a gradient? Settable for leaves. */
    requiresGrad: boolean;
    /** Asks for gradients of a leaf, or gives them up, and returns the tensor. @throws AutogradError for integers and results of recorded ops */
    requiresGrad_(on?: boolean): this;
    /** Was it made by the user rather than by a recorded op? */
    readonly isLeaf: boolean;
    /** What made it, as printed: MulBackward. null for leaves. */
    readonly gradFn: string | null;
    /** Makes backward fill .grad of a tensor that is no leaf. */
    retainGrad(): this;
    /** The text that console.log shows: values, and the dtype, device and history where they are not the usual ones. */
    toString(): string;
    /**
     * What JSON.stringify writes for the tensor: toArraySync(), which waits for the device. JSON has no NaN and no infinity: both become
     * null, as all such numbers do. @throws DTypeError for an int64 that no JavaScript number holds
     */
    toJSON(key?: string): read.Nested;
    /** The positions of axis 0 one after the other, as views: what unbind() gives. @throws ShapeError for rank 0 */
    [Symbol.iterator](): ArrayIterator<Tensor<D>>;
    /** Its text in a template. @throws ArgumentError in arithmetic and comparisons of JavaScript: a < b, a + b, Math.max(a) */
    [Symbol.toPrimitive](hint: string): string;
  }
}

const textOf = (x: Tensor): string => (isTensor(x) ? toText(x) : '[object Tensor]');
const prototype = Tensor.prototype as unknown as Record<string | symbol, unknown>;

function method(name: string | symbol, fn: (x: Tensor, ...args: any[]) => unknown): void {
  prototype[name] = function (this: Tensor, ...args: unknown[]) {
    return fn(this, ...args);
  };
}
const getter = (name: string, get: (x: Tensor) => unknown, set?: (x: Tensor, value: any) => void): void => {
  Object.defineProperty(prototype, name, {
    get(this: Tensor) {
      return (this as unknown) === prototype ? undefined : get(this);
    },
    ...(set
      ? {
          set(this: Tensor, value: unknown) {
            set(this, value);
          },
        }
      : {}),
    configurable: true,
  });
};

for (const [name, fn] of Object.entries({ ...methods, ...like, ...inplace, ...graph, ...leaves }))
  method(name, fn as never);

// The elementwise ones without the detour through F and its rest arguments: they are called most.
for (const [name, row] of Object.entries(table)) {
  if (!row.method) continue;
  const op = ops[name as keyof typeof ops] as Op<Scalars>;
  if (row.kind === 'unary')
    prototype[name] = function (this: Tensor) {
      if (arguments.length > 0) refuseSuperfluous(name, unaryMethod, arguments);
      return call(op, [this], noScalars);
    };
  else
    prototype[name] = function (this: Tensor, other: Tensor | number) {
      if (arguments.length > 1) refuseSuperfluous(name, binaryMethod, arguments);
      return call(op, [this, other], noScalars);
    };
  if (row.kind === 'compare') continue;
  const named = { ...op, name: `${name}_` };
  signatureSpecs.set(named.name, row.kind === 'unary' ? unary : binary);
  if (row.kind === 'unary')
    prototype[`${name}_`] = function (this: Tensor) {
      if (arguments.length > 0) refuseSuperfluous(`${name}_`, unaryMethod, arguments);
      return callInPlace(op, named, [this], noScalars);
    };
  else
    prototype[`${name}_`] = function (this: Tensor, other: Tensor | number) {
      if (arguments.length > 1) refuseSuperfluous(`${name}_`, binaryMethod, arguments);
      return callInPlace(op, named, [this, other], noScalars);
    };
}

const { data, dataSync, item, itemSync, toArray, toArraySync } = read;
for (const [name, fn] of Object.entries({
  data,
  dataSync,
  item,
  itemSync,
  toArray,
  toArraySync,
  detach: autograd.detach,
}))
  method(name, checked<(t: any) => unknown>(name, { x: tensor }, fn));
/** `p.data = t` of PyTorch would put a property over the method, and leave the elements as they are without a word. */
const readData: unknown = prototype.data;
Object.defineProperty(prototype, 'data', {
  get: () => readData,
  set(value: unknown) {
    throw new ArgumentError(`data is a method and cannot be set to ${shown(value)}`, {
      op: 'Tensor.data',
      advice: 'Write into the tensor: noGrad(() => tensor.copy_(values))',
    });
  },
  configurable: true,
});
// The prototype itself and a Proxy of a tensor have no elements to show.
method('toString', textOf);
/** A tensor in a template is its text. As a number it would compare and add by that text, or wait for the device unseen. */
method(Symbol.toPrimitive, (x, hint: string) => {
  if (hint === 'string' || !isTensor(x)) return textOf(x);
  throw new ArgumentError('a tensor was used as a number or in a sum of texts', {
    op: 'Tensor',
    shapes: [x.shape],
    dtypes: [x.dtype],
    advice:
      'Use add(), lt(), maximum() and so on, or itemSync() for the number that it holds; in a text write `${tensor}`',
  });
});
method(Symbol.for('nodejs.util.inspect.custom'), textOf);
// JSON.stringify passes the key that the tensor stands under.
method('toJSON', checked<(t: any) => unknown>('toJSON', { x: tensor, key: optional(any) }, read.toJSON));
method(Symbol.iterator, x => {
  if (isTensor(x) && x.rank === 0)
    throw new ShapeError('a tensor of rank 0 has no axis to iterate over', {
      op: 'Tensor[Symbol.iterator]',
      shapes: [x.shape],
      dtypes: [x.dtype],
      advice: 'Use itemSync() for the number that it holds',
    });
  return F.unbind(x).values();
});
getter('T', x => (x.rank < 2 ? x : F.transpose(x, -2, -1)));
getter('isLeaf', isLeaf);
getter('gradFn', x => (isLeaf(x) ? null : x.node!.name));
getter(
  'requiresGrad',
  x => x.node !== null,
  (x, on: unknown) => {
    if (typeof on !== 'boolean')
      throw new ArgumentError(`requiresGrad is ${shown(on)}, which is not a boolean`, {
        op: 'Tensor.requiresGrad',
        advice: 'Assign true or false',
      });
    autograd.requiresGrad_(x, on);
  },
);
