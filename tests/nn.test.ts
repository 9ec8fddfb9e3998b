import { afterEach, describe, expect, test } from 'bun:test';
import {
  arange,
  CheckpointError,
  F,
  full,
  getDefaultDevice,
  manualSeed,
  memory,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  ShapeError,
  tensor,
  tidy,
  zeros,
  type Tensor,
} from 'castor';

/** Parameters outlive every scope, so each test frees those of the models that it has created. */
const models: nn.Module[] = [];
function made<M extends nn.Module>(model: M): M {
  models.push(model);
  return model;
}
afterEach(() => {
  for (const model of models.splice(0)) {
    model.zeroGrad();
    for (const [, t] of model.namedTensors()) t.dispose();
  }
});
/** A test that starts from one seed, and whose tensors are all freed when it ends. */
const it = (name: string, fn: () => void): void =>
  test(name, () => {
    manualSeed(11);
    tidy(fn);
  });

class Block extends nn.Module {
  readonly linear = new nn.Linear(2, 3);
  readonly norm = new nn.BatchNorm2d(3);
  readonly list = [new nn.Linear(3, 3, { bias: false }), new nn.Dropout()];
  readonly scale = nn.Parameter(ones([1]));
  readonly mask = nn.Buffer(ones([2], { dtype: 'bool' }));
  readonly size = 3;
  readonly nothing = null;
  forward(x: Tensor): Tensor {
    return this.list[0]!.forward(this.linear.forward(x)).mul(this.scale) as Tensor;
  }
}
const block = (): Block => made(new Block());
const values = (model: nn.Module): unknown[] => [...model.namedTensors()].map(([, t]) => t.toArraySync());

describe('Module', () => {
  it('names parameters, and parameters with buffers, by their paths', () => {
    const model = block();
    const parameters = ['linear.weight', 'linear.bias', 'norm.weight', 'norm.bias', 'list.0.weight', 'scale'];
    expect([...model.namedParameters()].map(([name]) => name)).toEqual(parameters);
    expect([...model.stateDict().keys()]).toEqual([
      ...parameters.slice(0, 4),
      'norm.runningMean',
      'norm.runningVar',
      'list.0.weight',
      'scale',
      'mask',
    ]);
    expect([...model.parameters()]).toHaveLength(6);
    expect(model.parameterCount).toBe(6 + 3 + 3 + 3 + 9 + 1);
    expect(model.device).toBe(getDefaultDevice());
    expect([...model.modules()].map(module => module.constructor.name)).toEqual([
      'Block',
      'Linear',
      'BatchNorm2d',
      'Linear',
      'Dropout',
    ]);
  });
  it('gives a tensor that stands in two places once', () => {
    class Tied extends nn.Module {
      readonly embedding = new nn.Embedding(4, 2);
      readonly head = new nn.Linear(2, 4, { bias: false });
      constructor() {
        super();
        this.head.weight.dispose();
        this.head.weight = this.embedding.weight;
      }
      forward(ids: Tensor): Tensor {
        return this.head.forward(this.embedding.forward(ids));
      }
    }
    const model = made(new Tied());
    expect([...model.stateDict().keys()]).toEqual(['embedding.weight']);
    expect(model.parameterCount).toBe(8);
    model.forward(arange(2)).sum().backward();
    expect(model.embedding.weight.grad).toBe(model.head.weight.grad);
  });
  it('switches between training and evaluation all the way down', () => {
    const model = block();
    expect(model.training).toBe(true);
    expect(model.eval()).toBe(model);
    expect([...model.modules()].every(module => !module.training)).toBe(true);
    model.train();
    expect([...model.modules()].every(module => module.training)).toBe(true);
  });
  it('frees gradients', () => {
    const model = block();
    model
      .forward(ones([4, 2]))
      .sum()
      .backward();
    const grad = model.linear.weight.grad!;
    model.zeroGrad();
    expect(grad.disposed).toBe(true);
    expect([...model.parameters()].every(p => p.grad === null)).toBe(true);
  });
  it('freezes and unfreezes parameters, never buffers', () => {
    const model = block();
    const wanting = (): string[] =>
      [...model.namedParameters()].filter(([, p]) => p.requiresGrad).map(([name]) => name);
    const before = wanting();
    expect(model.requiresGrad_(false)).toBe(model);
    expect(wanting()).toEqual([]);
    expect([...model.parameters()]).toHaveLength(before.length);
    expect(model.forward(ones([1, 2])).requiresGrad).toBe(false);
    model.requiresGrad_();
    expect(wanting()).toEqual(before);
    for (const p of model.parameters()) p.requiresGrad_(false);
    for (const p of model.parameters()) p.requiresGrad_(true);
    expect(wanting()).toEqual(before);
    expect(model.norm.runningMean!.requiresGrad).toBe(false);
  });
  it('trains what is not frozen only', () => {
    const model = block();
    model.list[0]!.requiresGrad_(false);
    model
      .forward(ones([4, 2]))
      .sum()
      .backward();
    expect(model.list[0]!.stateDict().get('weight')!.grad).toBeNull();
    expect(model.linear.weight.grad).not.toBeNull();
  });
  it('is no child of a tidy scope', () => {
    let model!: Block;
    tidy(() => void (model = block()));
    expect(model.scale.itemSync()).toBe(1);
    expect(model.norm.runningVar!.sum().itemSync()).toBe(3);
  });
});

describe('stateDict', () => {
  it('goes round', () => {
    const [a, b] = [block(), block()];
    noGrad(() => a.norm.runningMean!.fill_(5));
    expect(values(b)).not.toEqual(values(a));
    b.loadStateDict(a.stateDict());
    expect(values(b)).toEqual(values(a));
    expect(b.linear.weight.storage).not.toBe(a.linear.weight.storage);
    expect([b.linear.weight.requiresGrad, b.linear.weight.isLeaf]).toEqual([true, true]);
  });
  it('converts dtypes', () => {
    const [a, b] = [made(new nn.Linear(2, 2, { dtype: 'float64' })), made(new nn.Linear(2, 2))];
    b.loadStateDict(a.stateDict());
    expect(b.weight.dtype as string).toBe('float32');
    expect(b.weight.toArraySync()).toEqual(a.weight.float().toArraySync());
  });
  it('of another model is refused as a whole', () => {
    const model = block();
    const before = values(model);
    const state = model.stateDict();
    const other = new Map([...state].map(([name, t]) => [name, t.zerosLike()]));
    const wrong: [Map<string, Tensor>, RegExp][] = [
      [new Map([...other].slice(1)), /linear.weight is missing/],
      [new Map([...other, ['extra', zeros([1])]]), /extra is not part of the model/],
      [new Map([...other, ['scale', zeros([2])]]), /scale has shape \[2\], the model \[1\]/],
      [new Map(), /linear.weight is missing; .*; and 4 more/],
    ];
    for (const [map, message] of wrong) {
      expect(() => model.loadStateDict(map)).toThrow(CheckpointError);
      expect(() => model.loadStateDict(map)).toThrow(message);
      expect(values(model)).toEqual(before);
    }
  });
});

describe('layers', () => {
  it('Linear', () => {
    const layer = made(new nn.Linear(3, 2));
    const x = randn([5, 4, 3]);
    expect([layer.weight.shape, layer.bias!.shape]).toEqual([[2, 3], [2]]);
    expect(layer.forward(x)).toBeAllclose(x.matmul(layer.weight.T).add(layer.bias!));
    expect(made(new nn.Linear(3, 2, { bias: false })).bias).toBeNull();
    expect(made(new nn.Linear(3, 2, { dtype: 'float16' })).weight.dtype).toBe('float16');
    expect(() => layer.forward(randn([5, 4]))).toThrow(ShapeError);
  });
  it('Conv2d', () => {
    const layer = made(new nn.Conv2d(4, 6, [3, 2], { stride: 2, padding: [1, 0], groups: 2 }));
    expect([layer.weight.shape, layer.bias!.shape]).toEqual([[6, 2, 3, 2], [6]]);
    const x = randn([2, 4, 7, 8]);
    const y = layer.forward(x);
    expect(y.shape).toEqual([2, 6, 4, 4]);
    expect(y).toBeAllclose(F.conv2d(x, layer.weight, layer.bias, { stride: 2, padding: [1, 0], groups: 2 }));
  });
  it('Embedding', () => {
    const layer = made(new nn.Embedding(5, 3));
    const ids = tensor(
      [
        [0, 4],
        [4, 2],
      ],
      { dtype: 'int64' },
    );
    const y = layer.forward(ids);
    expect(y.shape).toEqual([2, 2, 3]);
    expect(y.at(1, 0).toArraySync()).toEqual(layer.weight.at(4).toArraySync());
    y.sum().backward();
    expect(layer.weight.grad!.select(1, 0).toArraySync()).toEqual([1, 0, 1, 0, 2]);
  });
  it('LayerNorm and RMSNorm', () => {
    const x = randn([2, 3, 4]);
    const layer = made(new nn.LayerNorm([3, 4], { eps: 1e-3 }));
    const flat = x.reshape(2, 12);
    const expected = flat
      .sub(flat.mean(1, { keepdim: true }))
      .div(flat.var(1, { keepdim: true, correction: 0 }).add(1e-3).sqrt());
    expect(layer.forward(x)).toBeAllclose(expected.reshape(2, 3, 4));
    const rms = made(new nn.RMSNorm(4));
    expect(rms.forward(x)).toBeAllclose(
      x.div(
        x
          .square()
          .mean(-1, { keepdim: true })
          .add(2 ** -23)
          .sqrt(),
      ),
    );
    expect([...made(new nn.LayerNorm(4, { affine: false })).parameters()]).toEqual([]);
    expect(made(new nn.LayerNorm(4, { bias: false })).bias).toBeNull();
  });
  it('BatchNorm2d: batch statistics while training, running ones after', () => {
    const layer = made(new nn.BatchNorm2d(2, { momentum: 0.25 }));
    const x = randn([4, 2, 3, 3]).mul(2).add(1);
    const axes = [0, 2, 3];
    const [mean, variance] = [x.mean(axes), x.var(axes)];
    const y = layer.forward(x);
    expect(y.mean(axes)).toBeAllclose([0, 0], { atol: 1e-5 });
    expect(y.var(axes, { correction: 0 })).toBeAllclose([1, 1], { atol: 1e-4 });
    expect(layer.runningMean).toBeAllclose(mean.mul(0.25));
    expect(layer.runningVar).toBeAllclose(variance.mul(0.25).add(0.75));
    layer.forward(x);
    expect(layer.runningMean).toBeAllclose(mean.mul(0.25 + 0.75 * 0.25));

    layer.eval();
    const before = layer.runningMean!.toArraySync();
    noGrad(() => layer.weight!.fill_(3));
    const shape = [1, 2, 1, 1];
    const z = layer.forward(x);
    expect(z).toBeAllclose(
      x.sub(layer.runningMean!.reshape(shape)).div(layer.runningVar!.add(1e-5).sqrt().reshape(shape)).mul(3),
    );
    expect(layer.runningMean!.toArraySync()).toEqual(before);
    z.sum().backward();
    expect(layer.bias!.grad!.toArraySync()).toEqual([36, 36]);
    expect(layer.runningMean!.requiresGrad).toBe(false);
  });
  it('BatchNorm2d keeps no graph in its statistics', () => {
    const layer = made(new nn.BatchNorm2d(2));
    layer.forward(randn([4, 2, 3, 3], { requiresGrad: true }));
    expect([layer.runningMean!.gradFn, layer.runningVar!.gradFn]).toEqual([null, null]);
  });
  it('Dropout only while training', () => {
    const layer = made(new nn.Dropout(0.5));
    const x = ones([1000]);
    const zeroed = layer.forward(x).eq(0).sum().itemSync();
    expect(zeroed).toBeGreaterThan(400);
    expect(zeroed).toBeLessThan(600);
    expect(layer.eval().forward(x)).toBe(x);
  });
  it('activations and shapes', () => {
    const x = randn([2, 3, 4, 4]);
    const pairs: [nn.Module, Tensor][] = [
      [new nn.ReLU(), F.relu(x)],
      [new nn.GELU(), F.gelu(x)],
      [new nn.GELU({ approximate: 'tanh' }), F.gelu(x, { approximate: 'tanh' })],
      [new nn.SiLU(), F.silu(x)],
      [new nn.Tanh(), F.tanh(x)],
      [new nn.Sigmoid(), F.sigmoid(x)],
      [new nn.Flatten(), x.reshape(2, 48)],
      [new nn.MaxPool2d(2, { stride: 1 }), F.maxPool2d(x, 2, { stride: 1 })],
    ];
    for (const [layer, expected] of pairs) {
      const y = layer.forward(x) as Tensor;
      expect(y.shape).toEqual(expected.shape);
      expect(y.dataSync()).toEqual(expected.dataSync());
    }
  });
  it('Sequential runs its layers in order and keeps nothing between them', () => {
    const [first, last] = [new nn.Linear(3, 3), new nn.Linear(3, 2)];
    const model = made(new nn.Sequential(first, new nn.ReLU(), last));
    expect([...model.stateDict().keys()]).toEqual([
      'layers.0.weight',
      'layers.0.bias',
      'layers.2.weight',
      'layers.2.bias',
    ]);
    const x = randn([4, 3]);
    expect(model.forward(x)).toBeAllclose(last.forward(first.forward(x).relu()));
    const before = memory.stats().liveStorages;
    const y = noGrad(() => model.forward(x));
    expect(memory.stats().liveStorages).toBe(before + 1);
    y.dispose();
  });
  it('losses', () => {
    const [x, y] = [randn([4, 3]), randn([4, 3])];
    const ids = tensor([0, 2, 1, 1], { dtype: 'int64' });
    const [p, t] = [x.sigmoid(), y.gt(0).float()];
    const pairs: [nn.Module, Tensor, Tensor, Tensor][] = [
      [new nn.MSELoss(), x, y, x.sub(y).square().mean()],
      [new nn.MSELoss({ reduction: 'sum' }), x, y, x.sub(y).square().sum()],
      [new nn.MSELoss({ reduction: 'none' }), x, y, x.sub(y).square()],
      [new nn.L1Loss(), x, y, x.sub(y).abs().mean()],
      [new nn.CrossEntropyLoss(), x, ids, x.logSoftmax(1).gather(1, ids.unsqueeze(1)).mean().neg()],
      [new nn.CrossEntropyLoss({ labelSmoothing: 0.1 }), x, ids, F.crossEntropy(x, ids, { labelSmoothing: 0.1 })],
      [new nn.NLLLoss(), x.logSoftmax(1), ids, F.crossEntropy(x, ids)],
      [
        new nn.BCELoss(),
        p,
        t,
        p
          .log()
          .mul(t)
          .add(p.neg().add(1).log().mul(t.neg().add(1)))
          .mean()
          .neg(),
      ],
      [new nn.BCEWithLogitsLoss(), x, t, F.binaryCrossEntropy(p, t)],
    ];
    for (const [loss, a, b, expected] of pairs) expect(loss.forward(a, b) as Tensor).toBeAllclose(expected);
  });
});

describe('init', () => {
  it('fills in place, without a graph', () => {
    const w = full([4, 6], 9, { requiresGrad: true });
    expect(nn.init.uniform(w, -2, -1)).toBe(w);
    expect([w.requiresGrad, w.isLeaf]).toEqual([true, true]);
    expect([w.min().itemSync() >= -2, w.max().itemSync() < -1]).toEqual([true, true]);
    expect(nn.init.constant(w, 3).sum().itemSync()).toBe(72);
    nn.init.normal(w, 100, 0.1);
    expect(Math.abs(w.mean().itemSync() - 100)).toBeLessThan(0.2);
  });
  it('knows fans, also of convolutions', () => {
    expect(nn.init.fans(zeros([4, 6]))).toEqual({ fanIn: 6, fanOut: 4 });
    expect(nn.init.fans(zeros([4, 6, 3, 3]))).toEqual({ fanIn: 54, fanOut: 36 });
    expect(() => nn.init.fans(zeros([4]))).toThrow(/no fan/);
    const w = nn.init.xavierUniform(zeros([200, 100]));
    expect(w.abs().max().itemSync()).toBeLessThanOrEqual(Math.sqrt(6 / 300));
    expect(w.abs().max().itemSync()).toBeGreaterThan(0.9 * Math.sqrt(6 / 300));
    expect(
      nn.init
        .kaimingUniform(zeros([200, 100]))
        .abs()
        .max()
        .itemSync(),
    ).toBeGreaterThan(0.9 * Math.sqrt(6 / 100));
  });
});

describe('clipGradNorm', () => {
  const withGrads = (...grads: number[][]): Tensor[] =>
    grads.map(g => {
      const p = zeros([g.length], { requiresGrad: true });
      p.grad = tensor(g);
      return p;
    });
  it('scales all gradients together and returns the norm before', () => {
    const params = withGrads([3, 0], [0, 4]);
    expect(nn.clipGradNorm(params, 1).itemSync()).toBeCloseTo(5, 5);
    expect(params[0]!.grad!).toBeAllclose([0.6, 0]);
    expect(params[1]!.grad!).toBeAllclose([0, 0.8]);
  });
  it('leaves smaller ones alone', () => {
    const params = withGrads([3, 4]);
    nn.clipGradNorm(params, 10);
    expect(params[0]!.grad!.toArraySync()).toEqual([3, 4]);
  });
  it('of other norms', () => {
    expect(nn.clipGradNorm(withGrads([3, -4], [1]), 100, { normType: 1 }).itemSync()).toBeCloseTo(8, 5);
    expect(nn.clipGradNorm(withGrads([3, -4], [1]), 100, { normType: Infinity }).itemSync()).toBe(4);
  });
  it('of nothing is 0', () => {
    expect(nn.clipGradNorm([zeros([1], { requiresGrad: true })], 1).itemSync()).toBe(0);
  });
});

interface Moments {
  m: number;
  v: number;
  most: number;
  t: number;
}
/** One step of each optimizer for one number, in plain JavaScript. */
const sgdStep = (
  p: number,
  g: number,
  s: Moments,
  r: NonNullable<ConstructorParameters<typeof optim.SGD>[1]>,
): number => {
  const rule = { lr: 1e-3, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, maximize: false, ...r };
  let d = (rule.maximize ? -g : g) + rule.weightDecay * p;
  s.m = s.t++ === 0 ? d : rule.momentum * s.m + (1 - rule.dampening) * d;
  if (rule.momentum > 0) d = rule.nesterov ? d + rule.momentum * s.m : s.m;
  return p - rule.lr * d;
};
const adamStep = (p: number, g: number, s: Moments, r: optim.AdamOptions & { decoupled: boolean }): number => {
  const {
    lr = 1e-3,
    betas = [0.9, 0.999],
    eps = 1e-8,
    weightDecay = r.decoupled ? 0.01 : 0,
    amsgrad,
    maximize,
    decoupled,
  } = r;
  const start = decoupled ? p * (1 - lr * weightDecay) : p;
  const d = (maximize ? -g : g) + (decoupled ? 0 : weightDecay * p);
  s.t++;
  s.m = betas[0] * s.m + (1 - betas[0]) * d;
  s.v = betas[1] * s.v + (1 - betas[1]) * d * d;
  s.most = Math.max(s.most, s.v);
  const size = Math.sqrt((amsgrad ? s.most : s.v) / (1 - betas[1] ** s.t)) + eps;
  return start - ((lr / (1 - betas[0] ** s.t)) * s.m) / size;
};

describe('optimizers', () => {
  const sgds = [
    {},
    { lr: 0.1 },
    { lr: 0.1, momentum: 0.9 },
    { lr: 0.1, momentum: 0.9, dampening: 0.3 },
    { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.05 },
    { lr: 0.1, maximize: true, weightDecay: 0.05 },
  ];
  const adams = [
    {},
    { lr: 0.1, weightDecay: 0.1 },
    { lr: 0.05, betas: [0.5, 0.7] as const, eps: 1e-3 },
    { lr: 0.1, amsgrad: true },
    { lr: 0.1, maximize: true },
  ];
  const cases: [string, (p: Tensor[]) => optim.SGD | optim.Adam, (p: number, g: number, s: Moments) => number][] = [
    ...sgds.map(
      r =>
        [
          `SGD ${JSON.stringify(r)}`,
          (p: Tensor[]) => new optim.SGD(p, r),
          (p: number, g: number, s: Moments) => sgdStep(p, g, s, r as never),
        ] as const,
    ),
    ...adams.map(
      r =>
        [
          `Adam ${JSON.stringify(r)}`,
          (p: Tensor[]) => new optim.Adam(p, r),
          (p: number, g: number, s: Moments) => adamStep(p, g, s, { ...r, decoupled: false }),
        ] as const,
    ),
    ...adams.map(
      r =>
        [
          `AdamW ${JSON.stringify(r)}`,
          (p: Tensor[]) => new optim.AdamW(p, r),
          (p: number, g: number, s: Moments) => adamStep(p, g, s, { ...r, decoupled: true }),
        ] as const,
    ),
  ] as never;
  for (const dtype of ['float64', 'float32'] as const)
    test.each(cases)(`%s in ${dtype}`, (_, make, step) => {
      tidy(() => {
        const params = [[1, -2, 3], [0.5]].map(list => tensor(list, { dtype, requiresGrad: true }));
        const optimizer = make(params);
        const expected = [1, -2, 3, 0.5];
        const states = expected.map((): Moments => ({ m: 0, v: 0, most: 0, t: 0 }));
        for (let i = 0; i < 6; i++) {
          optimizer.zeroGrad();
          params
            .map(p => p.square().mul(p.add(1)).sum())
            .reduce((a, b) => a.add(b))
            .backward();
          optimizer.step();
          expected.forEach((p, j) => (expected[j] = step(p, 3 * p * p + 2 * p, states[j]!)));
        }
        const tolerance = dtype === 'float64' ? 1e-10 : 1e-4;
        expect([...params[0]!.dataSync(), ...params[1]!.dataSync()]).toBeAllclose(expected, {
          atol: tolerance,
          rtol: tolerance,
        });
        for (const own of optimizer.stateDict().state) for (const t of Object.values(own!)) t.dispose();
        optimizer.zeroGrad();
      });
    });

  it('groups have settings of their own, which may change at any time', () => {
    const [a, b] = [ones([1], { requiresGrad: true }), ones([1], { requiresGrad: true })];
    const optimizer = new optim.SGD([{ params: [a], lr: 0.5 }, { params: [b] }], { lr: 0.25 });
    const step = (): number[] => {
      optimizer.zeroGrad();
      a.add(b).sum().backward();
      optimizer.step();
      return [a.itemSync(), b.itemSync()];
    };
    expect(step()).toEqual([0.5, 0.75]);
    for (const group of optimizer.paramGroups) group.lr *= 2;
    expect(step()).toEqual([-0.5, 0.25]);
    expect([...optimizer.parameters()]).toEqual([a, b]);
    optimizer.zeroGrad();
    for (const own of optimizer.stateDict().state) for (const t of Object.values(own!)) t.dispose();
  });
  it('leave parameters without gradient alone, and take gradients of any layout', () => {
    const [a, b] = [ones([2, 3], { requiresGrad: true }), ones([1], { requiresGrad: true })];
    const optimizer = new optim.SGD([a, b], { lr: 1 });
    a.grad = arange(6, { dtype: 'float32' }).reshape(3, 2).T;
    optimizer.step();
    expect(a.toArraySync()).toEqual([
      [1, -1, -3],
      [0, -2, -4],
    ]);
    expect(b.itemSync()).toBe(1);
    a.grad = null;
    for (const own of optimizer.stateDict().state) for (const t of Object.values(own ?? {})) t.dispose();
  });
  it('refuse a parameter given twice, and nesterov without momentum', () => {
    const p = ones([1], { requiresGrad: true });
    expect(() => new optim.SGD([p, p])).toThrow(/given twice/);
    expect(() => new optim.SGD([p], { nesterov: true })).toThrow(/nesterov needs a momentum/);
    expect(() => new optim.SGD([p.mul(2)])).toThrow(/must be a leaf/);
  });
  it('resume from their state as if they had never stopped', () => {
    const run = (steps: number, resumeAt: number): number[] => {
      manualSeed(2);
      const p = tensor([1, 2, 3], { requiresGrad: true });
      let optimizer = new optim.AdamW([p], { lr: 0.1, amsgrad: true });
      const used = [optimizer];
      for (let i = 0; i < steps; i++) {
        if (i === resumeAt) {
          const next = new optim.AdamW([p], { lr: 99 });
          next.loadStateDict(optimizer.stateDict());
          used.push((optimizer = next));
        }
        optimizer.zeroGrad();
        p.pow(4).sum().backward();
        optimizer.step();
      }
      optimizer.zeroGrad();
      for (const each of used)
        for (const own of each.stateDict().state) for (const t of Object.values(own!)) t.dispose();
      return [...p.dataSync()] as number[];
    };
    expect(run(8, 4)).toEqual(run(8, -1));
  });
  it('refuse a state of another model and stay as they were', () => {
    const make = (sizes: number[]): optim.Adam =>
      new optim.Adam(
        sizes.map(n => ones([n], { requiresGrad: true })),
        { lr: 0.5 },
      );
    const [mine, fewer, other] = [make([2, 3]), make([2]), make([2, 4])];
    for (const optimizer of [fewer, other]) {
      for (const p of optimizer.parameters()) p.grad = p.detach().clone();
      optimizer.step();
      optimizer.paramGroups[0]!.lr = 7;
    }
    for (const optimizer of [fewer, other])
      expect(() => mine.loadStateDict(optimizer.stateDict())).toThrow(CheckpointError);
    expect(mine.paramGroups[0]!.lr).toBe(0.5);
    expect(mine.stateDict().state).toEqual([null, null]);
    for (const optimizer of [fewer, other])
      for (const own of optimizer.stateDict().state) for (const t of Object.values(own!)) t.dispose();
  });
});

describe('cosineWithWarmup', () => {
  const rate = (step: number): number => optim.cosineWithWarmup(step, { peak: 1, warmup: 10, steps: 110 });
  test('rises straight to the peak, then falls along half a cosine to a tenth', () => {
    expect([rate(0), rate(4), rate(9), rate(10)]).toEqual([0.1, 0.5, 1, 1]);
    expect(rate(60)).toBeCloseTo(0.55, 10);
    expect(rate(110)).toBeCloseTo(0.1, 10);
    expect(rate(500)).toBeCloseTo(0.1, 10);
    for (let step = 10; step < 110; step++) expect(rate(step + 1)).toBeLessThan(rate(step));
  });
  test('to any floor, without warm-up', () => {
    expect(optim.cosineWithWarmup(0, { peak: 2, warmup: 0, steps: 10, floor: 0 })).toBe(2);
    expect(optim.cosineWithWarmup(10, { peak: 2, warmup: 0, steps: 10, floor: 0 })).toBeCloseTo(0, 10);
  });
});
