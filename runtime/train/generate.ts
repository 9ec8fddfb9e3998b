import { callable, checked, number, options, required, text } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { noGrad } from '../autograd/autograd.ts';
import { fromTypedArray } from '../tensor/create.ts';
import { Generator, withGenerator } from '../tensor/generator.ts';
import { shown } from '../shown.ts';
import { tidy } from '../tensor/scope.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';

/** The largest number of bytes of one call, because the call returns only when all are generated. */
const LONGEST = 2 ** 20;

/** The options of generateText(). */
export interface GenerateOptions {
  /** The number of bytes that the model sees. */
  context: number;
  /** The number of bytes to generate. */
  length: number;
  /** A divisor of the logits. Below 1, likely bytes become even more likely. Default: 0.8. */
  temperature?: number;
  /** The seed of the random choices. Default: 0. */
  seed?: number;
}

/**
 * Continues a text byte by byte. Each byte is drawn with the probability that the model gives it.
 * @param logits the model: for ids (1, T) of int32 it returns logits (1, T, 256) of the byte that follows each of them
 */
export const generateText = checked(
  'generateText',
  {
    logits: callable,
    prompt: text,
    options: required(
      options({ context: required(number), length: required(number), temperature: number, seed: number }),
    ),
  },
  doGenerateText,
);
async function doGenerateText(
  logits: (ids: Tensor) => Tensor,
  prompt: string,
  options: GenerateOptions,
): Promise<string> {
  const { context, length, temperature = 0.8, seed = 0 } = options;
  for (const [name, value] of Object.entries({ context, length }))
    if (!Number.isSafeInteger(value) || value < 1)
      throw new ArgumentError(`${name} ${value} is not an integer > 0`, {
        op: 'generateText',
        advice: 'Pass numbers of bytes: the context that the model sees, and the length of the text to generate',
      });
  if (length > LONGEST)
    throw new ArgumentError(`length ${length} is more than ${LONGEST}`, {
      op: 'generateText',
      advice: 'Generate the text in parts, each of which continues the one before',
    });
  if (!(temperature > 0))
    throw new ArgumentError(`temperature ${temperature} is not above 0`, {
      op: 'generateText',
      advice: 'Pass a small one, such as 0.01, for the most likely text',
    });
  if (prompt === '')
    throw new ArgumentError('the prompt is empty', { op: 'generateText', advice: 'Pass at least one character' });
  const bytes = [...Buffer.from(prompt)];
  const drawNext = (): Promise<number> =>
    tidy(() => {
      const seen = bytes.slice(-context);
      const given: unknown = logits(fromTypedArray(Int32Array.from(seen), [1, seen.length]));
      if (!isTensor(given))
        throw new ArgumentError(`logits gave ${shown(given)}, which is not a tensor`, {
          op: 'generateText',
          advice: 'Return a tensor (1, time, 256)',
        });
      const last = given.select(1, -1);
      return last.float().div(temperature).softmax(-1).multinomial(1).item();
    });
  const add = async (): Promise<void> => {
    for (let i = 0; i < length; i++) bytes.push(await drawNext());
  };
  await withGenerator(new Generator(seed), () => noGrad(add));
  return Buffer.from(bytes).toString();
}
