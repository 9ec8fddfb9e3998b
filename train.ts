/** Trains a small byte-level GPT with autocast and a gradient scaler. All options: bun train.ts --help */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { arange, ArgumentError, autocast, F, Generator, GradScaler, manualSeed } from './runtime/index.ts';
import { data, getDefaultDevice, io, nn, optim, setDefaultDevice, tidy, train } from './runtime/index.ts';
import type { Device, Tensor } from './runtime/index.ts';

const { choice, flag, real, text, whole } = train;
const options = {
  data: text('PATH', 'text to learn: a file, or a folder (default: the documentation of Bun)'),
  device: text('NAME', 'cpu, cuda, cuda:1 ... (default: cuda when a GPU is there)'),
  dtype: choice(['float16', 'bfloat16', 'float32'], 'float16', 'what products are computed in'),
  steps: whole(300, 'optimizer steps'),
  seed: whole(0, 'of all random numbers: the same seed gives the same losses', 0),
  out: text('DIR', 'write checkpoint.safetensors, metrics.jsonl, loss.svg and sample.txt there'),
  resume: flag('go on from the checkpoint in --out'),
  layers: whole(4, 'blocks of attention and MLP'),
  width: whole(128, 'features of each byte'),
  heads: whole(4, 'attention heads'),
  context: whole(128, 'bytes the model looks back'),
  batch: whole(16, 'texts a step'),
  lr: real(3e-3, 'peak learning rate'),
  sample: whole(400, 'bytes of text to generate at the end', 0),
};

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

  /** x (batch, time, width). tidy: what backward does not need is freed when it returns. */
  forward(x: Tensor): Tensor {
    return tidy(() => {
      const [batch, time, width] = x.shape as [number, number, number];
      const heads = this.qkv.forward(this.norm.forward(x)).reshape(batch, time, 3, this.heads, width / this.heads);
      const [q, k, v] = heads.permute(2, 0, 3, 1, 4).unbind() as [Tensor, Tensor, Tensor];
      const mixed = F.scaledDotProductAttention(q, k, v, { causal: true }).transpose(1, 2);
      const attended = x.add(this.project.forward(mixed.reshape(batch, time, width)));
      return attended.add(this.mlp.forward(attended));
    });
  }
}

class GPT extends nn.Module {
  readonly bytes: nn.Embedding;
  readonly places: nn.Embedding;
  readonly blocks: readonly Block[];
  readonly head: nn.Sequential;

  constructor({ layers, width, heads, context }: { layers: number; width: number; heads: number; context: number }) {
    super();
    if (width % heads)
      throw new ArgumentError(`a width of ${width} cannot be shared by ${heads} heads`, {
        advice: 'It must be a multiple',
      });
    this.bytes = new nn.Embedding(256, width);
    this.places = new nn.Embedding(context, width);
    this.blocks = Array.from({ length: layers }, () => new Block(width, heads));
    this.head = new nn.Sequential(new nn.LayerNorm(width), new nn.Linear(width, 256));
    this.apply(module => {
      if (module instanceof nn.Linear || module instanceof nn.Embedding) nn.init.normal(module.weight, 0, 0.02);
      if (module instanceof nn.Linear) nn.init.constant(module.bias!, 0);
    });
  }

  /** ids (batch, time) of bytes: logits (batch, time, 256) of the byte that follows each. */
  forward(ids: Tensor): Tensor {
    const x = this.bytes.forward(ids).add(this.places.forward(arange(ids.shape[1]!)));
    return this.head.forward(this.blocks.reduce((y, block) => block.forward(y), x));
  }
}

await train.program('bun train.ts [options]: trains a small GPT on the bytes of a text', options, async options => {
  const { dtype, steps, seed, out, context, batch } = options;
  if (options.device) setDefaultDevice(options.device as Device);
  const text = data.holdOut(data.readPages(options.data ?? join(import.meta.dir, 'node_modules/bun-types/docs')));
  const learnt = new data.ByteWindows(text.train, context);
  const heldOut = new data.ByteWindows(text.heldOut, context);

  const generators = { weights: manualSeed(seed), data: new Generator(seed + 1) };
  const model = new GPT(options);
  const optimizer = new optim.AdamW(model.parameters(), { lr: options.lr, betas: [0.9, 0.95], weightDecay: 0.1 });
  const scaler = new GradScaler({ enabled: dtype === 'float16' });
  const precision = dtype === 'float32' ? { enabled: false } : { dtype };

  /** Cross-entropy in nats a byte. */
  const lossOf = ({ input, target }: data.ByteBatch): Tensor =>
    autocast(precision, () => F.crossEntropy(model.forward(input).flatten(0, 1), target.flatten()));

  const trainStep = (step: number): Tensor =>
    tidy(() => {
      const lr = optim.cosineWithWarmup(step, { peak: options.lr, warmup: 30, steps });
      for (const group of optimizer.paramGroups) group.lr = lr;
      const loss = lossOf(learnt.random(batch, generators.data));
      optimizer.zeroGrad();
      scaler.scale(loss).backward();
      scaler.unscale(optimizer);
      nn.clipGradNorm(model.parameters(), 1);
      scaler.step(optimizer);
      scaler.update();
      return loss;
    });

  const checkpoint = out && join(out, 'checkpoint.safetensors');
  const state = { model, optimizer, scaler, generators };
  if (options.resume && !checkpoint)
    throw new ArgumentError('--resume needs --out', { advice: 'Name the folder of the run to go on with' });
  const from = options.resume ? (await io.loadCheckpoint(checkpoint!, state)).step : 0;
  const size = `${train.shortCount(model.parameterCount)} parameters, ${train.shortBytes(text.train.length)} of text`;
  console.log(`${train.deviceLine(getDefaultDevice())}, ${dtype}, ${size}`);

  const monitor = new train.Monitor({ steps, tokensPerStep: batch * context, scaler, from, out });
  const interruption = train.interruption();
  let step = from;
  const save = async (): Promise<void> => {
    if (checkpoint) await io.saveCheckpoint(checkpoint, { ...state, step });
  };
  const milestone = async (): Promise<number> => {
    await save();
    return train.meanLoss(heldOut.spread(batch, 16), lossOf);
  };
  if (step === 0) await monitor.record(0, null, milestone);
  while (step < steps && !interruption.wanted) {
    using loss = trainStep(step++);
    await monitor.record(step, loss, step % 50 === 0 || step === steps ? milestone : null);
  }
  monitor.finish();
  if (step < steps) {
    await save();
    return monitor.print(`Stopped. ${out ? 'Go on with the same options and --resume' : 'With --out it could go on'}.`);
  }
  const generate = { context, length: options.sample, seed };
  const sample = await autocast(precision, () => train.generateText(ids => model.forward(ids), '# ', generate));
  if (out) writeFileSync(join(out, 'sample.txt'), sample);
  monitor.print(`\n${sample}`);
});
