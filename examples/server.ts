/**
 * A classifier behind HTTP: requests are computed in batches, and each chooses its precision. Run it with `bun examples/server.ts`, which
 * asks itself three questions and ends, or with `PORT=8000 bun examples/server.ts`, which serves until Ctrl+C or SIGTERM.
 *
 *     curl localhost:8000/classify -d '{"features": [1, -2, 3, 0.5], "precision": "bfloat16"}'
 */
import {
  ArgumentError,
  ClosedError,
  DTypeError,
  manualSeed,
  nn,
  OverloadedError,
  ShapeError,
  TimeoutError,
} from 'castor';
import { batcher, health, metrics, type BatcherOptions, type Precision } from 'castor/serve';

const FEATURES = 4;
const MAX_BODY = 4096;

/** An answer other than 200, with the reason for the client. */
class HttpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

interface Query {
  readonly features: Float32Array;
  readonly precision: Precision | undefined;
}

/** Reads the body of a request. It must arrive within a time, so that slow clients hold no memory. */
async function bodyOf(request: Request, milliseconds: number): Promise<Uint8Array> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new HttpError(408, `the body did not arrive within ${milliseconds} ms`)),
    milliseconds,
  );
  try {
    return await Promise.race([request.bytes(), late]);
  } catch (error) {
    if (error instanceof HttpError) throw error;
    // Bun refuses a body by its length itself; one that comes without its length is refused while it is read.
    throw new HttpError(413, `the body could not be read: ${(error as Error).message}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads { features, precision? } as JSON, or the features as float32 in the byte order of x86, with ?precision= in the address. */
async function queryOf(request: Request, milliseconds: number): Promise<Query> {
  const body = await bodyOf(request, milliseconds);
  let features: unknown;
  let precision: unknown = new URL(request.url).searchParams.get('precision') ?? undefined;
  if (request.headers.get('content-type') === 'application/octet-stream') {
    if (body.length !== 4 * FEATURES)
      throw new HttpError(400, `the body has ${body.length} bytes, not ${4 * FEATURES}`);
    features = Array.from(new Float32Array(body.slice().buffer));
  } else {
    try {
      ({ features, precision = precision } = JSON.parse(new TextDecoder().decode(body)));
    } catch {
      throw new HttpError(400, 'the body is not a JSON object');
    }
  }
  if (!Array.isArray(features) || features.length !== FEATURES || !features.every(Number.isFinite))
    throw new HttpError(400, `features must be ${FEATURES} finite numbers`);
  if (precision !== undefined && !['float32', 'bfloat16', 'float16'].includes(precision as string))
    throw new HttpError(400, "precision must be 'float32', 'bfloat16' or 'float16'");
  return { features: new Float32Array(features), precision: precision as Precision | undefined };
}

/** The answer to a request that failed. What is wrong in the model is written to the log, and not told to the client. */
function failure(error: unknown): Response {
  const reply = (status: number, message: string, headers = {}): Response =>
    Response.json({ error: message }, { status, headers });
  if (error instanceof HttpError) return reply(error.status, error.message);
  if (error instanceof OverloadedError)
    return reply(503, 'too many requests wait', { 'retry-after': `${error.retryAfter}` });
  if (error instanceof ClosedError) return reply(503, 'the server stops', { connection: 'close' });
  if (error instanceof TimeoutError) return reply(504, `not answered within ${error.timeout} ms`);
  if (
    [ArgumentError, ShapeError, DTypeError].some(type => error instanceof type) &&
    (error as ShapeError).op === 'batcher.run'
  )
    return reply(400, (error as Error).message);
  if ((error as Error).name === 'AbortError') return reply(499, 'the client has left');
  console.error(error);
  return reply(500, 'the model failed');
}

/** The options of a server. */
export interface ServerOptions extends BatcherOptions {
  readonly model: nn.Module;
  readonly port?: number;
  /** The milliseconds within which a body must arrive. */
  readonly bodyTimeout?: number;
}

/** Starts a server. stop() answers what waits, and then ends. */
export async function startServer({ model, port = 0, bodyTimeout = 5000, ...options }: ServerOptions) {
  const classify = batcher(
    async (x: Parameters<typeof model.forward>[0]) => {
      const logits = model.forward(x);
      const percent = (await logits.softmax(-1).mul(100).round().toArray()) as number[][];
      return percent.map(row => ({ dtype: logits.dtype as string, percent: row }));
    },
    { name: 'classifier', shape: [FEATURES], maxBatch: 64, maxQueue: 512, timeout: 2000, ...options },
  );
  const server = Bun.serve({
    port,
    maxRequestBodySize: MAX_BODY,
    routes: {
      '/classify': async request => {
        try {
          if (request.method !== 'POST') throw new HttpError(405, 'send a POST');
          const { features, precision } = await queryOf(request, bodyTimeout);
          return Response.json(
            await classify.run(features, { ...(precision && { precision }), signal: request.signal }),
          );
        } catch (error) {
          return failure(error);
        }
      },
      '/health': () => {
        const state = { ready: !classify.closed, ...health() };
        return Response.json(state, { status: state.ready && state.status === 'ok' ? 200 : 503 });
      },
      '/metrics': () => new Response(metrics(), { headers: { 'content-type': 'text/plain; version=0.0.4' } }),
    },
    fetch: () => failure(new HttpError(404, 'there are /classify, /health and /metrics')),
  });
  const stop = async (): Promise<void> => {
    await classify.close();
    // Answers that are on their way get a second. Idle connections of clients would keep the server open without end.
    await Promise.race([server.stop(), Bun.sleep(1000)]);
    await server.stop(true);
  };
  return { server, classify, stop };
}

if (import.meta.main) {
  manualSeed(0);
  const model = new nn.Sequential(new nn.Linear(FEATURES, 64), new nn.GELU(), new nn.Linear(64, 3)).eval();
  const port = Number(process.env.PORT ?? 0);
  const { server, classify, stop } = await startServer({ model, port });
  await classify.warmUp([new Float32Array(FEATURES)], { precisions: ['float32', 'bfloat16', 'float16'] });
  const ask = async (precision: Precision): Promise<string> => {
    const body = JSON.stringify({ features: [1, -2, 3, 0.5], precision });
    return (await fetch(new URL('/classify', server.url), { method: 'POST', body })).text();
  };
  if (port > 0) {
    console.log(`castor: serving at ${server.url}`);
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void stop());
  } else {
    const replies = await Promise.all((['float32', 'bfloat16', 'float16'] as const).map(ask));
    for (const reply of replies) console.log(reply);
    console.log(classify.stats().requests);
    await stop();
  }
}

// Expected: for each precision the logits have that dtype and the same percentages.
