import { number } from '../arguments.ts';
import { tensor } from '../tensor/specs.ts';
import { composed } from './define.ts';
import * as takes from './specs.ts';
import { autocastHere, lowFor } from '../amp/state.ts';
import { noScalars } from '../dispatch/elementwise.ts';
import { ArgumentError, DTypeError, ShapeError } from '../errors.ts';
import { promote } from '../tensor/dtype.ts';
import { format, numelOf, sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { call } from './call.ts';
import { ops } from './registry.ts';
import { shown } from '../shown.ts';

/** The reduction of a loss: the mean of all elements, their sum, or no reduction. */
export type Reduction = 'mean' | 'sum' | 'none';
/** The options of losses. */
export interface LossOptions {
  /** The mean of all elements, their sum, or each element. Default: 'mean'. */
  reduction?: Reduction;
}

function reduced(loss: Tensor, reduction: Reduction = 'mean', op: string): Tensor {
  if (reduction === 'mean') return loss.mean();
  if (reduction === 'sum') return loss.sum();
  if (reduction === 'none') return loss;
  throw new ArgumentError(`reduction ${shown(reduction)} is none of mean, sum, none`, {
    op,
    advice: "Pass { reduction: 'none' } for the loss of each element",
  });
}

function alike(op: string, x: Tensor, target: Tensor): void {
  if (!sameShape(x.shape, target.shape))
    throw new ShapeError(`input ${format(x.shape)} and target ${format(target.shape)} must have one shape`, {
      op,
      shapes: [x.shape, target.shape],
    });
  if (target.dtype === 'bool')
    throw new DTypeError('the target is bool', {
      op,
      dtypes: [x.dtype, target.dtype],
      advice: `Convert it with to('${x.dtype}')`,
    });
}

/** Does autocast compute ops of this tensor in float32? */
function autocasts(x: Tensor): boolean {
  const autocast = autocastHere();
  return autocast !== null && autocast.force === 'fp32' && lowFor(x, autocast) !== null;
}

type Parts = readonly (Tensor | undefined)[];
const hasHalf = (t: Tensor | undefined): t is Tensor => t !== undefined && t.isFloat && t.info.bytes === 2;
/**
 * Computes a loss of several steps in float32 if its parts have 16 bits, and rounds once to the dtype that the parts promote to: the
 * squares, sums and counts in between may be out of the range of 16 bits.
 */
function wide<const P extends Parts>(parts: P, loss: (...parts: P) => Tensor): Tensor {
  const halves = parts.filter(hasHalf);
  if (halves.length === 0 || autocasts(halves[0]!)) return loss(...parts);
  const result = loss(...(parts.map(t => (hasHalf(t) ? t.to('float32') : t)) as unknown as P));
  const floats = parts.filter(t => t !== undefined && t.isFloat) as Tensor[];
  const ranked = floats.filter(t => t.rank > 0);
  const info = (ranked.length > 0 ? ranked : floats).map(t => t.info).reduce(promote);
  return info.bytes === 2 ? result.to(info.name) : result;
}

/** Computes the mean of (x - target)^2. */
export const mseLoss = composed(
  'mseLoss',
  takes.loss({}),
  (x: Tensor, target: Tensor, options: LossOptions = {}): Tensor => {
    alike('mseLoss', x, target);
    return wide([x, target], (a, b) => reduced(a.sub(b).square(), options.reduction, 'mseLoss'));
  },
);

/** Computes the mean of |x - target|. */
export const l1Loss = composed(
  'l1Loss',
  takes.loss({}),
  (x: Tensor, target: Tensor, options: LossOptions = {}): Tensor => {
    alike('l1Loss', x, target);
    return wide([x, target], (a, b) => reduced(a.sub(b).abs(), options.reduction, 'l1Loss'));
  },
);

/** The options of losses of classes. */
export interface ClassLossOptions extends LossOptions {
  /** Targets of this value are ignored. Default: -100. */
  ignoreIndex?: number;
  /** The weight of each class, (C). */
  weight?: Tensor;
}
/** The options of crossEntropy(). */
export interface CrossEntropyOptions extends ClassLossOptions {
  /** The share of the target that is spread evenly over all classes, from 0 to 1. Default: 0. */
  labelSmoothing?: number;
}

/** Moves the class axis 1 last and puts all other axes into rows: (N, C, ...) becomes (rows, C). */
const classRows = (x: Tensor): Tensor =>
  (x.rank <= 2 ? x : x.flatten(2).transpose(1, 2)).reshape([numelOf(indicesShape(x)), x.shape[x.rank === 1 ? 0 : 1]!]);

/** Returns the shape of class indices: the shape of x (N, C, ...) without its class axis. */
const indicesShape = (x: Tensor): number[] => (x.rank === 1 ? [] : x.shape.toSpliced(1, 1));
const needClassIndices = (op: string, x: Tensor, target: Tensor): DTypeError =>
  new DTypeError(`class indices are int64 or int32, and the target is ${target.dtype}`, {
    op,
    shapes: [x.shape, target.shape],
    dtypes: [x.dtype, target.dtype],
    advice: "Convert it with to('int64'), or make it with tensor([...], { dtype: 'int64' })",
  });

function targetRows(op: string, x: Tensor, target: Tensor): Tensor {
  const wanted = indicesShape(x);
  if (!['int64', 'int32'].includes(target.dtype)) throw needClassIndices(op, x, target);
  if (x.rank === 0 || !sameShape(target.shape, wanted))
    throw new ShapeError(
      `input ${format(x.shape)} needs class indices of shape ${format(wanted)}, not ${format(target.shape)}`,
      {
        op,
        shapes: [x.shape, target.shape],
        advice: 'The class axis of the input is axis 1, or the only one',
      },
    );
  return target.reshape([-1]);
}

/** The default of ignoreIndex, as in PyTorch. */
const IGNORE_INDEX = -100;
/** Returns a mask that is true for targets to be ignored. */
const ignoredIn = (target: Tensor, { ignoreIndex = IGNORE_INDEX }: ClassLossOptions): Tensor => target.eq(ignoreIndex);

/**
 * Returns class indices in which negative ones do not count from the end, as positions do: they become a class that does not exist, which
 * is an error.
 */
const classesOf = (indices: Tensor, ignored: Tensor, classes: number): Tensor =>
  indices.maskedFill(indices.lt(0), classes).maskedFill(ignored, 0);

/** Reduces the losses of rows, by default to their mean, weighted or not, over the targets that are not ignored. */
function averaged(rows: Tensor, target: Tensor, x: Tensor, options: ClassLossOptions, op: string): Tensor {
  const { reduction = 'mean', weight } = options;
  const ignored = ignoredIn(target, options);
  const weights = weight
    ? weight.to(rows.dtype).indexSelect(0, target.maskedFill(ignored, 0)).maskedFill(ignored, 0)
    : null;
  const weighed = weights ? rows.mul(weights) : rows;
  // The count is an integer, which is exact.
  if (reduction === 'mean') return weighed.sum().div((weights ?? ignored.logicalNot()).sum());
  return reduction === 'none' ? weighed.reshape(indicesShape(x)) : reduced(weighed, reduction, op);
}

/**
 * Computes the cross-entropy of logits (C), (N, C) or (N, C, ...) and class indices (without the class axis) or probabilities (of the
 * same shape). One kernel computes softmax, logarithm and loss. The loss is float32, or float64 for float64.
 */
export const crossEntropy = composed(
  'crossEntropy',
  takes.loss({ ...takes.classLoss, labelSmoothing: number }),
  (x: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor => {
    const { labelSmoothing = 0, ignoreIndex = IGNORE_INDEX, weight } = options;
    if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
      throw new ArgumentError(`label smoothing ${labelSmoothing} is outside [0, 1]`, {
        op: 'crossEntropy',
        advice: 'It is the share of the target that is spread over all classes, such as 0.1',
      });
    if (target.isFloat) return probabilityCrossEntropy(x, target, options);
    const indices = targetRows('crossEntropy', x, target);
    if (weight && labelSmoothing > 0) return smoothedWeighted(x, indices, options, weight);
    const rows = call(ops.crossEntropy, [classRows(x), indices], { ignoreIndex, labelSmoothing });
    return averaged(rows, indices, x, options, 'crossEntropy');
  },
);

function probabilityCrossEntropy(
  x: Tensor,
  target: Tensor,
  { labelSmoothing = 0, weight, reduction = 'mean' }: CrossEntropyOptions,
): Tensor {
  if (x.rank > 0 && sameShape(target.shape, indicesShape(x)) && !sameShape(target.shape, x.shape))
    throw needClassIndices('crossEntropy', x, target);
  alike('crossEntropy', x, target);
  const logs = wideLogSoftmax(classRows(x));
  const wanted = classRows(target).to(logs.dtype);
  const smooth = labelSmoothing > 0 ? wanted.mul(1 - labelSmoothing).add(labelSmoothing / logs.shape[1]!) : wanted;
  const terms = logs.mul(smooth);
  const rows = (weight ? terms.mul(weight) : terms).sum(1).neg();
  return reduction === 'none' ? rows.reshape(indicesShape(x)) : reduced(rows, reduction, 'crossEntropy');
}

/** (1 - s) w_t nll + s / C sum of w_c nll_c. The mean of it is the sum divided by the sum of the weights w_t of the targets. */
function smoothedWeighted(x: Tensor, target: Tensor, options: CrossEntropyOptions, weight: Tensor): Tensor {
  const s = options.labelSmoothing!;
  const logs = wideLogSoftmax(classRows(x));
  const ignored = ignoredIn(target, options);
  const index = classesOf(target, ignored, logs.shape[1]!);
  const weights = weight.to(logs.dtype).indexSelect(0, index).maskedFill(ignored, 0);
  const nll = logs.gather(1, index.unsqueeze(1)).squeeze(1).neg().mul(weights).maskedFill(ignored, 0);
  const even = logs.mul(weight).sum(1).neg().div(logs.shape[1]!).maskedFill(ignored, 0);
  const rows = nll.mul(1 - s).add(even.mul(s));
  if ((options.reduction ?? 'mean') === 'mean') return rows.sum().div(weights.sum());
  return reduced(rows.reshape(indicesShape(x)), options.reduction, 'crossEntropy');
}

/** Computes logSoftmax over the classes as the fused kernel does: in float32, or float64 for float64. */
const wideLogSoftmax = (rows: Tensor): Tensor =>
  rows.logSoftmax(1, { dtype: rows.dtype === 'float64' ? 'float64' : 'float32' });

/**
 * Computes minus the log-probability of the target class. x holds log-probabilities as logSoftmax() returns them, (C), (N, C) or (N, C,
 * ...).
 */
export const nllLoss = composed(
  'nllLoss',
  takes.loss(takes.classLoss),
  (x: Tensor, target: Tensor, options: ClassLossOptions = {}): Tensor => {
    const indices = targetRows('nllLoss', x, target);
    const ignored = ignoredIn(indices, options);
    const logs = classRows(x);
    const index = classesOf(indices, ignored, logs.shape[1]!).unsqueeze(1);
    const rows = logs.gather(1, index).squeeze(1).neg().maskedFill(ignored, 0);
    return wide([rows, options.weight], (wideRows, weight) =>
      averaged(wideRows, indices, x, weight ? { ...options, weight } : options, 'nllLoss'),
    );
  },
);

/** The options of losses of two classes. */
export interface BinaryLossOptions extends LossOptions {
  /** The factor of each element's loss. */
  weight?: Tensor;
}

/** Computes the cross-entropy of probabilities with targets in [0, 1]. The logarithms are at least -100, as in PyTorch. */
export const binaryCrossEntropy = composed(
  'binaryCrossEntropy',
  takes.loss({ weight: tensor }),
  (x: Tensor, target: Tensor, options: BinaryLossOptions = {}): Tensor => {
    alike('binaryCrossEntropy', x, target);
    return wide([x, target, options.weight], (p, t, weight) => {
      const loss = call(ops.binaryCrossEntropy, [p, t], noScalars);
      return reduced(weight ? loss.mul(weight) : loss, options.reduction, 'binaryCrossEntropy');
    });
  },
);

/** Computes the binary cross-entropy of logits: (1 - t) x + ln(1 + e^-x), where the positive class has the weight posWeight. */
export const binaryCrossEntropyWithLogits = composed(
  'binaryCrossEntropyWithLogits',
  takes.loss({ weight: tensor, posWeight: tensor }),
  (x: Tensor, target: Tensor, options: BinaryLossOptions & { posWeight?: Tensor } = {}): Tensor => {
    alike('binaryCrossEntropyWithLogits', x, target);
    return wide([x, target, options.weight, options.posWeight], (logits, t, weight, posWeight) => {
      const weights = posWeight ? t.mul(posWeight.sub(1)).add(1) : 1;
      const loss = call(ops.binaryCrossEntropyWithLogits, [logits, t, weights], noScalars);
      return reduced(weight ? loss.mul(weight) : loss, options.reduction, 'binaryCrossEntropyWithLogits');
    });
  },
);
