import { current, withMode } from '../context.ts';
import type { OpInfo } from '../dispatch/op.ts';
import { AutocastError } from '../errors.ts';
import { deviceCode, getDefaultDevice, type Device } from '../tensor/device.ts';
import { bfloat16, dtypes, float16, float32, float64, type DTypeInfo, type LowDType } from '../tensor/dtype.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';
import { CastCache } from './castCache.ts';
import type { Policy } from './policy.ts';

export interface AutocastOptions {
  /** float16 on cuda and bfloat16 on cpu unless given, or that of the surrounding scope. */
  dtype?: LowDType;
  enabled?: boolean;
  /** Cast a weight once a scope, however often it is used. */
  cacheEnabled?: boolean;
  device?: Device;
}

/** What autocast is doing here. Frozen: nested scopes make a new one. Lists are by kind of device (0 cpu, 1 cuda). */
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
}

const kindOf = (device: number): number => device & 255;
const OFF = { low: [null, null], chosen: [bfloat16, float16], cache: null } as const;

/**
 * Runs fn, sync or async, with products in a 16-bit dtype and delicate ops in float32 (see policyTable()). The scope follows fn
 * through every await and is gone when it returns, throws or rejects. Parameters stay float32; so do their gradients.
 * @throws AutocastError for a dtype that is not 16-bit, DeviceError for a device that is not there
 */
export function autocast<T>(fn: () => T): T;
export function autocast<T>(options: AutocastOptions, fn: () => T): T;
export function autocast<T>(first: AutocastOptions | (() => T), second?: () => T): T {
  const [options, fn] = typeof first === 'function' ? [{}, first] : [first, second];
  if (typeof fn !== 'function')
    throw new AutocastError('there is no function to run', {
      op: 'autocast',
      advice: 'Call autocast(options, () => ...)',
    });
  const outer = current().autocast;
  const ownCache = outer?.ownCache ?? new CastCache();
  const cached = options.cacheEnabled ?? (outer === null || outer.cache !== null);
  const autocast = Object.freeze({
    ...lowWith(options, outer ?? OFF),
    cache: cached ? ownCache : null,
    ownCache,
    force: null,
  });
  const run = (): T => withMode({ autocast }, fn);
  return outer === null ? finallyDo(run, () => ownCache.dispose()) : run();
}

function lowWith(
  options: AutocastOptions,
  { low, chosen }: Pick<AutocastState, 'low' | 'chosen'>,
): Pick<AutocastState, 'low' | 'chosen'> {
  const { dtype, enabled = true, device = getDefaultDevice() } = options;
  const kind = kindOf(deviceCode(device, 'autocast'));
  const info = dtype === undefined ? chosen[kind]! : dtypes[dtype];
  const fits = info === float16 || info === bfloat16;
  if (!fits && enabled)
    throw new AutocastError(`cannot cast to ${String(dtype)}: autocast computes in 16 bits`, {
      op: 'autocast',
      advice: "Use 'float16', 'bfloat16', or { enabled: false }",
    });
  return { low: low.with(kind, enabled ? info : null), chosen: fits ? chosen.with(kind, info) : chosen };
}

/** Runs fn and then last, when a promise it returned has settled. */
function finallyDo<T>(fn: () => T, last: () => void): T {
  let result: T;
  try {
    result = fn();
  } catch (error) {
    last();
    throw error;
  }
  if (result instanceof Promise) return result.finally(last) as T;
  last();
  return result;
}

/** Is autocast on here, for a device? */
export const isAutocastEnabled = (device: Device = getDefaultDevice()): boolean => autocastDType(device) !== null;
/** The dtype products are computed in here, or null when autocast is off. */
export function autocastDType(device: Device = getDefaultDevice()): LowDType | null {
  return (current().autocast?.low[kindOf(deviceCode(device, 'autocast'))]?.name ?? null) as LowDType | null;
}

/** Conversions say themselves what they give, also those that autocast itself makes. */
const policyHere = (op: OpInfo, state: AutocastState): Policy =>
  op.kind === 'copy' ? 'input' : (state.force ?? op.policy);

/** The dtype autocast would cast this tensor to, or null when it leaves it alone. */
function lowFor(t: Tensor, { low }: AutocastState): DTypeInfo | null {
  return t.info.category === 'float' && t.info !== float64 ? low[kindOf(t.storage.device)]! : null;
}

/** The operands as the op's policy wants them; the same array when nothing changes. */
export function castInputs(op: OpInfo, inputs: readonly Operand[], state: AutocastState): readonly Operand[] {
  const policy = policyHere(op, state);
  if (policy === 'input' || policy === 'fp32') return inputs;
  const eligible = inputs.filter(isTensor).filter(t => lowFor(t, state) !== null);
  if (eligible.length === 0) return inputs;
  const low = lowFor(eligible[0]!, state)!;
  // Promote: the widest; two different 16-bit dtypes meet in float32, in whatever order they come.
  const target = policy === 'low' || eligible.every(t => t.info === low) ? low : float32;
  if (eligible.every(t => t.info === target)) return inputs;
  return inputs.map(input =>
    isTensor(input) && lowFor(input, state) !== null ? castTo(input, target, state.cache) : input,
  );
}

function castTo(t: Tensor, info: DTypeInfo, cache: CastCache | null): Tensor {
  if (t.info === info) return t;
  return cache !== null && CastCache.accepts(t) ? cache.cast(t, info) : t.to(info.name);
}

/** The dtype autocast wants an op to return: float32 for the float32 policy, whose kernels convert as they read. */
export function resultDType(op: OpInfo, inputs: readonly Operand[], state: AutocastState): DTypeInfo | null {
  if (policyHere(op, state) !== 'fp32' || op.result === 'bool' || op.result === 'int64') return null;
  for (const input of inputs) if (isTensor(input) && input.info === float64) return null;
  return inputs.some(input => isTensor(input) && lowFor(input, state) !== null) ? float32 : null;
}

/** Runs a composed op under its policy: banned ones throw, float32 ones compute in float32 throughout. */
export function underPolicy<T>(
  name: string,
  policy: Policy,
  state: AutocastState,
  run: (state: AutocastState) => T,
): T {
  if (policy === 'banned' && state.low.some(info => info !== null))
    throw new AutocastError('the gradient of this loss does not fit 16 bits, so autocast refuses it', {
      op: name,
      advice:
        'Drop the sigmoid and use binaryCrossEntropyWithLogits, or call it under autocast({ enabled: false }, ...) with float32 inputs',
    });
  return run(policy === 'input' || state.force !== null ? state : { ...state, force: policy });
}
