import { autocast, F, memory, nn, optim, randint, tidy, type LowDType, type Tensor } from '../runtime/index.ts';
import { seconds, type Figure } from './measure.ts';

const [LAYERS, WIDTH, HEADS, CONTEXT, BATCH, VOCABULARY] = [4, 128, 4, 128, 16, 256];

class Block extends nn.Module {
  norm1 = new nn.LayerNorm(WIDTH);
  qkv = new nn.Linear(WIDTH, 3 * WIDTH);
  project = new nn.Linear(WIDTH, WIDTH);
  norm2 = new nn.LayerNorm(WIDTH);
  widen = new nn.Linear(WIDTH, 4 * WIDTH);
  narrow = new nn.Linear(4 * WIDTH, WIDTH);

  forward(x: Tensor): Tensor {
    return tidy(() => {
      const [b, t] = x.shape as [number, number];
      const heads = this.qkv.forward(this.norm1.forward(x)).reshape([b, t, 3, HEADS, WIDTH / HEADS]);
      const [q, k, v] = heads.permute(2, 0, 3, 1, 4).unbind(0) as [Tensor, Tensor, Tensor];
      const seen = F.scaledDotProductAttention(q, k, v, { causal: true });
      const y = x.add(this.project.forward(seen.transpose(1, 2).reshape([b, t, WIDTH])));
      return y.add(this.narrow.forward(F.gelu(this.widen.forward(this.norm2.forward(y)))));
    });
  }
}

/** The model that train.ts trains by default. */
class Gpt extends nn.Module {
  tokens = new nn.Embedding(VOCABULARY, WIDTH);
  positions = new nn.Embedding(CONTEXT, WIDTH);
  blocks = Array.from({ length: LAYERS }, () => new Block());
  norm = new nn.LayerNorm(WIDTH);
  head = new nn.Linear(WIDTH, VOCABULARY, { bias: false });

  forward(ids: Tensor): Tensor {
    const x = this.tokens.forward(ids).add(this.positions.weight);
    return this.head.forward(this.norm.forward(this.blocks.reduce((t, block) => block.forward(t), x)));
  }
}

function training(dtype: LowDType | 'float32'): { forward: () => Tensor; step: () => void } {
  const model = new Gpt();
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

/** Bytes that forward leaves for backward, over what was live before. */
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
