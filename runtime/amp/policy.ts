import { AutocastError } from '../errors.ts';
import { cut, shown } from '../shown.ts';

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

/** Ops that move or convert elements as they are told. */
const told = [
  ...words('broadcastTo chunk clone contiguous expand flatten flip narrow permute reshape select slice split squeeze'),
  ...words('transpose unbind unflatten unsqueeze view to float half double long at set_'),
] as const;
/** Ops that answer in bool or integers. */
const answers = [
  ...words('isNaN isInf isFinite logicalNot logicalAnd logicalOr logicalXor bitwiseAnd bitwiseOr bitwiseXor'),
  ...words('eq ne lt le gt ge argmax argmin any all countNonzero argsort multinomial oneHot'),
] as const;

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
    ...words(
      'gelu elu leakyRelu clamp dropout exp2 add sub mul div maximum minimum fmod remainder floorDivide hypot lerp',
    ),
    ...words('where maskedFill mean var std max min amax amin sort topk cat stack tril triu'),
    ...words(
      'gather indexSelect indexAdd indexCopy scatter embedding maxPool2d maxPool2dWithIndices avgPool2d batchNorm',
    ),
    ...answers,
    ...told,
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

const moved: ReadonlySet<string> = new Set(told);
const answered: ReadonlySet<string> = new Set(answers);
/** Why an op cannot have a policy that is not its own; null when it can. */
function senseless(name: string, policy: Policy): string | null {
  if (policy === 'input') return null;
  if (moved.has(name)) return 'moves or converts elements as it is told, whatever the dtype';
  return answered.has(name) && policy !== 'banned' ? 'returns bool or integers, whatever the dtype' : null;
}

/** @throws AutocastError for an op or a policy that is not there, and for a policy that means nothing to the op */
export function checkedOverrides(overrides: Overrides): ReadonlyMap<string, Policy> {
  for (const [name, policy] of Object.entries(overrides)) {
    if (!policies.has(name))
      throw new AutocastError(`overrides: there is no op '${cut(name)}'`, {
        op: 'autocast',
        advice: 'autocast.policy() lists them',
      });
    if (!policyNames.includes(policy))
      throw new AutocastError(`overrides: ${shown(policy)} is not a policy for ${name}`, {
        op: 'autocast',
        advice: `Use one of ${policyNames.join(', ')}`,
      });
    const why = senseless(name, policy);
    if (why !== null)
      throw new AutocastError(`overrides: ${name} ${why}: '${policy}' means nothing to it`, {
        op: 'autocast',
        advice: "Leave it out, or convert its input with to('float32')",
      });
  }
  return new Map(Object.entries(overrides));
}
