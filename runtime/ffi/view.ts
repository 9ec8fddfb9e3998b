import { ffi } from '#ffi';

/** The fields of a tensor that a castor_view is written from. */
export interface Viewable {
  readonly storage: { readonly handle: number };
  readonly offset: number;
  readonly info: { readonly code: number };
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** castor_view is 152 bytes: 19 words of 8. Word 2 holds dtype and rank as two 32-bit integers. */
const WORDS = 19;
const SIZES = 3;
const STRIDES = 11;

/** Memory for views. It may grow, and its address stays valid because it is an ArrayBuffer of its own. */
class Slots {
  doubles: Float64Array;
  ints: Int32Array;
  address: number;
  constructor(count: number) {
    const buffer = new ArrayBuffer(count * WORDS * 8);
    this.doubles = new Float64Array(buffer);
    this.ints = new Int32Array(buffer);
    this.address = ffi.address(buffer);
  }
}

/**
 * The views of one call, at most ten. The call reads them before it returns, so that the slots can be reused at once.
 */
const fixed = new Slots(16);
const { doubles, ints, address } = fixed;

/** Writes a view into a slot and returns its address. The storage has to be live: its handle must not be 0. */
export function describe(slot: number, { storage, info, shape, strides, offset }: Viewable): number {
  return describeIn(slot, storage.handle, info.code, shape, strides, offset);
}

/** Describes the same memory with another shape. */
export function describeAs(slot: number, t: Viewable, shape: readonly number[], strides: readonly number[]): number {
  return describeIn(slot, t.storage.handle, t.info.code, shape, strides, t.offset);
}

/** Describes a part of a storage, for callers that have its properties apart. */
export function describeIn(
  slot: number,
  handle: number,
  dtypeCode: number,
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
): number {
  const word = slot * WORDS;
  doubles[word] = handle;
  doubles[word + 1] = offset;
  const rank = shape.length;
  ints[word * 2 + 4] = dtypeCode;
  ints[word * 2 + 5] = rank;
  for (let i = 0; i < rank; i++) {
    doubles[word + SIZES + i] = shape[i]!;
    doubles[word + STRIDES + i] = strides[i]!;
  }
  return address + word * 8;
}

/** Describes a constant: a number that is passed in place of a tensor, with a dtype. */
export function describeScalar(slot: number, value: number, dtypeCode: number): number {
  const word = slot * WORDS;
  doubles[word] = 0;
  doubles[word + 1] = value;
  ints[word * 2 + 4] = dtypeCode;
  ints[word * 2 + 5] = 0;
  return address + word * 8;
}

let lists = new Slots(64);

function write({ doubles, ints }: Slots, slot: number, { storage, offset, info, shape, strides }: Viewable): void {
  const word = slot * WORDS;
  doubles[word] = storage.handle;
  doubles[word + 1] = offset;
  ints[word * 2 + 4] = info.code;
  ints[word * 2 + 5] = shape.length;
  // For the few sizes of a tensor, a loop is faster than set().
  for (let i = 0; i < shape.length; i++) {
    doubles[word + SIZES + i] = shape[i]!;
    doubles[word + STRIDES + i] = strides[i]!;
  }
}

/** Describes an array of views, for the calls on many tensors. It is valid until the next call of this function. */
export function describeList(tensors: readonly Viewable[]): number {
  if (lists.doubles.length < tensors.length * WORDS) lists = new Slots(tensors.length * 2);
  for (let slot = 0; slot < tensors.length; slot++) write(lists, slot, tensors[slot]!);
  return lists.address;
}
