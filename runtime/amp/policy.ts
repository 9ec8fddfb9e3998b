/**
 * What autocast does with an op's floating inputs (float64 excepted):
 * low      cast to the low dtype, as products profit from it;
 * fp32     computed and returned in float32; the kernel reads 16-bit inputs as they are;
 * promote  cast to the widest of them;
 * banned   refused, because its gradient does not fit 16 bits;
 * input    left alone: native promotion.
 */
export type Policy = 'low' | 'fp32' | 'promote' | 'banned' | 'input';

export const POLICY_VERSION = 1;

/** PyTorch's CUDA table, for both devices. Everything else is declared in `inputOps`; a test proves that nothing is forgotten. */
const lists = {
  low: ['matmul', 'linear', 'convolution', 'scaledDotProductAttention'],
  fp32: [
    ...[
      'acos',
      'asin',
      'cosh',
      'sinh',
      'tan',
      'erfinv',
      'exp',
      'exp2',
      'expm1',
      'log',
      'log10',
      'log1p',
      'log2',
      'reciprocal',
      'rsqrt',
      'softplus',
      'pow',
    ],
    ...[
      'sum',
      'prod',
      'norm',
      'logSumExp',
      'cumsum',
      'cumprod',
      'softmax',
      'logSoftmax',
      'layerNorm',
      'rmsNorm',
      'groupNorm',
    ],
    ...['crossEntropy', 'nllLoss', 'mseLoss', 'l1Loss', 'binaryCrossEntropyWithLogits'],
  ],
  promote: ['addcdiv', 'addcmul', 'atan2', 'scatterAdd', 'indexCopy'],
  banned: ['binaryCrossEntropy'],
} as const satisfies Record<Exclude<Policy, 'input'>, readonly string[]>;

const policies = new Map<string, Policy>(
  Object.entries(lists).flatMap(([policy, names]) => names.map(name => [name, policy as Policy])),
);

export const policyOf = (name: string): Policy => policies.get(name) ?? 'input';
/** The table as data: op -> policy, for ops that have one. */
export const policyTable = (): Record<string, Policy> => Object.fromEntries(policies);
