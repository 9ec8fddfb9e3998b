import { noGrad } from '../autograd/autograd.ts';
import { fromTypedArray } from '../tensor/create.ts';
import { Generator, withGenerator } from '../tensor/generator.ts';
import { tidy } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';

export interface GenerateOptions {
  /** Bytes the model looks back. */
  context: number;
  /** Bytes to add. */
  length: number;
  /** Below 1 likely bytes become likelier. */
  temperature?: number;
  seed?: number;
}

/**
 * Continues a text byte by byte, each drawn with the probability a model gives it.
 * @param logits of ids (1, time) int32: (1, time, 256), for the byte that follows each
 */
export async function generateText(
  logits: (ids: Tensor) => Tensor,
  prompt: string,
  options: GenerateOptions,
): Promise<string> {
  const { context, length, temperature = 0.8, seed = 0 } = options;
  const bytes = [...Buffer.from(prompt)];
  const drawNext = (): Promise<number> =>
    tidy(() => {
      const seen = bytes.slice(-context);
      const last = logits(fromTypedArray(Int32Array.from(seen), [1, seen.length])).select(1, -1);
      return last.float().div(temperature).softmax(-1).multinomial(1).item();
    });
  const add = async (): Promise<void> => {
    for (let i = 0; i < length; i++) bytes.push(await drawNext());
  };
  await withGenerator(new Generator(seed), () => noGrad(add));
  return Buffer.from(bytes).toString();
}
