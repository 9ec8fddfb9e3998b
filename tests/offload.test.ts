import { afterAll, describe, expect, test } from 'bun:test';
import {
  AbortedError,
  ArgumentError,
  arange,
  autocast,
  CastorError,
  F,
  full,
  graph,
  GradScaler,
  IndexError,
  isGradEnabled,
  manualSeed,
  memory,
  nn,
  noGrad,
  offload,
  optim,
  rand,
  randn,
  setNumThreads,
  synchronize,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from 'castor';
import { native } from '../runtime/ffi/library.ts';
import { processorEmulated } from './processor.ts';
import { devices } from './setup.ts';

const equal = (a: Tensor, b: Tensor): void => expect(a.toArraySync()).toEqual(b.toArraySync());
/** The sides of matrices whose products take some milliseconds. */
const side = processorEmulated ? 200 : 700;
/** Work of tens of milliseconds, for what has to happen while it runs. */
const slow = (n = side): Tensor =>
  tidy(() => {
    const x = full([n, n], 1 / n, { device: 'cpu' });
    let y: Tensor = x;
    for (let i = 0; i < 6; i++) y = y.matmul(x);
    return y.sum();
  });
const turn = (): Promise<void> => new Promise(done => setTimeout(done, 0));

describe('offloaded work', () => {
  test('computes the same bits as at once, and promises the result', async () => {
    const x = randn([60, 40]);
    const compute = (): Tensor =>
      tidy(() =>
        F.layerNorm(x.matmul(x.transpose(0, 1)).softmax(-1), [60])
          .mul(2)
          .add(x.sum())
          .to('bfloat16'),
      );
    const promise = offload(compute);
    expect(promise).toBeInstanceOf(Promise);
    equal(await promise, compute());
  });
  test('reads with await what its calls compute, in between', async () => {
    const x = arange(10);
    const seen = await offload(async () => {
      const first = await x.add(1).sum().item();
      const second = await x.mul(first).toArray();
      x.add_(1);
      return [first, second, x.sum().itemSync()];
    });
    expect(seen).toEqual([55, Array.from({ length: 10 }, (_, i) => 55 * i), 55]);
  });
  test('leaves the event loop free, and the calls return before the work has run', async () => {
    const order: string[] = [];
    const work = offload(() => slow()).then(() => order.push('work'));
    order.push('called');
    await turn();
    order.push('turn');
    await work;
    expect(order).toEqual(['called', 'turn', 'work']);
  });
  test('follows the async context, and ends with its function', async () => {
    const [inside, outside] = await Promise.all([
      offload(async () => {
        await turn();
        const x = slow();
        await turn();
        return [await x.item(), isGradEnabled()];
      }),
      noGrad(async () => {
        await turn();
        return [arange(4).sum().itemSync(), isGradEnabled()];
      }),
    ]);
    expect(inside).toEqual([expect.closeTo(side, 1), true]);
    expect(outside).toEqual([6, false]);
    let later: Promise<number> = Promise.resolve(0);
    await offload(() => {
      later = turn().then(() => arange(5).sum().item());
    });
    expect(await later).toBe(10);
  });
  test('trains: forward, backward, scaler and optimizer give the weights of a loop that runs at once', async () => {
    const train = async (run: <T>(fn: () => T) => T | Promise<T>): Promise<unknown[]> => {
      manualSeed(3);
      const model = new nn.Sequential(new nn.Linear(6, 16), new nn.Dropout(0.2), new nn.GELU(), new nn.Linear(16, 1));
      const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
      const scaler = new GradScaler();
      const [x, y] = [rand([32, 6]), rand([32, 1])];
      const losses: Tensor[] = [];
      for (let i = 0; i < 4; i++) {
        const loss = await run(() =>
          tidy(() => {
            optimizer.zeroGrad();
            const value = autocast({ dtype: 'float16' }, () => F.mseLoss(model.forward(x), y));
            scaler.scale(value).backward();
            scaler.step(optimizer);
            scaler.update();
            return value.detach();
          }),
        );
        losses.push(loss);
      }
      return [...losses, ...model.parameters()].map(t => t.toArraySync());
    };
    expect(await train(fn => offload(fn))).toEqual(await train(fn => fn()));
  });
  for (const device of devices)
    test(`waits for the device, and for both where tensors go from one to the other, on ${device}`, async () => {
      const x = randn([32, 32], { device });
      const compute = (): Tensor => tidy(() => x.matmul(x).to('cpu').add(1).to(device).sum(0));
      equal(await offload(compute), compute());
      const wrong = { dtype: 'int64', device } as const;
      await expect(offload(() => F.embedding(tensor([40], wrong), x))).rejects.toThrow(IndexError);
    });
  test('draws the random numbers of the calls in their order', async () => {
    manualSeed(11);
    const one = [rand([5]), F.dropout(full([9], 1), 0.5), randn([3])];
    manualSeed(11);
    const two = [await offload(() => rand([5])), await offload(() => F.dropout(full([9], 1), 0.5)), randn([3])];
    one.forEach((t, i) => equal(two[i]!, t));
  });
});

describe('order', () => {
  test('a call that runs at once waits for what was queued before on its tensors', async () => {
    const x = zeros([1000], { device: 'cpu' });
    const work = offload(() => {
      x.add_(slow().mul(0).add(1));
    });
    expect(x.sum().itemSync()).toBe(1000);
    x.mul_(3);
    expect(x.sum().itemSync()).toBe(3000);
    await work;
  });
  test('a write at once waits for queued work that reads, and host data too', async () => {
    const x = full([4], 2, { device: 'cpu' });
    const sum = offload(() => slow().mul(0).add(x).sum());
    x.copy_(tensor([1, 1, 1, 1]));
    expect(await (await sum).item()).toBe(8);
    expect(x.toArraySync()).toEqual([1, 1, 1, 1]);
  });
  test('streams beside each other wait for each other where one writes', async () => {
    const x = zeros([8], { device: 'cpu' });
    const works = Array.from({ length: 6 }, (_, i) =>
      offload(
        () => {
          const late = slow(200).mul(0);
          return i % 2 === 0 ? x.add_(late.add(1)).sum() : x.mul(2).add(late).sum();
        },
        { threads: 1 },
      ),
    );
    const sums = await Promise.all((await Promise.all(works)).map(t => t.item()));
    expect(sums.filter((_, i) => i % 2 === 1)).toEqual([16, 32, 48]);
    expect(x.sum().itemSync()).toBe(24);
  });
  test('a read begun before a write returns the values of before', async () => {
    const x = full([3], 1, { device: 'cpu' });
    const [before, after] = await offload(async () => {
      x.add_(slow().mul(0));
      const first = x.toArray();
      x.add_(1);
      return [await first, await x.toArray()];
    });
    expect([before, after]).toEqual([
      [1, 1, 1],
      [2, 2, 2],
    ]);
  });
  test('a tensor that is freed before its work has run is computed all the same', async () => {
    const x = full([1000], 2, { device: 'cpu' });
    const result = offload(() => {
      const wait = slow();
      const y = x.mul(3);
      const z = y.add(wait.mul(0)).sum();
      y.dispose();
      x.dispose();
      wait.dispose();
      return z;
    });
    zeros([1000]).fill_(77);
    expect(await (await result).item()).toBe(6000);
  });
  test('host data that is written into a tensor with queued work arrives after it', async () => {
    const x = full([4], 1, { device: 'cpu' });
    const seen = await offload(async () => {
      const before = x.add(slow().mul(0));
      x.copy_(tensor([5, 6, 7, 8]));
      return [await before.toArray(), await x.toArray()];
    });
    expect(seen).toEqual([
      [1, 1, 1, 1],
      [5, 6, 7, 8],
    ]);
  });
  test('of thousands of small calls, which end while the next ones are checked, changes no bit', async () => {
    const x = randn([8, 8]);
    const chain = (): Tensor =>
      tidy(() => {
        let y: Tensor = x;
        for (let i = 0; i < 40; i++) {
          y = y.add(x.narrow(0, i % 8, 1)).tanh();
          if (i % 4 === 0) y = y.matmul(x).sum(0, { keepdim: true }).mul(y);
        }
        return y;
      });
    const wanted = chain().toArraySync();
    for (let round = 0; round < 40; round++) {
      const results = await Promise.all(
        Array.from({ length: 4 }, () => offload(async () => await chain().toArray(), { threads: 1 })),
      );
      for (const result of results) expect(result).toEqual(wanted);
    }
  });
  test('synchronize() waits for it', async () => {
    let done = false;
    const x = zeros([], { device: 'cpu' });
    const work = offload(() => void x.add_(slow())).then(() => (done = true));
    synchronize('cpu');
    expect(done).toBe(false);
    expect(x.itemSync()).toBeCloseTo(side, 0);
    await work;
  });
  test('graphs are replayed in their turn, and not captured inside', async () => {
    const x = full([4], 1, { device: 'cpu' });
    const captured = graph.capture(() => x.mul(2).sum(), { device: 'cpu' });
    const sum = await offload(async () => {
      x.add_(slow().mul(0).add(1));
      const result = captured.replay();
      const first = await result.item();
      x.add_(1);
      return [first, await captured.replay().item()];
    });
    expect(sum).toEqual([16, 24]);
    const refused = offload(() => graph.capture(() => x.mul(2), { device: 'cpu', warmup: 0 }));
    await expect(refused).rejects.toThrow('cannot be captured in a graph');
    captured.dispose();
  });
});

test('ten thousand calls at once end as quickly as one after the other', async () => {
  const x = full([4], 1, { device: 'cpu' });
  const sums = await Promise.all(
    Array.from({ length: 10_000 }, (_, i) => offload(async () => await x.mul(i).sum().item())),
  );
  expect(sums).toEqual(Array.from({ length: 10_000 }, (_, i) => 4 * i));
});

describe('memory', () => {
  const MB = 2 ** 20;
  /** Makes ten tensors of 2 MB, of which two are needed at a time. */
  const chain = (): Tensor =>
    tidy(() => {
      let y: Tensor = full([MB / 2], 1, { device: 'cpu' });
      for (let i = 0; i < 10; i++) {
        const next = y.add(1);
        y.dispose();
        y = next;
      }
      return y.sum();
    });
  test('of many calls at once is that of few', async () => {
    memory.releaseCached('cpu');
    const { liveBytes } = memory.stats('cpu');
    memory.resetPeak('cpu');
    const sums = await Promise.all(Array.from({ length: 40 }, () => offload(chain, { threads: 1 })));
    for (const sum of sums) expect(sum.itemSync()).toBe(11 * (MB / 2));
    // By JavaScript's count, a call is over when the next one begins.
    expect(memory.peak('cpu') - liveBytes).toBeLessThan(10 * MB);
    // The cache holds the blocks that were really allocated and are not used now.
    expect(memory.stats('cpu').cachedBytes).toBeLessThan(60 * MB);
    sums.forEach(sum => sum.dispose());
    expect(memory.stats('cpu').liveBytes).toBe(liveBytes);
  });
  test('is given back after errors and aborts too', async () => {
    const failing = async (): Promise<void> => {
      const controller = new AbortController();
      const aborted = Array.from({ length: 5 }, () =>
        offload(() => tidy(() => (slow(), chain())), { signal: controller.signal }),
      );
      controller.abort();
      expect((await Promise.allSettled(aborted)).map(result => result.status)).toEqual(Array(5).fill('rejected'));
      await offload(() =>
        tidy(() => void F.embedding(tensor([9], { dtype: 'int64', device: 'cpu' }), chain().expand([4, 3]))),
      ).catch(() => {});
      synchronize('cpu');
      await turn();
    };
    await failing();
    memory.collect();
    const { liveStorages } = memory.stats('cpu');
    for (let i = 0; i < 6; i++) await failing();
    memory.collect();
    // Each round makes more than a hundred.
    expect(memory.stats('cpu').liveStorages).toBeLessThan(liveStorages + 100);
  });
  test('that is missing is an error of the call', async () => {
    const { liveBytes } = memory.stats('cpu');
    memory.setLimit(liveBytes + 3 * MB, 'cpu');
    try {
      await expect(offload(() => tidy(() => zeros([8 * MB], { device: 'cpu' }).sum()))).rejects.toThrow(
        'wanted 32.00 MiB',
      );
    } finally {
      memory.setLimit(0, 'cpu');
    }
  });
});

describe('errors', () => {
  const wrong = (): Tensor =>
    F.embedding(tensor([9], { dtype: 'int64', device: 'cpu' }), zeros([4, 3], { device: 'cpu' }));
  test('of arguments are thrown at the call, as ever', async () => {
    await offload(() => expect(() => zeros([2]).add(zeros([3]))).toThrow('broadcast'));
    await expect(offload(() => zeros([2]).add(zeros([3])))).rejects.toThrow('broadcast');
  });
  test('that only the work sees name the op, and reject the promise or the next read', async () => {
    const context = { name: 'IndexError', message: expect.stringMatching(/embedding|gather|indexSelect/) };
    await expect(offload(wrong)).rejects.toMatchObject(context);
    const seen = await offload(async () => {
      const error = await wrong()
        .data()
        .catch((caught: unknown) => caught);
      return [error, await arange(4, { device: 'cpu' }).sum().item()];
    });
    expect(seen).toEqual([expect.objectContaining(context), 6]);
    expect(seen[0]).toBeInstanceOf(IndexError);
  });
  test('leave tensors that were not computed, which say so', async () => {
    let lost!: Tensor;
    const failed = offload(() => {
      lost = wrong().add(1);
    });
    await expect(failed).rejects.toThrow(IndexError);
    expect(() => lost.sum()).toThrow('the work that was to compute this tensor has failed');
    await expect(lost.data()).rejects.toThrow('the work that was to compute this tensor has failed');
    await expect(offload(() => lost.sum())).rejects.toThrow('the work that was to compute this tensor has failed');
    lost.dispose();
  });
  test('reach what other calls compute from it, and nothing else', async () => {
    // Freed small tensors leave memory that the next ones get.
    zeros([4], { device: 'cpu' }).dispose();
    for (const aborts of [true, false]) {
      const controller = new AbortController();
      let made: Tensor | undefined;
      const out = full([4], 7, { device: 'cpu' });
      const memo = (): Tensor =>
        (made ??= (aborts ? full([4], 1, { device: 'cpu' }) : wrong().expand([4, 3]).select(1, 0)).add(1));
      const first = offload(() => (slow(), memo()), { signal: controller.signal, threads: 1 });
      const second = offload(async () => (await memo().mul(1).data()) as Float32Array, { threads: 1 });
      const third = offload(() => out.add_(memo()), { threads: 1 });
      await turn();
      if (aborts) controller.abort();
      const ended = await Promise.allSettled([first, second, third]);
      expect(ended.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
      expect(out.toArraySync()).toEqual([7, 7, 7, 7]);
      made?.dispose();
    }
  });
  test('are those of their own call, not of a read outside that waited for one of its tensors', async () => {
    const x = full([2], 1, { device: 'cpu' });
    const before = offload(() => {
      slow();
      x.add_(1);
      wrong();
    });
    const read = x.data();
    await expect(before).rejects.toThrow(IndexError);
    expect([...(await read)]).toEqual([2, 2]);
    const dropped = offload(() => {
      slow();
      wrong();
      x.add_(1);
    });
    const again = x.data();
    await expect(dropped).rejects.toThrow(IndexError);
    expect([...(await again)]).toEqual([2, 2]);
  });
  test('of one call are not those of a read in another context, whichever stream was used last', async () => {
    const x = full([2], 1, { device: 'cpu' });
    const go = Promise.withResolvers<void>();
    const early = go.promise.then(() => x.data());
    const busy = offload(() => void (slow(), x.add_(1)), { threads: 1 });
    const failing = offload(async () => {
      await null;
      wrong();
      go.resolve();
      await Bun.sleep(3);
    });
    const [read, failed] = await Promise.allSettled([early, failing, busy]);
    expect([...(read as PromiseFulfilledResult<Float32Array>).value]).toEqual([2, 2]);
    expect((failed as PromiseRejectedResult).reason).toBeInstanceOf(IndexError);
  });
  for (const Optimizer of ['AdamW', 'SGD'] as const)
    test(`of the first step of ${Optimizer} leave an optimizer that goes on`, async () => {
      const model = new nn.Linear(2, 2, { device: 'cpu' });
      const optimizer = new optim[Optimizer](model.parameters(), {
        lr: 0.1,
        ...(Optimizer === 'SGD' && { momentum: 0.9 }),
      });
      const step = (target: number): Promise<void> =>
        offload(() => {
          optimizer.zeroGrad();
          const at = tensor([target], { dtype: 'int64', device: 'cpu' });
          F.crossEntropy(model.forward(full([1, 2], 1, { device: 'cpu' })), at).backward();
          optimizer.step();
        });
      await expect(step(9)).rejects.toThrow(IndexError);
      const before = model.weight.toArraySync();
      await step(1);
      expect(model.weight.toArraySync()).not.toEqual(before);
      const controller = new AbortController();
      const aborted = new optim[Optimizer](model.parameters(), {
        lr: 0.1,
        ...(Optimizer === 'SGD' && { momentum: 0.9 }),
      });
      const work = offload(() => (slow(), aborted.step()), { signal: controller.signal });
      controller.abort();
      await expect(work).rejects.toThrow('aborted');
      await offload(() => aborted.step());
    });
  test('of one call do not touch another', async () => {
    const results = await Promise.allSettled([offload(wrong), offload(() => arange(3).sum().item()), offload(wrong)]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected']);
  });
  test('of the function itself come after the work that it has queued', async () => {
    const x = zeros([], { device: 'cpu' });
    const failed = offload(() => {
      x.add_(slow().mul(0).add(1));
      throw new RangeError('mine');
    });
    await expect(failed).rejects.toThrow(new RangeError('mine'));
    expect(x.itemSync()).toBe(1);
  });
  test('of arguments of offload() are typed, and reject', async () => {
    const wrong = [0, -1, 1.5, NaN, 1025].map(threads => ({ threads }));
    for (const options of [...wrong, { signal: 1 as never }, { sginal: 1 } as never])
      await expect(offload(() => 1, options)).rejects.toThrow(ArgumentError);
    await expect(offload(1 as never)).rejects.toThrow(CastorError);
  });
  test('of handles are statuses of the ABI', () => {
    for (const handle of [-1, NaN, 1e300, 0.5, 2 ** 53]) {
      expect(native.castor_stream_use(handle)).toBe(7);
      expect(native.castor_stream_notify(handle, 1)).toBe(7);
      expect(native.castor_stream_cancel(handle)).toBe(7);
      expect(native.castor_stream_end(handle)).toBe(7);
    }
    expect(native.castor_stream_begin(-1)).toBe(0);
    expect(native.castor_last_status()).toBe(1);
    const stream = native.castor_stream_begin(0);
    for (const id of [0, -1, 0.5, NaN]) expect(native.castor_stream_notify(stream, id)).toBe(1);
    expect(native.castor_stream_end(stream)).toBe(0);
    expect(native.castor_stream_end(stream)).toBe(7);
  });
});

describe('a signal', () => {
  test('that is aborted rejects with its reason at once, and drops what has not begun', async () => {
    const controller = new AbortController();
    const x = zeros([], { device: 'cpu' });
    const work = offload(
      () => {
        for (let i = 0; i < 50; i++) slow();
        x.add_(1);
      },
      { signal: controller.signal },
    );
    await turn();
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(work).rejects.toBe(reason);
    synchronize('cpu');
    expect(x.itemSync()).toBe(0);
  });
  test('that was aborted before runs nothing', async () => {
    let ran = false;
    await expect(offload(() => void (ran = true), { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
    expect(ran).toBe(false);
  });
  test('ends reads inside with an AbortedError', async () => {
    const controller = new AbortController();
    let inside: unknown;
    const work = offload(
      async () => {
        for (let i = 0; i < 20; i++) slow();
        inside = await slow()
          .item()
          .catch((error: unknown) => error);
      },
      { signal: controller.signal },
    );
    await turn();
    controller.abort();
    await expect(work).rejects.toThrow('aborted');
    synchronize('cpu');
    for (let i = 0; i < 500 && inside === undefined; i++) await turn();
    expect(inside).toBeInstanceOf(AbortedError);
  });
  test('that is never aborted, or too late, changes nothing', async () => {
    const controller = new AbortController();
    expect(await (await offload(() => arange(3).sum(), { signal: controller.signal })).item()).toBe(3);
    controller.abort();
  });
});

describe('threads', () => {
  afterAll(() => setNumThreads(2));
  test('of one call each let calls run side by side', async () => {
    setNumThreads(2);
    const ended: string[] = [];
    const long = offload(
      () => {
        for (let i = 0; i < 20; i++) slow();
      },
      { threads: 1 },
    ).then(() => ended.push('long'));
    const short = offload(() => arange(9).sum(), { threads: 1 }).then(() => ended.push('short'));
    await Promise.all([long, short]);
    expect(ended).toEqual(['short', 'long']);
  });
  test('change no bit', async () => {
    const x = randn([300, 200]);
    const compute = (): Tensor => tidy(() => x.matmul(x.transpose(0, 1)).softmax(-1).sum(0));
    const at = compute();
    for (const threads of [1, 2, 3]) equal(await offload(compute, { threads }), at);
  });
  // Workers of the web, as Bun has them.
  test.if('bun' in process.versions)('of Workers end in the middle of their work without harm', async () => {
    const code = `
      const { offload, full } = await import(${JSON.stringify(import.meta.resolve('castor'))});
      postMessage('ready');
      const x = full([${side}, ${side}], 1 / ${side});
      await offload(() => { let y = x; for (let i = 0; i < 200; i++) y = y.matmul(x); return y; });
    `;
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'application/javascript' })));
      await new Promise((ready, failed) => {
        worker.onmessage = ready;
        worker.onerror = event => failed(new Error(event.message));
      });
      await Bun.sleep(20);
      worker.terminate();
    }
    expect(await (await offload(() => arange(3).sum())).item()).toBe(3);
  });
});
