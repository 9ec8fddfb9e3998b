import type { Policy } from '../amp/policy.ts';
import type { Rule } from '../autograd/derivatives.ts';
import { ArgumentError, CastorError, DeviceError, DTypeError, type ErrorContext } from '../errors.ts';
import { OUT_OF_MEMORY, raise } from '../ffi/check.ts';
import { shown } from '../shown.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import { outOfMemory } from '../tensor/storage.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';
import type { Kind, KindParams } from './kinds.ts';

/** Which dtype a result has: that of the inputs, a floating one, bool, or int64. */
export type ResultRule = 'same' | 'float' | 'bool' | 'int64';

/**
 * How an op whose result has the dtype of its inputs treats bool: 'kept' computes with it; 'int64' takes it as a number; ops that
 * PyTorch refuses are refused if the result dtype of the inputs is bool ('refused'), or if any input is bool ('never').
 */
export type BoolRule = 'kept' | 'int64' | 'refused' | 'never';

/** What is known of an op, apart from how it runs. */
export interface OpInfo {
  readonly name: string;
  readonly kind: Kind;
  readonly result: ResultRule;
  readonly bool: BoolRule;
  /** Number within its kind, as the native library counts; -1 for kinds that have no numbers. */
  readonly code: number;
  readonly rule: Rule;
  readonly policy: Policy;
}

/** An op, ready to be called: a row of the table joined with its number, its derivative and its autocast policy. */
export interface Op<K extends Kind = Kind> extends OpInfo {
  readonly kind: K;
  readonly run: Run<K>;
}

/**
 * Computes an op: promotes, broadcasts, allocates and calls the native function of the kind. `dtype` asks for another result
 * dtype (autocast's float32 policy); the kernel then converts as it writes. Outputs past the first are not differentiable.
 */
export type Run<K extends Kind> = (
  op: Op<K>,
  inputs: readonly Operand[],
  params: KindParams[K],
  dtype: DTypeInfo | null,
) => Tensor | readonly Tensor[];

/** Shapes and dtypes of a call, for its error. */
export function contextOf(op: { name: string }, inputs: readonly unknown[]): ErrorContext {
  const tensors = inputs.filter(isTensor);
  return { op: op.name, shapes: tensors.map(t => t.shape), dtypes: tensors.map(t => t.dtype) };
}

/** An error on its way out of a call, told what the thrower could not know; an operand that is none is named. */
export function explained(error: unknown, op: { name: string }, inputs: readonly unknown[]): unknown {
  if (error instanceof CastorError) return error.explain(contextOf(op, inputs));
  const wrong = inputs.findIndex(input => typeof input !== 'number' && !isTensor(input));
  if (!(error instanceof TypeError)) return error;
  if (!inputs.some(isTensor))
    return new ArgumentError(`operand 0 is ${shown(inputs[0])}, not a tensor`, {
      op: op.name,
      advice: 'Pass a tensor',
    });
  if (wrong < 0) return error;
  return new ArgumentError(`operand ${wrong} is ${shown(inputs[wrong])}, neither a tensor nor a number`, {
    ...contextOf(op, inputs),
    advice: 'Pass a tensor or a number; tensor() makes one of arrays',
  });
}

export function check(status: number, op: { name: string }, inputs: readonly unknown[]): void {
  if (status === 0) return;
  if (status === OUT_OF_MEMORY) throw outOfMemory(inputs.find(isTensor)!.storage.device, contextOf(op, inputs));
  raise(status, contextOf(op, inputs));
}

/** @throws DeviceError unless all tensors live on one device, which is returned */
export function deviceOf(op: { name: string }, inputs: readonly Operand[]): number {
  let device = -1;
  for (const input of inputs) {
    if (input === null || typeof input === 'number') continue;
    if (device < 0) device = input.storage.device;
    else if (device !== input.storage.device) {
      const devices = inputs.filter(isTensor).map(t => t.device);
      throw new DeviceError(`tensors are on different devices: ${devices.join(', ')}`, {
        ...contextOf(op, inputs),
        advice: 'Move them with to(device)',
      });
    }
  }
  return device;
}

/** @throws DTypeError unless a tensor is floating */
export function needFloat(op: { name: string }, t: Tensor, what = 'the input'): void {
  if (t.info.category !== 'float')
    throw new DTypeError(`${what} must be floating, not ${t.dtype}`, {
      op: op.name,
      advice: "Convert it with to('float32')",
    });
}

/** Autocast gives two floating tensors one dtype, but never touches float64. */
function mixedAdvice(a: Tensor, b: Tensor): string {
  const wide = a.dtype === 'float64' ? 'first' : b.dtype === 'float64' ? 'second' : null;
  if (wide !== null)
    return `Convert the ${wide} with to('float32'), or the other with to('float64'): autocast leaves float64 as it is`;
  return a.isFloat && b.isFloat
    ? 'Convert one with to(dtype), or run the model under autocast, which gives both one dtype'
    : 'Convert one with to(dtype)';
}

/** @throws DTypeError unless both tensors have one dtype, as products demand */
export function needSame(op: { name: string }, a: Tensor, b: Tensor): void {
  if (a.info !== b.info)
    throw new DTypeError(`operands have different dtypes: ${a.dtype} and ${b.dtype}`, {
      op: op.name,
      advice: mixedAdvice(a, b),
    });
}

/** @throws DTypeError unless a tensor holds indices (int32 or int64) */
export function needIndex(op: { name: string }, t: Tensor): void {
  if (t.dtype !== 'int64' && t.dtype !== 'int32')
    throw new DTypeError(`indices must be int64 or int32, not ${t.dtype}`, {
      op: op.name,
      advice: "Convert them with to('int64')",
    });
}
