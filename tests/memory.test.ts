import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  empty,
  F,
  full,
  getDefaultDevice,
  keep,
  memory,
  nn,
  ones,
  optim,
  OutOfMemoryError,
  randn,
  synchronize,
  tensor,
  Tensor,
  tidy,
  zeros,
} from 'castor';
import { MEASURES_MEMORY, unlessEmulated } from './processor.ts';
import { printed } from './process.ts';
import { liveStorages as live, sized } from './setup.ts';

const MB = 2 ** 20;
const caught = (call: () => unknown): unknown => {
  try {
    return call();
  } catch (error) {
    return error;
  }
};

describe('tidy', () => {
  test('frees what was made inside, except the result', () => {
    const before = live();
    const result = tidy(() => {
      const x = full([10], 2);
      const y = x.mul(3);
      expect(live()).toBe(before + 2);
      return y.add(1);
    });
    expect(live()).toBe(before + 1);
    expect(result.sum().itemSync()).toBe(70);
    result.dispose();
  });
  test('finds results in arrays, objects, Maps, Sets and class instances', () => {
    const before = live();
    class Holder {
      readonly t = ones([1]);
    }
    const kept = tidy(() => {
      zeros([1]);
      return {
        list: [ones([1]), [ones([1])]],
        map: new Map([['a', ones([1])]]),
        set: new Set([ones([1])]),
        holder: new Holder(),
        nothing: null,
        text: 'text',
        array: new Float32Array(1000),
      };
    });
    expect(live()).toBe(before + 5);
    for (const t of [
      kept.list[0] as Tensor,
      (kept.list[1] as Tensor[])[0]!,
      kept.map.get('a')!,
      [...kept.set][0]!,
      kept.holder.t,
    ]) {
      expect(t.itemSync()).toBe(1);
      t.dispose();
    }
    expect(live()).toBe(before);
  });
  test('keeps the memory of a returned view', () => {
    const before = live();
    const row = tidy(() =>
      tensor([
        [1, 2],
        [3, 4],
      ]).select(0, 1),
    );
    expect(row.toArraySync()).toEqual([3, 4]);
    row.base!.dispose();
    expect(live()).toBe(before);
  });
  test('nests: what the inner one returns belongs to the outer one', () => {
    const before = live();
    tidy(() => {
      const inner = tidy(() => ones([1]).add(1));
      expect(live()).toBe(before + 1);
      expect(inner.itemSync()).toBe(2);
    });
    expect(live()).toBe(before);
  });
  test('frees all when fn throws', () => {
    const before = live();
    expect(() =>
      tidy(() => {
        ones([1]).add(1);
        throw new Error('stop');
      }),
    ).toThrow('stop');
    expect(live()).toBe(before);
  });
  test('frees nothing from outside', () => {
    const x = ones([1]);
    tidy(() => x.add(1));
    expect(x.itemSync()).toBe(1);
    x.dispose();
  });
  test('leaves keep() alone, through every scope', () => {
    const before = live();
    let kept!: Tensor;
    tidy(() => tidy(() => void (kept = keep(ones([1])))));
    expect(live()).toBe(before + 1);
    expect(kept.itemSync()).toBe(1);
    kept.dispose();
    expect(live()).toBe(before);
  });
  test('spares gradients of parameters', () => {
    const before = live();
    const w = nn.Parameter(ones([3]));
    const loss = tidy(() => {
      const out = w.mul(2).sum();
      out.backward();
      return out.itemSync();
    });
    expect(loss).toBe(6);
    expect(w.grad!.toArraySync()).toEqual([2, 2, 2]);
    expect(live()).toBe(before + 2);
    w.grad!.dispose();
    w.dispose();
  });
  test('spares what backward of the result needs', () => {
    const before = live();
    const w = nn.Parameter(tensor([1, 2, 3]));
    const loss = tidy(() => w.exp().square().sum());
    expect(live()).toBeGreaterThan(before + 2);
    loss.backward();
    expect(w.grad!).toBeAllclose([1, 2, 3].map(x => 2 * Math.exp(2 * x)));
    for (const t of [loss, w.grad!, w]) t.dispose();
    expect(live()).toBe(before);
  });
  test('frees a graph that nobody can run any more', () => {
    const before = live();
    const w = nn.Parameter(ones([3]));
    tidy(() => w.exp().square().sum().itemSync());
    expect(live()).toBe(before + 1);
    w.dispose();
  });
  test('of a training loop leaves exactly the model and the optimizer state', () => {
    const model = new nn.Sequential(new nn.Linear(4, 8), new nn.ReLU(), new nn.Linear(8, 1));
    const optimizer = new optim.Adam(model.parameters());
    const counts: number[] = [];
    for (let step = 0; step < 4; step++) {
      tidy(() => {
        optimizer.zeroGrad();
        F.mseLoss(model.forward(randn([16, 4])), zeros([16, 1])).backward();
        optimizer.step();
      });
      counts.push(live());
    }
    expect(new Set(counts).size).toBe(1);
    optimizer.zeroGrad();
    for (const t of [...model.parameters(), ...optimizer.stateDict().state.flatMap(own => Object.values(own ?? {}))])
      t.dispose();
  });
});

describe('async tidy', () => {
  test('frees when the promise settles', async () => {
    const before = live();
    const result = await tidy(async () => {
      const x = ones([2]);
      await Bun.sleep(1);
      const y = x.add(1);
      await Bun.sleep(1);
      return y.mul(2);
    });
    expect(live()).toBe(before + 1);
    expect(result.toArraySync()).toEqual([4, 4]);
    result.dispose();
  });
  test('frees all when it rejects', async () => {
    const before = live();
    await expect(
      tidy(async () => {
        ones([1]);
        await Bun.sleep(1);
        ones([1]);
        throw new Error('stop');
      }),
    ).rejects.toThrow('stop');
    expect(live()).toBe(before);
  });
  test('interleaved with others frees only its own', async () => {
    const before = live();
    const task = (i: number): Promise<number> =>
      tidy(async () => {
        let t: Tensor = full([4], i);
        for (let step = 0; step < 5; step++) {
          await Bun.sleep((i * 7 + step * 3) % 4);
          t = tidy(() => t.add(1).sub(0.5).add(0.5));
        }
        return t.sum().item();
      });
    const sums = await Promise.all(Array.from({ length: 50 }, (_, i) => task(i)));
    expect(sums).toEqual(Array.from({ length: 50 }, (_, i) => 4 * (i + 5)));
    expect(live()).toBe(before);
  });
});

describe('dispose', () => {
  test('gives memory back at once, and only once', () => {
    const before = memory.stats().liveBytes;
    const t = zeros([MB / 4]);
    expect(memory.stats().liveBytes).toBe(before + MB);
    t.dispose();
    t.dispose();
    expect(t.disposed).toBe(true);
    expect(memory.stats().liveBytes).toBe(before);
  });
  test('of a view leaves its base; of the base ends the views', () => {
    const t = ones([2, 2]);
    const [view, other] = [t.select(0, 0), t.T];
    view.dispose();
    expect([view.disposed, other.disposed, t.disposed]).toEqual([true, false, false]);
    expect(t.sum().itemSync()).toBe(4);
    t.dispose();
    expect(other.disposed).toBe(true);
    expect(() => other.add(1)).toThrow(/disposed/);
  });
  test('by using', () => {
    const before = live();
    {
      using t = ones([3]);
      using u = t.add(1);
      expect(u.toArraySync()).toEqual([2, 2, 2]);
    }
    expect(live()).toBe(before);
  });
  test('waits for a read that is under way', async () => {
    const before = live();
    const t = full([3], 5);
    const reading = t.data();
    t.dispose();
    expect([...(await reading)]).toEqual([5, 5, 5]);
    expect(live()).toBe(before);
  });
  test('waits for a read that a scope leaves behind', async () => {
    const before = live();
    const reading = { promise: null as Promise<unknown> | null };
    tidy(() => void (reading.promise = full([3], 5).toArray()));
    expect(await reading.promise).toEqual([5, 5, 5]);
    expect(live()).toBe(before);
  });
});

describe('the safety net', () => {
  const many = sized(1_000_000, 20_000);
  test(`${many} small ops in a synchronous loop, nothing disposed, stay below 256 MB`, () => {
    memory.collect();
    const before = memory.stats().liveBytes;
    memory.resetPeak();
    let t: Tensor = zeros([256]);
    for (let i = 0; i < many; i++) t = t.add(1);
    expect(t.dataSync()[255]).toBe(many);
    expect(memory.peak() - before).toBeLessThan(256 * MB);
  });
  test('large tensors in a synchronous loop stay bounded', () => {
    memory.collect();
    memory.resetPeak();
    for (let i = 0; i < 200; i++) empty([16 * MB]);
    expect(memory.peak()).toBeLessThan(1024 * MB);
    memory.collect();
    expect(memory.stats().liveBytes).toBeLessThan(256 * MB);
    memory.releaseCached();
  });
  test('training without tidy stays bounded', () => {
    memory.collect();
    memory.resetPeak();
    const before = memory.stats().liveBytes;
    const w = nn.Parameter(randn([256, 256]));
    for (let step = 0; step < sized(300, 30); step++) {
      w.grad = null;
      randn([64, 256]).matmul(w).tanh().square().sum().backward();
    }
    expect(memory.peak() - before).toBeLessThan(128 * MB);
    w.dispose();
  });
});

describe('running out of memory', () => {
  test('throws what was wanted, live and free; nothing else is lost', () => {
    memory.collect();
    const t = full([1000], 3);
    const { liveBytes } = memory.stats();
    memory.setLimit(liveBytes + 10 * MB);
    try {
      expect(memory.stats().limitBytes).toBe(liveBytes + 10 * MB);
      const error = caught(() => zeros([5 * MB])) as OutOfMemoryError;
      expect(error).toBeInstanceOf(OutOfMemoryError);
      expect(error.wantedBytes).toBe(20 * MB);
      // The stack may still refer to tensors of earlier tests, which are then collected only now.
      expect(error.liveBytes).toBeLessThanOrEqual(liveBytes);
      expect(error.liveBytes).toBeGreaterThanOrEqual(t.nbytes);
      expect(error.message).toContain('wanted 20.00 MiB');
      expect(t.add(1).sum().itemSync()).toBe(4000);
      expect(caught(() => t.reshape(1000, 1).add(zeros([1, 5000])))).toBeInstanceOf(OutOfMemoryError);
    } finally {
      memory.setLimit(0);
    }
    const big = zeros([5 * MB]);
    expect(big.numel).toBe(5 * MB);
    big.dispose();
    t.dispose();
  });
  test('frees what nobody uses before it gives up', () => {
    memory.collect();
    memory.setLimit(memory.stats().liveBytes + 10 * MB);
    try {
      for (let i = 0; i < 20; i++) zeros([MB]);
    } finally {
      memory.setLimit(0);
    }
  });
  test('in the middle of backward leaves gradients unset and everything working', () => {
    memory.collect();
    const w = nn.Parameter(ones([MB]));
    const loss = w.exp().sin().sum();
    memory.setLimit(memory.stats().liveBytes + 4 * MB);
    expect(caught(() => loss.backward())).toBeInstanceOf(OutOfMemoryError);
    memory.setLimit(0);
    expect(w.grad).toBeNull();
    tidy(() => w.mul(2).sum().backward());
    expect(w.grad!.min().itemSync()).toBe(2);
    for (const t of [loss, w.grad!, w]) t.dispose();
  });
});

describe('memory', () => {
  test('counts bytes, storages, allocations and the peak', () => {
    memory.collect();
    memory.resetPeak();
    const device = getDefaultDevice();
    const before = memory.stats(device);
    const a = zeros([MB / 4]);
    const b = zeros([MB / 2]);
    a.dispose();
    const after = memory.stats(device);
    expect(after.device).toBe(device);
    expect(after.liveBytes - before.liveBytes).toBe(2 * MB);
    expect(after.liveStorages - before.liveStorages).toBe(1);
    expect(after.allocations - before.allocations).toBe(2);
    expect(after.peakBytes - before.liveBytes).toBe(3 * MB);
    expect(memory.peak()).toBe(after.peakBytes);
    expect(after.totalBytes).toBeGreaterThan(after.freeBytes);
    expect(after.cachedBytes).toBeGreaterThanOrEqual(MB);
    memory.resetPeak();
    expect(memory.peak()).toBe(after.liveBytes);
    b.dispose();
  });
  test('returns cached blocks to the system', () => {
    zeros([4 * MB]).dispose();
    memory.releaseCached();
    expect(memory.stats().cachedBytes).toBe(0);
  });
  test('summary is a line for people', () => {
    expect(memory.summary()).toMatch(
      /^(cpu|cuda:0): [\d.]+ MB live in \d+ storages, peak [\d.]+ MB, cached [\d.]+ MB, \d+ allocations$/,
    );
  });
  test('refuses limits that make no sense', () => {
    for (const bytes of [-1, NaN, 1.5, Infinity]) expect(() => memory.setLimit(bytes)).toThrow(ArgumentError);
    expect(memory.stats().limitBytes).toBe(0);
  });
  test('leak mode tells where live tensors were made', () => {
    memory.collect();
    memory.setLeakMode(true);
    const t = zeros([123]);
    memory.setLeakMode(false);
    const found = memory.live().find(({ bytes }) => bytes === 4 * 123)!;
    expect(found.origin).toContain('memory.test.ts');
    t.dispose();
    expect(memory.live().some(({ bytes }) => bytes === 4 * 123)).toBe(false);
  });
  test('of an empty tensor is none', () => {
    const before = memory.stats().liveBytes;
    using t = zeros([0, 5]);
    expect(memory.stats().liveBytes).toBe(before);
    expect(t.add(1).shape).toEqual([0, 5]);
  });
  test('synchronize waits for work that is queued', () => {
    using t = ones([1000]);
    t.add_(1);
    synchronize();
    expect(t.sum().itemSync()).toBe(2000);
  });
});

/** Workers of the web, as Bun has them; runtimeWorkers.test.ts has those of node:worker_threads. */
describe.if('bun' in process.versions)('Workers', () => {
  /** Trains for a few steps and posts the losses, which depend only on the seed. */
  const program = `
    const { F, manualSeed, nn, optim, randn, tidy } = await import(${JSON.stringify(import.meta.resolve('castor'))});
    manualSeed(42);
    const model = new nn.Linear(16, 16);
    const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
    const losses = [];
    for (let step = 0; step < 100; step++)
      losses.push(tidy(() => {
        const x = randn([64, 16]);
        optimizer.zeroGrad();
        const loss = F.mseLoss(model.forward(x), x.mul(2));
        loss.backward();
        optimizer.step();
        return loss.itemSync();
      }));
    optimizer.zeroGrad();
    for (const t of model.parameters()) t.dispose();
    for (const own of optimizer.stateDict().state) for (const t of Object.values(own)) t.dispose();
    postMessage(losses);
  `;
  const run = (): Promise<number[]> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(URL.createObjectURL(new Blob([program], { type: 'application/javascript' })));
      worker.onmessage = ({ data }) => {
        resolve(data as number[]);
        worker.terminate();
      };
      worker.onerror = reject;
    });

  test('two at once, beside the main thread, do not disturb each other', async () => {
    const before = live();
    const both = Promise.all([run(), run()]);
    const mine = tidy(() => {
      let t: Tensor = zeros([1000]);
      for (let i = 0; i < 2000; i++) t = tidy(() => t.add(1));
      return t.sum().itemSync();
    });
    const [first, second] = await both;
    expect(mine).toBe(2_000_000);
    expect(first).toHaveLength(100);
    expect(second).toEqual(first);
    expect(first.at(-1)!).toBeLessThan(first[0]! / 2);
    expect(live()).toBe(before);
  });
  test('that are terminated in the middle of their reads leave nothing behind, and nobody calls them', async () => {
    const reads = `
      const c = await import(${JSON.stringify(import.meta.resolve('castor'))});
      const step = c.graph.capture(() => c.randn([100]));
      postMessage('reading');
      for (;;) {
        const all = Array.from({ length: 50 }, () => c.randn([100]).sum().item());
        await all[3];
        step.replay();
      }`;
    const lines = await printed(`
      const url = URL.createObjectURL(new Blob([${JSON.stringify(reads)}], { type: 'application/javascript' }));
      for (let i = 0; i < 4; i++) {
        const worker = new Worker(url);
        await new Promise(resolve => { worker.onmessage = resolve; });
        await Bun.sleep(20 + 7 * i);
        worker.terminate();
      }
      for (let i = 0; i < 200 && c.memory.stats().liveStorages > 0; i++) await Bun.sleep(10);
      print(c.memory.stats().liveStorages, await c.ones([3]).sum().item());`);
    expect(lines).toEqual(['0 3']);
  });
});

test('blocks of every size hold all their bytes', () => {
  // Size classes are multiples of 64 bytes; from 512 bytes on there are eight between two powers of two.
  const sizes = Array.from({ length: 40 }, (_, i) => 64 * 2 ** (i % 10) * (1 + (i >> 3) / 8)).flatMap(n => [
    n - 1,
    n,
    n + 1,
  ]);
  const blocks = sizes.map((bytes, i) => full([bytes], i, { dtype: 'uint8', device: 'cpu' }));
  blocks.forEach((block, i) => expect(block.dataSync().every(value => value === i)).toBe(true));
  for (const block of blocks) block.dispose();
});

unlessEmulated(MEASURES_MEMORY)('memory of sizes that are used no more goes back to the system', async () => {
  const [resident] = await printed(`
    const touched = (count, bytes) => Array.from({ length: count }, () => c.ones([bytes], { dtype: 'uint8', device: 'cpu' }));
    for (let size = 20; size < 60; size += 5) touched(8, size * 2 ** 20).forEach(t => t.dispose());
    print(process.memoryUsage.rss() / 2 ** 20);`);
  // At most 8 x 55 MB are alive at the same time, and that and 256 MB may be cached. All sizes together are 2,400 MB.
  expect(Number(resident)).toBeLessThan(1100);
});
