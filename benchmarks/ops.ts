import { F, memory, nn, noGrad, optim, rand, randint, randn, tidy, type Tensor } from '../runtime/index.ts';
import { signature, signatureSpecs } from '../runtime/arguments.ts';
import { interleaved, seconds, type Figure } from './measure.ts';

const LENGTH = 100;

/** A chain of 100 mul and add on 8 floats, both recorded. */
export function opOverhead(): Figure[] {
  const a = randn([8], { requiresGrad: true });
  const b = randn([8], { requiresGrad: true });
  const seed = randn([8]);
  const chain = (): Tensor => {
    let t: Tensor = a;
    for (let i = 0; i < LENGTH / 2; i++) t = t.mul(b).add(a);
    return t;
  };
  const forward = (): void => void tidy(() => void chain());
  const both = (): void => {
    tidy(() => chain().backward(seed));
    for (const leaf of [a, b]) {
      leaf.grad!.dispose();
      leaf.grad = null;
    }
  };
  for (let i = 0; i < 2000; i++) both();
  const per = (fn: () => void): number => (seconds(fn, 1000) / LENGTH) * 1e6;
  return [
    { name: 'op.forward.us', value: per(forward), unit: 'us', must: '<= 0.25' },
    { name: 'op.forwardBackward.us', value: per(both), unit: 'us', must: '<= 0.8' },
  ];
}

/** The check of the arguments of an ordinary call, x.sum(0): a tensor and an axis. Elementwise methods only count theirs. */
export function gate(): Figure {
  const check = signature('benchmark', signatureSpecs.get('sum')!);
  const given = [randn([8]), 0];
  return { name: 'gate.call.ns', value: seconds(() => check(given), 100_000) * 1e9, unit: 'ns', must: '<= 50' };
}

/** 1024^3 products in the four transpose forms. */
export function gemm(): Figure[] {
  const n = 1024;
  const a = randn([n, n]);
  const b = randn([n, n]);
  const forms: Record<string, () => Tensor> = {
    nn: () => a.matmul(b),
    nt: () => a.matmul(b.T),
    tn: () => a.T.matmul(b),
    tt: () => a.T.matmul(b.T),
  };
  // They take turns, so that a slow moment of the machine affects all four.
  const times = interleaved(
    Object.values(forms).map(product => () => noGrad(() => product().dispose())),
    30,
  );
  return Object.keys(forms).map((form, i) => {
    const value = (2 * n ** 3) / times[i]! / 1e9;
    return { name: `gemm.f32.${form}.gflops`, value, unit: 'GFLOP/s', must: '>= 130' };
  });
}

/** One Adam step of an MLP 784-512-512-10 on a batch of 64. */
export function mlp(): Figure {
  const model = new nn.Sequential(
    new nn.Linear(784, 512),
    new nn.ReLU(),
    new nn.Linear(512, 512),
    new nn.ReLU(),
    new nn.Linear(512, 10),
  );
  const optimizer = new optim.Adam(model.parameters());
  const x = rand([64, 784]);
  const target = randint(0, 10, [64]);
  const step = (): void =>
    void tidy(() => {
      optimizer.zeroGrad();
      F.crossEntropy(model.forward(x), target).backward();
      optimizer.step();
    });
  return { name: 'mlp.adam.ms', value: seconds(step, 10, 15) * 1e3, unit: 'ms', must: '<= 7' };
}

/** The bytes per second that the sum of two tensors of 16 M floats reads and writes. */
export function add(): Figure {
  const n = 2 ** 24;
  const [a, b] = [rand([n]), rand([n])];
  const time = seconds(() => noGrad(() => a.add(b).dispose()), 3, 15);
  return { name: 'add.16m.gbps', value: (12 * n) / time / 1e9, unit: 'GB/s', must: '>= 24' };
}

/** The peak of native memory in a synchronous loop of a million small ops without dispose(). */
export function loop(): Figure {
  memory.collect();
  memory.resetPeak();
  const before = memory.stats().liveBytes;
  let t: Tensor = randn([64]);
  noGrad(() => {
    for (let i = 0; i < 1_000_000; i++) t = t.mul(0.999);
  });
  return { name: 'loop.peak.mb', value: (memory.peak() - before) / 2 ** 20, unit: 'MB', must: '<= 256' };
}
