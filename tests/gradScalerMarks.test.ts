import { describe, expect, test } from 'bun:test';
import {
  autocast,
  autograd,
  F,
  full,
  GradScaler,
  graph,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  ScalerError,
  tensor,
  tidy,
  type ScalableOptimizer,
  type Tensor,
} from 'castor';

import { printed } from './process.ts';

const parameter = (...values: number[]): Tensor => nn.Parameter(tensor(values));
const sgd = (...params: Tensor[]): optim.SGD => new optim.SGD(params, { lr: 0.5 });
const scalerOf = (initScale = 8): GradScaler => new GradScaler({ initScale, growthInterval: 1 });
const values = (t: Tensor | null): unknown => noGrad(() => t!.add(0).toArraySync());

/** Every way from a scaled loss to gradients. Afterwards w.grad has the loss scale. */
const ways: Record<string, (scaler: GradScaler, w: Tensor) => void> = {
  'backward of a scaled loss': (scaler, w) => scaler.scale(w.mul(3).sum()).backward(),
  'with ops after scale()': (scaler, w) => scaler.scale(w.mul(3).sum()).mul(2).add(1).div(2).backward(),
  'two scaled losses added': (scaler, w) => scaler.scale(w.mul(2).sum()).add(scaler.scale(w.sum())).backward(),
  'two backward passes': (scaler, w) => {
    scaler.scale(w.mul(2).sum()).backward();
    scaler.scale(w.sum()).backward();
  },
  'losses in a container': (scaler, w) => {
    const { a, b } = scaler.scale({ a: w.sum(), b: w.mul(2).sum() });
    a.add(b).backward();
  },
  'a part of the parameter': (scaler, w) => {
    const [first, second] = [w.slice(0, 0, 1), w.slice(0, 1, 2)];
    scaler.scale(first.mul(3).add(second.mul(3)).sum()).backward();
  },
  'a custom function': (scaler, w) => {
    const triple = autograd.customFunction({
      forward: (_, x: Tensor) => x.mul(3),
      backward: (_, g) => g.mul(3),
    });
    scaler.scale(triple(w).sum()).backward();
  },
  'a custom function of two outputs': (scaler, w) => {
    const both = autograd.customFunction({
      forward: (_, x: Tensor) => [x.mul(1), x.mul(2)] as const,
      backward: (_, g, h) => g.add(h.mul(2)),
    });
    const [a, b] = both(w);
    scaler.scale(a.sum().add(b.sum())).backward();
  },
  'a checkpointed block': (scaler, w) => scaler.scale(autograd.checkpoint((x: Tensor) => x.mul(3).sum(), w)).backward(),
  'a hook that changes the gradient': (scaler, w) => {
    const remove = w.registerHook(g => g.mul(3));
    scaler.scale(w.sum()).backward();
    remove();
  },
  createGraph: (scaler, w) => scaler.scale(w.mul(3).sum()).backward(undefined, { createGraph: true }),
  'autograd.grad, assigned': (scaler, w) => {
    [w.grad] = autograd.grad(scaler.scale(w.mul(3).sum()), w) as [Tensor];
  },
  'autograd.grad with createGraph, assigned': (scaler, w) => {
    w.grad = autograd.grad(scaler.scale(w.mul(3).sum()), w, { createGraph: true })[0]!;
  },
  'a chain of autograd.grad': (scaler, w) => {
    const h = w.mul(3);
    const [g] = autograd.grad(scaler.scale(h.sum()), h, { retainGraph: true });
    h.backward(g);
  },
  'a copy of the gradient': (scaler, w) => {
    scaler.scale(w.mul(3).sum()).backward();
    w.grad = w.grad!.clone();
  },
  'a copy of the gradient by way of another dtype': (scaler, w) => {
    scaler.scale(w.mul(3).sum()).backward();
    w.grad = w.grad!.to('float64').to('float32');
  },
  'a detached view of the gradient': (scaler, w) => {
    scaler.scale(w.mul(3).sum()).backward();
    w.grad = w.grad!.detach();
  },
};

describe('gradients carry the scale of the loss', () => {
  test.each(Object.entries(ways))('%s', async (_, way) => {
    const [scaler, w] = [scalerOf(), parameter(1, 1)];
    const optimizer = sgd(w);
    way(scaler, w);
    expect(() => optimizer.step()).toThrow(
      /^SGD\.step: the gradient of parameter 0 of shape \[2\] still carries the scale/,
    );
    expect(values(w)).toEqual([1, 1]);
    scaler.unscale(optimizer);
    expect(values(w.grad)).toEqual([3, 3]);
    nn.clipGradValue([w], 2);
    nn.clipGradNorm([w], 100);
    expect(await scaler.step(optimizer).skipped).toBe(false);
    expect(values(w)).toEqual([0, 0]);
    expect(w.grad).toBeAllclose([2, 2]);
  });
  test('and after unscale() the optimizer may be stepped without the scaler', () => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    const optimizer = sgd(w);
    scaler.scale(w.sum()).backward();
    scaler.unscale(optimizer);
    optimizer.step();
    expect(values(w)).toEqual([0.5]);
  });
  test('without a scaler, and with one that is disabled, nothing is refused', () => {
    const w = parameter(1);
    for (const loss of [w.sum(), new GradScaler({ enabled: false }).scale(w.sum())]) loss.backward();
    nn.clipGradNorm([w], 100);
    sgd(w).step();
    expect(values(w)).toEqual([0]);
  });
});

describe('sums of gradients of different scales', () => {
  const cases: [name: string, make: (scaler: GradScaler, w: Tensor) => void, message: RegExp][] = [
    [
      'an unscaled loss after a scaled one',
      (scaler, w) => {
        scaler.scale(w.sum()).backward();
        w.sum().backward();
      },
      /a sum of gradients of a scaled loss and of a loss that was not scaled\. Pass every loss/,
    ],
    [
      'a scaled loss after an unscaled one',
      (scaler, w) => {
        w.sum().backward();
        scaler.scale(w.sum()).backward();
      },
      /of a scaled loss and of a loss that was not scaled/,
    ],
    [
      'a scaled and an unscaled loss in one backward',
      (scaler, w) => scaler.scale(w.sum()).add(w.square().sum()).backward(),
      /of a scaled loss and of a loss that was not scaled/,
    ],
    [
      'two scales of one scaler',
      (scaler, w) => {
        const other = parameter(1);
        scaler.scale(w.sum()).backward();
        scaler.scale(other.sum()).backward();
        scaler.step(sgd(other));
        scaler.update();
        scaler.scale(w.sum()).backward();
      },
      /of two scales: update\(\) was called between.*Call scale\(\) once for each loss, and update\(\) once/,
    ],
    [
      'two scalers',
      (scaler, w) => {
        scaler.scale(w.sum()).backward();
        scalerOf(2).scale(w.sum()).backward();
      },
      /losses that two GradScalers have scaled/,
    ],
    [
      'a loss that was scaled twice',
      (scaler, w) => scaler.scale(scaler.scale(w.sum()).mul(1)).backward(),
      /from a loss that was passed through scaler\.scale\(\) twice/,
    ],
    [
      'an earlier step and a new backward',
      (scaler, w) => {
        scaler.scale(w.sum()).backward();
        scaler.step(sgd(w));
        scaler.update();
        scaler.scale(w.sum()).backward();
      },
      /a sum of gradients that were already unscaled and of gradients that are still scaled\. Call zeroGrad\(\) after each step/,
    ],
  ];
  test.each(cases)('%s', (_, make, message) => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    make(scaler, w);
    const before = values(w);
    const optimizer = sgd(w);
    for (const use of [
      () => scaler.unscale(optimizer),
      () => scaler.step(optimizer),
      () => optimizer.step(),
      () => nn.clipGradNorm([w], 1),
      () => nn.clipGradValue([w], 1),
      () => nn.clipGradNorm([w], 1, { scaled: true }),
      () => nn.clipGradValue([w], 1, { scaled: true }),
    ]) {
      expect(use).toThrow(ScalerError);
      expect(use).toThrow(message);
    }
    expect(values(w)).toEqual(before);
    // Gradients that were set to zero or dropped can be used like new ones.
    w.grad!.zero_();
    scaler.scale(w.sum()).backward();
    scaler.step(optimizer);
    w.grad = null;
  });
  test('backward between unscale() and step()', () => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    const optimizer = sgd(w);
    scaler.scale(w.sum()).backward();
    scaler.unscale(optimizer);
    scaler.scale(w.sum()).backward();
    expect(() => scaler.step(optimizer)).toThrow(
      /already unscaled and of gradients that are still scaled\. Call zeroGrad.*only after all/,
    );
  });
  test('a loss that is not scaled may add to gradients that were unscaled', () => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    const optimizer = sgd(w);
    scaler.scale(w.sum()).backward();
    scaler.unscale(optimizer);
    w.sum().backward();
    scaler.step(optimizer);
    expect(values(w)).toEqual([0]);
  });
});

describe('unscaling', () => {
  test('of a gradient whose loss was not scaled is refused, and changes nothing', () => {
    const [scaler, scaled, plain] = [scalerOf(), parameter(1), parameter(1)];
    scaler.scale(scaled.sum()).backward();
    plain.sum().backward();
    expect(() => scaler.unscale(sgd(scaled, plain))).toThrow(
      /gradient of parameter 1.*comes from a loss that was not scaled/,
    );
    expect(values(scaled.grad)).toEqual([8]);
  });
  test('with a scale that update() has changed since is refused', () => {
    const [scaler, a, b] = [scalerOf(), parameter(1), parameter(1)];
    scaler.scale(a.add(b).sum()).backward();
    scaler.step(sgd(a));
    scaler.update();
    expect(() => scaler.step(sgd(b))).toThrow(
      /was computed with a scale that update\(\) has changed since\. Call update\(\) once/,
    );
  });
  test('by another scaler is refused', () => {
    const [scaler, other, w] = [scalerOf(), scalerOf(), parameter(1)];
    other.scale(tensor(1));
    scaler.scale(w.sum()).backward();
    expect(() => other.unscale(sgd(w))).toThrow(/was scaled by another GradScaler/);
    scaler.unscale(sgd(w));
    expect(() => other.unscale(sgd(w))).toThrow(/was unscaled by another GradScaler/);
  });
  test('of gradients of an earlier iteration is refused', () => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    const optimizer = sgd(w);
    scaler.scale(w.sum()).backward();
    scaler.step(optimizer);
    scaler.update();
    expect(() => scaler.step(optimizer)).toThrow(
      /is left over from an earlier iteration and already unscaled\. Call zeroGrad/,
    );
  });
  test('a parameter of two optimizers divides it once, and both skip an overflow', async () => {
    for (const [g, skips] of [
      [1, false],
      [Infinity, true],
    ] as const) {
      const [scaler, shared, own] = [scalerOf(), parameter(1), parameter(1)];
      const [first, second] = [sgd(shared), new optim.Adam([shared, own], { lr: 0.5 })];
      scaler.scale(shared.mul(g).add(own).sum()).backward();
      scaler.unscale(first);
      noGrad(() => shared.grad!.mul_(1));
      nn.clipGradNorm([shared], 100);
      const results = [scaler.step(first), scaler.step(second)];
      scaler.update();
      expect(await Promise.all(results.map(result => result.skipped))).toEqual([skips, skips]);
      if (!skips) expect(values(shared.grad)).toEqual([1]);
      expect(values(own.grad)).toEqual([1]);
      expect(values(own)).toEqual([skips ? 1 : 0.5]);
    }
  });
  test('of a copy of a gradient that was divided and then written to does not divide it again', () => {
    const [scaler, w, replica] = [scalerOf(), parameter(1), parameter(1)];
    const [first, second] = [sgd(w), sgd(replica)];
    scaler.scale(w.sum()).backward();
    scaler.unscale(first);
    noGrad(() => w.grad!.mul_(2));
    replica.grad = w.grad!.clone();
    scaler.step(first);
    scaler.step(second);
    scaler.update();
    expect([values(w), values(replica)]).toEqual([[0], [0]]);
  });
  test('of one memory under two parameters divides it once', () => {
    const [scaler, a, b] = [scalerOf(), parameter(1), parameter(1)];
    scaler.scale(a.sum()).backward();
    b.grad = a.grad!.detach();
    scaler.unscale(sgd(a, b));
    expect(values(a.grad)).toEqual([1]);
    scaler.step(sgd(b));
    expect(values(a.grad)).toEqual([1]);
  });
  test('of gradients that are parts of one memory divides each', () => {
    const scaler = scalerOf();
    scaler.scale(tensor(1));
    const all = tensor([8, 16, 24, 32, 40, 48]);
    const params = [[1, 1], [1, 1], [1]].map(ones => parameter(...ones));
    [params[0]!.grad, params[1]!.grad] = [all.slice(0, 0, 2), all.slice(0, 2, 4)];
    params[2]!.grad = all.slice(0, 4, 5);
    scaler.unscale(sgd(...params));
    expect(values(all)).toEqual([1, 2, 3, 4, 5, 48]);
    const [every, second] = [parameter(1, 1), parameter(1, 1)];
    const four = tensor([8, 16, 24, 32]);
    [every.grad, second.grad] = [four.slice(0, 0, 2), four.slice(0, 2, 4)];
    scaler.unscale({ parameters: () => [every, second, every], step: () => {} });
    expect(values(four)).toEqual([1, 2, 3, 4]);
  });
  test('by hand: assigned or written gradients are yours, and { byHand: true } tells the scaler', async () => {
    for (const divide of [
      (w: Tensor, scale: number) => void (w.grad = w.grad!.div(scale)),
      (w: Tensor, scale: number) => void w.grad!.mul_(1 / scale),
    ]) {
      const [scaler, w] = [scalerOf(), parameter(1)];
      const optimizer = sgd(w);
      scaler.scale(w.sum()).backward();
      expect(() => scaler.unscale(optimizer, { byHand: true })).toThrow(
        /still carries the scale.*Divide the gradient first/,
      );
      noGrad(() => divide(w, scaler.getScaleSync()));
      scaler.unscale(optimizer, { byHand: true });
      nn.clipGradNorm([w], 0.5);
      expect(await scaler.step(optimizer).skipped).toBe(false);
      scaler.update();
      expect(w).toBeAllclose([0.75]);
      noGrad(() => w.grad!.fill_(NaN));
      scaler.unscale(optimizer, { byHand: true });
      expect(await scaler.step(optimizer).skipped).toBe(true);
    }
  });
  test('clipping scaled gradients on purpose: the bound times the scale', () => {
    const [scaler, w] = [scalerOf(), parameter(1, 1)];
    const optimizer = sgd(w);
    scaler.scale(w.mul(tensor([3, 4])).sum()).backward();
    nn.clipGradNorm([w], 1 * 8, { scaled: true });
    scaler.step(optimizer);
    expect(w.grad).toBeAllclose([0.6, 0.8]);
  });
});

describe('reading a gradient that carries a scale', () => {
  /** The codes of the warnings that a program emits. */
  const warned = (code: string): Promise<string[]> =>
    printed(`const { GradScaler, nn, ones, optim, warnings } = c;
      process.on('warning', warning => print(warning.code));
      const w = nn.Parameter(ones([1]));
      const scaled = scaler => { w.grad = null; scaler.scale(w.sum()).backward(); return scaler; };
      ${code}
      await Bun.sleep(1);
      print('end');`);
  const read = 'CASTOR_SCALED_GRADIENT_READ';
  test('warns once for each scaler', async () => {
    expect(
      await warned(`const scaler = scaled(new GradScaler()); w.grad.itemSync(); await w.grad.data(); w.grad.toArraySync();
        scaled(scaler); w.grad.itemSync(); await Bun.sleep(1); print('next'); scaled(new GradScaler()); w.grad.dataSync();`),
    ).toEqual([read, 'next', read, 'end']);
  });
  test('does not warn once they are unscaled, without a scaler, or when it is switched off', async () => {
    expect(
      await warned(`w.sum().backward(); w.grad.itemSync(); const scaler = scaled(new GradScaler());
        scaler.unscale(new optim.SGD([w], { lr: 1 })); w.grad.itemSync();
        warnings.disable('${read}'); scaled(new GradScaler()); w.grad.itemSync();`),
    ).toEqual(['end']);
  });
});

describe('clipping a gradient that carries a scale', () => {
  const warned = (code: string): Promise<string[]> =>
    printed(`const { GradScaler, nn, ones, optim, warnings } = c;
      process.on('warning', warning => print(warning.code, warning.message));
      const model = new nn.Linear(1, 1);
      const w = [...model.parameters()];
      const optimizer = new optim.SGD(w, { lr: 0.1 });
      const scaled = scaler => { optimizer.zeroGrad(); scaler.scale(model.forward(ones([1, 1])).sum()).backward(); return scaler; };
      ${code}
      await Bun.sleep(1);
      print('end');`);
  test.each(['nn.clipGradNorm(w, 1)', 'nn.clipGradValue(w[0], 1)'])('warns once for each scaler: %s', async clip => {
    const lines = await warned(`const scaler = scaled(new GradScaler()); ${clip}; ${clip}; scaled(scaler); ${clip};
      await Bun.sleep(1); print('next'); scaled(new GradScaler()); ${clip};`);
    expect(lines.map(line => line.split(' ')[0])).toEqual([
      'CASTOR_SCALED_GRADIENT_CLIPPED',
      'next',
      'CASTOR_SCALED_GRADIENT_CLIPPED',
      'end',
    ]);
    expect(lines[0]).toMatch(
      /clipGrad(Norm|Value): the gradient of weight still carries the scale.*scaler\.unscale\(optimizer\) first/,
    );
  });
  test('does not warn after unscale(), when it is on purpose, or when it is switched off', async () => {
    expect(
      await warned(`const scaler = scaled(new GradScaler()); nn.clipGradNorm(w, 8, { scaled: true });
        scaler.unscale(optimizer); nn.clipGradNorm(w, 1); nn.clipGradValue(w, 1);
        warnings.disable('CASTOR_SCALED_GRADIENT_CLIPPED'); scaled(new GradScaler()); nn.clipGradNorm(w, 1);`),
    ).toEqual(['end']);
  });
});

describe('unscaling a gradient that was written to by hand', () => {
  const warned = (code: string): Promise<string[]> =>
    printed(`const { GradScaler, nn, noGrad, ones, optim } = c;
      process.on('warning', warning => print(warning.code, warning.message.includes('parameter 0 of shape [1]')));
      const w = nn.Parameter(ones([1]));
      const optimizer = new optim.SGD([w], { lr: 0.1 });
      const scaler = new GradScaler();
      const train = (write, unscale = {}) => {
        optimizer.zeroGrad();
        scaler.scale(w.sum()).backward();
        noGrad(write);
        if (unscale !== null) scaler.unscale(optimizer, unscale);
        scaler.step(optimizer);
        scaler.update();
      };
      const divide = () => w.grad.div_(scaler.getScaleSync());
      ${code}
      await Bun.sleep(1);
      print('end');`);
  test.each(['divide', '() => { w.grad = w.grad.div(2); }'])('warns once for each scaler: %s', async write => {
    const line = 'CASTOR_GRADIENT_WRITTEN true';
    expect(await warned(`train(${write}); train(${write}, null);`)).toEqual([line, 'end']);
  });
  test('does not warn when it was not written to, or the user says what was done', async () => {
    expect(
      await warned(`train(() => {}); train(divide, { byHand: true }); train(() => w.grad.mul_(2), { byHand: false });
        w.grad = ones([1]); scaler.scale(ones([])); scaler.step(optimizer); scaler.update();
        train(() => nn.clipGradNorm(w, 1, { scaled: true }));
        const step = c.graph.capture(() => { w.grad.zero_(); scaler.scale(w.sum()).backward(); });
        step.replay(); scaler.step(optimizer); scaler.update();`),
    ).toEqual(['end']);
  });
});

describe('programs as PyTorch shows them', () => {
  test('accumulation over micro-batches equals one batch', async () => {
    manualSeed(3);
    const [x, y] = [randn([8, 4]), randn([8, 2])];
    const weightsAfter = (parts: number, inside: (loss: Tensor, scaler: GradScaler) => Tensor): unknown => {
      manualSeed(5);
      const model = new nn.Linear(4, 2);
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
      const scaler = scalerOf(1024);
      for (let iteration = 0; iteration < 2; iteration++) {
        for (let i = 0; i < parts; i++) {
          const [from, to] = [(8 / parts) * i, (8 / parts) * (i + 1)];
          const loss = F.mseLoss(model.forward(x.slice(0, from, to)), y.slice(0, from, to));
          inside(loss, scaler).backward();
        }
        scaler.unscale(optimizer);
        nn.clipGradNorm(model.parameters(), 0.5);
        scaler.step(optimizer);
        scaler.update();
        optimizer.zeroGrad();
      }
      return model.weight;
    };
    const whole = weightsAfter(1, (loss, scaler) => scaler.scale(loss)) as Tensor;
    expect(weightsAfter(4, (loss, scaler) => scaler.scale(loss.div(4)))).toBeAllclose(whole);
    expect(weightsAfter(4, (loss, scaler) => scaler.scale(loss).div(4))).toBeAllclose(whole);
  });
  test('a gradient penalty', () => {
    const [scaler, w] = [scalerOf(), parameter(2)];
    const optimizer = sgd(w);
    const loss = w.square().sum();
    const [scaled] = autograd.grad(scaler.scale(loss), w, { createGraph: true });
    const penalty = scaled!
      .mul(1 / scaler.getScaleSync())
      .square()
      .sum();
    scaler.scale(loss.add(penalty)).backward();
    scaler.unscale(optimizer);
    nn.clipGradNorm([w], 100);
    scaler.step(optimizer);
    scaler.update();
    // The derivative of w^2 + (2 w)^2.
    expect(values(w.grad)).toEqual([20]);
  });
  test('a GAN: the gradients that the generator leaves in the discriminator are dropped, not refused', async () => {
    manualSeed(9);
    const [g, d] = [new nn.Linear(2, 2), new nn.Linear(2, 1)];
    const [ofG, ofD] = [new optim.Adam(g.parameters()), new optim.Adam(d.parameters())];
    const scaler = scalerOf(1024);
    for (let i = 0; i < 3; i++) {
      ofD.zeroGrad();
      const fake = autocast({ dtype: 'float16' }, () => g.forward(randn([4, 2])));
      const real = autocast({ dtype: 'float16' }, () =>
        d
          .forward(randn([4, 2]))
          .sub(d.forward(fake.detach()))
          .float()
          .mean(),
      );
      scaler.scale(real).backward();
      scaler.unscale(ofD);
      nn.clipGradNorm(d.parameters(), 1);
      scaler.step(ofD);
      ofG.zeroGrad();
      const fooled = autocast({ dtype: 'float16' }, () =>
        d
          .forward(g.forward(randn([4, 2])))
          .float()
          .mean(),
      );
      scaler.scale(fooled).backward();
      const { skipped } = scaler.step(ofG);
      scaler.update();
      expect(await skipped).toBe(false);
    }
  });
  test('two losses with retainGraph, two optimizers, one update', () => {
    const [scaler, a, b] = [scalerOf(), parameter(1), parameter(1)];
    const optimizers = [sgd(a), sgd(b)];
    const [first, second] = scaler.scale([a.mul(b).sum(), a.add(b).sum()]) as [Tensor, Tensor];
    first.backward(undefined, { retainGraph: true });
    second.backward();
    for (const optimizer of optimizers) scaler.step(optimizer);
    scaler.update();
    expect([values(a), values(b)]).toEqual([[0], [0]]);
  });
  test('a scaled backward in a graph, replayed with eager steps between', async () => {
    const run = async (captured: boolean): Promise<unknown> => {
      const [scaler, w, x] = [scalerOf(1024), parameter(1, 2), ones([2])];
      const optimizer = sgd(w);
      const backward = (): void => {
        w.grad?.zero_();
        scaler.scale(w.mul(x).square().sum()).backward();
      };
      const step = captured ? graph.capture(backward) : null;
      const seen: unknown[] = [];
      for (let i = 0; i < 4; i++) {
        noGrad(() => x.fill_(0.25 * (i + 1)));
        if (step) step.replay();
        else backward();
        scaler.unscale(optimizer);
        nn.clipGradNorm([w], 1);
        scaler.step(optimizer);
        scaler.update();
        seen.push(values(w), scaler.getScaleSync());
      }
      step?.dispose();
      return seen;
    };
    expect(await run(true)).toEqual(await run(false));
  });
  test('costs no read of the device', () => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    const optimizer = sgd(w);
    const before = memory.stats().hostReads;
    for (let i = 0; i < 3; i++)
      tidy(() => {
        scaler.scale(w.sum()).backward();
        scaler.unscale(optimizer);
        nn.clipGradValue([w], 1);
        scaler.step(optimizer);
        scaler.update();
        optimizer.zeroGrad();
      });
    expect(memory.stats().hostReads).toBe(before);
  });
});

describe('an optimizer of your own', () => {
  const mine = (w: Tensor, step: () => unknown = () => noGrad(() => w.sub_(w.grad!))) => ({
    parameters: () => [w],
    step,
  });
  test('that is not awaited: update() is refused, and goes through after the wait', async () => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    scaler.scale(w.mul(0.5).sum()).backward();
    const step = scaler.step(mine(w));
    for (const update of [() => scaler.update(), () => scaler.update(4)])
      expect(update).toThrow(/has not finished its step yet\. Wait for it first: await scaler\.step\(optimizer\)/);
    expect(scaler.getScaleSync()).toBe(8);
    await step;
    scaler.update();
    expect([values(w), scaler.getScaleSync()]).toEqual([[0.5], 16]);
  });
  test('whose step is async is waited for to its end', async () => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    const slow = mine(w, async () => {
      await Bun.sleep(2);
      noGrad(() => w.sub_(w.grad!));
    });
    scaler.scale(w.sum()).backward();
    await scaler.step(slow);
    expect(values(w)).toEqual([0]);
    scaler.update();
    await new GradScaler({ enabled: false }).step(slow);
    expect(values(w)).toEqual([-1]);
  });
  test('that fails may be stepped again, once the memory is there', async () => {
    const [scaler, w] = [scalerOf(), parameter(1)];
    let fails = true;
    const flaky = mine(w, () => {
      if (fails) throw new Error('out of memory');
      noGrad(() => w.sub_(w.grad!));
    });
    scaler.scale(w.sum()).backward();
    for (let i = 0; i < 2; i++) await expect(Promise.resolve(scaler.step(flaky))).rejects.toThrow('out of memory');
    fails = false;
    await scaler.step(flaky);
    scaler.update();
    expect([values(w), values(w.grad), scaler.skippedStepsSync()]).toEqual([[0], [1], 0]);
  });
});

describe('a built-in optimizer that finds no memory for its state', () => {
  test.each([false, true])('changes nothing and may be stepped again, unscaled before: %p', async before => {
    const [scaler, a, b] = [scalerOf(), parameter(1), parameter(1)];
    const optimizer = new optim.Adam([{ params: [a] }, { params: [b] }], { lr: 0.5 });
    scaler.scale(a.add(b).sum()).backward();
    if (before) scaler.unscale(optimizer);
    // There is not enough memory for the state of the second group.
    const make = (optimizer as unknown as { stateOf: (...args: unknown[]) => unknown }).stateOf;
    const broken = function (this: unknown, params: readonly Tensor[], ...rest: unknown[]): unknown {
      if (params.includes(b)) throw new Error('no memory');
      return make.call(this, params, ...rest);
    };
    Object.defineProperty(optimizer, 'stateOf', { value: broken, configurable: true });
    expect(() => scaler.step(optimizer)).toThrow('no memory');
    expect([values(a), values(b)]).toEqual([[1], [1]]);
    delete (optimizer as unknown as { stateOf?: unknown }).stateOf;
    expect(await scaler.step(optimizer).skipped).toBe(false);
    scaler.update();
    expect([a, b].map(p => (values(p) as number[])[0]!.toFixed(3))).toEqual(['0.500', '0.500']);
    expect([values(a.grad), values(b.grad)]).toEqual([[1], [1]]);
  });
});

test('clipping to 0 leaves zeros, and to a bound its sign', () => {
  const w = parameter(1, 1, 1);
  w.mul(tensor([3, -4, 0.5]))
    .sum()
    .backward();
  nn.clipGradValue([w], 1);
  expect(values(w.grad)).toEqual([1, -1, 0.5]);
  nn.clipGradValue(w, 0);
  expect(w.grad).toBeAllclose([0, 0, 0]);
  for (const wrong of [-1, NaN])
    expect(() => nn.clipGradValue([w], wrong)).toThrow(/^clipGradValue: clipValue .* >= 0\. Pass/);
});

test('full() and other gradients that are made by hand are taken as they are', async () => {
  const [scaler, w] = [scalerOf(), parameter(1)];
  scaler.scale(tensor(1));
  w.grad = full([1], 8);
  nn.clipGradNorm([w], 100);
  expect(await scaler.step(sgd(w)).skipped).toBe(false);
  expect(values(w)).toEqual([0.5]);
});

describe('a gradient in which more than two scales are mixed', () => {
  const about = {
    U: [
      'is a sum of gradients of a scaled loss and of a loss that was not scaled',
      'Pass every loss of an iteration through',
    ],
    B: ['is a sum of gradients of losses that two GradScalers have scaled', 'Call scale() once for each loss'],
  } as const;
  // A and B are losses that two scalers have scaled, U is an unscaled one. The error names the first two that were
  // mixed.
  test.each<[string, keyof typeof about]>([
    ['AU', 'U'],
    ['UA', 'U'],
    ['AUB', 'U'],
    ['UAB', 'U'],
    ['AUA', 'U'],
    ['AUU', 'U'],
    ['AB', 'B'],
    ['ABU', 'B'],
    ['BAU', 'B'],
    ['ABA', 'B'],
    ['ABAU', 'B'],
  ])('%s', (order, first) => {
    const p = nn.Parameter(ones([2]));
    const optimizer = new optim.SGD([p], { lr: 1 });
    const scalers = { A: new GradScaler(), B: new GradScaler() };
    tidy(() => {
      for (const letter of order) {
        const loss = p.sum();
        (letter === 'U' ? loss : scalers[letter as 'A'].scale(loss)).backward();
      }
      const [what, advice] = about[first];
      expect(() => scalers.A.step(optimizer)).toThrow(what);
      expect(() => scalers.A.step(optimizer)).toThrow(advice);
    });
    optimizer.zeroGrad();
    p.dispose();
  });
});

describe('gradients to which backward adds after unscale()', () => {
  const optimizers: Record<string, (p: Tensor) => ScalableOptimizer> = {
    'a built-in optimizer': p => new optim.SGD([p], { lr: 1 }),
    'an optimizer of the user': p => ({ parameters: () => [p], step: () => void p.grad!.mul_(0) }),
  };
  test.each(Object.keys(optimizers))('are refused by step() for %s', name =>
    tidy(() => {
      const p = ones([2], { requiresGrad: true });
      const [scaler, optimizer] = [new GradScaler(), optimizers[name]!(p)];
      scaler.scale(p.sum()).backward();
      scaler.unscale(optimizer);
      scaler.scale(p.sum()).backward();
      const before = p.grad!.toArraySync();
      let error: unknown;
      try {
        scaler.step(optimizer);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(ScalerError);
      expect(error).toMatchObject({
        op: 'GradScaler.step',
        message: expect.stringContaining('is a sum of gradients that were already unscaled'),
      });
      expect(p.grad!.toArraySync()).toEqual(before);
    }),
  );
});
