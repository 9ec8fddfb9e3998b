/** A small GPT for tests of generators, with random weights. */
import { F, manualSeed, nn, type Tensor } from 'castor';
import type { KVCache } from 'castor/serve';

class Block extends nn.Module {
  readonly norm: nn.LayerNorm;
  readonly qkv: nn.Linear;
  readonly project: nn.Linear;
  readonly mlp: nn.Sequential;
  readonly heads: number;
  constructor(width: number, heads: number) {
    super();
    this.heads = heads;
    this.norm = new nn.LayerNorm(width);
    this.qkv = new nn.Linear(width, 3 * width);
    this.project = new nn.Linear(width, width);
    this.mlp = new nn.Sequential(
      new nn.LayerNorm(width),
      new nn.Linear(width, 4 * width),
      new nn.GELU(),
      new nn.Linear(4 * width, width),
    );
  }
  forward(x: Tensor, layer: number, cache: KVCache | null): Tensor {
    const [batch, time, width] = x.shape as [number, number, number];
    const parts = this.qkv.forward(this.norm.forward(x)).reshape(batch, time, 3, this.heads, width / this.heads);
    const [q, k, v] = parts.permute(2, 0, 3, 1, 4).unbind() as [Tensor, Tensor, Tensor];
    const mixed =
      cache === null ? F.scaledDotProductAttention(q, k, v, { causal: true }) : cache.attend(layer, q, k, v);
    const attended = x.add(this.project.forward(mixed.transpose(1, 2).reshape(batch, time, width)));
    return attended.add(this.mlp.forward(attended));
  }
}

export class GPT extends nn.Module {
  readonly tokens: nn.Embedding;
  readonly places: nn.Embedding;
  readonly blocks: readonly Block[];
  readonly head: nn.Linear;
  constructor({ seed = 5, vocabulary = 256, width = 32, layers = 2, heads = 4, context = 128 } = {}) {
    super();
    manualSeed(seed);
    this.tokens = new nn.Embedding(vocabulary, width);
    this.places = new nn.Embedding(context, width);
    this.blocks = Array.from({ length: layers }, () => new Block(width, heads));
    this.head = new nn.Linear(width, vocabulary);
  }
  /** tokens (batch, time): logits (batch, time, vocabulary). Without a cache, `positions` are those of the tokens. */
  forward(tokens: Tensor, cache: KVCache | null, positions: Tensor | null = cache && cache.positions): Tensor {
    const x = this.tokens.forward(tokens).add(this.places.forward(positions!));
    return this.head.forward(this.blocks.reduce((y, block, layer) => block.forward(y, layer, cache), x));
  }
}
