import { sum, softmax } from './lists.ts';
import { alongAxis, at, broadcastShape, build, indices, zip, type Values } from './values.ts';

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** (..., m, k) times (..., k, n). */
export function matmul(a: Values, b: Values): Values {
  const [m, k, n] = [a.shape.at(-2)!, a.shape.at(-1)!, b.shape.at(-1)!];
  const batch = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const data = [...indices(batch)].flatMap(lead => {
    const [left, right] = [matrixAt(a, lead), matrixAt(b, lead)];
    const dot = (row: number, column: number): number => {
      let total = 0;
      for (let i = 0; i < k; i++) total += left[row * k + i]! * right[i * n + column]!;
      return total;
    };
    return range(m * n).map(i => dot(Math.floor(i / n), i % n));
  });
  return { shape: [...batch, m, n], data: Float64Array.from(data) };
}

/** The matrix at a position of the batch, to which x is broadcast. */
function matrixAt(x: Values, lead: readonly number[]): Float64Array {
  const own = x.shape.slice(0, -2);
  const size = x.shape.at(-2)! * x.shape.at(-1)!;
  const place = own.reduce((sum, n, axis) => sum * n + (n === 1 ? 0 : lead[lead.length - own.length + axis]!), 0);
  return x.data.subarray(place * size, (place + 1) * size);
}

export interface Window {
  stride: readonly [number, number];
  padding: readonly [number, number];
  dilation: readonly [number, number];
  groups?: number;
}
const outSize = (w: Window, axis: 0 | 1, size: number, kernel: number): number =>
  Math.floor((size + 2 * w.padding[axis] - w.dilation[axis] * (kernel - 1) - 1) / w.stride[axis]) + 1;
/** The position in the input of a kernel position, or null in the padding. */
function place(
  w: Window,
  x: Values,
  [y, column]: readonly [number, number],
  [dy, dx]: readonly number[],
): [number, number] | null {
  const row = y * w.stride[0] - w.padding[0] + dy! * w.dilation[0];
  const col = column * w.stride[1] - w.padding[1] + dx! * w.dilation[1];
  return row >= 0 && row < x.shape[2]! && col >= 0 && col < x.shape[3]! ? [row, col] : null;
}

/** input (N, C, H, W), weight (O, C / groups, kH, kW), bias (O). */
export function conv2d(x: Values, weight: Values, bias: Values | null, w: Window): Values {
  const [o, channels, kh, kw] = weight.shape as [number, number, number, number];
  const perGroup = o / (w.groups ?? 1);
  const shape = [x.shape[0]!, o, outSize(w, 0, x.shape[2]!, kh), outSize(w, 1, x.shape[3]!, kw)];
  return build(shape, ([n, out, row, col]) => {
    const first = Math.floor(out! / perGroup) * channels;
    const terms = [...indices([channels, kh, kw])].map(([c, dy, dx]) => {
      const here = place(w, x, [row!, col!], [dy!, dx!]);
      return here ? at(x, [n!, first + c!, ...here]) * at(weight, [out!, c!, dy!, dx!]) : 0;
    });
    return sum(terms) + (bias ? bias.data[out!]! : 0);
  });
}

/**
 * Calls f for every term of a convolution of x (N, C, H, W), with the positions in x, in the weight and in the result.
 */
function eachProduct(
  x: readonly number[],
  weight: readonly number[],
  out: readonly number[],
  w: Window,
  f: (x: number, weight: number, out: number) => void,
): void {
  const perGroup = weight[0]! / (w.groups ?? 1);
  const input: Values = { shape: x, data: new Float64Array() };
  const flat = (shape: readonly number[], index: readonly number[]): number =>
    index.reduce((sum, i, axis) => sum * shape[axis]! + i, 0);
  for (const [n, o, row, col] of indices(out) as Iterable<[number, number, number, number]>)
    for (const [c, dy, dx] of indices(weight.slice(1)) as Iterable<[number, number, number]>) {
      const here = place(w, input, [row, col], [dy, dx]);
      const channel = Math.floor(o / perGroup) * weight[1]! + c;
      if (here) f(flat(x, [n, channel, ...here]), flat(weight, [o, c, dy, dx]), flat(out, [n, o, row, col]));
    }
}
/** The gradient of a convolution with respect to its input. */
export function convInputGrad(g: Values, weight: Values, shape: readonly number[], w: Window): Values {
  const data = new Float64Array(shape.reduce((n, size) => n * size, 1));
  eachProduct(shape, weight.shape, g.shape, w, (i, k, o) => (data[i]! += g.data[o]! * weight.data[k]!));
  return { shape, data };
}
/** The gradient of a convolution with respect to its weight. */
export function convWeightGrad(x: Values, g: Values, shape: readonly number[], w: Window): Values {
  const data = new Float64Array(shape.reduce((n, size) => n * size, 1));
  eachProduct(x.shape, shape, g.shape, w, (i, k, o) => (data[k]! += g.data[o]! * x.data[i]!));
  return { shape, data };
}

/**
 * Reduces each window of x (N, C, H, W): the elements inside, and the number of positions of the window in the padded
 * input.
 */
export function pool(
  x: Values,
  kernel: readonly [number, number],
  w: Window,
  f: (inside: number[], places: number[]) => number,
): Values {
  const shape = [
    x.shape[0]!,
    x.shape[1]!,
    outSize(w, 0, x.shape[2]!, kernel[0]),
    outSize(w, 1, x.shape[3]!, kernel[1]),
  ];
  return build(shape, ([n, c, row, col]) => {
    const inside = [...indices(kernel)].map(step => place(w, x, [row!, col!], step)).filter(here => here !== null);
    return f(
      inside.map(here => at(x, [n!, c!, ...here])),
      inside.map(([y, column]) => y * x.shape[3]! + column),
    );
  });
}

/** softmax(scale q k^T + mask) v over the last two axes. mask is added to the scores, -Infinity hides a key. */
export function attention(
  q: Values,
  k: Values,
  v: Values,
  scale: number,
  mask: Values | null,
  causal: boolean,
): Values {
  const order = k.shape.map((_, axis) => axis);
  const swapped: Values = build(k.shape.with(-1, k.shape.at(-2)!).with(-2, k.shape.at(-1)!), index =>
    at(
      k,
      order.map(axis => index[axis === order.length - 1 ? axis - 1 : axis === order.length - 2 ? axis + 1 : axis]!),
    ),
  );
  let scores = matmul(q, swapped);
  scores = { ...scores, data: scores.data.map(score => score * scale) };
  if (mask) scores = zip((score, added) => score + added, scores, mask);
  if (causal) scores = build(scores.shape, index => (index.at(-1)! > index.at(-2)! ? -Infinity : at(scores, index)));
  return matmul(alongAxis(scores, scores.shape.length - 1, softmax), v);
}
