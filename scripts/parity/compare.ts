import { arange, CastorError, F, Tensor, type Device } from 'castor';
import { numberOf, toTensor, valuesOf, type StoredTensor } from '../../tests/golden/load.ts';

/** One line of programs.py: a program and PyTorch's results. */
export interface Step {
  readonly input?: StoredTensor;
  readonly grad?: boolean;
  readonly call?: string;
  readonly args?: readonly unknown[];
  readonly error?: boolean;
}
export interface Program {
  readonly family: string;
  readonly number: number;
  readonly steps: readonly Step[];
  readonly loss: readonly number[];
  readonly values: readonly StoredTensor[];
  /** The gradients of inputs, with the number of the input. */
  readonly gradients: readonly [number, StoredTensor | null][];
}

/** Relative to the largest element, because PyTorch's sums are rounded in another order. */
const TOLERANCE = 1e-9;

type Call = (...args: unknown[]) => Tensor | readonly Tensor[] | { values: Tensor; indices: Tensor };

function decoded(arg: unknown, tensors: readonly Tensor[]): unknown {
  if (Array.isArray(arg)) return arg.map(item => decoded(item, tensors));
  if (typeof arg !== 'object' || arg === null) return arg;
  return 't' in arg ? tensors[arg.t as number] : arg;
}
function called({ call, args }: Step, tensors: readonly Tensor[]): readonly Tensor[] {
  const [x, ...rest] = args!.map(arg => decoded(arg, tensors));
  const method = x instanceof Tensor ? ((x as unknown as Record<string, Call>)[call!] ?? null) : null;
  const out = method ? method.apply(x, rest) : (F as unknown as Record<string, Call>)[call!]!(x, ...rest);
  if (call!.endsWith('_')) return [];
  return out instanceof Tensor ? [out] : 'values' in out && 'indices' in out ? [out.values, out.indices] : out;
}

/** Runs one step, adds its results to the tensors, and describes the difference from PyTorch, or returns null. */
function stepped(step: Step, tensors: Tensor[], device: Device): string | null {
  try {
    if (step.input) tensors.push(toTensor(step.input, device).requiresGrad_(step.grad));
    else tensors.push(...called(step, tensors));
  } catch (error) {
    if (!(error instanceof CastorError)) return `an internal error: ${String(error)}`;
    return step.error ? null : `an error: ${error.message}`;
  }
  return step.error ? `no error in ${step.call}` : null;
}

function difference(got: Tensor | null, wanted: StoredTensor | null): string | null {
  if (got === null || wanted === null) return got === wanted ? null : `${String(got)}, not ${JSON.stringify(wanted)}`;
  if (got.dtype !== wanted.dtype || String(got.shape) !== String(wanted.shape))
    return `${got.dtype} [${got.shape}], not ${wanted.dtype} [${wanted.shape}]`;
  const [mine, theirs] = [Array.from(got.detach().dataSync(), Number), valuesOf(wanted)];
  const slack = TOLERANCE * theirs.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
  const at = mine.findIndex((x, i) => !(Object.is(x, theirs[i]) || Math.abs(x - theirs[i]!) <= slack));
  return at < 0 ? null : `${mine[at]} at ${at}, not ${numberOf(wanted.data[at]!)}`;
}

/**
 * Differentiates the same sum as PyTorch, in which element k of a tensor counts k + 1 times. Returns the error, or
 * null.
 */
function differentiate(loss: readonly number[], tensors: readonly Tensor[]): string | null {
  const weighed = (t: Tensor): Tensor =>
    t.mul(arange(1, t.numel + 1, { dtype: t.dtype, device: t.device }).reshape(t.shape)).sum();
  try {
    loss
      .map(i => weighed(tensors[i]!))
      .reduce((a, b) => a.add(b))
      .backward();
    return null;
  } catch (error) {
    return `backward: ${String(error)}`;
  }
}

/** Describes the difference from PyTorch, or returns null if there is none. */
export function disagreement({ steps, loss, values, gradients }: Program, device: Device = 'cpu'): string | null {
  const tensors: Tensor[] = [];
  for (const [n, step] of steps.entries()) {
    const wrong = stepped(step, tensors, device);
    if (wrong !== null) return `step ${n}: ${wrong}`;
  }
  for (const [i, value] of values.entries()) {
    const wrong = difference(tensors[i] ?? null, value);
    if (wrong !== null) return `tensor ${i}: ${wrong}`;
  }
  const failed = loss.length === 0 ? null : differentiate(loss, tensors);
  if (failed !== null) return failed;
  for (const [i, gradient] of gradients) {
    const wrong = difference(tensors[i]!.grad, gradient);
    if (wrong !== null) return `the gradient of ${i}: ${wrong}`;
  }
  return null;
}

export function shown({ steps }: Program): string {
  let made = 0;
  return steps
    .map(({ input, grad, call, args, error }) =>
      input
        ? `  ${made++} = [${input.shape}] ${JSON.stringify(input.data)}${grad ? ', requiresGrad' : ''}`
        : `  ${call}(${args!.map(arg => JSON.stringify(arg)).join(', ')})${error ? ', an error in PyTorch' : ''}`,
    )
    .join('\n');
}
