import { join } from 'node:path';
import {
  autocast,
  autograd,
  deviceInfo,
  F,
  graph,
  memory,
  noGrad,
  optim,
  randint,
  randn,
  synchronize,
  tidy,
  zeros,
  type Tensor,
} from '../runtime/index.ts';
import { multiUnscale } from '../runtime/dispatch/multi.ts';
import { median } from './measure.ts';
import type { Sizes } from './gpuSizes.ts';
import { Gpt, type GptConfig } from './model.ts';

/** The figures of one measurement by name. The last part of a name is its unit. */
export type Figures = Record<string, number>;
/** Prepares a measurement, and returns a function that measures. It is called several times, in turn with PyTorch's. */
export type Part = (sizes: Sizes) => () => Figures;

const ROUNDS = 5;

/**
 * The seconds that a call takes on the device: the median over rounds, each of which waits once for all of its calls.
 */
function seconds(fn: () => void, calls: number, rounds = ROUNDS): number {
  const round = (): number => {
    synchronize();
    const start = performance.now();
    for (let i = 0; i < calls; i++) fn();
    synchronize();
    return (performance.now() - start) / calls / 1000;
  };
  round();
  return median(Array.from({ length: rounds }, round));
}

const gbps = (bytes: number, time: number): number => bytes / time / 1e9;
const dtypes = { f32: 'float32', bf16: 'bfloat16' } as const;

const copy: Part = ({ elements, calls }) => {
  const [from, to] = [randn([elements]), zeros([elements])];
  return () => ({
    'copy.gbps': gbps(
      8 * elements,
      seconds(() => noGrad(() => void to.copy_(from)), calls),
    ),
  });
};

const add: Part = ({ elements, calls }) => {
  const pairs = Object.entries(dtypes).map(([short, dtype]) => {
    const [a, b] = [randn([elements], { dtype }), randn([elements], { dtype })];
    const bytes = 3 * elements * (dtype === 'float32' ? 4 : 2);
    return { name: `add.${short}.gbps`, bytes, run: () => noGrad(() => a.add(b).dispose()) };
  });
  return () => Object.fromEntries(pairs.map(({ name, bytes, run }) => [name, gbps(bytes, seconds(run, calls))]));
};

/** Milliseconds of forward and backward. */
function bothWays(forward: () => Tensor, inputs: Tensor[], gradient: Tensor, calls: number): number {
  const both = (): void => void tidy(() => void autograd.grad([forward()], inputs, { gradOutputs: [gradient] }));
  return seconds(both, calls) * 1e3;
}

const softmax: Part = ({ rows, columns, calls }) => {
  const dtype = 'bfloat16';
  const [x, g] = [randn([rows, columns], { dtype, requiresGrad: true }), randn([rows, columns], { dtype })];
  return () => ({ 'softmax.bf16.ms': bothWays(() => F.softmax(x, -1), [x], g, calls) });
};

const layerNorm: Part = ({ rows, columns, calls }) => {
  const dtype = 'bfloat16';
  const [x, g] = [randn([rows, columns], { dtype, requiresGrad: true }), randn([rows, columns], { dtype })];
  const [weight, bias] = [0, 1].map(() => randn([columns], { dtype, requiresGrad: true })) as [Tensor, Tensor];
  const forward = (): Tensor => F.layerNorm(x, [columns], weight, bias);
  return () => ({ 'layerNorm.bf16.ms': bothWays(forward, [x, weight, bias], g, calls) });
};

/** Random tensors of the shapes of the model's parameters: 148 of 124 M elements for GPT-2. */
function likeParameters(config: GptConfig): Tensor[] {
  return [...new Gpt(config).parameters()].map(p => randn(p.shape));
}

const unscale: Part = ({ gpt, calls }) => {
  const gradients = likeParameters(gpt);
  const elements = gradients.reduce((n, g) => n + g.numel, 0);
  const [inverse, found] = [zeros([]).add(1), zeros([])];
  return () => {
    const time = seconds(() => multiUnscale(gradients, inverse, found), calls);
    return { 'unscale.gbps': gbps(8 * elements, time), 'unscale.tensors': gradients.length };
  };
};

const adamw: Part = ({ gpt, calls }) => {
  const parameters = [...new Gpt(gpt).parameters()];
  for (const p of parameters) p.grad = randn(p.shape);
  const optimizer = new optim.AdamW(parameters, { lr: 1e-4 });
  return () => ({ 'adamw.ms': seconds(() => optimizer.step(), calls) * 1e3 });
};

/** Products by Castor's kernels. The other figure is that of cuBLASLt. */
export const OWN_MATMUL = 'matmul.own.bf16.tflops';
const matmul: Part = ({ square: n, calls }) => {
  const [a, b] = [0, 1].map(() => randn([n, n], { dtype: 'bfloat16' })) as [Tensor, Tensor];
  const product = (): void => noGrad(() => a.matmul(b).dispose());
  return () => {
    const tflops = (2 * n ** 3) / seconds(product, calls) / 1e12;
    // The library that computed them is known at this point.
    return { [deviceInfo('cuda').matmul === 'castor' ? OWN_MATMUL : 'matmul.bf16.tflops']: tflops };
  };
};

/** The host time of a call on a small tensor. The wait for the device is not included. */
const launch: Part = () => {
  const [a, b] = [randn([1024]), randn([1024])];
  const CALLS = 500;
  const round = (): number => {
    synchronize();
    const start = performance.now();
    noGrad(() => {
      for (let i = 0; i < CALLS; i++) a.add(b).dispose();
    });
    return ((performance.now() - start) / CALLS) * 1e3;
  };
  return () => {
    round();
    const value = median(Array.from({ length: 9 }, round));
    synchronize();
    return { 'launch.us': value };
  };
};

/** Training steps of the model: tokens per second, and the peak of live memory, including parameters and optimizer. */
const gpt =
  (name: string, dtype: 'float32' | 'bfloat16', captured = false): Part =>
  ({ gpt: config, batch, steps }) => {
    const before = memory.stats().liveBytes;
    memory.resetPeak();
    const model = new Gpt(config);
    const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
    const ids = randint(0, config.vocabulary, [batch, config.context]);
    const targets = randint(0, config.vocabulary, [batch * config.context]);
    const loss = (): Tensor => F.crossEntropy(model.forward(ids).reshape([-1, config.vocabulary]), targets);
    // The loss of a step: another forward pass would count in the peak.
    const last = zeros([]);
    let step = (): void =>
      tidy(() => {
        optimizer.zeroGrad();
        const value = dtype === 'float32' ? loss() : autocast({ dtype }, loss);
        value.backward();
        optimizer.step();
        noGrad(() => void last.copy_(value));
      });
    if (captured) {
      const recorded = graph.capture(step);
      step = () => recorded.replay();
    }
    return () => {
      const time = seconds(step, steps, 3);
      if (!Number.isFinite(last.itemSync())) throw new Error(`the loss is ${last.itemSync()}`);
      const tokens = (batch * config.context) / time;
      return { [`${name}.tokens`]: tokens, [`${name}.peak.mb`]: (memory.peak() - before) / 2 ** 20 };
    };
  };

/** The seconds from the start of a process to the end of its first training step, which also loads the kernels. */
const start: Part =
  ({ gpt }) =>
  () => {
    const begun = performance.now();
    const program = [process.execPath, join(import.meta.dirname, 'firstStep.ts'), String(Math.min(256, gpt.width))];
    const { exitCode, signalCode, stderr } = Bun.spawnSync(program, { timeout: 60_000, killSignal: 'SIGKILL' });
    if (exitCode !== 0) throw new Error(`${signalCode ?? ''} ${stderr.toString().slice(-2000)}`);
    return { 'start.seconds': (performance.now() - begun) / 1000 };
  };

/** The slowest parts are last, so that an interrupted run has the others. */
export const parts: Record<string, Part> = {
  copy,
  add,
  softmax,
  layerNorm,
  unscale,
  adamw,
  matmul,
  launch,
  start,
  'gpt.bf16': gpt('gpt.bf16', 'bfloat16'),
  'gpt.graph': gpt('gpt.graph', 'bfloat16', true),
  'gpt.f32': gpt('gpt.f32', 'float32'),
};
