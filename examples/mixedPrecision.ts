/**
 * Shows the gain of mixed precision: trains one model on the same text in float32, under autocast in bfloat16, and under
 * autocast in float16 with a GradScaler. The three take turns, step by step, on whatever device there is. Prints the time
 * of a step, the memory that the forward pass keeps for backward, and the loss at the end.
 * Run it with: bun examples/mixedPrecision.ts
 */
import { join } from 'node:path';
import { autocast, data, F, Generator, getDefaultDevice, GradScaler, manualSeed, memory } from 'castor';
import { nn, optim, synchronize, tidy, train, type Tensor } from 'castor';

const { whole } = train;
const options = {
  steps: whole(20, 'optimizer steps'),
  layers: whole(2, 'blocks of attention and MLP'),
  width: whole(512, 'features of each byte, 64 for each attention head'),
  context: whole(128, 'bytes the model looks back'),
  batch: whole(8, 'texts a step'),
};
type Sizes = { readonly [name in keyof typeof options]: number };

class Block extends nn.Module {
  readonly norm: nn.LayerNorm;
  readonly qkv: nn.Linear;
  readonly project: nn.Linear;
  readonly mlp: nn.Sequential;

  constructor(width: number) {
    super();
    this.norm = new nn.LayerNorm(width);
    this.qkv = new nn.Linear(width, 3 * width);
    this.project = new nn.Linear(width, width);
    const [up, down] = [new nn.Linear(width, 4 * width), new nn.Linear(4 * width, width)];
    this.mlp = new nn.Sequential(new nn.LayerNorm(width), up, new nn.GELU(), down);
  }

  /** x (batch, time, width). tidy: what backward does not need is freed when it returns. */
  forward(x: Tensor): Tensor {
    return tidy(() => {
      const [batch, time, width] = x.shape as [number, number, number];
      const heads = this.qkv.forward(this.norm.forward(x)).reshape([batch, time, 3, width / 64, 64]);
      const [q, k, v] = heads.permute(2, 0, 3, 1, 4).unbind() as [Tensor, Tensor, Tensor];
      const mixed = F.scaledDotProductAttention(q, k, v, { causal: true }).transpose(1, 2);
      const attended = x.add(this.project.forward(mixed.reshape([batch, time, width])));
      return attended.add(this.mlp.forward(attended));
    });
  }
}

/** Predicts each byte of a text from those before it. */
class Model extends nn.Module {
  readonly bytes: nn.Embedding;
  readonly places: nn.Embedding;
  readonly blocks: readonly Block[];
  readonly head: nn.Sequential;

  constructor({ layers, width, context }: Sizes) {
    super();
    this.bytes = new nn.Embedding(256, width);
    this.places = new nn.Embedding(context, width);
    this.blocks = Array.from({ length: layers }, () => new Block(width));
    this.head = new nn.Sequential(new nn.LayerNorm(width), new nn.Linear(width, 256));
  }

  /** ids (batch, context) of bytes: logits (batch, context, 256). */
  forward(ids: Tensor): Tensor {
    const x = this.bytes.forward(ids).add(this.places.weight);
    return this.head.forward(this.blocks.reduce((y, block) => block.forward(y), x));
  }
}

const precisions = ['float32', 'bfloat16', 'float16'] as const;
type Precision = (typeof precisions)[number];

/** The seconds of each step, the bytes of its activations, and its loss in nats. */
interface Log {
  readonly seconds: number[];
  readonly bytes: number[];
  readonly losses: number[];
}

/** A training of the model. Each has the same weights at first and sees the same batches. */
class Training {
  readonly log: Log = { seconds: [], bytes: [], losses: [] };
  readonly model: Model;
  readonly #text: data.ByteWindows;
  readonly #batch: number;
  readonly #precision: Precision;
  readonly #optimizer: optim.AdamW;
  readonly #scaler: GradScaler;
  readonly #generator = new Generator(1);

  constructor(text: data.ByteWindows, sizes: Sizes, precision: Precision) {
    manualSeed(0);
    this.model = new Model(sizes);
    this.#text = text;
    this.#batch = sizes.batch;
    this.#precision = precision;
    this.#optimizer = new optim.AdamW(this.model.parameters(), { lr: 1e-3 });
    this.#scaler = new GradScaler({ enabled: precision === 'float16' });
  }

  step(): void {
    tidy(() => {
      const { input, target } = this.#text.random(this.#batch, this.#generator);
      this.#optimizer.zeroGrad();
      synchronize();
      const [start, before] = [performance.now(), memory.stats().liveBytes];
      memory.resetPeak();
      const loss = this.#forward(input, target);
      this.log.bytes.push(memory.peak() - before);
      this.#scaler.scale(loss).backward();
      this.#scaler.step(this.#optimizer);
      this.#scaler.update();
      this.log.losses.push(loss.itemSync());
      this.log.seconds.push((performance.now() - start) / 1000);
    });
  }

  #forward(input: Tensor, target: Tensor): Tensor {
    const dtype = this.#precision;
    const loss = (): Tensor => F.crossEntropy(this.model.forward(input).flatten(0, 1), target.flatten());
    return dtype === 'float32' ? loss() : autocast({ dtype }, loss);
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** One line: the figures of a training, and how they compare with those in float32. */
function line(precision: Precision, { seconds, bytes, losses }: Log, reference: Log): string {
  const [time, size] = [median(seconds), median(bytes)];
  const cells = [
    `${(time * 1000).toFixed(1)} ms`,
    `${(median(reference.seconds) / time).toFixed(2)}x`,
    train.shortBytes(size),
    `${(size / median(reference.bytes)).toFixed(2)}x`,
    mean(losses.slice(-5)).toFixed(3),
  ];
  return precision.padEnd(8) + cells.map(cell => cell.padStart(10)).join('');
}

await train.program('bun examples/mixedPrecision.ts [options]', options, async sizes => {
  const text = Buffer.concat(data.readPages(join(import.meta.dir, '../docs/design.md')));
  const windows = new data.ByteWindows(new Uint8Array(text), sizes.context);
  const trainings = precisions.map(precision => new Training(windows, sizes, precision));
  for (let step = 0; step < sizes.steps; step++) for (const training of trainings) training.step();

  const parameters = train.shortCount(trainings[0]!.model.parameterCount);
  const size = `${parameters} parameters, ${sizes.steps} steps of ${sizes.batch}x${sizes.context} bytes`;
  console.log(`${train.deviceLine(getDefaultDevice())}: ${size}`);
  console.log(' '.repeat(8) + ['step', 'speed', 'memory', 'ratio', 'loss'].map(word => word.padStart(10)).join(''));
  trainings.forEach(({ log }, i) => console.log(line(precisions[i]!, log, trainings[0]!.log)));
});

// Expected: the three losses agree. Where the device has units for 16 bits, the steps under autocast take less time; everywhere they
// take less memory.
