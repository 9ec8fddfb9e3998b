import {
  autocast,
  F,
  GradScaler,
  nn,
  optim,
  rand,
  randint,
  tidy,
  type LowDType,
  type Tensor,
} from '../runtime/index.ts';
import { Gpt, type GptConfig } from './model.ts';

/** The short names of dtypes in the names of figures. */
export const dtypes = { f32: 'float32', bf16: 'bfloat16', f16: 'float16' } as const;
export type Short = keyof typeof dtypes;

/** A model in training: its loss for one batch, in float32 or under autocast, and its whole step. */
export interface Training {
  readonly forward: () => Tensor;
  readonly step: () => void;
}

interface Parts {
  readonly model: nn.Module;
  readonly loss: () => Tensor;
  readonly optimizer: optim.Adam | optim.AdamW;
  /** Are the gradients clipped to a norm of 1? */
  readonly clip: boolean;
}

/** A training in float32, or under autocast; in float16 with a scaler. */
function training({ model, loss, optimizer, clip }: Parts, short: Short): Training {
  const forward = (): Tensor => (short === 'f32' ? loss() : autocast({ dtype: dtypes[short] as LowDType }, loss));
  const scaler = new GradScaler({ enabled: short === 'f16' });
  const step = (): void =>
    tidy(() => {
      optimizer.zeroGrad();
      scaler.scale(forward()).backward();
      if (clip) {
        scaler.unscale(optimizer);
        nn.clipGradNorm(model.parameters(), 1);
      }
      scaler.step(optimizer);
      scaler.update();
    });
  return { forward, step };
}

export interface GptSizes {
  readonly gpt: GptConfig;
  readonly batch: number;
}
const gptOf = (layers: number, width: number, heads: number, context: number, vocabulary: number): GptConfig => ({
  layers,
  width,
  heads,
  context,
  vocabulary,
});
export const gpt512: GptSizes = { gpt: gptOf(4, 512, 8, 256, 256), batch: 4 };
/** The default model of train.ts. */
export const gpt128: GptSizes = { gpt: gptOf(4, 128, 4, 128, 256), batch: 16 };
export const tinyGpt: GptSizes = { gpt: gptOf(1, 32, 2, 16, 64), batch: 2 };

export function gptTraining({ gpt, batch }: GptSizes, short: Short): Training {
  const model = new Gpt(gpt);
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
  const ids = randint(0, gpt.vocabulary, [batch, gpt.context]);
  const target = randint(0, gpt.vocabulary, [batch * gpt.context]);
  const loss = (): Tensor => F.crossEntropy(model.forward(ids).reshape([-1, gpt.vocabulary]), target);
  return training({ model, loss, optimizer, clip: true }, short);
}

function classifier(model: nn.Sequential, x: Tensor, short: Short): Training {
  const target = randint(0, 10, [x.shape[0]!]);
  const optimizer = new optim.Adam(model.parameters());
  const loss = (): Tensor => F.crossEntropy(model.forward(x), target);
  return training({ model, loss, optimizer, clip: false }, short);
}

export interface MlpSizes {
  readonly width: number;
  readonly batch: number;
}
/** 784-width-width-10 with ReLU and Adam. */
export function mlpTraining({ width, batch }: MlpSizes, short: Short): Training {
  const model = new nn.Sequential(
    new nn.Linear(784, width),
    new nn.ReLU(),
    new nn.Linear(width, width),
    new nn.ReLU(),
    new nn.Linear(width, 10),
  );
  return classifier(model, rand([batch, 784]), short);
}

export interface ConvnetSizes {
  readonly channels: readonly number[];
  readonly batch: number;
}
/** Blocks of a 3x3 convolution, BatchNorm, ReLU and 2x2 pooling on images of 28x28, a linear layer, Adam. */
export function convnetTraining({ channels, batch }: ConvnetSizes, short: Short): Training {
  const blocks = channels.flatMap((to, i) => [
    new nn.Conv2d(channels[i - 1] ?? 1, to, 3, { padding: 1 }),
    new nn.BatchNorm2d(to),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
  ]);
  const model = new nn.Sequential(...blocks, new nn.Flatten(), new nn.Linear(channels.at(-1)! * 49, 10));
  return classifier(model, rand([batch, 1, 28, 28]), short);
}
