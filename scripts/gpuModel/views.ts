/** Reads the castor_view structs that a call receives: see abi/castor.h. */
import { toArrayBuffer, type Pointer } from 'bun:ffi';
import { dtypes } from '../../runtime/tensor/dtype.ts';

export interface View {
  readonly dtype: string;
  readonly sizes: readonly number[];
  /** The bytes of its elements. Those that share memory count once. */
  readonly bytes: number;
}

/** The bytes of a castor_view, and the places of its fields in words of 8 bytes. */
export const VIEW_BYTES = 152;
const [SIZES, STRIDES] = [3, 11];

export function dtypeOf(code: number): { name: string; bytes: number } {
  const found = Object.entries(dtypes).find(([, info]) => info.code === code);
  if (!found) throw new Error(`there is no dtype ${code}`);
  return { name: found[0], bytes: found[1].bytes };
}

/** The view at an address, or null for an absent one or a constant. */
export function viewAt(address: number): View | null {
  if (address === 0) return null;
  const memory = toArrayBuffer(address as Pointer, 0, VIEW_BYTES);
  const [doubles, ints] = [new Float64Array(memory), new Int32Array(memory)];
  if (doubles[0] === 0) return null;
  const { name, bytes } = dtypeOf(ints[4]!);
  const rank = ints[5]!;
  const sizes = [...doubles.slice(SIZES, SIZES + rank)];
  const strides = [...doubles.slice(STRIDES, STRIDES + rank)];
  const elements = sizes.reduce((product, size, axis) => product * (strides[axis] === 0 && size > 0 ? 1 : size), 1);
  return { dtype: name, sizes, bytes: elements * bytes };
}
