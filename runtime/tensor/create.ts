import { anyAs, checked, either, number, object, optional } from '../arguments.ts';
import { ArgumentError, DTypeError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import { raise } from '../ffi/check.ts';
import { native, opNumber } from '../ffi/library.ts';
import type { TypedArray } from '../ffi/types.ts';
import { deviceCode, type Device } from './device.ts';
import {
  arrayKind,
  defaultDType,
  dtypeInfo,
  dtypeOfArray,
  float64,
  int64,
  type DType,
  type DTypeInfo,
} from './dtype.ts';
import { draw, generator, type Generator } from './generator.ts';
import { checkDistinct, checkFits, checkNumeric, checkProbability, checkWhole } from './holds.ts';
import { byteLengthOf, convertible, hostArray, lengthOf, naturalInfo, readNested } from './hostData.ts';
import { contiguousCopy, type Nested } from './read.ts';
import { checkShape, format, numelOf, type Shape } from './shape.ts';
import { creationOptions, randomOptions, shape as sizes } from './specs.ts';
import { empty as allocateTensor, writeView, viewOf, type Tensor } from './tensor.ts';

/** The options of functions that make tensors. */
export interface TensorOptions<D extends DType = DType> {
  /** The dtype. Default: float32 (see setDefaultDType), or the dtype that follows from the data. */
  dtype?: D;
  /** The device. Default: cuda if there is a GPU, else cpu (see setDefaultDevice). */
  device?: Device;
  /** Does backward compute a gradient for it? Default: false. */
  requiresGrad?: boolean;
}
/** The options of functions that make tensors of random numbers. */
export interface RandomOptions<D extends DType = DType> extends TensorOptions<D> {
  /** The source of the random numbers. Default: generator(). */
  generator?: Generator;
}

/** Sets requiresGrad. The autograd installs it, because creation functions are in a folder below and cannot import it. */
type Finish = (t: Tensor, requiresGrad: boolean) => Tensor;
let finish: Finish = t => t;
export function onCreate(fn: Finish): void {
  finish = fn;
}

function make<D extends DType>(
  shape: Shape,
  options: TensorOptions<D>,
  op: string,
  fallback: DTypeInfo = defaultDType(),
): Tensor<D> {
  const info = options.dtype === undefined ? fallback : dtypeInfo(options.dtype, op);
  return allocateTensor(checkShape(shape, op), info, deviceCode(options.device, op)) as Tensor<D>;
}

function done<D extends DType>(t: Tensor<D>, options: TensorOptions<D>, status: number, op: string): Tensor<D> {
  if (status !== 0) raise(status, { op, shapes: [t.shape], dtypes: [t.dtype] });
  return options.requiresGrad ? (finish(t, true) as Tensor<D>) : t;
}

/** Returns a tensor whose memory is not initialised: its elements may have any value. */
export const empty = checked(
  'empty',
  { shape: sizes, options: creationOptions },
  <D extends DType = 'float32'>(shape: Shape, options: TensorOptions<D> = {}): Tensor<D> =>
    done(make(shape, options, 'empty'), options, 0, 'empty'),
);

function filled<D extends DType>(shape: Shape, value: number, options: TensorOptions<D>, op: string): Tensor<D> {
  const out = make(shape, options, op);
  checkFits(out.info, value, op);
  return done(out, options, native.castor_fill(writeView(0, out, op), value), op);
}
/** Returns a tensor whose elements all have one value. Whole numbers make float32 too, as in all creation functions without data. */
export const full = checked(
  'full',
  { shape: sizes, value: number, options: creationOptions },
  <D extends DType = 'float32'>(shape: Shape, value: number, options: TensorOptions<D> = {}): Tensor<D> =>
    filled(shape, value, options, 'full'),
);
/** Returns a tensor of zeros. */
export const zeros = checked(
  'zeros',
  { shape: sizes, options: creationOptions },
  <D extends DType = 'float32'>(shape: Shape, options: TensorOptions<D> = {}): Tensor<D> =>
    filled(shape, 0, options, 'zeros'),
);
/** Returns a tensor of ones. */
export const ones = checked(
  'ones',
  { shape: sizes, options: creationOptions },
  <D extends DType = 'float32'>(shape: Shape, options: TensorOptions<D> = {}): Tensor<D> =>
    filled(shape, 1, options, 'ones'),
);

/** Returns an (n, m) matrix with ones on the main diagonal and zeros elsewhere; m is n unless given. */
export const eye = checked(
  'eye',
  { n: number, m: optional(either(number, creationOptions)), options: creationOptions },
  function eye<D extends DType = 'float32'>(
    n: number,
    m: number | TensorOptions<D> = n,
    options: TensorOptions<D> = {},
  ): Tensor<D> {
    const [columns, given] = typeof m === 'number' ? [m, options] : [n, m];
    const out = filled([n, columns], 0, { ...given, requiresGrad: false }, 'eye');
    const diagonal = viewOf(out, [Math.min(n, columns)], [columns + 1], 0);
    return done(out, given, native.castor_fill(writeView(0, diagonal, 'eye'), 1), 'eye');
  },
);

const boundOrOptions = optional(either(number, creationOptions));
function range(
  startOrEnd: number,
  end?: number | TensorOptions,
  step?: number | TensorOptions,
  options?: TensorOptions,
): Tensor;
function range(...args: (number | TensorOptions | undefined)[]): Tensor {
  const numbers = args.filter(arg => typeof arg === 'number');
  const options = (args.find(arg => typeof arg === 'object') ?? {}) as TensorOptions;
  const [start, end, step] = numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1];
  const size = Math.ceil((end - start) / step);
  // A step in the wrong direction is refused even if the number of elements would round to 0.
  if (!Number.isFinite(size) || (end - start) * Math.sign(step) < 0)
    throw new ArgumentError(`there is no range from ${start} to ${end} in steps of ${step}`, {
      op: 'arange',
      advice: 'The step leads from start to end: it is positive where end is larger, negative where it is smaller',
    });
  const whole = numbers.every(Number.isInteger);
  const out = make([size], options, 'arange', whole ? int64 : defaultDType());
  if (size > 0) for (const value of [start, start + (size - 1) * step]) checkNumeric(out.info, value, 'arange');
  return done(out, options, native.castor_arange(writeView(0, out, 'arange'), start, step), 'arange');
}
/**
 * Returns start, start + step, ... below end: arange(end), arange(start, end) or arange(start, end, step). int64 if all are whole
 * numbers.
 */
export const arange = checked(
  'arange',
  { start: number, end: boundOrOptions, step: boundOrOptions, options: creationOptions },
  range,
);

/**
 * Fills a tensor with evenly spaced numbers. As in PyTorch the second half is computed from the end, so that the last number is exactly
 * end.
 */
function fillLine(out: Tensor, start: number, end: number): number {
  const count = out.numel;
  const step = count > 1 ? (end - start) / (count - 1) : 0;
  const half = count === 1 ? 1 : Math.floor(count / 2);
  const first = viewOf(out, [half], [1], 0);
  const second = viewOf(out, [count - half], [-1], Math.max(count - 1, 0));
  return (
    native.castor_arange(writeView(0, first, 'linspace'), start, step) ||
    native.castor_arange(writeView(0, second, 'linspace'), end, -step)
  );
}

/** Returns `count` evenly spaced values from start to end, both included: the last is end exactly. */
export const linspace = checked(
  'linspace',
  { start: number, end: number, count: number, options: creationOptions },
  function linspace<D extends DType = 'float32'>(
    start: number,
    end: number,
    count: number,
    options: TensorOptions<D> = {},
  ): Tensor<D> {
    const out = make([count], options, 'linspace');
    for (const value of [start, end]) checkNumeric(out.info, value, 'linspace');
    if (out.isFloat) return done(out, options, fillLine(out, start, end), 'linspace');
    // The fractions of start and end are dropped first, then those of the values between them, as in PyTorch.
    const line = allocateTensor(out.shape, float64, out.storage.device);
    const status =
      fillLine(line, Math.trunc(start), Math.trunc(end)) ||
      native.castor_copy(writeView(0, line, 'linspace'), writeView(1, out, 'linspace'));
    line.dispose();
    return done(out, options, status, 'linspace');
  },
);

// ---- from data -----------------------------------------------------------------------------------------------------

/** The data that tensor() makes a tensor of: nested arrays, one value, or a typed array. */
export type TensorData = Nested | TypedArray;

/**
 * Returns a tensor of nested arrays, one value, or a typed array, whose elements are copied. The dtype is that of the typed array; for
 * plain arrays it is float32 if any element is a number, else int64 if any is a BigInt, else bool.
 * @throws ShapeError for ragged arrays, DTypeError for values that the given integer dtype cannot hold
 */
export const tensor = checked(
  'tensor',
  { data: anyAs('nested arrays, one value or a typed array'), options: creationOptions },
  function tensor<D extends DType = DType>(data: TensorData, options: TensorOptions<D> = {}): Tensor<D> {
    if (ArrayBuffer.isView(data)) {
      const array = data as TypedArray;
      return fromArray(array, [arrayKind(array) === 'DataView' ? 0 : lengthOf(array)], options, 'tensor');
    }
    const { values, shape } = readNested(data);
    const info = options.dtype === undefined ? naturalInfo(values) : dtypeInfo(options.dtype, 'tensor');
    return upload(hostArray(values, info), shape, info, options, 'tensor');
  },
);

/** Returns a tensor with the elements of a typed array, in row-major order. The array is copied. */
export const fromTypedArray = checked(
  'fromTypedArray',
  { array: object, shape: sizes, options: creationOptions },
  <D extends DType = DType>(array: TypedArray, shape: Shape, options: TensorOptions<D> = {}): Tensor<D> =>
    fromArray(array, shape, options, 'fromTypedArray'),
);

function fromArray<D extends DType>(array: TypedArray, shape: Shape, options: TensorOptions<D>, op: string): Tensor<D> {
  if (!ArrayBuffer.isView(array))
    throw new ArgumentError(`${shown(array)} is not a typed array`, {
      op,
      advice: 'Pass a Float32Array or the like; tensor() takes arrays of numbers',
    });
  const info = options.dtype === undefined ? null : dtypeInfo(options.dtype, op);
  const host = convertible(array, info, op);
  if (numelOf(checkShape(shape, op)) !== lengthOf(host))
    throw new ShapeError(`${lengthOf(host)} elements do not fill shape ${format(shape)}`, { op, shapes: [shape] });
  return upload(host, shape, info ?? dtypeOfArray(host)!, options, op);
}

/** Copies elements to a device and converts them to a dtype there. */
function upload<D extends DType>(
  array: TypedArray,
  shape: Shape,
  info: DTypeInfo,
  options: TensorOptions<D>,
  op: string,
): Tensor<D> {
  const source = dtypeOfArray(array)!;
  const given = allocateTensor(shape, source, deviceCode(options.device, op));
  const status = lengthOf(array) === 0 ? 0 : native.castor_write(given.storage.handle, 0, array, byteLengthOf(array));
  if (status !== 0) raise(status, { op, shapes: [shape] });
  const out = info === source ? given : contiguousCopy(given, info);
  if (out !== given) given.dispose();
  return done(out as Tensor<D>, options, 0, op);
}

// ---- random --------------------------------------------------------------------------------------------------------

const code = (name: string): number => opNumber('random', name);
const codes = {
  uniform: code('uniform'),
  normal: code('normal'),
  bernoulli: code('bernoulli'),
  exponential: code('exponential'),
  randint: code('randint'),
};

/** Overwrites a tensor with random numbers of a distribution, which has two parameters. */
export function fillRandom(
  t: Tensor,
  name: keyof typeof codes,
  p0: number,
  p1: number,
  source: Generator = generator(),
  op: string = name,
): void {
  const { seed, offset } = draw(source);
  const status = native.castor_random(codes[name], writeView(0, t, op), seed, offset, p0, p1);
  if (status !== 0) raise(status, { op, shapes: [t.shape], dtypes: [t.dtype] });
}

function random<D extends DType>(
  op: string,
  shape: Shape,
  [name, p0, p1]: readonly [keyof typeof codes, number, number],
  options: RandomOptions<D>,
  fallback?: DTypeInfo,
): Tensor<D> {
  const out = make(shape, options, op, fallback);
  fillRandom(out, name, p0, p1, options.generator, op);
  return done(out, options, 0, op);
}

/** Returns random numbers that are uniform in [0, 1). */
export const rand = checked(
  'rand',
  { shape: sizes, options: randomOptions },
  <D extends DType = 'float32'>(shape: Shape, options: RandomOptions<D> = {}): Tensor<D> =>
    random('rand', shape, ['uniform', 0, 1], options),
);
/** Returns normally distributed random numbers with mean 0 and standard deviation 1. */
export const randn = checked(
  'randn',
  { shape: sizes, options: randomOptions },
  <D extends DType = 'float32'>(shape: Shape, options: RandomOptions<D> = {}): Tensor<D> =>
    random('randn', shape, ['normal', 0, 1], options),
);

/** Returns random whole numbers that are uniform in [low, high). int64 unless a dtype is given. */
export const randint = checked(
  'randint',
  { low: number, high: number, shape: sizes, options: randomOptions },
  function randint<D extends DType = 'int64'>(
    low: number,
    high: number,
    shape: Shape,
    options: RandomOptions<D> = {},
  ): Tensor<D> {
    if (!(Number.isInteger(low) && Number.isInteger(high) && high > low))
      throw new ArgumentError(`there are no whole numbers from ${low} to below ${high}`, {
        op: 'randint',
        advice: 'low and high are whole numbers, and high is the larger one',
      });
    const info = options.dtype === undefined ? int64 : dtypeInfo(options.dtype, 'randint');
    for (const value of [low, high - 1]) checkWhole(info, value, 'randint');
    return random('randint', shape, ['randint', low, high], options, int64);
  },
);

/** Returns random numbers that are 1 with probability p, else 0. */
export const bernoulli = checked('bernoulli', { p: number, shape: sizes, options: randomOptions }, function bernoulli<
  D extends DType = 'float32',
>(p: number, shape: Shape, options: RandomOptions<D> = {}): Tensor<D> {
  checkProbability(p, 'bernoulli');
  return random('bernoulli', shape, ['bernoulli', p, 0], options);
});

/** Returns the numbers 0 to n - 1 in random order, as int64. */
export const randperm = checked(
  'randperm',
  { n: number, options: randomOptions },
  function randperm(n: number, options: RandomOptions = {}): Tensor {
    checkDistinct(dtypeInfo(options.dtype ?? 'int64', 'randperm'), n);
    const keys = random('randperm', [n], ['uniform', 0, 1], { ...options, requiresGrad: false, dtype: 'float64' });
    const values = allocateTensor([n], keys.info, keys.storage.device);
    const order = allocateTensor([n], int64, keys.storage.device);
    const status = native.castor_sort(
      writeView(0, keys, 'randperm'),
      writeView(1, values, 'randperm'),
      writeView(2, order, 'randperm'),
      0,
      0,
    );
    keys.dispose();
    values.dispose();
    if (status !== 0) raise(status, { op: 'randperm' });
    if (options.dtype === undefined || options.dtype === 'int64') return order;
    const out = contiguousCopy(order, dtypeInfo(options.dtype, 'randperm'));
    order.dispose();
    return out;
  },
);
