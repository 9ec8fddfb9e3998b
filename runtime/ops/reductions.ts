import { boolean, number, optional, options } from '../arguments.ts';
import type { AxisParams, ReduceParams } from '../dispatch/axes.ts';
import { expect } from '../dispatch/expect.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { dtypeInfo, float64, int64, type DType, type DTypeInfo } from '../tensor/dtype.ts';
import { axesOf, axisOf, format } from '../tensor/shape.ts';
import { axes, axes as axesSpec, axis, tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call, callAll } from './call.ts';
import { composed, define } from './define.ts';
import { exponentialLike } from './primitives.ts';
import { ops, type Op } from './registry.ts';
import * as takes from './specs.ts';

/** One axis or several; negative ones count from the last. */
export type Axes = number | readonly number[];
/** The options of reductions whose results always have the same dtype. */
export interface KeepdimOptions {
  /** Keep the reduced axes with size 1? Default: false. */
  keepdim?: boolean;
}
/** The options of reductions. */
export interface ReduceOptions extends KeepdimOptions {
  /** The dtype in which the sums are accumulated and returned. */
  dtype?: DType;
}

/** Returns a given dtype as a parameter of an op. */
const askedOf = (dtype: DType | undefined, op: string): { dtype?: DTypeInfo } =>
  dtype === undefined ? {} : { dtype: dtypeInfo(dtype, op) };

/**
 * Returns x in the given dtype if computing in the dtype of x and converting the result would give something else: integers that wrap
 * around, fractions that must be dropped first, sums that are more precise than float32. Kernels read 16-bit floats as float32 by
 * themselves.
 */
function accumulating(x: Tensor, { dtype: to }: { dtype?: DTypeInfo }): Tensor {
  if (to === undefined || to === x.info || x.info.category === 'bool') return x;
  const isSafe = x.isFloat ? to.category === 'float' && to !== float64 : to === int64;
  return isSafe ? x : x.to(to.name);
}

function reduce(op: Op<ReduceParams>, x: Tensor, axes: Axes | undefined, options: ReduceOptions, p0 = 0): Tensor {
  const asked = askedOf(options.dtype, op.name);
  const params = { axes: axesOf(axes, x.rank, op.name), keepdim: options.keepdim ?? false, p0, ...asked };
  return call(op, [accumulating(x, asked)], params);
}

/** Sums over some axes (all unless given). Integers and bool sum to int64. */
export const sum = define('sum', takes.reduce, (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor =>
  reduce(ops.sum, x, axes, options),
);
/** Computes the mean over some axes (all unless given). */
export const mean = define('mean', takes.reduce, (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor =>
  reduce(ops.mean, x, axes, options),
);
/** Computes the product over some axes (all unless given). */
export const prod = define('prod', takes.reduce, (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor =>
  reduce(ops.prod, x, axes, options),
);

/** The options of var() and std(). */
export interface VarOptions extends ReduceOptions {
  /** The number that is subtracted from the count in the divisor: 1 for a sample (the default), 0 for a whole population. */
  correction?: number;
}
/** Computes the variance over some axes (all unless given). */
const variance = define('var', takes.spread, (x: Tensor, axes?: Axes, options: VarOptions = {}): Tensor =>
  reduce(ops.var, x, axes, options, options.correction ?? 1),
);
export { variance as var };
/** Computes the standard deviation over some axes (all unless given). */
export const std = define('std', takes.spread, (x: Tensor, axes?: Axes, options: VarOptions = {}): Tensor =>
  reduce(ops.std, x, axes, options, options.correction ?? 1),
);

/** Computes the p-norm (sum |x|^p)^(1/p) over some axes; p may be Infinity. */
export const norm = define(
  'norm',
  { x: tensor, p: optional(number), axes: optional(axes), options: takes.reduceOptions },
  (x: Tensor, p = 2, axes?: Axes, options: ReduceOptions = {}): Tensor => reduce(ops.norm, x, axes, options, p),
);
/** Computes the logarithm of the sum of e^x over some axes, without overflow. */
export const logSumExp = define(
  'logSumExp',
  takes.reduce,
  (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor => reduce(ops.logSumExp, x, axes, options),
);
/** Is any element other than 0? */
export const any = define('any', takes.test, (x: Tensor, axes?: Axes, options: KeepdimOptions = {}): Tensor =>
  reduce(ops.any, x, axes, options),
);
/** Are all elements other than 0? */
export const all = define('all', takes.test, (x: Tensor, axes?: Axes, options: KeepdimOptions = {}): Tensor =>
  reduce(ops.all, x, axes, options),
);
/** Counts the elements that are not 0. */
export const countNonzero = define(
  'countNonzero',
  { x: tensor, axes: optional(axes) },
  (x: Tensor, axes?: Axes): Tensor => reduce(ops.countNonzero, x, axes, {}),
);
/** Computes the largest element over some axes. Elements that are equal to it share the gradient. */
export const amax = define('amax', takes.reduce, (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor =>
  reduce(ops.max, x, axes, options),
);
/** Computes the smallest element over some axes. Elements that are equal to it share the gradient. */
export const amin = define('amin', takes.reduce, (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor =>
  reduce(ops.min, x, axes, options),
);

/** Returns the position of the largest element along an axis, or among all elements in row-major order. The first one counts. */
export const argmax = define(
  'argmax',
  takes.position,
  (x: Tensor, axis?: number, options: KeepdimOptions = {}): Tensor => reduce(ops.argmax, x, axis, options),
);
/** Returns the position of the smallest element along an axis, or among all elements in row-major order. The first one counts. */
export const argmin = define(
  'argmin',
  takes.position,
  (x: Tensor, axis?: number, options: KeepdimOptions = {}): Tensor => reduce(ops.argmin, x, axis, options),
);

/** Elements that an op has selected along an axis, and their positions. */
export interface Ranked {
  /** The elements that were selected. */
  values: Tensor;
  /** Their positions along the axis. */
  indices: Tensor<'int64'>;
}

function pick(x: Tensor, axis: number, op: Op<ReduceParams>, options: ReduceOptions): Ranked {
  const at = axisOf(axis, x.rank, op.name);
  const found = (axes?: number): Tensor<'int64'> => reduce(op, x, axes, { keepdim: true }) as Tensor<'int64'>;
  if (x.rank === 0) return { values: x.clone(), indices: found() };
  const indices = found(at);
  const values = x.gather(at, indices);
  return options.keepdim ? { values, indices } : { values: values.squeeze(at), indices: indices.squeeze(at) };
}
function maxOf(x: Tensor): Tensor;
function maxOf(x: Tensor, axis: number, options?: ReduceOptions): Ranked;
function maxOf(x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor | Ranked {
  return axis === undefined ? reduce(ops.max, x, axis, {}) : pick(x, axis, ops.argmax, options);
}
/** Returns the largest of all elements; with an axis, the largest elements along it and their positions. */
export const max = composed('max', takes.pick('maximum'), maxOf);
function minOf(x: Tensor): Tensor;
function minOf(x: Tensor, axis: number, options?: ReduceOptions): Ranked;
function minOf(x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor | Ranked {
  return axis === undefined ? reduce(ops.min, x, axis, {}) : pick(x, axis, ops.argmin, options);
}
/** Returns the smallest of all elements; with an axis, the smallest elements along it and their positions. */
export const min = composed('min', takes.pick('minimum'), minOf);

function along(op: Op<AxisParams>, x: Tensor, axis: number, dtype: DType | undefined): Tensor {
  const asked = askedOf(dtype, op.name);
  const params: AxisParams = { axis: axisOf(axis, x.rank, op.name), ...asked };
  const from = accumulating(x, asked);
  // A tensor of rank 0 is treated as having one axis of one element.
  if (x.rank === 0) return call(op, [from.unsqueeze(0)], params).reshape([]);
  return call(op, [from], params);
}
/** Computes the running sum along an axis. */
export const cumsum = define(
  'cumsum',
  takes.along,
  (x: Tensor, axis: number, options: { dtype?: DType } = {}): Tensor => along(ops.cumsum, x, axis, options.dtype),
);
/** Computes the running product along an axis. */
export const cumprod = define(
  'cumprod',
  takes.along,
  (x: Tensor, axis: number, options: { dtype?: DType } = {}): Tensor => along(ops.cumprod, x, axis, options.dtype),
);
/** Computes e^x divided by its sum along an axis. */
export const softmax = define(
  'softmax',
  takes.along,
  (x: Tensor, axis: number, options: { dtype?: DType } = {}): Tensor => along(ops.softmax, x, axis, options.dtype),
);
/** Computes the logarithm of softmax(), without overflow. */
export const logSoftmax = define(
  'logSoftmax',
  takes.along,
  (x: Tensor, axis: number, options: { dtype?: DType } = {}): Tensor => along(ops.logSoftmax, x, axis, options.dtype),
);

function ranked(x: Tensor, axis: number, k: number, descending: boolean, op: string): Ranked {
  const at = axisOf(axis, x.rank, op);
  if (x.rank === 0) {
    // The result has rank 0 and its one element, even for k = 0, as in PyTorch.
    const { values, indices } = ranked(x.unsqueeze(0), 0, k === 0 ? 1 : k, descending, op);
    return { values: values.reshape([]), indices: indices.reshape([]) };
  }
  if (!(Number.isInteger(k) && k >= 0 && k <= x.shape[at]!))
    throw new ShapeError(`the ${k} best of axis ${axis} of ${format(x.shape)}`, {
      op,
      shapes: [x.shape],
      advice: `k must be 0 to ${x.shape[at]}`,
    });
  const [values, indices] = callAll(ops.sort, [x], { axis: at, k, descending });
  return { values: values!, indices: indices as Tensor<'int64'> };
}
/** Returns the k largest (or smallest) elements along an axis, in order, and their positions. NaN counts as the largest. */
export const topk = define(
  'topk',
  { x: tensor, k: number, axis: optional(axis), options: options({ largest: boolean }, { boolean: 'largest' }) },
  (x: Tensor, k: number, axis = -1, options: { largest?: boolean } = {}): Ranked =>
    ranked(x, axis, k, options.largest ?? true, 'topk'),
);
function sorted(x: Tensor, axis: number, descending = false): Ranked {
  return ranked(x, axis, x.rank === 0 ? 1 : x.shape[axisOf(axis, x.rank, 'sort')]!, descending, 'sort');
}
/** Sorts the elements along an axis. Equal elements keep their order. */
export const sort = define(
  'sort',
  takes.order,
  (x: Tensor, axis = -1, options: { descending?: boolean } = {}): Ranked => sorted(x, axis, options.descending),
);
/** Returns the positions of the elements along an axis in sorted order. */
export const argsort = define(
  'argsort',
  takes.order,
  (x: Tensor, axis = -1, options: { descending?: boolean } = {}): Tensor => {
    const { values, indices } = sorted(x, axis, options.descending);
    values.dispose();
    return indices;
  },
);

/**
 * Returns the number of weights in each row.
 * @throws ShapeError for weights of another rank than 1 or 2, ArgumentError for a number of samples that cannot be drawn from any weights
 */
function rowLength(x: Tensor, numSamples: number, replacement: boolean): number {
  const context = { op: 'multinomial', shapes: [x.shape] };
  if (x.rank < 1 || x.rank > 2) throw new ShapeError(`weights ${format(x.shape)} must have 1 or 2 axes`, context);
  const n = x.shape.at(-1)!;
  if (!(Number.isSafeInteger(numSamples) && numSamples > 0))
    throw new ArgumentError(`numSamples ${numSamples} is not a whole number above 0`, {
      ...context,
      advice: 'It is the number of positions that are drawn from each row',
    });
  if (n === 0) throw new ArgumentError('a row of weights is empty', { ...context, advice: 'Pass at least one weight' });
  if (!replacement && numSamples > n)
    throw new ArgumentError(`${numSamples} samples from ${n} without replacement`, {
      ...context,
      advice: 'Pass { replacement: true } to draw a position more than once',
    });
  return n;
}

/**
 * @throws ArgumentError for a row with a weight that is negative, infinite or NaN, or with too few weights above 0; on a GPU later, in
 * the next call that waits for it
 */
function checkWeights(weights: Tensor, positive: Tensor, needed: number): void {
  const op = { name: 'multinomial' };
  expect('weights', weights.amin(-1).ge(0).logicalAnd(weights.amax(-1).lt(Infinity)), op);
  expect('enoughWeights', positive.sum(-1).ge(needed), op);
}

/**
 * Draws numSamples positions from each row of weights (rows, n) or (n), which need not sum to 1, without replacement unless given. A
 * position of weight 0 is never drawn.
 */
export const multinomial = composed(
  'multinomial',
  {
    x: tensor,
    numSamples: number,
    options: options({ replacement: boolean }, { boolean: 'replacement' }),
  },
  (x: Tensor, numSamples: number, options: { replacement?: boolean } = {}): Tensor => {
    const replacement = options.replacement ?? false;
    const n = rowLength(x, numSamples, replacement);
    const weights = x.detach().to('float64');
    const positive = weights.gt(0);
    checkWeights(weights, positive, replacement ? 1 : numSamples);
    // The largest w / e, with e exponentially distributed, has position i with probability w_i / sum(w); the k largest are k draws
    // without replacement. In float64 e has 53 random bits, so that e = 0 does not favour the smallest weights, and w / max neither
    // overflows nor vanishes.
    const share = weights.div(weights.amax(-1, { keepdim: true }));
    const keys = (w: Tensor, allowed: Tensor): Tensor => w.div(exponentialLike(w)).maskedFill(allowed.logicalNot(), -1);
    if (numSamples === 1) return reduce(ops.argmax, keys(share, positive), -1, { keepdim: true });
    if (!replacement) return ranked(keys(share, positive), -1, numSamples, true, 'multinomial').indices;
    const copies = share.unsqueeze(-2).expand([...x.shape.slice(0, -1), numSamples, n]);
    return keys(copies, positive.unsqueeze(-2)).argmax(-1);
  },
);
