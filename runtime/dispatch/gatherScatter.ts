import { native } from '../ffi/library.ts';
import { describeScalar } from '../ffi/view.ts';
import type { Shape } from '../tensor/shape.ts';
import { empty, writeView, type Operand, type Tensor } from '../tensor/tensor.ts';
import { check, deviceOf, needIndex, type OpInfo, type Run } from './op.ts';

export interface GatherParams {
  readonly axis: number;
}

/** Selects positions of one axis of x. Inputs: x, index (n). The axis has the size n in the result. */
export const indexSelect: Run<GatherParams> = (op, inputs, params) => {
  const [a, index] = inputs as [Tensor, Tensor];
  return gathered(op, inputs, a.shape.with(params.axis, index.numel), params);
};
/** Gathers elements of x. Inputs: x, index. The result has the shape of the index. */
export const gather: Run<GatherParams> = (op, inputs, params) =>
  gathered(op, inputs, (inputs[1] as Tensor).shape, params);

function gathered(op: OpInfo, inputs: readonly Operand[], shape: Shape, { axis }: GatherParams): Tensor {
  const [a, index] = inputs as [Tensor, Tensor];
  needIndex(op, index);
  const out = empty(shape, a.info, deviceOf(op, inputs));
  check(
    native.castor_gather(
      op.code,
      writeView(0, a, op.name),
      writeView(1, index, op.name),
      writeView(2, out, op.name),
      axis,
    ),
    op,
    inputs,
  );
  return out;
}

/** Copies target, and writes or adds the elements of source at the positions in index. Inputs: target, index, source. */
export const scatter: Run<GatherParams> = (op, inputs, params) => {
  const [target] = inputs as [Tensor];
  const out = empty(target.shape, target.info, deviceOf(op, inputs));
  check(native.castor_copy(writeView(0, target, op.name), writeView(1, out, op.name)), op, inputs);
  scatterInto(op, inputs, params, out);
  return out;
};

export function scatterInto(op: OpInfo, inputs: readonly Operand[], { axis }: GatherParams, out: Tensor): void {
  const [, index, source] = inputs as [Tensor, Tensor, Tensor | number];
  needIndex(op, index);
  const from = typeof source === 'number' ? describeScalar(2, source, out.info.code) : writeView(2, source, op.name);
  check(
    native.castor_scatter(op.code, writeView(0, out, op.name), writeView(1, index, op.name), from, axis),
    op,
    inputs,
  );
}
