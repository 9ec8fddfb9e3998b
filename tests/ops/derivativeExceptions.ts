export type Check = 'float64' | 'float32' | 'float16' | 'bfloat16' | 'second';

/** A place where Castor's derivatives are not PyTorch's, or are less precise, and why. */
export interface Exception {
  readonly name: RegExp;
  readonly checks: readonly Check[];
  /** Matches the messages that are expected. */
  readonly text: RegExp;
  readonly reason: string;
}

const every: readonly Check[] = ['float64', 'float32', 'float16', 'bfloat16', 'second'];

export const exceptions: readonly Exception[] = [
  {
    name: /^fmod at special points/,
    checks: every,
    text: /^second derivative by 2|^operand 1, .* of \(-?Infinity, /,
    reason: 'The remainder of an infinity is NaN, and so is its gradient here; PyTorch gives an infinite one.',
  },
  {
    name: /^norm of order -?inf of special rows/,
    checks: every,
    text: /^operand 0, element [012] of/,
    reason: 'The norm of a row with NaN is NaN, and so is its gradient, as that of amax; PyTorch gives 0.',
  },
  {
    name: /^binaryCrossEntropy of saturated probabilities/,
    checks: ['second'],
    text: /^second derivative by 0, element [1256]:/,
    reason:
      'For wrong answers PyTorch gives up to 1e24, the square of what it clamps by; here the clamped slope is constant.',
  },
  {
    name: /^binaryCrossEntropy, hard targets/,
    checks: ['second'],
    text: /^second derivative by 0/,
    reason: 'PyTorch adds 1e-12 to what it divides by, which tells at 1e-7; here nothing is added.',
  },
];

/**
 * Cases in which more rounding errors are allowed than PyTorch's own gradients have, in units of the last place, and
 * why.
 */
export const looser: readonly { name: RegExp; dtypes: readonly Check[]; units: number; reason: string }[] = [
  {
    name: /^attention/,
    dtypes: ['float16', 'bfloat16'],
    units: 1.6,
    reason:
      "The fused kernel reads the output as it was rounded to 16 bits, as FlashAttention on GPUs does; PyTorch's on the CPU keeps the " +
      'probabilities in float32.',
  },
  {
    name: /^binaryCrossEntropyWithLogits, gradients of weights/,
    dtypes: ['float32'],
    units: 5,
    reason: 'The gradient of the target is the difference of two terms some ten times as large, in PyTorch too.',
  },
  {
    name: /^(tan|atan2)\b/,
    dtypes: ['float32'],
    units: 2.5,
    reason:
      'The formula has three roundings beside that of the function, and compilers contract different ones to multiply-adds.',
  },
];
