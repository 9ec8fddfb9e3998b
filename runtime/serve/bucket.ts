import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { dtypeOfArray } from '../tensor/dtype.ts';
import { checkHolds } from '../tensor/holds.ts';
import { checkShape, format, sameShape, type Shape } from '../tensor/shape.ts';
import { isTensor } from '../tensor/tensor.ts';
import type { Row } from './row.ts';

/**
 * Returns the shape that a row is padded to, so that rows of several shapes share a batch: `([length]) => [16 * Math.ceil(length / 16)]`.
 * `name` is that of the item where a request has several.
 */
export type BucketBy = (shape: Shape, name: string) => readonly number[];

/** Returns the shapes that the items of a row are padded to. @throws ArgumentError if bucketBy returns no shape that holds the row, DTypeError for a pad that its dtype cannot hold */
export const bucketOf = (row: Row, bucketBy: BucketBy | undefined, pad: number): readonly Shape[] =>
  row.fields.map(({ name, shape, info, values }) => {
    if (!bucketBy) return shape;
    const bucket = checkedBucket(bucketBy([...shape], name), shape);
    if (!sameShape(bucket, shape))
      for (const each of isTensor(values) ? [info] : [info, dtypeOfArray(values)!]) checkHolds(each, pad, 'batcher');
    return bucket;
  });

function checkedBucket(bucket: unknown, shape: Shape): Shape {
  if (!Array.isArray(bucket))
    throw refused(`bucketBy returned ${shown(bucket)} for a row ${format(shape)}`, 'Return an array of sizes');
  const sizes = checkShape(bucket as number[], 'batcher');
  if (sizes.length !== shape.length || sizes.some((size, axis) => size < shape[axis]!))
    throw refused(
      `bucketBy returned ${format(sizes)} for a row ${format(shape)}, which does not fit into it`,
      'Return a shape of as many axes that is at least as large along each; refuse rows that are too large before run()',
    );
  return [...sizes];
}
const refused = (message: string, advice: string): ArgumentError =>
  new ArgumentError(message, { op: 'batcher', advice });

/** Returns the text that rows of one batch have in common: the names, dtypes, devices and padded shapes of their items. */
export function bucketKey(row: Row, bucket: readonly Shape[]): string {
  let key = row.tensors ? 't' : 'a';
  const { fields } = row;
  for (let i = 0; i < fields.length; i++) {
    const { name, info, device } = fields[i]!;
    key += `|${row.single ? '' : JSON.stringify(name)}:${info.name}@${device}[${bucket[i]!.join()}]`;
  }
  return key;
}
