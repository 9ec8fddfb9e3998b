/** When the table of weak references is swept, how often the garbage collector runs for it, and what is freed. */
import { afterEach, describe, expect, spyOn, test } from 'bun:test';
import { empty, memory, tidy, zeros, type Tensor } from 'castor';
import { ffi } from '#ffi';
import { liveStorages } from './setup.ts';

const STORAGES = 32768;
const BYTES = 64 * 2 ** 20;
const one = (): Tensor => empty([1], { dtype: 'uint8', device: 'cpu' });
const bytes = (count: number): Tensor => empty([count], { dtype: 'uint8', device: 'cpu' });

/**
 * The number of live storages and of entries in the table after a full collection. The thresholds are counted from
 * there.
 */
function start(): { count: number; size: number; collections: () => unknown[] } {
  const live = memory.live();
  const collect = spyOn(ffi, 'collect').mockImplementation(() => {});
  return {
    count: live.length,
    size: live.reduce((sum, { bytes }) => sum + bytes, 0),
    collections: () => {
      const calls = collect.mock.calls.map(([full]) => full);
      collect.mockClear();
      return calls;
    },
  };
}
const made: Tensor[] = [];
const makeMany = (count: number): void => {
  for (let i = 0; i < count; i++) made.push(one());
};

describe('the collector runs for tensors that no scope owns', () => {
  afterEach(() => {
    for (const t of made.splice(0)) t.dispose();
    spyOn(ffi, 'collect').mockRestore();
    memory.collect();
  });

  test('when there are 32768 new ones, and twice when many more than before are alive', () => {
    const { count, collections } = start();
    expect(count).toBeLessThan(100);
    makeMany(STORAGES - 1);
    expect(collections()).toEqual([]);
    makeMany(1);
    expect(collections()).toEqual([false]);
    // The next sweep comes after as many allocations as there were live storages at this one, if those were more.
    const second = Math.max(STORAGES, STORAGES - 1 + count);
    makeMany(second - 1);
    expect(collections()).toEqual([]);
    makeMany(1);
    expect(collections()).toEqual([false, true]);
    const third = STORAGES + second - 1 + count;
    makeMany(third - 1);
    expect(collections()).toEqual([]);
    makeMany(1);
    expect(collections()).toEqual([false]);
  });
  test('when a full collection leaves twice as many and 32768 more, and not before', () => {
    const { count, collections } = start();
    // The sweep that the last one starts sees all but the last of these.
    makeMany(STORAGES);
    collections();
    for (const t of made.splice(0, made.length - 1 - count)) t.dispose();
    makeMany(STORAGES - 1);
    expect(collections()).toEqual([]);
    makeMany(1);
    // 1 + count, and those that the last sweep has not seen: 2 * count + 32768 at most.
    expect(collections()).toEqual([false]);
  });
  test('when there are 64 MB of new ones', () => {
    const { size, collections } = start();
    expect(size).toBeLessThan(BYTES);
    made.push(bytes(BYTES - 1));
    expect(collections()).toEqual([]);
    made.push(bytes(1));
    expect(collections()).toEqual([false]);
    const second = Math.max(BYTES, BYTES - 1 + size);
    made.push(bytes(second - 1));
    expect(collections()).toEqual([]);
    made.push(bytes(1));
    expect(collections()).toEqual([false, true]);
  });
  test('at once when it is asked for, and twice in no case', () => {
    const { collections } = start();
    makeMany(STORAGES + 1);
    collections();
    memory.collect();
    expect(collections()).toEqual([true]);
  });
  test('not for those of a scope', () => {
    const { collections } = start();
    tidy(() => {
      for (let i = 0; i < STORAGES + 10; i++) one();
      bytes(2 * BYTES);
      expect(collections()).toEqual([]);
    });
  });
});

describe('thousands of storages are given back', () => {
  // They are passed to the library in lists of 4096.
  test.each([4095, 4096, 4097, 8192, 10_000])('%p at the end of a scope', count => {
    const before = liveStorages('cpu');
    tidy(() => {
      const all = Array.from({ length: count }, one);
      expect(liveStorages('cpu')).toBe(before + count);
      // One has been freed already.
      all[7]!.dispose();
    });
    expect(liveStorages('cpu')).toBe(before);
  });
  test.each([4096, 10_000])('%p that nothing refers to', async count => {
    memory.collect();
    const before = liveStorages('cpu');
    (() => {
      for (let i = 0; i < count; i++) one();
    })();
    await Bun.sleep(1);
    memory.collect();
    // The engine may still have a reference or two on its stack.
    expect(liveStorages('cpu') - before).toBeLessThan(10);
  });
});

describe('leak mode', () => {
  function deep(depth: number): Tensor {
    const t = depth === 0 ? zeros([3]) : deep(depth - 1);
    // A tail call would leave no frame on the stack.
    if (t.disposed) throw new Error('it is gone');
    return t;
  }
  test('says where a tensor was made, in six lines of the caller', () => {
    memory.setLeakMode(true);
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 100;
    let t: Tensor | null = null;
    try {
      t = deep(20);
      const { origin } = memory.live().find(({ bytes, origin }) => bytes === 12 && origin !== null)!;
      const lines = origin!.split('\n');
      expect(lines).toHaveLength(6);
      for (const line of lines) expect(line).toMatch(/ at .*safetyNet\.test/);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
      memory.setLeakMode(false);
      t?.dispose();
    }
    using later = zeros([5]);
    expect(memory.live().find(({ bytes }) => bytes === later.nbytes)!.origin).toBeNull();
  });
});
