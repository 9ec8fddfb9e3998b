/** Captured batches of models that change between batches and while they are captured, and of batchers that close while they are. */
import { afterEach, describe, expect, test } from 'bun:test';
import { F, getDefaultDevice, IndexError, memory, nn, noGrad, offload, randn, type Tensor, zeros } from 'castor';
import { batcher as makeBatcher, ClosedError, type Batcher } from 'castor/serve';
import { freeModels, mlp, row } from './models.ts';

const device = getDefaultDevice();
const made: { close(): Promise<void> }[] = [];
type Served = Batcher<any>;
const batcher = (fn: (x: any) => any, options: Parameters<typeof makeBatcher>[1] = {}): Served => {
  const served = makeBatcher(fn, options) as Served;
  made.push(served);
  return served;
};
afterEach(async () => {
  memory.setLimit(0, device);
  for (const served of made.splice(0)) await served.close();
  freeModels();
});
const captures = (served: Served): NonNullable<ReturnType<Served['stats']>['captures']> => served.stats().captures!;
const scale = (model: nn.Sequential): unknown => noGrad(() => (model.layers[0] as nn.Linear).weight.mul_(1.1));

describe('a model that changes', () => {
  test.each([undefined, 'bfloat16'] as const)('before every batch is captured once it rests: %p', async precision => {
    const model = mlp();
    for (const offloaded of [false, true]) {
      const options = { offload: offloaded, ...(precision && { precision }) };
      const [served, other] = [true, false].map(capture => batcher(x => model.forward(x), { ...options, capture })) as [
        Served,
        Served,
      ];
      const same = async (i: number): Promise<void> =>
        expect(await served.run(row(i))).toBeAllclose(await other.run(row(i)), { rtol: 1e-4, atol: 1e-4 });
      for (let i = 0; i < 6; i++) {
        scale(model);
        await same(i);
      }
      // A GPU reads the weights as they are; the CPU reads packed copies, and calls fn after each change.
      const { replays } = captures(served);
      for (let i = 0; i < 3; i++) await same(i);
      expect(captures(served)).toMatchObject({ captured: 1, refused: 0, reason: null, replays: replays + 3 });
    }
  });
  test('after the batches of one precision is captured in the others as well', async () => {
    const model = mlp();
    const served = batcher(x => model.forward(x), { capture: true });
    for (const precision of ['float32', 'bfloat16', 'float16'] as const)
      for (let i = 0; i < 2; i++) {
        await served.run(row(i), { precision });
        scale(model);
      }
    for (let i = 0; i < 3; i++)
      for (const precision of ['float32', 'bfloat16', 'float16'] as const) await served.run(row(i), { precision });
    expect(captures(served)).toMatchObject({ captured: 3, refused: 0, reason: null });
    expect(captures(served).replays).toBeGreaterThanOrEqual(6);
  });
  test('in the work of another stream is read as it is after that', async () => {
    const model = mlp();
    const [served, other] = [true, false].map(capture =>
      batcher(x => model.forward(x), { capture, offload: true }),
    ) as [Served, Served];
    for (let i = 0; i < 4; i++) {
      const writes = offload(() => scale(model));
      const answer = await served.run(row(i));
      await writes;
      expect(answer).toBeAllclose(await other.run(row(i)), { rtol: 1e-4, atol: 1e-4 });
    }
  });
  test('in fn itself is no model to capture, which is said and costs no graph for each batch', async () => {
    for (const change of [
      (model: nn.Module) => void model.train(!model.training),
      (model: nn.Module) => void scale(model as nn.Sequential),
    ]) {
      const model = mlp();
      let calls = 0;
      const served = batcher(
        x => {
          calls++;
          const y = model.forward(x);
          change(model);
          return y;
        },
        { capture: true, precision: 'bfloat16' },
      );
      for (let i = 0; i < 12; i++) await served.run(row(i));
      expect(captures(served)).toMatchObject({ captured: 0, replays: 0, refused: 1 });
      expect(captures(served).reason).toMatch(/fn itself changes|no copy yet/);
      expect(calls).toBeLessThanOrEqual(18);
      expect(memory.stats(device).graphBytes).toBe(0);
    }
  });
  test('in fn for its duration is captured', async () => {
    const dropout = new nn.Dropout(0.5);
    const served = batcher(x => dropout.eval().forward(x).add(dropout.train().forward(x).mul(0)), { capture: true });
    for (let i = 0; i < 5; i++) expect(await served.run([i, 1])).toEqual(new Float32Array([i, 1]));
    expect(captures(served)).toMatchObject({ captured: 1, refused: 0, replays: 3 });
  });
  test('fn that fails at first is captured once it works', async () => {
    let broken = true;
    const served = batcher(
      (x: Tensor) => {
        if (broken) throw new Error('broken');
        return x.mul(2);
      },
      { capture: true },
    );
    for (let i = 0; i < 4; i++) await expect(served.run([1])).rejects.toThrow('broken');
    broken = false;
    for (let i = 0; i < 4; i++) expect(await served.run([i])).toEqual(new Float32Array([2 * i]));
    expect(captures(served)).toMatchObject({ captured: 1, refused: 0, replays: 2 });
  });
});

test('without retries a failure of the graph is that of the batch, and the graph goes on', async () => {
  const table = nn.Parameter(randn([5, 3]));
  const served = batcher(ids => F.embedding(ids, table), { capture: true, dtype: 'int64', retry: false });
  const ask = (ids: number[]): Promise<PromiseSettledResult<unknown>[]> =>
    Promise.allSettled(ids.map(id => served.run([id])));
  for (let i = 0; i < 3; i++) await ask([0, 1]);
  const failed = (await ask([0, 9])) as PromiseRejectedResult[];
  for (const { reason } of failed) expect(reason).toBeInstanceOf(IndexError);
  expect((await ask([4, 1])).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  expect(captures(served)).toMatchObject({ captured: 1, replays: 3 });
  table.dispose();
});

test('a capture for which there was no memory is tried again, and other failures are not', async () => {
  for (const full of [true, false]) {
    let calls = 0;
    const served = batcher(
      (x: Tensor) => {
        // The third call is the one that is captured.
        if (++calls === 3) {
          if (!full) throw new Error('broken');
          zeros([2 ** 28]);
        }
        return x.mul(2);
      },
      { capture: true },
    );
    memory.setLimit(memory.stats(device).liveBytes + 2 ** 26, device);
    for (let i = 0; i < 50; i++) await served.run([i]);
    expect(captures(served)).toMatchObject({
      captured: 0,
      refused: 1,
      reason: expect.stringMatching(full ? /limit/ : /broken/),
    });
    memory.setLimit(0, device);
    for (let i = 0; i < 60; i++) expect(await served.run([i])).toEqual(new Float32Array([2 * i]));
    expect(captures(served)).toMatchObject(full ? { captured: 1, refused: 0 } : { captured: 0, refused: 1 });
  }
});

describe('a batcher that closes', () => {
  test.each([true, false])('while it warms up keeps no graph, with offload: %p', async offloaded => {
    const model = mlp();
    const served = batcher(x => model.forward(x), { capture: true, maxBatch: 8, offload: offloaded });
    await served.run(row(0));
    const warm = served.warmUp([row(0)], { rounds: 50 }).then(
      () => null,
      (error: unknown) => error,
    );
    while (captures(served).captured < 3) await Bun.sleep(0);
    await served.close();
    expect(await warm).toBeInstanceOf(ClosedError);
    expect(captures(served).captured).toBe(0);
    expect(memory.stats(device).graphBytes).toBe(0);
  });
  test('is not warmed up again', async () => {
    const served = batcher(x => x.mul(2), { capture: true });
    await served.close();
    await expect(served.warmUp([[1, 2]])).rejects.toThrow(ClosedError);
    expect(captures(served).captured).toBe(0);
  });
  test('answers what waits before close() resolves, also while it warms up', async () => {
    const served = batcher((x: Tensor) => x.mul(randn([1]).mul(0).add(2)), { capture: true, maxBatch: 4 });
    const warm = served.warmUp([[1, 2]], { rounds: 20 }).catch(() => null);
    const answer = served.run([3, 4]);
    await served.close();
    expect(await answer).toEqual(new Float32Array([6, 8]));
    await warm;
    expect(memory.stats(device).graphBytes).toBe(0);
  });
});
