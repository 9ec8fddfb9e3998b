import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from 'bun:test';
import {
  arange,
  cat,
  dtypeNames,
  empty,
  eye,
  F,
  fromTypedArray,
  full,
  getDefaultDevice,
  getDefaultDType,
  isAvailable,
  linspace,
  memory,
  ones,
  rand,
  randint,
  randn,
  setDefaultDevice,
  setDefaultDType,
  stack,
  tensor,
  Tensor,
  tidy,
  zeros,
  type DType,
  type Nested,
} from 'castor';
import { tidyTest as it } from './setup.ts';

/** The same numbers: NaN equals NaN whatever its bits, -0 differs from 0. */
function expectSame(actual: ArrayLike<number | bigint>, expected: ArrayLike<number | bigint>): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++)
    if (!Object.is(actual[i], expected[i])) throw new Error(`element ${i} is ${actual[i]}, expected ${expected[i]}`);
}

describe('creation', () => {
  it('from nested arrays', () => {
    const t = tensor([
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    ]);
    expect(t.shape).toEqual([1, 3, 2]);
    expect(t.strides).toEqual([6, 2, 1]);
    expect(t.dtype).toBe('float32');
    expect(t.device).toBe(getDefaultDevice());
    expect([t.rank, t.ndim, t.numel, t.nbytes, t.isContiguous]).toEqual([3, 3, 6, 24, true]);
    expect(t.toArraySync()).toEqual([
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    ]);
  });
  it('from one value', () => {
    expect(tensor(3).shape).toEqual([]);
    expect(tensor(3).itemSync()).toBe(3);
    expect(tensor(true).dtype).toBe('bool');
    expect(tensor(7n).dtype).toBe('int64');
  });
  it('of what the data says, or as asked', () => {
    expect(tensor([true, false]).dtype).toBe('bool');
    expect(tensor([1n, 2n]).dtype).toBe('int64');
    expect(tensor([1, 2], { dtype: 'int32' }).toArraySync()).toEqual([1, 2]);
    expect(tensor([true, false], { dtype: 'float16' }).toArraySync()).toEqual([1, 0]);
    expect(tensor([1.9, -1.9], { dtype: 'int64' }).toArraySync()).toEqual([1, -1]);
  });
  it('of empty arrays', () => {
    expect(tensor([]).shape).toEqual([0]);
    expect(tensor([[], []]).shape).toEqual([2, 0]);
    expect(zeros([0, 3]).toArraySync()).toEqual([]);
    expect(zeros([2, 0]).toArraySync()).toEqual([[], []]);
  });
  it('from typed arrays, which are copied', () => {
    const source = new Float64Array([1, 2, 3, 4]);
    const t = tensor(source);
    const square = fromTypedArray(source, [2, 2], { dtype: 'float32' });
    source[0] = 9;
    expect(t.dtype).toBe('float64');
    expect(t.toArraySync()).toEqual([1, 2, 3, 4]);
    expect(square.dtype).toBe('float32');
    expect(square.toArraySync()).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });
  it('from each typed array that has a dtype', () => {
    const arrays = [
      [new Float32Array(1), 'float32'],
      [new Float16Array(1), 'float16'],
      [new Float64Array(1), 'float64'],
      [new Int32Array(1), 'int32'],
      [new BigInt64Array(1), 'int64'],
      [new Uint8Array(1), 'uint8'],
      [new Uint8ClampedArray(1), 'uint8'],
    ] as const;
    for (const [array, dtype] of arrays) expect(tensor(array).dtype).toBe(dtype);
  });
  it('from a part of a typed array', () => {
    expect(tensor(new Float32Array([0, 1, 2, 3]).subarray(1, 3)).toArraySync()).toEqual([1, 2]);
  });
  it('of constants and ranges', () => {
    expect(zeros([2]).toArraySync()).toEqual([0, 0]);
    expect(ones([2], { dtype: 'int32' }).toArraySync()).toEqual([1, 1]);
    expect(full([2], -1.5, { dtype: 'bfloat16' }).toArraySync()).toEqual([-1.5, -1.5]);
    expect(full([2], 2, { dtype: 'bool' }).toArraySync()).toEqual([true, true]);
    expect(empty([2, 3]).shape).toEqual([2, 3]);
    expect(eye(2).toArraySync()).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(eye(2, 3, { dtype: 'int64' }).toArraySync()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ]);
    expect(eye(3, 1).toArraySync()).toEqual([[1], [0], [0]]);
    expect(arange(4).toArraySync()).toEqual([0, 1, 2, 3]);
    expect(arange(4).dtype).toBe('int64');
    expect(arange(1, 4).toArraySync()).toEqual([1, 2, 3]);
    expect(arange(5, 0, -2).toArraySync()).toEqual([5, 3, 1]);
    expect(arange(0, 1, 0.25).toArraySync()).toEqual([0, 0.25, 0.5, 0.75]);
    expect(arange(0, 1, 0.25).dtype).toBe('float32');
    expect(linspace(0, 1, 5).toArraySync()).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(linspace(3, 3, 1).toArraySync()).toEqual([3]);
    expect(linspace(0, 1, 0).toArraySync()).toEqual([]);
  });
  it('like another tensor', () => {
    const t = zeros([2, 3], { dtype: 'float16' });
    expect(t.onesLike().toArraySync()).toEqual([
      [1, 1, 1],
      [1, 1, 1],
    ]);
    for (const other of [t.emptyLike(), t.zerosLike(), t.fullLike(2), t.randLike(), t.randnLike()]) {
      expect(other.shape).toEqual([2, 3]);
      expect(other.dtype).toBe('float16');
    }
    expect(t.zerosLike({ dtype: 'int64' }).dtype).toBe('int64');
    expect(randint(0, 5, [2]).dtype).toBe('int64');
  });
  it('that requires a gradient', () => {
    expect(tensor([1], { requiresGrad: true }).requiresGrad).toBe(true);
    expect(zeros([1], { requiresGrad: true }).isLeaf).toBe(true);
    expect(rand([1], { requiresGrad: true }).requiresGrad).toBe(true);
    expect(linspace(0, 1, 2, { requiresGrad: true }).requiresGrad).toBe(true);
    expect(zeros([1]).requiresGrad).toBe(false);
  });
  it('in another default dtype', () => {
    setDefaultDType('float64');
    try {
      expect(getDefaultDType()).toBe('float64');
      expect(zeros([1]).dtype as string).toBe('float64');
      expect(tensor([1]).dtype).toBe('float64');
      expect(ones([1], { dtype: 'int32' }).add(0.5).dtype).toBe('float64');
    } finally {
      setDefaultDType('float32');
    }
    expect(tensor([1]).dtype).toBe('float32');
  });
});

describe('reading', () => {
  const arrays = {
    float32: Float32Array,
    float16: Float16Array,
    bfloat16: Float32Array,
    float64: Float64Array,
    int32: Int32Array,
    int64: BigInt64Array,
    uint8: Uint8Array,
    bool: Uint8Array,
  } as const;

  test.each(dtypeNames)('%s', async dtype => {
    using t = tensor([0, 1, 3], { dtype });
    const big = dtype === 'int64';
    const expected = dtype === 'bool' ? [0, 1, 1] : [0, 1, 3];
    for (const data of [t.dataSync(), await t.data()]) {
      expect(data).toBeInstanceOf(arrays[dtype]);
      expect(Array.from<number | bigint>(data)).toEqual(big ? expected.map(BigInt) : expected);
    }
    for (const nested of [t.toArraySync(), await t.toArray()])
      expect(nested).toEqual(dtype === 'bool' ? [false, true, true] : [0, 1, 3]);
    using one = t.select(0, 1);
    expect(one.itemSync()).toBe(1);
    expect(await one.item()).toBe(1);
  });
  it('of every layout is row-major', () => {
    const t = arange(6, { dtype: 'float32' }).reshape(2, 3);
    expect([...t.T.dataSync()]).toEqual([0, 3, 1, 4, 2, 5]);
    expect([...t.slice(1, null, null, -1).dataSync()]).toEqual([2, 1, 0, 5, 4, 3]);
    expect([...t.select(0, 1).expand(2, 3).dataSync()]).toEqual([3, 4, 5, 3, 4, 5]);
    expect([...t.select(0, 1).dataSync()]).toEqual([3, 4, 5]);
  });
  it('int64 beyond what a number holds', () => {
    const t = tensor([2n ** 62n, -1n]);
    expect([...t.dataSync()]).toEqual([2n ** 62n, -1n]);
    expect(t.toArraySync()).toEqual([2n ** 62n, -1]);
    expect(() => t.select(0, 0).itemSync()).toThrow(/does not fit a JavaScript number/);
    expect(t.select(0, 1).itemSync()).toBe(-1);
  });
  test('is typed', () => {
    tidy(() => {
      expectTypeOf(zeros([1], { dtype: 'float16' }).dataSync()).toEqualTypeOf<Float16Array<ArrayBuffer>>();
      expectTypeOf(zeros([1], { dtype: 'int64' }).dataSync()).toEqualTypeOf<BigInt64Array<ArrayBuffer>>();
      expectTypeOf(zeros([1], { dtype: 'bfloat16' }).dataSync()).toEqualTypeOf<Float32Array<ArrayBuffer>>();
      expectTypeOf(zeros([1]).data()).resolves.toEqualTypeOf<Float32Array<ArrayBuffer>>();
      expectTypeOf(randint(0, 1, [1])).toEqualTypeOf<Tensor<'int64'>>();
      expectTypeOf(zeros([1]).half()).toEqualTypeOf<Tensor<'float16'>>();
      expectTypeOf(zeros([1]).dtype).toEqualTypeOf<'float32'>();
      expectTypeOf(zeros([1]).toArray()).resolves.toEqualTypeOf<Nested>();
      expectTypeOf(zeros([1]).itemSync()).toEqualTypeOf<number>();
    });
  });
});

/** All 65536 bit patterns of a 16-bit dtype, with the number that each stands for. */
const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
const float16Values = new Float16Array(patterns.buffer);
const bfloat16Values = new Float32Array(Uint32Array.from(patterns, bits => bits << 16).buffer);

/** The nearest bfloat16 to a number, ties to even: a fraction of 8 bits, found by exact arithmetic in float64. */
function roundToBfloat16(value: number): number {
  const size = Math.abs(value);
  if (!Number.isFinite(value) || size === 0) return value;
  const unit = 2 ** (Math.max(Math.floor(Math.log2(size)), -126) - 7);
  const low = Math.floor(size / unit);
  const rest = size / unit - low;
  const rounded = (rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low) * unit;
  return Math.sign(value) * (rounded >= 2 ** 128 ? Infinity : rounded);
}

/** Between all neighbours: at a quarter, at the tie, just beside the tie, and at three quarters. */
function between(values: ArrayLike<number>): Float64Array {
  const sorted = Float64Array.from(new Set(Array.from(values).filter(Number.isFinite))).sort();
  const points: number[] = [];
  for (let i = 0; i + 1 < sorted.length; i++) {
    const [a, b] = [sorted[i]!, sorted[i + 1]!];
    const [middle, gap] = [(a + b) / 2, b - a];
    points.push(a + gap / 4, middle - gap * 2 ** -30, middle, middle + gap * 2 ** -30, b - gap / 4);
  }
  return Float64Array.from(points);
}

describe('conversion', () => {
  it('of all float16 patterns to wider dtypes is exact, and back', () => {
    const t = tensor(float16Values);
    for (const dtype of ['float32', 'float64'] as const) {
      const wide = t.to(dtype);
      expectSame(wide.dataSync(), (dtype === 'float32' ? Float32Array : Float64Array).from(float16Values));
      expectSame(wide.to('float16').dataSync(), float16Values);
    }
  });
  it('of all bfloat16 patterns to wider dtypes is exact, and back', () => {
    const t = tensor(bfloat16Values).to('bfloat16');
    expectSame(t.dataSync() as Float32Array, bfloat16Values);
    expectSame(t.to('float64').dataSync(), Float64Array.from(bfloat16Values));
    expectSame(t.to('float64').to('bfloat16').dataSync(), bfloat16Values);
  });
  it('of all float16 patterns to bfloat16 and of all bfloat16 patterns to float16', () => {
    expectSame(tensor(float16Values).to('bfloat16').dataSync(), Float32Array.from(float16Values, roundToBfloat16));
    expectSame(
      tensor(bfloat16Values, { dtype: 'bfloat16' }).to('float16').dataSync(),
      Float16Array.from(bfloat16Values),
    );
  });
  it('of float64 to float16 rounds once, to the nearest, ties to even', () => {
    const points = between(float16Values);
    expectSame(tensor(points).to('float16').dataSync(), Float16Array.from(points));
  });
  it('of float32 to float16 rounds to the nearest, ties to even', () => {
    const points = Float32Array.from(between(float16Values));
    expectSame(tensor(points).to('float16').dataSync(), Float16Array.from(points));
  });
  it('of float64 to bfloat16 rounds once, to the nearest, ties to even', () => {
    const points = between(bfloat16Values);
    expectSame(tensor(points).to('bfloat16').dataSync(), Float32Array.from(points, roundToBfloat16));
  });
  it('of float32 to bfloat16 rounds to the nearest, ties to even', () => {
    const points = Float32Array.from(between(bfloat16Values));
    expectSame(tensor(points).to('bfloat16').dataSync(), Float32Array.from(points, roundToBfloat16));
  });
  it('overflows to infinity, where rounding says so', () => {
    const t = tensor([65504, 65519.99, 65520, -65520, 1e30], { dtype: 'float64' });
    expect(t.to('float16').toArraySync()).toEqual([65504, 65504, Infinity, -Infinity, Infinity]);
    expect(tensor([3.3895e38, 3.4e38, -3.4e38]).to('bfloat16').toArraySync()).toEqual([
      roundToBfloat16(3.3895e38),
      Infinity,
      -Infinity,
    ]);
    expect(
      tensor(new Float64Array([1e39, -1e300]))
        .to('float32')
        .toArraySync(),
    ).toEqual([Infinity, -Infinity]);
  });
  it('keeps NaN and the sign of zero', () => {
    for (const dtype of ['float16', 'bfloat16', 'float32', 'float64'] as const) {
      const [nan, zero] = tensor([NaN, -0], { dtype }).toArraySync() as number[];
      expect(nan).toBeNaN();
      expect(zero).toBe(-0);
    }
  });
  it('of floats to integers truncates', () => {
    const t = tensor([1.9, -1.9, 0.5, -0.5, 2.5]);
    expect(t.to('int32').toArraySync()).toEqual([1, -1, 0, 0, 2]);
    expect(t.to('int64').toArraySync()).toEqual([1, -1, 0, 0, 2]);
    expect(tensor([1.9, 200.5]).to('uint8').toArraySync()).toEqual([1, 200]);
  });
  it('of integers to narrower ones wraps around', () => {
    const t = tensor([300n, -1n, 2n ** 32n + 5n]);
    expect(t.to('uint8').toArraySync()).toEqual([44, 255, 5]);
    expect(t.to('int32').toArraySync()).toEqual([300, -1, 5]);
  });
  it('of large integers to floats rounds once', () => {
    const values = [2n ** 24n + 1n, 2n ** 53n + 1n, 2n ** 60n + 2n ** 36n + 1n, -(2n ** 62n)];
    expectSame(
      tensor(values).to('float32').dataSync(),
      Float32Array.from([2 ** 24, 2 ** 53, 2 ** 60 + 2 ** 37, -(2 ** 62)]),
    );
    expectSame(tensor(values).to('float64').dataSync(), Float64Array.from(values, Number));
  });
  it('to bool is whether it is not zero', () => {
    expect(tensor([0, -0, 0.25, NaN, -Infinity]).to('bool').toArraySync()).toEqual([false, false, true, true, true]);
    expect(tensor([0n, 256n]).to('bool').toArraySync()).toEqual([false, true]);
    expect(tensor([1e-45]).to('bool').toArraySync()).toEqual([true]);
  });
  it('returns the tensor itself when nothing changes', () => {
    const t = zeros([2]);
    expect(t.to('float32')).toBe(t);
    expect(t.to(t.device)).toBe(t);
    expect(t.to(ones([1]))).toBe(t);
    expect(t.to({ dtype: 'float16' }).dtype).toBe('float16');
    expect([t.float().dtype, t.half().dtype, t.double().dtype, t.long().dtype] as string[]).toEqual([
      'float32',
      'float16',
      'float64',
      'int64',
    ]);
  });
});

describe('promotion', () => {
  const meets: [DType, DType, DType][] = [
    ['bool', 'uint8', 'uint8'],
    ['uint8', 'int32', 'int32'],
    ['int32', 'int64', 'int64'],
    ['int64', 'float16', 'float16'],
    ['int64', 'bfloat16', 'bfloat16'],
    ['float16', 'bfloat16', 'float32'],
    ['float16', 'float32', 'float32'],
    ['float32', 'float64', 'float64'],
    ['bool', 'float16', 'float16'],
  ];
  it('of two tensors', () => {
    for (const [a, b, both] of meets) {
      expect(ones([2], { dtype: a }).add(ones([2], { dtype: b })).dtype).toBe(both);
      expect(ones([2], { dtype: b }).mul(ones([2], { dtype: a })).dtype).toBe(both);
    }
  });
  it('of a number: not within a category', () => {
    expect(ones([2], { dtype: 'float16' }).add(1.5).dtype).toBe('float16');
    expect(ones([2], { dtype: 'int32' }).mul(2).dtype).toBe('int32');
    expect(ones([2], { dtype: 'int32' }).mul(0.5).dtype).toBe('float32');
    expect(ones([2], { dtype: 'bool' }).add(1).dtype).toBe('int64');
    expect(ones([2], { dtype: 'uint8' }).add(1).dtype).toBe('uint8');
  });
  it('of a tensor of rank 0: not within a category', () => {
    expect(ones([2], { dtype: 'float16' }).add(tensor(1)).dtype).toBe('float16');
    expect(tensor(1, { dtype: 'float64' }).mul(ones([2])).dtype).toBe('float32');
    expect(ones([2], { dtype: 'int32' }).add(tensor(1)).dtype).toBe('float32');
    expect(tensor(1, { dtype: 'float64' }).mul(tensor(1)).dtype).toBe('float64');
  });
  it('of division is floating', () => {
    expect(ones([2], { dtype: 'int64' }).div(ones([2], { dtype: 'int64' })).dtype).toBe('float32');
    expect(ones([2], { dtype: 'int64' }).exp().dtype).toBe('float32');
  });
  it('of a number with a 16-bit tensor rounds only the result', () => {
    const x = tensor([1000], { dtype: 'bfloat16' });
    expect(x.mul(0.1).itemSync()).toBe(roundToBfloat16(roundToBfloat16(1000) * Math.fround(0.1)));
  });
});

describe('views', () => {
  const base = (): Tensor => arange(24, { dtype: 'float32' }).reshape(2, 3, 4);
  const views: [string, (t: Tensor) => Tensor, number[]][] = [
    ['reshape', t => t.reshape(4, -1), [4, 6]],
    ['reshape by an array', t => t.reshape([24]), [24]],
    ['view', t => t.view(6, 4), [6, 4]],
    ['flatten', t => t.flatten(), [24]],
    ['flatten of some axes', t => t.flatten(1), [2, 12]],
    ['unflatten', t => t.unflatten(2, [2, -1]), [2, 3, 2, 2]],
    ['permute', t => t.permute(2, 0, 1), [4, 2, 3]],
    ['transpose', t => t.transpose(0, -1), [4, 3, 2]],
    ['T', t => t.T, [2, 4, 3]],
    ['unsqueeze', t => t.unsqueeze(1), [2, 1, 3, 4]],
    ['unsqueeze at the end', t => t.unsqueeze(-1), [2, 3, 4, 1]],
    ['squeeze', t => t.unsqueeze(1).squeeze(1), [2, 3, 4]],
    ['squeeze of all', t => t.narrow(0, 1, 1).unsqueeze(0).squeeze(), [3, 4]],
    ['expand', t => t.unsqueeze(0).expand(5, -1, 3, 4), [5, 2, 3, 4]],
    ['broadcastTo', t => t.select(0, 0).broadcastTo([2, 3, 4]), [2, 3, 4]],
    ['narrow', t => t.narrow(2, 1, 2), [2, 3, 2]],
    ['select', t => t.select(1, -1), [2, 4]],
    ['slice', t => t.slice(2, 0, 4, 2), [2, 3, 2]],
    ['slice backwards', t => t.slice(2, null, null, -3), [2, 3, 2]],
    ['slice out of bounds', t => t.slice(2, -99, 99), [2, 3, 4]],
    ['slice of all backwards', t => t.slice(0, null, null, -1).slice(2, null, null, -1), [2, 3, 4]],
    ['split', t => t.split(2, 1)[0]!, [2, 2, 4]],
    ['chunk', t => t.chunk(2, 2)[1]!, [2, 3, 2]],
    ['unbind', t => t.unbind(1)[2]!, [2, 4]],
    ['detach', t => t.detach(), [2, 3, 4]],
    ['at', t => t.at('1:, ..., ::2'), [1, 3, 2]],
  ];
  test.each(views)('%s shares memory and shows the right elements', (_, view, shape) => {
    tidy(() => {
      const t = base();
      const v = view(t);
      expect(v.shape).toEqual(shape);
      expect(v.storage).toBe(t.storage);
      // Each element is its own position, so the values show which memory the view refers to; a write must be visible
      // in the base.
      const positions = new Set(v.dataSync() as Float32Array);
      if (v.strides.every((stride, axis) => stride !== 0 || v.shape[axis] === 1)) v.mul_(-1).sub_(100);
      else t.mul_(-1).sub_(100);
      const now = t.dataSync() as Float32Array;
      for (const position of positions) expect(now[position]).toBe(-position - 100);
      const untouched = now.filter((value, i) => value === i).length;
      expect(untouched).toBe(v.strides.includes(0) ? 0 : 24 - positions.size);
    });
  });
  it('reshape of what has no view copies', () => {
    const t = base().permute(2, 0, 1);
    const flat = t.reshape(24);
    expect(flat.storage).not.toBe(t.storage);
    expect([...flat.dataSync()]).toEqual([...t.dataSync()]);
  });
  it('reshape of a layout that can be viewed does not copy', () => {
    const t = base().narrow(2, 0, 2);
    expect(t.reshape(6, 2).storage).toBe(t.storage);
    expect(t.view(2, 3, 2, 1).storage).toBe(t.storage);
  });
  it('contiguous copies only where it must; clone always', () => {
    const t = base();
    expect(t.contiguous()).toBe(t);
    const copy = t.T.contiguous();
    expect([copy.isContiguous, copy.storage === t.storage]).toEqual([true, false]);
    expect(copy.toArraySync()).toEqual(t.T.toArraySync());
    expect(t.clone().storage).not.toBe(t.storage);
  });
  it('split, chunk and unbind give all parts', () => {
    const t = arange(7);
    const lists = (parts: Tensor[]): Nested[] => parts.map(part => part.toArraySync());
    expect(lists(t.split(3))).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    expect(lists(t.split([2, 5]))).toEqual([
      [0, 1],
      [2, 3, 4, 5, 6],
    ]);
    expect(lists(t.chunk(3))).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    expect(lists(t.unbind())).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(lists(zeros([0]).split(2))).toEqual([[]]);
  });
  it('of rank 0', () => {
    const t = tensor(5);
    expect(t.reshape(1, 1).shape).toEqual([1, 1]);
    expect(t.flatten().shape).toEqual([1]);
    expect(t.expand(2).toArraySync()).toEqual([5, 5]);
    expect(t.T).toBe(t);
    expect(t.squeeze().shape).toEqual([]);
  });
});

describe('at', () => {
  const nested = [
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9, 10, 11],
    ],
    [
      [12, 13, 14, 15],
      [16, 17, 18, 19],
      [20, 21, 22, 23],
    ],
  ];
  const x = (): Tensor => arange(24).reshape(2, 3, 4);
  it('numbers and ranges', () => {
    expect(x().at(1).toArraySync()).toEqual(nested[1]!);
    expect(x().at(-1, 0).toArraySync()).toEqual([12, 13, 14, 15]);
    expect(x().at(1, 2, 3).toArraySync()).toBe(23);
    expect(x().at(':, 1').toArraySync()).toEqual([
      [4, 5, 6, 7],
      [16, 17, 18, 19],
    ]);
    expect(x().at('1:, ..., ::2').toArraySync()).toEqual([
      [
        [12, 14],
        [16, 18],
        [20, 22],
      ],
    ]);
    expect(x().at('...', -1).toArraySync()).toEqual([
      [3, 7, 11],
      [15, 19, 23],
    ]);
    expect(x().at(0, 0, '::-1').toArraySync()).toEqual([3, 2, 1, 0]);
    expect(x().at(0, 0, '-3:-1').toArraySync()).toEqual([1, 2]);
    expect(x().at(0, 0, '3:1').toArraySync()).toEqual([]);
    expect(x().at('...').toArraySync()).toEqual(nested);
  });
  it('new axes', () => {
    expect(x().at(null).shape).toEqual([1, 2, 3, 4]);
    expect(x().at('...', null).shape).toEqual([2, 3, 4, 1]);
    expect(x().at(0, null, ':').shape).toEqual([1, 3, 4]);
  });
  it('index tensors', () => {
    const rows = tensor([1, 0, -1], { dtype: 'int64' });
    expect(x().at(rows).toArraySync()).toEqual([nested[1]!, nested[0]!, nested[1]!]);
    expect(x().at(':', rows, 0).toArraySync()).toEqual([
      [4, 0, 8],
      [16, 12, 20],
    ]);
    expect(x().at(0, rows).toArraySync()).toEqual([nested[0]![1]!, nested[0]![0]!, nested[0]![2]!]);
    expect(x().at('...', rows).shape).toEqual([2, 3, 3]);
    expect(x().at(tensor([[0], [1]], { dtype: 'int32' })).shape).toEqual([2, 1, 3, 4]);
  });
  it('several index tensors, which broadcast together', () => {
    const [a, b] = [tensor([0, 1], { dtype: 'int64' }), tensor([2, 0], { dtype: 'int64' })];
    expect(x().at(a, b).toArraySync()).toEqual([nested[0]![2]!, nested[1]![0]!]);
    expect(x().at(a, b, 1).toArraySync()).toEqual([9, 13]);
    expect(x().at(a.unsqueeze(1), b).shape).toEqual([2, 2, 4]);
    // If the indexed axes are separated, they come first, as in NumPy.
    expect(x().at(a, ':', b).toArraySync()).toEqual([
      [2, 6, 10],
      [12, 16, 20],
    ]);
  });
  it('copies through index tensors, views otherwise', () => {
    const t = x();
    expect(t.at(0, ':').storage).toBe(t.storage);
    expect(t.at(tensor([0], { dtype: 'int64' })).storage).not.toBe(t.storage);
  });
  it('writes with set_', () => {
    const t = zeros([2, 3]);
    t.set_([0, '1:'], tensor([1, 2]));
    t.set_(1, 7);
    expect(t.toArraySync()).toEqual([
      [0, 1, 2],
      [7, 7, 7],
    ]);
  });
});

describe('in place', () => {
  const names = Object.keys(F).filter(name => `${name}_` in Tensor.prototype) as 'add'[];
  const floats = names.filter(name => !/^(bitwise|set|copy|fill|zero|uniform|normal)/.test(name));
  test.each(floats)('%s_ writes what %s returns', name => {
    tidy(() => {
      const x = rand([3, 4]).add(0.1);
      const other = F[name].length === 1 ? [] : [rand([4]).add(0.5)];
      const t = x.clone();
      const [expected, result] = [x[name](...(other as [Tensor])), t[`${name}_`](...(other as [Tensor]))];
      expect(result).toBe(t);
      expect(t.dtype).toBe('float32');
      expectSame(t.dataSync(), expected.to('float32').dataSync());
      expect(t.version).toBe(1);
    });
  });
  it('covers the op table', () => {
    expect(floats).toContain('add');
    expect(floats as string[]).toContain('exp');
    expect(floats.length).toBeGreaterThan(50);
  });
  it('keeps the dtype of the tensor that is written', () => {
    const t = zeros([2], { dtype: 'float16' });
    expect(t.add_(ones([2], { dtype: 'float64' })).dtype).toBe('float16');
    expect(t.toArraySync()).toEqual([1, 1]);
    expect(zeros([2], { dtype: 'int32' }).add_(3).toArraySync()).toEqual([3, 3]);
  });
  it('copy_, fill_ and zero_ overwrite, also through a view', () => {
    const t = arange(6, { dtype: 'float32' }).reshape(2, 3);
    t.select(1, 0).copy_(tensor([7, 8], { dtype: 'int64' }));
    t.select(0, 1).narrow(0, 1, 2).fill_(-1);
    expect(t.toArraySync()).toEqual([
      [7, 1, 2],
      [8, -1, -1],
    ]);
    expect(t.zero_().toArraySync()).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
  });
  it('of a tensor with itself', () => {
    const t = tensor([1, 2, 3]);
    expect(t.add_(t).toArraySync()).toEqual([2, 4, 6]);
    expect(t.sub_(t.slice(0, null, null, -1)).toArraySync()).toEqual([-4, 0, 4]);
  });
  it('reads what it had before, also where it shares memory with the operand', () => {
    const n = 5000;
    const t = arange(n, { dtype: 'float32' });
    t.sub_(t.slice(0, null, null, -1));
    expect(t).toBeAllclose(Float32Array.from({ length: n }, (_, i) => 2 * i - (n - 1)));
    const rows = arange(4000).reshape(4, 1000);
    expect(rows.sub_(rows.at(0)).at(':, 7')).toBeAllclose([0, 1000, 2000, 3000]);
    const moved = arange(n);
    moved.at('1:').copy_(moved.at(':-1'));
    expect(moved).toBeAllclose(Float64Array.from({ length: n }, (_, i) => Math.max(0, i - 1)));
  });
});

describe('joining', () => {
  it('cat along any axis, with promotion', () => {
    const [a, b] = [ones([1, 2], { dtype: 'int32' }), zeros([3, 2], { dtype: 'float16' })];
    expect(cat([a, b]).shape).toEqual([4, 2]);
    expect(cat([a, b]).dtype).toBe('float16');
    expect(cat([tensor([[1], [2]]), tensor([[3], [4]])], 1).toArraySync()).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(cat([tensor([[1], [2]]), tensor([[3], [4]])], -1).shape).toEqual([2, 2]);
    expect(cat([zeros([0, 2]), zeros([1, 2])]).shape).toEqual([1, 2]);
  });
  it('stack along a new axis', () => {
    expect(stack([tensor([1, 2]), tensor([3, 4])]).toArraySync()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(stack([tensor([1, 2]), tensor([3, 4])], 1).toArraySync()).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(stack([tensor(1), tensor(2)], -1).toArraySync()).toEqual([1, 2]);
  });
});

/** All but the last of these texts have no device: they are of CPU tensors, which do not show it. */
describe('printing', () => {
  const device = getDefaultDevice();
  beforeAll(() => setDefaultDevice('cpu'));
  afterAll(() => setDefaultDevice(device));

  const prints: [string, () => Tensor, string][] = [
    ['rank 0', () => tensor(3.5), 'tensor(3.5000)'],
    ['a whole float', () => tensor(3), 'tensor(3.)'],
    ['an integer', () => tensor(7n), 'tensor(7)'],
    ['a truth value', () => tensor(true), 'tensor(true)'],
    ['whole floats', () => tensor([1, 2, 3]), 'tensor([1., 2., 3.])'],
    ['fractions', () => tensor([1.5, -2.25, 3]), 'tensor([ 1.5000, -2.2500,  3.0000])'],
    ['truth values', () => tensor([[true, false]]), 'tensor([[ true, false]])'],
    [
      'two axes',
      () =>
        tensor([
          [1n, 2n],
          [30n, -4n],
        ]),
      'tensor([[ 1,  2],\n        [30, -4]])',
    ],
    ['small numbers', () => tensor([1e-5, 1]), 'tensor([1.0000e-05, 1.0000e+00])'],
    ['large numbers', () => tensor([1e10, 1]), 'tensor([1.0000e+10, 1.0000e+00])'],
    ['a wide range', () => tensor([1, 2000]), 'tensor([1.0000e+00, 2.0000e+03])'],
    ['a range that is not wide', () => tensor([1, 1000]), 'tensor([   1., 1000.])'],
    ['three digits of exponent', () => tensor(new Float64Array([1e300])), 'tensor([1.0000e+300], dtype=float64)'],
    ['nan and inf', () => tensor([NaN, Infinity, -Infinity, 1]), 'tensor([nan, inf, -inf, 1.])'],
    ['nan among fractions', () => tensor([NaN, 1.5]), 'tensor([   nan, 1.5000])'],
    ['the sign of zero', () => tensor([-0, 1]), 'tensor([-0., 1.])'],
    ['nothing', () => tensor([]), 'tensor([])'],
    ['nothing of a shape', () => zeros([2, 0]), 'tensor([], shape=[2, 0])'],
    ['no integers', () => zeros([0], { dtype: 'int64' }), 'tensor([], dtype=int64)'],
    ['float16', () => tensor([1, 2], { dtype: 'float16' }), 'tensor([1., 2.], dtype=float16)'],
    ['bfloat16', () => tensor([1.5], { dtype: 'bfloat16' }), 'tensor([1.5000], dtype=bfloat16)'],
    ['uint8', () => tensor([1], { dtype: 'uint8' }), 'tensor([1], dtype=uint8)'],
    ['a leaf', () => tensor([1], { requiresGrad: true }), 'tensor([1.], requiresGrad=true)'],
    ['a result', () => tensor([1, 2], { requiresGrad: true }).mul(2), 'tensor([2., 4.], gradFn=<MulBackward>)'],
    ['a transpose', () => arange(4).reshape(2, 2).T, 'tensor([[0, 2],\n        [1, 3]])'],
  ];
  test.each(prints)('%s', (_, make, text) => {
    tidy(() => {
      const t = make();
      expect(t.toString()).toBe(text);
      expect(Bun.inspect(t)).toBe(text);
    });
  });
  it('three axes with a line between', () => {
    expect(String(arange(12).reshape(2, 2, 3))).toBe(`tensor([[[ 0,  1,  2],
         [ 3,  4,  5]],

        [[ 6,  7,  8],
         [ 9, 10, 11]]])`);
  });
  it('long lines broken at 80 columns', () => {
    expect(String(arange(30))).toBe(`tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,
        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])`);
    expect(String(full([9], 0.5, { dtype: 'float64' })))
      .toBe(`tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000],
       dtype=float64)`);
  });
  it('more than 1000 elements summarised', () => {
    expect(String(arange(1001))).toBe('tensor([   0,    1,    2,  ...,  998,  999, 1000], shape=[1001])');
    expect(String(arange(2000).reshape(40, 50))).toBe(`tensor([[   0,    1,    2,  ...,   47,   48,   49],
        [  50,   51,   52,  ...,   97,   98,   99],
        [ 100,  101,  102,  ...,  147,  148,  149],
        ...,
        [1850, 1851, 1852,  ..., 1897, 1898, 1899],
        [1900, 1901, 1902,  ..., 1947, 1948, 1949],
        [1950, 1951, 1952,  ..., 1997, 1998, 1999]], shape=[40, 50])`);
  });
  it('short axes of a large tensor in full', () => {
    expect(String(zeros([2, 600]))).toBe(`tensor([[0., 0., 0.,  ..., 0., 0., 0.],
        [0., 0., 0.,  ..., 0., 0., 0.]], shape=[2, 600])`);
  });
  it('a disposed tensor without failing', () => {
    const t = zeros([2]);
    t.dispose();
    expect(Bun.inspect({ t })).toContain('tensor(disposed, shape=[2], dtype=float32)');
  });
  test.skipIf(!isAvailable('cuda'))('names a device that is not the CPU', () => {
    using t = tensor([1, 2], { device: 'cuda' });
    expect(String(t)).toBe("tensor([1., 2.], device='cuda:0')");
  });
});

describe('memory of tensors', () => {
  test('is theirs alone', () => {
    const before = memory.stats().liveStorages;
    using t = randn([4, 4]);
    using view = t.T;
    expect(view.storage).toBe(t.storage);
    expect(memory.stats().liveStorages).toBe(before + 1);
  });
});
