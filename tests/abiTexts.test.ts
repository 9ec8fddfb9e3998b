/**
 * The messages of the C ABI for views, handles, numbers and reads that are wrong in a way that no tensor of Castor is.
 */
import { ffi } from '#ffi';
import { describe, expect, test } from 'bun:test';
import { F, memory, tensor, zeros, type Tensor } from 'castor';
import { native, opNumber } from '../runtime/ffi/library.ts';
import { devices, onEmulator, tidyTest } from './setup.ts';

interface View {
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
  readonly offset?: number;
  readonly dtype?: number;
  readonly rank?: number;
  readonly constant?: boolean;
}
/** Memory for castor_views, as abi/castor.h lays them out. */
const buffer = new ArrayBuffer(152 * 5);
const doubles = new Float64Array(buffer);
const ints = new Int32Array(buffer);
const address = ffi.address(buffer);
function write(slot: number, t: Tensor, { shape = t.shape, strides, offset = 0, dtype = 0, rank, constant }: View) {
  const word = slot * 19;
  doubles[word] = constant ? 0 : t.storage.handle;
  doubles[word + 1] = offset;
  ints[word * 2 + 4] = dtype;
  ints[word * 2 + 5] = rank ?? shape.length;
  shape.forEach((size, i) => {
    doubles[word + 3 + i] = size;
    doubles[word + 11 + i] = strides?.[i] ?? 1;
  });
  return address + slot * 152;
}
const said = (status: number): string => (status === 0 ? 'ok' : `${status} ${native.castor_last_error()}`);

test('views that no tensor has', () => {
  using t = zeros([8]);
  const neg = opNumber('unary', 'neg');
  const unary = (a: View, out: View = {}): string =>
    said(native.castor_unary(neg, write(0, t, a), write(1, t, out), 0, 0));
  const texts: [View, string][] = [
    [{}, 'ok'],
    [{ dtype: -1 }, '1 unary: a has the unknown dtype -1'],
    [{ dtype: 8 }, '1 unary: a has the unknown dtype 8'],
    [{ rank: 9 }, '1 unary: a has rank 9, more than 8 or negative'],
    [{ rank: -1 }, '1 unary: a has rank -1, more than 8 or negative'],
    [{ shape: [0.5] }, '2 unary: a has size 0.5 on axis 0, not an integer from 0 to 2^53'],
    [{ shape: [1, -1] }, '2 unary: a has size -1 on axis 1, not an integer from 0 to 2^53'],
    [{ shape: [2 ** 53] }, '2 unary: a has size 9.0072e+15 on axis 0, not an integer from 0 to 2^53'],
    [{ shape: [8], strides: [0.5] }, '2 unary: a has stride 0.5 on axis 0, not an integer below 2^53'],
    [{ shape: [0], strides: [0.5] }, '2 unary: a has stride 0.5 on axis 0, not an integer below 2^53'],
    [{ shape: [8], strides: [2 ** 53] }, '2 unary: a has stride 9.0072e+15 on axis 0, not an integer below 2^53'],
    [{ shape: [2 ** 26, 2 ** 27], strides: [0, 0] }, '2 unary: a has more than 2^53 elements'],
    [
      { shape: [2 ** 26, 2 ** 26, 1, 1], strides: [0, 0, 0, 0] },
      '2 unary: a of shape (67108864, 67108864, 1, 1) does not broadcast to out of shape (8)',
    ],
    [{ shape: [8], offset: 1 }, '2 unary: a reaches elements 1 to 8 of a storage that holds 8 float32'],
    [{ shape: [4], dtype: 3 }, '2 unary: a of shape (4) does not broadcast to out of shape (8)'],
    [{ shape: [5], dtype: 3 }, '2 unary: a reaches elements 0 to 4 of a storage that holds 4 float64'],
    [{ shape: [8], strides: [-1], offset: 6 }, '2 unary: a reaches elements -1 to 6 of a storage that holds 8 float32'],
    [{ shape: [8], offset: 0.5 }, '2 unary: a has offset 0.5, not an integer below 2^53'],
    [{ shape: [1], constant: true }, '1 unary: a is a constant of rank 1'],
    [{ shape: [], constant: true }, 'ok'],
  ];
  for (const [a, wanted] of texts) expect(unary(a)).toBe(wanted);
  expect(unary({}, { shape: [8], strides: [0] })).toBe('2 unary: out is written and has stride 0 on axis 0');
  expect(unary({}, { shape: [], constant: true })).toBe('1 unary: out is a constant');
  for (const [at, wanted] of [
    [0, 'not the address'],
    [4095, 'not the address'],
    [address + 4, 'not the address'],
    [address + 0.5, 'not the address'],
    [NaN, 'not the address'],
  ] as const)
    expect(said(native.castor_unary(neg, at, write(1, t, {}), 0, 0))).toContain(wanted);
});

test('constants of every dtype have their value', () => {
  using t = zeros([1], { dtype: 'float64' });
  const neg = opNumber('unary', 'neg');
  for (let dtype = 0; dtype < 7; dtype++) {
    const value = dtype === 6 ? 3 : -3;
    expect(
      native.castor_copy(write(0, t, { shape: [], constant: true, dtype, offset: value }), write(1, t, { dtype: 3 })),
    ).toBe(0);
    expect(t.itemSync()).toBe(value);
  }
  expect(
    native.castor_unary(neg, write(0, t, { shape: [], constant: true, offset: 2 }), write(1, t, { dtype: 3 }), 0, 0),
  ).toBe(0);
  expect(t.itemSync()).toBe(-2);
});

test('reads, ids and shares of memory', () => {
  using t = tensor([1, 2]);
  const { handle } = t.storage;
  const host = new Float32Array(new ArrayBuffer(8));
  for (const id of [0, -1, 0.5, 2 ** 53, NaN]) {
    expect(native.castor_read_start(handle, 0, 8, id)).not.toBe(0);
    expect(native.castor_notify(0, id)).not.toBe(0);
  }
  expect(said(native.castor_read_start(handle, 0, 8, 2 ** 52))).toBe('ok');
  expect(said(native.castor_read_start(handle, 0, 8, 2 ** 52))).toBe(
    `1 read_start: a read with the id ${2 ** 52} is under way already`,
  );
  expect(said(native.castor_read_finish(2 ** 52, host))).toBe('ok');
  expect([...host]).toEqual([1, 2]);
  expect(said(native.castor_read_finish(2 ** 52, host))).toBe(`1 read_finish: there is no read with the id ${2 ** 52}`);
  for (const callback of [0, -1, 2 ** 53, NaN]) expect(native.castor_set_wake(callback)).toBe(1);
  for (const share of [0, -0.1, 1.0001, 2, NaN]) expect(native.castor_memory_set_fraction(0, share)).toBe(1);
  expect(native.castor_free_many(new Float64Array(1), 0)).toBe(0);
  expect(native.castor_free_many(Float64Array.of(handle, 12345), 2)).toBe(7);
});

test.if(!onEmulator)('a share of the memory is a limit', () => {
  const stats = new Float64Array(new ArrayBuffer(128));
  const limit = (): number => {
    expect(native.castor_memory(0, stats)).toBe(0);
    return stats[5]!;
  };
  const total = (): number => (limit(), stats[6]!);
  expect(native.castor_memory_set_fraction(0, 0.5)).toBe(0);
  expect(limit()).toBe(Math.floor(0.5 * total()));
  expect(native.castor_memory_set_fraction(0, 1)).toBe(0);
  expect(limit()).toBe(0);
});

// A GPU finds these values later, and does not know their position.
test.if(!onEmulator)('values that an op is not defined for are named by the position of the first', () => {
  using x = tensor([1, 2, 3, 4, 5, 6], { dtype: 'int64', device: 'cpu' }).reshape([2, 3]);
  for (const [zerosAt, first] of [
    [[0, 5], 0],
    [[1, 4], 1],
    [[5], 5],
  ] as const) {
    using divisor = tensor(
      [0, 1, 2, 3, 4, 5].map(i => (zerosAt.some(at => at === i) ? 0 : 2)),
      { dtype: 'int64', device: 'cpu' },
    );
    expect(() => x.floorDivide(divisor.reshape([2, 3]))).toThrow(`position ${first} `);
  }
});

describe.each(devices)('cross entropy on %s', device => {
  tidyTest('with smoothing from 0 to 1, ignored rows and infinite logits is what its formula says', () => {
    const logits = [
      [1, 2, -1],
      [0, -3, 4],
      [-Infinity, 1, 1],
      [2, 2, 2],
    ];
    const targets = [1, -100, 2, 0];
    for (const s of [0, 0.3, 1]) {
      const out = F.crossEntropy(tensor(logits, { device }), tensor(targets, { dtype: 'int64', device }), {
        labelSmoothing: s,
        reduction: 'none',
      });
      const wanted = logits.map((row, i) => {
        if (targets[i] === -100) return 0;
        const lse = Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
        const mean = row.reduce((sum, v) => sum + v, 0) / row.length;
        return (1 - s) * (lse - row[targets[i]!]!) + (s === 0 ? 0 : s * (lse - mean));
      });
      expect(out).toBeAllclose(wanted, { rtol: 1e-5, atol: 1e-6 });
    }
  });
});

test('classes that share memory with what is written', () => {
  using memories = zeros([64]);
  using apart = zeros([64]);
  // Two int64 classes from byte 64 on: element 16 of float32, 8 of float64.
  const classes = (): number => write(1, memories, { shape: [2], offset: 8, dtype: 5 });
  const logits = (): number => write(0, apart, { shape: [2, 3], strides: [3, 1] });
  const forward = (loss: number, lse: number): number =>
    native.castor_cross_entropy(
      logits(),
      classes(),
      write(2, memories, { shape: [2], offset: loss }),
      write(3, memories, { shape: [2], offset: lse, dtype: 3 }),
      -100,
      0,
    );
  expect(said(forward(14, 10))).toBe('ok');
  expect(said(forward(20, 6))).toBe('ok');
  for (const loss of [15, 16, 18, 19]) expect(said(forward(loss, 2))).toContain('shares memory with loss');
  for (const lse of [7, 8, 9]) expect(said(forward(0, lse))).toContain('shares memory with logsumexp');
  const backward = (offset: number): number =>
    native.castor_cross_entropy_backward(
      write(2, apart, { shape: [2], offset: 10 }),
      logits(),
      classes(),
      write(3, apart, { shape: [2], offset: 20, dtype: 3 }),
      write(4, memories, { shape: [2, 3], strides: [3, 1], offset }),
      -100,
      0,
    );
  expect(said(backward(10))).toBe('ok');
  expect(said(backward(20))).toBe('ok');
  for (const offset of [11, 16, 19]) expect(said(backward(offset))).toContain('shares memory with out');
});

test.if(!onEmulator)('devices that are not there', () => {
  const reason = (device: number): string => (JSON.parse(native.castor_describe(device)) as { reason: string }).reason;
  for (const device of [-1, 2, 256, 255, 514]) expect(reason(device)).toBe(`there is no device ${device}`);
  if (devices.includes('cuda')) return;
  for (const device of [1, 257]) expect(reason(device)).toMatch(/CUDA|driver/);
});

test('memory that a limit leaves', () => {
  const live = memory.stats('cpu').liveBytes;
  expect(native.castor_memory_set_limit(0, live + 1000)).toBe(0);
  const exact = native.castor_alloc(0, 1000);
  expect(exact).not.toBe(0);
  expect(native.castor_alloc(0, 1)).toBe(0);
  expect(native.castor_last_status()).toBe(6);
  native.castor_free(exact);
  expect(native.castor_alloc(0, 1001)).toBe(0);
  // With less than what is live, not even no bytes are left. No other process is blamed for that.
  using held = zeros([1], { device: 'cpu' });
  expect(held.nbytes).toBe(4);
  expect(native.castor_memory_set_limit(0, 1)).toBe(0);
  expect(native.castor_alloc(0, 0)).toBe(0);
  expect(native.castor_last_error()).toMatch(/^alloc: wanted 0 bytes; [^;]* are free$/);
  native.castor_memory_set_limit(0, 0);
});
