import type { OpInfo } from '../dispatch/op.ts';
import { AutocastError } from '../errors.ts';
import { cut, shown } from '../shown.ts';

/**
 * The treatment of the floating inputs of an op by autocast. float64 is never cast.
 * low      They are cast to the low dtype, in which matrix products and convolutions are faster.
 * fp32     The op computes and returns float32; its kernel reads 16-bit inputs as they are.
 * promote  They are cast to the widest dtype among them.
 * banned   The op is refused, because its gradient does not fit 16 bits.
 * input    They are left alone, and promote as without autocast.
 */
export type Policy = 'low' | 'fp32' | 'promote' | 'banned' | 'input';
export const policyNames: readonly Policy[] = ['low', 'fp32', 'promote', 'banned', 'input'];

/**
 * The version of the table of policies, raised whenever an op gets another policy. 2: square is float32, because PyTorch computes it as a
 * power. 3: exp2 and indexCopy are left alone, because they are on none of PyTorch's CUDA lists; a number divided by a tensor is float32,
 * because PyTorch computes it as a reciprocal.
 */
export const POLICY_VERSION = 3;

/** An op with the properties that autocast reads. */
export interface AutocastOp<P = any> extends OpInfo<P> {
  readonly policy: Policy;
  /** Do users call it directly? Otherwise a function around it has already looked for an override. */
  readonly direct: boolean;
}

/**
 * The result of a public op or function that can only have its own policy: moved or converted elements ('moves'), or bool and integers
 * ('answers').
 */
export type Gives = 'moves' | 'answers' | null;
interface Entry {
  readonly policy: Policy;
  readonly gives: Gives;
  /** The advice what to call instead of an op with the policy 'banned'. */
  readonly instead?: string | undefined;
}
const entries = new Map<string, Entry>();
/** Enters an op or function into autocast's table. ops/ calls it for everything that is public. */
export const setPolicy = (name: string, entry: Entry): void => void entries.set(name, entry);
/** Returns the advice what to call instead of a banned op. */
export const insteadOf = (name: string): string => entries.get(name)?.instead ?? 'Use another op';

/** The names in autocast's table. ops/ declares them. */
export interface PolicyNames {}
/** The name of an op or function that has an autocast policy. */
export type PolicyName = keyof PolicyNames & string;
/** The policies that ops have in a scope in place of their own, by the names of the ops. */
export type Overrides = Partial<Record<PolicyName, Policy>>;

export const policyOf = (name: string): Policy => entries.get(name)?.policy ?? 'input';
/** Returns the table: every op, and what autocast does with its inputs. */
export const policyTable = (): Record<PolicyName, Policy> =>
  Object.fromEntries([...entries].map(([name, { policy }]) => [name, policy])) as Record<PolicyName, Policy>;

/** Returns why an op cannot have a policy other than its own; null if it can. */
function whyNotPolicy(name: string, policy: Policy): string | null {
  if (policy === 'input') return null;
  const { gives } = entries.get(name)!;
  if (gives === 'moves') return 'moves or converts elements as it is told, whatever the dtype';
  return gives === 'answers' && policy !== 'banned' ? 'returns bool or integers, whatever the dtype' : null;
}

/** @throws AutocastError for an unknown op or policy, and for a policy that the op cannot have */
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
