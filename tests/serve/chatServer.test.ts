/** examples/chatServer.ts as clients meet it: many at once, with bad input, and when they leave early. */
import { beforeAll, describe, expect, spyOn, test } from 'bun:test';
import { manualSeed } from 'castor';
import { GPT, startChat, teach } from '../../examples/chatServer.ts';

const text = 'abcdefghijklmnopqrstuvwxyz';
let chat: ReturnType<typeof startChat>;
beforeAll(() => {
  manualSeed(1);
  const model = new GPT({ layers: 1 });
  teach(model, text, 150);
  chat = startChat(model, { maxBatch: 8, maxQueue: 40, kvCache: { tokens: 512 } });
});

const post = (path: string, body: unknown, init: RequestInit = {}): Promise<Response> =>
  fetch(new URL(path, chat.server.url), {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    ...init,
  });
const eventsOf = async (response: Response): Promise<any[]> =>
  (await response.text())
    .split('\n\n')
    .filter(Boolean)
    .map(line => (line === 'data: [DONE]' ? 'done' : JSON.parse(line.slice('data: '.length))));
const greedy = { temperature: 0 };

/** The answer of /v1/completions. */
interface Completion {
  readonly choices: readonly { readonly text: string }[];
  readonly usage: object;
}
const complete = async (body: object): Promise<Completion> =>
  (await (await post('/v1/completions', { ...greedy, ...body })).json()) as Completion;

test('many clients at once get the texts that each would get alone', async () => {
  const prompts = Array.from({ length: 5 }, (_, i) => text.slice(i, 8 + i));
  const alone = new Map<string, string>();
  for (const prompt of prompts) {
    const { choices, usage } = await complete({ prompt, max_tokens: 10 });
    expect(usage).toEqual({ prompt_tokens: 8, completion_tokens: 10, total_tokens: 18 });
    alone.set(prompt, choices[0]!.text);
  }
  expect(alone.get('abcdefgh')).toBe('ijklmnopqr');
  const ask = async (prompt: string, streamed: boolean): Promise<string> => {
    if (!streamed) return (await complete({ prompt, max_tokens: 10 })).choices[0]!.text;
    const events = await eventsOf(await post('/chat', { prompt, maxTokens: 10, ...greedy }));
    expect(events.pop()).toBe('done');
    return events.map(({ text: part }) => part).join('');
  };
  const all = Array.from({ length: 40 }, (_, i) => prompts[i % 5]!);
  const answers = await Promise.all(all.map((prompt, i) => ask(prompt, i % 2 === 0)));
  expect(answers).toEqual(all.map(prompt => alone.get(prompt)!));
  expect(chat.texts.stats()).toMatchObject({ usedPages: 0, active: 0, queued: 0 });
});

test('completions come in the form of OpenAI, at once or as events', async () => {
  const answer = await (
    await post('/v1/completions', { prompt: 'abcdefg', max_tokens: 30, stop: 'mno', ...greedy })
  ).json();
  expect(answer).toMatchObject({
    object: 'text_completion',
    choices: [{ index: 0, text: 'hijkl', finish_reason: 'stop', logprobs: null }],
  });
  const events = await eventsOf(
    await post('/v1/completions', { prompt: 'abcdefg', max_tokens: 3, stream: true, ...greedy }),
  );
  expect(events.map(event => event.choices?.[0].text ?? event)).toEqual(['h', 'i', 'j', 'done']);
});

test('a client that leaves frees its place at once', async () => {
  const controller = new AbortController();
  const response = await post('/chat', { prompt: 'abc', maxTokens: 100 }, { signal: controller.signal });
  await response.body!.getReader().read();
  controller.abort();
  for (let i = 0; i < 200 && chat.texts.stats().active > 0; i++) await Bun.sleep(5);
  expect(chat.texts.stats()).toMatchObject({ active: 0, usedPages: 0 });
});

test('a client that leaves before its completion is no failure of the model', async () => {
  const logged = spyOn(console, 'error').mockImplementation(() => {});
  const { aborted } = chat.texts.stats().requests;
  const controller = new AbortController();
  const answer = post('/v1/completions', { prompt: 'abc', max_tokens: 120 }, { signal: controller.signal });
  for (let i = 0; i < 1000 && chat.texts.stats().active === 0; i++) await Bun.sleep(1);
  controller.abort();
  await expect(answer).rejects.toThrow();
  for (let i = 0; i < 200 && chat.texts.stats().active > 0; i++) await Bun.sleep(5);
  await Bun.sleep(20);
  expect(chat.texts.stats().requests.aborted).toBe(aborted + 1);
  expect(logged.mock.calls).toEqual([]);
  logged.mockRestore();
});

describe('bad input', () => {
  test.each([
    ['no JSON', '{"prompt": ', 400],
    ['no prompt', {}, 400],
    ['a prompt that is no text', { prompt: 5 }, 400],
    ['an empty prompt', { prompt: '' }, 400],
    ['a prompt that is too long', { prompt: 'x'.repeat(200) }, 400],
    ['an option of another type', { prompt: 'a', temperature: 'hot' }, 400],
    ['an option that makes no sense', { prompt: 'a', topP: 7 }, 400],
    ['an option that is not known', { prompt: 'a', wisdom: 1 }, 400],
    ['a body that is too large', { prompt: 'x'.repeat(2 ** 17) }, 413],
  ])('of %s is told', async (_, body, status) => {
    expect((await post('/chat', body)).status).toBe(status);
  });
  test('of another method or path is told', async () => {
    expect((await fetch(new URL('/chat', chat.server.url))).status).toBe(405);
    expect((await fetch(new URL('/elsewhere', chat.server.url))).status).toBe(404);
  });
  test('does not end the server', async () => {
    expect(await (await fetch(new URL('/health', chat.server.url))).json()).toMatchObject({ status: 'ok' });
    expect((await complete({ prompt: 'abcdefg', max_tokens: 4 })).choices[0]!.text).toBe('hijk');
  });
});

test('too many requests are refused, and the others answered', async () => {
  const all = await Promise.all(
    Array.from({ length: 80 }, () => post('/v1/completions', { prompt: 'abcdefg', max_tokens: 4, ...greedy })),
  );
  const refused = all.filter(({ status }) => status === 503);
  expect(refused.length).toBeGreaterThan(0);
  expect(Number(refused[0]!.headers.get('retry-after'))).toBeGreaterThan(0);
  for (const reply of all)
    if (reply.status === 200) expect(((await reply.json()) as Completion).choices[0]!.text).toBe('hijk');
});

test('stop() ends the server, and frees the cache', async () => {
  await chat.stop();
  await expect(post('/chat', { prompt: 'a' })).rejects.toThrow();
  expect(chat.texts.stats().cacheBytes).toBe(0);
  // After this, nothing refers to the server and its model, and the collector frees them.
  chat = undefined as never;
});
