import { ShapeError } from '../errors.ts';
import { native } from '../ffi/library.ts';
import { int64, type DTypeInfo } from '../tensor/dtype.ts';
import { format, type Shape } from '../tensor/shape.ts';
import { empty, writeView, writeViews, type Tensor } from '../tensor/tensor.ts';
import { check, contextOf, deviceOf, needFloat, needSame, type OpInfo, type Run } from './op.ts';

export interface ConvParams {
  /** Stride, padding and dilation are pairs: height, then width. */
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly groups: number;
  /** The shape of the result of convInputGrad and convWeightGrad, which does not follow from the operands. */
  readonly shape?: Shape;
  /** The dtype of the result, if it is not that of the operands: the kernel sums in float32 and converts when it writes. */
  readonly dtype?: DTypeInfo;
}

const geometry = new Int32Array(new ArrayBuffer(4 * 16));
const spatial = (size: number, kernel: number, i: 0 | 1, p: ConvParams): number =>
  Math.floor((size + 2 * p.padding[i] - p.dilation[i] * (kernel - 1) - 1) / p.stride[i]) + 1;

/**
 * Computes a convolution or one of its gradients. convolution: input (N, C, H, W), weight (O, C / groups, kH, kW), bias (O) or null.
 * convInputGrad: gradient of the output, weight. convWeightGrad: input, gradient of the output. The results of both gradients have the
 * shape params.shape.
 */
export const convolution: Run<ConvParams> = (op, inputs, params) => {
  const [a, b, bias] = inputs as [Tensor, Tensor, (Tensor | null)?];
  needFloat(op, a);
  needSame(op, a, b);
  const shape = params.shape ?? convShape(op, a, b, params);
  const out = empty(shape, params.dtype ?? a.info, deviceOf(op, inputs));
  geometry.set([...params.stride, ...params.padding, ...params.dilation, params.groups]);
  const views = writeViews([a, b], op.name);
  const status = native.castor_convolution(
    op.code,
    ...views,
    bias ? writeView(2, bias, op.name) : 0,
    writeView(3, out, op.name),
    geometry,
  );
  check(status, op, inputs);
  return out;
};

function convShape(op: { name: string }, input: Tensor, weight: Tensor, p: ConvParams): Shape {
  const [n, c, h, w] = input.shape as [number, number, number, number];
  const [o, cg, kh, kw] = weight.shape as [number, number, number, number];
  const context = contextOf(op, [input, weight]);
  if (input.rank !== 4 || weight.rank !== 4)
    throw new ShapeError(`input ${format(input.shape)} and weight ${format(weight.shape)} must have 4 axes`, context);
  if (c % p.groups !== 0 || o % p.groups !== 0)
    throw new ShapeError(`${c} channels in and ${o} out do not form ${p.groups} groups`, {
      ...context,
      advice: 'Both numbers of channels must be multiples of groups',
    });
  if (c !== cg * p.groups)
    throw new ShapeError(
      `${c} input and ${o} output channels do not fit weight ${format(weight.shape)} in ${p.groups} groups`,
      { ...context, advice: 'weight is (output channels, input channels / groups, kernel height, kernel width)' },
    );
  const [oh, ow] = [spatial(h, kh, 0, p), spatial(w, kw, 1, p)];
  if (oh < 1 || ow < 1)
    throw new ShapeError(`kernel ${kh} x ${kw} is larger than the padded input ${h} x ${w}`, context);
  return [n, o, oh, ow];
}

export interface PoolParams {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly countIncludePad: boolean;
  /** The shape of the result, (N, C, oH, oW). */
  readonly shape: Shape;
}

const setWindow = (p: PoolParams): Int32Array => {
  geometry.set([...p.kernel, ...p.stride, ...p.padding, ...p.dilation, p.countIncludePad ? 1 : 0]);
  return geometry;
};
/** Computes max pooling. Input: x. Outputs: [the largest value of each window, its position within H * W]. */
export const maxPool: Run<PoolParams> = (op, inputs, params) => {
  const a = inputs[0] as Tensor;
  needFloat(op, a);
  const out = empty(params.shape, a.info, a.storage.device);
  const indices = empty(params.shape, int64, a.storage.device);
  const views = writeViews([a, out, indices], op.name);
  check(native.castor_pool(op.code, ...views, setWindow(params)), op, inputs);
  return [out, indices];
};

/** Computes the gradient of the input of maxPool, which has this shape, from the gradient of the output and the positions. */
export function maxPoolBackward(op: OpInfo, grad: Tensor, indices: Tensor, shape: Shape, params: PoolParams): Tensor {
  const out = empty(shape, grad.info, grad.storage.device);
  const views = writeViews([grad, indices, out], op.name);
  check(native.castor_pool_backward(op.code, ...views, setWindow(params)), op, [grad]);
  return out;
}

/** Computes average pooling, the mean of each window. Input: x. */
export const avgPool: Run<PoolParams> = (op, inputs, params) => {
  const a = inputs[0] as Tensor;
  needFloat(op, a);
  const out = empty(params.shape, a.info, a.storage.device);
  check(
    native.castor_pool(op.code, writeView(0, a, op.name), writeView(1, out, op.name), 0, setWindow(params)),
    op,
    inputs,
  );
  return out;
};

/** Computes the gradient of the input of avgPool, which has the shape params.shape. Input: the gradient of the output. */
export const avgPoolBackward: Run<PoolParams> = (op, inputs, params) => {
  const grad = inputs[0] as Tensor;
  needFloat(op, grad);
  const out = empty(params.shape, grad.info, grad.storage.device);
  const views = [writeView(0, grad, op.name), 0, writeView(1, out, op.name)] as const;
  check(native.castor_pool_backward(op.code, ...views, setWindow(params)), op, inputs);
  return out;
};
