/** Each check of the C ABI (abi/*.cpp), at its limit, where the call must pass, and one step beyond it, where it must be refused. */
import { describe, expect, test } from 'bun:test';
import { tensor, zeros, type DType, type Tensor } from 'castor';
import { native, opNumber } from '../runtime/ffi/library.ts';
import { describe as writeView, describeList } from '../runtime/ffi/view.ts';
import { dtypeInfo } from '../runtime/tensor/dtype.ts';
import { devices } from './setup.ts';

/** The fields of a view that differ from those of the tensor that owns the memory. */
interface Change {
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
  readonly offset?: number;
  readonly dtype?: DType;
}
const rowMajor = (shape: readonly number[]): number[] =>
  shape.map((_, i) => shape.slice(i + 1).reduce((n, size) => n * size, 1));
const changed = (t: Tensor, { shape = t.shape, strides = rowMajor(shape), offset = 0, dtype = t.dtype }: Change) => ({
  storage: t.storage,
  offset,
  info: dtypeInfo(dtype, 'test'),
  shape,
  strides,
});

/** The memory that the calls of one test use. */
class Memory {
  readonly floats: Tensor;
  readonly others: Tensor;
  readonly written: Tensor;
  readonly indices: Tensor;
  constructor(device: Tensor['device']) {
    this.floats = zeros([64], { device });
    this.others = zeros([64], { device });
    this.written = zeros([64], { device });
    this.indices = zeros([64], { device, dtype: 'int64' });
  }
  /** Views of four memories: two that are read, one that is written, one with indices. */
  a = (change: Change): number => writeView(0, changed(this.floats, change));
  b = (change: Change): number => writeView(1, changed(this.others, change));
  out = (change: Change): number => writeView(2, changed(this.written, change));
  index = (change: Change): number => writeView(3, changed(this.indices, change));
}

const int32s = (...numbers: number[]): Int32Array => {
  const list = new Int32Array(new ArrayBuffer(64));
  list.set(numbers);
  return list;
};
const doubles = (...numbers: number[]): Float64Array => {
  const list = new Float64Array(new ArrayBuffer(128));
  list.set(numbers);
  return list;
};

interface Limit {
  readonly what: string;
  readonly right: (m: Memory) => number;
  readonly wrong: (m: Memory) => number;
  /** A part of the message of the error. */
  readonly says: string;
}
const limit = (what: string, says: string, right: Limit['right'], wrong: Limit['wrong']): Limit => ({
  what,
  right,
  wrong,
  says,
});
/** One call with a number that may be at its limit or beyond. */
const at = <T>(what: string, says: string, call: (m: Memory, value: T) => number, right: T, wrong: T): Limit =>
  limit(
    what,
    says,
    m => call(m, right),
    m => call(m, wrong),
  );

const abs = opNumber('unary', 'abs');
const unary = (m: Memory, a: Change, out: Change): number => native.castor_unary(abs, m.a(a), m.out(out), 0, 0);
const reduce = (name: string, m: Memory, a: Change, out: Change, axes: number): number =>
  native.castor_reduce(opNumber('reduce', name), m.a(a), m.out(out), axes, 0);
const matmul = (m: Memory, a: readonly number[], b: readonly number[], out: readonly number[]): number =>
  native.castor_matmul(m.a({ shape: a }), m.b({ shape: b }), 0, m.out({ shape: out }), 0);
/** stride, padding, dilation of both axes, groups. */
const convolve = (
  m: Memory,
  a: readonly number[],
  b: readonly number[],
  out: readonly number[],
  ...g: number[]
): number =>
  native.castor_convolution(
    opNumber('convolution', 'forward'),
    m.a({ shape: a }),
    m.b({ shape: b }),
    0,
    m.out({ shape: out }),
    int32s(...g),
  );
const gather = (m: Memory, a: readonly number[], index: Change, out: Change, axis: number): number =>
  native.castor_gather(opNumber('gather', 'gather'), m.a({ shape: a }), m.index(index), m.out(out), axis);
/** Kernel, stride, padding, dilation of both axes, and whether padding counts. */
const averages = (m: Memory, ...g: number[]): number =>
  native.castor_pool(
    opNumber('pool', 'avg'),
    m.a({ shape: [1, 1, 4, 4] }),
    m.out({ shape: [1, 1, 4 + 2 * g[4]! - g[0]! + 1, 4 + 2 * g[4]! - g[0]! + 1] }),
    0,
    int32s(...g),
  );
/** A window over 5 x 5 elements with padding on one axis, and with the shape of its result. */
const padded = (m: Memory, axis: 0 | 1, kernel: number, dilation: number, padding: number): number => {
  const on = (value: number, other: number): number[] => (axis === 0 ? [value, other] : [other, value]);
  const places = 5 + 2 * padding - (kernel - 1) * dilation;
  return native.castor_pool(
    opNumber('pool', 'avg'),
    m.a({ shape: [1, 1, 5, 5] }),
    m.out({ shape: [1, 1, ...on(places, 5)] }),
    0,
    int32s(...on(kernel, 1), 1, 1, ...on(padding, 0), ...on(dilation, 1), 0),
  );
};
const sgd = (m: Memory, sizes: readonly (readonly number[])[], dtype: DType, steps: readonly number[]): number =>
  native.castor_multi_sgd(
    describeList([
      changed(m.floats, { shape: sizes[0]! }),
      changed(m.others, { shape: sizes[1]!, dtype }),
      changed(m.written, { shape: steps }),
    ]),
    1,
    doubles(0.1, 0, 0, 0, 0, 0),
    0,
    0,
  );

const limits: readonly Limit[] = [
  at(
    'the last element of a storage',
    'reaches elements',
    (m, n: number) => unary(m, { shape: [n] }, { shape: [n] }),
    64,
    65,
  ),
  at(
    'the last element from an offset',
    'reaches elements',
    (m, offset: number) => unary(m, { shape: [8], offset }, { shape: [8] }),
    56,
    57,
  ),
  at(
    'the first element, backwards',
    'reaches elements',
    (m, offset: number) => unary(m, { shape: [8], strides: [-1], offset }, { shape: [8] }),
    7,
    6,
  ),
  at(
    'a step between elements',
    'reaches elements',
    (m, step: number) => unary(m, { shape: [10], strides: [step] }, { shape: [10] }),
    7,
    8,
  ),
  at(
    'a wider dtype of the same memory',
    'reaches elements',
    (m, n: number) => unary(m, { shape: [n], dtype: 'float64' }, { shape: [n] }),
    32,
    33,
  ),
  at(
    'the rank',
    'has rank',
    (m, rank: number) => unary(m, { shape: Array(rank).fill(1) }, { shape: Array(rank).fill(1) }),
    8,
    9,
  ),
  at(
    'what is written has one place an element',
    'stride 0',
    (m, n: number) => unary(m, { shape: [n] }, { shape: [n], strides: [0] }),
    1,
    2,
  ),
  at('broadcasting', 'does not broadcast', (m, n: number) => unary(m, { shape: [n] }, { shape: [3, 4] }), 4, 3),
  at(
    'the number of an op',
    'there is no op',
    (m, op: number) =>
      native.castor_compare(op, m.a({ shape: [1] }), m.b({ shape: [1] }), m.out({ shape: [1], dtype: 'bool' })),
    5,
    6,
  ),
  at(
    'a probability',
    'not a probability',
    (m, p: number) => native.castor_dropout(m.a({ shape: [4] }), m.out({ shape: [4] }), p, 1, 0),
    1,
    1.0001,
  ),
  at(
    'a probability from below',
    'not a probability',
    (m, p: number) => native.castor_dropout(m.a({ shape: [4] }), m.out({ shape: [4] }), p, 1, 0),
    0,
    -0.0001,
  ),
  at(
    'a seed',
    'seed',
    (m, seed: number) => native.castor_dropout(m.a({ shape: [4] }), m.out({ shape: [4] }), 0.5, seed, 0),
    2 ** 53 - 1,
    2 ** 53,
  ),
  at(
    'rows and columns of a triangle',
    'rank 2 or more',
    (m, shape: number[]) => native.castor_triangle(0, m.a({ shape }), m.out({ shape }), 0),
    [2, 2],
    [4],
  ),

  at(
    'the axes of a reduction',
    'axes',
    (m, axes: number) => reduce('sum', m, { shape: [2, 3] }, { shape: [1, 1] }, axes),
    3,
    7,
  ),
  at(
    'the sizes of a reduction',
    'out has size',
    (m, size: number) => reduce('sum', m, { shape: [2, 3] }, { shape: [2, size] }, 2),
    1,
    3,
  ),
  at(
    'something to pick from',
    'no elements',
    (m, size: number) => reduce('max', m, { shape: [size, 2] }, { shape: [1, 2] }, 1),
    1,
    0,
  ),
  at(
    'one axis for an index',
    'one axis, or all',
    (m, axes: number) =>
      reduce('argmax', m, { shape: [2, 2, 2] }, { shape: [1, 1, 1 + Number(axes !== 7)], dtype: 'int64' }, axes),
    7,
    3,
  ),
  at(
    'the dtype of an index',
    'expected int64',
    (m, dtype: DType) => reduce('argmax', m, { shape: [4] }, { shape: [1], dtype }, 1),
    'int64',
    'float32',
  ),
  at(
    'the axis of a scan',
    'axis',
    (m, axis: number) => native.castor_scan(0, m.a({ shape: [2, 3] }), m.out({ shape: [2, 3] }), axis),
    1,
    2,
  ),
  at(
    'the axis of a softmax',
    'axis',
    (m, axis: number) => native.castor_softmax(0, m.a({ shape: [2, 3] }), m.out({ shape: [2, 3] }), axis),
    0,
    -1,
  ),
  at(
    'the length that is sorted',
    'not within',
    (m, k: number) => native.castor_sort(m.a({ shape: [4] }), m.out({ shape: [k] }), m.index({ shape: [k] }), 0, 0),
    4,
    5,
  ),

  at(
    'the axis of a gather',
    'axis',
    (m, axis: number) => gather(m, [4, 4], { shape: [4, 4] }, { shape: [4, 4] }, axis),
    1,
    2,
  ),
  at(
    'the sizes of a gather',
    'not within',
    (m, n: number) => gather(m, [4, 4], { shape: [2, n] }, { shape: [2, n] }, 0),
    4,
    5,
  ),
  at(
    'the dtype of indices',
    'expected int32 or int64',
    (m, dtype: DType) => gather(m, [4], { shape: [4], dtype }, { shape: [4] }, 0),
    'int32',
    'uint8',
  ),
  at(
    'the dtype of what is gathered',
    'but',
    (m, dtype: DType) => gather(m, [4], { shape: [4] }, { shape: [4], dtype }, 0),
    'float32',
    'int32',
  ),
  limit(
    'indices beside what is written, and in it',
    'shares memory',
    m =>
      native.castor_gather(
        0,
        m.a({ shape: [4] }),
        writeView(3, changed(m.written, { shape: [4], dtype: 'int64', offset: 4 })),
        m.out({ shape: [4], offset: 16 }),
        0,
      ),
    m =>
      native.castor_gather(
        0,
        m.a({ shape: [4] }),
        writeView(3, changed(m.written, { shape: [4], dtype: 'int64', offset: 4 })),
        m.out({ shape: [4], offset: 15 }),
        0,
      ),
  ),
  limit(
    'indices of a scatter beside what is written, and in it',
    'shares memory',
    m =>
      native.castor_scatter(
        0,
        m.out({ shape: [4], offset: 16 }),
        writeView(3, changed(m.written, { shape: [4], dtype: 'int64' })),
        m.a({ shape: [4] }),
        0,
      ),
    m =>
      native.castor_scatter(
        0,
        m.out({ shape: [4], offset: 4 }),
        writeView(3, changed(m.written, { shape: [4], dtype: 'int64' })),
        m.a({ shape: [4] }),
        0,
      ),
  ),
  at(
    'the sizes of a scatter',
    'not within',
    (m, n: number) =>
      native.castor_scatter(0, m.out({ shape: [4, 2] }), m.index({ shape: [4, n] }), m.a({ shape: [4, n] }), 0),
    2,
    3,
  ),

  at('the inner sizes of a product', 'times', (m, k: number) => matmul(m, [2, k], [3, 4], [2, 4]), 3, 2),
  at('the rows of a product', 'times', (m, rows: number) => matmul(m, [2, 3], [3, 4], [rows, 4]), 2, 1),
  at('the columns of a product', 'times', (m, columns: number) => matmul(m, [2, 3], [3, 4], [2, columns]), 4, 3),
  at('the batch of a product', 'matrices on axis', (m, n: number) => matmul(m, [n, 2, 3], [2, 3, 4], [2, 2, 4]), 2, 1),
  at('the rank of a product', 'rank 2 or more', (m, shape: number[]) => matmul(m, shape, shape, shape), [1, 1], [1]),

  at(
    'the output of a convolution',
    'has size',
    (m, h: number) => convolve(m, [1, 1, 5, 5], [1, 1, 3, 3], [1, 1, h, 3], 1, 1, 0, 0, 1, 1, 1),
    3,
    4,
  ),
  at(
    'a kernel as large as the image',
    'larger than the padded input',
    (m, k: number) => convolve(m, [1, 1, 3, 3], [1, 1, k, 3], [1, 1, 1, 1], 1, 1, 0, 0, 1, 1, 1),
    3,
    4,
  ),
  at(
    'groups of output channels',
    'output channels do not divide into',
    (m, channels: number) => convolve(m, [1, 4, 2, 2], [channels, 2, 1, 1], [1, channels, 2, 2], 1, 1, 0, 0, 1, 1, 2),
    4,
    3,
  ),
  at(
    'groups of input channels',
    'input channels are not',
    (m, channels: number) => convolve(m, [1, channels, 2, 2], [4, 2, 1, 1], [1, 4, 2, 2], 1, 1, 0, 0, 1, 1, 2),
    4,
    5,
  ),
  at(
    'at least one group',
    'into 0 groups',
    (m, groups: number) => convolve(m, [1, 1, 2, 2], [1, 1, 1, 1], [1, 1, 2, 2], 1, 1, 0, 0, 1, 1, groups),
    1,
    0,
  ),
  at(
    'the stride of a convolution',
    'stride 0',
    (m, stride: number) => convolve(m, [1, 1, 2, 2], [1, 1, 1, 1], [1, 1, 2, 2], stride, 1, 0, 0, 1, 1, 1),
    1,
    0,
  ),
  at(
    'the padding of a convolution',
    'padding -1',
    (m, padding: number) => convolve(m, [1, 1, 2, 2], [1, 1, 1, 1], [1, 1, 2, 2], 1, 1, 0, padding, 1, 1, 1),
    0,
    -1,
  ),
  at(
    'the dilation of a convolution',
    'dilation 0',
    (m, dilation: number) => convolve(m, [1, 1, 2, 2], [1, 1, 1, 1], [1, 1, 2, 2], 1, 1, 0, 0, dilation, 1, 1),
    1,
    0,
  ),
  at(
    'the padding of a window',
    'more than half of the kernel',
    (m, padding: number) => averages(m, 2, 2, 1, 1, padding, padding, 1, 1, 0),
    1,
    2,
  ),
  ...([0, 1] as const).flatMap(axis =>
    [
      [1, 1, 0],
      [2, 1, 1],
      [3, 1, 1],
      [4, 1, 2],
      [2, 2, 1],
      [3, 2, 2],
    ].map(([kernel, dilation, most]) =>
      at(
        `the padding on axis ${axis} of a window of ${kernel} with dilation ${dilation}`,
        'more than half of the kernel',
        (m, padding: number) => padded(m, axis, kernel!, dilation!, padding),
        most!,
        most! + 1,
      ),
    ),
  ),

  at(
    'the shape of a gradient',
    'another shape',
    (m, shape: number[]) => sgd(m, [[6], shape], 'float32', [1]),
    [6],
    [5],
  ),
  at(
    'the rank of a gradient',
    'another shape',
    (m, shape: number[]) => sgd(m, [[6], shape], 'float32', [1]),
    [6],
    [6, 1],
  ),
  at(
    'the dtype of a gradient',
    'expected a float dtype',
    (m, dtype: DType) => sgd(m, [[6], [6]], dtype, [1]),
    'float16',
    'int32',
  ),
  at('one step a parameter', 'not one float32', (m, shape: number[]) => sgd(m, [[6], [6]], 'float32', shape), [1], [2]),
  at(
    'the count of tensors',
    '-1 is not a number of tensors',
    (m, count: number) =>
      native.castor_multi_norm(describeList([changed(m.floats, {})]), count, m.out({ shape: [1] }), 2),
    1,
    -1,
  ),
  at(
    'the order of a norm',
    'p is',
    (m, p: number) => native.castor_multi_norm(describeList([changed(m.floats, {})]), 1, m.out({ shape: [1] }), p),
    0,
    -1,
  ),
  at(
    'one number for all tensors',
    'expected one element',
    (m, n: number) => native.castor_multi_scale(describeList([changed(m.floats, {})]), 1, m.b({ shape: [n] })),
    1,
    2,
  ),
  at(
    'the dtype of that number',
    'expected float32',
    (m, dtype: DType) =>
      native.castor_multi_scale(describeList([changed(m.floats, {})]), 1, m.b({ shape: [1], dtype })),
    'float32',
    'float16',
  ),
  at(
    'a range has one axis',
    'expected rank 1',
    (m, shape: number[]) => native.castor_arange(m.out({ shape }), 0, 1),
    [4],
    [2, 2],
  ),
];

describe.each(devices)('the limits of the C ABI on %s', device => {
  test.each(limits.map(row => [row.what, row] as const))('%s', (_, { right, wrong, says }) => {
    const memory = new Memory(device);
    expect([right(memory), '']).toEqual([0, '']);
    expect(wrong(memory)).not.toBe(0);
    expect(native.castor_last_error()).toContain(says);
  });
  test('a call without elements touches nothing, whatever its strides say', () => {
    const memory = new Memory(device);
    expect(unary(memory, { shape: [0, 5], strides: [1e6, -1e6] }, { shape: [0, 5], strides: [7, 1e6] })).toBe(0);
    expect(tensor([1], { device }).itemSync()).toBe(1);
  });
});
