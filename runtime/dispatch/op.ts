import { ArgumentError, CastorError, DeviceError, DTypeError, type ErrorContext } from '../errors.ts';
import { OUT_OF_MEMORY, raise } from '../ffi/check.ts';
import { shown } from '../shown.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import { outOfMemory } from '../tensor/storage.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';

/**
 * The dtype of an op's result. 'same': that of the inputs. 'sum': the same, but int64 for integers and bool. 'float': the same, but the
 * default dtype for integers and bool. 'floating': the same, but integers and bool are refused. 'integral': the same, but floats are
 * refused. 'bool' and 'int64': always these.
 */
export type ResultRule = 'same' | 'sum' | 'float' | 'floating' | 'integral' | 'bool' | 'int64';

/**
 * The treatment of bool by an op whose result has the dtype of its inputs. 'kept': it computes with bool. 'int64': it takes bool as a
 * number. 'refused': it refuses bool as the result dtype of the inputs. 'never': it refuses any bool input. PyTorch refuses the same.
 */
export type BoolRule = 'kept' | 'int64' | 'refused' | 'never';

/** The ops that one function computes. P is the type of the parameters that they take beside tensors. */
export interface Kind<P = any> {
  readonly run: Run<P>;
  /** The name of the native library's list that numbers these ops; absent if there is none. */
  readonly numbers?: string;
  /** Computes an op as run does, but writes the result to a given tensor. Only kinds with an in-place form have it. */
  readonly into?: (op: OpInfo<P>, inputs: readonly Operand[], params: P, out: Tensor) => void;
  /** Do these ops only move or convert elements? Then autocast leaves them alone. */
  readonly moves?: boolean;
  /** Is the result a slice of the input, as SliceParams says? */
  readonly slices?: boolean;
  /** Do the kernels return the dtype that they read? All others read 16 bits and write float32 where that is asked for. */
  readonly keepsDType?: boolean;
}

/** The properties of an op that are needed to compute it. */
export interface OpInfo<P = any> {
  readonly name: string;
  readonly kind: Kind<P>;
  readonly result: ResultRule;
  readonly bool: BoolRule;
  /** For ops that refuse bool: the advice what to call instead. */
  readonly insteadOfBool?: string | undefined;
  /** Does the result wrap around in integers? Then numbers too large for the dtype are taken modulo 2^bits, as results are. */
  readonly wraps: boolean;
  /** The number of the op in the native library; -1 for kinds that have no numbers. */
  readonly code: number;
}

/**
 * Computes an op: promotes, broadcasts, allocates and calls the native function of the kind. `dtype` asks for another result dtype
 * (autocast's float32 policy), to which the kernel converts as it writes. Outputs past the first are not differentiable.
 */
export type Run<P> = (
  op: OpInfo<P>,
  inputs: readonly Operand[],
  params: P,
  dtype: DTypeInfo | null,
) => Tensor | readonly Tensor[];

/** Returns the op, shapes and dtypes of a call, for its error. */
export function contextOf(op: { name: string }, inputs: readonly unknown[]): ErrorContext {
  const tensors = inputs.filter(isTensor);
  return { op: op.name, shapes: tensors.map(t => t.shape), dtypes: tensors.map(t => t.dtype) };
}

/** Adds op, shapes and dtypes to an error that a call throws. An operand that is not a tensor or number is named. */
export function withContext(error: unknown, op: { name: string }, inputs: readonly unknown[]): unknown {
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

/** Returns the device of the tensors. @throws DeviceError unless all of them are on one device */
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

/** @throws DTypeError unless a tensor has a floating dtype */
export function needFloat(op: { name: string }, t: Tensor, what = 'the input'): void {
  if (t.info.category !== 'float')
    throw new DTypeError(`${what} must be floating, not ${t.dtype}`, {
      op: op.name,
      advice: "Convert it with to('float32')",
    });
}

/** Returns the advice for operands of different dtypes. Autocast gives two floating tensors one dtype, but never casts float64. */
function mixedAdvice(a: Tensor, b: Tensor): string {
  const wide = a.dtype === 'float64' ? 'first' : b.dtype === 'float64' ? 'second' : null;
  if (wide !== null)
    return `Convert the ${wide} with to('float32'), or the other with to('float64'): autocast leaves float64 as it is`;
  return a.isFloat && b.isFloat
    ? 'Convert one with to(dtype), or run the model under autocast, which gives both one dtype'
    : 'Convert one with to(dtype)';
}

/** @throws DTypeError unless both tensors have one dtype, as matrix products need */
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
