/** A GPT that a generator can serve, for benchmarks and tests. */
import { arange, F, manualSeed, nn, type Tensor } from '../../runtime/index.ts';
import type { KVCache } from '../../runtime/serve/index.ts';

export interface GptSize {
  readonly vocabulary: number;
  readonly context: number;
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
}

class Block extends nn.Module {
  readonly heads: number;
  readonly norm: nn.LayerNorm;
  readonly qkv: nn.Linear;
  readonly project: nn.Linear;
  readonly mlp: nn.Sequential;
  constructor(width: number, heads: number) {
    super();
    this.heads = heads;
    this.norm = new nn.LayerNorm(width);
    this.qkv = new nn.Linear(width, 3 * width);
    this.project = new nn.Linear(width, width);
    const [up, down] = [new nn.Linear(width, 4 * width), new nn.Linear(4 * width, width)];
    this.mlp = new nn.Sequential(new nn.LayerNorm(width), up, new nn.GELU(), down);
  }
  forward(x: Tensor, layer: number, cache: KVCache | null): Tensor {
    const [batch, time, width] = x.shape as [number, number, number];
    const parts = this.qkv.forward(this.norm.forward(x)).reshape(batch, time, 3, this.heads, width / this.heads);
    const [q, k, v] = parts.permute(2, 0, 3, 1, 4).unbind() as [Tensor, Tensor, Tensor];
    const mixed = cache?.attend(layer, q, k, v) ?? F.scaledDotProductAttention(q, k, v, { causal: true });
    const attended = x.add(this.project.forward(mixed.transpose(1, 2).reshape(batch, time, width)));
    return attended.add(this.mlp.forward(attended) as Tensor);
  }
}

/** A GPT with random weights, whose last layer shares those of the embedding. */
export class Gpt extends nn.Module {
  readonly tokens: nn.Embedding;
  readonly places: nn.Embedding;
  readonly blocks: readonly Block[];
  readonly norm: nn.LayerNorm;
  constructor({ vocabulary, context, layers, width, heads }: GptSize) {
    super();
    manualSeed(0);
    this.tokens = new nn.Embedding(vocabulary, width);
    this.places = new nn.Embedding(context, width);
    this.blocks = Array.from({ length: layers }, () => new Block(width, heads));
    this.norm = new nn.LayerNorm(width);
  }
  /** tokens (batch, time): logits (batch, time, vocabulary). Without a cache, they are those of a whole text. */
  forward(tokens: Tensor, cache: KVCache | null = null): Tensor {
    const positions = cache?.positions ?? arange(tokens.shape[1]!, { dtype: 'int64' });
    const x = this.tokens.forward(tokens).add(this.places.forward(positions));
    const y = this.norm.forward(this.blocks.reduce((z, block, layer) => block.forward(z, layer, cache), x));
    return F.linear(y, this.tokens.weight);
  }
}
