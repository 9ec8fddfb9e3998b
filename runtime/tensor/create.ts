import { any, checked, either, number, object, optional } from '../arguments.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { raise } from '../ffi/check.ts';
import { native, opNumber } from '../ffi/library.ts';
import { deviceCode, type Device } from './device.ts';
import { bool, defaultDType, dtypeInfo, dtypeOfArray, int64, type DType, type DTypeInfo } from './dtype.ts';
import { draw, generator, type Generator } from './generator.ts';
import { pack, type Nested } from './read.ts';
import { checkShape, format, MAX_RANK, numelOf, type Shape } from './shape.ts';
import { creationOptions, randomOptions, shape as sizes, tensor as given } from './specs.ts';
import { empty as allocateTensor, view, viewOf, type Tensor } from './tensor.ts';

export interface TensorOptions<D extends DType = DType> {
  /** Default: float32 (see setDefaultDType), or what the data says. */
  dtype?: D;
  /** Default: cuda when a GPU is there, else cpu (see setDefaultDevice). */
  device?: Device;
  requiresGrad?: boolean;
}
export interface RandomOptions<D extends DType = DType> extends TensorOptions<D> {
  generator?: Generator;
}

/** Sets requiresGrad; installed by the autograd, which creation does not know. */
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

/** A tensor whose elements are whatever the memory held. */
export const empty = checked(
  'empty',
  { shape: sizes, options: creationOptions },
  <D extends DType = 'float32'>(shape: Shape, options: TensorOptions<D> = {}): Tensor<D> =>
    done(make(shape, options, 'empty'), options, 0, 'empty'),
);

function filled<D extends DType>(shape: Shape, value: number, options: TensorOptions<D>, op: string): Tensor<D> {
  const out = make(shape, options, op);
  return done(out, options, native.castor_fill(view(0, out, op), value), op);
}
/** A tensor of one value. Whole numbers make float32 too, as all creation functions without data do. */
export const full = checked(
  'full',
  { shape: sizes, value: number, options: creationOptions },
  <D extends DType = 'float32'>(shape: Shape, value: number, options: TensorOptions<D> = {}): Tensor<D> =>
    filled(shape, value, options, 'full'),
);
export const zeros = checked(
  'zeros',
  { shape: sizes, options: creationOptions },
  <D extends DType = 'float32'>(shape: Shape, options: TensorOptions<D> = {}): Tensor<D> =>
    filled(shape, 0, options, 'zeros'),
);
export const ones = checked(
  'ones',
  { shape: sizes, options: creationOptions },
  <D extends DType = 'float32'>(shape: Shape, options: TensorOptions<D> = {}): Tensor<D> =>
    filled(shape, 1, options, 'ones'),
);

/** Ones on the main diagonal of an (n, m) matrix, zeros elsewhere; m is n unless given. */
export const eye = checked(
  'eye',
  { n: number, m: optional(either(number, creationOptions)), options: creationOptions },
  function eye<D extends DType = 'float32'>(
    n: number,
    m: number | TensorOptions<D> = n,
    options: TensorOptions<D> = {},
  ): Tensor<D> {
    if (typeof m !== 'number') return eye(n, n, m);
    const out = filled([n, m], 0, { ...options, requiresGrad: false }, 'eye');
    const diagonal = viewOf(out, [Math.min(n, m)], [m + 1], 0);
    const status = native.castor_fill(view(0, diagonal, 'eye'), 1);
    return done(out, options, status, 'eye');
  },
);

const boundOrOptions = optional(either(number, creationOptions));
function range(end: number, options?: TensorOptions): Tensor;
function range(start: number, end: number, options?: TensorOptions): Tensor;
function range(start: number, end: number, step: number, options?: TensorOptions): Tensor;
function range(...args: (number | TensorOptions | undefined)[]): Tensor {
  const numbers = args.filter(arg => typeof arg === 'number');
  const options = (args.find(arg => typeof arg === 'object') ?? {}) as TensorOptions;
  const [start, end, step] = numbers.length === 1 ? [0, numbers[0]!, 1] : [numbers[0]!, numbers[1]!, numbers[2] ?? 1];
  const size = Math.ceil((end - start) / step);
  if (!Number.isFinite(size) || step === 0)
    throw new ArgumentError(`no range from ${start} to ${end} in steps of ${step}`, { op: 'arange' });
  const whole = numbers.every(Number.isInteger);
  const out = make([Math.max(size, 0)], options, 'arange', whole ? int64 : defaultDType());
  return done(out, options, native.castor_arange(view(0, out, 'arange'), start, step), 'arange');
}
/** start, start + step, ... below end: arange(end), arange(start, end) or arange(start, end, step). int64 for whole numbers. */
export const arange = checked(
  'arange',
  { start: number, end: boundOrOptions, step: boundOrOptions, options: creationOptions },
  range,
);

/** `count` values from start to end, both included. */
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
    const step = count > 1 ? (end - start) / (count - 1) : 0;
    return done(out, options, native.castor_arange(view(0, out, 'linspace'), start, step), 'linspace');
  },
);

// ---- from data -----------------------------------------------------------------------------------------------------

export type TensorData = Nested | NodeJS.TypedArray;

/**
 * A tensor from nested arrays, one value, or a typed array (which is copied). The dtype is that of the typed array; for plain
 * arrays float32 for numbers, bool for truth values, int64 for BigInt.
 * @throws ShapeError for ragged arrays
 */
export const tensor = checked('tensor', { data: any, options: creationOptions }, function tensor<
  D extends DType = DType,
>(data: TensorData, options: TensorOptions<D> = {}): Tensor<D> {
  if (ArrayBuffer.isView(data))
    return fromTypedArray(data as NodeJS.TypedArray, [(data as NodeJS.TypedArray).length], options);
  const shape = shapeOfNested(data);
  const flat = (Array.isArray(data) ? data.flat(MAX_RANK as 8) : [data]) as (number | boolean | bigint)[];
  const kind = typeof flat[0];
  const natural = kind === 'boolean' ? bool : kind === 'bigint' ? int64 : defaultDType();
  const info = options.dtype === undefined ? natural : dtypeInfo(options.dtype, 'tensor');
  // Through float64 every number arrives exactly; the device rounds once.
  const host = info === int64 ? BigInt64Array.from(flat, toBigInt) : Float64Array.from(flat, Number);
  return fromTypedArray(host, shape, { ...options, dtype: info.name as D });
});

function toBigInt(value: number | boolean | bigint): bigint {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new ArgumentError(`${value} is no int64`, { op: 'tensor', advice: 'Leave dtype out to make a float tensor' });
  return BigInt(typeof value === 'number' ? Math.trunc(value) : value);
}

function shapeOfNested(data: Nested): number[] {
  const shape: number[] = [];
  // Checked on the way down: an array that holds itself has no last level.
  for (let level: Nested | undefined = data; Array.isArray(level); level = level[0])
    if (shape.push(level.length) > MAX_RANK) checkShape(shape, 'tensor');
  checkShape(shape, 'tensor');
  const check = (level: Nested, axis: number): void => {
    const size = Array.isArray(level) ? level.length : undefined;
    if (size !== shape[axis])
      throw new ShapeError(
        `ragged nested arrays: ${size ?? 'a value'} where ${shape[axis] ?? 'a value'} was expected at depth ${axis}`,
        {
          op: 'tensor',
          advice: 'All arrays of one depth must have the same length',
        },
      );
    if (Array.isArray(level)) for (const item of level) check(item, axis + 1);
    else if (typeof level !== 'number' && typeof level !== 'boolean' && typeof level !== 'bigint')
      throw new ArgumentError(`${String(level)} is neither a number nor a truth value`, { op: 'tensor' });
  };
  check(data, 0);
  return shape;
}

/** A tensor with the elements of a typed array, in row-major order. The array is copied. */
export const fromTypedArray = checked(
  'fromTypedArray',
  { array: object, shape: sizes, options: creationOptions },
  function fromTypedArray<D extends DType = DType>(
    array: NodeJS.TypedArray,
    shape: Shape,
    options: TensorOptions<D> = {},
  ): Tensor<D> {
    const source = dtypeOfArray(array);
    const info = options.dtype === undefined ? source : dtypeInfo(options.dtype, 'fromTypedArray');
    if (numelOf(checkShape(shape, 'fromTypedArray')) !== array.length)
      throw new ShapeError(`${array.length} elements do not fill shape ${format(shape)}`, {
        op: 'fromTypedArray',
        shapes: [shape],
      });
    const host = allocateTensor(shape, source, deviceCode(options.device, 'fromTypedArray'));
    const status = array.length === 0 ? 0 : native.castor_write(host.storage.handle, 0, array, array.byteLength);
    if (status !== 0) raise(status, { op: 'fromTypedArray', shapes: [shape] });
    const out = info === source ? host : pack(host, info);
    if (out !== host) host.dispose();
    return done(out as Tensor<D>, options, 0, 'fromTypedArray');
  },
);

// ---- random --------------------------------------------------------------------------------------------------------

const code = (name: string): number => opNumber('random', name);
const codes = {
  uniform: code('uniform'),
  normal: code('normal'),
  bernoulli: code('bernoulli'),
  exponential: code('exponential'),
  randint: code('randint'),
};

/** Overwrites a tensor with random numbers; two parameters of the distribution. */
export function fillRandom(
  t: Tensor,
  name: keyof typeof codes,
  p0: number,
  p1: number,
  source: Generator = generator(),
): void {
  const { seed, offset } = draw(source);
  const status = native.castor_random(codes[name], view(0, t, name), seed, offset, p0, p1);
  if (status !== 0) raise(status, { op: name, shapes: [t.shape], dtypes: [t.dtype] });
}

function random<D extends DType>(
  op: string,
  shape: Shape,
  [name, p0, p1]: readonly [keyof typeof codes, number, number],
  options: RandomOptions<D>,
  fallback?: DTypeInfo,
): Tensor<D> {
  const out = make(shape, options, op, fallback);
  fillRandom(out, name, p0, p1, options.generator);
  return done(out, options, 0, op);
}

/** Uniform in [0, 1). */
export const rand = checked(
  'rand',
  { shape: sizes, options: randomOptions },
  <D extends DType = 'float32'>(shape: Shape, options: RandomOptions<D> = {}): Tensor<D> =>
    random('rand', shape, ['uniform', 0, 1], options),
);
/** Normal with mean 0 and standard deviation 1. */
export const randn = checked(
  'randn',
  { shape: sizes, options: randomOptions },
  <D extends DType = 'float32'>(shape: Shape, options: RandomOptions<D> = {}): Tensor<D> =>
    random('randn', shape, ['normal', 0, 1], options),
);

/** Whole numbers, uniform in [low, high). int64 unless a dtype is given. */
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
      throw new ArgumentError(`no whole numbers in [${low}, ${high})`, { op: 'randint' });
    return random('randint', shape, ['randint', low, high], options, int64);
  },
);

/** 1 with probability p, else 0. */
export const bernoulli = checked('bernoulli', { p: number, shape: sizes, options: randomOptions }, function bernoulli<
  D extends DType = 'float32',
>(p: number, shape: Shape, options: RandomOptions<D> = {}): Tensor<D> {
  if (!(p >= 0 && p <= 1)) throw new ArgumentError(`probability ${p} is outside [0, 1]`, { op: 'bernoulli' });
  return random('bernoulli', shape, ['bernoulli', p, 0], options);
});

/** The numbers 0 to n - 1 in random order, int64. */
export const randperm = checked(
  'randperm',
  { n: number, options: randomOptions },
  function randperm(n: number, options: RandomOptions = {}): Tensor {
    checkShape([n], 'randperm');
    const keys = random('randperm', [n], ['uniform', 0, 1], { ...options, requiresGrad: false, dtype: 'float64' });
    const values = allocateTensor([n], keys.info, keys.storage.device);
    const order = allocateTensor([n], int64, keys.storage.device);
    const status = native.castor_sort(
      view(0, keys, 'randperm'),
      view(1, values, 'randperm'),
      view(2, order, 'randperm'),
      0,
      0,
    );
    keys.dispose();
    values.dispose();
    if (status !== 0) raise(status, { op: 'randperm' });
    if (options.dtype === undefined || options.dtype === 'int64') return order;
    const out = pack(order, dtypeInfo(options.dtype, 'randperm'));
    order.dispose();
    return out;
  },
);

// ---- like another tensor -------------------------------------------------------------------------------------------

const like = <D extends DType>(t: Tensor, options: TensorOptions<D>): TensorOptions<D> => ({
  dtype: t.dtype as D,
  device: t.device,
  ...options,
});
export const emptyLike = checked(
  'emptyLike',
  { t: given, options: creationOptions },
  (t: Tensor, options: TensorOptions = {}): Tensor => empty(t.shape, like(t, options)),
);
export const fullLike = checked(
  'fullLike',
  { t: given, value: number, options: creationOptions },
  (t: Tensor, value: number, options: TensorOptions = {}): Tensor => full(t.shape, value, like(t, options)),
);
export const zerosLike = checked(
  'zerosLike',
  { t: given, options: creationOptions },
  (t: Tensor, options: TensorOptions = {}): Tensor => fullLike(t, 0, options),
);
export const onesLike = checked(
  'onesLike',
  { t: given, options: creationOptions },
  (t: Tensor, options: TensorOptions = {}): Tensor => fullLike(t, 1, options),
);
export const randLike = checked(
  'randLike',
  { t: given, options: randomOptions },
  (t: Tensor, options: RandomOptions = {}): Tensor => rand(t.shape, like(t, options)),
);
export const randnLike = checked(
  'randnLike',
  { t: given, options: randomOptions },
  (t: Tensor, options: RandomOptions = {}): Tensor => randn(t.shape, like(t, options)),
);
export const randintLike = checked(
  'randintLike',
  { t: given, low: number, high: number, options: randomOptions },
  (t: Tensor, low: number, high: number, options: RandomOptions = {}): Tensor =>
    randint(low, high, t.shape, like(t, options)),
);
