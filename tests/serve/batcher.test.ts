import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  autocast,
  ClosedError,
  DTypeError,
  Generator,
  inferenceMode,
  isInferenceModeEnabled,
  IndexError,
  memory,
  nn,
  ones,
  OverloadedError,
  rand,
  randn,
  ShapeError,
  tensor,
  Tensor,
  tidy,
  TimeoutError,
  withGenerator,
} from 'castor';
import { batcher, type BatchInfo } from 'castor/serve';
import { devices, liveStorages, tidyTest } from '../setup.ts';

const row = (...values: number[]): Float32Array => new Float32Array(values);
const twice = (x: Tensor): Tensor => x.mul(2);
/** The error that a promise rejects with. */
const reason = async (promise: Promise<unknown>): Promise<any> =>
  promise.then(
    () => expect.unreachable('it should reject'),
    (error: unknown) => error,
  );
const rejections = async (promises: readonly Promise<unknown>[]): Promise<unknown[]> =>
  (await Promise.allSettled(promises)).map(result => (result.status === 'rejected' ? result.reason : null));

/** A model that runs when the test says so. */
function gated(): { fn: (x: Tensor) => Promise<Tensor>; open: () => void; seen: number[][] } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const seen: number[][] = [];
  const fn = async (x: Tensor): Promise<Tensor> => {
    seen.push(Array.from((await x.data()) as Float32Array));
    await promise;
    return x;
  };
  return { fn, open: resolve, seen };
}

describe('a batcher', () => {
  test('computes requests together, and gives each its row', async () => {
    const shapes: number[][] = [];
    const infos: BatchInfo[] = [];
    const infer = batcher((x: Tensor, info) => {
      shapes.push([...x.shape]);
      infos.push(info);
      return x.mul(2);
    });
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => infer.run(row(i, 10 * i))));
    expect(answers).toEqual(Array.from({ length: 10 }, (_, i) => row(2 * i, 20 * i)));
    expect(shapes).toEqual([[10, 2]]);
    expect(infos).toEqual([{ rows: 10, shapes: Array(10).fill([2]) }]);
    const { requests, batches, rows, queued, running } = infer.stats();
    expect([requests.answered, batches, rows.mean, queued, running]).toEqual([10, 1, 10, 0, 0]);
  });
  test('never makes a batch larger than maxBatch, and waits at most maxDelay for more', async () => {
    const sizes: number[] = [];
    const infer = batcher((x: Tensor) => (sizes.push(x.shape[0]!), x), { maxBatch: 4, maxDelay: 500 });
    const first = [...Array(9).keys()].map(i => infer.run(row(i)));
    await Promise.all(first.slice(0, 8));
    expect(sizes).toEqual([4, 4]);
    await Bun.sleep(0);
    const late = infer.run(row(9));
    await Promise.all([...first, late]);
    expect(sizes).toEqual([4, 4, 2]);
  });
  test('collects what comes while a batch runs', async () => {
    const { fn, open, seen } = gated();
    const infer = batcher(fn);
    const answers = [infer.run(row(0))];
    await Bun.sleep(5);
    for (let i = 1; i < 6; i++) answers.push(infer.run(row(i)));
    expect(infer.stats()).toMatchObject({ queued: 5, queuedBytes: 20, running: 1 });
    open();
    await Promise.all(answers);
    expect(seen).toEqual([[0], [1, 2, 3, 4, 5]]);
  });
  test('runs several batches at once with concurrency', async () => {
    const { fn, open, seen } = gated();
    const infer = batcher(fn, { maxBatch: 1, concurrency: 2 });
    const answers = [0, 1, 2].map(i => infer.run(row(i)));
    await Bun.sleep(10);
    expect(seen).toEqual([[0], [1]]);
    open();
    await Promise.all(answers);
    expect(seen.length).toBe(3);
  });
  test('takes typed arrays, nested arrays, numbers, several items by name, and a shape for typed arrays', async () => {
    const infer = batcher(twice);
    expect(await infer.run([1, 2])).toEqual(row(2, 4));
    expect(await infer.run(new Int32Array([3]))).toEqual(new Int32Array([6]));
    expect(await infer.run(5)).toEqual(row(10));
    expect(await infer.run(Buffer.from([7]))).toEqual(new Uint8Array([14]));
    const matrix = batcher((x: Tensor) => x.sum(2), { shape: [2, 2] });
    expect(await matrix.run(row(1, 2, 3, 4))).toEqual(row(3, 7));
    const both = batcher(({ a, b }: { a: Tensor; b: Tensor }) => ({ sum: a.add(b), same: a }));
    expect(await Promise.all([both.run({ a: [1], b: [2] }), both.run({ b: [4], a: [3] })])).toEqual([
      { sum: row(3), same: row(1) },
      { sum: row(7), same: row(3) },
    ]);
    expect(both.stats().batches).toBe(1);
    const ids = batcher((x: Tensor) => x, { dtype: 'int64' });
    expect(await ids.run([1, 2])).toEqual(new BigInt64Array([1n, 2n]));
    expect(await batcher((x: Tensor) => x, { dtype: 'bfloat16' }).run([1.5])).toEqual(row(1.5));
  });
  test('copies its input: what the caller writes later has no effect', async () => {
    const infer = batcher(twice);
    const data = row(1);
    const nested = [[1]];
    const answers = [infer.run(data), infer.run(nested)];
    data[0] = nested[0]![0] = 9;
    expect(await Promise.all(answers)).toEqual([row(2), row(2)]);
  });
  test('gives lists, typed arrays and objects that fn returns row by row', async () => {
    const infer = batcher(async (x: Tensor) => ({
      labels: ((await x.argmax(-1).toArray()) as number[]).map(i => `class ${i}`),
      raw: (await x.data()) as Float32Array,
      scores: x.softmax(-1),
    }));
    const [first, second] = await Promise.all([infer.run([0, 9]), infer.run([9, 0])]);
    expect([first!.labels, second!.labels]).toEqual(['class 1', 'class 0']);
    expect([first!.raw, second!.raw]).toEqual([row(0, 9), row(9, 0)]);
    expect(first!.scores[1]).toBeCloseTo(1, 3);
  });
  test("runs fn in inference mode, outside of every request's tidy scope", async () => {
    const before = liveStorages();
    const infer = batcher((x: Tensor) => {
      expect(isInferenceModeEnabled()).toBe(true);
      return x.exp().log();
    });
    await Promise.all([tidy(() => infer.run([1])), infer.run([2])]);
    expect(liveStorages()).toBe(before);
  });
});

for (const device of devices)
  describe(`requests of tensors on ${device}`, () => {
    tidyTest('are answered with tensors, which belong to the scope of the request', async () => {
      const infer = batcher((x: Tensor) => x.matmul(ones([3, 2], { device })));
      const answer = await tidy(async () => {
        const [a, b] = await Promise.all([
          infer.run(tensor([1, 2, 3], { device })),
          infer.run(tensor([4, 5, 6], { device })),
        ]);
        expect([a!.device, a!.isInference]).toEqual([device === 'cpu' ? 'cpu' : 'cuda:0', false]);
        expect(a!).toBeAllclose([6, 6]);
        a!.dispose();
        return b!;
      });
      expect(answer).toBeAllclose([15, 15]);
      expect(infer.stats().batches).toBe(1);
    });
    tidyTest('never share a batch with others of another dtype, or with arrays', async () => {
      const seen: string[] = [];
      const infer = batcher((x: Tensor) => (seen.push(`${x.dtype}${x.shape}`), x));
      await Promise.all([
        infer.run(ones([2], { device })),
        infer.run(ones([2], { device, dtype: 'int32' })),
        infer.run(ones([3], { device })),
        infer.run(row(1, 1)),
      ]);
      expect(seen.toSorted()).toEqual(['float321,2', 'float321,2', 'float321,3', 'int321,2']);
    });
    tidyTest('a tensor that was disposed is refused', async () => {
      const t = ones([1], { device });
      t.dispose();
      expect((await reason(batcher(twice).run(t))).name).toBe('DisposedError');
    });
  });

describe('buckets', () => {
  test('pad rows to a common shape', async () => {
    const batches: unknown[] = [];
    const infer = batcher(
      async (x: Tensor, { shapes }) => {
        batches.push([await x.toArray(), shapes]);
        return x;
      },
      { bucketBy: ([length]) => [4 * Math.ceil(length! / 4)], pad: -1 },
    );
    const answers = await Promise.all([infer.run([1]), infer.run([1, 2, 3]), infer.run([1, 2, 3, 4, 5])]);
    expect(answers.map(answer => answer.length)).toEqual([4, 4, 8]);
    expect(batches).toEqual([
      [
        [
          [1, -1, -1, -1],
          [1, 2, 3, -1],
        ],
        [[1], [3]],
      ],
      [[[1, 2, 3, 4, 5, -1, -1, -1]], [[5]]],
    ]);
  });
  test('of several axes, for arrays and tensors, with padding of any dtype', async () => {
    const options = { bucketBy: () => [2, 3], pad: 7 };
    const infer = batcher((x: Tensor) => x, options);
    const expected = [1, 2, 7, 7, 7, 7];
    expect(await infer.run([[1, 2]])).toEqual(row(...expected));
    expect(await tidy(async () => (await infer.run(tensor([[1, 2]]))).toArray())).toEqual([
      [1, 2, 7],
      [7, 7, 7],
    ]);
    const ids = batcher((x: Tensor) => x, { ...options, dtype: 'int64' });
    expect(await ids.run([[1, 2]])).toEqual(BigInt64Array.from(expected.map(BigInt)));
    expect(await infer.run([[], []])).toEqual(row(7, 7, 7, 7, 7, 7));
  });
  test.each([
    ['too small', () => [1]],
    ['of other rank', () => [2, 2]],
    ['negative', () => [-1]],
    ['no array', () => 4],
    ['fractional', () => [2.5]],
  ])('%s are refused, for this request only', async (_, bucket) => {
    const infer = batcher(twice, { bucketBy: ([n]) => (n === 2 ? (bucket() as number[]) : [n!]) });
    const [bad, good] = await Promise.allSettled([infer.run([1, 2]), infer.run([1])]);
    expect([bad.status, good.status]).toEqual(['rejected', 'fulfilled']);
    expect((bad as PromiseRejectedResult).reason.name).toMatch(/ArgumentError|ShapeError/);
  });
});

describe('precision and async context', () => {
  const layer = (): nn.Linear => new nn.Linear(4, 3);
  test('rows of different precisions never share a batch', async () => {
    const model = layer();
    const seen: string[] = [];
    const infer = batcher((x: Tensor) => {
      const y = model.forward(x);
      seen.push(`${y.dtype} ${x.shape[0]}`);
      return y;
    });
    const wanted = ['float32', 'bfloat16', 'float16', 'bfloat16', 'float32', undefined] as const;
    const x = row(1, 2, 3, 4);
    const answers = await Promise.all(wanted.map(precision => infer.run(x, { ...(precision && { precision }) })));
    expect(seen.toSorted()).toEqual(['bfloat16 2', 'float16 1', 'float32 1', 'float32 2']);
    // As a lone run under the same scope, to the bit.
    const lone = (dtype: 'float16' | 'bfloat16'): unknown =>
      tidy(() => autocast({ dtype }, () => inferenceMode(() => model.forward(tensor([[1, 2, 3, 4]])).dataSync())));
    expect(answers[2]).toEqual(lone('float16') as never);
    expect(answers[1]).toEqual(lone('bfloat16') as never);
    expect(answers[3]).toEqual(answers[1]!);
  });
  test('the autocast scope around a request holds for its row, with overrides', async () => {
    const model = layer();
    const seen: string[] = [];
    const infer = batcher((x: Tensor) => {
      const y = model.forward(x).softmax(-1);
      seen.push(`${y.dtype} ${x.shape[0]}`);
      return y;
    });
    const x = row(1, 2, 3, 4);
    await Promise.all([
      infer.run(x),
      autocast({ dtype: 'float16' }, () => infer.run(x)),
      autocast({ dtype: 'float16' }, () => infer.run(x)),
      autocast({ dtype: 'float16', overrides: { softmax: 'input' } }, () => infer.run(x)),
      autocast({ enabled: false }, () => infer.run(x)),
    ]);
    expect(seen.toSorted()).toEqual(['float16 1', 'float32 1', 'float32 1', 'float32 2']);
  });
  test('a scope that has ended before its batch runs changes nothing', async () => {
    const model = layer();
    const infer = batcher((x: Tensor) => model.forward(x));
    let late!: Promise<unknown>;
    void autocast({ dtype: 'float16' }, () => void (late = infer.run(row(1, 2, 3, 4))));
    expect(await late).toBeInstanceOf(Float16Array);
  });
  test('each random generator has batches of its own', async () => {
    const sizes: number[] = [];
    const infer = batcher((x: Tensor) => (sizes.push(x.shape[0]!), rand(x.shape)));
    const one = new Generator(1);
    const [a, b, c] = await Promise.all([
      withGenerator(one, () => infer.run([1])),
      withGenerator(new Generator(1), () => infer.run([1])),
      withGenerator(new Generator(2), () => infer.run([1])),
    ]);
    expect([a!, sizes]).toEqual([b!, [1, 1, 1]]);
    expect(c).not.toEqual(a!);
  });
  test("a request's other async context does not reach a batch, and is there again after it", async () => {
    const { AsyncLocalStorage } = await import('node:async_hooks');
    const store = new AsyncLocalStorage<string>();
    const infer = batcher((x: Tensor) => x.mul(store.getStore() === undefined ? 1 : 0));
    await store.run('mine', async () => {
      expect(await infer.run([3])).toEqual(row(3));
      expect(store.getStore()).toBe('mine');
    });
  });
});

describe('limits', () => {
  test('a full queue refuses, and says how full it is', async () => {
    const { fn, open } = gated();
    const infer = batcher(fn, { maxQueue: 2, maxBatch: 1 });
    const first = infer.run([0]);
    await Bun.sleep(5);
    const waiting = [infer.run([1]), infer.run([2])];
    const error = (await reason(infer.run([3]))) as OverloadedError;
    expect(error).toBeInstanceOf(OverloadedError);
    expect(error).toMatchObject({ op: 'batcher.run', waiting: 2, limit: 2 });
    expect(error.retryAfter).toBeGreaterThanOrEqual(1);
    expect(error.message).toMatch(
      /2 requests wait, as many as may \(maxQueue\)\. Answer the client with status 503 or 429/,
    );
    open();
    await Promise.all([first, ...waiting]);
    expect(infer.stats().requests).toMatchObject({ answered: 3, overloaded: 1 });
    expect(await infer.run([4])).toEqual(row(4));
  });
  test('bytes that wait are limited, but one request always may', async () => {
    const { fn, open } = gated();
    const infer = batcher(fn, { maxQueueBytes: 10, maxBatch: 1 });
    const first = infer.run([0]);
    await Bun.sleep(5);
    const large = infer.run([1, 2, 3, 4]);
    const error = (await reason(infer.run([1]))) as OverloadedError;
    expect([error.waiting, error.limit]).toEqual([16, 10]);
    open();
    await Promise.all([first, large]);
  });
  test('a request that is not answered in time gets TimeoutError, in the queue and in a batch', async () => {
    const { fn, open, seen } = gated();
    const infer = batcher(fn, { timeout: 20 });
    const running = infer.run([0]);
    // As long as one waits for the batch, it goes on.
    const beside = infer.run([9], { timeout: 100_000 });
    while (seen.length === 0) await Bun.sleep(1);
    const waiting = infer.run([1]);
    const patient = infer.run([2], { timeout: 100_000 });
    const [a, b] = await rejections([running, waiting]);
    for (const error of [a, b]) {
      expect(error).toBeInstanceOf(TimeoutError);
      expect(error).toMatchObject({ timeout: 20, message: expect.stringContaining('not answered within 20 ms') });
    }
    expect(infer.stats()).toMatchObject({ queued: 1, running: 1 });
    open();
    expect(await Promise.all([beside, patient])).toEqual([row(9), row(2)]);
    expect(seen).toEqual([[0, 9], [2]]);
    expect(infer.stats().requests).toMatchObject({ timedOut: 2, answered: 2 });
  });
  test('a request whose time passed while a batch blocked the event loop does not run', async () => {
    const sizes: number[] = [];
    const block = (x: Tensor): Tensor => {
      sizes.push(x.shape[0]!);
      Bun.sleepSync(60);
      return x;
    };
    const infer = batcher(block, { maxBatch: 1 });
    const [, late] = await Promise.allSettled([infer.run([0]), infer.run([1], { timeout: 30 })]);
    expect((late as PromiseRejectedResult).reason).toBeInstanceOf(TimeoutError);
    expect(sizes).toEqual([1]);
  });
  test('an aborted request leaves the queue at once, and gets the reason of its signal', async () => {
    const { fn, open, seen } = gated();
    const infer = batcher(fn);
    const [inBatch, inQueue] = [new AbortController(), new AbortController()];
    const running = infer.run([0], { signal: inBatch.signal });
    await Bun.sleep(5);
    const waiting = infer.run([1], { signal: inQueue.signal });
    const other = infer.run([2]);
    const why = new Error('the client left');
    inQueue.abort(why);
    inBatch.abort();
    expect(infer.stats().queued).toBe(1);
    const [first, second] = await rejections([running, waiting]);
    expect((first as Error).name).toBe('AbortError');
    expect(second).toBe(why);
    open();
    await other;
    expect(seen).toEqual([[0], [2]]);
    expect(await reason(infer.run([1], { signal: AbortSignal.abort(why) }))).toBe(why);
    expect(infer.stats()).toMatchObject({ queued: 0, requests: { aborted: 3, answered: 1 } });
  });
  test('requests of a higher priority run first', async () => {
    const { fn, open, seen } = gated();
    const infer = batcher(fn, { maxBatch: 2 });
    const answers = [infer.run([0])];
    await Bun.sleep(50);
    for (const [value, priority] of [
      [1, 0],
      [2, 0],
      [3, 5],
      [4, -1],
      [5, 5],
      [6, 1],
    ] as const)
      answers.push(infer.run([value], { priority }));
    // A batch of another shape waits in a lane of its own.
    answers.push(infer.run([7, 7], { priority: 9 }));
    open();
    await Promise.all(answers);
    expect(seen).toEqual([[0], [7, 7], [3, 5], [6, 1], [2, 4]]);
  });
});

describe('failures', () => {
  const faulty = (x: Tensor): Tensor => {
    if ((x.toArraySync() as number[][]).some(([value]) => value! < 0)) throw new RangeError('negative');
    return x;
  };
  test('a row that makes the model throw does not fail its neighbours', async () => {
    const infer = batcher(faulty);
    const answers = await Promise.allSettled([1, -2, 3, 4, -5, 6, 7].map(value => infer.run([value])));
    expect(answers.map(answer => (answer.status === 'fulfilled' ? answer.value[0] : answer.reason.message))).toEqual([
      ...[1, 'negative', 3, 4, 'negative', 6, 7],
    ]);
    expect(infer.stats().requests).toMatchObject({ answered: 5, failed: 2 });
  });
  test('a row that makes a kernel fail gets the error of the kernel', async () => {
    const table = new nn.Embedding(10, 4);
    const infer = batcher((ids: Tensor) => table.forward(ids), { dtype: 'int64' });
    const [good, bad, other] = await Promise.allSettled([infer.run([1, 2]), infer.run([3, 10]), infer.run([4, 5])]);
    expect([good!.status, other!.status]).toEqual(['fulfilled', 'fulfilled']);
    expect((bad as PromiseRejectedResult).reason).toBeInstanceOf(IndexError);
    expect((good as PromiseFulfilledResult<unknown>).value).toEqual(await infer.run([1, 2]));
  });
  test('without retry the whole batch fails, and fn runs once', async () => {
    let calls = 0;
    const infer = batcher((x: Tensor) => (calls++, faulty(x)), { retry: false });
    const answers = await Promise.allSettled([1, -1, 2].map(value => infer.run([value])));
    expect([answers.map(({ status }) => status), calls]).toEqual([Array(3).fill('rejected'), 1]);
  });
  test('the batcher lives on after a model that throws, rejects, or throws no error', async () => {
    let fail: () => unknown = () => {};
    const infer = batcher((x: Tensor) => fail() ?? x);
    for (const [failure, expected] of [
      [
        () => {
          throw new Error('thrown');
        },
        'thrown',
      ],
      [() => Promise.reject(new Error('rejected')), 'rejected'],
    ] as const) {
      fail = failure;
      expect((await reason(infer.run([1]))).message).toBe(expected);
    }
    fail = () => {
      throw 'a text';
    };
    expect(await reason(infer.run([1]))).toBe('a text');
    fail = () => {};
    expect(await infer.run([1])).toEqual(row(1));
    await Bun.sleep(1);
    expect(infer.stats()).toMatchObject({ running: 0, requests: { failed: 3, answered: 1 } });
  });
  test.each([
    ['no rows', () => ones([]), ShapeError, /a tensor \[\] for a batch of 2 rows/],
    ['too few rows', (x: Tensor) => x.narrow(0, 0, 1), ShapeError, /batch of 2 rows/],
    ['nothing', () => undefined, ArgumentError, /fn returned undefined/],
    ['a number', () => 3, ArgumentError, /fn returned 3/],
    ['an empty object', () => ({}), ArgumentError, /fn returned an object/],
    ['a list of another length', () => [1, 2, 3], ArgumentError, /an array of 3 items/],
    ['an array of tensors', (x: Tensor) => x.unbind(0), ArgumentError, /could be rows or outputs/],
    ['a typed array that cannot be divided', () => new Float32Array(3), ArgumentError, /3 elements/],
    ['a disposed tensor', (x: Tensor) => (x.dispose(), x), Error, /disposed/],
  ])('a result with %s is an error of every row, and fn runs once', async (_, result, type, message) => {
    let calls = 0;
    const infer = batcher((x: Tensor) => (calls++, result(x)));
    const errors = await rejections([infer.run([1]), infer.run([2])]);
    for (const error of errors) {
      expect(error).toBeInstanceOf(type);
      expect((error as Error).message).toMatch(message);
    }
    expect(calls).toBe(1);
  });
  test('data that is no row is refused before it waits', async () => {
    const infer = batcher(twice, { shape: [2] });
    const bad: unknown[] = [
      row(1),
      row(1, 2, 3),
      [1],
      [[1, 2]],
      'text',
      null,
      {},
      new Date(),
      [[1], [2, 3]],
      [1, 'x'],
      { x: [1] },
    ];
    for (const input of bad) {
      const error = await reason(infer.run(input as never));
      expect([ArgumentError, ShapeError, DTypeError].some(type => error instanceof type)).toBe(true);
    }
    expect((await reason(infer.run(row(1)))).message).toMatch(/the request is \[1\], and a row is \[2\]/);
    expect(await reason(infer.run(new Uint16Array(2)))).toBeInstanceOf(DTypeError);
    expect(await reason((infer.run as (...args: unknown[]) => Promise<unknown>)())).toBeInstanceOf(ArgumentError);
    expect(infer.stats()).toMatchObject({ queued: 0, batches: 0 });
    expect(await infer.run(row(1, 2))).toEqual(row(2, 4));
  });
  test('nothing is left when many requests fail', async () => {
    const before = liveStorages();
    const infer = batcher((x: Tensor) => faulty(x.mul(1)));
    await Promise.allSettled(Array.from({ length: 64 }, (_, i) => infer.run([i % 3 ? i : -i - 1])));
    expect([liveStorages(), infer.stats().queued]).toEqual([before, 0]);
  });
});

describe('closing', () => {
  test('answers what waits, and takes no more', async () => {
    const { fn, open } = gated();
    const infer = batcher(fn, { maxDelay: 60_000, maxBatch: 4 });
    const answers = [infer.run([1]), infer.run([2])];
    const done = infer.close();
    expect(infer.closed).toBe(true);
    const refused = await reason(infer.run([3]));
    expect(refused).toBeInstanceOf(ClosedError);
    expect(refused.message).toMatch(/the batcher is closed/);
    open();
    expect(await Promise.all(answers)).toEqual([row(1), row(2)]);
    await done;
    await infer.close();
    expect(infer.stats().requests).toMatchObject({ answered: 2, closed: 1 });
  });
  test('without draining rejects what waits, and ends when what runs has ended', async () => {
    const { fn, open } = gated();
    const infer = batcher(fn, { maxBatch: 1 });
    const running = infer.run([1]);
    await Bun.sleep(5);
    const waiting = infer.run([2]);
    const done = infer.close({ drain: false });
    expect(await reason(waiting)).toBeInstanceOf(ClosedError);
    open();
    expect(await running).toEqual(row(1));
    await done;
  });
  test('at once, if nothing waits; await using closes', async () => {
    let infer!: ReturnType<typeof batcher>;
    {
      await using own = batcher(twice);
      infer = own as never;
    }
    expect(infer.closed).toBe(true);
  });
});

describe('invariant batches', () => {
  const inputs = Array.from({ length: 33 }, () => tidy(() => randn([96]).dataSync() as Float32Array));
  /** The answers to all rows, in groups of a size that come one after the other. */
  const grouped = async (model: nn.Module, size: number, precision: 'float32' | 'bfloat16'): Promise<unknown[]> => {
    const infer = batcher((x: Tensor) => model.forward(x), { maxBatch: 8, invariant: true, precision });
    const answers: unknown[] = [];
    for (let i = 0; i < inputs.length; i += size)
      answers.push(...(await Promise.all(inputs.slice(i, i + size).map(input => infer.run(input)))));
    return answers;
  };
  test.each(['float32', 'bfloat16'] as const)('have the same bits for any company in %s', async precision => {
    const model = new nn.Sequential(new nn.Linear(96, 64), new nn.GELU(), new nn.Linear(64, 10));
    const alone = await grouped(model, 1, precision);
    for (const size of [2, 3, 7, 8, 33]) expect(await grouped(model, size, precision)).toEqual(alone);
  });
  test('tell fn how many rows are real, and run at one size', async () => {
    const seen: unknown[] = [];
    const infer = batcher((x: Tensor, { rows, shapes }) => (seen.push([...x.shape, rows, shapes.length]), x), {
      maxBatch: 4,
      invariant: true,
    });
    expect(await Promise.all([infer.run([1]), infer.run([2])])).toEqual([row(1), row(2)]);
    expect(await tidy(async () => (await infer.run(tensor([3]))).toArray())).toEqual([3]);
    expect(seen).toEqual([
      [4, 1, 2, 2],
      [4, 1, 1, 1],
    ]);
  });
});

test('warmUp() runs each example alone and as a full batch, in each precision', async () => {
  const seen: string[] = [];
  const layer = new nn.Linear(2, 2);
  const infer = batcher((x: Tensor) => (seen.push(`${x.shape[0]} ${layer.forward(x).dtype}`), x), { maxBatch: 4 });
  await infer.warmUp([row(0, 0)], { precisions: ['float32', 'bfloat16'], rounds: 1 });
  expect(seen).toEqual(['1 float32', '4 float32', '1 bfloat16', '4 bfloat16']);
  expect(infer.stats().requests.answered).toBe(0);
  expect((await reason(infer.warmUp([row(0)]))).message).toMatch(/linear/);
  expect(memory.stats().liveStorages).toBeGreaterThan(0);
});

test.each([
  [{ maxBatch: 0 }, /maxBatch is 0/],
  [{ maxBatch: 1.5 }, /maxBatch is 1.5/],
  [{ maxDelay: -1 }, /maxDelay is -1/],
  [{ maxDelay: NaN }, /maxDelay is NaN/],
  [{ maxQueue: 0 }, /maxQueue is 0/],
  [{ timeout: 0 }, /timeout is 0/],
  [{ timeout: NaN }, /timeout is NaN/],
  [{ concurrency: 0 }, /concurrency is 0/],
  [{ shape: [-1] }, /-1/],
  [{ dtype: 'float8' }, /float8/],
  [{ precision: 'int8' }, /precision is 'int8'/],
  [{ bucketBy: 3 }, /bucketBy is 3/],
  [{ maxbatch: 3 }, /Did you mean|no option/],
])('the options %p are refused', (options, message) => {
  expect(() => batcher(twice, options as never)).toThrow(message);
});
test.each([
  [{ timeout: -1 }, /timeout is -1/],
  [{ priority: NaN }, /priority is NaN/],
  [{ signal: {} }, /signal is an object/],
  [{ precision: 'int8' }, /precision is/],
  [{ delay: 1 }, /no option 'delay'/],
])('the options %p of a request are refused', async (options, message) => {
  expect((await reason(batcher(twice).run([1], options as never))).message).toMatch(message);
});
test('something that is no function is refused', () => {
  for (const fn of [undefined, 3, nn.Linear, {}]) expect(() => batcher(fn as never)).toThrow(ArgumentError);
});
