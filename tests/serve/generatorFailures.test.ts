/** Mistakes of one request of a generator, or of its tokenizer, do not reach the other requests. */
import { describe, expect, test } from 'bun:test';
import { ArgumentError, memory, nn, tensor, zeros, type Tensor } from 'castor';
import { generator, type CausalModel, type KVCache, type Piece, type Tokenizer } from 'castor/serve';
import { TextSoFar } from '../../runtime/serve/tokens.ts';

const greedy = { temperature: 0 } as const;

class Model extends nn.Module {
  readonly bytes = new nn.Embedding(256, 32);
  readonly qkv = new nn.Linear(32, 96);
  readonly head = new nn.Linear(32, 256);
  forward(tokens: Tensor, cache: KVCache): Tensor {
    const x = this.bytes.forward(tokens);
    const [batch, time] = tokens.shape as [number, number];
    const parts = this.qkv.forward(x).reshape(batch, time, 3, 2, 16).permute(2, 0, 3, 1, 4);
    const [q, k, v] = parts.unbind() as [Tensor, Tensor, Tensor];
    return this.head.forward(cache.attend(0, q, k, v).transpose(1, 2).reshape(batch, time, 32));
  }
}

/** A model whose next token is that of a script at its position, or the letter z. */
const saying = (script: readonly number[], layer = 0): CausalModel => {
  return (tokens, cache) => {
    const one = zeros([tokens.shape[0]!, 1, tokens.shape[1]!, 4]);
    cache.attend(layer, one, one, one);
    const positions = cache.positions.toArraySync() as number[][];
    const row = (position: number): number[] =>
      Array.from({ length: 256 }, (_, i) => (i === (script[position] ?? 122) ? 9 : 0));
    return tensor(positions.map(each => each.map(position => row(Number(position)))));
  };
};
const bytes: Tokenizer = {
  encode: text => new TextEncoder().encode(text),
  decode: tokens => new TextDecoder().decode(Uint8Array.from(tokens)),
};
const outcomeOf = (result: Promise<{ tokens: readonly number[] }>): Promise<unknown> =>
  result.then(
    ({ tokens }) => tokens,
    (error: unknown) => error,
  );

describe('a request whose token does not exist', () => {
  for (const precision of [undefined, 'bfloat16'] as const)
    test(`leaves the cache whole, as the first request or later, in ${precision ?? 'float32'}`, async () => {
      const model = new Model();
      const ask = (texts: ReturnType<typeof generator>, prompt: readonly number[]) =>
        texts.generate(prompt, { ...greedy, maxTokens: 8 }).result();
      const options = { kvCache: { tokens: 512 }, ...(precision && { precision }) };
      await using good = generator(model, options);
      const wanted = (await ask(good, [72, 105])).tokens;
      await using texts = generator(model, options);
      await expect(ask(texts, [9999])).rejects.toThrow('9999');
      expect((await ask(texts, [72, 105])).tokens).toEqual(wanted);
      await expect(ask(texts, [9999])).rejects.toThrow('9999');
      expect((await ask(texts, [72, 105])).tokens).toEqual(wanted);
      const both = [ask(texts, [72, 105]), ask(texts, [1, 9999]), ask(texts, [72, 105])];
      const [first, second, third] = await Promise.all(both.map(outcomeOf));
      expect([first, third]).toEqual([wanted, wanted]);
      expect(second).toBeInstanceOf(Error);
    });
});

describe('a tokenizer that throws', () => {
  test('while texts are made fails its own request alone', async () => {
    let thrown = 0;
    const tokenizer: Tokenizer = {
      encode: text => [...text].map(() => 97),
      decode(tokens) {
        if (tokens.length === 6 && thrown++ === 0) throw new Error('no such token');
        return 'z'.repeat(tokens.length);
      },
    };
    await using texts = generator(saying([]), { tokenizer, kvCache: { tokens: 64, pageSize: 1 } });
    const all = ['a', 'aa', 'aaa', 'aaaa'].map(prompt => texts.generate(prompt, { ...greedy, maxTokens: 10 }).result());
    const answers = (await Promise.allSettled(all)).map(each =>
      each.status === 'fulfilled' ? each.value.text : (each.reason as Error).message,
    );
    expect(answers.toSorted()).toEqual(['no such token', ...Array(3).fill('z'.repeat(10))]);
    expect(texts.stats()).toMatchObject({ usedPages: 0, active: 0, requests: { failed: 1, length: 3 } });
  });
  test('when a generation is cancelled ends it with that error', async () => {
    let broken = false;
    const tokenizer: Tokenizer = {
      encode: () => [97],
      decode(tokens) {
        if (broken) throw new Error('no text');
        return 'z'.repeat(tokens.length);
      },
    };
    await using texts = generator(saying([]), { tokenizer, kvCache: { tokens: 64 } });
    const generation = texts.generate('a', { maxTokens: 60 });
    await generation[Symbol.asyncIterator]().next();
    broken = true;
    generation.cancel();
    expect(generation.ended).toBe(true);
    expect(texts.stats()).toMatchObject({ usedPages: 0, active: 0, requests: { failed: 1, cancelled: 0 } });
    await expect(generation.result()).rejects.toThrow('no text');
  });
  test('or cancels its generation, or returns no text, harms nobody', async () => {
    const cancelling: Tokenizer = { encode: () => [97], decode: tokens => (generation.cancel(), `${tokens.length}`) };
    await using texts = generator(saying([]), { tokenizer: cancelling });
    const generation = texts.generate('a', { maxTokens: 60 });
    expect(await generation.result()).toMatchObject({ reason: 'cancelled', text: '1' });
    const silent: Tokenizer = { encode: () => [97], decode: () => undefined as never };
    await using none = generator(saying([]), { tokenizer: silent });
    await expect(none.generate('a').result()).rejects.toThrow(ArgumentError);
  });
});

describe('layers', () => {
  test.each([1, 7, 2 ** 33])('may have the number %d', async layer => {
    const before = memory.stats().liveBytes;
    const texts = generator(saying([], layer), { kvCache: { tokens: 64 } });
    expect((await texts.generate([1], { maxTokens: 3 }).result()).tokens.length).toBe(3);
    expect(texts.stats().cacheBytes).toBe(2 * 64 * 4 * 4);
    await texts.close();
    expect(texts.stats().cacheBytes).toBe(0);
    expect(memory.stats().liveBytes).toBeLessThanOrEqual(before);
  });
  test.each([-1, 0.5, NaN, Infinity])('may not have the number %d', async layer => {
    await using texts = generator(saying([], layer), { kvCache: { tokens: 64 } });
    await expect(texts.generate([1]).result()).rejects.toThrow(ArgumentError);
  });
});

describe('text that is held back', () => {
  const said = async (text: string, stop: readonly string[], maxTokens = 20) => {
    await using texts = generator(saying([...bytes.encode(text)]), { tokenizer: bytes });
    const generation = texts.generate('x', { ...greedy, maxTokens, stop });
    const pieces: Piece[] = [];
    for await (const piece of generation) pieces.push(piece);
    const { tokens, text: whole } = await generation.result();
    expect(pieces.map(({ token }) => token)).toEqual([...tokens]);
    expect(pieces.map(piece => piece.text).join('')).toBe(whole);
    return { whole, texts: pieces.map(piece => piece.text) };
  };
  test('is held before a broken character that may go on with a stop sequence', async () => {
    expect((await said('ENÄ tail', ['ENÄ'])).whole).toBe('');
    expect((await said('ENÄ tail', ['NÄ'])).whole).toBe('E');
    expect((await said('ENÖ!', ['NÄ'], 5)).whole).toBe('ENÖ!');
    const so = new TextSoFar(bytes, ['N🦫']);
    expect([...bytes.encode('EN🦫!')].map(token => so.add(token)).join('')).toBe('E');
  });
  test('comes with the last token, and no token comes twice', async () => {
    expect((await said('abcdef', ['cdef'], 3)).texts).toEqual(['a', 'b', 'c']);
    expect((await said('abcdef', ['cdef'], 5)).texts).toEqual(['a', 'b', '', '', 'cde']);
    expect((await said('abÄ', [], 3)).texts).toEqual(['a', 'b', '\uFFFD']);
    expect((await said('abcdef', ['cdef'])).texts).toEqual(['a', 'b', '', '', '', '']);
  });
});
