import { describe, expect, test } from 'bun:test';
import {
  arange,
  ArgumentError,
  bernoulli,
  cat,
  CastorError,
  DTypeError,
  eye,
  F,
  fromTypedArray,
  full,
  fullLike,
  linspace,
  nn,
  ones,
  OutOfMemoryError,
  randint,
  randperm,
  ShapeError,
  stack,
  tensor,
  tidy,
  zeros,
  type DType,
  type Tensor,
} from 'castor';
import { devices } from './setup.ts';

type ErrorClass = new (...args: any[]) => CastorError;
type Call = () => unknown;
/** Checks values against those of PyTorch 2.15. */
function same(call: () => Tensor, dtype: DType, values: unknown): void {
  tidy(() => {
    const t = call();
    expect({ dtype: t.dtype, values: t.toArraySync() as unknown }, String(call)).toEqual({ dtype, values });
  });
}
const refused = (type: ErrorClass, ...calls: Call[]): void => {
  for (const call of calls) tidy(() => expect(call, String(call)).toThrow(type));
};
const any = (value: unknown): any => value;

describe('tensor() looks at every element', () => {
  test('numbers, truth values and BigInts mixed', () => {
    same(() => tensor([true, 2]), 'float32', [1, 2]);
    same(() => tensor([true, 2.5]), 'float32', [1, 2.5]);
    same(() => tensor([1n, 2.5]), 'float32', [1, 2.5]);
    same(() => tensor([true, 2n]), 'int64', [1, 2]);
    same(() => tensor([3n, false]), 'int64', [3, 0]);
    same(() => tensor([[true, false], [0.25, 0.75]]), 'float32', [[1, 0], [0.25, 0.75]]); // prettier-ignore
    same(() => tensor([[true], [false]]), 'bool', [[true], [false]]);
    same(() => tensor([]), 'float32', []);
    same(() => tensor([[], []]), 'float32', [[], []]);
    same(() => tensor(5n), 'int64', 5);
    same(() => tensor([2n ** 63n - 1n, -(2n ** 63n)]), 'int64', [2n ** 63n - 1n, -(2n ** 63n)]);
  });

  test('what is no rectangle of such values', () => {
    const cyclic: any[] = [];
    cyclic[0] = cyclic;
    refused(ShapeError, () => tensor([[1], []]), () => tensor([[1, 2], [3]]), () => tensor([1, [2]] as never)); // prettier-ignore
    refused(
      ShapeError,
      () => tensor(cyclic),
      () => tensor([[1], 2] as never),
      () => tensor([[[]], [[], []]]),
    );
    const wrong = [[1, , 3], ['1'], [null], [undefined], [{}], null, undefined, 'x', {}, [Symbol('x')], [() => 1]];
    refused(ArgumentError, ...wrong.map(data => () => tensor(any(data))), () => tensor([ones([1])] as never));
  });

  test('values that an integer dtype holds, their fractions dropped, and values that it cannot hold', () => {
    same(() => tensor([1.5, -1.5], { dtype: 'int64' }), 'int64', [1, -1]);
    same(() => tensor([255.9, -0.5, true], { dtype: 'uint8' }), 'uint8', [255, 0, 1]);
    same(() => tensor([2 ** 31 - 1, -(2 ** 31)], { dtype: 'int32' }), 'int32', [2 ** 31 - 1, -(2 ** 31)]);
    same(() => tensor([-(2 ** 63)], { dtype: 'int64' }), 'int64', [-(2n ** 63n)]);
    same(() => tensor([NaN, 2, 0, -0], { dtype: 'bool' }), 'bool', [true, true, false, false]);
    same(() => tensor([2n ** 100n], { dtype: 'bool' }), 'bool', [true]);
    same(() => tensor([2n ** 100n], { dtype: 'float64' }), 'float64', [2 ** 100]);
    same(() => tensor([1e40]), 'float32', [Infinity]);
    const held: [DType, unknown[]][] = [
      ['uint8', [256, -1, 300n, NaN, Infinity]],
      ['int32', [2 ** 31, -(2 ** 31) - 1, 2n ** 31n, NaN, -Infinity]],
      ['int64', [2 ** 63, -(2 ** 64), 2n ** 63n, -(2n ** 63n) - 1n, NaN, Infinity]],
      ['float64', [2n ** 2000n]],
    ];
    for (const [dtype, values] of held)
      refused(DTypeError, ...values.map(value => () => tensor([0, any(value)], { dtype })));
    refused(DTypeError, () => tensor([2n ** 63n]));
  });

  test('typed arrays of every kind', () => {
    same(() => tensor(new Int8Array([1, -2]), { dtype: 'int32' }), 'int32', [1, -2]);
    same(() => tensor(new Int16Array([1, -2]), { dtype: 'float16' }), 'float16', [1, -2]);
    same(() => tensor(new Uint16Array([65535]), { dtype: 'int64' }), 'int64', [65535]);
    same(() => tensor(new Uint32Array([2 ** 32 - 1]), { dtype: 'float64' }), 'float64', [2 ** 32 - 1]);
    same(() => tensor(new BigUint64Array([5n]), { dtype: 'int64' }), 'int64', [5]);
    same(() => tensor(new Uint8ClampedArray([7])), 'uint8', [7]);
    same(() => tensor(new Float32Array([1.5, -1.5]), { dtype: 'int32' }), 'int32', [1, -1]);
    same(() => tensor(new (class Own extends Float32Array {})([3])), 'float32', [3]);
    const none = [Int8Array, Int16Array, Uint16Array, Uint32Array, BigUint64Array];
    refused(DTypeError, ...none.map(type => () => tensor(new type(2))), () =>
      tensor(any(new DataView(new ArrayBuffer(8)))),
    );
    refused(DTypeError, () => tensor(any(new DataView(new ArrayBuffer(8))), { dtype: 'uint8' }));
    refused(
      DTypeError,
      () => tensor(new BigUint64Array([2n ** 63n]), { dtype: 'int64' }),
      () => tensor(new Float32Array([NaN]), { dtype: 'int64' }),
      () => tensor(new Int32Array([-1]), { dtype: 'uint8' }),
      () => tensor(new BigInt64Array([2n ** 40n]), { dtype: 'int32' }),
      () => fromTypedArray(new Float16Array([300]), [1], { dtype: 'uint8' }),
    );
    refused(
      ArgumentError,
      () => fromTypedArray(any([1, 2]), [2]),
      () => fromTypedArray(any(null), [0]),
    );
  });

  test('a typed array that lies about its length is measured', () => {
    const liar = Object.defineProperties(new Float32Array(4), { length: { value: 1024 }, byteLength: { value: 4096 } });
    refused(ShapeError, () => fromTypedArray(liar, [1024]));
    expect(tidy(() => tensor(liar).shape)).toEqual([4]);
  });

  test('the shape is a copy of the array it was given as', () => {
    const shape = [2, 3];
    tidy(() => {
      const made = [zeros(shape), fromTypedArray(new Float32Array(6), shape)];
      shape[0] = 1000;
      for (const t of made) expect(t.shape).toEqual([2, 3]);
    });
  });
});

describe('one value, and the diagonal', () => {
  test('full refuses what the dtype cannot hold', () => {
    same(() => full([2], 1.5, { dtype: 'int64' }), 'int64', [1, 1]);
    same(() => full([1], Infinity, { dtype: 'float16' }), 'float16', [Infinity]);
    same(() => full([1], 65504, { dtype: 'float16' }), 'float16', [65504]);
    same(() => full([1], NaN, { dtype: 'bool' }), 'bool', [true]);
    refused(
      DTypeError,
      () => full([2], 300, { dtype: 'uint8' }),
      () => full([2], NaN, { dtype: 'int64' }),
      () => full([2], 2 ** 31, { dtype: 'int32' }),
      () => full([2], 2 ** 63, { dtype: 'int64' }),
      () => full([2], 1e40),
      () => full([2], 65520, { dtype: 'float16' }),
      () => full([2], 1e39, { dtype: 'bfloat16' }),
      () => tidy(() => fullLike(zeros([2], { dtype: 'uint8' }), 256)),
    );
    refused(ArgumentError, ...['1', null, undefined, {}, 5n, [1]].map(value => () => full([2], any(value))));
  });

  test('so do fill_ and scatter', () => {
    const bytes = (): Tensor => zeros([2], { dtype: 'uint8' });
    const first = (): Tensor => tensor([0n]);
    same(() => bytes().fill_(255), 'uint8', [255, 255]);
    same(() => zeros([2], { dtype: 'int64' }).fill_(-1.5), 'int64', [-1, -1]);
    same(() => zeros([1], { dtype: 'float16' }).fill_(-Infinity), 'float16', [-Infinity]);
    same(() => zeros([2], { dtype: 'int64' }).scatter(0, first(), 1.5), 'int64', [1, 0]);
    refused(
      DTypeError,
      () => bytes().fill_(256),
      () => bytes().fill_(NaN),
      () => zeros([2], { dtype: 'int32' }).fill_(2 ** 31),
      () => zeros([2], { dtype: 'float16' }).fill_(-1e9),
      () => bytes().scatter(0, first(), 300),
      () => zeros([2], { dtype: 'int64' }).scatter(0, first(), NaN),
    );
  });

  test('eye of what is no size is refused at once', () => {
    same(() => eye(2, 3, { dtype: 'bool' }), 'bool', [[true, false, false], [false, true, false]]); // prettier-ignore
    same(() => eye(0), 'float32', []);
    same(() => eye(2, 0), 'float32', [[], []]);
    for (const wrong of ['3', null, undefined, {}, [], -1, 2.5, NaN, Infinity, 2 ** 53, true, 3n])
      for (const call of [() => eye(any(wrong)), () => eye(any(wrong), 2)]) refused(CastorError, call);
    for (const wrong of ['3', null, -1, 2.5, NaN]) refused(CastorError, () => eye(3, any(wrong)));
    refused(CastorError, any(eye));
    refused(ShapeError, () => eye(2 ** 40));
    refused(OutOfMemoryError, () => eye(2 ** 25));
  });

  test('shapes that no memory has', () => {
    refused(
      ShapeError,
      () => zeros([2 ** 30, 2 ** 30]),
      () => zeros([0, 2 ** 52, 2 ** 52]),
    );
    refused(ShapeError, () => zeros(Array<number>(100_000).fill(1)));
    refused(OutOfMemoryError, () => zeros([2 ** 45]));
    for (const size of [-1, 1.5, NaN, Infinity, '2', null, 2 ** 53]) refused(ArgumentError, () => zeros([any(size)]));
    for (const shape of ['2', null, undefined, {}, 3]) refused(ArgumentError, () => zeros(any(shape)));
  });

  test('the ends of bernoulli and the classes of oneHot', () => {
    same(() => bernoulli(1, [3]), 'float32', [1, 1, 1]);
    same(() => bernoulli(0, [3]), 'float32', [0, 0, 0]);
    refused(
      ArgumentError,
      () => bernoulli(1.001, [1]),
      () => bernoulli(-0.001, [1]),
      () => bernoulli(NaN, [1]),
    );
    same(() => F.oneHot(tensor([0n]), 1), 'int64', [[1]]);
    for (const count of [0, -1, 2.5, NaN, Infinity]) refused(ArgumentError, () => F.oneHot(tensor([0n]), count));
  });

  test('the largest shapes there are', () => {
    tidy(() => {
      const one = zeros([1]);
      expect(one.expand([2 ** 53 - 1]).numel).toBe(2 ** 53 - 1);
      expect(one.expand([1, 2 ** 52, 1, 1]).numel).toBe(2 ** 52);
      expect(one.expand([2 ** 26, 2 ** 26, 1]).strides).toEqual([0, 0, 1]);
      refused(
        ShapeError,
        () => one.expand([2 ** 52, 2]),
        () => one.expand([2 ** 27, 2 ** 26]),
      );
      refused(
        ShapeError,
        () => zeros(Array<number>(9).fill(1)),
        () => zeros(Array<number>(8).fill(1)).unsqueeze(0),
      );
      expect(zeros(Array<number>(8).fill(1)).rank).toBe(8);
    });
  });

  test('random whole numbers stay within the dtype', () => {
    refused(
      DTypeError,
      () => randint(0, 257, [2], { dtype: 'uint8' }),
      () => randint(-1, 3, [2], { dtype: 'uint8' }),
      () => randint(0, 2 ** 40, [2], { dtype: 'int32' }),
      () => randint(0, 3, [2], { dtype: 'bool' }),
      () => randint(0, 2 ** 62, [2], { dtype: 'float16' }),
      () => randperm(257, { dtype: 'uint8' }),
      () => randperm(2050, { dtype: 'float16' }),
      () => randperm(3, { dtype: 'bool' }),
    );
    refused(
      ArgumentError,
      () => randint(0, 0, [2]),
      () => randint(0.5, 2, [2]),
      () => randint(any('0'), 2, [2]),
    );
    const made: [Tensor, number][] = tidy(() => [
      [randint(0, 256, [1], { dtype: 'uint8' }), 1],
      [randint(0, 2, [1], { dtype: 'bool' }), 1],
      [randperm(256, { dtype: 'uint8' }), 256],
      [randperm(2049, { dtype: 'float16' }), 2049],
    ]);
    for (const [t, n] of made) expect(new Set(Array.from<unknown>(t.dataSync())).size).toBe(n);
    for (const [t] of made) t.dispose();
  });
});

describe('sequences', () => {
  test('arange', () => {
    same(() => arange(0), 'int64', []);
    same(() => arange(0, 0, -1), 'int64', []);
    same(() => arange(5, 0, -2), 'int64', [5, 3, 1]);
    refused(ArgumentError, () => arange(5.98, 2.26, 17), () => arange(-4.1, -4, -1.88), () => arange(0, -1e-9, 1)); // prettier-ignore
    same(() => arange(0.5, 3), 'float32', [0.5, 1.5, 2.5]);
    same(() => arange(0.5, 3, { dtype: 'int64' }), 'int64', [0, 1, 2]);
    same(() => arange(0, 3, 0.5, { dtype: 'int64' }), 'int64', [0, 0, 0, 0, 0, 0]);
    same(() => arange(0, 3, 1.5, { dtype: 'int32' }), 'int32', [0, 1]);
    same(() => arange(0, 256, 51, { dtype: 'uint8' }), 'uint8', [0, 51, 102, 153, 204, 255]);
    same(() => arange(0, 2 ** 62, 2 ** 61), 'int64', [0, 2n ** 61n]);
    same(() => any(arange)(3, undefined), 'int64', [0, 1, 2]);
    same(() => any(arange)(1, 3, undefined, { dtype: 'float64' }), 'float64', [1, 2]);
    refused(
      ArgumentError,
      () => arange(0, -3, 2),
      () => arange(0, 3, -1),
      () => arange(-3),
      () => arange(0, 3, 0),
    );
    refused(
      ArgumentError,
      () => arange(NaN),
      () => arange(0, Infinity),
      () => arange(0, 1e30),
      () => arange(0, 1, NaN),
    );
    const wrong = [['3'], [0, null], [null], [], [{}], [1, 2, 3, 4], [[3]], [3n], [1, '2'], [true]];
    refused(CastorError, ...wrong.map(args => () => any(arange)(...args)));
    refused(
      DTypeError,
      () => arange(3, { dtype: 'bool' }),
      () => arange(0, 500, 100, { dtype: 'uint8' }),
    );
    refused(
      DTypeError,
      () => arange(-1, 3, { dtype: 'uint8' }),
      () => arange(2 ** 31 + 1 - 3, 2 ** 31 + 1, { dtype: 'int32' }),
    );
  });

  test("linspace has PyTorch's values", () => {
    same(() => linspace(0, 10, 4, { dtype: 'int64' }), 'int64', [0, 3, 6, 10]);
    same(() => linspace(-5.5, 5.5, 7, { dtype: 'int64' }), 'int64', [-5, -3, -1, 0, 1, 3, 5]);
    same(() => linspace(-3.3, 2.7, 4, { dtype: 'int32' }), 'int32', [-3, -1, 0, 2]);
    same(() => linspace(-1.81, -19.05, 4, { dtype: 'int64' }), 'int64', [-1, -7, -13, -19]);
    same(() => linspace(3, 7, 0), 'float32', []);
    same(() => linspace(3, 7, 1), 'float32', [3]);
    same(() => linspace(3, 7, 2), 'float32', [3, 7]);
    same(() => linspace(0, 1, 5, { dtype: 'float16' }), 'float16', [0, 0.25, 0.5, 0.75, 1]);
    same(() => linspace(7, 3, 3, { dtype: 'uint8' }), 'uint8', [7, 5, 3]);
    same(() => linspace(NaN, 1, 3), 'float32', [NaN, NaN, NaN]);
    same(() => linspace(0, Infinity, 3), 'float32', [NaN, NaN, NaN]);
    for (const count of [-1, 2.5, NaN, any('3'), any(null)]) refused(ArgumentError, () => linspace(0, 1, count));
    for (const end of ['1', null, undefined, 1n]) refused(ArgumentError, () => linspace(0, any(end), 3));
    refused(
      DTypeError,
      () => linspace(0, 1, 3, { dtype: 'bool' }),
      () => linspace(0, 300, 3, { dtype: 'uint8' }),
    );
    refused(
      DTypeError,
      () => linspace(0, 1e30, 3, { dtype: 'int64' }),
      () => linspace(NaN, 1, 3, { dtype: 'int32' }),
    );
  });

  for (const device of devices)
    test(`linspace begins and ends exactly where it is told to, ${device}`, () => {
      const ends: [number, number][] = [
        [0, 1],
        [-1, 0.1],
        [0.1, 0.7],
        [1e-3, 1e4],
        [5, -7],
        [1 / 3, 2 / 3],
        [0, 0],
      ];
      const floats: DType[] = ['float32', 'float16', 'bfloat16', 'float64'];
      for (const dtype of [...floats, 'int32', 'int64'] as DType[])
        for (const [start, end] of ends)
          for (const count of [2, 3, 4, 7, 10, 49, 100, 1001, 4097])
            tidy(() => {
              const line = linspace(start, end, count, { dtype, device });
              const [first, last] = [line.select(0, 0).itemSync(), line.select(0, -1).itemSync()];
              const wanted = [start, end].map(value => tensor(value, { dtype, device }).itemSync());
              expect([first, last], `linspace(${start}, ${end}, ${count}), ${dtype}`).toEqual(wanted);
            });
    });
});

describe('views of empty axes, and counts at their limits', () => {
  const shapesOf = (parts: readonly Tensor[]): (readonly number[])[] => parts.map(part => part.shape);
  test('chunk, split and unbind', () => {
    tidy(() => {
      expect(shapesOf(zeros([0, 2]).chunk(3))).toEqual([[0, 2], [0, 2], [0, 2]]); // prettier-ignore
      expect(shapesOf(zeros([5]).chunk(3))).toEqual([[2], [2], [1]]);
      expect(shapesOf(zeros([5]).chunk(7))).toEqual([[1], [1], [1], [1], [1]]);
      expect(shapesOf(zeros([0]).split(3))).toEqual([[0]]);
      expect(shapesOf(zeros([0]).split(0))).toEqual([[0]]);
      expect(shapesOf(zeros([5]).split([0, 5]))).toEqual([[0], [5]]);
      expect(shapesOf(zeros([0]).split([]))).toEqual([]);
      expect(shapesOf(zeros([0]).unbind())).toEqual([]);
      expect(shapesOf(zeros([2, 0]).unbind())).toEqual([[0], [0]]);
      refused(
        ArgumentError,
        () => zeros([5]).chunk(0),
        () => zeros([5]).split(0),
        () => zeros([5]).split(-1),
      );
      refused(
        ShapeError,
        () => zeros([5]).split([2, 2]),
        () => zeros([5]).split([-1, 6]),
        () => zeros([5]).split([]),
      );
      refused(
        ShapeError,
        () => zeros([5]).split([2.5, 2.5]),
        () => zeros([5]).split([NaN]),
      );
      const point = zeros([]);
      refused(
        ShapeError,
        () => point.chunk(1),
        () => point.split(1),
        () => point.unbind(),
        () => point.slice(0),
      );
      refused(
        ShapeError,
        () => point.narrow(0, 0, 1),
        () => point.select(0, 0),
        () => point.unflatten(0, [1]),
      );
    });
  });

  test('toArray of what would take gigabytes is refused at once', async () => {
    const shapes = [[2 ** 28], [2 ** 32], [2 ** 20, 2 ** 20], [2 ** 28, 0], [2 ** 20, 2 ** 20, 0]];
    for (const shape of shapes) {
      const t = tidy(() => zeros([1], { dtype: 'uint8' }).expand(shape.map(size => Math.min(size, 1))).expand(shape)); // prettier-ignore
      expect(() => t.toArraySync(), `[${shape}]`).toThrow(ArgumentError);
      await expect(t.toArray(), `[${shape}]`).rejects.toThrow(ArgumentError);
      t.base?.dispose();
    }
  });

  test('one call makes 2^20 views at most', () => {
    tidy(() => {
      const long = zeros([1]).expand([2 ** 30]);
      refused(
        ArgumentError,
        () => long.split(1),
        () => long.unbind(),
        () => long.chunk(2 ** 30),
      );
      refused(
        ArgumentError,
        () => long.split(2 ** 9),
        () => zeros([0]).chunk(2 ** 40),
        () => zeros([0]).chunk(2 ** 20 + 1),
      );
      refused(ArgumentError, () => zeros([0]).split(Array<number>(2 ** 20 + 1).fill(0)));
      expect(long.split(2 ** 29).length).toBe(2);
      expect(long.split(2 ** 20).length).toBe(2 ** 10);
    });
  });

  test('reshape, view and unflatten with a -1', () => {
    tidy(() => {
      expect(zeros([0, 3]).reshape([-1, 3]).shape).toEqual([0, 3]);
      expect(zeros([0, 3]).reshape([3, -1]).shape).toEqual([3, 0]);
      expect(zeros([0, 3]).reshape([-1]).shape).toEqual([0]);
      expect(zeros([0, 2]).unflatten(0, [-1, 3]).shape).toEqual([0, 3, 2]);
      refused(
        ShapeError,
        () => zeros([0]).reshape([0, -1]),
        () => zeros([2, 3, 0]).reshape([0, -1]),
      );
      refused(
        ShapeError,
        () => zeros([0]).view([-1, 0]),
        () => zeros([0, 2]).unflatten(0, [0, -1]),
      );
      refused(
        ShapeError,
        () => zeros([4]).reshape([3, -1]),
        () => zeros([4]).unflatten(0, [3, 2]),
      );
      refused(
        ShapeError,
        () => zeros([4]).unflatten(0, []),
        () => zeros([1]).unflatten(0, []),
      );
      refused(
        ArgumentError,
        () => zeros([4]).reshape([-1, -1]),
        () => zeros([4]).reshape([-2]),
      );
    });
  });

  test('expand, narrow, select, flatten and squeeze', () => {
    tidy(() => {
      const x = zeros([3, 1]);
      expect(x.expand(2, -1, 4).shape).toEqual([2, 3, 4]);
      expect(x.expand(3, 0).shape).toEqual([3, 0]);
      refused(
        CastorError,
        () => x.expand(-1, 3, 4),
        () => x.expand(3, -2),
        () => x.expand(3),
        () => zeros([3]).expand(0),
      );
      refused(
        ShapeError,
        () => zeros([0]).expand(3),
        () => x.expand(2, 1),
      );
      expect(zeros([5]).narrow(0, 5, 0).shape).toEqual([0]);
      expect(zeros([5]).narrow(0, -5, 2).shape).toEqual([2]);
      for (const [start, length] of [
        [6, 0],
        [-6, 2],
        [2, -1],
        [2, 4],
        [0.5, 1],
        [0, NaN],
      ])
        // prettier-ignore
        refused(ShapeError, () => zeros([5]).narrow(0, start!, length!));
      refused(
        CastorError,
        () => zeros([0]).select(0, 0),
        () => zeros([5]).select(0, 5),
        () => zeros([5]).select(0, -6),
      );
      expect(zeros([]).flatten().shape).toEqual([1]);
      refused(
        ShapeError,
        () => zeros([]).flatten(0, 1),
        () => zeros([2, 3]).flatten(1, 0),
      );
      expect(zeros([]).squeeze(0).shape).toEqual([]);
      expect(zeros([2, 1]).squeeze([]).shape).toEqual([2, 1]);
      refused(
        ShapeError,
        () => zeros([2, 1]).squeeze([0, 0]),
        () => zeros([2, 3]).squeeze(5),
      );
    });
  });

  test('cat passes over tensors of shape [0]', () => {
    same(() => cat([zeros([0]), ones([1, 2])]), 'float32', [[1, 1]]);
    same(() => cat([ones([1, 2]), zeros([0], { dtype: 'float64' })], 1), 'float64', [[1, 1]]);
    same(() => cat([zeros([0]), zeros([0])]), 'float32', []);
    refused(
      ShapeError,
      () => cat([zeros([0, 3]), zeros([2, 4])]),
      () => cat([zeros([]), zeros([2])]),
    );
    refused(
      ArgumentError,
      () => cat([]),
      () => stack([]),
    );
  });
});

describe('texts of a caller in messages are cut', () => {
  const huge = 'x'.repeat(1_000_000);
  const message = (call: Call): string => {
    try {
      tidy(() => void call());
    } catch (error) {
      expect(error, String(call)).toBeInstanceOf(CastorError);
      return (error as CastorError).message;
    }
    throw new Error(`${call} did not throw`);
  };
  test('whatever they are', () => {
    const many = Array<number>(1_000_000).fill(1);
    const calls: Call[] = [
      () => ones([2], { dtype: any(huge) }),
      () => ones([2], { device: any(huge) }),
      () => tensor(any([huge])),
      () => tensor(any([{ toString: () => huge }])),
      () => zeros(any([huge])),
      () => zeros(many),
      () => zeros([2]).reshape(many),
      () => zeros([2]).split(many),
      () => zeros([2]).permute(many),
      () => zeros([2]).at(huge),
      () => zeros([2]).select(0, any(huge)),
      () => zeros([2]).slice(0, any(huge)),
      () => zeros([2]).to(any(huge)),
      () => zeros([2]).add(any(huge)),
      () => tensor([10n ** 1000n]),
    ];
    for (const call of calls) expect(message(call).length, String(call)).toBeLessThan(600);
  });
  test('names of modules, states and options too', () => {
    class Named extends nn.Module {
      constructor() {
        super();
        any(this)[huge] = nn.Parameter(ones([1]));
      }
      forward(x: Tensor): Tensor {
        return x;
      }
    }
    const model = new Named();
    const calls: Call[] = [
      () => model.loadStateDict(any({})),
      () => model.loadStateDict(any({ [huge]: ones([2]) })),
      () => model.loadStateDict(any(Object.fromEntries(Array.from({ length: 9 }, (_, i) => [huge + i, ones([2])])))),
      () => ones([2]).sum(0, any({ [huge]: 1 })),
    ];
    for (const call of calls) expect(message(call).length, String(call)).toBeLessThan(3000);
    for (const parameter of model.parameters()) parameter.dispose();
  });
  test('paths are not', () => {
    const path = `/${Array<string>(20).fill('x'.repeat(60)).join('/')}`;
    expect(new CastorError(`there is no file ${path}`).message).toContain(path);
  });
  test('nothing of the caller is called', () => {
    const bad = { toString: () => { throw new Error('called'); } }; // prettier-ignore
    message(() => tensor(any([bad])));
    message(() => zeros(any([bad])));
    message(() => zeros([2]).add(any(bad)));
  });
  test('a near name of a dtype is proposed', () => {
    expect(message(() => ones([2], { dtype: any('flaot32') }))).toContain("Did you mean 'float32'?");
    for (const name of ['constructor', 'toString', '__proto__']) message(() => ones([2], { dtype: any(name) }));
  });
});
