/**
 * Intermediate results of an op are freed when it returns, without the garbage collector: only the memory of its
 * results is left.
 */
import { describe, expect, test } from 'bun:test';
import {
  arange,
  empty,
  emptyLike,
  eye,
  F,
  full,
  fullLike,
  linspace,
  noGrad,
  ones,
  onesLike,
  rand,
  randint,
  randLike,
  randn,
  randnLike,
  randperm,
  tensor,
  Tensor,
  zeros,
  zerosLike,
  type Device,
} from 'castor';
import { devices, liveStorages } from '../setup.ts';
import type { CaseName } from './case.ts';
import { dtypesOf, layoutsOf, listOf, ownCases, tensorsOf, valuesOf } from './run.ts';

/**
 * The number of storages that the results of a call need, and the number that it left, apart from those of its
 * arguments.
 */
function leftBy(run: () => unknown, given: readonly Tensor[], device: Device): { needed: number; left: number } {
  const before = liveStorages(device);
  const results = listOf(run() as Tensor | Tensor[]).filter(t => t instanceof Tensor);
  const left = liveStorages(device) - before;
  const own = new Set(results.map(t => t.storage));
  for (const t of given) own.delete(t.storage);
  for (const t of results) if (own.has(t.storage)) (t.base ?? t).dispose();
  return { needed: own.size, left };
}

/**
 * The calls of these cases create tensors of their own, as arguments or from the result, so they are called here
 * instead.
 */
const direct: Partial<Record<CaseName, (x: Tensor, classes: Tensor) => Tensor>> = {
  dropout: x => x.dropout(0.5),
  multinomial: x => x.multinomial(2),
  nllLoss: (x, classes) => F.nllLoss(x, classes),
  to: x => x.to('float64'),
};
const others = ownCases.filter(([name]) => !(name in direct));

describe.each([...devices])('on %s', device => {
  test.each(Object.entries(direct))('%s, called directly, leaves its result only', (_, run) => {
    const [x, classes] = [ones([3, 2], { device }), zeros([3], { dtype: 'int64', device })];
    expect(leftBy(() => run(x, classes), [x, classes], device)).toEqual({ needed: 1, left: 1 });
    for (const t of [x, classes]) t.dispose();
  });
  test.each(others)('%s leaves its results only', (name, row) => {
    let calls = 0;
    row.variants.forEach((variant, number) => {
      const [layouts] = layoutsOf(variant);
      const dtype = dtypesOf(row, variant)[0]!;
      const trial = { name: `${name} ${number}`, dtype, layouts: layouts!, device };
      const values = valuesOf(variant, trial);
      if (values === null) return;
      const operands = tensorsOf(variant, values, trial);
      const { needed, left } = leftBy(() => noGrad(() => variant.run(...operands)), operands, device);
      expect([number, left]).toEqual([number, needed]);
      for (const t of operands) (t.base ?? t).dispose();
      calls++;
    });
    expect(calls).toBeGreaterThan(0);
  });
  const like = (): Tensor => ones([3, 2], { device });
  const creations: Record<string, () => Tensor> = {
    arange: () => arange(0, 5, 1, { device }),
    empty: () => empty([3], { device }),
    eye: () => eye(3, 4, { device }),
    full: () => full([3], 2, { device }),
    linspace: () => linspace(0, 1, 5, { device }),
    'linspace of integers': () => linspace(0, 9, 4, { device, dtype: 'int64' }),
    ones: () => ones([3], { device }),
    rand: () => rand([3], { device }),
    'rand of a 16-bit dtype': () => rand([3], { device, dtype: 'bfloat16' }),
    randint: () => randint(0, 9, [3], { device }),
    randn: () => randn([3], { device }),
    randperm: () => randperm(7, { device }),
    tensor: () =>
      tensor(
        [
          [1, 2],
          [3, 4],
        ],
        { device },
      ),
    'tensor of a 16-bit dtype': () => tensor([1, 2], { device, dtype: 'float16' }),
    zeros: () => zeros([3], { device }),
  };
  test.each(Object.keys(creations))('%s leaves the tensor only', name => {
    expect(leftBy(creations[name]!, [], device)).toEqual({ needed: 1, left: 1 });
  });
  test('forms that take shape and dtype of another tensor leave the tensor only', () => {
    const x = like();
    for (const make of [emptyLike, onesLike, randLike, randnLike, zerosLike, (t: Tensor) => fullLike(t, 2)])
      expect(leftBy(() => make(x), [x], device)).toEqual({ needed: 1, left: 1 });
    x.dispose();
  });
});
