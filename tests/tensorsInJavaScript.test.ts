/** Tensors in the protocols of JavaScript: JSON, iteration, destructuring, structured clones. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  arange,
  autocast,
  AutogradError,
  DisposedError,
  DTypeError,
  F,
  fromTypedArray,
  GradScaler,
  GraphError,
  graph,
  noGrad,
  ones,
  optim,
  ShapeError,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from 'castor';
import { liveStorages as live } from './setup.ts';

const it = (name: string, fn: () => void): void => test(name, () => tidy(fn));

describe('JSON.stringify', () => {
  it('gives the nested values', () => {
    expect(
      JSON.stringify(
        tensor([
          [1, 2.5],
          [-3, 4],
        ]),
      ),
    ).toBe('[[1,2.5],[-3,4]]');
    expect(JSON.stringify(tensor(7))).toBe('7');
    expect(JSON.stringify(zeros([0]))).toBe('[]');
    expect(JSON.stringify(zeros([2, 0]))).toBe('[[],[]]');
    expect(JSON.stringify(tensor([true, false]))).toBe('[true,false]');
    expect(JSON.stringify(tensor([1n, -2n]))).toBe('[1,-2]');
    expect(JSON.stringify(tensor([1, 2]).to('float16'))).toBe('[1,2]');
    expect(JSON.stringify(tensor([1, 2]).to('bfloat16'))).toBe('[1,2]');
  });
  it('gives the values of a view in its own order, and of one with history', () => {
    const x = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { requiresGrad: true },
    );
    expect(JSON.stringify(x.T)).toBe('[[1,3],[2,4]]');
    expect(JSON.stringify(x.mul(2).at(1))).toBe('[6,8]');
  });
  it('stands in the place of the tensor in objects and arrays, indented like them', () => {
    expect(JSON.stringify({ loss: tensor(0.5), rows: [tensor([1])] })).toBe('{"loss":0.5,"rows":[[1]]}');
    expect(JSON.stringify(tensor([1]), null, 1)).toBe('[\n 1\n]');
  });
  it('writes null for NaN and the infinities, as JSON does for all numbers', () => {
    expect(JSON.stringify(tensor([NaN, Infinity, -Infinity, 1]))).toBe('[null,null,null,1]');
    expect(JSON.stringify(tensor(NaN))).toBe('null');
  });
  it('refuses an int64 beyond what JSON can hold, and takes the largest that it can', () => {
    expect(JSON.stringify(tensor([2n ** 53n - 1n]))).toBe('[9007199254740991]');
    const large = tensor([[0n, 2n ** 53n + 1n]]);
    expect(() => JSON.stringify(large)).toThrow(DTypeError);
    expect(() => JSON.stringify({ large })).toThrow('JSON has no integers beyond 2^53');
  });
  it('refuses a tensor that is gone, and one inside a capture', () => {
    const gone = ones([2]);
    gone.dispose();
    expect(() => JSON.stringify(gone)).toThrow(DisposedError);
    const x = ones([2]);
    expect(() => graph.capture(() => JSON.stringify(x.add(1)), { warmup: 0 })).toThrow(GraphError);
  });
  it('leaves nothing behind, and refuses arguments of its own that are too many', () => {
    const x = ones([2, 3]).T;
    const before = live();
    JSON.stringify(x);
    expect(live()).toBe(before);
    expect(() => (x.toJSON as (...args: unknown[]) => unknown)('key', 1)).toThrow(ArgumentError);
    const loose = x.toJSON as unknown as (this: unknown) => unknown;
    expect(() => loose.call({})).toThrow(ArgumentError);
  });
});

describe('iteration', () => {
  it('goes over axis 0', () => {
    const rows: unknown[] = [];
    for (const row of tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ]))
      rows.push(row.toArraySync());
    expect(rows).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect([...tensor([1, 2])].map(x => [x.rank, x.itemSync()])).toEqual([
      [0, 1],
      [0, 2],
    ]);
    expect([...zeros([0, 3])]).toHaveLength(0);
    expect([...zeros([2, 0])].map(({ shape }) => shape)).toEqual([[0], [0]]);
  });
  it('serves Array.from, destructuring, spreading into arguments, Map and entries', () => {
    const x = arange(6).reshape(3, 2);
    expect(Array.from(x, row => row.sum().itemSync())).toEqual([1, 5, 9]);
    const [first, ...others] = x;
    expect(first!.toArraySync()).toEqual([0, 1]);
    expect(others.map(row => row.toArraySync())).toEqual([
      [2, 3],
      [4, 5],
    ]);
    expect(F.stack([...x], 1).toArraySync()).toEqual(x.T.toArraySync());
    const keep = (...rows: Tensor[]): number => rows.length;
    expect(keep(...x)).toBe(3);
    expect(new Set(x).size).toBe(3);
    expect(x[Symbol.iterator]().toArray()).toHaveLength(3);
  });
  it('gives views: no memory is taken, and writing to a row writes to the tensor', () => {
    const x = zeros([3, 2]);
    const before = live();
    for (const [i, row] of [...x].entries()) row.fill_(i);
    expect(live()).toBe(before);
    expect(x.toArraySync()).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
    for (const row of x) expect(row.base).toBe(x);
  });
  it('can be left early, and begun again', () => {
    const x = arange(4);
    for (const element of x) if (element.itemSync() === 1) break;
    expect([...x]).toHaveLength(4);
  });
  it('hands gradients back to the tensor', () => {
    const x = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { requiresGrad: true },
    );
    let total: Tensor = tensor(0);
    let factor = 1;
    for (const row of x) total = total.add(row.mul(factor++).sum());
    total.backward();
    expect(x.grad!.toArraySync()).toEqual([
      [1, 1],
      [2, 2],
    ]);
  });
  it('knows writes to the rows, as unbind does', () => {
    const x = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { requiresGrad: true },
    );
    for (const row of x) expect(() => row.mul_(2)).toThrow(AutogradError);
    const y = x.mul(1);
    for (const row of y) row.mul_(3);
    y.sum().backward();
    expect(x.grad!.toArraySync()).toEqual([
      [3, 3],
      [3, 3],
    ]);
    noGrad(() => {
      for (const row of x) row.zero_();
    });
    expect(x.toArraySync()).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });
  it('works inside tidy: rows that are returned keep the memory alive', () => {
    const [, second] = tidy(() => [
      ...tensor([
        [1, 2],
        [3, 4],
      ]),
    ]);
    expect(second!.toArraySync()).toEqual([3, 4]);
    let kept: Tensor | undefined;
    tidy(() => {
      for (const row of tensor([[5, 6]])) kept = row;
    });
    expect(() => kept!.dataSync()).toThrow(DisposedError);
  });
  it('works under autocast, and in a capture', () => {
    const x = ones([2, 2]);
    expect(autocast({ device: 'cpu' }, () => [...x].map(row => row.dtype))).toEqual(['float32', 'float32']);
    const sum = graph.capture(() => F.stack([...x]).sum(0), { warmup: 0 });
    expect(sum.replay().toArraySync()).toEqual([2, 2]);
    sum.dispose();
  });
  it('refuses rank 0, a tensor that is gone, and more rows than views are made', () => {
    const scalar = tensor(1);
    expect(() => [...scalar]).toThrow(ShapeError);
    expect(() => Array.from(scalar)).toThrow('a tensor of rank 0 has no axis to iterate over');
    expect(() => {
      const [first] = scalar;
      return first;
    }).toThrow(ShapeError);
    const gone = ones([2]);
    gone.dispose();
    expect(() => [...gone]).toThrow(DisposedError);
    expect(() => [...zeros([2 ** 20 + 1])]).toThrow(ArgumentError);
    const loose = ones([2])[Symbol.iterator] as unknown as (this: unknown) => unknown;
    expect(() => loose.call({})).toThrow(ArgumentError);
  });
  it('does not make a list of parameters out of a tensor', () => {
    const weight = ones([2, 2], { requiresGrad: true });
    expect(() => new optim.SGD(weight, { lr: 0.1 })).toThrow('is not a list of parameters');
    expect(() => F.cat(weight as unknown as Tensor[])).toThrow(ArgumentError);
    const scaler = new GradScaler();
    scaler.scale(weight.sum()).backward();
    const optimizer = { parameters: () => weight, step: () => {}, zeroGrad: () => {} };
    expect(() => scaler.unscale(optimizer as never)).toThrow('parameters() of the optimizer returned');
  });
  it('does not make a typed array of rows as if they were numbers', () => {
    expect(() => new Float32Array(ones([2]) as unknown as Iterable<number>)).toThrow(ArgumentError);
    expect(() => Math.max(...(ones([2]) as unknown as number[]))).toThrow(ArgumentError);
  });
});

describe('structured clones', () => {
  let x: Tensor;
  beforeAll(() => void (x = fromTypedArray(Float32Array.of(1, 2), [2])));
  afterAll(() => x.dispose());
  test('are refused, alone and inside of other values', () => {
    expect(() => structuredClone(x)).toThrow(/(can|could) not be cloned/);
    expect(() => structuredClone({ list: [x] })).toThrow(/(can|could) not be cloned/);
  });
  test('are refused by messages to workers and ports', () => {
    const { port1 } = new MessageChannel();
    expect(() => port1.postMessage(x)).toThrow(/(can|could) not be cloned/);
    port1.close();
  });
  test('of the values work', async () => {
    const copy = structuredClone({ data: await x.data(), shape: x.shape });
    const back = fromTypedArray(copy.data, copy.shape);
    expect(back.toArraySync()).toEqual([1, 2]);
    back.dispose();
  });
});
