/** Functions of one list of numbers, as a reduction or a row kernel applies them to each line. */
type List = readonly number[];

/** Compensated summation, with a second number for the rounding errors (Neumaier 1974). */
export function sum(list: List): number {
  let [total, lost] = [0, 0];
  for (const x of list) {
    const next = total + x;
    lost += Math.abs(total) >= Math.abs(x) ? total - next + x : x - next + total;
    total = next;
  }
  return Number.isFinite(lost) ? total + lost : total;
}
export const product = (list: List): number => list.reduce((total, x) => total * x, 1);
export const mean = (list: List): number => sum(list) / list.length;
/** The largest number. NaN if there is one. */
export const largest = (list: List): number => Math.max(...list);
export const smallest = (list: List): number => Math.min(...list);
export const variance =
  (correction: number) =>
  (list: List): number => {
    const middle = mean(list);
    return sum(list.map(x => (x - middle) ** 2)) / Math.max(list.length - correction, 0);
  };
export const pNorm =
  (p: number) =>
  (list: List): number => {
    const sizes = list.map(Math.abs);
    if (p === 0) return sizes.filter(x => x !== 0).length;
    if (p === Infinity) return largest(sizes);
    return p === -Infinity ? smallest(sizes) : sum(sizes.map(x => x ** p)) ** (1 / p);
  };
export const logSumExp = (list: List): number => {
  const top = largest(list);
  return Number.isFinite(top) ? top + Math.log(sum(list.map(x => Math.exp(x - top)))) : top;
};
/** The position of the first extreme. A NaN is the extreme. */
export const argmax = (list: List): number => {
  const hole = list.findIndex(Number.isNaN);
  return hole >= 0 ? hole : list.indexOf(largest(list));
};
export const argmin = (list: List): number => argmax(list.map(x => -x));

export const softmax = (list: List): number[] => {
  const log = logSumExp(list);
  return list.map(x => Math.exp(x - log));
};
export const logSoftmax = (list: List): number[] => {
  const log = logSumExp(list);
  return list.map(x => x - log);
};
/** Running fold. */
export const scan =
  (f: (total: number, x: number) => number) =>
  (list: List): number[] => {
    let total: number;
    return list.map((x, i) => (total = i === 0 ? x : f(total, x)));
  };
/** Positions in the order of the values. Equal values keep their order, NaN is the largest. */
export function order(list: List, descending: boolean): number[] {
  const rank = (x: number): number => (Number.isNaN(x) ? Infinity : x);
  const sign = descending ? -1 : 1;
  const difference = (a: number, b: number): number => (list[a] === list[b] ? 0 : rank(list[a]!) - rank(list[b]!));
  return list.map((_, i) => i).sort((a, b) => sign * difference(a, b) || a - b);
}
/** (x - mean) / sqrt(var + eps). */
export const standardised =
  (eps: number) =>
  (list: List): number[] => {
    const middle = mean(list);
    const deviation = Math.sqrt(variance(0)(list) + eps);
    return list.map(x => (x - middle) / deviation);
  };
/** x / sqrt(mean(x^2) + eps). */
export const rootMeanSquared =
  (eps: number) =>
  (list: List): number[] => {
    const size = Math.sqrt(mean(list.map(x => x * x)) + eps);
    return list.map(x => x / size);
  };
