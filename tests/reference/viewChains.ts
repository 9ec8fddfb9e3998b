import { arange, type Device, type DType, type Tensor } from 'castor';
import { chance, choose, shuffled, whole, type Random } from './randomness.ts';
import { permute, reshape, sizeOf, take, type Index, type Values } from './values.ts';

/** One call that makes a view: as a text, applied to a tensor, and applied to the elements. */
export interface Step {
  readonly text: string;
  apply(t: Tensor): Tensor;
  readonly values: Values;
}
/** A step that is possible for a tensor of this shape, or null if there is none. */
type Maker = (random: Random, x: Values) => Step | null;

/** Above this size no expand is tried, so that the cases stay small. */
const LARGEST = 200;
const axisFor = (random: Random, x: Values): number => whole(random, 0, x.shape.length - 1);
/** The axis, perhaps counted from the end. */
const written = (random: Random, axis: number, rank: number): number => (chance(random, 0.3) ? axis - rank : axis);

const permuted: Maker = (random, x) => {
  const order = shuffled(
    random,
    x.shape.map((_, axis) => axis),
  );
  return { text: `.permute([${order}])`, apply: t => t.permute(order), values: permute(x, order) };
};

const transposed: Maker = (random, x) => {
  if (x.shape.length === 0) return null;
  const [a, b] = [axisFor(random, x), axisFor(random, x)];
  const order = x.shape.map((_, axis) => (axis === a ? b : axis === b ? a : axis));
  return { text: `.transpose(${a}, ${b})`, apply: t => t.transpose(a, b), values: permute(x, order) };
};

const T: Maker = (_, { shape, data }) => {
  const rank = shape.length;
  if (rank < 2) return null;
  const order = shape.map((_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
  return { text: '.T', apply: t => t.T, values: permute({ shape, data }, order) };
};

const selected: Maker = (random, x) => {
  const axis = x.shape.length === 0 ? -1 : axisFor(random, x);
  const size = x.shape[axis] ?? 0;
  if (size === 0) return null;
  const index = whole(random, 0, size - 1);
  const [at, i] = [written(random, axis, x.shape.length), written(random, index, size)];
  const way = whole(random, 0, 2);
  const values = take(x, x.shape.toSpliced(axis, 1), place => place.toSpliced(axis, 0, index));
  if (way === 0) return { text: `.unbind(${at})[${index}]`, apply: t => t.unbind(at)[index]!, values };
  const ranges = [...Array<string>(axis).fill(':'), i];
  if (way === 1) return { text: `.at(${ranges.join(', ')})`, apply: t => t.at(...ranges), values };
  return { text: `.select(${at}, ${i})`, apply: t => t.select(at, i), values };
};

const sliced: Maker = (random, x) => {
  if (x.shape.length === 0) return null;
  const axis = axisFor(random, x);
  const size = x.shape[axis]!;
  const step = choose(random, [1, 1, 2, 3, -1, -1, -2]);
  const bound = (): number | null => (chance(random, 0.4) ? null : whole(random, -size - 1, size + 1));
  const [start, end] = [bound(), bound()];
  const kept = pythonRange(size, start, end, step);
  const values = take(x, x.shape.with(axis, kept.length), place => place.with(axis, kept[place[axis]!]!));
  const at = written(random, axis, x.shape.length);
  return { text: `.slice(${at}, ${start}, ${end}, ${step})`, apply: t => t.slice(at, start, end, step), values };
};

/** The positions of Python's slice(start, end, step) in a list of this size, one by one. */
function pythonRange(size: number, start: number | null, end: number | null, step: number): number[] {
  const from = (bound: number): number => (bound < 0 ? bound + size : bound);
  const first = start === null ? (step > 0 ? 0 : size - 1) : from(start);
  const stop = end === null ? (step > 0 ? size : -1) : Math.max(from(end), -1);
  const clipped = step > 0 ? Math.max(first, 0) : Math.min(first, size - 1);
  const kept: number[] = [];
  for (let i = clipped; step > 0 ? i < Math.min(stop, size) : i > stop; i += step) if (i >= 0) kept.push(i);
  return kept;
}

const narrowed: Maker = (random, x) => {
  if (x.shape.length === 0) return null;
  const axis = axisFor(random, x);
  const start = whole(random, 0, x.shape[axis]!);
  const length = whole(random, 0, x.shape[axis]! - start);
  const values = take(x, x.shape.with(axis, length), place => place.with(axis, place[axis]! + start));
  return { text: `.narrow(${axis}, ${start}, ${length})`, apply: t => t.narrow(axis, start, length), values };
};

const part: Maker = (random, x) => {
  if (x.shape.length === 0) return null;
  const axis = axisFor(random, x);
  const size = whole(random, 1, 3);
  const count = Math.max(Math.ceil(x.shape[axis]! / size), 1);
  const chosen = whole(random, 0, count - 1);
  const length = Math.min(size, x.shape[axis]! - chosen * size);
  const values = take(x, x.shape.with(axis, length), place => place.with(axis, place[axis]! + chosen * size));
  return { text: `.split(${size}, ${axis})[${chosen}]`, apply: t => t.split(size, axis)[chosen]!, values };
};

const unsqueezed: Maker = (random, x) => {
  if (x.shape.length > 5) return null;
  const axis = whole(random, 0, x.shape.length);
  const values = reshape(x, x.shape.toSpliced(axis, 0, 1));
  return { text: `.unsqueeze(${axis})`, apply: t => t.unsqueeze(axis), values };
};

const squeezed: Maker = (random, x) => {
  const ones = x.shape.flatMap((size, axis) => (size === 1 ? [axis] : []));
  const axis = ones.length > 0 && chance(random, 0.5) ? choose(random, ones) : undefined;
  const kept = x.shape.filter((size, i) => (axis === undefined ? size !== 1 : i !== axis));
  return { text: `.squeeze(${axis ?? ''})`, apply: t => t.squeeze(axis), values: reshape(x, kept) };
};

const expanded: Maker = (random, x) => {
  const lead = x.shape.length < 5 && chance(random, 0.3) ? [whole(random, 1, 2)] : [];
  const shape = [...lead, ...x.shape.map(size => (size === 1 ? choose(random, [0, 1, 2, 3, 3]) : size))];
  if (sizeOf(shape) > LARGEST) return null;
  const source = (place: Index): number[] => x.shape.map((size, i) => (size === 1 ? 0 : place[lead.length + i]!));
  const sizes = shape.map((size, i) => (size === x.shape[i - lead.length] && chance(random, 0.5) ? -1 : size));
  return { text: `.expand([${sizes}])`, apply: t => t.expand(sizes), values: take(x, shape, source) };
};

const makers: readonly Maker[] = [
  ...[permuted, permuted, transposed, T, selected, sliced, sliced, narrowed, part, unsqueezed, squeezed],
  ...[expanded, expanded],
];

/** A random view of a tensor of these values. */
export function randomStep(random: Random, x: Values): Step {
  for (;;) {
    const step = choose(random, makers)(random, x);
    if (step !== null) return step;
  }
}

/** A chain of views, starting from an arange tensor of a shape. */
export interface Chain {
  readonly shape: Index;
  readonly steps: readonly Step[];
  readonly values: Values;
  readonly t: Tensor;
  readonly text: string;
}

const starts = [[2, 3, 4], [4, 1, 3], [1, 6], [5], [], [2, 1, 2, 1, 3], [0, 3], [3, 0, 2], [1], [1, 1, 4], [3, 1]];

/**
 * A tensor whose elements are their positions in memory, seen through a chain of views. check is called for each view.
 * @returns the last view, with the steps that lead to it
 */
export function randomChain(
  random: Random,
  device: Device,
  check: (values: Values, t: Tensor, text: string) => void = () => {},
  dtype: DType = 'int64',
): Chain {
  const shape = choose(random, starts);
  const size = sizeOf(shape);
  const steps: Step[] = [];
  let values: Values = { shape, data: Float64Array.from({ length: size }, (_, i) => i) };
  let t = arange(size, { device, dtype }).reshape(shape);
  let text = `arange(${size}).reshape([${shape}])`;
  for (let length = whole(random, 1, 6); length > 0; length--) {
    const step = randomStep(random, values);
    steps.push(step);
    [text, values, t] = [text + step.text, step.values, step.apply(t)];
    check(values, t, text);
  }
  return { shape, steps, values, t, text };
}
