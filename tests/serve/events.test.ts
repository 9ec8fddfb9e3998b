/** Streams of a generation: who leaves, when, and what comes of it. */
import { describe, expect, test } from 'bun:test';
import { tensor, zeros } from 'castor';
import { batcher, eventStream, generator, health, type CausalModel, type Piece } from 'castor/serve';

/** A model that makes the token 7 for ever. */
const sevens: CausalModel = (tokens, cache) => {
  const [batch, time] = tokens.shape as [number, number];
  const one = zeros([batch, 1, time, 4]);
  cache.attend(0, one, one, one);
  return tensor(Array.from({ length: 16 }, (_, i) => (i === 7 ? 99 : 0)))
    .reshape(1, 1, 16)
    .add(zeros([batch, time, 1]));
};
const long = { kvCache: { tokens: 4096 }, maxBatch: 1 };
/** One generation that runs, and one that waits for its place. */
const queued = (texts: ReturnType<typeof generator>) => {
  const running = texts.generate([1], { maxTokens: 4000 });
  return { running, waiting: texts.generate([1], { maxTokens: 4000 }) };
};

describe('whoever leaves', () => {
  test('while the request waits takes it out of the queue at once', async () => {
    await using texts = generator(sevens, long);
    const { running, waiting } = queued(texts);
    const reader = eventStream(waiting).body!.getReader();
    const read = reader.read();
    await Bun.sleep(5);
    await reader.cancel();
    expect({ ended: waiting.ended, queued: texts.stats().queued }).toEqual({ ended: true, queued: 0 });
    expect((await read).done).toBe(true);
    running.cancel();
  });
  test('before anything was read cancels, too', async () => {
    await using texts = generator(sevens, long);
    const { running, waiting } = queued(texts);
    await waiting[Symbol.asyncIterator]().return!();
    expect(waiting.ended).toBe(true);
    running.cancel();
  });
  test('with return() or throw() ends every next() that waits', async () => {
    await using texts = generator(sevens, long);
    const { running, waiting } = queued(texts);
    const iterator = waiting[Symbol.asyncIterator]();
    const pending = [iterator.next(), iterator.next()];
    expect(await iterator.return!()).toEqual({ done: true, value: undefined });
    expect(waiting.ended).toBe(true);
    for (const next of pending) expect(await next).toEqual({ done: true, value: undefined });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    const other = running[Symbol.asyncIterator]();
    await expect(other.throw!(new Error('enough'))).rejects.toThrow('enough');
    expect((await running.result()).reason).toBe('cancelled');
  });
});

test('next() that are called at once get the pieces in order', async () => {
  await using texts = generator(sevens);
  const iterator = texts.generate([1], { maxTokens: 3 })[Symbol.asyncIterator]();
  const all = await Promise.all([1, 2, 3, 4, 5].map(() => iterator.next()));
  expect(all.map(({ done, value }) => (done ? null : (value as Piece).token))).toEqual([7, 7, 7, null, null]);
});

describe('a stream of events', () => {
  test.each([
    [
      'a map that throws',
      () => {
        throw new Error('no map');
      },
      'no map',
    ],
    ['a value that is no JSON', () => 1n, 'BigInt'],
  ])('with %s tells of it, and cancels the generation', async (_, map, message) => {
    await using texts = generator(sevens, long);
    const generation = texts.generate([1], { maxTokens: 4000 });
    const text = await eventStream(generation, map).text();
    expect(text).toStartWith('event: error\n');
    expect(text).toContain(message);
    expect((await generation.result()).reason).toBe('cancelled');
  });
  test('has a line for each line of a text', async () => {
    async function* texts(): AsyncGenerator<string | undefined> {
      yield* ['a\nb', 'c\r\nd\re', '', 'x\n\ndata: [DONE]', undefined];
    }
    expect(await eventStream(texts()).text()).toBe(
      'data: a\ndata: b\n\ndata: c\ndata: d\ndata: e\n\ndata: \n\ndata: x\ndata: \ndata: data: [DONE]\n\ndata: null\n\ndata: [DONE]\n\n',
    );
  });
});

/** Values that break whoever looks at them. */
const throwing = (): never => {
  throw new Error('a trap');
};
const odd: [string, unknown][] = [
  ['undefined', undefined],
  ['null', null],
  ['a text', 'text'],
  ['a symbol', Symbol('s')],
  ['an object without a prototype', Object.create(null)],
  ['an object whose toString throws', { toString: throwing }],
  ['an Error whose message throws', Object.defineProperty(new Error(), 'message', { get: throwing })],
  ['an Error whose message is a symbol', Object.assign(new Error(), { message: Symbol('s') })],
  ['a Proxy whose traps throw', new Proxy({}, { get: throwing, has: throwing, getPrototypeOf: throwing })],
];
/** Is it that very value? The messages of expect() would look into it. */
const same = (a: unknown, b: unknown): void => expect(a === b).toBe(true);
const thrownBy = (promise: Promise<unknown>): Promise<{ thrown: unknown } | null> =>
  promise.then(
    () => null,
    (thrown: unknown) => ({ thrown }),
  );

describe.each(odd)('a model that throws %s', (_, value) => {
  test('fails the request of a generator, and no other', async () => {
    let broken = true;
    await using texts = generator((tokens, cache) => {
      if (broken) throw value;
      return sevens(tokens, cache);
    });
    const generation = texts.generate([1], { maxTokens: 2 });
    const loop = async (): Promise<void> => {
      for await (const piece of generation) expect(piece).toBeNull();
    };
    const [read, result] = await Promise.all([thrownBy(loop()), thrownBy(generation.result())]);
    same(read!.thrown, value);
    same(result!.thrown, value);
    expect(await eventStream(generation).text()).toStartWith('event: error\ndata: {"error":');
    expect(typeof health().lastError!.message).toBe('string');
    broken = false;
    expect((await texts.generate([1], { maxTokens: 2 }).result()).tokens).toEqual([7, 7]);
    expect(texts.stats().requests).toMatchObject({ failed: 1, length: 1 });
  });
  test('fails the request of a batcher, and no other', async () => {
    await using serve = batcher((x: ReturnType<typeof zeros>) => {
      if ((x.toArraySync() as number[][]).some(([first]) => first === 1)) throw value;
      return x;
    });
    const [good, bad] = await Promise.all([serve.run([0]), thrownBy(serve.run([1]))]);
    expect(good).toEqual(new Float32Array([0]));
    same(bad!.thrown, value);
    expect(await serve.run([2])).toEqual(new Float32Array([2]));
  });
});
