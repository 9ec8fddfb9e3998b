/**
 * Elementwise ops of whole floating tensors take one native call, castor_flat_unary or castor_flat_binary. They give the same bits, nodes
 * and errors as the general path, which a slice takes, because it does not begin at the start of its memory.
 */
import { afterEach, describe, expect, test } from 'bun:test';
import {
  autocast,
  DisposedError,
  graph,
  memory,
  noGrad,
  ones,
  OutOfMemoryError,
  randn,
  Tensor,
  tensor,
  tidy,
  zeros,
  type Device,
  type DType,
} from 'castor';
import { native } from '../runtime/ffi/library.ts';
import { table } from '../runtime/ops/table.ts';
import { devices, liveStorages } from './setup.ts';

type Call = (x: Tensor, y: Tensor) => Tensor;
const methods = Object.entries(table)
  .filter(([, row]) => row.method && (row.kind === 'unary' || row.kind === 'binary'))
  .map(([name, row]) => [name, row.kind as 'unary' | 'binary'] as const);
const callOf = (name: string, kind: 'unary' | 'binary'): Call => {
  const of = (x: Tensor): ((...args: Tensor[]) => Tensor) =>
    (x as unknown as Record<string, (...args: Tensor[]) => Tensor>)[name]!.bind(x);
  return kind === 'unary' ? x => of(x)() : (x, y) => of(x)(y);
};

const flat = { castor_flat_unary: native.castor_flat_unary, castor_flat_binary: native.castor_flat_binary };
const replace = native as unknown as Record<string, unknown>;
/** Counts the calls of the fast path. */
function counted(): { calls: number } {
  const count = { calls: 0 };
  for (const [name, fn] of Object.entries(flat))
    replace[name] = (...args: number[]): number => {
      count.calls++;
      return (fn as (...args: number[]) => number)(...args);
    };
  return count;
}
afterEach(() => void Object.assign(replace, flat));

/** Returns a copy of a tensor that is a slice of other memory. */
function sliced(x: Tensor): Tensor {
  const whole = zeros([x.numel + 1], { dtype: x.dtype, device: x.device });
  const slice = whole.narrow(0, 1, x.numel).view(x.shape);
  noGrad(() => slice.copy_(x));
  return slice.detach();
}
/** The bits of the elements. A NaN may have any sign and payload, so all of them count as one. */
const bitsOf = (x: Tensor): Uint8Array => {
  const values = (x.dataSync() as Float64Array).map(value => (Number.isNaN(value) ? NaN : value));
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
};
/** Values of every sign and size, NaN and the infinities among them. */
const special = [0, -0, NaN, Infinity, -Infinity, 1, -1, 0.5, -0.5, 1e-7, 3, 60000];
const valuesFor = (shape: number[], dtype: DType, device: Device): Tensor => {
  const x = randn(shape, { device });
  const values = x.dataSync().map((value, i) => (i % 3 === 0 ? special[(i / 3) % special.length]! : value));
  return tensor(values, { device }).reshape(shape).to(dtype);
};

describe.each([...devices])('on %s', device => {
  // 5000 elements are more than one tile of the CPU's kernels.
  const shapes = [[1], [7], [3, 5], [5000]];
  test.each(methods)('%s gives the bits of the general path', (name, kind) => {
    const call = callOf(name, kind);
    for (const dtype of ['float32', 'float64', 'bfloat16', 'float16'] as const)
      for (const shape of shapes)
        tidy(() => {
          const [x, y] = [valuesFor(shape, dtype, device), valuesFor(shape, dtype, device)];
          let results: Tensor[];
          try {
            results = [call(sliced(x), sliced(y)), call(x, y)];
          } catch (error) {
            expect(() => call(x, y)).toThrow((error as Error).message);
            return;
          }
          expect(results[1]!.dtype).toBe(results[0]!.dtype);
          expect(results[1]!.shape).toEqual(results[0]!.shape);
          expect(bitsOf(results[1]!)).toEqual(bitsOf(results[0]!));
        });
  });

  test('it is taken for whole floating tensors of one dtype and shape', () =>
    tidy(() => {
      const x = ones([2, 3], { device });
      const count = counted();
      x.add(ones([2, 3], { device }))
        .exp()
        .mul(x)
        .view(6)
        .neg();
      expect(count.calls).toBe(4);
    }));
  test('it is not taken for anything else', () =>
    tidy(() => {
      const x = ones([2, 3], { device });
      const others = [
        ones([3], { device }),
        ones([2, 3], { device, dtype: 'float64' }),
        ones([3, 2], { device }).T,
        ones([3, 3], { device }).narrow(0, 1, 2),
        ones([2, 3], { device, dtype: 'int32' }),
      ];
      const count = counted();
      for (const other of others) x.add(other);
      x.add(1);
      x.logicalAnd(x);
      x.isNaN();
      ones([2], { device, dtype: 'int64' }).neg();
      zeros([0], { device }).exp();
      expect(count.calls).toBe(0);
    }));
  test('under autocast it gives the dtypes of the general path', () => {
    const dtypes = ['float32', 'float16', 'bfloat16', 'float64'] as const;
    for (const dtype of dtypes)
      for (const [name, kind] of methods)
        for (const low of ['bfloat16', 'float16'] as const)
          tidy(() => {
            const x = ones([3], { device, dtype });
            const call = callOf(name, kind);
            const dtypeOf = (a: Tensor): string => {
              try {
                return autocast({ dtype: low, device }, () => call(a, a).dtype);
              } catch (error) {
                return (error as Error).message;
              }
            };
            expect([name, low, dtypeOf(x)]).toEqual([name, low, dtypeOf(sliced(x))]);
          });
  });
  test('it records the same nodes, and gradients have the same bits', () =>
    tidy(() => {
      const leaves = [randn([4], { device, requiresGrad: true }), randn([4], { device, requiresGrad: true })] as const;
      const copies = leaves.map(t => sliced(t).requiresGrad_());
      const chain = (x: Tensor, y: Tensor): Tensor => x.mul(y).add(x).exp().div(y.abs().add(y.square())).sub(x);
      const [a, b] = [chain(...leaves), chain(copies[0]!, copies[1]!)];
      expect(a.gradFn).toBe(b.gradFn);
      a.backward(ones([4], { device }));
      b.backward(ones([4], { device }));
      leaves.forEach((leaf, i) => expect(bitsOf(leaf.grad!)).toEqual(bitsOf(copies[i]!.grad!)));
      expect(noGrad(() => leaves[0].mul(leaves[1])).requiresGrad).toBe(false);
    }));
  test('an operand that was written to after it was saved is an error', () =>
    tidy(() => {
      const x = ones([3], { device, requiresGrad: true });
      const y = x.exp();
      const z = y.mul(y);
      noGrad(() => y.add_(1));
      expect(() => z.sum().backward()).toThrow(/changed in place/);
    }));
  test('the nodes of views are made again after a write to their base', () =>
    tidy(() => {
      const x = ones([4], { device, requiresGrad: true });
      const base = x.mul(2);
      const view = base.view(2, 2);
      base.mul_(3);
      view.mul(view).sum().backward();
      expect(x.grad!.toArraySync()).toEqual([72, 72, 72, 72]);
    }));
  test('errors are those of the general path', () =>
    tidy(() => {
      const x = ones([3], { device });
      const gone = ones([3], { device });
      gone.dispose();
      expect(() => x.add(gone)).toThrow(DisposedError);
      expect(() => gone.exp()).toThrow(DisposedError);
      const held = x.clone().requiresGrad_();
      const product = held.mul(held);
      held.dispose();
      expect(() => held.mul(x)).toThrow(/mul: .*disposed/);
      product.sum().backward();
    }));
  test('where there is no memory, the general path frees some or says so', () =>
    tidy(() => {
      const x = ones([1000], { device });
      memory.collect();
      const before = liveStorages(device);
      memory.setLimit(memory.stats(device).liveBytes + 100, device);
      try {
        expect(() => x.neg()).toThrow(OutOfMemoryError);
        expect(() => x.add(x)).toThrow(OutOfMemoryError);
      } finally {
        memory.setLimit(0, device);
      }
      // Storages of earlier tests may be collected in between.
      expect(liveStorages(device)).toBeLessThanOrEqual(before);
      replace.castor_flat_unary = replace.castor_flat_binary = (): number => 0;
      expect(x.neg().add(x).abs().sum().itemSync()).toBe(0);
    }));
  test('it belongs to a captured graph', () =>
    tidy(() => {
      const x = ones([4], { device });
      using captured = graph.capture(() => x.add(x).abs(), { warmup: 0 });
      x.fill_(-3);
      expect(captured.replay().toArraySync()).toEqual([6, 6, 6, 6]);
    }));
});

/** Storages of 4 and 2 floats, filled with ones. */
describe('the native functions', () => {
  const opOf = (name: string, kind = 'binary'): number =>
    native
      .castor_op_names()
      .split('\n')
      .find(line => line.startsWith(`${kind} `))!
      .split(' ')
      .slice(1)
      .indexOf(name);
  const message = (): string => native.castor_last_error();
  const handles = (): [number, number] =>
    [ones([4], { device: 'cpu' }), ones([2], { device: 'cpu' })].map(t => t.storage.handle) as [number, number];

  test('write to a given storage, or to a new one', () =>
    tidy(() => {
      const x = ones([4], { device: 'cpu' });
      const { handle } = x.storage;
      expect(native.castor_flat_binary(opOf('add'), 0, 4, handle, handle, handle, 0, 0)).toBe(handle);
      expect(x.toArraySync()).toEqual([2, 2, 2, 2]);
      const made = native.castor_flat_binary(opOf('add'), 0, 4, handle, handle, 0, 0, 0);
      const host = new Float32Array(new ArrayBuffer(16));
      expect(native.castor_read(made, 0, host, 16)).toBe(0);
      expect([...host]).toEqual([4, 4, 4, 4]);
      expect(native.castor_free(made)).toBe(0);
    }));
  test('check every argument, and leave no storage behind after an error', () =>
    tidy(() => {
      const [four, two] = handles();
      const add = opOf('add');
      const before = liveStorages('cpu');
      const refused: readonly [readonly number[], RegExp][] = [
        [[add, 0, 4, four, two, 0], /b reaches elements 0 to 3 of a storage that holds 2 float32/],
        [[add, 0, 4, two, four, 0], /a reaches elements 0 to 3/],
        [[add, 0, 4, four, four, two], /out reaches elements 0 to 3/],
        [[add, 3, 4, four, four, 0], /a reaches elements 0 to 3 of a storage that holds 2 float64/],
        [[add, 8, 4, four, four, 0], /there is no dtype 8/],
        [[add, -1, 4, four, four, 0], /there is no dtype -1/],
        [[1000, 0, 4, four, four, 0], /there is no op 1000/],
        [[-1, 0, 4, four, four, 0], /there is no op -1/],
        [[add, 0, -1, four, four, 0], /n is -1/],
        [[add, 0, 0.5, four, four, 0], /n is 0.5/],
        [[add, 0, NaN, four, four, 0], /n is nan/],
        [[add, 0, 2 ** 53, four, four, 0], /n is 9007199254740992/],
        [[add, 0, 2 ** 53 - 1, four, four, 0], /a reaches elements 0 to/],
        [[add, 0, 4, 0, four, 0], /0 is not the handle of a live storage/],
        [[add, 0, 4, four, 12345678901, 0], /12345678901 is not the handle/],
        [[add, 0, 4, four, four, NaN], /not the handle/],
        [[opOf('bitwiseAnd'), 0, 4, four, four, 0], /bitwiseAnd does not work on float32/],
      ];
      for (const [[op, dtype, n, a, b, out], wanted] of refused) {
        expect(native.castor_flat_binary(op!, dtype!, n!, a!, b!, out!, 0, 0)).toBe(0);
        expect(message()).toMatch(wanted);
        expect(native.castor_last_status()).not.toBe(0);
      }
      expect(native.castor_flat_unary(0, 0, 4, two, 0, 0)).toBe(0);
      expect(native.castor_flat_unary(1000, 0, 4, four, 0, 0)).toBe(0);
      expect(native.castor_flat_unary(0, 8, 4, four, 0, 0)).toBe(0);
      expect(message()).toMatch(/there is no dtype 8/);
      expect(native.castor_flat_unary(0, 0, NaN, four, 0, 0)).toBe(0);
      expect(liveStorages('cpu')).toBe(before);
    }));
  test('take the last dtype, bool', () =>
    tidy(() => {
      const made = native.castor_flat_unary(opOf('logicalNot', 'unary'), 7, 8, handles()[0], 0, 0);
      expect(made).toBeGreaterThan(0);
      expect(native.castor_free(made)).toBe(0);
    }));
  test('take no elements as well', () =>
    tidy(() => {
      const made = native.castor_flat_unary(0, 0, 0, handles()[0], 0, 0);
      expect(made).toBeGreaterThan(0);
      expect(native.castor_free(made)).toBe(0);
    }));
});

describe('storages that are freed together', () => {
  test('are all freed, also if one of the handles is wrong', () => {
    const before = liveStorages('cpu');
    const made = Array.from({ length: 200 }, (_, i) => native.castor_alloc(0, i * 13));
    const handles = new Float64Array([...made.slice(0, 100), 3, ...made.slice(100), made[0]!]);
    expect(native.castor_free_many(handles, handles.length)).toBe(7);
    expect(liveStorages('cpu')).toBe(before);
    for (const handle of made) expect(native.castor_free(handle)).toBe(7);
  });
  test('keep memory that fits the next storages of their size', () => {
    memory.releaseCached('cpu');
    const before = memory.stats('cpu').cachedBytes;
    const handle = native.castor_alloc(0, 100);
    expect(native.castor_free(handle)).toBe(0);
    expect(memory.stats('cpu').cachedBytes - before).toBe(128);
    const next = native.castor_alloc(0, 128);
    expect(next).not.toBe(handle);
    expect(memory.stats('cpu').cachedBytes).toBe(before);
    expect(native.castor_write(next, 0, new Uint8Array(new ArrayBuffer(129)), 129)).toBe(2);
    expect(native.castor_free(next)).toBe(0);
    memory.releaseCached('cpu');
    expect(memory.stats('cpu').cachedBytes).toBe(before);
  });
  test('are kept up to one MiB, and the rest is cached by the allocator', () => {
    memory.releaseCached('cpu');
    const many = new Float64Array(Array.from({ length: 5000 }, () => native.castor_alloc(0, 1024)));
    expect(native.castor_free_many(many, many.length)).toBe(0);
    expect(memory.stats('cpu').cachedBytes).toBeGreaterThanOrEqual(5000 * 1024);
    memory.releaseCached('cpu');
    expect(memory.stats('cpu').cachedBytes).toBe(0);
  });
});
