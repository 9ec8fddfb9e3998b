import { memory } from '../runtime/index.ts';
import { turns, type Bench, type Part } from './bench.ts';
import type { Figure } from './measure.ts';
import { gptTraining, tinyGpt, type GptSizes, type Short } from './steps.ts';

const base: GptSizes = { gpt: { layers: 4, width: 256, heads: 4, context: 256, vocabulary: 256 }, batch: 4 };

/** Operations of the products in a training step of a GPT with causal attention: forward, and twice that backward. */
function flops({ gpt: { layers, width, context, vocabulary }, batch }: GptSizes): number {
  const block = 24 * width ** 2 + 2 * context * width;
  return 3 * batch * context * (layers * block + 2 * width * vocabulary);
}

/** The sizes, and those with twice the work in one direction. Heads keep their width. */
const doubled = ({ gpt, batch }: GptSizes): Record<string, GptSizes> => ({
  base: { gpt, batch },
  batch: { gpt, batch: 2 * batch },
  width: { gpt: { ...gpt, width: 2 * gpt.width, heads: 2 * gpt.heads }, batch },
  context: { gpt: { ...gpt, context: 2 * gpt.context }, batch },
});

async function doublingIn(bench: Bench, short: Short): Promise<Figure[]> {
  const sizes = doubled(bench.tiny ? tinyGpt : base);
  const cases = Object.fromEntries(Object.entries(sizes).map(([name, own]) => [name, gptTraining(own, short).step]));
  const times = await turns(bench, { part: 'doubling', sizes: { dtype: short, cases: sizes }, cases });
  memory.collect();
  const cost = (seconds: Readonly<Record<string, number>>, name: string): number =>
    seconds[name]! / seconds['base']! / (flops(sizes[name]!) / flops(sizes['base']!));
  return ['batch', 'width', 'context'].map(name => ({
    name: `doubling.${name}.${short}`,
    value: cost(times.own, name),
    unit: 'ratio',
    must: '<= 1.1',
    ...(times.torch ? { torch: cost(times.torch, name) } : {}),
  }));
}

/** The cost when the work doubles: the ratio of times over the ratio of operations. */
export const doubling: Part = async bench => [
  ...(await doublingIn(bench, 'f32')),
  ...(await doublingIn(bench, 'bf16')),
];
