import { noteReads } from '../autograd/tape.ts';
import type { OpInfo } from '../dispatch/op.ts';
import { AutocastError } from '../errors.ts';
import { float32, float64, type DTypeInfo } from '../tensor/dtype.ts';
import { contiguousCopy } from '../tensor/read.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';
import { recordCast } from './castCache.ts';
import { insteadOf, policyOf, type Policy } from './policy.ts';
import type { Notes } from './report.ts';
import { lowFor, type AutocastState } from './state.ts';

/** Replaces operands by what a policy wants. Returns the copies made for this call alone; null when there are none. */
export function castInputs(
  op: OpInfo,
  policy: Policy,
  inputs: Operand[],
  state: AutocastState,
  grad: boolean,
): Tensor[] | null {
  if (policy === 'banned') refuseBanned(op.name, state);
  return policy === 'fp32' && !op.kind.keepsDType ? null : castTensors(policy, inputs, state, grad);
}

function castTensors(policy: Policy, inputs: Operand[], state: AutocastState, grad: boolean): Tensor[] | null {
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
    let cast = cache === null ? null : cache.cast(input, target!, grad, report);
    if (cast === null) (copies ??= []).push((cast = copyOf(input, target!, grad, report)));
    inputs[i] = cast;
  }
  return copies;
}

/**
 * Has every tensor that autocast may cast the low dtype already? Then the promote policy casts nothing. (float16 and bfloat16 promote to
 * float32.)
 */
const allLow = (inputs: readonly Operand[], state: AutocastState): boolean =>
  inputs.filter(isTensor).every(t => [null, t.info].includes(lowFor(t, state)));

/** Converts a tensor for autocast. It is reported as a cast, not as an op that the user called, and recorded as a CastNode. */
function copyOf(t: Tensor, info: DTypeInfo, grad: boolean, report: Notes | null): Tensor {
  const copy = contiguousCopy(t, info);
  recordCast(t, copy, grad);
  if (report !== null) report.noteCast(t, copy, 'none');
  return copy;
}

/** Returns the dtype in which the fp32 policy makes an op return its result; the kernel converts as it reads. null if nothing changes. */
export function wideResult(op: OpInfo, inputs: readonly Operand[], state: AutocastState): DTypeInfo | null {
  if (op.result === 'bool' || op.result === 'int64') return null;
  for (const input of inputs) if (isTensor(input) && input.info === float64) return null;
  return inputs.some(input => isTensor(input) && lowFor(input, state) !== null) ? float32 : null;
}

/** Returns a value in which every tensor is replaced by the result of fn, also inside arrays, plain objects and Maps. */
export function mapTensors(value: unknown, fn: (t: Tensor, key: string) => Tensor, key = ''): unknown {
  if (isTensor(value)) return fn(value, key);
  if (Array.isArray(value)) return value.map(item => mapTensors(item, fn, key));
  if (value instanceof Map) return new Map([...value].map(([own, item]) => [own, mapTensors(item, fn)]));
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([own, item]) => [own, mapTensors(item, fn, own)]));
}
/** Is it a plain object, such as { ... }, and not an instance of a class? */
export const isPlain = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(value));

/**
 * Casts the arguments of a function by the policy of an override, so that no op inside of it has to cast anything. `written` names the
 * options that the function writes to, which are never cast: it would write to the copy.
 */
export function castArguments<T extends unknown[]>(
  args: T,
  policy: Policy,
  state: AutocastState,
  grad: boolean,
  written: readonly string[],
): T {
  if (policy === 'input') return args;
  const inputs: Tensor[] = [];
  const note = (t: Tensor, key: string): Tensor => {
    if (!written.includes(key)) inputs.push(t);
    return t;
  };
  mapTensors(args, note);
  noteReads(inputs);
  castTensors(policy, inputs, state, grad);
  return mapTensors(args, (t, key) => (written.includes(key) ? t : inputs.shift()!)) as T;
}

/** Returns the state of autocast inside a composed op, where every op follows the policy of the composed op. */
export function under(name: string, policy: Policy, state: AutocastState): AutocastState {
  if (policy === 'input' || state.force !== null) return state;
  if (policy === 'banned') refuseBanned(name, state);
  return { ...state, force: policy };
}

/** @throws AutocastError if autocast is on for any device */
export function refuseBanned(name: string, state: AutocastState): void {
  if (state.low.every(info => info === null)) return;
  const own = policyOf(name) === 'banned';
  throw new AutocastError(
    own
      ? 'the gradient of this loss does not fit 16 bits, so autocast refuses it'
      : 'banned by the overrides of a scope',
    {
      op: name,
      advice: `${insteadOf(name)}, or call it under autocast({ enabled: false }, ...) with float32 inputs`,
    },
  );
}
