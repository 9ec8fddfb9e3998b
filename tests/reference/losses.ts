import { logSoftmax, sum } from './lists.ts';
import { alongAxis, at, build, indices, scalar, type Values } from './values.ts';

export type Reduction = 'mean' | 'sum' | 'none';
export interface ClassOptions {
  weight?: Values;
  ignoreIndex?: number;
  labelSmoothing?: number;
  reduction?: Reduction;
}

export function reduced(loss: Values, reduction: Reduction = 'mean', count = loss.data.length): Values {
  if (reduction === 'none') return loss;
  const total = sum([...loss.data]);
  return scalar(reduction === 'sum' ? total : total / count);
}

const classAxis = (x: Values): number => Math.min(1, x.shape.length - 1);

/**
 * The loss of log-probabilities with class indices and smoothing s: -(1 - s) w_t log p_t - s / C sum of w_c log p_c.
 */
export function nll(logs: Values, target: Values, options: ClassOptions): Values {
  const { weight, ignoreIndex = -100, labelSmoothing: s = 0 } = options;
  const axis = classAxis(logs);
  const classes = logs.shape[axis]!;
  const weightOf = (c: number): number => weight?.data[c] ?? 1;
  let count = 0;
  const losses = build(target.shape, here => {
    const t = at(target, here);
    if (t === ignoreIndex) return 0;
    count += weightOf(t);
    const log = (c: number): number => at(logs, here.toSpliced(axis, 0, c));
    const even = sum(Array.from({ length: classes }, (_, c) => weightOf(c) * log(c)));
    return -(1 - s) * weightOf(t) * log(t) - (s / classes) * even;
  });
  return reduced(losses, options.reduction, count);
}
export const crossEntropy = (x: Values, target: Values, options: ClassOptions): Values =>
  nll(alongAxis(x, classAxis(x), logSoftmax), target, options);

/** Cross-entropy with probabilities as target. The mean is over the positions without the class axis. */
export function probabilityCrossEntropy(
  x: Values,
  target: Values,
  { weight, labelSmoothing: s = 0, reduction }: ClassOptions,
): Values {
  const axis = classAxis(x);
  const classes = x.shape[axis]!;
  const logs = alongAxis(x, axis, logSoftmax);
  const losses = build(x.shape.toSpliced(axis, 1), here => {
    const terms = [...indices([classes])].map(([c]) => {
      const place = here.toSpliced(axis, 0, c!);
      return (at(target, place) * (1 - s) + s / classes) * at(logs, place) * (weight?.data[c!] ?? 1);
    });
    return -sum(terms);
  });
  return reduced(losses, reduction);
}
