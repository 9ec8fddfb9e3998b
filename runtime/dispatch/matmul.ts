import { ShapeError } from '../errors.ts';
import { native, opNumber } from '../ffi/library.ts';
import { describeAs } from '../ffi/view.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import { broadcast, broadcastStrides, format, numelOf, sameShape, type Shape } from '../tensor/shape.ts';
import { empty, writeView, type Tensor } from '../tensor/tensor.ts';
import { check, contextOf, deviceOf, needSame, type Run } from './op.ts';
import { packedWeight } from './packed.ts';

/** Returns the strides of a tensor whose leading axes are broadcast to `batch` and whose last two axes stay as they are. */
function batchStrides(t: Tensor, batch: Shape): Shape {
  const lead = { shape: t.shape.slice(0, -2), strides: t.strides.slice(0, -2) };
  return [...broadcastStrides(lead, batch), ...t.strides.slice(-2)];
}

const activations = {
  none: opNumber('activation', 'none'),
  relu: opNumber('activation', 'relu'),
  gelu: opNumber('activation', 'gelu'),
  geluTanh: opNumber('activation', 'geluTanh'),
};

/** The parameters of ops that take none. */
export type None = Record<never, never>;

export interface MatmulParams {
  /** The dtype of the result, if it is not that of the operands: the kernel sums in float32 and converts when it writes. */
  readonly dtype?: DTypeInfo;
}

/** Computes matrix products. Inputs: a (..., m, k), b (..., k, n). Leading axes broadcast. */
export const matmul: Run<MatmulParams> = (op, inputs, { dtype }) => {
  const [a, b] = inputs as [Tensor, Tensor];
  needSame(op, a, b);
  const device = deviceOf(op, inputs);
  const [m, k] = a.shape.slice(-2) as [number, number];
  const [k2, n] = b.shape.slice(-2) as [number, number];
  if (k !== k2)
    throw new ShapeError(`${format(a.shape)} by ${format(b.shape)}: the inner sizes ${k} and ${k2} differ`, {
      ...contextOf(op, inputs),
      advice: 'Did you mean a transpose of one of them?',
    });
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2), op.name);
  const out = empty([...batch, m, n], dtype ?? a.info, device);
  writeView(0, a, op.name);
  writeView(1, b, op.name);
  const left = describeAs(0, a, [...batch, m, k], batchStrides(a, batch));
  const right = describeAs(1, b, [...batch, k, n], batchStrides(b, batch));
  check(native.castor_matmul(left, right, 0, writeView(2, out, op.name), activations.none), op, inputs);
  return out;
};

export interface LinearParams {
  /** The function that the kernel applies to the sums before it rounds them. */
  readonly activation: keyof typeof activations;
}

/** Computes x weight^T + bias, and an activation of it. Inputs: x (..., in), contiguous, weight (out, in), bias (out) or null. */
export const linear: Run<LinearParams> = (op, inputs, { activation }) => {
  const [x, weight, bias] = inputs as [Tensor, Tensor, Tensor | null];
  needSame(op, x, weight);
  const device = deviceOf(op, inputs);
  const k = x.shape.at(-1)!;
  if (weight.rank !== 2 || weight.shape[1] !== k)
    throw new ShapeError(
      `input ${format(x.shape)} and weight ${format(weight.shape)} do not fit: the last sizes must be equal`,
      {
        ...contextOf(op, inputs),
        advice: 'weight is (outFeatures, inFeatures)',
      },
    );
  const n = weight.shape[0]!;
  if (bias !== null && !sameShape(bias.shape, [n]))
    throw new ShapeError(`bias ${format(bias.shape)} must have shape [${n}]`, contextOf(op, inputs));
  const packed = packedWeight(op, weight);
  const out = empty([...x.shape.slice(0, -1), n], x.info, device);
  const rows = numelOf(x.shape.slice(0, -1));
  writeView(0, x, op.name);
  writeView(1, weight, op.name);
  const status = native.castor_matmul(
    describeAs(0, x, [rows, k], [k, 1]),
    packed === null
      ? describeAs(1, weight, [k, n], [weight.strides[1]!, weight.strides[0]!])
      : writeView(1, packed, op.name),
    bias === null ? 0 : writeView(2, bias, op.name),
    describeAs(3, out, [rows, n], [n, 1]),
    activations[activation],
  );
  check(status, op, inputs);
  return out;
};
