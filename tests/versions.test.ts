import { describe, expect, test } from 'bun:test';
import {
  AutogradError,
  F,
  full,
  GradScaler,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  rand,
  tensor,
  Tensor,
  tidy,
  zeros,
  type Device,
} from 'castor';
import { OpNode } from '../runtime/autograd/tape.ts';
import { nodeOf, type Node } from '../runtime/autograd/node.ts';
import { derivatives } from '../runtime/ops/derivatives/index.ts';
import { table, type OpName } from '../runtime/ops/table.ts';
import { devices } from './setup.ts';
import type { Case, Variant } from './ops/case.ts';
import { listOf, ownCases, tensorsOf, valuesOf, type Trial } from './ops/run.ts';

/** Every node of a graph that saves tensors. */
function savingNodes(roots: readonly Tensor[]): OpNode[] {
  const seen = new Set<Node>();
  const visit = (node: Node | null): void => {
    if (node === null || seen.has(node)) return;
    seen.add(node);
    node.edges.forEach(visit);
  };
  roots.forEach(t => visit(nodeOf(t)));
  return [...seen].filter((node): node is OpNode => node instanceof OpNode && node.saves);
}

const dtype = 'float64';
/** A new graph of a case: its results that require a gradient. */
function graphOf(name: string, variant: Variant, device: Device): Tensor[] {
  const trial: Trial = { name, dtype, device, layouts: variant.operands.map(() => 'contiguous') };
  const inputs = tensorsOf(variant, valuesOf(variant, trial)!, trial).map((t, i) =>
    variant.operands[i]!.dtype === undefined && !variant.frozen?.includes(i) ? t.requiresGrad_() : t,
  );
  return listOf(variant.run(...inputs)).filter(t => t.requiresGrad);
}

const backward = (results: readonly Tensor[]): void =>
  results
    .map(t => t.to(dtype).sum())
    .reduce((a, b) => a.add(b))
    .backward();
const differentiable = ownCases.filter(
  ([name, row]: readonly [string, Case]) => name in derivatives && row.smooth > 0 && row.dtypes.includes(dtype),
);

/** Overwrites the tensors that a graph saves, one at a time. Backward must notice each. */
function eachSaved(name: string, variant: Variant, device: Device, note: (op: string) => void): void {
  const count = tidy(() => savingNodes(graphOf(name, variant, device)).map(node => node.savedTensors.length));
  count.forEach((kept, n) => {
    for (let i = 0; i < kept; i++)
      tidy(() => {
        const results = graphOf(name, variant, device);
        const node = savingNodes(results)[n]!;
        note(node.op.name);
        const saved = node.savedTensors[i]!;
        // The write goes through another tensor with this memory, because a write may come from any.
        noGrad(() => saved.detach().fill_(1));
        expect(() => backward(results), `${node.op.name}, tensor ${i}`).toThrow(/changed in place/);
      });
  });
}

function readsNothing(name: OpName): boolean {
  const rule = derivatives[name];
  if (rule === 'none') return true;
  return 'together' in rule ? rule.reads === 0 : rule.every(({ reads }) => reads === 0);
}

describe.each([...devices])('what backward keeps, on %s,', device => {
  const found = new Set<string>();
  test.each(differentiable.map(([name, row]) => [name, row] as const))(
    '%s: overwritten, each is noticed; where formulas read nothing, there is nothing',
    (name, row) => {
      const wanted = row.variants.filter(v => !v.forwardOnly && v.operands.some(({ dtype: d }) => d === undefined));
      let kept = 0;
      const note = (op: string): void => void (found.add(op), kept++);
      for (const variant of wanted) eachSaved(name, variant, device, note);
      if (readsNothing(name as OpName)) expect(kept).toBe(0);
      else expect(kept).toBeGreaterThan(0);
    },
  );
  test('are those of every op whose formulas read something', () => {
    const tried = new Set<string>(differentiable.map(([name]) => name));
    const reading = (Object.keys(table) as OpName[]).filter(name => tried.has(name) && !readsNothing(name));
    expect(reading.filter(name => !found.has(name))).toEqual([]);
  });
});

/** Ways to write to tensors. Each creates what it needs, and returns the tensors that it reports as written. */
type Writer = (device: Device) => { targets: readonly Tensor[]; write: () => void };
const optimizerStep =
  (make: (parameters: Tensor[]) => optim.Optimizer<any>): Writer =>
  device => {
    const w = nn.Parameter(ones([3], { device }));
    const optimizer = make([w]);
    const step = (): void => {
      w.grad = ones([3], { device });
      optimizer.step();
    };
    step();
    const state = optimizer.stateDict().state.flatMap(own => Object.values(own ?? {}) as Tensor[]);
    return { targets: [w, ...state], write: step };
  };
const linear = (device: Device): nn.Linear => new nn.Linear(3, 2, { device });
const withGradients = (device: Device): nn.Linear => {
  const model = linear(device);
  for (const p of model.parameters()) p.grad = full(p.shape, 5, { device });
  return model;
};
const gradients = (model: nn.Linear): Tensor[] => [...model.parameters()].map(p => p.grad!);
const one =
  (write: (t: Tensor) => unknown): Writer =>
  device => {
    const t = rand([4], { device });
    return { targets: [t], write: () => void write(t) };
  };
const writers: Record<string, Writer> = {
  copy_: one(t => t.copy_(zeros([4], { device: t.device }))),
  'copy_ to a view': one(t =>
    t
      .view([2, 2])
      .select(1, 0)
      .copy_(zeros([2], { device: t.device })),
  ),
  fill_: one(t => t.fill_(1)),
  zero_: one(t => t.zero_()),
  uniform_: one(t => t.uniform_()),
  normal_: one(t => t.normal_()),
  'set_ with a number': one(t => t.set_(0, 5)),
  'set_ with a tensor': one(t => t.set_('1:3', zeros([2], { device: t.device }))),
  'add_ to a detached tensor': one(t => t.detach().add_(1)),
  SGD: optimizerStep(p => new optim.SGD(p, { lr: 0.1, momentum: 0.9 })),
  Adam: optimizerStep(p => new optim.Adam(p, { amsgrad: true })),
  AdamW: optimizerStep(p => new optim.AdamW(p)),
  clipGradNorm: device => {
    const model = withGradients(device);
    return { targets: gradients(model), write: () => void nn.clipGradNorm(model.parameters(), 0.1) };
  },
  clipGradValue: device => {
    const model = withGradients(device);
    return { targets: gradients(model), write: () => nn.clipGradValue(model.parameters(), 0.1) };
  },
  'a second backward': device => {
    const x = ones([3], { device, requiresGrad: true });
    const loss = x.sum();
    loss.backward(undefined, { retainGraph: true });
    return { targets: [x.grad!], write: () => loss.backward() };
  },
  'running statistics of batchNorm': device => {
    const [mean, variance] = [zeros([3], { device }), ones([3], { device })];
    const write = (): void =>
      void F.batchNorm(randn([4, 3], { device }), { runningMean: mean, runningVar: variance, training: true });
    return { targets: [mean, variance], write };
  },
  loadStateDict: device => {
    const model = linear(device);
    const state = new Map([...model.stateDict()].map(([name, t]) => [name, t.clone()]));
    return { targets: [...model.parameters()], write: () => void model.loadStateDict(state) };
  },
  'nn.init': device => {
    const t = zeros([3, 3], { device });
    return { targets: [t], write: () => void nn.init.xavierUniform(t) };
  },
  unscale: device => {
    const model = withGradients(device);
    const scaler = new GradScaler({ initScale: 4, device } as never);
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 });
    for (const p of model.parameters()) p.grad = null;
    scaler.scale(model.forward(ones([1, 3], { device })).sum()).backward();
    return { targets: gradients(model), write: () => void scaler.unscale(optimizer) };
  },
};
for (const name of Object.getOwnPropertyNames(Tensor.prototype)) {
  if (!name.endsWith('_') || name in writers || name === 'requiresGrad_' || name === 'set_') continue;
  if (/^bitwise/.test(name)) continue;
  writers[name] = device => {
    const t = full([4], 0.5, { device });
    const method = (t as unknown as Record<string, (other?: Tensor) => Tensor>)[name]!;
    const isBinary = table[name.slice(0, -1) as OpName].kind === 'binary';
    return { targets: [t], write: () => void (isBinary ? method.call(t, full([4], 2, { device })) : method.call(t)) };
  };
}

describe.each([...devices])('every call that writes, on %s,', device => {
  test.each(Object.keys(writers))('%s: is noticed by what backward keeps', name => {
    const count = tidy(() => writers[name]!(device).targets.length);
    expect(count).toBeGreaterThan(0);
    for (let i = 0; i < count; i++)
      tidy(() => {
        const { targets, write } = writers[name]!(device);
        const target = targets[i]!;
        const x = ones(target.shape, { device, requiresGrad: true });
        const y = x.mul(target.detach());
        const { version } = target;
        noGrad(write);
        expect(target.version).toBeGreaterThan(version);
        expect(() => y.sum().backward()).toThrow(AutogradError);
        for (const t of targets) if (t.grad) t.grad.dispose();
      });
  });
  test('integers too', () => {
    tidy(() => {
      for (const name of ['bitwiseAnd_', 'bitwiseOr_', 'bitwiseXor_'] as const) {
        const t = tensor([1, 2], { dtype: 'int64', device });
        const { version } = t;
        t[name](3);
        expect(t.version).toBeGreaterThan(version);
      }
    });
  });
});
