import { cat, stack } from '../ops/functional.ts';
import { fromTypedArray, full } from '../tensor/create.ts';
import { dtypeOfArray, type DTypeInfo, type TypedArray } from '../tensor/dtype.ts';
import { hostArray } from '../tensor/room.ts';
import { numelOf, sameShape, stridesOf, type Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Field, Row } from './row.ts';

/** A batch as the model sees it: one tensor, or several by name, each with the rows along its first axis. */
export type Batch = Tensor | { readonly [name: string]: Tensor };

/**
 * Makes a batch of rows of one bucket. `count` is the number of rows that it gets, at least that of the rows; the last ones are copies of
 * the first row, so that they hold nothing that a model could refuse. `pad` fills rows that are smaller than the bucket.
 */
export function collate(rows: readonly Row[], bucket: readonly Shape[], pad: number, count: number): Batch {
  const first = rows[0]!;
  const list = [...rows, ...Array.from({ length: count - rows.length }, () => first)];
  const column = (i: number): Tensor => {
    const fields = list.map(row => row.fields[i]!);
    return first.tensors ? joinTensors(fields, bucket[i]!, pad) : joinArrays(fields, bucket[i]!, pad);
  };
  if (first.single) return column(0);
  return Object.fromEntries(first.fields.map(({ name }, i) => [name, column(i)]));
}

/** The memory in which the rows of a batch are put together, for the next batch: a batch is copied to its device before the next is begun. */
const workspaces = new Map<ArrayConstructorOf, TypedArray>();
type ArrayConstructorOf = new (length: number) => TypedArray;
/** Larger batches have memory of their own, so that none of this size is kept. */
const LARGEST_KEPT = 2 ** 20;
function workspace(info: DTypeInfo, length: number): TypedArray {
  if (length > LARGEST_KEPT) return hostArray(info, [length], 'batcher');
  const Kind = info.array as ArrayConstructorOf;
  let whole = workspaces.get(Kind);
  if (whole === undefined || whole.length < length) workspaces.set(Kind, (whole = new Kind(length)));
  return whole.subarray(0, length);
}

function joinArrays(fields: readonly Field[], shape: Shape, pad: number): Tensor {
  const { values, info, device } = fields[0]!;
  const size = numelOf(shape);
  const all = workspace(dtypeOfArray(values as TypedArray)!, size * fields.length);
  const smaller = fields.some(field => !sameShape(field.shape, shape));
  if (smaller) all.fill((all instanceof BigInt64Array ? BigInt(Math.trunc(pad)) : pad) as never);
  fields.forEach((field, i) => place(field, all.subarray(i * size, (i + 1) * size), shape));
  return fromTypedArray(all, [fields.length, ...shape], { dtype: info.name, device });
}

/** Copies the elements of a row into the corner of a larger array of another shape. */
function place({ values, shape }: Field, into: TypedArray, whole: Shape): void {
  const from = values as TypedArray;
  if (sameShape(shape, whole)) return into.set(from as never);
  const [own, outer] = [stridesOf(shape), stridesOf(whole)];
  const last = shape.length - 1;
  const copy = (axis: number, at: number, to: number): void => {
    if (axis === last) return into.set(from.subarray(at, at + shape[last]!) as never, to);
    for (let i = 0; i < shape[axis]!; i++) copy(axis + 1, at + i * own[axis]!, to + i * outer[axis]!);
  };
  copy(0, 0, 0);
}

function joinTensors(fields: readonly Field[], shape: Shape, pad: number): Tensor {
  const rows = fields.map(field => field.values as Tensor);
  return rows.every(t => sameShape(t.shape, shape))
    ? stack(rows)
    : cat(rows.map(t => padded(t, shape, pad).unsqueeze(0)));
}

function padded(t: Tensor, shape: Shape, pad: number): Tensor {
  if (sameShape(t.shape, shape)) return t;
  const whole = full(shape, pad, { dtype: t.dtype, device: t.device });
  let corner: Tensor = whole;
  t.shape.forEach((size, axis) => (corner = corner.narrow(axis, 0, size)));
  corner.copy_(t);
  return whole;
}
