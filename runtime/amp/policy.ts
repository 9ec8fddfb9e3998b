import type { OpInfo } from '../dispatch/op.ts';
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

/** An op with what autocast needs to know of it. */
export interface AutocastOp<P = any> extends OpInfo<P> {
  readonly policy: Policy;
  /** Do users call it directly? Otherwise a function around it has already looked for an override. */
  readonly direct: boolean;
}

/** What a public op or function gives, where only its own policy makes sense: moved or converted elements, or bool and integers. */
export type Gives = 'moves' | 'answers' | null;
interface Entry {
  readonly policy: Policy;
  readonly gives: Gives;
  /** For banned ones: the advice what to call instead. */
  readonly instead?: string | undefined;
}
const entries = new Map<string, Entry>();
/** Enters an op or function into autocast's table. ops/ does it for everything that is public. */
export const setPolicy = (name: string, entry: Entry): void => void entries.set(name, entry);
/** What to call instead of an op that is banned. */
export const insteadOf = (name: string): string => entries.get(name)?.instead ?? 'Use another op';

/** The names in autocast's table. ops/ declares them. */
export interface PolicyNames {}
/** The name of an op or function that has an autocast policy. */
export type PolicyName = keyof PolicyNames & string;
/** Op -> policy, for ops that are to have another one in a scope. */
export type Overrides = Partial<Record<PolicyName, Policy>>;

export const policyOf = (name: string): Policy => entries.get(name)?.policy ?? 'input';
/** The table as data: every op and what autocast does with its inputs. */
export const policyTable = (): Record<PolicyName, Policy> =>
  Object.fromEntries([...entries].map(([name, { policy }]) => [name, policy])) as Record<PolicyName, Policy>;

/** Why an op cannot have a policy that is not its own; null when it can. */
function whyNotPolicy(name: string, policy: Policy): string | null {
  if (policy === 'input') return null;
  const { gives } = entries.get(name)!;
  if (gives === 'moves') return 'moves or converts elements as it is told, whatever the dtype';
  return gives === 'answers' && policy !== 'banned' ? 'returns bool or integers, whatever the dtype' : null;
}

/** @throws AutocastError for an op or a policy that is not there, and for a policy that means nothing to the op */
export function checkedOverrides(overrides: Overrides): ReadonlyMap<string, Policy> {
  for (const [name, policy] of Object.entries(overrides)) {
    if (!entries.has(name))
      throw new AutocastError(`overrides: there is no op '${cut(name)}'`, {
        op: 'autocast',
        advice: 'autocast.policy() lists them',
      });
    if (!policyNames.includes(policy))
      throw new AutocastError(`overrides: ${shown(policy)} is not a policy for ${name}`, {
        op: 'autocast',
        advice: `Use one of ${policyNames.join(', ')}`,
      });
    const why = whyNotPolicy(name, policy);
    if (why !== null)
      throw new AutocastError(`overrides: ${name} ${why}, so it cannot have the policy '${policy}'`, {
        op: 'autocast',
        advice: "Leave it out, or convert its input with to('float32')",
      });
  }
  return new Map(Object.entries(overrides));
}
