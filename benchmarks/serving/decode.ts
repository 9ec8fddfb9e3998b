/** Texts that a GPT makes for several clients at once, and the memory of many forward passes at once. */
import { inferenceMode, memory, offload, randint, setNumThreads, tidy } from '../../runtime/index.ts';
import type { Tensor } from '../../runtime/index.ts';
import { generator } from '../../runtime/serve/index.ts';
import type { Bench } from '../bench.ts';
import { median, type Figure } from '../measure.ts';
import { Gpt, type GptSize } from './gpt.ts';

/** GPT-2 of 124 million parameters. */
const GPT2: GptSize = { vocabulary: 50257, context: 1024, layers: 12, width: 768, heads: 12 };
const TINY: GptSize = { vocabulary: 64, context: 64, layers: 1, width: 32, heads: 2 };

/** Tokens a second of several streams at once, and of one. They take turns. */
export async function decode({ tiny, rounds, threads }: Bench): Promise<Figure[]> {
  setNumThreads(threads);
  const size = tiny ? TINY : GPT2;
  await using texts = generator(new Gpt(size), { maxBatch: 8, context: size.context, kvCache: { tokens: 2048 } });
  const perSecond = async (streams: number): Promise<number> => {
    const start = performance.now();
    const prompts = Array.from({ length: streams }, (_, i) =>
      Array.from({ length: 16 }, (__, j) => (7 * i + 3 * j) % 60),
    );
    const maxTokens = tiny ? 4 : 32;
    const made = await Promise.all(
      prompts.map(prompt => texts.generate(prompt, { temperature: 0, maxTokens }).result()),
    );
    return (1000 * made.reduce((sum, { tokens }) => sum + tokens.length, 0)) / (performance.now() - start);
  };
  await perSecond(1);
  const [one, eight]: [number[], number[]] = [[], []];
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    one.push(await perSecond(1));
    eight.push(await perSecond(8));
  }
  return [
    { name: 'serve.decode.1.tokens', value: median(one), unit: 'tokens/s' },
    { name: 'serve.decode.8.tokens', value: median(eight), unit: 'tokens/s' },
    { name: 'serve.decode.8.over1', value: median(eight) / median(one), unit: 'x', must: '>= 3' },
  ];
}

const MB = 2 ** 20;

/** The memory of 64 forward passes at once, whose activations are 20 MB each: what was allocated while they ran. */
export async function forwards({ tiny, threads }: Bench): Promise<Figure[]> {
  setNumThreads(threads);
  const model = new Gpt(tiny ? TINY : { vocabulary: 256, context: 256, layers: 4, width: 256, heads: 4 });
  const x = randint(0, 60, [1, tiny ? 8 : 256]);
  const forward = (): Tensor => inferenceMode(() => tidy(() => model.forward(x).select(1, -1).argmax(-1)));
  const peak = async (run: () => Promise<unknown>): Promise<number> => {
    memory.collect();
    memory.releaseCached();
    const { liveBytes } = memory.stats();
    memory.resetPeak();
    await Promise.all(Array.from({ length: 64 }, run));
    const counted = memory.peak() - liveBytes;
    memory.collect();
    // Freed blocks are cached, up to as many as were in use at once.
    return Math.max(counted, memory.stats().cachedBytes) / MB;
  };
  forward();
  const offloaded = await peak(() => offload(async () => (await forward().toArray()) as number[]));
  const waiting = await peak(() => tidy(async () => (await forward().toArray()) as number[]));
  return [
    { name: 'serve.forwards.offloaded.mb', value: offloaded, unit: 'MB', must: '<= 60' },
    { name: 'serve.forwards.tidy.mb', value: waiting, unit: 'MB', must: '<= 60' },
  ];
}
