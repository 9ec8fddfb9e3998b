import { castInputs, resultDType } from '../amp/autocast.ts';
import { isLeaf } from '../autograd/node.ts';
import { record, wantsGrad } from '../autograd/record.ts';
import { current } from '../context.ts';
import { binaryInto, unaryInto, type Scalars } from '../dispatch/elementwise.ts';
import { viewKinds, type Kind, type KindParams } from '../dispatch/kinds.ts';
import { contextOf, type Op } from '../dispatch/op.ts';
import { AutogradError, DTypeError, ShapeError } from '../errors.ts';
import { broadcast, format, sameShape } from '../tensor/shape.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';

/** The path of every op: its row, autocast, dispatch, record. Outputs past the first carry no gradient. */
export function callAll<K extends Kind>(op: Op<K>, inputs: readonly Operand[], params: KindParams[K]): readonly Tensor[] {
  const mode = current();
  const { autocast } = mode;
  const cast = autocast === null ? inputs : castInputs(op, inputs, autocast);
  const result = op.run(op, cast, params, autocast === null ? null : resultDType(op, cast, autocast));
  const outputs = isTensor(result) ? [result] : result;
  if (mode.grad && wantsGrad(cast)) record(op, cast, params, outputs);
  return outputs;
}

/** The first output; the others, which only backward wants, go when the graph does. */
export function call<K extends Kind>(op: Op<K>, inputs: readonly Operand[], params: KindParams[K]): Tensor {
  const outputs = callAll(op, inputs, params);
  for (let i = 1; i < outputs.length; i++) outputs[i]!.dispose();
  return outputs[0]!;
}

/** Does writing to this tensor in place have to be remembered for backward? @throws AutogradError where it cannot be */
export function checkInPlace(name: string, target: Tensor, inputs: readonly Operand[]): boolean {
  if (!current().grad || !wantsGrad(inputs)) return false;
  const context = { ...contextOf({ name }, inputs), advice: 'Use the out-of-place form, or do it inside noGrad()' };
  if (target.node !== null && isLeaf(target))
    throw new AutogradError('a leaf that requires a gradient cannot be changed in place', context);
  if (target.base !== null && (target.base.node !== null || target.node !== null))
    throw new AutogradError('a view of a recorded tensor cannot be changed in place', context);
  return true;
}

const isFloating = (x: Operand | undefined): boolean => (typeof x === 'number' ? !Number.isInteger(x) : (x?.isFloat ?? false));

/** An elementwise op that writes over its first operand. */
export function callInPlace(op: Op<'unary'> | Op<'binary'>, inputs: readonly Operand[], params: Scalars): Tensor {
  const target = inputs[0] as Tensor;
  const name = `${op.name}_`;
  const other = inputs[1];
  if (target.info.category !== 'float' && (op.result === 'float' || isFloating(other)))
    throw new DTypeError(`a floating result cannot be written to ${target.dtype}`, { ...contextOf({ name }, inputs), advice: 'Use the out-of-place form' });
  if (isTensor(other) && !sameShape(broadcast(target.shape, other.shape, name), target.shape))
    throw new ShapeError(`${format(other.shape)} does not broadcast to ${format(target.shape)}`, contextOf({ name }, inputs));
  const recorded = checkInPlace(name, target, inputs);
  const node = recorded ? [target.alias()] : null;
  if (node) node[0]!.node = target.node;
  const before = node ? [node[0]!, ...inputs.slice(1)] : inputs;
  if (recorded) record(op, before, params, [target]);
  if (op.kind === 'unary') unaryInto(op, inputs, params, target);
  else binaryInto(op, inputs, params, target);
  target.storage.version++;
  return target;
}
