/** The server of the benchmark, a process of its own: `bun server.ts castor|ort`. It prints its address. */
import { setNumThreads, type Tensor } from '../../runtime/index.ts';
import { batcher } from '../../runtime/serve/index.ts';
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
    '/resident': () => Response.json(process.memoryUsage.rss()),
    '/stats': () => Response.json(infer.stats()),
  },
});
console.log(server.url.href);
