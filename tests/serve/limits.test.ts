/** Options of castor/serve beyond what can be meant: each is a typed error where it is given, and never a hang or a full memory. */
import { describe, expect, test } from 'bun:test';
import { ArgumentError, DTypeError, F, OutOfMemoryError, tensor, tidy, type Tensor } from 'castor';
import { admission, batcher, eventStream, generator } from 'castor/serve';

const causal = (tokens: Tensor): Tensor => F.oneHot(tokens, 4).to('float32');

describe('a batcher', () => {
  test.each([0, -1, 2 ** 20 + 1, 2 ** 53 - 1, NaN, 1.5])('has no batches of %d rows', maxBatch => {
    expect(() => batcher(x => x, { maxBatch, invariant: true })).toThrow(ArgumentError);
    expect(() => generator(causal, { maxBatch, invariant: true })).toThrow(ArgumentError);
  });
  test.each([0, -1, 10_001, 2 ** 53 - 1])('is not warmed up %d times', async rounds => {
    await using served = batcher((x: Tensor) => x);
    await expect(served.warmUp([[1]], { rounds })).rejects.toThrow(/rounds is .* from 1 to 10000/);
    expect(served.stats().batches).toBe(0);
  });
  test.each<[number, 'int64' | 'int32' | 'uint8', boolean]>([
    [NaN, 'int64', true],
    [Infinity, 'int64', true],
    [2 ** 70, 'int64', true],
    [-1, 'uint8', true],
    [300, 'uint8', true],
    [2 ** 31, 'int32', true],
    [-1, 'int32', false],
    [255, 'uint8', false],
    [-5, 'int64', false],
  ])('pads with %d in %s: refused %p', async (pad, dtype, refused) => {
    await using served = batcher((x: Tensor) => x, { pad, bucketBy: () => [4] });
    for (const row of [
      [1, 2],
      [1n, 2n],
    ] as const)
      await tidy(async () => {
        const answer = served.run(tensor([...row], { dtype }));
        if (refused) return void (await expect(answer).rejects.toThrow(DTypeError));
        expect([...(await answer).dataSync()].map(Number)).toEqual([1, 2, pad, pad]);
      });
    const arrays = { int64: new BigInt64Array([1n, 2n]), int32: new Int32Array([1, 2]), uint8: new Uint8Array([1, 2]) };
    const answer = served.run(arrays[dtype]);
    if (refused) await expect(answer).rejects.toThrow(DTypeError);
    else expect([...(await answer)].map(Number)).toEqual([1, 2, pad, pad]);
    // A row that fills its bucket is not padded.
    expect([...(await served.run(new Uint8Array([1, 2, 3, 4])))].map(Number)).toEqual([1, 2, 3, 4]);
    expect(served.stats().requests.refused).toBe(refused ? 3 : 0);
  });
  test('refuses a bucket that no memory holds, and goes on', async () => {
    await using served = batcher((x: Tensor) => x, { bucketBy: ([n]) => [n === 1 ? 2 ** 45 : n!] });
    await expect(served.run([1])).rejects.toThrow(OutOfMemoryError);
    expect([...(await served.run([1, 2]))]).toEqual([1, 2]);
  });
  test('refuses a Proxy of itself', () => {
    const served = new Proxy(
      batcher((x: Tensor) => x),
      {},
    );
    expect(() => served.stats()).toThrow(ArgumentError);
    expect(served.run([1])).rejects.toThrow(ArgumentError);
  });
});

describe('a generator', () => {
  test('takes a cache of any size, whose memory is made when it is used', async () => {
    await using texts = generator(causal, { kvCache: { tokens: 2 ** 50, pageSize: 16 }, context: 8 });
    expect(texts.stats().pages).toBe(2 ** 46);
    expect((await texts.generate([1], { maxTokens: 3, temperature: 0 }).result()).tokens).toEqual([1, 1, 1]);
    expect(texts.stats().usedPages).toBe(0);
  });
  test('whose layers need more memory than there is fails the request', async () => {
    const model = (tokens: Tensor, cache: { attend(...args: unknown[]): Tensor }): Tensor => {
      const x = F.oneHot(tokens, 4).to('float32').unsqueeze(1);
      return cache.attend(0, x, x, x).squeeze(1);
    };
    await using texts = generator(model as never, { kvCache: { tokens: 2 ** 50 }, context: 8 });
    await expect(texts.generate([1]).result()).rejects.toThrow(OutOfMemoryError);
  });
  test('gives a generation whose methods take no arguments', () => {
    const generation = generator(causal).generate([1], { maxTokens: 1 });
    expect(() => (generation.cancel as (x?: number) => void).call(generation, 1)).toThrow(ArgumentError);
    generation.cancel();
  });
});

test('admission() without a limit is an error', () => {
  expect(() => (admission as unknown as () => void)()).toThrow(ArgumentError);
  expect(() => admission({} as never)).toThrow(/the option maxBytes is missing/);
  expect(() => admission({ maxBytes: NaN })).toThrow(ArgumentError);
});

test('eventStream() of what gives no values is an error', () => {
  for (const values of [undefined, null, 3, 'text', [1, 2], {}, Promise.resolve([1]), { [Symbol.asyncIterator]: 1 }])
    expect(() => eventStream(values as never)).toThrow(ArgumentError);
  for (const iterator of [undefined, null, {}, 3, { next: 1 }])
    expect(() => eventStream({ [Symbol.asyncIterator]: () => iterator } as never)).toThrow(/in place of an iterator/);
});
