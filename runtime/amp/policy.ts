import { AutocastError } from '../errors.ts';

/**
 * What autocast does with an op's floating inputs (float64 excepted):
 * low      cast to the low dtype, as products profit from it;
 * fp32     computed and returned in float32; the kernel reads 16-bit inputs as they are;
 * promote  cast to the widest of them;
 * banned   refused, because its gradient does not fit 16 bits;
 * input    left alone: native promotion.
 */
export type Policy = 'low' | 'fp32' | 'promote' | 'banned' | 'input';
export const policyNames: readonly Policy[] = ['low', 'fp32', 'promote', 'banned', 'input'];

/**
 * Raised whenever a row of the table changes its policy. 2: square is float32, as PyTorch's is a power. 3: exp2 and indexCopy are
 * left alone, as they stand on none of PyTorch's CUDA lists; a number divided by a tensor is float32, as PyTorch's is a reciprocal.
 */
export const POLICY_VERSION = 3;

const words = <const T extends string>(text: T): Words<T>[] => text.split(' ') as Words<T>[];
type Words<T extends string> = T extends `${infer A} ${infer Rest}` ? A | Words<Rest> : T;

/** PyTorch's CUDA table, for both devices. Every public op stands in it once; a test proves that none is forgotten. */
const lists = {
  low: words('matmul linear convolution scaledDotProductAttention'),
  fp32: [
    ...words('acos asin cosh sinh tan erfinv exp expm1 log log10 log1p log2 reciprocal rsqrt square softplus pow'),
    ...words('sum prod norm logSumExp cumsum cumprod softmax logSoftmax layerNorm rmsNorm groupNorm'),
    ...words('crossEntropy nllLoss mseLoss l1Loss binaryCrossEntropyWithLogits'),
  ],
  promote: words('addcdiv addcmul atan2 scatterAdd'),
  banned: words('binaryCrossEntropy'),
  input: [
    ...words('abs neg sign floor ceil round trunc sqrt sin cos atan tanh erf erfc sigmoid logSigmoid relu silu mish'),
    ...words('gelu elu leakyRelu clamp isNaN isInf isFinite logicalNot dropout exp2'),
    ...words('add sub mul div maximum minimum fmod remainder floorDivide hypot lerp where maskedFill'),
    ...words('logicalAnd logicalOr logicalXor bitwiseAnd bitwiseOr bitwiseXor eq ne lt le gt ge'),
    ...words('mean var std max min amax amin argmax argmin any all countNonzero sort argsort topk multinomial'),
    ...words(
      'cat stack broadcastTo chunk clone contiguous expand flatten flip narrow permute reshape select slice split',
    ),
    ...words('squeeze transpose unbind unflatten unsqueeze view to float half double long at set_ tril triu'),
    ...words(
      'gather indexSelect indexAdd indexCopy scatter embedding oneHot maxPool2d maxPool2dWithIndices avgPool2d batchNorm',
    ),
  ],
} as const satisfies Record<Policy, readonly string[]>;

/** An op the table names. */
export type PolicyName = (typeof lists)[Policy][number];
/** Op -> policy, for ops that are to have another one in a scope. */
export type Overrides = Partial<Record<PolicyName, Policy>>;

const policies = new Map<string, Policy>(
  policyNames.flatMap(policy => lists[policy].map(name => [name, policy] as const)),
);

export const policyOf = (name: string): Policy => policies.get(name) ?? 'input';
/** The table as data: every op and what autocast does with its inputs. */
export const policyTable = (): Record<PolicyName, Policy> => Object.fromEntries(policies) as Record<PolicyName, Policy>;

/** @throws AutocastError for an op or a policy that is not there */
export function checkedOverrides(overrides: Overrides): ReadonlyMap<string, Policy> {
  for (const [name, policy] of Object.entries(overrides)) {
    if (!policies.has(name))
      throw new AutocastError(`overrides: there is no op '${name}'`, {
        op: 'autocast',
        advice: 'autocast.policy() lists them',
      });
    if (!policyNames.includes(policy))
      throw new AutocastError(`overrides: '${String(policy)}' is no policy for ${name}`, {
        op: 'autocast',
        advice: `Use one of ${policyNames.join(', ')}`,
      });
  }
  return new Map(Object.entries(overrides));
}
