import { describe, expect, test } from 'bun:test';
import {
  arange,
  ArgumentError,
  AutogradError,
  autograd,
  CastorError,
  DTypeError,
  F,
  full,
  graph,
  GraphError,
  IndexError,
  ones,
  ShapeError,
  tensor,
  tidy,
  zeros,
  type Device,
  type Tensor,
} from 'castor';
import { load } from './golden/load.ts';
import { devices, sized } from './setup.ts';

type StoredItem = number | boolean | null | string | unknown[] | { index: unknown } | { mask: unknown[] };
interface Case {
  shape: number[];
  index: StoredItem[];
  part: number[];
  values: number[];
  value: { shape: number[]; values: number[] };
  added: number[];
  written?: number[];
}
const any = (value: unknown): any => value;

function itemOf(item: StoredItem, device: Device): any {
  if (item === null || typeof item !== 'object' || Array.isArray(item)) return item;
  return 'mask' in item
    ? tensor(item.mask as never, { dtype: 'bool', device })
    : tensor(item.index as never, { dtype: 'int64', device });
}
const flat = (t: Tensor): number[] => Array.from<number | bigint, number>(t.dataSync(), Number);
const from = ({ shape, values }: { shape: number[]; values: number[] }, device: Device): Tensor =>
  tensor(values, { dtype: 'int64', device }).reshape(shape);

const cases = load<Case>('subscripts');

for (const device of devices)
  describe(`subscripts as PyTorch reads and writes them, ${device}`, () => {
    /** On the emulator only some of the cases are tested. */
    const some = cases.filter((_, i) => i % sized(1, 6) === 0);
    const each = (check: (c: Case, x: Tensor, items: any[], text: string) => void): void => {
      for (const c of some)
        tidy(() => {
          const x = arange(
            c.shape.reduce((n, size) => n * size, 1),
            { device },
          ).reshape(c.shape);
          check(
            c,
            x,
            c.index.map(item => itemOf(item, device)),
            `${JSON.stringify(c)}`,
          );
        });
    };

    test('read', () => {
      expect(cases.length).toBe(600);
      each(({ part, values }, x, items, text) => {
        const taken = x.at(...items);
        expect({ shape: taken.shape, values: flat(taken) }, text).toEqual({ shape: part, values });
      });
    });
    test('read from a tensor that is laid out in another order', () => {
      each(({ part, values }, x, items, text) => {
        const order = x.shape.map((_, axis) => x.rank - 1 - axis);
        const taken = x
          .permute(order)
          .contiguous()
          .permute(order)
          .at(...items);
        expect({ shape: taken.shape, values: flat(taken) }, text).toEqual({ shape: part, values });
      });
    });
    test('write a tensor', () => {
      each(({ value, written }, x, items, text) => {
        if (written) expect(flat(x.set_(items, from(value, device))), text).toEqual(written);
      });
    });
    test('write through a view, and a value of another dtype', () => {
      each(({ value, written }, x, items, text) => {
        if (!written) return;
        const base = zeros([2, ...x.shape], { dtype: 'float32', device });
        base.select(0, 1).copy_(x);
        base.select(0, 1).set_(items, from(value, device));
        expect(flat(base.select(0, 1)), text).toEqual(written);
        expect(flat(base.select(0, 0)).every(v => v === 0)).toBe(true);
      });
    });
    test('add a tensor, as often as a position is named', () => {
      each(({ value, added }, x, items, text) => {
        expect(flat(x.set_(items, from(value, device), { accumulate: true })), text).toEqual(added);
      });
    });
    test('write one number', () => {
      each(({ values }, x, items, text) => {
        const chosen = new Set(values);
        const expected = flat(x).map(v => (chosen.has(v) ? -7 : v));
        expect(flat(x.set_(items, -7)), text).toEqual(expected);
      });
    });
    test('gradients of what is read and of what is written', () => {
      each(({ values, value, written, shape }, x, items, text) => {
        const leaf = x.to('float64').detach().requiresGrad_();
        leaf
          .at(...items)
          .sum()
          .backward();
        const counts = flat(x).map(v => values.filter(w => w === v).length);
        expect(flat(leaf.grad!), text).toEqual(counts);
        if (!written) return;
        const source = from(value, device).to('float64').detach().requiresGrad_();
        const into = leaf.mul(1);
        into.set_(items, source);
        const weights = arange(1, into.numel + 1, { device, dtype: 'float64' }).reshape(shape);
        const [dLeaf, dSource] = autograd.grad(into.mul(weights).sum(), [leaf, source]);
        const kept = flat(x).map(v => (counts[v]! > 0 ? 0 : v + 1));
        expect(flat(dLeaf!), text).toEqual(kept);
        const total = counts.reduce((sum, n, v) => sum + (n > 0 ? v + 1 : 0), 0);
        expect(
          flat(dSource!).reduce((sum, g) => sum + g, 0),
          text,
        ).toBe(total);
      });
    });

    test('examples', () => {
      tidy(() => {
        const x = arange(6, { device }).reshape([2, 3]);
        expect(x.at(x.gt(2)).toArraySync()).toEqual([3, 4, 5]);
        expect(x.at([1]).shape).toEqual([1, 3]);
        expect(x.at([[0, 1]]).shape).toEqual([1, 2, 3]);
        expect(x.at([true, false]).toArraySync()).toEqual([[0, 1, 2]]);
        expect(x.at([]).shape).toEqual([0, 3]);
        expect(x.at([-1n as never, 0]).toArraySync()).toEqual([[3, 4, 5], [0, 1, 2]]); // prettier-ignore
        expect(x.at(':', [true, false, true]).toArraySync()).toEqual([[0, 2], [3, 5]]); // prettier-ignore
        expect(x.at(true).shape).toEqual([1, 2, 3]);
        expect(x.at(false).shape).toEqual([0, 2, 3]);
        expect(x.at(x.lt(0)).shape).toEqual([0]);
        expect(
          zeros([3], { device, dtype: 'float16' })
            .set_([[true, false, true]], 9)
            .toArraySync(),
        ).toEqual([9, 0, 9]);
        expect(
          zeros([3], { device })
            .set_([[0, 2]], 9)
            .toArraySync(),
        ).toEqual([9, 0, 9]);
        expect(
          zeros([3], { device })
            .set_([[0, 0, 2]], 1, { accumulate: true })
            .toArraySync(),
        ).toEqual([2, 0, 1]);
        const [a, b] = [zeros([2, 2], { device }), zeros([2, 2], { device })];
        expect(a.set_(0, ones([1, 1, 2], { device })).toArraySync()).toEqual([[1, 1], [0, 0]]); // prettier-ignore
        expect(b.set_([':', 0], 5, { accumulate: true }).toArraySync()).toEqual([[5, 0], [5, 0]]); // prettier-ignore
        const counted = zeros([4], { device });
        counted.set_(tensor([true, false, true, true], { device }), tensor([1, 2, 3], { device }));
        expect(counted.toArraySync()).toEqual([1, 0, 2, 3]);
      });
    });

    test('second derivatives', () => {
      tidy(() => {
        const [a, b] = [[1, 2, 3], [4, 5, 6]].map(v => tensor(v, { dtype: 'float64', device, requiresGrad: true })); // prettier-ignore
        const masks = [[true, false, true], [false, true, false]].map(v => tensor(v, { device })); // prettier-ignore
        const read = (t: Tensor): Tensor =>
          t
            .at(masks[0]!)
            .square()
            .add(t.at([0, 0]));
        expect(autograd.gradcheck(read, [a!], { second: true })).toBe(true);
        const written = (t: Tensor, v: Tensor): Tensor => {
          const into = t.mul(1);
          into.set_([[0, 0, 2]], v, { accumulate: true });
          into.set_(masks[1]!, v.at(0));
          into.set_([[0]], v.at('1:2'));
          return into.square();
        };
        expect(autograd.gradcheck(written, [a!, b!], { second: true })).toBe(true);
      });
    });

    test('a part written with values from the same tensor', () => {
      tidy(() => {
        const x = arange(4, { device });
        x.set_([[0, 1, 2, 3]], x.flip(0));
        expect(x.toArraySync()).toEqual([3, 2, 1, 0]);
        x.set_([[0, 1, 2]], x.slice(0, 1));
        expect(x.toArraySync()).toEqual([2, 1, 0, 0]);
        x.set_(x.gt(0), x.select(0, 0));
        expect(x.toArraySync()).toEqual([2, 2, 0, 0]);
        const own = arange(4, { device }).flip(0);
        own.set_([own], own.add(10));
        expect(own.toArraySync()).toEqual([10, 11, 12, 13]);
        const square = arange(9, { device }).reshape([3, 3]);
        square.set_([[0, 1, 2]], square.T);
        expect(square.toArraySync()).toEqual([[0, 3, 6], [1, 4, 7], [2, 5, 8]]); // prettier-ignore
      });
    });

    test('a recorded leaf is not written, and raises no version', () => {
      tidy(() => {
        const leaf = zeros([3], { device, requiresGrad: true });
        for (const index of [[[0, 1]], tensor([true, false, true], { device }), 0])
          expect(() => leaf.set_(any(index), 1)).toThrow(AutogradError);
        expect(leaf.version).toBe(zeros([3], { device, requiresGrad: true }).version);
      });
    });

    test('writing raises the version that backward compares', () => {
      tidy(() => {
        const leaf = ones([3], { device, requiresGrad: true });
        const y = leaf.mul(2);
        const z = y.square().sum();
        y.detach().set_([[0]], 3);
        expect(() => z.backward()).toThrow(AutogradError);
      });
    });

    test('what is refused', async () => {
      const x = zeros([2, 3], { device });
      const point = zeros([], { device });
      const t = (data: unknown, dtype: any): Tensor => tensor(any(data), { dtype, device });
      const refused: [new (...args: any[]) => CastorError, () => unknown][] = [
        [DTypeError, () => x.at(t([0, 1], 'uint8'))],
        [DTypeError, () => x.at(t([0, 1], 'float32'))],
        [DTypeError, () => x.set_([t([1, 0], 'uint8')], 1)],
        [IndexError, () => x.at(t([true, false, true], 'bool'))],
        [IndexError, () => x.at(t([[true, false], [true, true]], 'bool'))], // prettier-ignore
        [IndexError, () => x.at([true, false, true])],
        [IndexError, () => x.at(0, 0, 0)],
        [IndexError, () => x.at([0], [0], [0])],
        [IndexError, () => x.at('..., ...')],
        [IndexError, () => x.at([0.5])],
        [IndexError, () => point.at([0])],
        [IndexError, () => x.at(2)],
        [ShapeError, () => x.at([0, 1], [0, 1, 2])],
        [ShapeError, () => x.at([[0], [1, 2]] as never)],
        [ArgumentError, () => x.at(any([':', 0]))],
        [ArgumentError, () => x.at(any([null]))],
        [ArgumentError, () => x.at('x')],
        [ArgumentError, () => x.at(any(undefined))],
        [ArgumentError, () => x.at(any({}))],
        [ShapeError, () => x.set_([[0, 1]], zeros([3, 3], { device }))],
        [ShapeError, () => x.set_(x.eq(0), zeros([5], { device }))],
        [ShapeError, () => x.set_(0, zeros([2, 3], { device }))],
        [ArgumentError, () => x.set_([[0]], any('1'))],
        [DTypeError, () => zeros([2], { dtype: 'uint8', device }).set_([[0]], 300)],
        [DTypeError, () => zeros([2], { dtype: 'uint8', device }).set_(0, 300)],
        [DTypeError, () => zeros([2], { dtype: 'uint8', device }).set_(zeros([2], { device }).eq(0), -1)],
        [DTypeError, () => zeros([2], { dtype: 'int64', device }).set_([[0]], 1.5, { accumulate: true })],
        [DTypeError, () => zeros([2], { dtype: 'int64', device }).set_(0, ones([], { device }), { accumulate: true })],
        [ArgumentError, () => x.at(any([() => 1]))],
        [ArgumentError, () => x.at(any([Symbol('x')]))],
        [ArgumentError, () => x.at(any([undefined]))],
        [ArgumentError, () => x.at(','.repeat(10_000_000))],
        [ArgumentError, () => x.set_([[0]], 1, any({ acumulate: true }))],
      ];
      for (const [type, call] of refused) tidy(() => expect(call, String(call)).toThrow(type));
      // Nothing is written if one of several positions is invalid.
      if (device === 'cpu') expect(() => x.set_([[0, 1, 5]], 1)).toThrow(IndexError);
      if (device === 'cpu') expect(() => x.set_([[0, 7]], 1, { accumulate: true })).toThrow(IndexError);
      for (const call of [() => x.at([2]), () => x.at([-3]), () => x.at([0], [3]), () => x.set_([[5]], 1)])
        await expect((async () => void (await tidy(() => any(call()).data())))(), String(call)).rejects.toThrow(
          IndexError,
        );
      // On a GPU the write has started when the error is found.
      if (device === 'cpu') expect(flat(x).every(v => v === 0)).toBe(true);
      for (const t of [x, point]) t.dispose();
    });

    test('advice that helps', () => {
      tidy(() => {
        const x = zeros([2, 3], { device });
        expect(() => x.at(any([':', 0]))).toThrow('Spread the array: at(...items)');
        expect(() => x.set_([any([':', 0])], 1)).toThrow('set_([item, item], value)');
        expect(() => x.at(tensor([0, 1], { dtype: 'uint8', device }))).toThrow('x.ne(0)');
        expect(() => x.at(0, 0, 0)).toThrow('3 indices for a tensor of 2 axes');
      });
    });

    test('a mask whose count a graph cannot know is an error there; one that needs no count is captured', () => {
      const x = arange(4, { device, dtype: 'float32' });
      using step = graph.capture(() => void x.add_(1).set_(x.gt(3), 0), { warmup: 0, device });
      step.replay();
      expect(x.toArraySync()).toEqual([1, 2, 3, 0]);
      expect(() => graph.capture(() => x.at(x.gt(0)), { warmup: 0, device })).toThrow(GraphError);
      expect(tidy(() => x.at(x.gt(0)).toArraySync())).toEqual([1, 2, 3]);
      x.dispose();
    });

    test('empty axes and empty indices', () => {
      tidy(() => {
        const x = zeros([0, 3], { device });
        expect(x.at([]).shape).toEqual([0, 3]);
        expect(x.at(zeros([0, 3], { dtype: 'bool', device })).shape).toEqual([0]);
        expect(x.at(zeros([0], { dtype: 'bool', device })).shape).toEqual([0, 3]);
        expect(zeros([2, 3], { device }).at([], [1]).shape).toEqual([0]);
        expect(ones([2], { device }).set_([[]], 5).toArraySync()).toEqual([1, 1]);
        expect(
          ones([2], { device })
            .set_([[]], zeros([0], { device }))
            .toArraySync(),
        ).toEqual([1, 1]);
        expect(x.set_(x.eq(0), 1).shape).toEqual([0, 3]);
      });
    });

    test('a text of 1000 characters is an index, a longer one is none', () => {
      tidy(() => {
        const x = arange(3, { device });
        expect(x.at('1:'.padStart(1000)).shape).toEqual([2]);
        expect(() => x.at('1:'.padStart(1001))).toThrow(/is not an index/);
        expect(() => x.at('1:2:3:4')).toThrow(/is not an index/);
        expect(() => x.at('..')).toThrow(/is not an index/);
        expect(x.at(' -2 : 3 : 1 ').shape).toEqual([2]);
        expect(x.at('-1').toArraySync()).toBe(2);
        expect(x.at('null, ...').shape).toEqual([1, 3]);
        expect(() => x.at('..., ...')).toThrow(/more than once/);
        expect(() => x.at(0, 0)).toThrow(/2 indices for a tensor of 1 axes/);
      });
    });

    test('a large mask', () => {
      tidy(() => {
        const n = sized(300_000, 3000);
        const x = arange(n, { device });
        const odd = F.eq(x.remainder(3), 1);
        const taken = x.at(odd);
        expect(taken.shape).toEqual([Math.ceil((n - 1) / 3)]);
        expect(
          taken
            .sub(arange(1, n, 3, { device }))
            .abs()
            .max()
            .itemSync(),
        ).toBe(0);
        const written = full([n], 0, { device }).set_(odd, taken);
        expect(written.sum().itemSync()).toBeCloseTo(taken.to('float64').sum().itemSync(), -3);
      });
    });
  });
