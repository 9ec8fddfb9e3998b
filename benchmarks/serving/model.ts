import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { manualSeed, nn, type Tensor } from '../../runtime/index.ts';
import { mlpModel } from './onnx.ts';

export const FEATURES = 784;

/** The model of the benchmark, with weights that are always the same: 784-512-512-10 with ReLU. */
export class Mlp extends nn.Module {
  /** The linear layers. With the activations between them they are `all`. */
  readonly layers: readonly nn.Linear[];
  readonly all: nn.Sequential;
  constructor(width = 512) {
    super();
    manualSeed(0);
    const layers = [new nn.Linear(FEATURES, width), new nn.Linear(width, width), new nn.Linear(width, 10)] as const;
    this.layers = layers;
    this.all = new nn.Sequential(layers[0], new nn.ReLU(), layers[1], new nn.ReLU(), layers[2]);
  }
  forward(x: Tensor): Tensor {
    return this.all.forward(x) as Tensor;
  }
}

/** The part of onnxruntime-node that the benchmark uses. */
export interface Session {
  run(batch: Float32Array, rows: number): Promise<Float32Array>;
}
interface OrtTensor {
  readonly data: Float32Array;
}
interface Ort {
  readonly Tensor: new (dtype: string, data: Float32Array, shape: readonly number[]) => OrtTensor;
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: object,
    ): Promise<{ run(inputs: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>;
  };
}

/** The folder in which onnxruntime-node is looked for. It is no dependency of Castor. */
export const peers = resolve(process.env.CASTOR_PEERS ?? join(import.meta.dirname, '../../build/peers'));
export const hasOrt = (): boolean => existsSync(join(peers, 'node_modules/onnxruntime-node'));
export const ORT_HINT = `figures of onnxruntime-node are left out: npm install --prefix ${peers} --ignore-scripts onnxruntime-node`;

/** Makes a session of onnxruntime-node with the same model, on one thread. */
export async function ortSession(model: Mlp): Promise<Session> {
  const ort = createRequire(join(peers, 'index.js'))('onnxruntime-node') as Ort;
  const weights = model.layers.map(({ weight, bias }) => ({
    weight: weight.dataSync() as Float32Array,
    bias: bias!.dataSync() as Float32Array,
  }));
  const one = { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential' };
  const session = await ort.InferenceSession.create(mlpModel(weights), one);
  return {
    run: async (batch, rows) =>
      (await session.run({ x: new ort.Tensor('float32', batch, [rows, FEATURES]) }))['y']!.data,
  };
}
