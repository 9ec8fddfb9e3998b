/** The learning rate of a captured training step, which the host decides, and skipped steps, which it is told of. */
import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  full,
  GradientOverflowError,
  GradScaler,
  graph,
  GraphError,
  keep,
  memory,
  nn,
  ones,
  optim,
  tidy,
  type Device,
  type GradScalerOptions,
  type Tensor,
} from 'castor';
import { devices } from './setup.ts';

const bits = (t: Tensor): number[] => [...(t.dataSync() as Float32Array)];

type Make = (a: Tensor, b: Tensor) => optim.SGD | optim.Adam | optim.AdamW;
const optimizers: Record<string, Make> = {
  SGD: (a, b) => new optim.SGD([a, b], { lr: 0.5 }),
  'SGD with momentum': (a, b) => new optim.SGD([a, b], { lr: 0.5, momentum: 0.9, weightDecay: 0.1 }),
  Adam: (a, b) => new optim.Adam([a, b], { lr: 0.5, amsgrad: true }),
  'AdamW with two groups': (a, b) =>
    new optim.AdamW([{ params: [a], lr: 0.25 }, { params: [b] }], { weightDecay: 0.5 }),
};

/** A step on two parameters, whose gradients are `factor`, as a test of what an optimizer and a scaler do with it. */
function training(device: Device, make: Make, options: GradScalerOptions = {}) {
  const [a, b] = [2, 3].map(n => keep(nn.Parameter(ones([n], { device })))) as [Tensor, Tensor];
  const factor = keep(full([], 1, { device }));
  const optimizer = make(a, b);
  const scaler = new GradScaler({ initScale: 4, growthInterval: 1000, device, ...options });
  const step = (): void => {
    optimizer.zeroGrad();
    scaler.scale(a.mul(factor).sum().add(b.square().sum())).backward();
    scaler.step(optimizer);
    scaler.update();
  };
  return { step, optimizer, scaler, factor, state: (): number[][] => [bits(a), bits(b)] };
}

describe.each(devices)('the learning rate of a captured step on %s', device => {
  test.each(Object.entries(optimizers))('%s follows its schedule to the bit', (_, make) => {
    const rates = [0.5, 0.5, 0.1, 0.1, 0, 1 / 3, 0.5];
    const [eager, captured] = [training(device, make), training(device, make)];
    tidy(eager.step);
    const step = graph.capture(captured.step);
    expect(captured.state()).toEqual(eager.state());
    for (const [i, lr] of rates.entries()) {
      for (const { optimizer } of [eager, captured])
        optimizer.paramGroups.forEach((group, j) => (group.lr = j === 0 ? lr : lr / 2));
      tidy(eager.step);
      step.replay();
      expect({ i, state: captured.state() }).toEqual({ i, state: eager.state() });
    }
    step.dispose();
  });
  test('is that of the group at each replay, also with two graphs and steps outside of them', () => {
    const [eager, captured] = [training(device, optimizers['Adam']!), training(device, optimizers['Adam']!)];
    tidy(eager.step);
    const [first, second] = [graph.capture(captured.step), graph.capture(captured.step, { warmup: 0 })];
    const ways = [first, second, null, first, second, second, null, first];
    for (const [i, way] of ways.entries()) {
      for (const { optimizer } of [eager, captured]) optimizer.paramGroups[0]!.lr = [0.1, 0.2, 0.1][i % 3]!;
      tidy(eager.step);
      if (way) way.replay();
      else tidy(captured.step);
      expect({ i, state: captured.state() }).toEqual({ i, state: eager.state() });
    }
    first.dispose();
    second.dispose();
  });
  test('follows a loaded state, and is the default of a group without one', () => {
    const [eager, captured] = [training(device, optimizers['SGD']!), training(device, optimizers['SGD']!)];
    tidy(eager.step);
    const step = graph.capture(captured.step);
    for (const { optimizer } of [eager, captured]) optimizer.paramGroups[0]!.lr = 0.125;
    const saved = eager.optimizer.stateDict();
    captured.optimizer.paramGroups[0]!.lr = 99;
    captured.optimizer.loadStateDict(saved);
    for (const lr of [0.125, undefined]) {
      for (const { optimizer } of [eager, captured]) optimizer.paramGroups[0]!.lr = lr!;
      tidy(eager.step);
      step.replay();
      expect(captured.state()).toEqual(eager.state());
    }
    step.dispose();
  });
  test('that is not valid is refused before anything runs', () => {
    const { step, optimizer, state } = training(device, optimizers['SGD']!);
    using captured = graph.capture(step);
    const before = state();
    optimizer.paramGroups[0]!.lr = NaN;
    expect(() => captured.replay()).toThrow(ArgumentError);
    expect(state()).toEqual(before);
  });
  test('is one of at most 256 in a graph', () => {
    const capture = (groups: number): void =>
      tidy(() => {
        const params = Array.from({ length: groups }, () => nn.Parameter(ones([1], { device })));
        const optimizer = new optim.SGD(
          params.map(p => ({ params: [p] })),
          { lr: 1 },
        );
        graph
          .capture(
            () => {
              optimizer.zeroGrad();
              for (const p of params) p.sum().backward();
              optimizer.step();
            },
            { device },
          )
          .dispose();
      });
    capture(256);
    expect(() => capture(257)).toThrow(GraphError);
    expect(() => capture(257)).toThrow(/room for 256 learning rates.*fewer steps/);
  });
  test('needs a step before the capture, which makes the state of the optimizer', () => {
    const { step } = training(device, optimizers['SGD']!);
    expect(() => graph.capture(step, { warmup: 0 })).toThrow(/no state yet.*warmup/);
  });
});

describe.each(devices)('a GradScaler in a captured step on %s', device => {
  const overflows = [1, Infinity, 1, 1, NaN, Infinity, 1];

  test('calls onSkip for the iterations that it skips, as an eager loop does', async () => {
    const told: Record<string, number[]> = { eager: [], captured: [] };
    const made = Object.keys(told).map(name =>
      training(device, optimizers['Adam']!, {
        onSkip: ({ iteration, optimizer }) => {
          expect(optimizer).toBeInstanceOf(optim.Adam);
          told[name]!.push(iteration);
        },
      }),
    );
    const [eager, captured] = made as [(typeof made)[0], (typeof made)[0]];
    tidy(eager.step);
    const step = graph.capture(captured.step);
    for (const value of overflows) {
      for (const { factor } of made) factor.fill_(value);
      tidy(eager.step);
      step.replay();
    }
    const state = await Promise.all(made.map(({ scaler }) => scaler.skippedSteps()));
    await Bun.sleep(0);
    expect(state).toEqual([3, 3]);
    expect(told).toEqual({ eager: [2, 5, 6], captured: [2, 5, 6] });
    expect(captured.state()).toEqual(eager.state());
    step.dispose();
  });
  test('throws after maxConsecutiveSkips in a row, and names the parameters', () => {
    const { step, factor } = training(device, optimizers['SGD']!, { maxConsecutiveSkips: 2 });
    using captured = graph.capture(step);
    const replay = (value: number): void => {
      factor.fill_(value);
      captured.replay();
    };
    for (const value of [1, Infinity, 1, NaN]) replay(value);
    let caught: unknown;
    try {
      replay(Infinity);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(GradientOverflowError);
    expect((caught as GradientOverflowError).message).toContain('2 iterations in a row were skipped');
    expect((caught as GradientOverflowError).parameters).toEqual(['parameter 0 of shape [2]']);
    replay(1);
    replay(Infinity);
    expect(() => replay(Infinity)).toThrow(GradientOverflowError);
  });
  test('gives back what it reads after replays when the graph is disposed', () => {
    const cycle = (): void => {
      const { step } = training(device, optimizers['SGD']!, { onSkip: () => {}, maxConsecutiveSkips: 3 });
      const captured = graph.capture(step);
      captured.replay();
      const before = memory.stats(device).liveStorages;
      captured.dispose();
      expect(memory.stats(device).liveStorages).toBe(before - 2);
    };
    tidy(cycle);
  });
});
