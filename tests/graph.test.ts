import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  autocast,
  AutogradError,
  cat,
  DisposedError,
  F,
  full,
  generator,
  Generator,
  GradScaler,
  graph,
  GraphError,
  keep,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  rand,
  randint,
  randn,
  randperm,
  synchronize,
  tensor,
  Tensor,
  tidy,
  withGenerator,
  zeros,
} from 'castor';

/** A test that starts from one seed, and whose tensors are all freed when it ends. */
const it = (name: string, fn: () => void | Promise<void>): void =>
  test(name, () => {
    manualSeed(1234);
    return tidy(fn);
  });
const bits = (t: Tensor): unknown[] => [...(t.dataSync() as Float32Array)];

describe('a graph', () => {
  it('does again what was captured, with the inputs of the moment', () => {
    const x = tensor([1, 2, 3]);
    using step = graph.capture(() => x.mul(2).add(1).sum(), { warmup: 0 });
    expect(step.replay().itemSync()).toBe(15);
    x.copy_(tensor([10, 20, 30]));
    expect(step.replay()).toBe(step.result);
    expect(step.result.itemSync()).toBe(123);
  });
  it('does nothing while it is captured, and warms up as often as asked', () => {
    const counter = zeros([]);
    for (const [warmup, runs] of [
      [0, 0],
      [undefined, 1],
      [3, 3],
    ] as const) {
      counter.zero_();
      using step = graph.capture(() => void counter.add_(1), warmup === undefined ? {} : { warmup });
      expect(counter.itemSync()).toBe(runs);
      step.replay();
      step.replay();
      expect(counter.itemSync()).toBe(runs + 2);
    }
  });
  it('returns whatever the function returns', () => {
    using step = graph.capture(() => ({ pair: [ones([2]), 5], name: 'text' }));
    step.replay();
    expect(step.result.name).toBe('text');
    expect((step.result.pair[0] as Tensor).toArraySync()).toEqual([1, 1]);
  });
  it('has memory of its own, which replays do not grow', () => {
    const x = randn([64, 64]);
    using step = graph.capture(() => x.matmul(x).relu().sum());
    const other = graph.capture(() => x.mul(2).sum());
    const wanted = x.matmul(x).relu().sum().itemSync();
    const before = memory.stats();
    for (let i = 0; i < 5; i++) {
      step.replay();
      other.replay();
    }
    expect(step.result.itemSync()).toBe(wanted);
    expect(memory.stats()).toMatchObject({ allocations: before.allocations, liveBytes: before.liveBytes });
    other.dispose();
    step.replay();
    expect(step.result.itemSync()).toBe(wanted);
  });
  it('gives everything back when it is disposed', () => {
    const before = memory.stats().liveStorages;
    const step = graph.capture(() => [randn([10]), randn([20]).add(1)]);
    expect(memory.stats().liveStorages).toBe(before + 2);
    step.dispose();
    step.dispose();
    expect(step.disposed).toBe(true);
    expect(step.result[0]!.disposed).toBe(true);
    expect(memory.stats().liveStorages).toBe(before);
    expect(() => step.replay()).toThrow(DisposedError);
  });
  test('that nobody refers to is given back', async () => {
    const made = (): void => {
      for (let i = 0; i < 20; i++) graph.capture(() => full([1000], i), { warmup: 0 });
    };
    const before = memory.stats().liveStorages;
    made();
    expect(memory.stats().liveStorages).toBe(before + 20);
    for (let i = 0; i < 50 && memory.stats().liveStorages > before + 1; i++) {
      Bun.gc(true);
      await Bun.sleep(1);
      memory.collect();
    }
    // The stack may still refer to one.
    expect(memory.stats().liveStorages).toBeLessThanOrEqual(before + 1);
  });
  it('notices that a tensor it uses is gone', () => {
    const x = ones([3]);
    using step = graph.capture(() => x.add(1));
    step.replay();
    x.dispose();
    expect(() => step.replay()).toThrow(/replay: .*created before the capture, has been freed/);
  });
  it('counts its writes, so that backward notices', () => {
    const w = nn.Parameter(ones([3]));
    const x = full([3], 2);
    using step = graph.capture(() => void x.add_(1));
    const loss = w.mul(x).sum();
    step.replay();
    expect(() => loss.backward()).toThrow(AutogradError);
  });
});

describe('autocast around a graph', () => {
  it('casts weights in each replay: they have changed meanwhile', () => {
    const w = nn.Parameter(ones([4, 4]));
    const x = ones([1, 4]);
    autocast({ dtype: 'bfloat16' }, () => {
      const forward = (): Tensor => x.matmul(w).sum();
      expect(forward().itemSync()).toBe(16);
      using step = graph.capture(forward);
      noGrad(() => w.fill_(3));
      expect(step.replay().itemSync()).toBe(48);
      expect(forward().itemSync()).toBe(48);
    });
  });
});

describe('random numbers in a graph', () => {
  const draws: Record<string, () => Tensor> = {
    rand: () => rand([37]),
    'rand of float64': () => rand([37], { dtype: 'float64' }),
    randn: () => randn([37]),
    randint: () => randint(0, 1000, [37]),
    randperm: () => randperm(37),
    dropout: () => F.dropout(ones([37]), 0.5),
    'several ops': () =>
      rand([5])
        .add(randn([5]))
        .mul(F.dropout(ones([5]), 0.3)),
  };
  for (const [name, draw] of Object.entries(draws))
    it(`${name}: are those of an eager loop`, () => {
      manualSeed(7);
      const eager = Array.from({ length: 5 }, () => bits(draw()));
      manualSeed(7);
      using step = graph.capture(draw, { warmup: 1 });
      const replayed = [bits(step.replay()), bits(step.replay())];
      // Ops that do not belong to the graph run in between.
      const between = bits(draw());
      expect([...replayed, between, bits(step.replay())]).toEqual(eager.slice(1));
      expect(generator().state().seed).toBe(7);
    });
  it('follow a seed that is set later', () => {
    using step = graph.capture(() => rand([8]));
    manualSeed(99);
    const first = bits(step.replay());
    manualSeed(99);
    expect(bits(rand([8]))).toEqual(first);
    manualSeed(99);
    expect(bits(step.replay())).toEqual(first);
  });
  it('come from the generator of the capture', () => {
    const own = new Generator(5);
    using step = withGenerator(own, () => graph.capture(() => rand([8]), { warmup: 0 }));
    const wanted = bits(rand([8], { generator: new Generator(5) }));
    expect(bits(step.replay())).toEqual(wanted);
    expect(own.state()).toEqual({ seed: 5, offset: 1 });
  });
  it('cannot come from two', () => {
    const other = new Generator(5);
    expect(() => graph.capture(() => rand([8]).add(rand([8], { generator: other })), { warmup: 0 })).toThrow(
      GraphError,
    );
    expect(() => graph.capture(() => manualSeed(3), { warmup: 0 })).toThrow(GraphError);
  });
});

describe('every kind of call', () => {
  const image = (): Tensor => rand([2, 4, 6, 6]);
  const kinds: Record<string, () => Tensor | readonly Tensor[]> = {
    'creation, copies and views': () =>
      cat([full([2, 3], 4), zeros([2, 3]), rand([3, 2]).T], 1)
        .to('float64')
        .tril(1),
    'numbers as operands': () =>
      rand([4, 4])
        .where(rand([4, 4]).gt(0.5), 1.5)
        .clamp({ min: 0.25 }),
    'reductions and scans': () => [rand([4, 5]).sum(1), rand([4, 5]).argmax(), rand([4, 5]).cumsum(0), rand([9]).var()],
    rows: () => [rand([4, 5]).softmax(1), F.layerNorm(rand([4, 5]), [5]), F.rmsNorm(rand([4, 5]), [5])],
    channels: () => {
      const running = { runningMean: zeros([4]), runningVar: ones([4]) };
      const x = image().requiresGrad_();
      const out = F.groupNorm(F.batchNorm(x, { ...running, training: true }), 2, rand([4]));
      out.mul(image()).sum().backward();
      return [out, x.grad!, running.runningMean, running.runningVar, F.batchNorm(image(), running)];
    },
    'sorting and indices': () => {
      const { values, indices } = rand([3, 8]).topk(3);
      return [values, indices, rand([3, 8]).gather(1, indices), zeros([3, 8]).scatterAdd(1, indices, values)];
    },
    products: () => [rand([3, 4]).matmul(rand([4, 5])), F.linear(rand([3, 4]), rand([6, 4]), rand([6]))],
    windows: () => [F.conv2d(image(), rand([3, 4, 3, 3]), rand([3])), F.maxPool2d(image(), 2), F.avgPool2d(image(), 3)],
    attention: () =>
      F.scaledDotProductAttention(rand([1, 2, 5, 8]), rand([1, 2, 5, 8]), rand([1, 2, 5, 8]), { causal: true }),
    backward: () => {
      const w = nn.Parameter(rand([4, 4]));
      F.crossEntropy(F.gelu(rand([5, 4]).matmul(w)), randint(0, 4, [5])).backward();
      return [w.grad!];
    },
  };
  for (const [name, fn] of Object.entries(kinds))
    it(name, () => {
      const all = (result: Tensor | readonly Tensor[]): unknown[] => [result].flat().map(t => bits(t as Tensor));
      const eager = all(fn());
      using step = graph.capture(fn, { warmup: 0 });
      const second = all(fn());
      manualSeed(1234);
      expect(all(step.replay())).toEqual(eager);
      expect(all(step.replay())).toEqual(second);
    });
});

it('running statistics follow every replay', () => {
  const fresh = (): { runningMean: Tensor; runningVar: Tensor } => ({ runningMean: zeros([4]), runningVar: ones([4]) });
  const [eager, captured] = [fresh(), fresh()];
  const x = rand([2, 4, 3]);
  using step = graph.capture(() => F.batchNorm(x, { ...captured, training: true }), { warmup: 0 });
  for (let i = 0; i < 3; i++) {
    const wanted = F.batchNorm(x, { ...eager, training: true });
    expect(bits(step.replay())).toEqual(bits(wanted));
    expect(bits(captured.runningMean)).toEqual(bits(eager.runningMean));
    expect(bits(captured.runningVar)).toEqual(bits(eager.runningVar));
    x.add_(1);
  }
});

// ---- training ------------------------------------------------------------------------------------------------------

interface Setup {
  readonly dtype?: 'float16' | 'bfloat16';
  readonly optimizer: (parameters: Iterable<Tensor>) => optim.AdamW | optim.SGD;
  readonly clip?: boolean;
}
const setups: Record<string, Setup> = {
  'float16 autocast, GradScaler, AdamW': { dtype: 'float16', optimizer: p => new optim.AdamW(p, { lr: 0.01 }) },
  'bfloat16 autocast, Adam with amsgrad': {
    dtype: 'bfloat16',
    optimizer: p => new optim.Adam(p, { lr: 0.01, amsgrad: true }),
  },
  'float32, SGD with momentum, clipping': { optimizer: p => new optim.SGD(p, { lr: 0.05, momentum: 0.9 }), clip: true },
};
const STEPS = 8;

/** A small network with dropout, whose inputs overflow float16 in one of the training steps. */
function makeTraining({ dtype, optimizer: make, clip }: Setup): {
  step: () => Tensor;
  load: (i: number) => void;
  state: () => unknown;
} {
  manualSeed(11);
  const model = new nn.Sequential(
    new nn.Linear(8, 16),
    new nn.LayerNorm(16),
    new nn.GELU(),
    new nn.Dropout(0.3),
    new nn.Linear(16, 4),
  );
  const optimizer = make(model.parameters());
  const scaler = new GradScaler({ initScale: 1024, growthInterval: 3, enabled: dtype === 'float16' });
  const [x, y] = [keep(zeros([12, 8])), keep(zeros([12], { dtype: 'int64' }))];
  const forward = (): Tensor => F.crossEntropy(model.forward(x), y);
  const step = (): Tensor => {
    optimizer.zeroGrad();
    const loss = dtype ? autocast({ dtype }, forward) : forward();
    scaler.scale(loss).backward();
    if (clip) nn.clipGradNorm(model.parameters(), 0.5);
    scaler.step(optimizer);
    scaler.update();
    return loss.detach();
  };
  const load = (i: number): void => {
    const own = new Generator(100 + i);
    x.copy_(randn([12, 8], { generator: own }).mul(i === 4 ? 1e30 : 1));
    y.copy_(randint(0, 4, [12], { generator: own }));
  };
  const state = (): unknown => ({
    parameters: [...model.parameters()].map(bits),
    optimizer: optimizer.stateDict().state.map(own => Object.entries(own ?? {}).map(([name, t]) => [name, bits(t)])),
    scaler: scaler.stateDict(),
    draws: generator().state(),
  });
  return { step, load, state };
}

describe('a training step', () => {
  for (const [name, setup] of Object.entries(setups))
    it(`${name}: ends as an eager loop does, to the bit`, () => {
      const eager = makeTraining(setup);
      const losses: number[] = [];
      for (let i = 0; i < STEPS; i++) {
        eager.load(i);
        losses.push(tidy(eager.step).itemSync());
      }
      const wanted = eager.state();

      const captured = makeTraining(setup);
      captured.load(0);
      using step = graph.capture(captured.step, { warmup: 1 });
      const replayed: number[] = [];
      for (let i = 1; i < STEPS; i++) {
        captured.load(i);
        replayed.push(step.replay().itemSync());
      }
      expect(replayed).toEqual(losses.slice(1));
      expect(captured.state()).toEqual(wanted);
      if (setup.dtype === 'float16') expect(wanted).toMatchObject({ scaler: { skippedSteps: 1 } });
    });
  it('needs the optimizer to have its state', () => {
    const { step, load } = makeTraining(setups['float32, SGD with momentum, clipping']!);
    load(0);
    expect(() => graph.capture(step, { warmup: 0 })).toThrow(/the optimizer has no state yet.*warmup/);
  });
});

// ---- what cannot be captured ---------------------------------------------------------------------------------------

describe('what cannot be captured', () => {
  let x: Tensor;
  beforeAll(() => {
    x = keep(ones([3]));
  });
  afterAll(() => x.dispose());
  const mistakes: Record<string, () => unknown> = {
    'a blocking read': () => x.sum().itemSync(),
    'host data': () => tensor([1, 2, 3]),
    'waiting for the device': () => synchronize(),
    'another capture': () => graph.capture(() => x.add(1), { warmup: 0 }),
    'an async function': async () => x.add(1),
  };
  for (const [name, fn] of Object.entries(mistakes))
    it(`${name} is a GraphError, and everything works afterwards`, () => {
      const state = generator().state();
      const before = memory.stats().liveStorages;
      expect(() =>
        graph.capture(
          () => {
            rand([4]);
            return fn();
          },
          { warmup: 0 },
        ),
      ).toThrow(GraphError);
      expect(generator().state()).toEqual(state);
      expect(memory.stats().liveStorages).toBe(before);
      expect(x.add(1).sum().itemSync()).toBe(6);
      using step = graph.capture(() => x.add(2), { warmup: 0 });
      expect(step.replay().sum().itemSync()).toBe(9);
    });
  test('an awaited read is a rejection', async () => {
    let reading: Promise<number> | null = null;
    using step = graph.capture(() => void (reading = x.sum().item()), { warmup: 0 });
    await expect(reading!).rejects.toThrow(GraphError);
    step.replay();
  });
  it('a replay', () => {
    using inner = graph.capture(() => x.add(1));
    expect(() => graph.capture(() => inner.replay(), { warmup: 0 })).toThrow(GraphError);
    expect(inner.replay().sum().itemSync()).toBe(6);
  });
  it('an error of the function is thrown as it is', () => {
    expect(() =>
      graph.capture(
        () => {
          x.add(1);
          throw new RangeError('stop');
        },
        { warmup: 0 },
      ),
    ).toThrow(RangeError);
    expect(x.sum().itemSync()).toBe(3);
  });
  it('a warmup that makes no sense', () => {
    for (const warmup of [-1, 0.5, NaN]) expect(() => graph.capture(() => x.add(1), { warmup })).toThrow(ArgumentError);
  });
});
