import { readFileSync } from 'node:fs';
import { fromTypedArray, type Device, type DType, type Tensor } from 'castor';

/** A number as JSON holds it: the ones it has no digits for are words. */
export type Stored = number | 'nan' | 'inf' | '-inf' | '-0';
/** A tensor as make.py writes it. */
export interface StoredTensor {
  shape: number[];
  dtype: DType;
  data: Stored[];
}

const words = { nan: NaN, inf: Infinity, '-inf': -Infinity, '-0': -0 };
export const numberOf = (x: Stored): number => (typeof x === 'string' ? words[x] : x);
export const valuesOf = ({ data }: StoredTensor): Float64Array => Float64Array.from(data, numberOf);
export const isStored = (value: unknown): value is StoredTensor =>
  typeof value === 'object' && value !== null && 'data' in value && 'shape' in value;

/** Floats become the given dtype; indices and truth values keep theirs. */
export function toTensor(stored: StoredTensor, device: Device, float: DType = 'float64'): Tensor {
  return fromTypedArray(valuesOf(stored), stored.shape, {
    dtype: stored.dtype.startsWith('float') ? float : stored.dtype,
    device,
  });
}

/** The records of a golden file, one a line. */
export const load = <T>(name: string): T[] =>
  readFileSync(`${import.meta.dir}/${name}.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as T);
