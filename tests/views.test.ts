import { describe, expect, test } from 'bun:test';
import { arange, ShapeError, tidy, type Tensor } from 'castor';
import { isContiguous, stridesOf, viewStrides, type Shape } from '../runtime/tensor/shape.ts';
import { devices, sized } from './setup.ts';
import { chance, choose, seeded, shuffled, whole, type Random } from './reference/randomness.ts';
import type { Values } from './reference/values.ts';
import { randomChain } from './reference/viewChains.ts';

/** The positions in memory of the elements, in row-major order, computed index by index. */
function positionsOf(shape: Shape, strides: Shape, offset: number): number[] {
  const positions: number[] = [];
  const visit = (axis: number, at: number): void => {
    if (axis === shape.length) positions.push(at);
    else for (let i = 0; i < shape[axis]!; i++) visit(axis + 1, at + i * strides[axis]!);
  };
  visit(0, offset);
  return positions;
}

/**
 * A random layout: contiguous, permuted, with gaps, expanded or reversed. The strides of axes of size 1 are arbitrary.
 */
function randomLayout(random: Random): { shape: number[]; strides: number[] } {
  const shape = Array.from({ length: whole(random, 0, 5) }, () => choose(random, [0, 1, 1, 1, 2, 2, 3, 4, 6]));
  if (chance(random, 0.8)) shape.forEach((size, axis) => size === 0 && (shape[axis] = 1));
  const order = shape.map((_, axis) => axis);
  if (chance(random, 0.5)) order.splice(0, order.length, ...shuffled(random, order));
  const strides = new Array<number>(shape.length);
  let step = choose(random, [1, 1, 1, 2]);
  for (const axis of order.toReversed()) {
    strides[axis] = step;
    step *= Math.max(shape[axis]!, 1);
    if (chance(random, 0.1)) step += whole(random, 1, 3);
  }
  return { shape, strides: strides.map((stride, axis) => disturbed(random, shape[axis]!, stride)) };
}

function disturbed(random: Random, size: number, stride: number): number {
  if (size <= 1 && chance(random, 0.5)) return whole(random, -9, 9);
  return chance(random, 0.1) ? 0 : chance(random, 0.1) ? -stride : stride;
}

/** Another shape with the same number of elements. */
function randomShapeOf(random: Random, numel: number): number[] {
  const shape: number[] = [];
  for (let left = numel; left > 1;) {
    const divisors = Array.from({ length: left }, (_, i) => i + 1).filter(size => size > 1 && left % size === 0);
    const size = choose(random, divisors);
    shape.push(size);
    left /= size;
  }
  if (numel === 0) shape.push(0, ...Array.from({ length: whole(random, 0, 2) }, () => whole(random, 0, 3)));
  const ones = Array<number>(whole(random, 0, 2)).fill(1);
  return shuffled(random, [...shape, ...ones]);
}

/**
 * The only strides that can show these positions in a shape, or null. One step along each axis determines its stride.
 */
function slowViewStrides(positions: readonly number[], to: Shape): Shape | null {
  const steps = stridesOf(to);
  const strides = to.map((size, axis) => (size > 1 ? positions[steps[axis]!]! - positions[0]! : 0));
  const shown = positions.length === 0 ? [] : positionsOf(to, strides, positions[0]!);
  return shown.every((at, i) => at === positions[i]) ? strides : null;
}

describe('strides against a reference that goes index by index', () => {
  test('isContiguous and viewStrides on 100,000 layouts', () => {
    const { random, seed } = seeded();
    for (let i = 0; i < 100_000; i++) {
      const { shape, strides } = randomLayout(random);
      const positions = positionsOf(shape, strides, 0);
      const to = chance(random, 0.2) ? shape : randomShapeOf(random, positions.length);
      const what = `seed ${seed}, case ${i}: [${shape}] with strides [${strides}] as [${to}]`;
      const contiguous = positions.every((at, n) => at === n);
      if (isContiguous(shape, strides) !== contiguous) throw new Error(`${what}: isContiguous is not ${contiguous}`);
      const expected = slowViewStrides(positions, to);
      const actual = viewStrides(shape, strides, to);
      if ((actual === null) !== (expected === null)) throw new Error(`${what} gives ${actual}, not ${expected}`);
      if (actual !== null && positionsOf(to, actual, 0).some((at, n) => at !== positions[n]))
        throw new Error(`${what} gives the strides [${actual}], not [${expected}]`);
    }
  });

  test('viewStrides refuses a shape of another number of elements', () => {
    for (const to of [[2, 2], [7], [2, 3, 2], [], [4, 1]]) expect(viewStrides([3, 2], [1, 3], to), `${to}`).toBe(null);
  });
});

/** Checks the shape of a tensor, and the position of each element, against the model. */
function checkAgainst({ shape, data }: Values, t: Tensor, chain: string): void {
  const shown = positionsOf(t.shape, t.strides, t.offset);
  const alike = String(t.shape) === String(shape) && shown.length === data.length;
  if (!alike || shown.some((at, i) => at !== data[i]))
    throw new Error(`${chain}\nshows [${t.shape}] at ${shown}\nnot   [${shape}] at ${data}`);
  if (t.isContiguous !== data.every((at, i) => at === data[0]! + i)) throw new Error(`${chain}\nisContiguous`);
}

for (const device of devices)
  describe(`chains of views, ${device}`, () => {
    test('100,000 views show the elements that a model in plain arrays says', () => {
      const { random, seed } = seeded();
      for (let views = 0; views < 100_000;)
        tidy(
          () =>
            void randomChain(random, device, (values, t, text) => {
              views++;
              checkAgainst(values, t, `seed ${seed}: ${text}`);
            }),
        );
    });

    test('what is read, reshaped and viewed through them are these elements', () => {
      const { random, seed } = seeded();
      const read = (t: Tensor): number[] => Array.from(t.dataSync(), Number);
      for (let i = 0; i < sized(10_000, 1_000); i++)
        tidy(() =>
          randomChain(random, device, ({ data }, t, chain) => {
            const to = randomShapeOf(random, data.length);
            const text = `seed ${seed}: ${chain}, then [${to}]`;
            const positions = Array.from(data);
            expect(read(t), text).toEqual(positions);
            expect(read(t.reshape(to)), text).toEqual(positions);
            if (slowViewStrides(positions, to) === null) expect(() => t.view(to), text).toThrow(ShapeError);
            else expect(read(t.view(to)), text).toEqual(positions);
          }),
        );
    });

    test('select on a tensor with an axis of size 1', () => {
      tidy(() => {
        const x = arange(6, { device }).reshape([2, 1, 3]);
        expect(x.select(-1, 1).toArraySync()).toEqual([[1], [4]]);
        expect(x.at('...', 1).toArraySync()).toEqual([[1], [4]]);
        expect(x.unbind(2)[1]!.toArraySync()).toEqual([[1], [4]]);
      });
    });
  });
