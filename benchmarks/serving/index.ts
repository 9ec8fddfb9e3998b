/** `npm run bench -- serve`: a small model behind HTTP, beside onnxruntime-node behind the same queue where that is installed. */
import { join } from 'node:path';
import { inferenceMode, randn, setNumThreads, tidy } from '../../runtime/index.ts';
import type { Bench } from '../bench.ts';
import { clocks } from '../clocks.ts';
import { median, type Figure } from '../measure.ts';
import { captured } from './capture.ts';
import { decode, forwards } from './decode.ts';
import type { Load, LoadResult } from './load.ts';
import { FEATURES, hasOrt, Mlp, ORT_HINT, ortSession, type Session } from './model.ts';

const script = (name: string): string => join(import.meta.dirname, name);
const textOf = async (stream: ReadableStream<Uint8Array>): Promise<string> => new Response(stream).text();

/** A server in a process of its own. */
class Server {
  readonly url: string;
  readonly #child: Bun.Subprocess;
  private constructor(url: string, child: Bun.Subprocess) {
    this.url = url;
    this.#child = child;
  }
  static async start(engine: 'castor' | 'ort'): Promise<Server> {
    const child = Bun.spawn([process.execPath, script('server.ts'), engine], { stdout: 'pipe', stderr: 'inherit' });
    const { value } = await child.stdout.getReader().read();
    if (value === undefined) throw new Error(`the server of ${engine} did not start`);
    return new Server(new TextDecoder().decode(value).trim(), child);
  }
  async load(load: Load): Promise<LoadResult> {
    const child = Bun.spawn([process.execPath, script('load.ts'), this.url, JSON.stringify(load)], {
      stdout: 'pipe',
      stderr: 'inherit',
    });
    const text = await textOf(child.stdout);
    if ((await child.exited) !== 0) throw new Error('the load ended with an error');
    return JSON.parse(text) as LoadResult;
  }
  async resident(): Promise<number> {
    return (await fetch(`${this.url}resident`)).json() as Promise<number>;
  }
  [Symbol.dispose](): void {
    this.#child.kill();
  }
}

const middle = (results: readonly LoadResult[], field: 'perSecond' | 'p50' | 'p99'): number =>
  median(results.map(result => result[field]));

/** Requests a second and times of an MLP at 64 connections. Castor and onnxruntime-node take turns. */
async function http({ tiny, rounds }: Bench, ort: boolean): Promise<Figure[]> {
  const load: Load = {
    connections: tiny ? 4 : 64,
    requests: tiny ? 200 : 40_000,
    warm: tiny ? 10 : 5000,
    abortEvery: 0,
  };
  using castor = await Server.start('castor');
  using other = ort ? await Server.start('ort') : null;
  const [own, theirs]: [LoadResult[], LoadResult[]] = [[], []];
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    own.push(await castor.load(load));
    if (other !== null) theirs.push(await other.load(load));
  }
  const failed = [...own, ...theirs].reduce((sum, result) => sum + result.failed, 0);
  if (failed > 0) throw new Error(`${failed} requests failed`);
  const figures: Figure[] = [
    { name: 'serve.mlp.rps', value: middle(own, 'perSecond'), unit: 'req/s', must: '>= 15000' },
    { name: 'serve.mlp.p50.ms', value: middle(own, 'p50'), unit: 'ms', must: '<= 4' },
    { name: 'serve.mlp.p99.ms', value: middle(own, 'p99'), unit: 'ms', must: '<= 15' },
  ];
  if (theirs.length === 0) return figures;
  const rate = middle(theirs, 'perSecond');
  return [
    ...figures,
    { name: 'serve.ort.rps', value: rate, unit: 'req/s' },
    { name: 'serve.mlp.rps.overOrt', value: middle(own, 'perSecond') / rate, unit: 'x', must: '>= 1' },
  ];
}

/** The forward pass alone, on one thread. */
async function forward({ tiny, rounds, clock }: Bench, session: Session | null): Promise<Figure[]> {
  const model = new Mlp();
  const now = clocks[clock];
  const figures: Figure[] = [];
  for (const rows of [1, 8, 64, 256]) {
    const x = randn([rows, FEATURES]);
    const data = x.dataSync() as Float32Array;
    const own = (): void => inferenceMode(() => tidy(() => void model.forward(x)));
    const calls = tiny ? 1 : Math.max(4, Math.round(512 / rows));
    const time = async (fn: () => unknown): Promise<number> => {
      const start = now();
      for (let i = 0; i < calls; i++) await fn();
      return (now() - start) / calls;
    };
    const [times, others]: [number[], number[]] = [[], []];
    for (let round = 0; round <= 2 * rounds; round++) {
      times.push(await time(own));
      if (session !== null) others.push(await time(() => session.run(data, rows)));
    }
    const name = `serve.forward.${rows}`;
    figures.push({ name: `${name}.us`, value: 1e6 * median(times.slice(1)), unit: 'us' });
    if (session !== null) {
      figures.push({ name: `${name}.ort.us`, value: 1e6 * median(others.slice(1)), unit: 'us' });
      figures.push({
        name: `${name}.overOrt`,
        value: median(times.slice(1)) / median(others.slice(1)),
        unit: 'x',
        must: '<= 1',
      });
    }
    x.dispose();
  }
  return figures;
}

/** Resident memory after many requests, a tenth of which are aborted, over that after the first thousand. */
async function memoryOf({ tiny }: Bench): Promise<Figure[]> {
  using server = await Server.start('castor');
  const connections = tiny ? 4 : 64;
  const load = (requests: number): Load => ({ connections, requests, warm: 0, abortEvery: 10 });
  await server.load(load(tiny ? 50 : 1000));
  const before = await server.resident();
  const { failed } = await server.load(load(tiny ? 200 : 99_000));
  if (failed > 0) throw new Error(`${failed} requests failed`);
  const after = await server.resident();
  return [
    { name: 'serve.resident.mb', value: after / 2 ** 20, unit: 'MB' },
    { name: 'serve.resident.growth', value: after / before, unit: 'x', must: '<= 1.2' },
  ];
}

/** The times of a health check while one forward pass of two seconds runs, and while 64 clients ask. */
async function healthChecks({ tiny }: Bench): Promise<Figure[]> {
  using server = await Server.start('castor');
  const check: Load = {
    path: '/health',
    connections: 1,
    requests: 1e9,
    warm: 0,
    abortEvery: 0,
    milliseconds: tiny ? 50 : 2000,
  };
  const checks = async (work: Promise<unknown>): Promise<LoadResult> =>
    (await Promise.all([server.load(check), work]))[0];
  const forward = fetch(`${server.url}slow?seconds=${tiny ? 0.1 : 2.5}`).then(reply => reply.json());
  const during = await checks(forward);
  const requests = { connections: tiny ? 4 : 64, requests: 1e9, warm: 0, abortEvery: 0 };
  const busy = await checks(server.load({ ...requests, milliseconds: check.milliseconds! }));
  return [
    { name: 'serve.health.p99.ms', value: during.p99, unit: 'ms', must: '<= 5' },
    { name: 'serve.health.forward.ms', value: (await forward) as number, unit: 'ms' },
    { name: 'serve.health.busy.p99.ms', value: busy.p99, unit: 'ms', must: '<= 10' },
  ];
}

export async function serving(bench: Bench): Promise<Figure[]> {
  const ort = hasOrt();
  if (!ort) console.error(`castor: ${ORT_HINT}`);
  setNumThreads(1);
  try {
    const figures: Figure[] = [];
    const part = async (name: string, measure: () => Promise<Figure[]>): Promise<void> => {
      if (bench.wants(name)) figures.push(...(await measure()));
    };
    await part('serve.forward', async () => forward(bench, ort ? await ortSession(new Mlp()) : null));
    await part('serve.mlp', () => http(bench, ort));
    await part('serve.health', () => healthChecks(bench));
    await part('serve.resident', () => memoryOf(bench));
    await part('serve.forwards', () => forwards(bench));
    await part('serve.capture', () => captured(bench));
    await part('serve.decode', () => decode(bench));
    return figures;
  } finally {
    setNumThreads(bench.threads);
  }
}
