import { autocast, F, memory, nn, optim, randint, tidy, type LowDType, type Tensor } from '../runtime/index.ts';
import { seconds, type Figure } from './measure.ts';
import { Gpt } from './model.ts';

const [BATCH, CONTEXT, VOCABULARY] = [16, 128, 256];
/** The default model of train.ts. */
const config = { layers: 4, width: 128, heads: 4, context: CONTEXT, vocabulary: VOCABULARY };

function training(dtype: LowDType | 'float32'): { forward: () => Tensor; step: () => void } {
  const model = new Gpt(config);
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
  const ids = randint(0, VOCABULARY, [BATCH, CONTEXT]);
  const target = randint(0, VOCABULARY, [BATCH * CONTEXT]);
  const loss = (): Tensor => F.crossEntropy(model.forward(ids).reshape([-1, VOCABULARY]), target);
  const forward = (): Tensor => (dtype === 'float32' ? loss() : autocast({ dtype }, loss));
  const step = (): void =>
    tidy(() => {
      optimizer.zeroGrad();
      forward().backward();
      nn.clipGradNorm(model.parameters(), 1);
      optimizer.step();
    });
  return { forward, step };
}

/** A whole training step of the default GPT. */
export function step(): Figure[] {
  return (['float32', 'float16', 'bfloat16'] as const).map(dtype => {
    const short = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' }[dtype];
    const value = seconds(training(dtype).step, 2, 7) * 1e3;
    return { name: `gpt.step.${short}.ms`, value, unit: 'ms', ...(dtype === 'float32' ? { must: '<= 300' } : {}) };
  });
}

/** The bytes that the forward pass keeps for backward, beyond those that were live before. */
function activationBytes(dtype: LowDType | 'float32'): number {
  const { forward, step: once } = training(dtype);
  once();
  memory.collect();
  const before = memory.stats().liveBytes;
  memory.resetPeak();
  tidy(() => void forward());
  return memory.peak() - before;
}

/** Peak activation memory of the forward pass, autocast float16 over float32. */
export function activations(): Figure[] {
  const full = activationBytes('float32');
  return [
    { name: 'amp.activation.ratio', value: activationBytes('float16') / full, unit: 'ratio', must: '<= 0.65' },
    { name: 'gpt.activation.f32.mb', value: full / 2 ** 20, unit: 'MB' },
  ];
}
