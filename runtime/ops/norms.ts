import { ShapeError } from '../errors.ts';
import { format, numelOf, sameShape, type Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { noGrad } from '../autograd/autograd.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';

function trailing(op: string, x: Tensor, shape: Shape, parameters: readonly (Tensor | null)[]): number {
  const fits =
    sameShape(x.shape.slice(x.rank - shape.length), shape) &&
    parameters.every(p => p === null || sameShape(p.shape, shape));
  if (!fits || shape.length === 0 || shape.length > x.rank)
    throw new ShapeError(
      `${format(x.shape)} does not end in the normalised shape ${format(shape)}, which weight and bias share`,
      {
        op,
        shapes: [x.shape, ...parameters.filter(p => p !== null).map(p => p.shape)],
      },
    );
  return numelOf(shape);
}

/** (x - mean) / sqrt(var + eps) over the trailing axes of normalizedShape, times weight, plus bias. Statistics are float32. */
export function layerNorm(
  x: Tensor,
  normalizedShape: Shape,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  const n = trailing('layerNorm', x, normalizedShape, [weight, bias]);
  return call(ops.layerNorm, [x.contiguous(), weight?.contiguous() ?? null, bias?.contiguous() ?? null], { n, eps });
}

/** x / sqrt(mean(x^2) + eps) over the trailing axes of normalizedShape, times weight. */
export function rmsNorm(x: Tensor, normalizedShape: Shape, weight: Tensor | null = null, eps = 1e-6): Tensor {
  const n = trailing('rmsNorm', x, normalizedShape, [weight]);
  return call(ops.rmsNorm, [x.contiguous(), weight?.contiguous() ?? null, null], { n, eps });
}

/** Normalises groups of channels of x (N, C, ...) each to mean 0 and variance 1; weight and bias are (C). */
export function groupNorm(
  x: Tensor,
  groups: number,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor {
  const [n, c] = x.shape as [number, number];
  if (x.rank < 2 || !Number.isInteger(groups) || groups < 1 || c % groups !== 0)
    throw new ShapeError(`the channels of ${format(x.shape)} do not form ${groups} groups`, {
      op: 'groupNorm',
      shapes: [x.shape],
    });
  const flat = x.reshape([n, groups, numelOf(x.shape.slice(1)) / groups]);
  return affine(layerNorm(flat, [flat.shape[2]!], null, null, eps).reshape(x.shape), weight, bias);
}

/** Scale and shift of channel axis 1. */
function affine(x: Tensor, weight: Tensor | null, bias: Tensor | null): Tensor {
  const shape = [x.shape[1]!, ...Array<number>(x.rank - 2).fill(1)];
  const scaled = weight === null ? x : x.mul(weight.reshape(shape));
  return bias === null ? scaled : scaled.add(bias.reshape(shape));
}

export interface BatchNormOptions {
  weight?: Tensor | null;
  bias?: Tensor | null;
  /** (C), updated in place while training: running = (1 - momentum) running + momentum batch. */
  runningMean?: Tensor | null;
  /** (C), updated with the unbiased variance. */
  runningVar?: Tensor | null;
  training?: boolean;
  momentum?: number;
  eps?: number;
}

/** Normalises each channel of x (N, C, ...): with the statistics of the batch while training, else with the running ones. */
export function batchNorm(x: Tensor, options: BatchNormOptions = {}): Tensor {
  const {
    weight = null,
    bias = null,
    runningMean = null,
    runningVar = null,
    training = false,
    momentum = 0.1,
    eps = 1e-5,
  } = options;
  if (x.rank < 2)
    throw new ShapeError(`${format(x.shape)} has no channel axis`, { op: 'batchNorm', shapes: [x.shape] });
  const c = x.shape[1]!;
  const shape = [c, ...Array<number>(x.rank - 2).fill(1)];
  if (!training && runningMean && runningVar) {
    const scaled = x.sub(runningMean.reshape(shape)).mul(runningVar.add(eps).rsqrt().reshape(shape));
    return affine(scaled.to(x.dtype), weight, bias).to(x.dtype);
  }
  const count = x.numel / c;
  if (count <= 1)
    throw new ShapeError(`one value a channel has no variance: ${format(x.shape)}`, {
      op: 'batchNorm',
      shapes: [x.shape],
    });
  if (runningMean && runningVar) noGrad(() => track(x, runningMean, runningVar, momentum));
  // A channel's values in one row: the fused row kernel then normalises it.
  const rows = x.transpose(0, 1).reshape([c, count]);
  const normal = layerNorm(rows, [count], null, null, eps).to(x.dtype);
  const back = normal.reshape([c, x.shape[0]!, ...x.shape.slice(2)]).transpose(0, 1);
  return affine(back, weight, bias).to(x.dtype);
}

function track(x: Tensor, mean: Tensor, variance: Tensor, momentum: number): void {
  const axes = x.shape.map((_, axis) => axis).filter(axis => axis !== 1);
  const wide = x.to(mean.dtype);
  mean.mul_(1 - momentum).add_(wide.mean(axes).mul(momentum));
  variance.mul_(1 - momentum).add_(wide.var(axes).mul(momentum));
}
