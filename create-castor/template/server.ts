/** Answers points with the arm that they are on, in batches: bun server.ts, and PORT=8000 for another port. */
import { existsSync } from 'node:fs';
import { io, OverloadedError, type Tensor } from 'castor';
import { batcher, health, metrics } from 'castor/serve';
import { Classifier, WEIGHTS } from './model.ts';

/** The point in the body of a request, or null if there is none. */
async function pointOf(request: Request): Promise<Float32Array | null> {
  const point: unknown = await request.json().catch(() => null);
  const isPoint = Array.isArray(point) && point.length === 2 && point.every(Number.isFinite);
  return isPoint ? new Float32Array(point as number[]) : null;
}

/** Starts a server for a model. */
export function serve(model: Classifier, port: number) {
  // Requests come one by one; the function sees points (n, 2), and each request gets its row.
  const classify = batcher((points: Tensor) => model.forward(points).softmax(1), { name: 'classifier', shape: [2] });

  async function answer(request: Request): Promise<Response> {
    const point = await pointOf(request);
    if (!point) return Response.json({ error: 'send a JSON array of two numbers' }, { status: 400 });
    try {
      const [first, second] = (await classify.run(point, { signal: request.signal })) as Float32Array;
      return Response.json({ arm: first! > second! ? 0 : 1, probabilities: [first, second] });
    } catch (error) {
      if (error instanceof OverloadedError) return Response.json({ error: 'too many requests' }, { status: 503 });
      console.error(error);
      return Response.json({ error: 'the model failed' }, { status: 500 });
    }
  }

  const server = Bun.serve({
    port,
    routes: {
      '/classify': { POST: answer },
      '/health': () => Response.json(health()),
      '/metrics': () => new Response(metrics()),
    },
    fetch: () => new Response('there are POST /classify, /health and /metrics\n', { status: 404 }),
  });
  /** Answers what waits, and ends. */
  const stop = async (): Promise<void> => {
    await classify.close();
    await server.stop();
  };
  return { server, stop };
}

if (import.meta.main) {
  const model = new Classifier().eval();
  if (existsSync(WEIGHTS)) model.loadStateDict((await io.loadTensors(WEIGHTS)).tensors);
  else console.warn(`${WEIGHTS} is not there, so the answers are random: bun train.ts writes it`);
  const { server, stop } = serve(model, Number(process.env.PORT ?? 8000));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop());
  console.log(`serving at ${server.url}`);
}
