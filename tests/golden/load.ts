import { readFileSync } from 'node:fs';
import { fromTypedArray, type Device, type DType, type Tensor } from 'castor';

/** A number in JSON. Numbers that JSON cannot represent are words. */
export type Stored = number | 'nan' | 'inf' | '-inf' | '-0';
/** A tensor in the form in which make.py writes it. */
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

/** Converts floats to the given dtype. Indices and booleans keep their dtypes. */
export function toTensor(stored: StoredTensor, device: Device, float: DType = 'float64'): Tensor {
  return fromTypedArray(valuesOf(stored), stored.shape, {
    dtype: stored.dtype.startsWith('float') ? float : stored.dtype,
    device,
  });
}

/** The records of a golden file, which has one on each line. */
export const load = <T>(name: string): T[] =>
  readFileSync(`${import.meta.dirname}/${name}.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as T);
