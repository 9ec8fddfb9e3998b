import { describe, expect, test } from 'bun:test';
import { F, GradScaler, nn, optim, tensor, tidy, zeros, type Device, type Tensor } from 'castor';
import { devices } from '../setup.ts';
import { load, numberOf, toTensor, valuesOf, type Stored, type StoredTensor } from '../golden/load.ts';

interface Optimised {
  optimizer: 'SGD' | 'Adam' | 'AdamW';
  options: object;
  start: StoredTensor[];
  gradients: StoredTensor[][];
  steps: StoredTensor[][];
}
interface Clipped {
  normType: Stored;
  maxNorm: number;
  gradients: StoredTensor[];
  total: StoredTensor;
  clipped: StoredTensor[];
}
interface Curve {
  model: 'mlp' | 'block';
  weights: Record<string, StoredTensor>;
  data: Record<string, StoredTensor>;
  losses: number[];
  trained: Record<string, StoredTensor>;
}
interface Scaled {
  growthFactor: number;
  backoffFactor: number;
  growthInterval: number;
  initScale: number;
  overflows: number[];
  scales: number[];
  trackers: number[];
}

const close = { rtol: 1e-6, atol: 1e-7 };
const all = (stored: Record<string, StoredTensor>, device: Device): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(stored).map(([name, t]) => [name, toTensor(t, device)]));

type Weights = Record<string, Tensor>;
const models: Record<
  Curve['model'],
  { loss(w: Weights, d: Weights): Tensor; optimizer(params: Tensor[]): optim.SGD | optim.AdamW }
> = {
  mlp: {
    loss: ({ w1, b1, w2, b2 }, { x, target }) =>
      F.crossEntropy(F.linear(F.linear(x!, w1!, b1!).relu(), w2!, b2!), target!),
    optimizer: params => new optim.SGD(params, { lr: 0.5, momentum: 0.9 }),
  },
  block: {
    loss: (w, { ids, target }) => {
      const x = F.embedding(ids!, w.embedding!);
      const [q, k, v] = F.linear(F.layerNorm(x, [8], w.gain1, w.shift1), w.qkv!).chunk(3, -1);
      const heads = (t: Tensor): Tensor => t.reshape(2, 6, 2, 4).transpose(1, 2);
      const mixed = F.scaledDotProductAttention(heads(q!), heads(k!), heads(v!), { causal: true });
      const y = x.add(F.linear(mixed.transpose(1, 2).reshape(2, 6, 8), w.out!));
      const hidden = F.linear(F.layerNorm(y, [8], w.gain2, w.shift2), w.up!).gelu();
      const z = y.add(F.linear(hidden, w.down!));
      return F.crossEntropy(F.linear(z, w.embedding!).reshape(-1, 7), target!.reshape(-1));
    },
    optimizer: params => new optim.AdamW(params, { lr: 0.03, weightDecay: 0.1 }),
  },
};

describe.each([...devices])('as in PyTorch, on %s,', device => {
  const optimised = load<Optimised>('optimizers').map(
    row => [row.optimizer, JSON.stringify(row.options), row] as const,
  );
  test.each(optimised)('ten steps of %s with %s', (name, _, { options, start, gradients, steps }) => {
    const params = start.map(p => toTensor(p, device).requiresGrad_());
    const optimizer = new optim[name](params, options);
    gradients.forEach((grads, step) => {
      params.forEach((p, i) => (p.grad = toTensor(grads[i]!, device)));
      optimizer.step();
      params.forEach((p, i) =>
        expect(p, `parameter ${i} after step ${step + 1}`).toBeAllclose(valuesOf(steps[step]![i]!), close),
      );
    });
  });

  test.each(load<Clipped>('clipping').map(row => [row.normType, row.maxNorm, row] as const))(
    'gradients are clipped by their norm of order %s to %d',
    (p, maxNorm, row) => {
      tidy(() => {
        const params = row.gradients.map(g => zeros(g.shape, { dtype: 'float64', device, requiresGrad: true }));
        params.forEach((param, i) => (param.grad = toTensor(row.gradients[i]!, device)));
        const total = nn.clipGradNorm(params, maxNorm, { normType: numberOf(p) });
        expect(total).toBeAllclose(valuesOf(row.total), { rtol: 1e-6 });
        params.forEach((param, i) => expect(param.grad!).toBeAllclose(valuesOf(row.clipped[i]!), close));
      });
    },
  );

  test.each(load<Curve>('curves').map(row => [row.model, row] as const))(
    'ten steps of training a small %s give the same losses and weights',
    (model, row) => {
      const { loss, optimizer } = models[model];
      const weights = all(row.weights, device);
      const data = all(row.data, device);
      const step = optimizer(Object.values(weights).map(w => w.requiresGrad_()));
      const losses = row.losses.map(() => {
        const value = loss(weights, data);
        step.zeroGrad();
        value.backward();
        step.step();
        return value.itemSync();
      });
      expect(losses).toBeAllclose(row.losses, close);
      for (const [name, trained] of Object.entries(row.trained))
        expect(weights[name]!, name).toBeAllclose(valuesOf(trained), { rtol: 1e-5, atol: 1e-6 });
    },
  );

  test.each(load<Scaled>('scaler').map(row => [row.growthInterval, row] as const))(
    'the loss scale grows after %d good steps and backs off after an overflow',
    (_, row) => {
      const { overflows, scales, trackers, ...options } = row;
      const scaler = new GradScaler({ ...options, device });
      const weight = tensor([1], { device, requiresGrad: true });
      const optimizer = new optim.SGD([weight], { lr: 0 });
      const states = overflows.map(overflow => {
        optimizer.zeroGrad();
        scaler.scale(weight.mul(overflow ? Infinity : 1).sum()).backward();
        scaler.step(optimizer);
        scaler.update();
        return scaler.stateDict()!;
      });
      expect(states.map(state => state.scale)).toBeAllclose(scales);
      expect(states.map(state => state.growthTracker)).toEqual(trackers);
      expect(states.at(-1)!.skippedSteps).toBe(overflows.reduce((a, b) => a + b));
    },
  );
});
