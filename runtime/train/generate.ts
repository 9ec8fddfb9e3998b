import { callable, checked, number, options, required, text } from '../arguments.ts';
import { ArgumentError } from '../errors.ts';
import { noGrad } from '../autograd/autograd.ts';
import { fromTypedArray } from '../tensor/create.ts';
import { Generator, withGenerator } from '../tensor/generator.ts';
import { shown } from '../shown.ts';
import { tidy } from '../tensor/scope.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';

/** Bytes of one call: more would be waited for without a word. */
const LONGEST = 2 ** 20;

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
      throw new ArgumentError(`${name} ${value} is not a whole number above 0`, {
        op: 'generateText',
        advice: 'Both are counted in bytes: what the model sees at once, and what is to be generated',
      });
  if (length > LONGEST)
    throw new ArgumentError(`length ${length} is more than ${LONGEST}`, {
      op: 'generateText',
      advice: 'Generate in parts, each of which goes on behind the one before',
    });
  if (!(temperature > 0))
    throw new ArgumentError(`temperature ${temperature} is not above 0`, {
      op: 'generateText',
      advice: 'A small one, such as 0.01, gives the likeliest text',
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
