/** Batches whose work runs on other threads, so that the event loop stays free. */
import { expect, test } from 'bun:test';
import { getDefaultDevice, IndexError, nn, offload, randn, tensor, tidy, type Tensor } from 'castor';
import { batcher } from 'castor/serve';
import { processorEmulated } from '../processor.ts';
import { liveStorages, sized } from '../setup.ts';

const side = processorEmulated ? 200 : sized(700, 64);
/** A forward pass of many products, so that it takes a while. */
const heavy =
  (weight: Tensor, count: number) =>
  (x: Tensor): Tensor => {
    let y = weight;
    for (let i = 0; i < count; i++) y = y.matmul(weight).clamp({ min: -1, max: 1 });
    return x.add(y.mul(0).sum());
  };
/** Counts the turns of the event loop until a promise settles. */
async function turnsDuring(promise: Promise<unknown>): Promise<number> {
  let turns = 0;
  let running = true;
  const turn = (): void => {
    turns++;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await promise;
  running = false;
  return turns;
}

test('the event loop turns while a batch runs, and other requests come and go', async () => {
  await tidy(async () => {
    const weight = randn([side, side]);
    const slow = batcher(heavy(weight, 30));
    const quick = batcher((x: Tensor) => x.mul(2));
    const running = slow.run([1]);
    const turns = turnsDuring(running);
    expect(await quick.run([2])).toEqual(new Float32Array([4]));
    expect(await running).toEqual(new Float32Array([1]));
    // The emulated GPU computes on the thread that calls.
    expect(await turns).toBeGreaterThan(getDefaultDevice() === 'cpu' ? 20 : 0);
  });
});

test('with offload: false the work is done where fn is called', async () => {
  await tidy(async () => {
    const weight = randn([64, 64]);
    const [inline, queued] = [batcher(heavy(weight, 3), { offload: false }), batcher(heavy(weight, 3), { threads: 1 })];
    expect(await inline.run([3])).toEqual((await queued.run([3])) as never);
  });
});

test('a batch that nobody waits for any more is dropped, and the next one is right', async () => {
  await tidy(async () => {
    const weight = randn([side, side]);
    const layer = new nn.Linear(64, 64);
    let count = 200;
    const infer = batcher((x: Tensor) => layer.forward(heavy(weight, count)(x)));
    const rows = Array.from({ length: 3 }, () => tidy(() => randn([64]).dataSync() as Float32Array));
    const gone = rows.map(row => {
      const controller = new AbortController();
      return { controller, answer: infer.run(row, { signal: controller.signal }).catch((error: Error) => error.name) };
    });
    while (infer.stats().running === 0) await Bun.sleep(1);
    for (const { controller } of gone) controller.abort();
    expect(await Promise.all(gone.map(({ answer }) => answer))).toEqual(Array(3).fill('AbortError'));
    count = 1;
    const answers = await Promise.all(rows.map(row => infer.run(row)));
    for (const [i, row] of rows.entries()) {
      const expected = tidy(() => layer.forward(tensor(row).unsqueeze(0)).dataSync());
      expect(answers[i]!).toBeAllclose(expected as Float32Array, { atol: 1e-4 });
    }
    expect(infer.stats().requests).toMatchObject({ aborted: 3, answered: 3, failed: 0 });
  });
});

test('an error that only the kernel sees is that of its row', async () => {
  const before = liveStorages();
  {
    const table = new nn.Embedding(10, 4);
    const infer = batcher((ids: Tensor) => table.forward(ids).mul(2).sum(-1), { dtype: 'int64', maxBatch: 8 });
    const answers = await Promise.allSettled([1, 2, 11, 4, -99, 6].map(id => infer.run([id])));
    expect(answers.map(({ status }) => status[0])).toEqual(['f', 'f', 'r', 'f', 'r', 'f']);
    for (const i of [2, 4]) expect((answers[i] as PromiseRejectedResult).reason).toBeInstanceOf(IndexError);
    table.weight.dispose();
  }
  expect(liveStorages()).toBe(before);
});

test('a request inside of offload() has a batch outside of it', async () => {
  const infer = batcher((x: Tensor) => x.mul(2));
  const answers = await Promise.all([
    offload(() => infer.run([1])),
    infer.run([2]),
    offload(async () => infer.run([3])),
  ]);
  expect(answers).toEqual([2, 4, 6].map(value => new Float32Array([value])) as never);
  expect(infer.stats().batches).toBe(1);
});

test('many requests at once on several streams', async () => {
  await tidy(async () => {
    const layer = new nn.Linear(64, 32);
    const infer = batcher((x: Tensor) => layer.forward(x), {
      maxBatch: 4,
      concurrency: 3,
      threads: 1,
      precision: 'bfloat16',
    });
    const rows = Array.from({ length: 60 }, () => tidy(() => randn([64]).dataSync() as Float32Array));
    const [first, second] = [
      await Promise.all(rows.map(row => infer.run(row))),
      await Promise.all(rows.map(row => infer.run(row))),
    ];
    expect(first).toEqual(second);
  });
});
