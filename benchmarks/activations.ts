import { memory, tidy } from '../runtime/index.ts';
import type { Part } from './bench.ts';
import type { Figure } from './measure.ts';
import { gpt128, gpt512, gptTraining, tinyGpt, type GptSizes, type Short } from './steps.ts';

/**
 * The bytes that the forward pass keeps for backward, beyond those that were live before. The copies of the weights in
 * 16 bits are among them.
 */
function activationBytes(sizes: GptSizes, short: Short): number {
  const { forward, step } = gptTraining(sizes, short);
  step();
  memory.collect();
  const before = memory.stats().liveBytes;
  memory.resetPeak();
  tidy(() => void forward());
  return memory.peak() - before;
}

const ratio = (name: string, value: number, must: string): Figure => ({ name, value, unit: 'ratio', must });
const megabytes = (name: string, bytes: number): Figure => ({ name, value: bytes / 2 ** 20, unit: 'MB' });

/** The same without what does not depend on the batch: what a batch twice as large keeps, less what this one keeps. */
const perBatch = (sizes: GptSizes, short: Short): number =>
  activationBytes({ ...sizes, batch: 2 * sizes.batch }, short) - activationBytes(sizes, short);

/** Peak activation memory of the forward pass, autocast over float32. */
export const activations: Part = ({ tiny }) => {
  const [wide, small] = tiny ? [tinyGpt, tinyGpt] : [gpt512, gpt128];
  const [wideFull, smallFull] = [activationBytes(wide, 'f32'), activationBytes(small, 'f32')];
  return [
    ratio('gpt512.activation.ratio', activationBytes(wide, 'bf16') / wideFull, '<= 0.6'),
    { name: 'gpt512.activation.perBatch.ratio', value: perBatch(wide, 'bf16') / perBatch(wide, 'f32'), unit: 'ratio' },
    megabytes('gpt512.activation.f32.mb', wideFull),
    ratio('gpt128.activation.ratio', activationBytes(small, 'bf16') / smallFull, '<= 0.65'),
    ratio('amp.activation.ratio', activationBytes(small, 'f16') / smallFull, '<= 0.65'),
    megabytes('gpt.activation.f32.mb', smallFull),
  ];
};
