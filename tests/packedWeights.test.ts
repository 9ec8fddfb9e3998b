/** Linear layers in inference mode on the CPU, whose weights are packed once for the kernel of products. */
import { afterEach, describe, expect, test } from 'bun:test';
import {
  autocast,
  clearAutocastCache,
  deviceInfo,
  F,
  graph,
  inferenceMode,
  memory,
  nn,
  noGrad,
  offload,
  randn,
  setFloat32MatmulPrecision,
  setNumThreads,
  tidy,
  type Tensor,
} from 'castor';
import { liveStorages, tidyTest } from './setup.ts';

const { panel = { float32: 0, float16: 0, bfloat16: 0 }, threads = 1 } = deviceInfo('cpu');
afterEach(() => {
  setFloat32MatmulPrecision('highest');
  setNumThreads(threads);
});
const cpu = { device: 'cpu' } as const;
const layerOf = (k: number, n: number, bias = true): nn.Linear => new nn.Linear(k, n, { bias, ...cpu });
const read = (t: Tensor): Float32Array => t.to('float32').dataSync() as Float32Array;
/** The output of a layer for each row of x on its own, for groups of some rows, and for all. */
const together = (layer: nn.Linear, x: Tensor, rows: number): Float32Array => {
  const count = x.shape[0]!;
  const parts: number[] = [];
  for (let i = 0; i < count; i += rows) parts.push(...read(layer.forward(x.narrow(0, i, Math.min(rows, count - i)))));
  return Float32Array.from(parts);
};

// Columns that fill panels, that end inside one, and inside a vector; rows of odd lengths, and longer than a block of the kernel.
const sizes = [
  [64, 64],
  [784, 512],
  [300, 33],
  [513, 10],
  [4100, 1],
  [37, 131],
  [8200, 3],
] as const;

describe('a linear layer in inference mode', () => {
  for (const [k, n] of sizes)
    for (const dtype of ['float32', 'bfloat16', 'float16'] as const)
      tidyTest(`${k} to ${n} in ${dtype} computes what it does outside, within rounding`, () => {
        const [layer, x] = [layerOf(k, n), randn([21, k], cpu)];
        const run = (): Tensor =>
          dtype === 'float32' ? layer.forward(x) : autocast({ dtype, ...cpu }, () => layer.forward(x));
        const expected = noGrad(run);
        const actual = inferenceMode(run);
        expect([actual.dtype, ...actual.shape]).toEqual([dtype, 21, n]);
        const tolerance = { float32: 2e-6, bfloat16: 2 ** -8, float16: 2 ** -10 }[dtype] * Math.sqrt(k / 16);
        expect(read(actual)).toBeAllclose(read(expected), { atol: tolerance, rtol: tolerance });
        // With more rows than a skinny product has, the sums are those of the kernel that packs at each call.
        if (panel[dtype] > 0 && n > 4 && k < 8192) expect(read(actual)).toEqual(read(expected));
      });

  test.skipIf(panel.float32 === 0)(
    'gives a row the same bits whatever rows are beside it, and for any number of threads',
    () => {
      for (const [k, n] of sizes)
        for (const dtype of ['float32', 'bfloat16', 'float16'] as const) {
          if (panel[dtype] === 0) continue;
          inferenceMode(() => {
            const [layer, x] = [layerOf(k, n), randn([67, k], cpu)];
            if (layer.weight.numel < 4096) return;
            const run = (rows: number): Float32Array =>
              dtype === 'float32'
                ? together(layer, x, rows)
                : autocast({ dtype, ...cpu }, () => together(layer, x, rows));
            const alone = run(1);
            for (const rows of [2, 3, 4, 5, 8, 9, 64, 67]) expect(run(rows)).toEqual(alone);
            setNumThreads(1);
            expect(run(67)).toEqual(alone);
            setNumThreads(threads);
          });
        }
      memory.collect();
    },
  );
  tidyTest('fuses bias and activations as outside', () => {
    const [layer, x] = [layerOf(96, 70), randn([9, 96], cpu)];
    for (const activation of ['relu', 'gelu', 'geluTanh'] as const) {
      const run = (): Tensor => F.linear(x, layer.weight, layer.bias, { activation });
      expect(inferenceMode(run)).toBeAllclose(noGrad(run), { atol: 1e-6 });
    }
    const bare = layerOf(96, 70, false);
    expect(inferenceMode(() => bare.forward(x))).toBeAllclose(
      noGrad(() => bare.forward(x)),
      { atol: 1e-6 },
    );
  });
  tidyTest('reads the weight anew after every kind of write', () => {
    const [layer, other, x] = [layerOf(128, 64), layerOf(128, 64), randn([6, 128], cpu)];
    const forward = (): Float32Array => inferenceMode(() => read(layer.forward(x)));
    const check = (): void => expect(forward()).toBeAllclose(read(noGrad(() => layer.forward(x))), { atol: 1e-5 });
    forward();
    noGrad(() => layer.weight.mul_(2));
    check();
    inferenceMode(() => layer.weight.narrow(0, 3, 2).zero_());
    check();
    layer.loadStateDict(other.stateDict());
    check();
    layer.forward(x).sum().backward();
    noGrad(() => layer.weight.sub_(layer.weight.grad!));
    check();
    layer.zeroGrad();
  });
  tidyTest('of rows in several axes, of none, of rows that are not contiguous, and of infinities', () => {
    const layer = layerOf(64, 65);
    const check = (x: Tensor): void =>
      expect(read(inferenceMode(() => layer.forward(x)))).toBeAllclose(read(noGrad(() => layer.forward(x))), {
        atol: 1e-5,
      });
    check(randn([2, 3, 64], cpu));
    check(randn([64], cpu));
    check(randn([0, 64], cpu));
    check(randn([64, 7], cpu).transpose(0, 1));
    const wild = randn([5, 64], cpu);
    wild.narrow(0, 1, 1).fill_(Infinity);
    wild.narrow(0, 2, 1).fill_(NaN);
    check(wild);
  });
  tidyTest('with another precision of float32 products is as outside', () => {
    const [layer, x] = [layerOf(64, 64), randn([6, 64], cpu)];
    for (const precision of ['high', 'medium'] as const) {
      setFloat32MatmulPrecision(precision);
      expect(read(inferenceMode(() => layer.forward(x)))).toEqual(read(noGrad(() => layer.forward(x))));
    }
  });
  tidyTest('in a graph follows weights that change between replays', () => {
    const [layer, x] = [layerOf(64, 64), randn([6, 64], cpu)];
    inferenceMode(() => layer.forward(x));
    const captured = inferenceMode(() => graph.capture(() => layer.forward(x), cpu));
    noGrad(() => layer.weight.mul_(3));
    const result = captured.replay() as Tensor;
    expect(read(result)).toBeAllclose(read(noGrad(() => layer.forward(x))), { atol: 1e-5 });
    captured.dispose();
  });
  test('is right after the work that first used it was cancelled', async () => {
    await tidy(async () => {
      const [layer, x] = [layerOf(600, 512), randn([6, 600], cpu)];
      const expected = await offload(() =>
        noGrad(() => autocast({ dtype: 'bfloat16', ...cpu }, () => layer.forward(x))),
      );
      const plain = noGrad(() => read(layer.forward(x)));
      for (let i = 0; i < 5; i++) {
        const controller = new AbortController();
        const work = offload(
          () =>
            inferenceMode(() => {
              for (let j = 0; j < 20; j++) x.matmul(layer.weight.T);
              layer.forward(x);
              autocast({ dtype: 'bfloat16', ...cpu }, () => layer.forward(x));
              controller.abort();
            }),
          { signal: controller.signal },
        );
        expect(((await work.catch((error: Error) => error)) as Error).name).toBe('AbortError');
        expect(inferenceMode(() => read(layer.forward(x)))).toBeAllclose(plain, { atol: 1e-5 });
        const low = inferenceMode(() => autocast({ dtype: 'bfloat16', ...cpu }, () => layer.forward(x)));
        expect(read(low)).toBeAllclose(read(expected), { atol: 0.02 });
        noGrad(() => layer.weight.mul_(1));
      }
      inferenceMode(() => autocast(cpu, () => clearAutocastCache()));
    });
  });
  test('frees the packed weight with the layer', async () => {
    const before = liveStorages('cpu');
    const use = (): void => {
      for (let i = 0; i < 20; i++) inferenceMode(() => void layerOf(64, 64).forward(randn([2, 64], cpu)));
    };
    use();
    for (let i = 0; i < 50 && liveStorages('cpu') > before + 8; i++) {
      await Bun.sleep(i);
      memory.collect();
    }
    expect(liveStorages('cpu')).toBeLessThanOrEqual(before + 8);
  });
  test.skipIf(panel.float32 === 0)('computes without packing where there is no memory for it', () => {
    const [layer, x] = [layerOf(512, 512), randn([6, 512], cpu)];
    const expected = noGrad(() => read(layer.forward(x)));
    memory.collect();
    memory.setLimit(memory.stats('cpu').liveBytes + 2 ** 19, 'cpu');
    try {
      expect(inferenceMode(() => read(layer.forward(x)))).toEqual(expected);
    } finally {
      memory.setLimit(0, 'cpu');
    }
  });
});
