/** A model behind an HTTP server; each request chooses its precision. Run it with: bun examples/server.ts */
import { autocast, manualSeed, memory, nn, noGrad, tensor, tidy } from 'castor';

manualSeed(0);
const model = new nn.Sequential(new nn.Linear(4, 64), new nn.GELU(), new nn.Linear(64, 3));

interface Query {
  features: number[];
  dtype: 'float16' | 'bfloat16' | 'float32';
}

/**
 * autocast, noGrad and tidy follow the request through its awaits. Requests that run at the same time do not affect
 * each other.
 */
const answer = ({ features, dtype }: Query): Promise<object> => {
  const precision = dtype === 'float32' ? { enabled: false } : { dtype };
  return tidy(() =>
    noGrad(() =>
      autocast(precision, async () => {
        await Bun.sleep(10 * Math.random());
        const logits = model.forward(tensor([features]));
        return { dtype: logits.dtype, percent: await logits.softmax(-1).mul(100).round().toArray() };
      }),
    ),
  );
};

const server = Bun.serve({
  port: 0,
  fetch: async request => Response.json(await answer((await request.json()) as Query)),
});

const ask = async (dtype: Query['dtype']): Promise<void> => {
  const body = JSON.stringify({ features: [1, -2, 3, 0.5], dtype });
  const reply = await fetch(server.url, { method: 'POST', body });
  console.log(dtype.padEnd(8), await reply.text());
};
await Promise.all((['float32', 'bfloat16', 'float16'] as const).map(ask));
console.log(memory.summary());
await server.stop();

// Expected: for each dtype the logits have that dtype and the same percentages.
