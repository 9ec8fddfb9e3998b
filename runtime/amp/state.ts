import type { OpInfo } from '../dispatch/op.ts';
import { bfloat16, float16, float64, type DTypeInfo } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { CastCache } from './castCache.ts';
import type { Policy } from './policy.ts';
import type { AutocastReport } from './report.ts';

/** What autocast is doing here. Never changed: nested scopes make a new one. Lists are by kind of device (0 cpu, 1 cuda). */
export interface AutocastState {
  /** The low dtype; null where autocast is off. */
  readonly low: readonly (DTypeInfo | null)[];
  /** The low dtype, on or off: what a nested scope without one of its own takes. */
  readonly chosen: readonly DTypeInfo[];
  /** null where it is switched off. */
  readonly cache: CastCache | null;
  /** That of the outermost scope, on or off. */
  readonly ownCache: CastCache;
  /** Inside a listed composed op, every op follows its policy. */
  readonly force: Policy | null;
  /** Ops that have another policy here; null for none. */
  readonly overrides: ReadonlyMap<string, Policy> | null;
  /** Where calls and casts are noted; null costs nothing. */
  readonly report: AutocastReport | null;
}

/** Outside every scope. */
export const OFF: Pick<AutocastState, 'low' | 'chosen' | 'overrides' | 'report'> = {
  low: [null, null],
  chosen: [bfloat16, float16],
  overrides: null,
  report: null,
};

/** The place of a device in the lists of a state. */
export const kindOf = (device: number): number => device & 255;

/** The policy an op of this name follows here, apart from the composed op it is part of. */
export const policyIn = (state: AutocastState, name: string, own: Policy): Policy =>
  state.overrides === null ? own : (state.overrides.get(name) ?? own);

/** The policy an op follows here. Conversions say themselves what they give: nothing changes theirs, which is 'input'. */
export const policyHere = (op: OpInfo, state: AutocastState): Policy =>
  (state.force === null && state.overrides === null) || op.kind === 'copy'
    ? op.policy
    : (state.force ?? policyIn(state, op.name, op.policy));

/** The dtype autocast would cast this tensor to, or null when it leaves it alone: integers, float64, devices where it is off. */
export function lowFor(t: Tensor, { low }: AutocastState): DTypeInfo | null {
  const { info } = t;
  return info.category === 'float' && info !== float64 ? low[kindOf(t.storage.device)]! : null;
}
