import { describe, expect, test } from 'bun:test';
import { arange, F, fromTypedArray, tidy, type Device, type DType, type Tensor } from 'castor';
import { devices, sized } from './setup.ts';
import { chance, choose, generator, seeded, shuffled, whole, type Random } from './reference/randomness.ts';
import { randomChain, type Chain } from './reference/viewChains.ts';

/** Another operand: small integers, in row-major order or, for the view, in another layout. */
type Other = (shape: readonly number[], dtype?: DType) => Tensor;
/** A call on a tensor, or null if its shape does not fit. Random choices are the same for the view and for its copy. */
type Call = (x: Tensor, random: Random, other: Other) => Tensor | null;

const axisOf = (x: Tensor, random: Random): number => whole(random, 0, x.rank - 1);
const someAxes = (x: Tensor, random: Random): number[] =>
  x.shape.map((_, axis) => axis).filter(() => chance(random, 0.5));
const needs =
  (rank: number, call: Call): Call =>
  (x, random, other) =>
    x.rank < rank ? null : call(x, random, other);
/** Ops that are not defined for axes without elements. */
const filled =
  (call: Call): Call =>
  (x, random, other) =>
    x.numel === 0 ? null : call(x, random, other);
/** A shape that broadcasts to that of x. */
const broadcastable = (x: Tensor, random: Random): number[] =>
  x.shape.map(size => (chance(random, 0.3) ? 1 : size)).slice(chance(random, 0.3) && x.rank > 0 ? 1 : 0);

const calls: Record<string, Call> = {
  neg: x => x.neg(),
  exp: x => x.mul(0.01).exp(),
  add: (x, random, other) => x.add(other(broadcastable(x, random))),
  sub: (x, random, other) => F.sub(other(broadcastable(x, random)), x),
  'mul by a number': x => x.mul(3),
  'add to itself, transposed': needs(2, (x, random) => {
    const [a, b] = [axisOf(x, random), axisOf(x, random)];
    return x.shape[a] === x.shape[b] ? x.add(x.transpose(a, b)) : null;
  }),
  maximum: (x, _, other) => x.maximum(other(x.shape)),
  lt: (x, random, other) => x.lt(other(broadcastable(x, random))),
  where: (x, random, other) => F.where(x.remainder(2).eq(0), x, other(broadcastable(x, random))),
  'clamp and another dtype': x => x.clamp({ min: 3, max: 9 }).to('int32'),
  float16: x => x.to('float16'),
  'all sum': x => x.sum(),
  sum: (x, random) => x.sum(someAxes(x, random), { keepdim: chance(random, 0.5) }),
  mean: filled((x, random) => x.mean(someAxes(x, random))),
  amax: filled((x, random) => x.amax(someAxes(x, random))),
  argmax: needs(1, filled((x, random) => x.argmax(axisOf(x, random)))), // prettier-ignore
  cumsum: needs(1, (x, random) => x.cumsum(axisOf(x, random))),
  softmax: needs(1, (x, random) => x.softmax(axisOf(x, random))),
  sort: needs(1, (x, random) => x.sort(axisOf(x, random), { descending: chance(random, 0.5) }).values),
  tril: needs(2, x => x.tril()),
  matmul: needs(2, (x, random, other) => x.matmul(other([x.shape.at(-1)!, whole(random, 1, 5)]))),
  'matmul from the left': needs(2, (x, random, other) => other([whole(random, 1, 5), x.shape.at(-2)!]).matmul(x)),
  'matmul with itself': needs(2, x => x.T.matmul(x)),
  linear: needs(1, (x, _, other) => F.linear(x, other([3, x.shape.at(-1)!]), other([3]))),
  layerNorm: needs(1, filled((x, _, other) => F.layerNorm(x, [x.shape.at(-1)!], other([x.shape.at(-1)!])))), // prettier-ignore
  rmsNorm: needs(2, filled((x, _, other) => F.rmsNorm(x, x.shape.slice(-2), other(x.shape.slice(-2))))), // prettier-ignore
  groupNorm: needs(3, filled((x, _, other) => x.numel === x.shape[0]! * x.shape[1]! ? null : F.groupNorm(x, x.shape[1]!, other([x.shape[1]!])))), // prettier-ignore
  conv2d: needs(
    4,
    filled((x, _, other) =>
      // prettier-ignore
      x.rank === 4 ? F.conv2d(x, other([2, x.shape[1]!, 1, 1]), other([2])) : null,
    ),
  ),
  'max pool': needs(4, filled(x => (x.rank === 4 ? F.maxPool2d(x, 1, { stride: 2 }) : null))), // prettier-ignore
  attention: needs(
    2,
    filled((x, _, other) =>
      // prettier-ignore
      x.rank > 4 ? null : F.scaledDotProductAttention(x.mul(0.1), other(x.shape), x),
    ),
  ),
  'attention of other layouts': needs(
    2,
    filled((x, _, other) =>
      // prettier-ignore
      x.rank > 4 ? null : F.scaledDotProductAttention(other(x.shape).mul(0.1), x.mul(0.1), other(x.shape)),
    ),
  ),
  cat: needs(1, (x, random, other) => F.cat([x, other(x.shape), x], axisOf(x, random))),
  stack: (x, _, other) => (x.rank > 7 ? null : F.stack([x, other(x.shape)], 0)),
  flip: (x, random) => x.flip(someAxes(x, random)),
  gather: needs(1, (x, random, other) => {
    const axis = axisOf(x, random);
    return x.shape[axis] === 0 ? null : x.gather(axis, other(x.shape, 'int64').remainder(x.shape[axis]!));
  }),
  indexSelect: needs(1, (x, random, other) => {
    const axis = axisOf(x, random);
    return x.shape[axis] === 0 ? null : x.indexSelect(axis, other([5], 'int64').remainder(x.shape[axis]!));
  }),
  scatterAdd: needs(1, (x, random, other) => {
    const axis = axisOf(x, random);
    return x.shape[axis] === 0
      ? null
      : x.scatterAdd(axis, other(x.shape, 'int64').remainder(x.shape[axis]!), other(x.shape));
  }),
  'cross entropy': needs(2, filled(x => (x.rank === 2 ? F.crossEntropy(x.mul(0.1), x.select(1, 0).to('int64').remainder(x.shape[1]!)) : null))), // prettier-ignore
};

/** The elements of an operand, created again for each of the two calls. */
function otherOf(seed: number, device: Device, dtype: DType, disturbed: boolean): Other {
  const random = generator(seed);
  return (shape, as = dtype) => {
    const data = Float64Array.from({ length: shape.reduce((n, size) => n * size, 1) }, () => whole(random, 0, 9));
    const t = fromTypedArray(data, shape, { device, dtype: as });
    const order = shuffled(random, shape.map((_, axis) => axis)); // prettier-ignore
    const gaps = chance(random, 0.3);
    if (!disturbed) return t;
    const back = order.map((_, axis) => order.indexOf(axis));
    const laidOut = t.permute(order).contiguous().permute(back);
    return gaps ? F.stack([laidOut, laidOut], laidOut.rank).select(-1, 1) : laidOut;
  };
}

function checkCall(name: string, { values, t, text }: Chain, seed: number, device: Device, dtype: DType): void {
  const copy = fromTypedArray(values.data, values.shape, { device, dtype });
  const expected = calls[name]!(copy, generator(seed), otherOf(seed + 1, device, dtype, false));
  const actual = calls[name]!(t, generator(seed), otherOf(seed + 1, device, dtype, true));
  if (expected === null || actual === null) return;
  const what = `${name} of ${dtype} ${text}, choices of seed ${seed}`;
  expect([actual.shape, actual.dtype], what).toEqual([expected.shape, expected.dtype]);
  const [a, b] = [actual.dataSync(), expected.dataSync()];
  for (let i = 0; i < a.length; i++) {
    const [got, wanted] = [Number(a[i]), Number(b[i])];
    if (Object.is(got, wanted) || Math.abs(got - wanted) <= 1e-5 * Math.max(1, Math.abs(wanted))) continue;
    throw new Error(`${what}: element ${i} is ${got}, not ${wanted}`);
  }
}

/** Checks that writes through a chain of views change the elements that it shows, and no others. */
function checkWrite({ shape, steps, values, text }: Chain, random: Random, device: Device): void {
  const repeated = new Set(values.data).size < values.data.length;
  const size = shape.reduce((n, length) => n * length, 1);
  const base = arange(size, { device, dtype: 'float32' }).reshape(shape);
  const part = steps.reduce((t, step) => step.apply(t), base);
  const expected = Float64Array.from({ length: size }, (_, i) => i);
  const before = values.data.map(at => expected[at]!);
  const write = (f: (value: number, i: number) => number): void => {
    values.data.forEach((at, i) => (expected[at] = f(before[i]!, i)));
  };
  // Negative zeros count as zeros here.
  const same = (what: string): void => {
    const elements = (base.dataSync() as Float32Array).map(value => value + 0);
    expect([...elements], `${what} through ${text}`).toEqual(Array.from(expected, value => value + 0));
  };
  const axis = part.rank === 0 ? -1 : whole(random, 0, part.rank - 1);
  const length = part.shape[axis] ?? 0;
  switch (
    repeated ? 'fill_' : choose(random, ['fill_', 'mul_', 'add_', 'copy_', 'shift', 'mirror', 'transpose', 'neg_'])
  ) {
    case 'fill_':
      part.fill_(-1);
      write(() => -1);
      return same('fill_');
    case 'mul_':
      part.mul_(2);
      write(value => value * 2);
      return same('mul_');
    case 'add_':
      part.add_(
        fromTypedArray(
          Float32Array.from(values.data, (_, i) => i),
          part.shape,
          { device },
        ),
      );
      write((value, i) => value + i);
      return same('add_');
    case 'copy_':
      part.copy_(
        fromTypedArray(
          Int32Array.from(values.data, (_, i) => -i),
          part.shape,
          { device },
        ),
      );
      write((_, i) => (i === 0 ? 0 : -i));
      return same('copy_');
    case 'neg_':
      part.neg_();
      write(value => -value);
      return same('neg_');
    case 'transpose': {
      const [a, b] = [part.rank - 2, part.rank - 1];
      if (part.rank < 2 || part.shape[a] !== part.shape[b]) return;
      part.copy_(part.T);
      const n = part.shape[b]!;
      write((_, i) => before[i - (i % (n * n)) + (i % n) * n + (Math.floor(i / n) % n)]!);
      return same('copy_ of the same elements, transposed');
    }
    case 'mirror': {
      if (length < 2) return;
      part.copy_(part.slice(axis, null, null, -1));
      const inner = part.shape.slice(axis + 1).reduce((n, s) => n * s, 1);
      write((_, i) => before[i + (length - 1 - 2 * (Math.floor(i / inner) % length)) * inner]!);
      return same('copy_ of the same elements in reverse');
    }
    default: {
      if (length < 2) return;
      part.slice(axis, 0, -1).add_(part.slice(axis, 1));
      const inner = part.shape.slice(axis + 1).reduce((n, s) => n * s, 1);
      write((value, i) => (Math.floor(i / inner) % length < length - 1 ? value + before[i + inner]! : value));
      return same('add_ of its neighbours');
    }
  }
}

for (const device of devices)
  describe(`ops on views, ${device}`, () => {
    test('give what they give for a row-major copy', () => {
      const { random, seed } = seeded();
      const names = Object.keys(calls);
      for (let i = 0; i < sized(12_000, 2_000); i++)
        tidy(() => {
          const dtype: DType = chance(random, 0.7) ? 'float32' : 'float64';
          const chain = randomChain(random, device, undefined, dtype);
          checkCall(choose(random, names), chain, (seed * 100_000 + i) * 2, device, dtype);
        });
    });

    test('pass gradients to the elements that they show', () => {
      const { random } = seeded();
      for (let i = 0; i < sized(3_000, 500); i++)
        tidy(() => {
          const { shape, steps, values, text } = randomChain(random, device);
          const size = shape.reduce((n, length) => n * length, 1);
          const leaf = arange(size, { device, dtype: 'float64' }).reshape(shape).detach().requiresGrad_(); // prettier-ignore
          const part = steps.reduce((t, step) => step.apply(t), leaf);
          const weights = Float64Array.from(values.data, () => whole(random, -5, 5));
          // One op that reads elements in order, and one that sums over an axis.
          const weighed = part.mul(fromTypedArray(weights, part.shape, { device }));
          weighed.sum().add(part.flatten().sum(0)).backward();
          const expected = new Float64Array(size);
          values.data.forEach((at, k) => (expected[at] = expected[at]! + weights[k]! + 1));
          expect(Array.from(leaf.grad!.dataSync(), Number), text).toEqual([...expected]);
        });
    });

    test('a source that shares one element, or none, with what is written', () => {
      for (const [from, to, expected] of [
        [
          [0, 3],
          [2, 5],
          [0, 1, 2, 4, 6],
        ],
        [
          [2, 5],
          [0, 3],
          [2, 4, 6, 3, 4],
        ],
        [
          [0, 2],
          [2, 4],
          [0, 1, 2, 4, 4],
        ],
      ] as const)
        // prettier-ignore
        tidy(() => {
          const x = arange(5, { device });
          x.slice(0, ...to).add_(x.slice(0, ...from));
          expect(x.toArraySync()).toEqual([...expected]);
          const y = arange(5, { device });
          y.slice(0, ...to).copy_(y.slice(0, ...from));
          const copied = [0, 1, 2, 3, 4].map(i => (i >= to[0] && i < to[1] ? i - to[0] + from[0] : i));
          expect(y.toArraySync()).toEqual(copied);
        });
    });

    test('writes change what a view shows, and nothing else', () => {
      const { random } = seeded();
      for (let i = 0; i < sized(6_000, 1_000); i++) tidy(() => checkWrite(randomChain(random, device), random, device));
    });
  });
