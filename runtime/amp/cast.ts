import { noteRead } from '../autograd/record.ts';
import { current, withInner } from '../context.ts';
import type { Kind } from '../dispatch/kinds.ts';
import type { OpInfo } from '../dispatch/op.ts';
import { AutocastError } from '../errors.ts';
import { float32, float64, type DTypeInfo } from '../tensor/dtype.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';
import type { Policy } from './policy.ts';
import type { AutocastReport } from './report.ts';
import { lowFor, policyIn, type AutocastState } from './state.ts';

/** Kinds whose kernels return the dtype they read: float32 out of them takes float32 in. All others convert as they read. */
const products: ReadonlySet<Kind> = new Set<Kind>(['matmul', 'linear', 'convolution', 'attention']);

/** Replaces operands by what a policy wants. Returns the copies made for this call alone; null when there are none. */
export function castInputs(
  op: OpInfo,
  policy: Policy,
  inputs: Operand[],
  state: AutocastState,
  grad: boolean,
): Tensor[] | null {
  if (policy === 'fp32' && !products.has(op.kind)) return null;
  const low = policy === 'low' || (policy === 'promote' && allLow(inputs, state));
  const { cache, report } = state;
  let copies: Tensor[] | null = null;
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]!;
    // Cheaper than instanceof: an operand that is an object is a tensor.
    if (input === null || typeof input !== 'object') continue;
    const own = lowFor(input, state);
    const target = low ? own : float32;
    if (own === null || input.info === target) continue;
    noteRead(input);
    let cast = cache === null ? null : cache.cast(input, target!, grad, report);
    if (cast === null) (copies ??= []).push((cast = copyOf(input, target!, report)));
    inputs[i] = cast;
  }
  return copies;
}

/** Promote: the widest; two different 16-bit dtypes meet in float32, in whatever order they come. */
const allLow = (inputs: readonly Operand[], state: AutocastState): boolean =>
  inputs.filter(isTensor).every(t => [null, t.info].includes(lowFor(t, state)));

function copyOf(t: Tensor, info: DTypeInfo, report: AutocastReport | null): Tensor {
  if (report === null) return t.to(info.name);
  // Noted as a cast, not as a call of the user's.
  const copy = withInner({ ...current(), autocast: null }, () => t.to(info.name), undefined);
  report.noteCast(t, copy, 'none');
  return copy;
}

/** The dtype the fp32 policy wants an op to return, whose kernel converts as it reads; null for what autocast leaves alone. */
export function wideResult(op: OpInfo, inputs: readonly Operand[], state: AutocastState): DTypeInfo | null {
  if (op.result === 'bool' || op.result === 'int64') return null;
  for (const input of inputs) if (isTensor(input) && input.info === float64) return null;
  return inputs.some(input => isTensor(input) && lowFor(input, state) !== null) ? float32 : null;
}

/** Runs a composed op under its policy: banned ones throw, float32 ones compute in float32 throughout. */
export function underPolicy<T>(name: string, own: Policy, state: AutocastState, run: (state: AutocastState) => T): T {
  const policy = policyIn(state, name, own);
  if (policy === 'banned' && state.low.some(info => info !== null))
    throw new AutocastError('the gradient of this loss does not fit 16 bits, so autocast refuses it', {
      op: name,
      advice:
        'Drop the sigmoid and use binaryCrossEntropyWithLogits, or call it under autocast({ enabled: false }, ...) with float32 inputs',
    });
  return run(policy === 'input' || state.force !== null ? state : { ...state, force: policy });
}
