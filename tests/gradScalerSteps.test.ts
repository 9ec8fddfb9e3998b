import { describe, expect, test } from 'bun:test';
import {
  autocast,
  F,
  GradScaler,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  tensor,
  tidy,
  type Tensor,
} from 'castor';

/** The kinds of steps: decided on the device for built-in optimizers, on the host for all others. */
const optimizers = {
  SGD: (params: Tensor[]) => new optim.SGD(params, { lr: 1, momentum: 0.5 }),
  Adam: (params: Tensor[]) => new optim.Adam(params),
  AdamW: (params: Tensor[]) => new optim.AdamW(params, { amsgrad: true }),
  'one of your own': (params: Tensor[]) => ({
    parameters: () => params,
    step: () => noGrad(() => params.forEach(p => p.sub_(p.grad!))),
  }),
};
const paths = Object.entries(optimizers).flatMap(([name, make]) =>
  [false, true].map(before => [`${name}, ${before ? 'after unscale()' : 'unscaled by step()'}`, make, before] as const),
);

describe('gradients after a step are the unscaled ones', () => {
  test.each(paths)('%s', async (_, make, before) => {
    for (const [given, left] of [
      [
        [Infinity, 4],
        [Infinity, 1],
      ],
      [
        [8, -Infinity],
        [2, -Infinity],
      ],
      [
        [NaN, -2],
        [NaN, -0.5],
      ],
      [
        [8, 4],
        [2, 1],
      ],
    ] as const) {
      const scaler = new GradScaler({ initScale: 4 });
      const w = nn.Parameter(ones([2]));
      const optimizer = make([w]);
      scaler.scale(tensor(1));
      w.grad = tensor([...given]);
      if (before) scaler.unscale(optimizer);
      const { skipped } = await scaler.step(optimizer);
      scaler.update();
      const finite = given.every(Number.isFinite);
      expect(await skipped).toBe(!finite);
      expect(w.grad.toArraySync()).toEqual([...left]);
      if (finite) expect(w.toArraySync()).not.toEqual([1, 1]);
      else expect(w.toArraySync()).toEqual([1, 1]);
    }
  });
});

test.each(['SGD', 'Adam', 'AdamW'] as const)('a whole iteration with %s reads nothing from the device', name => {
  manualSeed(4);
  const model = new nn.Sequential(new nn.Linear(8, 8), new nn.Tanh(), new nn.Linear(8, 1));
  const optimizer = optimizers[name]([...model.parameters()]);
  const scaler = new GradScaler({ initScale: 16, growthInterval: 2 });
  const [x, y] = [randn([4, 8]), randn([4, 1])];
  const iteration = (factor: number): void =>
    tidy(() => {
      optimizer.zeroGrad();
      const loss = autocast({ dtype: 'float16' }, () => F.mseLoss(model.forward(x) as Tensor, y));
      scaler.scale(loss.mul(factor)).backward();
      scaler.unscale(optimizer);
      nn.clipGradNorm(model.parameters(), 1);
      scaler.step(optimizer);
      scaler.update();
    });
  const before = memory.stats().hostReads;
  for (const factor of [1, Infinity, 1, 1]) iteration(factor);
  expect(memory.stats().hostReads).toBe(before);
  expect(scaler.skippedStepsSync()).toBe(1);
  expect(memory.stats().hostReads).toBe(before + 1);
});
