import { current, type AutocastMode, type Mode } from '../context.ts';
import { bfloat16, float16, float64, type DTypeInfo } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { CastCache } from './castCache.ts';
import type { AutocastOp, Policy } from './policy.ts';
import type { Notes } from './report.ts';

/**
 * The state of autocast in the running code. It is immutable: a nested scope makes a new one. Lists have one item for each kind of
 * device: 0 cpu, 1 cuda.
 */
export interface AutocastState extends AutocastMode {
  /** The low dtype, float16 or bfloat16; null for devices where autocast is off. */
  readonly low: readonly (DTypeInfo | null)[];
  /** The low dtype, also where autocast is off: a nested scope that is given no dtype takes it. */
  readonly chosen: readonly DTypeInfo[];
  /** The cache of 16-bit copies; null where caching is switched off. */
  readonly cache: CastCache | null;
  /** The cache of the outermost scope, also where caching is switched off. */
  readonly ownCache: CastCache;
  /** The policy that every op follows inside a composed op; null outside of composed ops. */
  readonly force: Policy | null;
  /** The policy that an override gave the running function in place of its own; used in reports. */
  readonly given: Policy | null;
  /** The policies that ops have here in place of their own, by name; null if there are none. */
  readonly overrides: ReadonlyMap<string, Policy> | null;
  /** The report that calls and casts are added to, or null. */
  readonly report: Notes | null;
}

/** Returns the state of autocast in a mode; null outside of every scope. */
export const autocastIn = (mode: Mode): AutocastState | null => mode.autocast as AutocastState | null;
export const autocastHere = (): AutocastState | null => autocastIn(current());

/** The parts of the state that apply outside of every scope. */
export const OFF: Pick<AutocastState, 'low' | 'chosen' | 'overrides' | 'report'> = {
  low: [null, null],
  chosen: [bfloat16, float16],
  overrides: null,
  report: null,
};

/** Returns the kind of a device, which is its place in the lists of a state. */
export const kindOf = (device: number): number => device & 255;

/** Returns the policy that a scope gives an op in place of its own; null if it gives none. */
export const overrideIn = (state: AutocastState, name: string): Policy | null =>
  state.overrides === null || state.force !== null ? null : (state.overrides.get(name) ?? null);

/** Returns the policy that an op follows in a state. */
export const policyHere = (op: AutocastOp, state: AutocastState): Policy =>
  state.force === null && state.overrides === null ? op.policy : policyGiven(op, state);

/**
 * Returns the policy that a scope gives an op. Conversions and views keep their own: a conversion names its dtype, and a view shares the
 * memory of its input.
 */
function policyGiven({ kind, name, policy, direct }: AutocastOp, state: AutocastState): Policy {
  if (kind.moves) return policy;
  return state.force ?? (direct ? overrideIn(state, name) : null) ?? policy;
}

/**
 * Does autocast leave an op as it is, without a cast, another result dtype or a note in a report, if all its operands are floating tensors
 * of the dtype and device of this one?
 */
export function leavesAlone(op: AutocastOp, t: Tensor, state: AutocastState): boolean {
  if (state.report !== null) return false;
  const policy = policyHere(op, state);
  if (policy === 'input') return true;
  if (policy === 'promote') return t.info.bytes > 2 || t.info === lowFor(t, state);
  return policy === 'fp32' && t.info.bytes > 2;
}

/** Returns the dtype to which autocast would cast a tensor, or null for integers, float64, and devices where autocast is off. */
export function lowFor(t: Tensor, { low }: AutocastState): DTypeInfo | null {
  const { info } = t;
  return info.category === 'float' && info !== float64 ? low[kindOf(t.storage.device)]! : null;
}
