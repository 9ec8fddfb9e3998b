import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFile } from 'node:fs/promises';
import {
  autocast,
  autocastDtype,
  bindContext,
  F,
  Generator,
  keep,
  manualSeed,
  noGrad,
  randn,
  streamInContext,
  tidy,
  withGenerator,
  type AutocastOptions,
  type LowDType,
  type Tensor,
} from 'castor';

/** Small integers from a seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed * 2654435761 + 1;
  return sides => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

const waits: readonly (() => Promise<unknown>)[] = [
  () => Promise.resolve(),
  () => Bun.sleep(0),
  () => new Promise(done => setImmediate(done)),
  () => new Promise<void>(queueMicrotask),
  () => readFile(import.meta.filename, 'utf8'),
  () => new Response(new Blob(['x']).stream()).text(),
];
const dtypes = ['float16', 'bfloat16', null] as const;
const optionsOf = (dtype: LowDType | null): AutocastOptions => (dtype === null ? { enabled: false } : { dtype });

describe('1000 interleaved tasks', () => {
  /** Enters and leaves scopes at random, waits at random, and counts how often it found another policy than its own. */
  async function wander(roll: (sides: number) => number, depth: number, own: LowDType | null): Promise<number> {
    let wrong = 0;
    const look = (): void => void (wrong += Number(autocastDtype('cpu') !== own));
    for (let i = 0; i < 3; i++) {
      look();
      await waits[roll(waits.length)]!();
      look();
      if (depth === 0) continue;
      const inner = dtypes[roll(3)]!;
      const run = (): Promise<number> => wander(roll, depth - 1, inner);
      const scope = autocast({ ...optionsOf(inner), device: 'cpu' }, run);
      wrong += roll(4) === 0 ? await scope.catch(() => 1) : await scope;
      look();
      if (roll(4) > 0) continue;
      const failed = await autocast({ ...optionsOf(inner), device: 'cpu' }, async () => {
        await waits[roll(waits.length)]!();
        throw new Error('on purpose');
      }).catch(error => String(error));
      wrong += Number(failed !== 'Error: on purpose');
      look();
    }
    return wrong;
  }
  test('with random waits and random nested policies never see each other', async () => {
    const tasks = Array.from({ length: 1000 }, (_, seed) => wander(dice(seed), 2, null));
    expect((await Promise.all(tasks)).reduce((a, b) => a + b)).toBe(0);
    expect(autocastDtype('cpu')).toBeNull();
  });
});

describe('200 concurrent requests of a server', () => {
  let weights: readonly Tensor[] = [];
  beforeAll(() => {
    manualSeed(11);
    weights = Array.from({ length: 3 }, () => keep(randn([16, 16]).requiresGrad_()));
  });
  afterAll(() => weights.forEach(w => w.dispose()));
  const network = (x: Tensor, policy: AutocastOptions['overrides']): Tensor =>
    autocast(policy ? { overrides: policy } : {}, () =>
      weights.reduce((h, w) => F.softmax(F.linear(h, w), -1).mul(4).to(h.dtype), x),
    );
  const requests = Array.from({ length: 200 }, (_, seed) => {
    const roll = dice(seed);
    return { seed, dtype: dtypes[roll(3)]!, overrides: roll(2) === 0 ? ({ softmax: 'input' } as const) : {} };
  });
  type Request = (typeof requests)[number];

  /** Yields three lines of numbers, computed one by one with waits in between. */
  async function* lines({ seed, overrides }: Request): AsyncGenerator<string> {
    const roll = dice(seed + 1000);
    for (let i = 0; i < 3; i++) {
      await waits[roll(waits.length)]!();
      yield tidy(() => {
        const out = noGrad(() => network(randn([2, 16]), overrides));
        return `${autocastDtype()} ${out.dtype} ${out.dataSync().join()}\n`;
      });
    }
  }
  /** The body is created inside the scope, and read long after the handler has returned. */
  const answer = (request: Request): ReadableStream<string> =>
    withGenerator(new Generator(request.seed), () =>
      autocast(optionsOf(request.dtype), () => streamInContext(lines(request))),
    );
  const textOf = (stream: ReadableStream<string>): Promise<string> =>
    Array.fromAsync(stream as unknown as AsyncIterable<string>).then(parts => parts.join(''));

  test('with different policies answer as a lone one does, bit for bit, also from a streamed body', async () => {
    const alone: string[] = [];
    for (const request of requests) alone.push(await textOf(answer(request)));
    expect(new Set(alone).size).toBe(requests.length);
    using server = Bun.serve({
      port: 0,
      async fetch(http) {
        const request = requests[Number(new URL(http.url).searchParams.get('i'))]!;
        await waits[request.seed % waits.length]!();
        return new Response(answer(request).pipeThrough(new TextEncoderStream()));
      },
    });
    const got = await Promise.all(requests.map((_, i) => fetch(`${server.url}?i=${i}`).then(reply => reply.text())));
    expect(got).toEqual(alone);
    expect(autocastDtype()).toBeNull();
  });
});

describe('bindContext', () => {
  test('carries autocast, noGrad and the generator to callbacks that would lose them', async () => {
    const seen = new Promise<unknown[]>(done => {
      autocast({ dtype: 'float16' }, () =>
        noGrad(() => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = bindContext(() => {
            done([autocastDtype(), randn([1, 1], { requiresGrad: true }).mul(2).requiresGrad]);
            port1.close();
          });
          port2.postMessage(0);
        }),
      );
    });
    expect(await seen).toEqual(['float16', false]);
  });
  test('keeps this, the arguments and what is returned, and ends with the call', () => {
    const bound = autocast({ dtype: 'bfloat16' }, () =>
      bindContext(function (this: { factor: number }, x: number) {
        return [this.factor * x, autocastDtype()] as const;
      }),
    );
    expect(bound.call({ factor: 3 }, 2)).toEqual([6, 'bfloat16']);
    expect(autocastDtype()).toBeNull();
  });
});

describe('streamInContext', () => {
  test('ends, fails and is cancelled as its iterator', async () => {
    expect(await Array.fromAsync(streamInContext([1, 2, 3]) as unknown as AsyncIterable<number>)).toEqual([1, 2, 3]);
    let closed = false;
    const endless = (function* () {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        closed = true;
      }
    })();
    const reader = streamInContext(endless).getReader();
    expect((await reader.read()).value).toBe(0);
    await reader.cancel();
    expect(closed).toBe(true);
    const broken = streamInContext(
      (function* () {
        yield 1;
        throw new Error('broken');
      })(),
    );
    await expect(Array.fromAsync(broken as unknown as AsyncIterable<number>)).rejects.toThrow('broken');
  });
});
