/**
 * A small GPT behind HTTP: many clients get text at the same time, token by token. It learns one sentence first, in a few seconds. Run it
 * with `bun examples/chatServer.ts`, which asks itself three questions and ends, or with `PORT=8000 bun examples/chatServer.ts`:
 *
 *     curl -N localhost:8000/chat -d '{"prompt": "A beaver "}'
 *     curl localhost:8000/v1/completions -d '{"prompt": "A beaver ", "max_tokens": 20, "temperature": 0}'
 */
import {
  arange,
  CastorError,
  ClosedError,
  F,
  manualSeed,
  nn,
  optim,
  OverloadedError,
  stack,
  tensor,
  tidy,
} from 'castor';
import type { Tensor } from 'castor';
import { eventStream, generator, health, metrics } from 'castor/serve';
import type { GenerateOptions, GeneratorOptions, KVCache, Piece, Tokenizer } from 'castor/serve';

const CONTEXT = 128;
const SENTENCE = 'A beaver builds dams of wood and mud, and lives in the quiet water behind them.';

class Block extends nn.Module {
  readonly heads: number;
  readonly norm: nn.LayerNorm;
  readonly qkv: nn.Linear;
  readonly project: nn.Linear;
  readonly mlp: nn.Sequential;

  constructor(width: number, heads: number) {
    super();
    this.heads = heads;
    this.norm = new nn.LayerNorm(width);
    this.qkv = new nn.Linear(width, 3 * width);
    this.project = new nn.Linear(width, width);
    const [up, down] = [new nn.Linear(width, 4 * width), new nn.Linear(4 * width, width)];
    this.mlp = new nn.Sequential(new nn.LayerNorm(width), up, new nn.GELU(), down);
  }

  /** x (batch, time, width). With a cache, the queries see the tokens of earlier calls as well. */
  forward(x: Tensor, layer: number, cache: KVCache | null): Tensor {
    const [batch, time, width] = x.shape as [number, number, number];
    const parts = this.qkv.forward(this.norm.forward(x)).reshape(batch, time, 3, this.heads, width / this.heads);
    const [q, k, v] = parts.permute(2, 0, 3, 1, 4).unbind() as [Tensor, Tensor, Tensor];
    const mixed = cache?.attend(layer, q, k, v) ?? F.scaledDotProductAttention(q, k, v, { causal: true });
    const attended = x.add(this.project.forward(mixed.transpose(1, 2).reshape(batch, time, width)));
    return attended.add(this.mlp.forward(attended));
  }
}

/** A GPT on bytes. Serving needs two things of it: positions come from the cache, and so does attention. */
export class GPT extends nn.Module {
  readonly bytes: nn.Embedding;
  readonly places: nn.Embedding;
  readonly blocks: readonly Block[];
  readonly head: nn.Sequential;

  constructor({ layers = 2, width = 64, heads = 4 } = {}) {
    super();
    this.bytes = new nn.Embedding(256, width);
    this.places = new nn.Embedding(CONTEXT, width);
    this.blocks = Array.from({ length: layers }, () => new Block(width, heads));
    this.head = new nn.Sequential(new nn.LayerNorm(width), new nn.Linear(width, 256));
  }

  /** tokens (batch, time): logits (batch, time, 256) of the byte that follows each. */
  forward(tokens: Tensor, cache: KVCache | null = null): Tensor {
    const positions = cache?.positions ?? arange(tokens.shape[1]!, { dtype: 'int64' });
    const x = this.bytes.forward(tokens).add(this.places.forward(positions));
    return this.head.forward(this.blocks.reduce((y, block, layer) => block.forward(y, layer, cache), x));
  }
}

/** A byte is a token. */
export const bytes: Tokenizer = {
  encode: text => new TextEncoder().encode(text),
  decode: tokens => new TextDecoder().decode(Uint8Array.from(tokens)),
};

/** Trains a model to say a text by heart. */
export function teach(model: GPT, text: string, steps = 120): void {
  const optimizer = new optim.AdamW(model.parameters(), { lr: 3e-3 });
  const ids = tensor([...bytes.encode(text)], { dtype: 'int64' });
  for (let step = 0; step < steps; step++)
    tidy(() => {
      const logits = model.forward(stack([ids.narrow(0, 0, ids.numel - 1)]));
      optimizer.zeroGrad();
      F.crossEntropy(logits.select(0, 0), ids.narrow(0, 1, ids.numel - 1)).backward();
      optimizer.step();
    });
  optimizer.zeroGrad();
}

/** The body of /chat: a prompt, and options of generate(). Returns null if it is something else. */
async function requestOf(request: Request): Promise<{ prompt: string; options: GenerateOptions } | null> {
  const body: unknown = await request.json().catch(() => null);
  if (typeof body !== 'object' || body === null || !('prompt' in body) || typeof body.prompt !== 'string') return null;
  const { prompt, ...options } = body;
  return { prompt, options };
}

/** The options of OpenAI's completions that have a counterpart here, by its name. */
const openAi: Record<string, keyof GenerateOptions> = {
  ...{ max_tokens: 'maxTokens', temperature: 'temperature', top_p: 'topP', seed: 'seed', stop: 'stop' },
};
function fromOpenAi(options: Record<string, unknown>): GenerateOptions {
  const known = Object.entries(options).filter(([name, value]) => name in openAi && value !== null);
  const renamed = known.map(([name, value]) => [openAi[name], name === 'stop' ? [value].flat() : value]);
  return { maxTokens: 16, ...Object.fromEntries(renamed) };
}

const refused = (status: number, message: string, headers = {}): Response =>
  Response.json({ error: { message } }, { status, headers });
/** Tells the client about mistakes in its request, and writes errors of the model to the log. */
function failure(error: unknown): Response {
  if (error instanceof OverloadedError)
    return refused(503, 'too many requests wait', { 'retry-after': `${error.retryAfter}` });
  if (error instanceof ClosedError) return refused(503, 'the server stops', { connection: 'close' });
  if (error instanceof CastorError && error.op === 'TextGenerator.generate') return refused(400, error.message);
  if (error instanceof Error && error.name === 'AbortError') return refused(499, 'the client has left');
  console.error(error);
  return refused(500, 'the model failed');
}

/** Starts a server. stop() ends what is being made, and then the server. */
export function startChat(model: GPT, { port = 0, ...options }: GeneratorOptions & { port?: number } = {}) {
  const texts = generator(model, { name: 'gpt', tokenizer: bytes, context: CONTEXT, ...options });

  const chat = async (request: Request): Promise<Response> => {
    const asked = await requestOf(request);
    if (asked === null) return refused(400, 'send {"prompt": "..."} as JSON');
    const generation = texts.generate(asked.prompt, { ...asked.options, signal: request.signal });
    return eventStream(generation, ({ text }: Piece) => ({ text }));
  };

  let completions = 0;
  const complete = async (request: Request): Promise<Response> => {
    const asked = await requestOf(request);
    if (asked === null) return refused(400, 'send {"prompt": "..."} as JSON');
    const { stream, ...others } = asked.options as { stream?: boolean };
    const about = {
      id: `cmpl-${++completions}`,
      object: 'text_completion',
      created: Math.floor(Date.now() / 1000),
      model: 'gpt',
    };
    const choice = (text: string, reason: string | null) => [{ index: 0, text, logprobs: null, finish_reason: reason }];
    const generation = texts.generate(asked.prompt, { ...fromOpenAi(others), signal: request.signal });
    if (stream) return eventStream(generation, ({ text }: Piece) => ({ ...about, choices: choice(text, null) }));
    const { text, tokens, promptTokens, reason } = await generation.result();
    const usage = {
      ...{ prompt_tokens: promptTokens, completion_tokens: tokens.length, total_tokens: promptTokens + tokens.length },
    };
    return Response.json({ ...about, choices: choice(text, reason), usage });
  };

  const post = (answer: (request: Request) => Promise<Response>) => (request: Request) =>
    request.method === 'POST' ? answer(request).catch(failure) : refused(405, 'send a POST');
  const server = Bun.serve({
    port,
    maxRequestBodySize: 2 ** 16,
    idleTimeout: 60,
    routes: {
      '/chat': post(chat),
      '/v1/completions': post(complete),
      '/health': () => Response.json(health()),
      '/metrics': () => new Response(metrics(), { headers: { 'content-type': 'text/plain; version=0.0.4' } }),
    },
    fetch: () => refused(404, 'there are /chat, /v1/completions, /health and /metrics'),
  });
  const stop = async (): Promise<void> => {
    await texts.close();
    await Promise.race([server.stop(), Bun.sleep(1000)]);
    await server.stop(true);
  };
  return { server, texts, stop };
}

if (import.meta.main) {
  manualSeed(0);
  const model = new GPT();
  teach(model, SENTENCE);
  const port = Number(process.env.PORT ?? 0);
  const { server, texts, stop } = startChat(model, { port });
  const ask = async (path: string, body: object): Promise<string> =>
    (await fetch(new URL(path, server.url), { method: 'POST', body: JSON.stringify(body) })).text();
  if (port > 0) {
    console.log(`castor: serving at ${server.url}`);
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void stop());
  } else {
    const [streamed, ...completed] = await Promise.all([
      ask('/chat', { prompt: 'A beaver ', temperature: 0, stop: [','] }),
      ask('/v1/completions', { prompt: 'A beaver ', max_tokens: 60, temperature: 0, stop: '.' }),
      ask('/v1/completions', { prompt: SENTENCE.slice(0, 39), max_tokens: 10, temperature: 0 }),
    ]);
    console.log(streamed.slice(0, 60));
    for (const text of completed) console.log(JSON.parse(text).choices[0]);
    console.log(texts.stats().requests);
    await stop();
  }
}

// Expected: the model goes on with the sentence that it has learnt.
