import { any, checked } from '../arguments.ts';
import { DTypeError } from '../errors.ts';
import { didYouMean, shown } from '../shown.ts';
import type { TypedArray } from '../ffi/types.ts';

export type { TypedArray };

/** The name of a dtype. The names are written out, so that editors and type errors show DType and not this list. */
export type DType = 'float32' | 'float16' | 'bfloat16' | 'float64' | 'int32' | 'int64' | 'uint8' | 'bool';

/** The dtypes. The numbers are those of castor_dtype in abi/castor.h; `array` is the typed array that data() returns. */
const table = {
  float32: { code: 0, bytes: 4, category: 'float', array: Float32Array },
  float16: { code: 1, bytes: 2, category: 'float', array: Float16Array },
  bfloat16: { code: 2, bytes: 2, category: 'float', array: Float32Array },
  float64: { code: 3, bytes: 8, category: 'float', array: Float64Array },
  int32: { code: 4, bytes: 4, category: 'int', array: Int32Array },
  int64: { code: 5, bytes: 8, category: 'int', array: BigInt64Array },
  uint8: { code: 6, bytes: 1, category: 'int', array: Uint8Array },
  bool: { code: 7, bytes: 1, category: 'bool', array: Uint8Array },
} as const satisfies Record<DType, object>;

/** The floating dtypes. */
export type FloatDType = 'float16' | 'bfloat16' | 'float32' | 'float64';
/** A dtype that autocast may compute in. */
export type LowDType = 'float16' | 'bfloat16';
/** The typed array of a dtype. JavaScript has none for bfloat16, which is read without loss as Float32Array. */
export type TypedArrayOf<D extends DType> = InstanceType<(typeof table)[D]['array']>;

export interface DTypeInfo {
  readonly name: DType;
  readonly code: number;
  readonly bytes: number;
  readonly category: 'float' | 'int' | 'bool';
  readonly array: (typeof table)[DType]['array'];
}

export const dtypes = Object.fromEntries(
  Object.entries(table).map(([name, row]) => [name, { name, ...row }]),
) as unknown as Record<DType, DTypeInfo>;

export const { float32, float16, bfloat16, float64, int32, int64, uint8, bool } = dtypes;
/** The names of all dtypes. */
export const dtypeNames = Object.keys(table) as DType[];

/** Is it the name of a dtype? Names that every object inherits, such as 'constructor', are not. */
export const isDType = (name: unknown): name is DType => typeof name === 'string' && Object.hasOwn(dtypes, name);

/** Returns the properties of a dtype. @throws DTypeError for a name that is not a dtype */
export function dtypeInfo(name: DType, op: string): DTypeInfo {
  if (!isDType(name))
    throw new DTypeError(`there is no dtype ${shown(name)}`, {
      op,
      advice: `${typeof name === 'string' ? didYouMean(name, dtypeNames) : ''}Use one of ${dtypeNames.join(', ')}`,
    });
  return dtypes[name];
}

const order: readonly DTypeInfo[] = [bool, uint8, int32, int64];
const floatOrder: readonly DTypeInfo[] = [float16, bfloat16, float32, float64];

/**
 * Returns the dtype two tensors promote to, by PyTorch's rules: the higher category, and in it the wider dtype; float16 and bfloat16 give
 * float32.
 */
export function promote(a: DTypeInfo, b: DTypeInfo): DTypeInfo {
  if (a === b) return a;
  const aFloat = a.category === 'float';
  const bFloat = b.category === 'float';
  if (aFloat !== bFloat) return aFloat ? a : b;
  if (!aFloat) return order.indexOf(a) > order.indexOf(b) ? a : b;
  if (a.bytes === 2 && b.bytes === 2) return float32;
  return floatOrder.indexOf(a) > floatOrder.indexOf(b) ? a : b;
}

const categories = ['bool', 'int', 'float'];
/** Is the category of a the higher one? The order is bool, int, float. */
export const isHigher = (a: DTypeInfo, b: DTypeInfo): boolean =>
  categories.indexOf(a.category) > categories.indexOf(b.category);

/**
 * Returns the dtype of a tensor's dtype and a number, which does not promote within a category. Whole numbers that an int64 holds count
 * as int, all others as float.
 */
export function promoteScalar(a: DTypeInfo, value: number): DTypeInfo {
  if (a.category === 'float') return a;
  if (!Number.isInteger(value) || value >= 2 ** 63 || value < -(2 ** 63)) return defaultDType();
  return a.category === 'bool' ? int64 : a;
}

/** The smallest and the largest finite number of each dtype; for int64 the largest that a double can hold. */
const ends: Readonly<Record<DType, readonly [number, number]>> = {
  float32: [-(2 - 2 ** -23) * 2 ** 127, (2 - 2 ** -23) * 2 ** 127],
  float16: [-65504, 65504],
  bfloat16: [-(2 - 2 ** -7) * 2 ** 127, (2 - 2 ** -7) * 2 ** 127],
  float64: [-Number.MAX_VALUE, Number.MAX_VALUE],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63 - 1024],
  uint8: [0, 255],
  bool: [0, 1],
};
export const endsOf = (a: DTypeInfo): readonly [number, number] => ends[a.name];
/** Can a dtype hold a number without overflow? A float dtype rounds it. */
export function holds(a: DTypeInfo, value: number): boolean {
  const [least, greatest] = ends[a.name];
  if (a.category === 'float') return !Number.isFinite(value) || (value >= least && value <= greatest);
  return Number.isInteger(value) && value >= least && value <= greatest;
}

/** Returns the dtype in which an op with a floating result computes its input: the default dtype for integers and bool. */
export const toFloat = (a: DTypeInfo): DTypeInfo => (a.category === 'float' ? a : defaultDType());

let fallback: DTypeInfo = float32;
export const defaultDType = (): DTypeInfo => fallback;
/** Returns the dtype of new floating tensors: float32, or the one given to setDefaultDType(). */
export const getDefaultDType = checked('getDefaultDType', {}, (): FloatDType => fallback.name as FloatDType);
/** Sets the dtype of new floating tensors for the whole process. Until then it is float32. */
export const setDefaultDType = checked('setDefaultDType', { name: any }, doSetDefaultDType);
function doSetDefaultDType(name: FloatDType): void {
  const info = dtypeInfo(name, 'setDefaultDType');
  if (info.category !== 'float') throw new DTypeError(`${name} is not a floating dtype`, { op: 'setDefaultDType' });
  fallback = info;
}

/** Returns the name of the built-in class of a typed array, which no subclass or property can change; undefined for anything else. */
const kindOfArray = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!
  .get as (this: unknown) => string | undefined;

const arrayDTypes: Readonly<Record<string, DTypeInfo>> = {
  Float16Array: float16,
  Float32Array: float32,
  Float64Array: float64,
  Int32Array: int32,
  BigInt64Array: int64,
  Uint8Array: uint8,
  Uint8ClampedArray: uint8,
};

/** Returns the dtype of a typed array, or null: Int8, 16-bit and unsigned 32- and 64-bit arrays have none. */
export const dtypeOfArray = (array: TypedArray): DTypeInfo | null => arrayDTypes[arrayKind(array)] ?? null;
export const arrayKind = (array: ArrayBufferView): string => kindOfArray.call(array) ?? 'DataView';
