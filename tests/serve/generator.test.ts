import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  ClosedError,
  DTypeError,
  IndexError,
  memory,
  noGrad,
  OverloadedError,
  ShapeError,
  tensor,
  inferenceMode,
  tidy,
  zeros,
} from 'castor';
import {
  eventStream,
  generator,
  metrics,
  type CausalModel,
  type GenerateOptions,
  type GeneratorOptions,
  type Piece,
  type Tokenizer,
} from 'castor/serve';
import { Sampler } from '../../runtime/serve/sampler.ts';
import { TextSoFar } from '../../runtime/serve/tokens.ts';
import { Gpt } from '../../benchmarks/serving/gpt.ts';

const size = { vocabulary: 256, context: 128, layers: 2, width: 32, heads: 4 };
const model = new Gpt(size);
// Its weights are packed in inference mode, and stay so as long as they live.
inferenceMode(() => tidy(() => void model.forward(tensor([[1]], { dtype: 'int64' }))));
const greedy = { temperature: 0 } as const;

/** The most likely tokens after a prompt, without any cache. */
function alone(prompt: readonly number[], count: number): number[] {
  const all = [...prompt];
  while (all.length < prompt.length + count)
    tidy(() =>
      noGrad(() => {
        const logits = model.forward(tensor([all], { dtype: 'int64' }));
        all.push(logits.select(1, -1).argmax(-1).itemSync());
      }),
    );
  return all.slice(prompt.length);
}
const prompts = [
  [1, 2, 3],
  [7],
  [9, 8, 7, 6, 5, 4, 3, 2, 1],
  [100, 200],
  [5, 5, 5],
  Array.from({ length: 12 }, (_, i) => i),
];
const wanted = prompts.map(prompt => alone(prompt, 20));

/** A model whose next token is always the one after: t, t + 1, t + 2 ... */
const counting: CausalModel = (tokens, cache) => {
  const one = zeros([tokens.shape[0]!, 1, tokens.shape[1]!, 4]);
  cache.attend(0, one, one, one);
  return tensor(
    (tokens.toArraySync() as number[][]).map(row =>
      row.map(token => Array.from({ length: 64 }, (_, i) => (i === (token + 1) % 64 ? 9 : 0))),
    ),
  );
};
const made = async (
  options: GeneratorOptions,
  prompt: readonly number[],
  request: GenerateOptions,
): Promise<readonly number[]> => {
  await using texts = generator(counting, options);
  return (await texts.generate(prompt, { ...greedy, ...request }).result()).tokens;
};

describe('a generator', () => {
  for (const [tokens, maxBatch, pageSize] of [
    [640, 1, 8],
    [640, 6, 16],
    [64, 4, 8],
    [64, 6, 8],
    [36, 3, 1],
    [40, 6, 4],
  ] as const)
    test(`makes what the model alone makes: cache of ${tokens}, pages of ${pageSize}, batches of ${maxBatch}`, async () => {
      await using texts = generator(model, { maxBatch, kvCache: { tokens, pageSize } });
      const results = await Promise.all(prompts.map(p => texts.generate(p, { ...greedy, maxTokens: 20 }).result()));
      expect(results.map(result => result.tokens)).toEqual(wanted);
      expect(results.map(result => result.reason)).toEqual(prompts.map(() => 'length'));
      const { usedPages, active, queued, requests, preemptions } = texts.stats();
      expect({ usedPages, active, queued, ended: requests.length }).toEqual({
        usedPages: 0,
        active: 0,
        queued: 0,
        ended: 6,
      });
      if (tokens === 640) expect(preemptions).toBe(0);
      else if (maxBatch > 3) expect(preemptions).toBeGreaterThan(0);
    });
  test('lets requests join and leave between steps', async () => {
    await using texts = generator(model, { maxBatch: 4 });
    const long = texts.generate(prompts[0]!, { ...greedy, maxTokens: 20 });
    const order: string[] = [];
    void long.result().then(() => order.push('long'));
    for await (const _ of texts.generate(prompts[1]!, { ...greedy, maxTokens: 5 })) order.push('short');
    const late = texts.generate(prompts[3]!, { ...greedy, maxTokens: 20 });
    expect((await long.result()).tokens).toEqual(wanted[0]!);
    expect((await late.result()).tokens).toEqual(wanted[3]!);
    expect(order).toEqual([...Array(5).fill('short'), 'long']);
  });
  test('gives the tokens as they come, and all of them at the end', async () => {
    await using texts = generator(model);
    const generation = texts.generate(prompts[2]!, { ...greedy, maxTokens: 20 });
    const pieces: Piece[] = [];
    for await (const piece of generation) pieces.push(piece);
    expect(pieces).toEqual(wanted[2]!.map(token => ({ token, text: '' })));
    const again: Piece[] = [];
    for await (const piece of generation) again.push(piece);
    expect(again).toEqual(pieces);
    expect(await generation.result()).toEqual({ tokens: wanted[2]!, text: '', reason: 'length', promptTokens: 9 });
  });
  test('in invariant mode makes the same bits, whoever shares the batch', async () => {
    const seen: number[][] = [];
    const watching: CausalModel = (tokens, cache) => {
      const logits = model.forward(tokens, cache);
      seen.push(logits.select(0, 0).select(0, -1).toArraySync() as number[]);
      return logits;
    };
    await using texts = generator(watching, { maxBatch: 5, invariant: true });
    await texts.generate([1, 2, 3], { ...greedy, maxTokens: 6 }).result();
    const one = seen.splice(0);
    // Its prompt is read first, and then it is the first row of each batch.
    const first = texts.generate([1, 2, 3], { ...greedy, maxTokens: 6 });
    const others = [[7], [9, 9, 9, 9, 9, 9, 9], [4]].map(p => texts.generate(p, { ...greedy, maxTokens: 6 }).result());
    await Promise.all([first.result(), ...others]);
    for (const logits of one) expect(seen).toContainEqual(logits);
  });
  test('computes in the precision that it is told, and keeps the cache in it', async () => {
    await using texts = generator(new Gpt(size), { precision: 'bfloat16', kvCache: { tokens: 64 } });
    await texts.generate([1, 2, 3], { ...greedy, maxTokens: 4 }).result();
    // Two layers, keys and values, 64 tokens of 32 features of 2 bytes.
    expect(texts.stats().cacheBytes).toBe(2 * 2 * 64 * 32 * 2);
  });
  test('leaves the event loop free', async () => {
    await using texts = generator(new Gpt({ ...size, width: 256, layers: 4, vocabulary: 4000 }), { maxBatch: 2 });
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await texts.generate([1, 2, 3], { maxTokens: 30 }).result();
    clearInterval(timer);
    expect(turns).toBeGreaterThan(10);
  });
  test('frees the cache when it is closed, and answers what is under way before', async () => {
    memory.collect();
    const { liveBytes } = memory.stats('cpu');
    const texts = generator(model);
    const last = texts.generate([1], { ...greedy, maxTokens: 3 });
    const closed = texts.close();
    expect(() => texts.generate([1])).toThrow(ClosedError);
    await closed;
    expect((await last.result()).tokens).toHaveLength(3);
    memory.collect();
    expect(texts.stats().cacheBytes).toBe(0);
    // The collector may free what earlier tests left only now.
    expect(memory.stats('cpu').liveBytes).toBeLessThanOrEqual(liveBytes);
  });
  test('that is closed without draining fails what is under way', async () => {
    const texts = generator(model, { maxBatch: 1 });
    const both = [texts.generate([1], { maxTokens: 50 }), texts.generate([2], { maxTokens: 50 })];
    await texts.close({ drain: false });
    for (const each of both) await expect(each.result()).rejects.toThrow(ClosedError);
    expect(texts.stats().requests.closed).toBe(2);
  });
});

describe('a request', () => {
  test('ends at a token, at a text, or after maxTokens', async () => {
    expect(await made({}, [3], { maxTokens: 4 })).toEqual([4, 5, 6, 7]);
    expect(await made({}, [3], { stop: [6] })).toEqual([4, 5]);
    expect(await made({ context: 5 }, [3, 4], {})).toEqual([5, 6, 7]);
    const letters: Tokenizer = {
      encode: text => [...text].map(letter => letter.charCodeAt(0) - 64),
      decode: tokens => tokens.map(token => String.fromCharCode(64 + token)).join(''),
    };
    await using texts = generator(counting, { tokenizer: letters });
    const generation = texts.generate('ABC', { ...greedy, stop: ['GHI', 'XYZ'] });
    let text = '';
    for await (const piece of generation) {
      text += piece.text;
      expect(text).not.toMatch(/G/);
    }
    expect(text).toBe('DEF');
    expect(await generation.result()).toMatchObject({ text: 'DEF', reason: 'stop', promptTokens: 3 });
    expect((await texts.generate('A', { ...greedy, maxTokens: 6, stop: ['GHI'] }).result()).text).toBe('BCDEFG');
  });
  test('that is cancelled, aborted or left frees its pages at once', async () => {
    await using texts = generator(model, { kvCache: { tokens: 256, pageSize: 16 } });
    const cancelled = texts.generate([1, 2], { maxTokens: 200 });
    const controller = new AbortController();
    const aborted = texts.generate([1, 2], { maxTokens: 200, signal: controller.signal });
    for await (const _ of texts.generate([1, 2], { maxTokens: 200 })) break;
    expect(texts.stats().usedPages).toBe(2);
    cancelled.cancel();
    controller.abort(new Error('gone'));
    expect(texts.stats()).toMatchObject({ usedPages: 0, active: 0 });
    expect((await cancelled.result()).reason).toBe('cancelled');
    await expect(aborted.result()).rejects.toThrow('gone');
    await expect(Array.fromAsync(aborted)).rejects.toThrow('gone');
    expect(() => texts.generate([1], { signal: controller.signal })).toThrow('gone');
    expect(texts.stats().requests).toMatchObject({ cancelled: 2, aborted: 1 });
    expect((await texts.generate(prompts[0]!, { ...greedy, maxTokens: 20 }).result()).tokens).toEqual(wanted[0]!);
  });
  test('of higher priority begins first', async () => {
    await using texts = generator(counting, { maxBatch: 1 });
    const order: number[] = [];
    await Promise.all(
      [0, 0, 5].map(async (priority, i) => {
        await texts.generate([i], { priority, maxTokens: 2 }).result();
        order.push(i);
      }),
    );
    expect(order).toEqual([2, 0, 1]);
  });
  test('gives the same tokens for the same seed, beside others or alone', async () => {
    await using texts = generator(model, { maxBatch: 4 });
    const draw = (seed: number): Promise<readonly number[]> =>
      texts
        .generate([1, 2, 3], { seed, maxTokens: 12, topK: 40 })
        .result()
        .then(({ tokens }) => tokens);
    const one = await draw(1);
    const [again, other] = await Promise.all([draw(1), draw(2)]);
    expect(again).toEqual(one);
    expect(other).not.toEqual(one);
  });
  test('that the model fails for gets its error, and no other does', async () => {
    const failing: CausalModel = (tokens, cache) => {
      const logits = counting(tokens, cache);
      // The last token of one request is outside of this table.
      return logits.add(zeros([60]).indexSelect(0, tokens.flatten().to('int64')).sum().mul(0));
    };
    await using texts = generator(failing);
    const results = await Promise.allSettled(
      [[1], [57], [20]].map(prompt => texts.generate(prompt, { ...greedy, maxTokens: 6 }).result()),
    );
    expect(results.map(result => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((results[1] as PromiseRejectedResult).reason).toBeInstanceOf(IndexError);
    expect(texts.stats()).toMatchObject({ usedPages: 0, requests: { failed: 1, length: 2 } });
  });
  test('is refused when too many wait', async () => {
    const texts = generator(model, { maxBatch: 1, maxQueue: 2 });
    const taken = [texts.generate([1]), texts.generate([2])];
    expect(() => texts.generate([3])).toThrow(OverloadedError);
    taken.forEach(each => each.cancel());
    await texts.close();
  });
});

describe('wrong arguments', () => {
  test('of a request are typed errors', async () => {
    await using texts = generator(model, { context: 10 });
    const wrong: [string | readonly number[], GenerateOptions][] = [
      [[], {}],
      [Array(10).fill(1), {}],
      ['text', {}],
      [[1.5], {}],
      [[-1], {}],
      [[NaN], {}],
      [5 as never, {}],
      [[1], { maxTokens: 0 }],
      [[1], { temperature: -1 }],
      [[1], { temperature: NaN }],
      [[1], { topK: 0 }],
      [[1], { topP: 0 }],
      [[1], { topP: 1.1 }],
      [[1], { minP: 2 }],
      [[1], { repetitionPenalty: 0 }],
      [[1], { seed: -1 }],
      [[1], { stop: [''] }],
      [[1], { stop: ['no tokenizer'] }],
      [[1], { stop: [-1] }],
      [[1], { temprature: 1 } as never],
      [[1], { signal: {} as never }],
    ];
    for (const [prompt, options] of wrong) expect(() => texts.generate(prompt, options)).toThrow(ArgumentError);
  });
  test('of a generator are typed errors', () => {
    for (const options of [
      { maxBatch: 0 },
      { kvCache: { tokens: 0 } },
      { kvCache: { pageSize: 0 } },
      { maxQueue: 0 },
      { context: 0 },
      { name: 1 },
      { tokenizer: {} },
      { kvCache: { tokens: 4, pageSize: 8 } },
    ])
      expect(() => generator(model, options as never)).toThrow(ArgumentError);
    for (const wrong of [null, 5, {}, 'model']) expect(() => generator(wrong as never)).toThrow(ArgumentError);
  });
  test('of a model are errors of the request', async () => {
    const fails = async (wrong: CausalModel): Promise<unknown> => {
      await using texts = generator(wrong);
      return texts
        .generate([1, 2])
        .result()
        .then(
          () => null,
          (error: unknown) => error,
        );
    };
    expect(await fails(() => 5 as never)).toBeInstanceOf(ArgumentError);
    expect(await fails(() => zeros([1, 2]))).toBeInstanceOf(ShapeError);
    expect(await fails(() => zeros([1, 3, 8]))).toBeInstanceOf(ShapeError);
    expect(await fails(() => zeros([1, 2, 8], { dtype: 'int64' }))).toBeInstanceOf(DTypeError);
    expect(await fails((tokens, cache) => cache.attend(0, zeros([1, 2]), zeros([1, 2]), tokens))).toBeInstanceOf(
      ShapeError,
    );
  });
});

describe('a sampler', () => {
  const draws = (options: GenerateOptions, logits: readonly number[], count = 400): Map<number, number> => {
    const sampler = new Sampler({ seed: 4, ...options }, []);
    const found = new Map<number, number>();
    for (let i = 0; i < count; i++) {
      const token = sampler.next(new Float32Array(logits));
      found.set(token, (found.get(token) ?? 0) + 1);
    }
    return found;
  };
  const tokens = (options: GenerateOptions, logits: readonly number[]): number[] =>
    [...draws(options, logits).keys()].toSorted((a, b) => a - b);
  // Probabilities 0.5, 0.25, 0.15, 0.1.
  const logits = [0.5, 0.25, 0.15, 0.1].map(Math.log);

  test('draws each token as often as its probability says', () => {
    const found = draws({}, logits, 20_000);
    [0.5, 0.25, 0.15, 0.1].forEach((p, i) => expect(found.get(i)! / 20_000).toBeCloseTo(p, 1.7));
    const hot = draws({ temperature: 0.5 }, logits, 20_000);
    const squares = [0.25, 0.0625, 0.0225, 0.01];
    squares.forEach((p, i) => expect(hot.get(i)! / 20_000).toBeCloseTo(p / 0.345, 1.7));
  });
  test('keeps the most likely ones that it is told', () => {
    expect(tokens({}, logits)).toEqual([0, 1, 2, 3]);
    expect(tokens({ topK: 2 }, logits)).toEqual([0, 1]);
    expect(tokens({ topP: 0.5 }, logits)).toEqual([0]);
    expect(tokens({ topP: 0.76 }, logits)).toEqual([0, 1, 2]);
    expect(tokens({ topK: 3, topP: 0.8 }, logits)).toEqual([0, 1]);
    expect(tokens({ minP: 0.31 }, logits)).toEqual([0, 1]);
    expect(tokens({ temperature: 0 }, logits)).toEqual([0]);
    expect(tokens({ temperature: 0 }, [1, 3, 3, 2])).toEqual([1]);
    expect(tokens({ topK: 1 }, [NaN, 3, NaN, 2])).toEqual([1]);
  });
  test('keeps the same ones of a large vocabulary as sorting all of it does', () => {
    const large = Array.from({ length: 3000 }, (_, i) => 6 * Math.sin(i * i));
    const order = Array.from(large.keys()).toSorted((a, b) => large[b]! - large[a]!);
    for (const topK of [1, 10, 500, 2999]) {
      const kept = new Set(order.slice(0, topK));
      expect([...draws({ topK, temperature: 5 }, large).keys()].every(token => kept.has(token))).toBe(true);
    }
  });
  test('makes what was there before less likely', () => {
    expect(new Sampler({ temperature: 0, repetitionPenalty: 2 }, [1]).next(new Float32Array([2, 3, 1]))).toBe(0);
    expect(new Sampler({ temperature: 0, repetitionPenalty: 2 }, [1]).next(new Float32Array([-3, -2, -5]))).toBe(0);
    const repeating = new Sampler({ temperature: 0, repetitionPenalty: 10 }, []);
    expect([0, 0, 0].map(() => repeating.next(new Float32Array([3, 2, 1])))).toEqual([0, 1, 2]);
  });
});

describe('text', () => {
  const bytes: Tokenizer = {
    encode: text => new TextEncoder().encode(text),
    decode: tokens => new TextDecoder().decode(Uint8Array.from(tokens)),
  };
  const pieces = (text: string, stops: readonly string[] = []): string[] => {
    const so = new TextSoFar(bytes, stops);
    const given = [...bytes.encode(text)].map(token => so.add(token));
    return [...given, so.end()];
  };
  test('comes in whole characters', () => {
    expect(pieces('aä🦫b')).toEqual(['a', '', 'ä', '', '', '', '🦫', 'b', '']);
    expect(pieces('\uD83E').join('')).toBe('\uFFFD');
  });
  test('is held back while it may begin a stop sequence', () => {
    expect(pieces('one END two', ['END', 'E!'])).toEqual(['o', 'n', 'e', ' ', '', '', '', '', '', '', '', '']);
    expect(pieces('aEEN', ['END'])).toEqual(['a', '', 'E', '', 'EN']);
  });
});

describe('server-sent events', () => {
  const lines = async (response: Response): Promise<string[]> => (await response.text()).split('\n\n').filter(Boolean);
  test('have a line for each token, and an end', async () => {
    await using texts = generator(counting);
    const response = eventStream(texts.generate([3], { ...greedy, maxTokens: 3 }), ({ token }: Piece) => ({ token }));
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    expect(await lines(response)).toEqual([
      'data: {"token":4}',
      'data: {"token":5}',
      'data: {"token":6}',
      'data: [DONE]',
    ]);
  });
  test('tell of errors', async () => {
    async function* failing(): AsyncGenerator<number> {
      yield 1;
      throw new Error('broken');
    }
    expect(await lines(eventStream(failing()))).toEqual(['data: 1', 'event: error\ndata: {"error":"broken"}']);
  });
  test('end the generation when the client goes', async () => {
    await using texts = generator(model);
    const generation = texts.generate([3], { maxTokens: 120 });
    const reader = eventStream(generation).body!.getReader();
    await reader.read();
    await reader.cancel();
    expect((await generation.result()).reason).toBe('cancelled');
  });
});

test('metrics tell of generators', async () => {
  await using texts = generator(model, { name: 'story' });
  await texts.generate([1, 2, 3], { ...greedy, maxTokens: 5 }).result();
  const text = metrics();
  expect(text).toContain('castor_generator_tokens_total{generator="story"} 5');
  expect(text).toContain('castor_generator_prompt_tokens_total{generator="story"} 3');
  expect(text).toContain('castor_generator_requests_total{generator="story",outcome="length"} 1');
});
