import { F, nn, tidy, type Tensor } from '../runtime/index.ts';

export interface GptConfig {
  layers: number;
  width: number;
  heads: number;
  context: number;
  vocabulary: number;
  /** Whether the head shares the weight of the token embedding. */
  tied?: boolean;
}

class Block extends nn.Module {
  readonly heads: number;
  norm1: nn.LayerNorm;
  qkv: nn.Linear;
  project: nn.Linear;
  norm2: nn.LayerNorm;
  widen: nn.Linear;
  narrow: nn.Linear;

  constructor({ width, heads }: GptConfig) {
    super();
    this.heads = heads;
    this.norm1 = new nn.LayerNorm(width);
    this.qkv = new nn.Linear(width, 3 * width);
    this.project = new nn.Linear(width, width);
    this.norm2 = new nn.LayerNorm(width);
    this.widen = new nn.Linear(width, 4 * width);
    this.narrow = new nn.Linear(4 * width, width);
  }
  forward(x: Tensor): Tensor {
    return tidy(() => {
      const [b, t, c] = x.shape as [number, number, number];
      const heads = this.qkv.forward(this.norm1.forward(x)).reshape([b, t, 3, this.heads, c / this.heads]);
      const [q, k, v] = heads.permute(2, 0, 3, 1, 4).unbind(0) as [Tensor, Tensor, Tensor];
      const seen = F.scaledDotProductAttention(q, k, v, { causal: true });
      const y = x.add(this.project.forward(seen.transpose(1, 2).reshape([b, t, c])));
      return y.add(this.narrow.forward(F.gelu(this.widen.forward(this.norm2.forward(y)))));
    });
  }
}

export class Gpt extends nn.Module {
  tokens: nn.Embedding;
  positions: nn.Embedding;
  blocks: Block[];
  norm: nn.LayerNorm;
  head: nn.Linear | null;

  constructor(config: GptConfig) {
    super();
    const { layers, width, context, vocabulary, tied = false } = config;
    this.tokens = new nn.Embedding(vocabulary, width);
    this.positions = new nn.Embedding(context, width);
    this.blocks = Array.from({ length: layers }, () => new Block(config));
    this.norm = new nn.LayerNorm(width);
    this.head = tied ? null : new nn.Linear(width, vocabulary, { bias: false });
  }
  forward(ids: Tensor): Tensor {
    const x = this.tokens.forward(ids).add(this.positions.weight);
    const y = this.norm.forward(this.blocks.reduce((t, block) => block.forward(t), x));
    return this.head ? this.head.forward(y) : F.linear(y, this.tokens.weight);
  }
}
