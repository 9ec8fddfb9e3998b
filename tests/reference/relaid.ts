/**
 * Every call of a kernel made a second time, with all its tensors in other places and layouts: axes in another order, gaps between rows and
 * elements, backwards steps, and bytes around them that nobody may read or write. Both calls must give the same.
 */
import { toArrayBuffer, type Pointer } from 'bun:ffi';
import type { DType } from 'castor';
import { native } from '../../runtime/ffi/library.ts';
import { describeList, type Viewable } from '../../runtime/ffi/view.ts';
import type { Dice } from '../dice.ts';
import { declared } from '../header.ts';
import { compareArrays } from './compare.ts';

/** In the order of their numbers in abi/castor.h. */
const dtypes = ['float32', 'float16', 'bfloat16', 'float64', 'int32', 'int64', 'uint8', 'bool'] as const;
const bytesOf = (code: number): number => [4, 2, 2, 8, 4, 8, 1, 1][code]!;

/** A castor_view, read back. */
interface View {
  readonly storage: number;
  readonly offset: number;
  readonly code: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}
const VIEW_BYTES = 152;
function readView(address: number): View {
  const buffer = toArrayBuffer(address as Pointer, 0, VIEW_BYTES).slice(0);
  const [doubles, ints] = [new Float64Array(buffer), new Int32Array(buffer)];
  const rank = ints[5]!;
  return {
    storage: doubles[0]!,
    offset: doubles[1]!,
    code: ints[4]!,
    shape: [...doubles.subarray(3, 3 + rank)],
    strides: [...doubles.subarray(11, 11 + rank)],
  };
}

/** The position of each element in memory, in elements, in row-major order. */
function placesOf({ offset, shape, strides }: View): Float64Array {
  let places = Float64Array.of(offset);
  shape.forEach((size, axis) => {
    const next = new Float64Array(places.length * size);
    for (let i = 0; i < next.length; i++) next[i] = places[Math.floor(i / size)]! + (i % size) * strides[axis]!;
    places = next;
  });
  return places;
}

/** The bytes of elements [first, last] of the view's storage. */
function readBytes({ storage, code }: View, first: number, last: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer((last - first + 1) * bytesOf(code)));
  if (native.castor_read(storage, first * bytesOf(code), bytes, bytes.length) !== 0)
    throw new Error(native.castor_last_error());
  return bytes;
}

function extent(places: Float64Array): [number, number] {
  let [first, last] = [Infinity, -Infinity];
  for (const at of places) [first, last] = [Math.min(first, at), Math.max(last, at)];
  return [first, last];
}

/** The elements of a view, row-major, each as its bytes. */
function elementsOf(view: View): Uint8Array {
  const places = placesOf(view);
  if (places.length === 0) return new Uint8Array(0);
  const [first, last] = extent(places);
  const size = bytesOf(view.code);
  const bytes = readBytes(view, first, last);
  const out = new Uint8Array(places.length * size);
  places.forEach((place, i) => {
    for (let b = 0; b < size; b++) out[i * size + b] = bytes[(place - first) * size + b]!;
  });
  return out;
}

/** 16-bit floats of either kind as numbers. */
const half = (bits: number): number => {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
};
const bfloat = (bits: number): number => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;

function numbersOf(code: number, bytes: Uint8Array): ArrayLike<number | bigint> {
  const buffer = bytes.buffer as ArrayBuffer;
  const dtype: DType = dtypes[code]!;
  if (dtype === 'float16') return Array.from(new Uint16Array(buffer), half);
  if (dtype === 'bfloat16') return Array.from(new Uint16Array(buffer), bfloat);
  const arrays = { float32: Float32Array, float64: Float64Array, int32: Int32Array, int64: BigInt64Array } as const;
  return new (dtype in arrays ? arrays[dtype as keyof typeof arrays] : Uint8Array)(buffer);
}
const TOLERANCES: Partial<Record<DType, number>> = { float32: 1e-4, float64: 1e-10, float16: 2e-3, bfloat16: 1e-2 };

/** Elements before and behind those of a tensor, and what all bytes hold that are none of its own: NaN as a float. */
const GUARD = 5;
const NOBODYS = 0xff;

/** A view of the same sizes in memory of its own, in a drawn layout. Axes that repeat one element still do. */
function layOut({ code, shape, strides }: View, dice: Dice): { view: View; bytes: number } {
  const order = shape.map((_, axis) => axis);
  if (dice.below(2)) for (let i = order.length - 1; i > 0; i--) swap(order, i, dice.below(i + 1));
  const own = shape.map((size, axis) => (strides[axis] === 0 ? 1 : size));
  const made = shape.map(() => 0);
  let step = dice.pick([1, 1, 2]);
  for (const axis of order.toReversed()) {
    made[axis] = own[axis] === shape[axis] ? step : 0;
    step = step * own[axis]! + dice.pick([0, 0, 1, 3]);
  }
  let offset = GUARD;
  shape.forEach((size, axis) => {
    if (size < 2 || made[axis] === 0 || dice.below(4)) return;
    offset += (size - 1) * made[axis]!;
    made[axis] = -made[axis]!;
  });
  return { view: { storage: 0, offset, code, shape, strides: made }, bytes: (step + 2 * GUARD) * bytesOf(code) };
}
function swap(list: number[], i: number, j: number): void {
  [list[i], list[j]] = [list[j]!, list[i]!];
}

/** The memory of a view in its new place, and whether only its own elements have changed since. */
class Moved {
  readonly view: View;
  readonly #bytes: number;
  constructor(from: View, elements: Uint8Array | null, dice: Dice) {
    const { view, bytes } = layOut(from, dice);
    this.#bytes = bytes;
    this.view = { ...view, storage: native.castor_alloc(0, bytes) };
    const memory = new Uint8Array(new ArrayBuffer(bytes)).fill(NOBODYS);
    const size = bytesOf(view.code);
    if (elements)
      placesOf(view).forEach((place, i) => memory.set(elements.subarray(i * size, (i + 1) * size), place * size));
    native.castor_write(this.view.storage, 0, memory, bytes);
  }
  isTouchedOutside(): boolean {
    const size = bytesOf(this.view.code);
    const memory = readBytes({ ...this.view, code: 6 }, 0, this.#bytes - 1);
    for (const place of placesOf(this.view)) memory.fill(NOBODYS, place * size, (place + 1) * size);
    return memory.some(byte => byte !== NOBODYS);
  }
  free(): void {
    native.castor_free(this.view.storage);
  }
}

type Arguments = readonly (number | Float64Array | Int32Array)[];
/** The use of a tensor argument: read, written without being read, or both. */
type Use = 'read' | 'written' | 'both';

const read = new Set(
  'a b c bias weight q k v mask grad y logits target index source inverse_scale factor learning_rate'.split(' '),
);
const both = new Set(['running_mean', 'running_var', 'scale', 'tracker']);
function useOf(fn: string, name: string): Use {
  if (both.has(name) || (fn === 'castor_scatter' && name === 'out')) return 'both';
  if (name === 'found_inf') return fn === 'castor_multi_unscale' ? 'both' : 'read';
  if (read.has(name)) return 'read';
  if (!fn.endsWith('_backward')) return 'written';
  if (name === 'out') return fn === 'castor_attention_backward' ? 'read' : 'written';
  return name.startsWith('grad_') ? 'written' : 'read';
}

/** The lists of the calls on many tensors. */
function listsOf(fn: string, args: Arguments): Use[] {
  const hyper = args[2] as Float64Array;
  if (fn === 'castor_multi_norm') return ['read'];
  if (fn === 'castor_multi_sgd') return hyper[1] === 0 ? ['both', 'read', 'both'] : ['both', 'read', 'both', 'both'];
  if (fn !== 'castor_multi_adam') return ['both'];
  return ['both', 'read', 'both', 'both', 'both', ...(hyper[6] === 0 ? [] : (['both'] as const))];
}

interface Place {
  readonly view: View;
  readonly use: Use;
}
const asViewable = ({ storage, offset, code, shape, strides }: View): Viewable => ({
  storage: { handle: storage },
  offset,
  info: { code },
  shape,
  strides,
});

/** The tensors of a call: those at its addresses, and those in its lists. */
function placesIn(fn: string, names: readonly (string | null)[], args: Arguments): Place[][] {
  return names.map((name, i) => {
    const address = args[i] as number;
    if (name === null || address === 0) return [];
    if (name !== 'views') return [{ view: readView(address), use: useOf(fn, name) }];
    const count = args[1] as number;
    return listsOf(fn, args).flatMap((use, list) =>
      Array.from({ length: count }, (_, j) => ({ view: readView(address + (list * count + j) * VIEW_BYTES), use })),
    );
  });
}

/** The arguments of a call whose tensors are these views. */
function addressesOf(groups: readonly Place[][], views: readonly View[], args: Arguments): Arguments {
  const start = describeList(views.map(asViewable));
  let at = 0;
  return groups.map((group, i) => {
    const address = start + at * VIEW_BYTES;
    at += group.length;
    return group.length === 0 ? args[i]! : address;
  });
}

type Call = (...args: (number | Float64Array | Int32Array)[]) => number;

/** Makes the call with everything in other places, and returns the differences from the original call. */
function callMoved(fn: string, call: Call, spoil: () => void, groups: readonly Place[][], args: Arguments, dice: Dice) {
  const moved = groups.map(group =>
    group.map(({ view, use }) =>
      view.storage === 0 ? null : new Moved(view, use === 'written' ? null : elementsOf(view), dice),
    ),
  );
  const views = groups.flatMap((group, g) => group.map(({ view }, i) => moved[g]![i]?.view ?? view));
  spoil();
  const status = call(...addressesOf(groups, views, args));
  const error = status === 0 ? '' : native.castor_last_error();
  return (statusBefore: number): string[] => {
    const wrong = status === statusBefore ? [] : [`${fn}: status ${status} (${error}), was ${statusBefore}`];
    groups.forEach((group, g) =>
      group.forEach(({ view, use }, i) => {
        const there = moved[g]![i];
        if (!there) return;
        const what = `${fn}, tensor ${g} ${i} of ${dtypes[view.code]} [${view.shape}] at [${there.view.strides}]`;
        if (there.isTouchedOutside()) wrong.push(`${what}: memory beside it is written`);
        if (use !== 'read' && status === 0) {
          const [was, is] = [view, there.view].map(v => numbersOf(v.code, elementsOf(v)));
          const tolerance = TOLERANCES[dtypes[view.code]!] ?? 0;
          const difference = compareArrays(is!, was!, { rtol: tolerance, atol: tolerance });
          if (difference !== null) wrong.push(`${what}: ${difference}`);
        }
        there.free();
      }),
    );
    return wrong;
  };
}

/**
 * Fills the temporary memory that kernels keep between calls with NaN, so that a kernel that reads what it has not
 * written gives NaN.
 */
function spoilWorkingMemory(attention: Call): { spoil: () => void; free: () => void } {
  const [queries, keys, features] = [16, 256, 32];
  const full = (...shape: number[]): View => {
    const bytes = 4 * shape.reduce((n, size) => n * size, 1);
    const storage = native.castor_alloc(0, bytes);
    native.castor_write(storage, 0, new Uint8Array(new ArrayBuffer(bytes)).fill(NOBODYS), bytes);
    const strides = shape.map((_, i) => shape.slice(i + 1).reduce((n, size) => n * size, 1));
    return { storage, offset: 0, code: 0, shape, strides };
  };
  const inputs = [full(1, 1, queries, features), full(1, 1, keys, features), full(1, 1, keys, features)];
  const outputs = [full(1, 1, queries, features), full(1, 1, queries)];
  const views = [...inputs, ...outputs].map(asViewable);
  const spoil = (): void => {
    const start = describeList(views);
    const [q, k, v, out, logsumexp] = views.map((_, i) => start + i * VIEW_BYTES);
    attention(q!, k!, v!, 0, out!, logsumexp!, 1, 0);
  };
  return { spoil, free: () => [...inputs, ...outputs].forEach(({ storage }) => native.castor_free(storage)) };
}

/** Functions whose arguments have a fixed layout, or that call no kernel. */
const leftAlone = ['castor_expect', 'castor_set_wake'];

/** Runs a program in which every call of a kernel is made twice. Returns the differences. */
export function relaid(dice: Dice, program: () => void): { readonly wrong: string[]; readonly calls: number } {
  const wrong: string[] = [];
  let calls = 0;
  const functions = native as unknown as Record<string, Call>;
  const originals = new Map<string, Call>();
  const { spoil, free } = spoilWorkingMemory(functions.castor_attention!);
  for (const { name, args } of declared) {
    const names = args.map(a => (a.type === 'castor_address' ? a.name : null));
    if (leftAlone.includes(name) || names.every(n => n === null)) continue;
    const original = functions[name]!;
    originals.set(name, original);
    functions[name] = (...given) => {
      const groups = placesIn(name, names, given);
      const total = groups.flat().reduce((sum, { view }) => sum + view.shape.reduce((n, size) => n * size, 1), 0);
      if (total > 400_000) return original(...given);
      calls++;
      const compare = callMoved(name, original, spoil, groups, given, dice);
      const status = original(...rewritten(groups, given));
      wrong.push(...compare(status));
      return status;
    };
  }
  try {
    program();
  } finally {
    for (const [name, original] of originals) functions[name] = original;
    free();
  }
  return { wrong, calls };
}

/** The original arguments. Their views are written again, because those of the other call have overwritten them. */
const rewritten = (groups: readonly Place[][], args: Arguments): Arguments =>
  addressesOf(
    groups,
    groups.flat().map(({ view }) => view),
    args,
  );
