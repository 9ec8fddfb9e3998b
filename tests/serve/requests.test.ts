/** The meaning of requests and options: data of the time of the call, limits, and logits that are no numbers. */
import { describe, expect, test } from 'bun:test';
import { ArgumentError, ShapeError, memory, offload, tensor, tidy, zeros, type Tensor } from 'castor';
import { batcher, generator, type GenerateOptions } from 'castor/serve';
import { Sampler } from '../../runtime/serve/sampler.ts';

describe('tensors that a batcher was given', () => {
  const doubled = (x: Tensor): Tensor => x.mul(2);
  const values = (answers: readonly Tensor[]): unknown[] => answers.map(answer => answer.toArraySync());

  test('are read as they were at the time of the call', async () => {
    await using serve = batcher(doubled);
    await tidy(async () => {
      const x = zeros([2]);
      const first = serve.run(x);
      x.add_(1);
      const second = serve.run({ x } as never).catch(() => null);
      const third = serve.run(x);
      x.fill_(9);
      expect(values([await first, await third])).toEqual([
        [0, 0],
        [2, 2],
      ]);
      await second;
    });
  });
  test('may be disposed, be a view, or end with their scope', async () => {
    await using serve = batcher(doubled, { maxDelay: 5 });
    await tidy(async () => {
      const x = tensor([1, 2]);
      const one = serve.run(x);
      x.dispose();
      const all = tensor([
        [1, 2, 3],
        [4, 5, 6],
      ]);
      const column = serve.run(all.select(1, 1));
      all.zero_();
      const scoped = tidy(() => serve.run(tensor([7, 8])));
      const grads = serve.run(tensor([3, 3], { requiresGrad: true }));
      expect(values(await Promise.all([one, column, scoped, grads]))).toEqual([
        [2, 4],
        [4, 10],
        [14, 16],
        [6, 6],
      ]);
    });
  });
  test('may be an array whose memory went elsewhere: it has no elements any more', async () => {
    const moved = new Float32Array([1, 2]);
    structuredClone(moved.buffer, { transfer: [moved.buffer] });
    await using any = batcher(doubled);
    expect(await any.run(moved)).toHaveLength(0);
    await any.warmUp([moved]);
    await using two = batcher(doubled, { shape: [2] });
    await expect(two.run(moved)).rejects.toThrow(ShapeError);
  });
  test('may come by name, and from work on other threads', async () => {
    await using serve = batcher(({ a, b }: { a: Tensor; b: Tensor }) => a.add(b));
    await tidy(async () => {
      const [a, b] = [tensor([1]), tensor([2])];
      const sum = serve.run({ a, b });
      b.fill_(50);
      expect((await sum).toArraySync()).toEqual([3]);
      const pending = await offload(() => {
        const x = zeros([1]).add(4);
        const answer = serve.run({ a: x, b: x });
        x.fill_(50);
        return { answer };
      });
      expect((await pending.answer).toArraySync()).toEqual([8]);
    });
  });
  test('leave nothing behind, answered or not', async () => {
    await tidy(async () => {
      const serve = batcher(
        (x: Tensor) => {
          if ((x.toArraySync() as number[][]).some(([first]) => first === 5)) throw new Error('five');
          return x.sum(-1);
        },
        { maxQueue: 8 },
      );
      const inputs = Array.from({ length: 10 }, (_, i) => tensor(new Float32Array(1000).fill(i)));
      const before = memory.stats().liveBytes;
      const controller = new AbortController();
      const all = inputs.map((x, i) => serve.run(x, i === 2 ? { signal: controller.signal } : {}));
      controller.abort();
      const settled = await Promise.allSettled(all);
      expect(settled.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))).toEqual([2, 5, 8, 9]);
      await serve.close();
      // The answers are small. Each copy of an input has 4000 bytes.
      expect(memory.stats().liveBytes - before).toBeLessThan(1000);
    });
  });
});

describe('limits', () => {
  const identity = (x: Tensor): Tensor => x;
  test.each([1e12, Infinity, 2 ** 31])('a maxDelay of %d ms waits for the batch to be full', async maxDelay => {
    const serve = batcher(identity, { maxDelay, maxBatch: 2 });
    const first = serve.run([1]);
    await Bun.sleep(20);
    expect(serve.stats().batches).toBe(0);
    expect(await Promise.all([first, serve.run([2])])).toEqual([new Float32Array([1]), new Float32Array([2])]);
    const last = serve.run([3]);
    await serve.close();
    expect(await last).toEqual(new Float32Array([3]));
  });
  test.each([0, -1, 1.5, NaN, Infinity, 1025, '2'])('threads: %p is refused when it is made', threads => {
    expect(() => batcher(identity, { threads: threads as number })).toThrow(ArgumentError);
    expect(() => generator(() => zeros([1, 1, 4]), { threads: threads as number })).toThrow(ArgumentError);
  });
  test.each([0, -1, 2.5, NaN])('context: %p is refused', context => {
    expect(() => generator(() => zeros([1, 1, 4]), { context })).toThrow(ArgumentError);
  });
  test('the largest number of threads is taken', async () => {
    await using serve = batcher(identity, { threads: 1024 });
    expect(await serve.run([1])).toEqual(new Float32Array([1]));
  });
});

describe('logits that are NaN', () => {
  const modes: GenerateOptions[] = [
    ...[{}, { temperature: 0 }, { topK: 3 }, { topP: 0.9 }, { minP: 0.1 }, { topK: 3, topP: 0.9, minP: 0.01 }],
    ...[{ repetitionPenalty: 2 }, { repetitionPenalty: Infinity, temperature: 0 }],
  ];
  test.each(modes)('are never chosen: %j', options => {
    const { NaN: no } = Number;
    for (const logits of [
      [no, 10, 2, no],
      [2, no, 10, no],
      [no, no, no, 1],
      [0, no, -Infinity, no],
    ]) {
      const sampler = new Sampler({ seed: 1, ...options }, [0, 1, 2, 3]);
      for (let i = 0; i < 30; i++) {
        const token = sampler.next(new Float32Array(logits));
        expect(Number.isFinite(logits[token]!)).toBe(true);
      }
    }
  });
  test('for every token fail the request, and no other', async () => {
    for (const nothing of [NaN, -Infinity])
      for (const temperature of [0, 1]) {
        const sampler = new Sampler({ temperature }, []);
        expect(() => sampler.next(new Float32Array(4).fill(nothing))).toThrow(ArgumentError);
      }
    await using texts = generator(tokens =>
      zeros([...tokens.shape, 4]).add(tokens.to('float32').sub(1).unsqueeze(-1).log().mul(0)),
    );
    const [good, bad] = [[2], [0]].map(prompt => texts.generate(prompt, { temperature: 0, maxTokens: 1 }).result());
    expect((await good!).tokens).toEqual([0]);
    await expect(bad!).rejects.toThrow('no token can be chosen');
  });
});
