import { ArgumentError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import type { TypedArray } from '../tensor/dtype.ts';
import { lengthOf } from '../tensor/hostData.ts';
import { format } from '../tensor/shape.ts';
import { assertLive, isTensor, type Tensor } from '../tensor/tensor.ts';

/** The type of the answer to a request, from the type that fn returns for its batch. */
export type Answer<Output, From> = Output extends Tensor
  ? From extends Tensor | { readonly [name: string]: Tensor }
    ? Tensor
    : TypedArray
  : Output extends TypedArray
    ? Output
    : Output extends readonly (infer Item)[]
      ? Item
      : { [Name in keyof Output]: Answer<Output[Name], From> };

/** The answers of a batch: what row i gets. */
export type Answers = (i: number) => unknown;

/** An error of the result of fn, which is wrong for every row of the batch alike. Errors of kernels, which reading it may throw, are none. */
export class WrongResult {
  readonly #error: unknown;
  constructor(error: unknown) {
    this.#error = error;
  }
  get error(): unknown {
    return this.#error;
  }
  /** Is a thrown value one of these? instanceof would call the code of a Proxy, which may throw. */
  static is(thrown: unknown): thrown is WrongResult {
    return typeof thrown === 'object' && thrown !== null && #error in thrown;
  }
}

const OP = 'batcher';
const advice =
  'fn returns one tensor with the rows of the batch along its first axis, or an array with an item for each row, or an object of these';
const wrong = (message: string): WrongResult => new WrongResult(new ArgumentError(message, { op: OP, advice }));

/**
 * Splits what the model returned for a batch of `count` rows. Tensors are read by the host once for all rows, unless the rows came as
 * tensors: then each row gets a tensor of its own, made when it is asked for, so that it belongs to whoever asks.
 */
export async function answersOf(output: unknown, count: number, tensors: boolean): Promise<Answers> {
  if (isTensor(output)) return ofTensor(output, count, tensors);
  if (ArrayBuffer.isView(output)) return ofTypedArray(output as TypedArray, count);
  if (Array.isArray(output)) return ofArray(output, count);
  if (typeof output !== 'object' || output === null || Object.keys(output).length === 0)
    throw wrong(`fn returned ${shown(output)} for a batch of ${count} rows`);
  // All reads begin at once: the next batch may write to the same memory.
  const parts = await Promise.all(
    Object.entries(output).map(async ([name, part]) => [name, await answersOf(part, count, tensors)] as const),
  );
  return i => Object.fromEntries(parts.map(([name, of]) => [name, of(i)]));
}

async function ofTensor(output: Tensor, count: number, tensors: boolean): Promise<Answers> {
  checkRows(output, count);
  if (tensors) return i => output.narrow(0, i, 1).squeeze(0).clone();
  const values: TypedArray = await output.data();
  return slices(values, values.length / count);
}

/** @throws WrongResult for a tensor that was disposed, or that has not one row for each of the batch */
function checkRows(output: Tensor, count: number): void {
  try {
    assertLive(output, OP);
  } catch (error) {
    throw new WrongResult(error);
  }
  if (output.shape[0] === count) return;
  const message = `fn returned a tensor ${format(output.shape)} for a batch of ${count} rows`;
  throw new WrongResult(new ShapeError(message, { op: OP, shapes: [output.shape], advice }));
}

function ofTypedArray(output: TypedArray, count: number): Answers {
  const length = lengthOf(output);
  if (length % count !== 0) throw wrong(`fn returned a typed array of ${length} elements for a batch of ${count} rows`);
  return slices(output, length / count);
}
const slices =
  (values: TypedArray, size: number): Answers =>
  i =>
    values.slice(i * size, (i + 1) * size);

function ofArray(output: readonly unknown[], count: number): Answers {
  if (output.length !== count)
    throw wrong(`fn returned an array of ${output.length} items for a batch of ${count} rows`);
  if (output.some(isTensor)) throw wrong('fn returned an array of tensors, which could be rows or outputs');
  return i => output[i];
}
