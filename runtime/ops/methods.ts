import { any, boolean, callable, checked, optional, refuseSuperfluous, signatureSpecs } from '../arguments.ts';
import * as autograd from '../autograd/autograd.ts';
import type { BackwardOptions } from '../autograd/engine.ts';
import { isLeaf, type Hook } from '../autograd/node.ts';
import { noScalars, type Scalars } from '../dispatch/elementwise.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import type { RandomOptions, TensorOptions } from '../tensor/create.ts';
import * as createLike from '../tensor/createLike.ts';
import type { DType, TypedArrayOf } from '../tensor/dtype.ts';
import { toText } from '../tensor/print.ts';
import * as read from '../tensor/read.ts';
import { isShared, share, type SharedTensor } from '../tensor/share.ts';
import { tensor } from '../tensor/specs.ts';
import { isTensor, Tensor } from '../tensor/tensor.ts';
import { call, callBinary, callInPlace, callUnary } from './call.ts';
import { define } from './define.ts';
import type { TensorMethods } from './declarations.ts';
import { F, methods, type Implementation } from './functional.ts';
import * as inplace from './inplace.ts';
import { ops, type Op } from './registry.ts';
import { binary, binaryMethod, unary, unaryMethod } from './specs.ts';
import { table } from './table.ts';

const { randintLike: _, ...like } = createLike;
const graph = {
  backward: define('backward', autograd.backwardSpecs, autograd.uncheckedBackward),
  registerHook: define(
    'registerHook',
    { x: tensor, hook: { ...callable, wanted: 'a function of the gradient' } },
    autograd.registerHook,
  ),
};
/** The methods that are declared below. They return this. */
const leaves = {
  requiresGrad_: define('requiresGrad_', { x: tensor, on: optional(boolean) }, autograd.requiresGrad_),
  retainGrad: define('retainGrad', { x: tensor }, autograd.retainGrad),
};

declare module '../tensor/tensor.ts' {
  interface Tensor<D extends DType> extends TensorMethods<D> {
    /** Returns the elements in row-major order; int64 as BigInt64Array, bfloat16 as Float32Array. It does not block the event loop. */
    data(): Promise<TypedArrayOf<D>>;
    /** Returns the elements like data(), but waits for the device. */
    dataSync(): TypedArrayOf<D>;
    /** Returns the value of a tensor of one element. */
    item(): Promise<number>;
    /** Returns the value like item(), but waits for the device. */
    itemSync(): number;
    /** Returns nested arrays, or one value for rank 0. */
    toArray(): Promise<read.Nested>;
    /** Returns nested arrays like toArray(), but waits for the device. */
    toArraySync(): read.Nested;
    /**
     * Shares its memory with other threads, without a copy: fromShared() opens the result in a Worker, to which postMessage() can send it. The
     * tensor must live until then. Nothing can write to the memory any more; it is freed with the last tensor that shows it. PyTorch:
     * `share_memory_`.
     */
    share(): SharedTensor<D>;
    /** Is its memory shared with other threads, so that nothing can write to it? */
    readonly isShared: boolean;
    /** The transpose: a view with the last two axes exchanged. */
    readonly T: Tensor<D>;
    /** Returns a tensor on the same memory without history. */
    detach(): Tensor<D>;
    /** Does it require a gradient? It may be set for leaves. */
    requiresGrad: boolean;
    /**
     * Computes the gradients of all leaves that this tensor was computed from, and adds them to .grad. `grad` is the gradient at this
     * tensor, of the same shape; it may be left out for a tensor of one element.
     * @throws AutogradError if nothing requires a gradient
     */
    backward(grad?: Tensor | null, options?: BackwardOptions): void;
    /**
     * Calls a function with the gradient of this tensor, which it may replace. Returns a function that removes the hook. PyTorch:
     * `register_hook`.
     */
    registerHook(hook: Hook): () => void;
    /** Returns a tensor with uninitialised memory, of the same shape, dtype and device. PyTorch: `torch.empty_like`. */
    emptyLike<E extends DType = D>(options?: TensorOptions<E>): Tensor<E>;
    /** Returns a tensor of one value, of the same shape, dtype and device. PyTorch: `torch.full_like`. */
    fullLike<E extends DType = D>(value: number, options?: TensorOptions<E>): Tensor<E>;
    /** Returns zeros of the same shape, dtype and device. PyTorch: `torch.zeros_like`. */
    zerosLike<E extends DType = D>(options?: TensorOptions<E>): Tensor<E>;
    /** Returns ones of the same shape, dtype and device. PyTorch: `torch.ones_like`. */
    onesLike<E extends DType = D>(options?: TensorOptions<E>): Tensor<E>;
    /** Returns uniform numbers in [0, 1) of the same shape, dtype and device. PyTorch: `torch.rand_like`. */
    randLike<E extends DType = D>(options?: RandomOptions<E>): Tensor<E>;
    /**
     * Returns normally distributed numbers (mean 0, standard deviation 1) of the same shape, dtype and device. PyTorch:
     * `torch.randn_like`.
     */
    randnLike<E extends DType = D>(options?: RandomOptions<E>): Tensor<E>;
    /**
     * Sets whether backward computes a gradient for a leaf, and returns the tensor.
     * @throws AutogradError for integers and results of recorded ops
     */
    requiresGrad_(on?: boolean): this;
    /** Is it a leaf: was it made by the user rather than by a recorded op? */
    readonly isLeaf: boolean;
    /** The name of the graph node that made it, such as MulBackward; null for leaves. */
    readonly gradFn: string | null;
    /** Makes backward fill .grad of a tensor that is not a leaf. */
    retainGrad(): this;
    /** Returns the text that console.log shows: values, and the dtype, device and history if they are not the usual ones. */
    toString(): string;
    /**
     * Returns the value that JSON.stringify writes for the tensor, toArraySync(), which waits for the device. NaN and infinity become
     * null, because JSON has neither.
     * @throws DTypeError for an int64 that a JavaScript number cannot hold
     */
    toJSON(key?: string): read.Nested;
    /** Iterates over the positions of axis 0 as views, like unbind(). @throws ShapeError for rank 0 */
    [Symbol.iterator](): ArrayIterator<Tensor<D>>;
    /** Returns its text in a template. @throws ArgumentError in arithmetic and comparisons of JavaScript: a < b, a + b, Math.max(a) */
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

const functions = { ...methods, ...like, ...inplace, ...graph, ...leaves };
/** The functions that methods with these declarations call. */
type Called<N extends keyof Tensor> = {
  readonly [M in N]: Tensor[M] extends (...args: infer A) => infer R
    ? Implementation<(x: Tensor, ...args: A) => R>
    : never;
};
for (const [name, fn] of Object.entries(functions satisfies Called<keyof typeof functions>)) method(name, fn as never);

// The elementwise ops are called directly, not through F with its rest arguments, because they are called most.
for (const [name, row] of Object.entries(table)) {
  if (!row.method) continue;
  const op = ops[name as keyof typeof ops] as Op<Scalars>;
  if (row.kind === 'unary')
    prototype[name] = function (this: Tensor) {
      if (arguments.length > 0) refuseSuperfluous(name, unaryMethod, arguments);
      return callUnary(op, this);
    };
  else
    prototype[name] = function (this: Tensor, other: Tensor | number) {
      if (arguments.length > 1) refuseSuperfluous(name, binaryMethod, arguments);
      return row.kind === 'binary' ? callBinary(op, this, other) : call(op, [this, other], noScalars);
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
  share,
  detach: autograd.detach,
}))
  method(name, checked<(t: any) => unknown>(name, { x: tensor }, fn));
/**
 * Without a setter, `p.data = t`, as PyTorch allows, would hide the method behind a property and leave the elements unchanged without an
 * error.
 */
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
/**
 * Returns the text of a tensor in a template. A conversion to a number is refused, because it would compare or add the text, or wait for
 * the device unnoticed.
 */
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
// JSON.stringify passes the key of the property that holds the tensor.
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
getter('isShared', isShared);
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
