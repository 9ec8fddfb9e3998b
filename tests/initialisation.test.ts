import { describe, expect, test } from 'bun:test';
import { empty, manualSeed, nn, tidy, type Tensor } from 'castor';

interface Moments {
  readonly mean: number;
  readonly std: number;
  /** The fourth moment divided by the squared variance: 9 / 5 for a uniform distribution, 3 for a normal one. */
  readonly kurtosis: number;
  readonly least: number;
  readonly most: number;
}
function momentsOf(t: Tensor): Moments {
  const values = Array.from(t.dataSync(), Number);
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const central = (power: number): number => values.reduce((sum, v) => sum + (v - mean) ** power, 0) / values.length;
  const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  return { mean, std: Math.sqrt(central(2)), kurtosis: central(4) / central(2) ** 2, least, most };
}

/**
 * Checks that n draws are within the bounds, come close to both, and have the mean, variance and kurtosis of a uniform
 * distribution.
 */
function expectUniform(t: Tensor, from: number, to: number): void {
  const { mean, std, kurtosis, least, most } = momentsOf(t);
  const spread = (to - from) / Math.sqrt(12);
  const error = 6 / Math.sqrt(t.numel);
  expect(least).toBeGreaterThanOrEqual(Math.fround(from));
  expect(most).toBeLessThanOrEqual(Math.fround(to));
  expect(least - from).toBeLessThan((to - from) * (20 / t.numel));
  expect(to - most).toBeLessThan((to - from) * (20 / t.numel));
  expect(Math.abs(mean - (from + to) / 2)).toBeLessThan(spread * error);
  expect(Math.abs(std / spread - 1)).toBeLessThan(error);
  expect(Math.abs(kurtosis - 1.8)).toBeLessThan(3 * error);
}
function expectNormal(t: Tensor, mean: number, std: number): void {
  const found = momentsOf(t);
  const error = 6 / Math.sqrt(t.numel);
  expect(Math.abs(found.mean - mean)).toBeLessThan(std * error);
  expect(Math.abs(found.std / std - 1)).toBeLessThan(error);
  expect(Math.abs(found.kurtosis - 3)).toBeLessThan(8 * error);
}
function expectAll(t: Tensor | null, value: number): void {
  expect(t).not.toBeNull();
  expect([...new Set(Array.from(t!.dataSync(), Number))]).toEqual([value]);
}
/** A test that starts from one seed, and whose tensors are all freed when it ends. */
const it = (name: string, fn: () => void): void =>
  test(name, () => {
    manualSeed(11);
    tidy(fn);
  });
/** Frees the parameters of a layer when the test ends. */
function made<M extends nn.Module>(layer: M, check: (layer: M) => void): void {
  try {
    check(layer);
  } finally {
    for (const t of [...layer.parameters(), ...layer.stateDict().values()]) t.dispose();
  }
}

describe("layers begin with PyTorch's distributions", () => {
  it('Linear: within 1 / sqrt(inFeatures), weight and bias', () => {
    made(new nn.Linear(64, 3000), ({ weight, bias }) => {
      expectUniform(weight, -1 / 8, 1 / 8);
      expectUniform(bias!, -1 / 8, 1 / 8);
    });
  });
  it('Conv2d: within 1 / sqrt(channels of a group * height * width)', () => {
    made(new nn.Conv2d(8, 2000, [3, 2]), ({ weight, bias }) => {
      expectUniform(weight, -1 / Math.sqrt(48), 1 / Math.sqrt(48));
      expectUniform(bias!, -1 / Math.sqrt(48), 1 / Math.sqrt(48));
    });
    made(new nn.Conv2d(8, 2000, 3, { groups: 4 }), ({ weight, bias }) => {
      expectUniform(weight, -1 / Math.sqrt(18), 1 / Math.sqrt(18));
      expectUniform(bias!, -1 / Math.sqrt(18), 1 / Math.sqrt(18));
    });
  });
  it('Embedding: normal', () => {
    made(new nn.Embedding(300, 100), ({ weight }) => expectNormal(weight, 0, 1));
  });
  it('norms: ones and zeros', () => {
    made(new nn.BatchNorm2d(5), layer => {
      expectAll(layer.weight, 1);
      expectAll(layer.bias, 0);
      expectAll(layer.runningMean, 0);
      expectAll(layer.runningVar, 1);
    });
    made(new nn.LayerNorm([2, 3]), layer => {
      expectAll(layer.weight, 1);
      expectAll(layer.bias, 0);
    });
    made(new nn.RMSNorm(3), layer => expectAll(layer.weight, 1));
  });
});

describe('nn.init', () => {
  const matrix = (): Tensor => empty([200, 300]);
  it('uniform and normal', () => {
    expectUniform(nn.init.uniform(matrix()), 0, 1);
    expectUniform(nn.init.uniform(matrix(), -2, 5), -2, 5);
    expectNormal(nn.init.normal(matrix()), 0, 1);
    expectNormal(nn.init.normal(matrix(), 3, 0.5), 3, 0.5);
    expectAll(nn.init.constant(matrix(), -7), -7);
  });
  it('xavierUniform: within gain * sqrt(6 / (fanIn + fanOut))', () => {
    const bound = Math.sqrt(6 / 500);
    expectUniform(nn.init.xavierUniform(matrix()), -bound, bound);
    expectUniform(nn.init.xavierUniform(matrix(), 3), -3 * bound, 3 * bound);
    const kernel = Math.sqrt(6 / (20 * 9 + 40 * 9));
    expectUniform(nn.init.xavierUniform(empty([40, 20, 3, 3])), -kernel, kernel);
  });
  it('kaimingUniform: within gain * sqrt(3 / fanIn), the gain of relu by default', () => {
    const bound = Math.sqrt(3 / 300);
    expectUniform(nn.init.kaimingUniform(matrix()), -Math.SQRT2 * bound, Math.SQRT2 * bound);
    expectUniform(nn.init.kaimingUniform(matrix(), 1), -bound, bound);
    const kernel = Math.sqrt(3 / 180);
    expectUniform(nn.init.kaimingUniform(empty([40, 20, 3, 3]), 1), -kernel, kernel);
  });
});
