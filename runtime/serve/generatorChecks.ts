import { ArgumentError, DTypeError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import type { GenerateOptions } from './generation.ts';
import type { Tokenizer } from './tokens.ts';

/** The name of the function in errors. */
export const GENERATE = 'TextGenerator.generate';

/** The tokens of a prompt. @throws ArgumentError if it is none, empty or too long */
export function tokensOf(
  prompt: string | readonly number[],
  tokenizer: Tokenizer | null,
  context: number,
): readonly number[] {
  if (typeof prompt !== 'string' && !Array.isArray(prompt))
    throw new ArgumentError(`the prompt is ${shown(prompt)}`, {
      op: GENERATE,
      advice: 'Pass a text or an array of tokens',
    });
  if (typeof prompt === 'string' && tokenizer === null)
    throw new ArgumentError('the prompt is a text, and the generator has no tokenizer', {
      op: GENERATE,
      advice: 'Pass an array of tokens, or give generator() a tokenizer with encode() and decode()',
    });
  const tokens = typeof prompt === 'string' ? [...tokenizer!.encode(prompt)] : [...(prompt as readonly number[])];
  const wrong = tokens.findIndex(token => !Number.isSafeInteger(token) || token < 0);
  if (wrong >= 0)
    throw new ArgumentError(`the prompt has ${shown(tokens[wrong])}, which is not a token`, {
      op: GENERATE,
      advice: 'Pass whole numbers from 0 on',
    });
  if (tokens.length > 0 && tokens.length < context) return tokens;
  throw new ArgumentError(`the prompt has ${tokens.length} tokens, and a sequence has room for ${context}`, {
    op: GENERATE,
    advice:
      tokens.length === 0
        ? 'Begin with a token that stands for the start of a text'
        : 'Shorten it, or raise context and kvCache.tokens',
  });
}

/** @throws ArgumentError for options of a request that make no sense */
export function checkStops({ stop = [], maxTokens = 1 }: GenerateOptions, hasTokenizer: boolean): void {
  if (maxTokens < 1)
    throw new ArgumentError(`maxTokens is ${maxTokens}, and must be at least 1`, {
      op: GENERATE,
      advice: 'Leave it out for the default',
    });
  const wrong = stop.find(each => (typeof each === 'string' ? each === '' || !hasTokenizer : each < 0));
  if (wrong !== undefined)
    throw new ArgumentError(`${shown(wrong)} cannot stop a generation`, {
      op: GENERATE,
      advice: 'Pass tokens, or with a tokenizer texts that are not empty',
    });
}

/** @throws errors for what is not logits (batch, time, vocabulary) */
export function checkedLogits(logits: unknown, tokens: Tensor): Tensor {
  const context = {
    op: 'generator',
    advice: 'The model must return the logits (batch, time, vocabulary) of each token',
  };
  if (!isTensor(logits)) throw new ArgumentError(`the model returned ${shown(logits)}`, context);
  const [batch, time] = tokens.shape;
  if (logits.shape.length !== 3 || logits.shape[0] !== batch || logits.shape[1] !== time || logits.shape[2] === 0)
    throw new ShapeError('the model returned a tensor of another shape', {
      ...context,
      shapes: [logits.shape, tokens.shape],
    });
  if (!logits.isFloat)
    throw new DTypeError('the model returned no floating numbers', { ...context, dtypes: [logits.dtype] });
  return logits;
}
