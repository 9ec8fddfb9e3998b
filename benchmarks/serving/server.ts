/** The server of the benchmark, a process of its own: `bun server.ts castor|ort`. It prints its address. */
import { randn, setNumThreads, type Tensor } from '../../runtime/index.ts';
import { batcher, health } from '../../runtime/serve/index.ts';
import { FEATURES, Mlp, ortSession } from './model.ts';

setNumThreads(1);
const model = new Mlp();
const session = process.argv[2] === 'ort' ? await ortSession(model) : null;
const fn: (x: Tensor) => Tensor | Promise<Float32Array> =
  session === null
    ? (x: Tensor): Tensor => model.forward(x)
    : (x: Tensor): Promise<Float32Array> => session.run(x.dataSync() as Float32Array, x.shape[0]!);
const infer = batcher(fn, { maxBatch: 64, maxQueue: 4096, shape: [FEATURES] });
await infer.warmUp([new Float32Array(FEATURES)], { rounds: 50 });
// The path of a request is warm as well, as in a server that has run for a while.
for (let round = 0; round < 100; round++)
  await Promise.all(Array.from({ length: 64 }, () => infer.run(new Float32Array(FEATURES))));

const weight = randn([1024, 1024]);
let products = 1;
/** A forward pass of about so many seconds: products of matrices, one after the other. */
const slow = batcher((x: Tensor, { rows }) => {
  let y: Tensor = weight;
  for (let i = 0; i < products; i++) y = y.matmul(weight).clamp({ min: -1, max: 1 });
  return y.sum().mul(0).expand([rows]);
});
async function slowly(seconds: number): Promise<number> {
  let [count, took] = [1, 0];
  // Twice as many until they take a tenth of the time, so that what is not products does not count.
  for (; took < 100 * seconds; count *= 2) {
    products = count;
    const trial = performance.now();
    await slow.run([0]);
    took = performance.now() - trial;
  }
  products = Math.max(1, Math.round((products * 1000 * seconds) / took));
  const start = performance.now();
  await slow.run([0]);
  return performance.now() - start;
}

const server = Bun.serve({
  port: 0,
  hostname: '127.0.0.1',
  routes: {
    '/infer': async request => {
      try {
        const answer = await infer.run(new Float32Array(await request.arrayBuffer()), { signal: request.signal });
        return new Response(answer as Float32Array<ArrayBuffer>);
      } catch {
        return new Response(null, { status: 503 });
      }
    },
    '/health': () => Response.json(health()),
    '/slow': async request => Response.json(await slowly(Number(new URL(request.url).searchParams.get('seconds')))),
    '/resident': () => Response.json(process.memoryUsage.rss()),
    '/stats': () => Response.json(infer.stats()),
  },
});
console.log(server.url.href);
