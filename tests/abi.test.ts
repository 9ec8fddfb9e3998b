import { ffi } from '#ffi';
import { describe, expect, test } from 'bun:test';
import { CastorError, memory, tensor, zeros } from 'castor';
import { native } from '../runtime/ffi/library.ts';
import { Dice } from './dice.ts';
import { declared } from './header.ts';

/** Numbers that no correct caller passes. */
const wild = [-1, NaN, Infinity, -Infinity, 0.5, 1e15 + 0.5, 2 ** 53, 2 ** 60, 1e300, -(2 ** 31)];

describe('the C ABI', () => {
  test('turns every wild or stale handle into a status', () => {
    const host = new Uint8Array(new ArrayBuffer(64));
    const stale = zeros([4]);
    const { handle } = stale.storage;
    stale.dispose();
    for (const name of [...wild, 0, 1e9, handle]) {
      expect(native.castor_free(name)).not.toBe(0);
      expect(native.castor_write(name, 0, host, 16)).not.toBe(0);
      expect(native.castor_read(name, 0, host, 16)).not.toBe(0);
    }
    expect(native.castor_free_many(Float64Array.from(wild), wild.length)).not.toBe(0);
    expect(native.castor_free_many(new Float64Array(2), -1)).not.toBe(0);
  });
  test('never copies past the end of a storage', () => {
    const host = new Uint8Array(new ArrayBuffer(64)).fill(1);
    using t = zeros([4]);
    const { handle } = t.storage;
    for (const [offset, bytes] of [
      ...wild.map(x => [x, 4]),
      ...wild.map(x => [0, x]),
      [13, 4],
      [0, 17],
      [16, 1],
      [17, 0],
    ] as const) {
      expect(native.castor_write(handle, offset!, host, bytes!)).not.toBe(0);
      expect(native.castor_read(handle, offset!, host, bytes!)).not.toBe(0);
    }
    expect(native.castor_write(handle, 16, host, 0)).toBe(0);
    expect(t.toArraySync()).toEqual([0, 0, 0, 0]);
  });
  test('turns wild sizes, devices and counts into a status', () => {
    for (const bytes of wild) {
      expect(native.castor_alloc(0, bytes)).toBe(0);
      expect(native.castor_last_status()).not.toBe(0);
    }
    const stats = new Float64Array(new ArrayBuffer(64));
    for (const device of [-1, 7, 256, 2 ** 31 - 1]) {
      expect(native.castor_alloc(device, 4)).toBe(0);
      expect(native.castor_memory(device, stats)).not.toBe(0);
      expect(native.castor_synchronize(device)).not.toBe(0);
      expect(native.castor_notify(device, 1)).not.toBe(0);
      expect(native.castor_memory_set_limit(device, 0)).not.toBe(0);
      expect(JSON.parse(native.castor_describe(device))).toMatchObject({ available: false });
    }
    for (const bytes of wild) expect(native.castor_memory_set_limit(0, bytes)).not.toBe(0);
    for (const count of [-5, 0]) expect(native.castor_set_threads(count)).not.toBe(0);
    for (const precision of [-1, 3]) expect(native.castor_set_float32_precision(precision)).not.toBe(0);
  });
  test('gives each failure its text', () => {
    expect(native.castor_free(12345)).toBe(7);
    expect(native.castor_last_error()).toBe('free: 12345 is not the handle of a live storage');
    expect(native.castor_last_status()).toBe(7);
    expect(native.castor_set_threads(-5)).toBe(1);
    expect(native.castor_last_error()).toContain('-5');
  });
});

/** Writes castor_views (abi/castor.h) by hand. Most of them are valid, some are wrong in one field. */
class Views {
  readonly buffer = new ArrayBuffer(152 * 64);
  readonly #doubles = new Float64Array(this.buffer);
  readonly #ints = new Int32Array(this.buffer);
  readonly #dice: Dice;
  readonly #handles: readonly number[];

  constructor(dice: Dice, handles: readonly number[]) {
    this.#dice = dice;
    this.#handles = handles;
  }
  write(slot: number): void {
    const dice = this.#dice;
    const word = slot * 19;
    const rank = dice.below(5);
    const shape = Array.from({ length: rank }, () => dice.pick([0, 1, 1, 2, 2, 3, 4]));
    this.#doubles[word] = dice.pick(this.#handles);
    this.#doubles[word + 1] = dice.below(3);
    this.#ints[word * 2 + 4] = dice.pick([0, 0, 0, 1, 2, 3, 4, 5, 5, 6, 7]);
    this.#ints[word * 2 + 5] = rank;
    for (let i = rank - 1, stride = 1; i >= 0; stride *= Math.max(shape[i--]!, 1)) {
      this.#doubles[word + 3 + i] = shape[i]!;
      this.#doubles[word + 11 + i] = dice.below(5) === 0 ? dice.pick([0, -1, 2]) : stride;
    }
    if (dice.below(3) === 0) this.#spoil(word);
  }
  #spoil(word: number): void {
    const dice = this.#dice;
    const numbers = [...wild, 1e9, 2 ** 31, 1000, -3];
    const at = dice.pick([0, 1, 3, 4, 11, 12]);
    if (dice.below(4) > 0) this.#doubles[word + at] = dice.pick(at === 0 ? [...numbers, 0, 17] : numbers);
    else if (dice.below(2) > 0) this.#ints[word * 2 + 4] = dice.pick([-1, 8, 99, 2 ** 31 - 1]);
    else this.#ints[word * 2 + 5] = dice.pick([-1, 8, 9, 2 ** 31 - 1]);
  }
}

/**
 * On a GPU, wrong data such as a division by zero may be found later: then the next call that waits throws the error,
 * once.
 */
function refusedLater(wait: () => unknown): void {
  try {
    wait();
  } catch (error) {
    expect(error).toBeInstanceOf(CastorError);
  }
}

describe('views', () => {
  const functions = declared.filter(({ args }) =>
    args.some(({ type, name }) => type === 'castor_address' && name !== 'callback'),
  );
  test('are the arguments of most functions', () => {
    expect(functions.length).toBeGreaterThan(30);
  });
  test.each(functions.map(({ name, args }) => [name, args] as const))('%s survives whatever they say', (name, args) => {
    const dice = new Dice(name.length * 7919 + args.length);
    const storages = Array.from({ length: 4 }, () => zeros([64], { dtype: 'int64' }));
    using bystander = tensor([5, 6, 7, 8]);
    const views = new Views(
      dice,
      storages.map(t => t.storage.handle),
    );
    const address = ffi.address(views.buffer);
    const geometry = new Int32Array(new ArrayBuffer(64));
    const hyper = new Float64Array(new ArrayBuffer(128));
    const call = (native as unknown as Record<string, (...args: unknown[]) => number>)[name]!;
    const counts = { passed: 0, refused: 0 };
    for (let round = 0; round < 1500; round++) {
      for (let slot = 0; slot < 20; slot++) views.write(slot);
      geometry.forEach((_, i) => (geometry[i] = dice.pick([0, 1, 1, 1, 2, 2, 3, -1, 2 ** 30])));
      hyper.forEach((_, i) => (hyper[i] = dice.pick([0, 0.5, 0.9, 1, 2, NaN, -1])));
      let slot = 0;
      const status = call(
        ...args.map(({ type, name }) => {
          if (type === 'castor_address')
            return dice.below(6) === 0 ? dice.pick([0, 0, 8, ...wild]) : address + 152 * slot++;
          if (type === 'const double *') return hyper;
          if (type.endsWith('*')) return geometry;
          if (type === 'int32_t')
            return name === 'count' ? dice.pick([0, 1, 1, 2, -1]) : dice.pick([0, 0, 1, 1, 2, 3, 5, 9, -1, 99]);
          return dice.pick([0, 1, 1, 2, 0.5, ...wild]);
        }),
      );
      expect(status).toBeGreaterThanOrEqual(0);
      expect(status).toBeLessThan(8);
      counts[status === 0 ? 'passed' : 'refused']++;
    }
    expect(counts.refused).toBeGreaterThan(100);
    for (const t of storages) t.dispose();
    refusedLater(() => bystander.dataSync());
    expect(bystander.toArraySync()).toEqual([5, 6, 7, 8]);
    expect(() => zeros([2]).add(zeros([3]))).toThrow(CastorError);
    expect(memory.stats().limitBytes).toBe(0);
  });
});
