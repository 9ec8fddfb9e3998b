/** examples/server.ts as clients meet it: under load, with bad input, and when it stops. */
import { afterAll, describe, expect, test } from 'bun:test';
import { connect } from 'node:net';
import { manualSeed, nn, type Tensor } from 'castor';
import { startServer, type ServerOptions } from '../../examples/server.ts';

/** A model whose behaviour the first feature chooses. */
class Model extends nn.Module {
  layer = new nn.Linear(4, 3);
  gate: Promise<void> | null = null;
  forward(x: Tensor): Tensor {
    if ((x.toArraySync() as number[][]).some(([first]) => first === 666)) throw new Error('the model is broken');
    return this.layer.forward(x);
  }
}

const running: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const stop of running.splice(0)) await stop();
  started = undefined;
});
async function start(options: Partial<ServerOptions> = {}) {
  manualSeed(0);
  const started = await startServer({ model: new Model(), ...options });
  running.push(started.stop);
  const post = (body: RequestInit['body'], init: RequestInit = {}): Promise<Response> =>
    fetch(new URL('/classify', started.server.url), { method: 'POST', body: body!, ...init });
  const ask = (features: unknown, precision?: string): Promise<Response> =>
    post(JSON.stringify({ features, precision }));
  return { ...started, post, ask };
}
const fine = [1, -2, 3, 0.5];
/** A server for several tests. */
let started: ReturnType<typeof start> | undefined;

test('answers under load are those of lone requests, in three precisions', async () => {
  const { ask, classify, server } = await start();
  const precisions = ['float32', 'bfloat16', 'float16'];
  const rows = Array.from({ length: 20 }, (_, i) => fine.map(x => x * (1 + i / 8)));
  const lone = new Map<string, unknown>();
  for (const precision of precisions)
    for (const row of rows) lone.set(`${precision} ${row}`, await (await ask(row, precision)).json());
  const before = classify.stats().batches;
  for (let round = 0; round < 10; round++) {
    const checks = Array.from({ length: 64 }, async (_, i) => {
      const [row, precision] = [rows[(i * 7 + round) % rows.length]!, precisions[i % 3]!];
      const reply = await ask(row, precision);
      expect([reply.status, await reply.json()]).toEqual([200, lone.get(`${precision} ${row}`)]);
    });
    await Promise.all(checks);
  }
  expect(classify.stats().requests.answered).toBe(60 + 640);
  expect(classify.stats().batches - before).toBeLessThan(640);
  const text = await (await fetch(new URL('/metrics', server.url))).text();
  expect(text).toContain('castor_batcher_requests_total{batcher="classifier",outcome="answered"} 700');
});

describe('bad input has a clear answer, and the server lives on:', () => {
  const message = async (reply: Response): Promise<[number, string]> => [
    reply.status,
    ((await reply.json()) as { error: string }).error,
  ];
  test.each([
    ['no JSON', '{"features": [1, 2', 400, /not a JSON object/],
    ['an empty body', '', 400, /not a JSON object/],
    ['null', 'null', 400, /not a JSON object/],
    ['a number', '3', 400, /4 finite numbers/],
    ['no features', '{}', 400, /4 finite numbers/],
    ['too few', '{"features": [1]}', 400, /4 finite numbers/],
    ['too many', '{"features": [1, 2, 3, 4, 5]}', 400, /4 finite numbers/],
    ['nested', '{"features": [[1, 2, 3, 4]]}', 400, /4 finite numbers/],
    ['texts', '{"features": ["1", 2, 3, 4]}', 400, /4 finite numbers/],
    ['null in place of NaN', '{"features": [null, 2, 3, 4]}', 400, /4 finite numbers/],
    ['an infinity', '{"features": [1e999, 2, 3, 4]}', 400, /4 finite numbers/],
    ['an unknown precision', '{"features": [1, 2, 3, 4], "precision": "int8"}', 400, /precision must be/],
  ])('%s', async (_, body, status, pattern) => {
    const { post, ask } = await shared();
    const [code, text] = await message(await post(body));
    expect([code, text]).toEqual([status, expect.stringMatching(pattern)]);
    expect((await ask(fine)).status).toBe(200);
  });
  const shared = (): ReturnType<typeof start> => (started ??= start());
  const binary = { headers: { 'content-type': 'application/octet-stream' } };

  test('binary bodies of another length, and with NaN', async () => {
    const { post } = await shared();
    const good = await post(new Float32Array(fine), binary);
    expect([good.status, await good.json()]).toEqual([
      200,
      await (await post(JSON.stringify({ features: fine }))).json(),
    ]);
    expect(await message(await post(new Float32Array(5), binary))).toEqual([400, 'the body has 20 bytes, not 16']);
    expect(await message(await post(new Uint8Array(3), binary))).toEqual([400, 'the body has 3 bytes, not 16']);
    expect((await message(await post(new Float32Array([NaN, 1, 2, 3]), binary)))[0]).toBe(400);
  });
  test('bodies that are too large, also without their length', async () => {
    const { post, ask } = await shared();
    expect((await post('x'.repeat(100_000))).status).toBe(413);
    const endless = new ReadableStream({
      pull: controller => controller.enqueue(new TextEncoder().encode('[1,'.repeat(2000))),
    });
    const status = await post(endless).then(
      reply => reply.status,
      () => 'closed',
    );
    expect([413, 'closed']).toContain(status);
    expect((await ask(fine)).status).toBe(200);
  });
  test('another method and another path', async () => {
    const { server } = await shared();
    expect((await fetch(new URL('/classify', server.url))).status).toBe(405);
    expect((await fetch(new URL('/nothing', server.url))).status).toBe(404);
  });
  test('a body that does not arrive', async () => {
    const { server, ask } = await start({ bodyTimeout: 50 });
    const reply = await new Promise<string>(resolve => {
      const socket = connect(server.port!, 'localhost', () =>
        socket.write('POST /classify HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60\r\n\r\n{"features"'),
      );
      socket.on('data', data => {
        resolve(String(data));
        socket.destroy();
      });
    });
    expect(reply).toMatch(/^HTTP\/1.1 408 .*did not arrive within 50 ms/s);
    expect((await ask(fine)).status).toBe(200);
  });
  test('a model that throws for one row: only that client sees it', async () => {
    const { ask, classify, server } = await shared();
    const logged: unknown[] = [];
    const { error } = console;
    console.error = (...args: unknown[]) => void logged.push(args[0]);
    try {
      const replies = await Promise.all([fine, [666, 0, 0, 0], fine, fine].map(row => ask(row)));
      expect(replies.map(({ status }) => status)).toEqual([200, 500, 200, 200]);
      expect(await message(replies[1]!)).toEqual([500, 'the model failed']);
      expect(String(logged[0])).toContain('the model is broken');
    } finally {
      console.error = error;
    }
    const health = (await (await fetch(new URL('/health', server.url))).json()) as { lastError: { message: string } };
    expect(health.lastError.message).toBe('the model is broken');
    expect(classify.stats().running).toBe(0);
  });
});

/** A model that answers when it is told to. */
function slow(): { model: nn.Module; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  class Slow extends Model {
    override forward(x: Tensor): any {
      const out = super.forward(x);
      return new Proxy(out, {
        get: (target, key) => (key === 'softmax' ? () => later(target) : Reflect.get(target, key, target)),
      });
    }
  }
  const later = (t: Tensor): unknown => {
    const chain = { mul: () => chain, round: () => chain, toArray: () => promise.then(() => t.toArray()) };
    return chain;
  };
  return { model: new Slow(), open: resolve };
}

test('a full queue answers 503 with Retry-After, late answers are 504, and the health check answers meanwhile', async () => {
  const { model, open } = slow();
  const { ask, server, classify } = await start({ model, maxBatch: 1, maxQueue: 2, timeout: 150 });
  const first = ask(fine);
  while (classify.stats().running === 0) await Bun.sleep(1);
  const waiting = [ask(fine), ask(fine)];
  while (classify.stats().queued < 2) await Bun.sleep(1);
  const refused = await ask(fine);
  expect([refused.status, Number(refused.headers.get('retry-after')) >= 1]).toEqual([503, true]);
  expect((await fetch(new URL('/health', server.url))).status).toBe(200);
  expect((await Promise.all([first, ...waiting])).map(({ status }) => status)).toEqual([504, 504, 504]);
  open();
  while (classify.stats().running > 0) await Bun.sleep(1);
  expect(classify.stats().requests).toMatchObject({ overloaded: 1, timedOut: 3 });
});

test('clients that vanish leave the queue', async () => {
  const { model, open } = slow();
  const { ask, post, classify } = await start({ model, maxBatch: 1 });
  const first = ask(fine);
  while (classify.stats().running === 0) await Bun.sleep(1);
  const controllers = Array.from({ length: 20 }, () => new AbortController());
  const lost = controllers.map(({ signal }) =>
    post(JSON.stringify({ features: fine }), { signal }).catch(() => 'gone'),
  );
  while (classify.stats().queued < 20) await Bun.sleep(1);
  for (const controller of controllers) controller.abort();
  expect(await Promise.all(lost)).toEqual(Array(20).fill('gone'));
  while (classify.stats().queued > 0) await Bun.sleep(1);
  open();
  expect((await first).status).toBe(200);
  expect(classify.stats().requests).toMatchObject({ aborted: 20, answered: 1 });
  expect((await ask(fine)).status).toBe(200);
});

test('a stop answers what waits, refuses what comes later, and is told by the health check', async () => {
  const { model, open } = slow();
  const { ask, server, classify, stop } = await start({ model, maxBatch: 1 });
  const answers = [ask(fine), ask(fine), ask(fine)];
  while (classify.stats().running + classify.stats().queued < 3) await Bun.sleep(1);
  const stopped = stop();
  expect((await ask(fine)).status).toBe(503);
  const health = await fetch(new URL('/health', server.url));
  expect([health.status, ((await health.json()) as { ready: boolean }).ready]).toEqual([503, false]);
  open();
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200]);
  await stopped;
  expect(await ask(fine).catch(() => 'no connection')).toBe('no connection');
});

test('SIGTERM ends the program when what waits is answered', async () => {
  const child = Bun.spawn([process.execPath, 'examples/server.ts'], {
    cwd: `${import.meta.dir}/../..`,
    env: { ...process.env, PORT: String(20000 + (process.pid % 10000)) },
    stdout: 'pipe',
    stderr: 'inherit',
  });
  const reader = child.stdout.getReader();
  const line = new TextDecoder().decode((await reader.read()).value);
  const url = /http:\S+/.exec(line)![0];
  const body = JSON.stringify({ features: fine });
  expect((await fetch(new URL('/classify', url), { method: 'POST', body })).status).toBe(200);
  child.kill('SIGTERM');
  expect(await child.exited).toBe(0);
});
