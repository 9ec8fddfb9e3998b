import { current, type AutocastMode, type Mode } from '../context.ts';
import { bfloat16, float16, float64, type DTypeInfo } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { CastCache } from './castCache.ts';
import type { AutocastOp, Policy } from './policy.ts';
import type { Notes } from './report.ts';

/** The state of autocast in the running code. Immutable: a nested scope makes a new one. Lists are by kind of device (0 cpu, 1 cuda). */
export interface AutocastState extends AutocastMode {
  /** The low dtype; null where autocast is off. */
  readonly low: readonly (DTypeInfo | null)[];
  /** The low dtype, on or off: what a nested scope without one of its own takes. */
  readonly chosen: readonly DTypeInfo[];
  /** null where it is switched off. */
  readonly cache: CastCache | null;
  /** The cache of the outermost scope, also where caching is switched off. */
  readonly ownCache: CastCache;
  /** Inside a listed composed op, every op follows its policy. */
  readonly force: Policy | null;
  /** The policy that an override gave the running function in place of its own; used in reports. */
  readonly given: Policy | null;
  /** Ops that have another policy here; null for none. */
  readonly overrides: ReadonlyMap<string, Policy> | null;
  /** The report that calls and casts are added to, or null. */
  readonly report: Notes | null;
}

/** The state of autocast in a mode; null outside of every scope. */
export const autocastIn = (mode: Mode): AutocastState | null => mode.autocast as AutocastState | null;
export const autocastHere = (): AutocastState | null => autocastIn(current());

/** Outside every scope. */
export const OFF: Pick<AutocastState, 'low' | 'chosen' | 'overrides' | 'report'> = {
  low: [null, null],
  chosen: [bfloat16, float16],
  overrides: null,
  report: null,
};

/** The place of a device in the lists of a state. */
export const kindOf = (device: number): number => device & 255;

/** The policy a scope gives an op in place of its own; null when it gives none. */
export const overrideIn = (state: AutocastState, name: string): Policy | null =>
  state.overrides === null || state.force !== null ? null : (state.overrides.get(name) ?? null);

/** The policy an op follows here. */
export const policyHere = (op: AutocastOp, state: AutocastState): Policy =>
  state.force === null && state.overrides === null ? op.policy : policyGiven(op, state);

/** Conversions and views keep their policy: a conversion names its dtype, and a view shares the memory of its input. */
function policyGiven({ kind, name, policy, direct }: AutocastOp, state: AutocastState): Policy {
  if (kind.moves) return policy;
  return state.force ?? (direct ? overrideIn(state, name) : null) ?? policy;
}

/** The dtype autocast would cast this tensor to, or null when it leaves it alone: integers, float64, devices where it is off. */
export function lowFor(t: Tensor, { low }: AutocastState): DTypeInfo | null {
  const { info } = t;
  return info.category === 'float' && info !== float64 ? low[kindOf(t.storage.device)]! : null;
}
