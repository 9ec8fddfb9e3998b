import { F, type Tensor } from 'castor';
import { mean, rootMeanSquared, standardised, variance } from '../../reference/lists.ts';
import {
  crossEntropy,
  nll,
  probabilityCrossEntropy,
  reduced,
  type ClassOptions,
  type Reduction,
} from '../../reference/losses.ts';
import { logSoftmax } from '../../reference/lists.ts';
import { sigmoid, softplus } from '../../reference/scalar.ts';
import { alongAxis, at, build, reshape, sizeOf, zip, type Values } from '../../reference/values.ts';
import {
  awayFromZero,
  below,
  cases,
  given,
  within,
  type Case,
  type Domain,
  type Operand,
  type Variant,
} from '../case.ts';

const any = within(-3, 3);
const x = (...shape: number[]): Operand => ({ shape, from: any });
const of = (from: Domain, ...shape: number[]): Operand => ({ shape, from });

/** Applies a function to the trailing axes from `first` on as one line, then weight and bias. */
function normalised(v: Values, first: number, f: (line: number[]) => number[], weight?: Values, bias?: Values): Values {
  const lines = reshape(v, [sizeOf(v.shape.slice(0, first)), sizeOf(v.shape.slice(first))]);
  const out = reshape(alongAxis(lines, 1, f), v.shape);
  const scaled = weight ? zip((y, w) => y * w, out, weight) : out;
  return bias ? zip((y, b) => y + b, scaled, bias) : scaled;
}
const perChannel = (v: Values, rank: number): Values => reshape(v, [v.shape[0]!, ...Array<number>(rank - 2).fill(1)]);

interface Batch {
  weight?: Values | undefined;
  bias?: Values | undefined;
  mean?: Values;
  variance?: Values;
  eps?: number;
}
/** (x - mean) / sqrt(var + eps) for each channel, with the statistics of the batch unless given. */
function batchNorm(v: Values, { weight, bias, eps = 1e-5, ...running }: Batch): Values {
  const channel = (c: number): number[] => [...build(v.shape.with(1, 1), index => at(v, index.with(1, c))).data];
  const lists = Array.from({ length: v.shape[1]! }, (_, c) => channel(c));
  const means = running.mean?.data ?? lists.map(mean);
  const variances = running.variance?.data ?? lists.map(variance(0));
  return build(v.shape, index => {
    const c = index[1]!;
    return (
      ((at(v, index) - means[c]!) / Math.sqrt(variances[c]! + eps)) * (weight?.data[c] ?? 1) + (bias?.data[c] ?? 0)
    );
  });
}
const training = true;

const reductions: readonly Reduction[] = ['mean', 'sum', 'none'];
type PairLoss = (a: Tensor, b: Tensor, options: { reduction: Reduction }) => Tensor;
const pairwise = (run: PairLoss, f: (a: number, b: number) => number, from: Domain, target: Domain): Variant[] =>
  reductions.map(reduction => ({
    operands: [of(from, 3, 4), of(target, 3, 4)],
    run: (a, b) => run(a, b, { reduction }),
    reference: (a, b) => reduced(zip(f, a, b), reduction),
  }));

interface Call {
  logits: number[];
  options?: Omit<ClassOptions, 'weight'>;
  weight?: boolean;
}
const classes = (size: number, ...shape: number[]): Operand => ({ shape, from: below(size), dtype: 'int64' });
const calls: readonly Call[] = [
  { logits: [4, 5] },
  { logits: [5] },
  { logits: [2, 3, 2, 2], options: { reduction: 'none' } },
  { logits: [6, 4], options: { ignoreIndex: 2, reduction: 'sum' } },
  { logits: [6, 4], options: { ignoreIndex: 2 }, weight: true },
  { logits: [2, 4, 3], options: { reduction: 'none' }, weight: true },
];
const smoothed: readonly Call[] = [
  { logits: [4, 5], options: { labelSmoothing: 0.2 } },
  { logits: [6, 3], options: { labelSmoothing: 0.3, ignoreIndex: 1 }, weight: true },
  { logits: [2, 3, 2], options: { labelSmoothing: 0.1, reduction: 'none', ignoreIndex: 0 } },
];
type ClassLoss = (logits: Tensor, target: Tensor, options: object) => Tensor;
const classLoss = (
  run: ClassLoss,
  f: (v: Values, target: Values, options: ClassOptions) => Values,
  list: readonly Call[],
): Variant[] =>
  list.map(({ logits, options = {}, weight }) => {
    const count = logits[Math.min(1, logits.length - 1)]!;
    const target = logits.toSpliced(Math.min(1, logits.length - 1), 1);
    return {
      operands: [x(...logits), classes(count, ...target), ...(weight ? [of(within(0.5, 2), count)] : [])],
      run: (v, t, w) => run(v, t, { ...options, ...(w && { weight: w.detach() }) }),
      reference: (v, t, w) => f(v, t, { ...options, ...(w && { weight: w }) }),
      frozen: [2],
    };
  });

/** Logarithms are limited to -100 and above. */
const log = (p: number): number => Math.max(Math.log(p), -100);
const bce = (p: number, t: number): number => -(t * log(p) + (1 - t) * log(1 - p));
const bceLogits = (v: number, t: number, positive = 1): number => (1 - t) * v + (1 + (positive - 1) * t) * softplus(-v);
const probability = within(0.05, 0.95);

export const rows = {
  layerNorm: cases(
    [
      { operands: [x(3, 8)], run: v => F.layerNorm(v, [8]), reference: v => normalised(v, 1, standardised(1e-5)) },
      {
        operands: [x(2, 3, 4), x(3, 4), x(3, 4)],
        run: (v, w, b) => F.layerNorm(v, [3, 4], w, b, 1e-3),
        reference: (v, w, b) => normalised(v, 1, standardised(1e-3), w, b),
      },
      {
        operands: [x(2, 2, 5), x(5)],
        run: (v, w) => F.layerNorm(v, [5], w),
        reference: (v, w) => normalised(v, 2, standardised(1e-5), w),
      },
      { operands: [x(0, 4), x(4), x(4)], run: (v, w, b) => F.layerNorm(v, [4], w, b), reference: v => v },
      {
        operands: [x(4, 300), x(300), x(300)],
        run: (v, w, b) => F.layerNorm(v, [300], w, b),
        reference: (v, w, b) => normalised(v, 1, standardised(1e-5), w, b),
        forwardOnly: true,
      },
    ],
    { units: 64, scale: 3 },
  ),
  rmsNorm: cases(
    [
      {
        operands: [x(3, 8)],
        run: v => F.rmsNorm(v, [8], null, 1e-6),
        reference: v => normalised(v, 1, rootMeanSquared(1e-6)),
      },
      {
        operands: [x(2, 3, 4), x(3, 4)],
        run: (v, w) => F.rmsNorm(v, [3, 4], w, 1e-3),
        reference: (v, w) => normalised(v, 1, rootMeanSquared(1e-3), w),
      },
      {
        operands: [x(4, 300), x(300)],
        run: (v, w) => F.rmsNorm(v, [300], w, 1e-6),
        reference: (v, w) => normalised(v, 1, rootMeanSquared(1e-6), w),
        forwardOnly: true,
      },
    ],
    { units: 64, scale: 3 },
  ),
  groupNorm: cases(
    [
      {
        operands: [x(2, 4, 3)],
        run: v => F.groupNorm(v, 2),
        reference: v => reshape(normalised(reshape(v, [2, 2, 6]), 2, standardised(1e-5)), v.shape),
      },
      {
        operands: [x(2, 6, 2, 2), x(6), x(6)],
        run: (v, w, b) => F.groupNorm(v, 3, w, b, 1e-2),
        reference: (v, w, b) => {
          const normal = reshape(normalised(reshape(v, [2, 3, 8]), 2, standardised(1e-2)), v.shape);
          return zip((y, scale, shift) => y * scale + shift, normal, perChannel(w, 4), perChannel(b, 4));
        },
      },
      {
        operands: [x(2, 4, 300), x(4)],
        run: (v, b) => F.groupNorm(v, 2, null, b),
        reference: (v, b) => {
          const normal = reshape(normalised(reshape(v, [2, 2, 600]), 2, standardised(1e-5)), v.shape);
          return zip((y, shift) => y + shift, normal, perChannel(b, 3));
        },
        forwardOnly: true,
      },
    ],
    { units: 64, scale: 9, roundings: 3 },
  ),
  batchNorm: cases(
    [
      { operands: [x(4, 3)], run: v => F.batchNorm(v, { training }), reference: v => batchNorm(v, {}) },
      {
        operands: [x(2, 3, 2, 2), x(3), x(3)],
        run: (v, weight, bias) => F.batchNorm(v, { training, weight, bias, eps: 1e-3 }),
        reference: (v, weight, bias) => batchNorm(v, { weight, bias, eps: 1e-3 }),
      },
      {
        operands: [x(2, 3, 4), x(3), of(within(0.5, 2), 3), x(3), x(3)],
        run: (v, runningMean, runningVar, weight, bias) =>
          F.batchNorm(v, { runningMean: runningMean.detach(), runningVar: runningVar.detach(), weight, bias }),
        reference: (v, mean, variance, weight, bias) => batchNorm(v, { mean, variance, weight, bias }),
        frozen: [1, 2],
      },
      {
        operands: [x(5, 3, 300), x(3)],
        run: (v, weight) => F.batchNorm(v, { training, weight }),
        reference: (v, weight) => batchNorm(v, { weight }),
        forwardOnly: true,
      },
    ],
    { units: 64, scale: 12, roundings: 4 },
  ),

  mseLoss: cases(
    pairwise(F.mseLoss, (a, b) => (a - b) ** 2, any, any),
    { scale: 100 },
  ),
  l1Loss: cases(
    pairwise(F.l1Loss, (a, b) => Math.abs(a - b), any, any),
    { scale: 50 },
  ),
  binaryCrossEntropy: cases(
    [
      ...pairwise(F.binaryCrossEntropy, bce, probability, probability),
      {
        operands: [of(probability, 3, 4), of(probability, 3, 4), of(probability, 4)],
        run: (p, t, weight) => F.binaryCrossEntropy(p, t, { weight, reduction: 'sum' }),
        reference: (p, t, w) =>
          reduced(
            zip((a, b, c) => bce(a, b) * c, p, t, w),
            'sum',
          ),
      },
      ...pairwise(F.binaryCrossEntropy, bce, given(0, 1, 1, 0), given(1, 1, 0, 0)).map(variant => ({
        ...variant,
        forwardOnly: true,
      })),
    ],
    { scale: 300 },
  ),
  binaryCrossEntropyWithLogits: cases(
    [
      ...pairwise(F.binaryCrossEntropyWithLogits, bceLogits, any, probability),
      ...pairwise(F.binaryCrossEntropyWithLogits, bceLogits, awayFromZero(-80, 80), probability).map(variant => ({
        ...variant,
        forwardOnly: true,
      })),
      {
        operands: [x(3, 4), of(probability, 3, 4), of(within(0.5, 2), 4), of(probability, 3, 1)],
        run: (v, t, posWeight, weight) => F.binaryCrossEntropyWithLogits(v, t, { posWeight, weight }),
        reference: (v, t, p, w) => reduced(zip((a, b, c, d) => bceLogits(a, b, c) * d, v, t, p, w)),
      },
    ],
    { scale: 100, roundings: 5 },
  ),
  crossEntropy: cases(
    [
      ...classLoss(F.crossEntropy, crossEntropy, [...calls, ...smoothed]),
      {
        operands: [x(3, 4), of(probability, 3, 4)],
        run: (v, t) => F.crossEntropy(v, t),
        reference: (v, t) => probabilityCrossEntropy(v, t, {}),
      },
      {
        operands: [x(2, 3, 2), of(probability, 2, 3, 2), of(within(0.5, 2), 3)],
        run: (v, t, weight) => F.crossEntropy(v, t, { weight, labelSmoothing: 0.2, reduction: 'none' }),
        reference: (v, t, weight) => probabilityCrossEntropy(v, t, { weight, labelSmoothing: 0.2, reduction: 'none' }),
      },
      {
        operands: [of(within(-60, 60), 9, 300), classes(300, 9)],
        run: (v, t) => F.crossEntropy(v, t),
        reference: (v, t) => crossEntropy(v, t, {}),
        forwardOnly: true,
      },
    ],
    { units: 32, scale: 60, result: dtype => (dtype === 'float64' ? dtype : 'float32') },
  ),
  nllLoss: cases(
    classLoss(
      (v, t, options) => F.nllLoss(v.logSoftmax(Math.min(1, v.rank - 1)), t, options),
      (v, t, options) => nll(alongAxis(v, Math.min(1, v.shape.length - 1), logSoftmax), t, options),
      calls,
    ),
    { scale: 60 },
  ),
} satisfies Record<string, Case>;
