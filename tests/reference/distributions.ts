import {
  bernoulli,
  F,
  full,
  rand,
  randint,
  randn,
  randperm,
  tensor,
  zeros,
  type Device,
  type DType,
  type Tensor,
} from 'castor';
import { exponentialLike } from '../../runtime/ops/primitives.ts';

/** A distribution as bins: the bin of a number, and the probability of each bin. */
export interface Bins {
  of: (x: number) => number;
  probabilities: readonly number[];
}
/** A distribution under test. `draw(n)` returns about n numbers. */
export interface Distribution {
  name: string;
  dtype: DType;
  draw: (n: number, device: Device) => Tensor;
  bins: Bins;
}

// ---- bins ------------------------------------------------------------------------------------------------------------

const mantissa: Partial<Record<DType, number>> = { float32: 23, float16: 10, bfloat16: 7, float64: 52 };
const round: Partial<Record<DType, (x: number) => number>> = {
  float32: Math.fround,
  float16: Math.f16round,
  bfloat16: x => roundTo(x, 7),
  float64: x => x,
};
/** Rounds to this many bits after the first. */
function roundTo(x: number, bits: number): number {
  if (x === 0) return 0;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(x))) - bits);
  return Math.round(x / unit) * unit;
}

/**
 * The smallest number that rounding to a dtype turns into x or more, for an x of the dtype: half way from the number
 * below it.
 */
function roundsTo(x: number, dtype: DType): number {
  if (x === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(x)));
  const unit = 2 ** (exponent - mantissa[dtype]!);
  const below = x > 0 && x === 2 ** exponent ? unit / 2 : unit;
  return x - below / 2;
}

/** One more bin than there are quantiles, of about equal probability, with edges that the dtype can represent. */
function continuous(dtype: DType, quantile: (p: number) => number, cdf: (x: number) => number, count = 50): Bins {
  const all = Array.from({ length: count - 1 }, (_, i) => round[dtype]!(quantile((i + 1) / count)));
  const edges = [...new Set(all)];
  const below = [0, ...edges.map(edge => cdf(roundsTo(edge, dtype))), 1];
  return {
    of: x => {
      let [low, high] = [0, edges.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (x >= edges[middle]!) low = middle + 1;
        else high = middle;
      }
      return low;
    },
    probabilities: below.slice(1).map((p, i) => p - below[i]!),
  };
}

const discrete = (probabilities: readonly number[], of: (x: number) => number = x => x): Bins => ({
  of,
  probabilities,
});
const even = (count: number, of?: (x: number) => number): Bins => discrete(Array<number>(count).fill(1 / count), of);

/** The normal distribution: erf by its series for small x, else by its continued fraction. */
function normalCdf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return x < 0 ? 0 : 1;
  let [term, sum] = [a, a];
  for (let k = 1; k < 200; k++) sum += term *= (a * a) / (2 * k + 1);
  const half = (sum * Math.exp(-0.5 * a * a)) / Math.sqrt(2 * Math.PI);
  return x < 0 ? 0.5 - half : 0.5 + half;
}
function normalQuantile(p: number): number {
  let [low, high] = [-6, 6];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
  return low;
}

// ---- the distributions
// ------------------------------------------------------------------------------------------------

const uniform = (from: number, to: number, dtype: DType): Bins =>
  continuous(
    dtype,
    p => from + p * (to - from),
    x => (x - from) / (to - from),
  );
const normal = (mean: number, std: number, dtype: DType): Bins =>
  continuous(
    dtype,
    p => mean + std * normalQuantile(p),
    x => normalCdf((x - mean) / std),
  );
const exponential = (dtype: DType): Bins =>
  continuous(
    dtype,
    p => -Math.log(1 - p),
    x => 1 - Math.exp(-x),
  );

const floats = ['float32', 'float64', 'float16', 'bfloat16'] as const;
const forFloats: Distribution[] = floats.flatMap(dtype => [
  { name: 'rand', dtype, draw: (n, device) => rand([n], { dtype, device }), bins: uniform(0, 1, dtype) },
  {
    name: 'uniform_(-2, 4)',
    dtype,
    draw: (n, device) => zeros([n], { dtype, device }).uniform_(-2, 4),
    bins: uniform(-2, 4, dtype),
  },
  { name: 'randn', dtype, draw: (n, device) => randn([n], { dtype, device }), bins: normal(0, 1, dtype) },
  {
    name: 'normal_(3, 0.5)',
    dtype,
    draw: (n, device) => zeros([n], { dtype, device }).normal_(3, 0.5),
    bins: normal(3, 0.5, dtype),
  },
  {
    name: 'exponentialLike',
    dtype,
    draw: (n, device) => exponentialLike(zeros([n], { dtype, device })),
    bins: exponential(dtype),
  },
  {
    name: 'bernoulli(0.3)',
    dtype,
    draw: (n, device) => bernoulli(0.3, [n], { dtype, device }),
    bins: discrete([0.7, 0.3]),
  },
  {
    name: 'dropout(0.4)',
    dtype,
    draw: (n, device) => F.dropout(full([n], 3, { dtype, device }), 0.4),
    bins: discrete([0.4, 0.6], x => Number(x !== 0)),
  },
]);

const drawInts =
  (low: number, high: number, dtype: DType): Distribution['draw'] =>
  (n, device) =>
    randint(low, high, [n], { dtype, device });
/** Takes numbers of a wide range modulo a small number, which shows a bias towards every second or third number. */
const WIDE = 3 * 2 ** 30;
const forIntegers: Distribution[] = [
  ...(['int64', 'int32', 'float32', 'float16'] as const).map(dtype => ({
    name: 'randint(-5, 12)',
    dtype,
    draw: drawInts(-5, 12, dtype),
    bins: even(17, x => x + 5),
  })),
  { name: 'randint(0, 256)', dtype: 'uint8', draw: drawInts(0, 256, 'uint8'), bins: even(256) },
  { name: 'randint(0, 2)', dtype: 'bool', draw: drawInts(0, 2, 'bool'), bins: even(2) },
  {
    name: 'randint(0, 3 * 2^30) modulo 3',
    dtype: 'int64',
    draw: drawInts(0, WIDE, 'int64'),
    bins: even(3, x => x % 3),
  },
  {
    name: 'randint(0, 3 * 2^30) in twelfths',
    dtype: 'int64',
    draw: drawInts(0, WIDE, 'int64'),
    bins: even(12, x => Math.floor(x / 2 ** 28)),
  },
  {
    name: 'randint(-2^53, 2^53) in eighths',
    dtype: 'int64',
    draw: drawInts(-(2 ** 53), 2 ** 53, 'int64'),
    bins: even(8, x => Math.min(7, Math.floor((x + 2 ** 53) / 2 ** 51))),
  },
  {
    name: 'randint(0, 7 * 2^40) modulo 7',
    dtype: 'int64',
    draw: drawInts(0, 7 * 2 ** 40, 'int64'),
    bins: even(7, x => x % 7),
  },
  {
    name: 'first of randperm(10)',
    dtype: 'int64',
    draw: (n, device) => first(n, () => randperm(10, { device })),
    bins: even(10),
  },
];

/** The first numbers of a hundredth as many calls. */
function first(n: number, call: () => Tensor): Tensor {
  const all = Array.from({ length: Math.ceil(n / 100) }, () => call().narrow(0, 0, 1));
  return F.cat(all);
}

const weights = [1, 0, 3, 4, 0, 0.5, 1.5];
const shares = weights.map(w => w / 10);
/** Rows of weights, multiplied by a factor. One sample is drawn from each row. */
const oneOfEach = (factor: number, dtype: DType): Distribution => ({
  name: `multinomial of weights times ${factor}`,
  dtype,
  draw: (n, device) =>
    tensor(weights, { dtype: 'float64', device })
      .mul(factor)
      .to(dtype)
      .expand(n, weights.length)
      .multinomial(1)
      .flatten(),
  bins: discrete(shares),
});
/** A thousand weights after one of 1, so small that together they are drawn once in a million times. */
const SMALL = 1e-9;
/** Three classes are drawn without replacement by the weights 1, 1, 2. The pairs of the first two are counted. */
const pairs = [
  [0, 1, 1 / 4 / 3],
  [0, 2, 1 / 4 / 1.5],
  [1, 0, 1 / 4 / 3],
  [1, 2, 1 / 4 / 1.5],
  [2, 0, 1 / 4],
  [2, 1, 1 / 4],
] as const;
const forWeights: Distribution[] = [
  oneOfEach(1, 'float32'),
  oneOfEach(1, 'float64'),
  oneOfEach(1, 'float16'),
  oneOfEach(1, 'bfloat16'),
  oneOfEach(5e37, 'float32'),
  oneOfEach(2 ** -148, 'float32'),
  oneOfEach(4e307, 'float64'),
  oneOfEach(2 ** -1073, 'float64'),
  oneOfEach(10000, 'float16'),
  oneOfEach(2 ** -23, 'float16'),
  {
    name: 'multinomial with replacement',
    dtype: 'float32',
    draw: (n, device) => tensor(weights, { device }).multinomial(n, { replacement: true }),
    bins: discrete(shares),
  },
  {
    name: 'multinomial of a weight and a thousand of 1e-9',
    dtype: 'float32',
    draw: (n, device) => {
      const row = full([1001], SMALL, { device });
      row.narrow(0, 0, 1).fill_(1);
      return row.multinomial(Math.ceil(n / 100), { replacement: true });
    },
    bins: discrete([1 / (1 + 1000 * SMALL), 1 - 1 / (1 + 1000 * SMALL)], x => Number(x > 0)),
  },
  {
    name: 'multinomial without replacement, pairs',
    dtype: 'float32',
    draw: (n, device) => {
      const drawn = tensor([1, 1, 2], { device }).expand(n, 3).multinomial(2);
      return drawn.select(1, 0).mul(3).add(drawn.select(1, 1));
    },
    bins: discrete(
      pairs.map(([, , p]) => p),
      x => pairs.findIndex(([a, b]) => x === a * 3 + b),
    ),
  },
];

export const distributions: readonly Distribution[] = [...forFloats, ...forIntegers, ...forWeights];

// ---- the test --------------------------------------------------------------------------------------------------------

export interface Outcome {
  draws: number;
  /**
   * Pearson's statistic, and the equivalent number of standard deviations of a normal distribution (Wilson, Hilferty
   * 1931).
   */
  chiSquare: number;
  freedom: number;
  deviations: number;
  /** The number of draws that are in no bin, or in one of probability 0. */
  impossible: number;
}

export function chiSquare(counts: readonly number[], { probabilities }: Bins, impossible: number): Outcome {
  const draws = counts.reduce((sum, count) => sum + count, 0);
  let [sum, freedom] = [0, -1];
  let never = impossible;
  probabilities.forEach((p, i) => {
    if (p <= 0) never += counts[i]!;
    else [sum, freedom] = [sum + (counts[i]! - draws * p) ** 2 / (draws * p), freedom + 1];
  });
  const part = 2 / (9 * freedom);
  const deviations = (Math.cbrt(sum / freedom) - (1 - part)) / Math.sqrt(part);
  return { draws, chiSquare: sum, freedom, deviations, impossible: never };
}

/**
 * A correct distribution is beyond five standard deviations once in three million times. The seeds are fixed, so a test
 * that passes continues to pass.
 */
export const passes = ({ deviations, impossible }: Outcome): boolean => impossible === 0 && Math.abs(deviations) < 5;
