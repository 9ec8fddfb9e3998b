/** Batches of a batcher with and without `capture`: what the calls of JavaScript cost, for an MLP and for a GPT of many small ops. */
import { setNumThreads, type Tensor } from '../../runtime/index.ts';
import { batcher, type Batcher } from '../../runtime/serve/index.ts';
import type { Bench } from '../bench.ts';
import { median, type Figure } from '../measure.ts';
import { Gpt } from './gpt.ts';
import { FEATURES, Mlp } from './model.ts';

interface Model {
  readonly fn: (x: Tensor) => Tensor;
  readonly row: Float32Array | BigInt64Array;
}
const models = (): Record<string, Model> => {
  const mlp = new Mlp().eval();
  const gpt = new Gpt({ vocabulary: 256, context: 64, layers: 4, width: 64, heads: 4 }).eval();
  return {
    mlp: { fn: x => mlp.forward(x), row: new Float32Array(FEATURES).fill(0.5) },
    gpt: { fn: x => gpt.forward(x).select(1, -1), row: new BigInt64Array(16).fill(3n) },
  };
};

/** Microseconds of a batch. Both batchers take turns. */
export async function captured({ tiny, rounds, threads }: Bench): Promise<Figure[]> {
  setNumThreads(threads);
  const figures: Figure[] = [];
  for (const [name, { fn, row }] of Object.entries(models()))
    for (const rows of tiny ? [1, 2] : [1, 8, 64]) {
      const options = { maxBatch: rows, name: `bench-${name}` };
      await using called = batcher(fn, options);
      await using replayed = batcher(fn, { ...options, capture: true });
      const calls = tiny ? 1 : Math.max(4, Math.round(64 / rows));
      const time = async (served: Batcher<Tensor>): Promise<number> => {
        const start = performance.now();
        for (let i = 0; i < calls; i++) await Promise.all(Array.from({ length: rows }, () => served.run(row)));
        return (1000 * (performance.now() - start)) / calls;
      };
      await called.warmUp([row]);
      await replayed.warmUp([row]);
      const [own, graphs]: [number[], number[]] = [[], []];
      for (let round = 0; round <= 2 * rounds; round++) {
        own.push(await time(called));
        graphs.push(await time(replayed));
      }
      const [called1, replayed1] = [median(own.slice(1)), median(graphs.slice(1))];
      figures.push({ name: `serve.capture.${name}.${rows}.called.us`, value: called1, unit: 'us' });
      figures.push({ name: `serve.capture.${name}.${rows}.replayed.us`, value: replayed1, unit: 'us' });
      figures.push({ name: `serve.capture.${name}.${rows}.over`, value: replayed1 / called1, unit: 'x' });
    }
  return figures;
}
