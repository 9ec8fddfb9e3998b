import { any, boolean, checked, optional, options as optionsOf, signature } from '../arguments.ts';
import { shown } from '../shown.ts';
import { detach, requiresGrad_ } from '../autograd/autograd.ts';
import { ArgumentError } from '../errors.ts';
import type { DType } from '../tensor/dtype.ts';
import { keep } from '../tensor/scope.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { isParameter, markBuffer, markParameter } from './members.ts';

/** The options of a parameter. */
export interface ParameterOptions {
  /** Does training change it? Default: true. */
  requiresGrad?: boolean;
}
/** The options of a buffer. */
export interface BufferOptions {
  /** Is it part of stateDict() and of checkpoints? Default: true. */
  persistent?: boolean;
}
/** The type of a parameter, which is a tensor. */
export type Parameter<D extends DType = DType> = Tensor<D>;
interface ParameterConstructor {
  <T extends Tensor>(data: T, options?: ParameterOptions): T;
  new <T extends Tensor>(data: T, options?: ParameterOptions): T;
}

function needTensor(data: unknown, op: string): asserts data is Tensor {
  if (!isTensor(data))
    throw new ArgumentError(`${shown(data)} is not a tensor`, {
      op,
      advice: `Pass a tensor, such as ${op}(zeros([2, 3]))`,
    });
}

const takesParameter = signature('nn.Parameter', {
  data: optional(any),
  options: optionsOf({ requiresGrad: boolean }),
});
/**
 * Makes a tensor a parameter: modules list it, optimizers train it, checkpoints contain it, and tidy scopes do not free
 * it. The tensor itself becomes the parameter and is returned. The result of a recorded op stays as it is: a tensor
 * with the same memory but without history becomes the parameter. `new nn.Parameter(t)` does the same as
 * `nn.Parameter(t)`, and `t instanceof nn.Parameter` tells whether a tensor is a parameter.
 */
export const Parameter = function Parameter(data: Tensor, options: ParameterOptions = {}): Tensor {
  [data, options = {}] = takesParameter(arguments);
  needTensor(data, 'nn.Parameter');
  const leaf = keep(data.gradFn === null ? data : detach(data));
  const { requiresGrad = true } = options;
  if (requiresGrad || leaf.node !== null) requiresGrad_(leaf, requiresGrad);
  markParameter(leaf);
  return leaf;
} as ParameterConstructor;
Object.defineProperty(Parameter, Symbol.hasInstance, { value: isParameter });

/** Makes a tensor a buffer: part of the module whose property it is, but not trained, such as running statistics. */
export const Buffer = checked(
  'nn.Buffer',
  { data: optional(any), options: optionsOf({ persistent: boolean }) },
  doBuffer,
);
function doBuffer<T extends Tensor>(data: T, options: BufferOptions = {}): T {
  needTensor(data, 'nn.Buffer');
  markBuffer(keep(data), options.persistent ?? true);
  return data;
}
