import { afterEach, describe, expect, test } from 'bun:test';
import {
  cat,
  deviceInfo,
  F,
  full,
  noGrad,
  randn,
  setFloat32MatmulPrecision,
  setNumThreads,
  stack,
  tensor,
  zeros,
  type DType,
  type Float32MatmulPrecision,
  type Tensor,
} from 'castor';
import { matmulIn } from '../../runtime/ops/primitives.ts';
import { float32 } from '../../runtime/tensor/dtype.ts';
import { devices, sized, tidyTest } from '../setup.ts';

afterEach(() => setFloat32MatmulPrecision('highest'));

/** Sizes beside the borders of vectors, of tiles (16 rows, 32 elements along k), of panels and of blocks. */
const sizes = [1, 4, 5, 15, 16, 17, 31, 32, 33, 63, 65, 130, 197];
const depths = [1, 2, 3, 31, 32, 33, 64, 127, 255, 256, 257, 300, 513];
const pick = (list: readonly number[], i: number): number => list[i % list.length]!;

const layouts: Readonly<Record<string, (x: Tensor) => Tensor>> = {
  contiguous: x => x,
  transposed: x => x.T.contiguous().T,
  sliced: x => cat([x, x], 1).slice(1, x.shape[1]!),
  'every second column': x => stack([x, x], 2).reshape([x.shape[0]!, -1]).slice(1, 0, null, 2),
  reversed: x => x.flip(0).flip(0),
  'broadcast rows': x => x.slice(0, 0, 1).expand(x.shape),
};

/** The largest error of a product that is rounded to a dtype at the end, relative to the result and to |A| |B|. */
const bounds: Readonly<Record<string, { result: number; sum: number }>> = {
  float32: { result: 0, sum: 2e-6 },
  float16: { result: 2 ** -11, sum: 2e-6 },
  bfloat16: { result: 2 ** -8, sum: 2e-6 },
  high: { result: 0, sum: 2 ** -15 },
  medium: { result: 0, sum: 2 ** -7 },
};

const exact = (x: Tensor): Tensor => x.to('float64');
/** The largest error of `got` over its bound. */
function excess(got: Tensor, want: Tensor, magnitude: Tensor, bound: string): number {
  const { result, sum } = bounds[bound]!;
  const allowed = want
    .abs()
    .mul(result)
    .add(magnitude.mul(sum))
    .add(bound === 'float16' ? 2 ** -24 : 1e-30);
  return exact(got).sub(want).abs().div(allowed).max().itemSync();
}
const worst = (a: Tensor, b: Tensor, bound: string): number =>
  excess(a.matmul(b), exact(a).matmul(exact(b)), exact(a).abs().matmul(exact(b).abs()), bound);

for (const device of devices) {
  describe(`products on ${device}`, () => {
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      tidyTest(`of ${dtype} are right in every layout, at the borders of vectors, tiles and blocks`, () => {
        const names = Object.keys(layouts);
        for (let i = 0; i < sized(90, 12); i++) {
          const [m, n, k] = [pick(sizes, i), pick(sizes, 5 * i + 3), pick(depths, 7 * i + 1)];
          const [left, right] = [names[i % names.length]!, names[((i / names.length + i) % names.length) | 0]!];
          const a = layouts[left]!(randn([m, k], { dtype, device }));
          const b = layouts[right]!(randn([k, n], { dtype, device }));
          expect(worst(a, b, dtype), `${m} x ${k} x ${n}, ${left} by ${right}`).toBeLessThan(1);
        }
      });
    }

    for (const precision of ['high', 'medium'] as const satisfies Float32MatmulPrecision[]) {
      tidyTest(`of float32 have at least the precision '${precision}'`, () => {
        setFloat32MatmulPrecision(precision);
        for (const scale of [1, 1e-15, 1e15]) {
          const a = randn([70, 90], { device }).mul(scale);
          const b = randn([90, 50], { device }).mul(scale);
          expect(worst(a, b, device === 'cpu' ? precision : 'medium')).toBeLessThan(1);
        }
      });
    }

    const special = [0, -0, 1, -2.5, Infinity, -Infinity, NaN];
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      for (const precision of ['highest', 'high'] as const) {
        if (precision === 'high' && dtype !== 'float32') continue;
        tidyTest(`of ${dtype} with infinities and NaN are those of their formula, at precision '${precision}'`, () => {
          setFloat32MatmulPrecision(precision);
          for (const [m, n, k] of [
            [40, 37, 33],
            [6, 65, 8],
            [3, 40, 20],
            [70, 2, 40],
          ] as const) {
            for (const value of special) {
              for (const other of special) {
                const a = full([m, k], 0.5, { dtype, device });
                const b = full([k, n], 0.25, { dtype, device });
                a.at(m - 1, k - 1).fill_(value);
                b.at(k - 1, n - 1).fill_(other);
                const got = [a.matmul(b).to('float32').dataSync()];
                const rest = (k - 1) * 0.125;
                const want = Array.from({ length: m * n }, (_, i) => {
                  const [last, right] = [Math.trunc(i / n) === m - 1, i % n === n - 1];
                  return rest + (last ? value : 0.5) * (right ? other : 0.25);
                });
                expect([...got[0]!], `${value} by ${other}, ${m} x ${k} x ${n}`).toEqual(want);
              }
            }
          }
        });
      }
    }

    tidyTest('of the largest and the smallest float32 and float16 stay in their range', () => {
      // Rounded to tf32, as a GPU may at 'high', the largest float32 is infinite.
      for (const precision of device === 'cpu' ? (['highest', 'high'] as const) : (['highest'] as const)) {
        setFloat32MatmulPrecision(precision);
        const large = full([20, 40], 3.4028234663852886e38, { device });
        expect(
          large
            .matmul(full([40, 20], 2 ** -10, { device }))
            .at(3, 3)
            .itemSync(),
        ).toBeCloseTo(1.3292279e37, -31);
        const mixed = tensor([[1e30, 1, -1e30]], { device }).expand([24, 3]);
        expect(
          mixed
            .matmul(full([3, 24], 1, { device }))
            .abs()
            .max()
            .itemSync(),
        ).toBeLessThanOrEqual(1);
      }
      const least = full([20, 40], 2 ** -24, { dtype: 'float16', device });
      expect(
        least
          .matmul(full([40, 20], 1, { dtype: 'float16', device }))
          .at(0, 0)
          .itemSync(),
      ).toBe(40 * 2 ** -24);
      const most = full([20, 40], 65504, { dtype: 'float16', device });
      expect(
        most
          .matmul(full([40, 20], 2 ** -6, { dtype: 'float16', device }))
          .at(0, 0)
          .itemSync(),
      ).toBe(40928);
    });

    tidyTest('of float16 are exact before they are rounded, where the result is float32', () => {
      const a = randn([40, 200], { dtype: 'float16', device });
      const b = randn([200, 33], { dtype: 'float16', device });
      const magnitude = exact(a).abs().matmul(exact(b).abs());
      const got = matmulIn(a, b, float32);
      expect(got.dtype).toBe('float32');
      expect(excess(got, exact(a).matmul(exact(b)), magnitude, 'float32')).toBeLessThan(1);
    });
  });
}

const heads = (dtype: DType): Tensor[] =>
  Array.from({ length: 4 }, () => randn([2, 3, 70, 24], { dtype, requiresGrad: true }));

describe('attention and convolutions use the same products', () => {
  const tolerance = { float32: 1e-5, float16: 4e-3, bfloat16: 4e-2 } as const;
  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    tidyTest(`attention of ${dtype} and its gradients are near those of float64`, () => {
      for (const causal of [false, true]) {
        const [q, k, v, g] = heads(dtype) as [Tensor, Tensor, Tensor, Tensor];
        const wide = [q, k, v].map(x => exact(x.detach()).requiresGrad_()) as [Tensor, Tensor, Tensor];
        const out = F.scaledDotProductAttention(q, k, v, { causal });
        const want = F.scaledDotProductAttention(...wide, { causal });
        out.backward(g.detach());
        want.backward(exact(g.detach()));
        const near = { atol: tolerance[dtype], rtol: tolerance[dtype] };
        expect(exact(out.detach())).toBeAllclose(want.detach(), near);
        [q, k, v].forEach((x, i) =>
          expect(exact(x.grad!)).toBeAllclose(wide[i]!.grad!, { ...near, atol: 4 * near.atol }),
        );
      }
    });

    tidyTest(`convolutions of ${dtype} and their gradients are near those of float64`, () => {
      for (const [groups, taps, stride] of [
        [1, 3, 1],
        [1, 1, 1],
        [2, 3, 2],
        [36, 3, 1],
      ] as const) {
        const x = randn([3, 36, 13, 11], { dtype, requiresGrad: true });
        const w = randn([72, 36 / groups, taps, taps], { dtype, requiresGrad: true });
        const wide = [x, w].map(each => exact(each.detach()).requiresGrad_()) as [Tensor, Tensor];
        const options = { groups, stride, padding: 1 };
        const out = F.conv2d(x, w, null, options);
        const want = F.conv2d(...wide, null, options);
        const g = randn(out.shape, { dtype });
        out.backward(g);
        want.backward(exact(g));
        const scale = Math.sqrt((36 / groups) * taps * taps);
        const near = (size: number): { atol: number; rtol: number } => ({
          atol: tolerance[dtype] * size,
          rtol: tolerance[dtype],
        });
        expect(exact(out.detach())).toBeAllclose(want.detach(), near(scale));
        expect(exact(x.grad!)).toBeAllclose(wide[0].grad!, near(2 * scale));
        expect(exact(w.grad!)).toBeAllclose(wide[1].grad!, near(20));
      }
    });
  }
});

describe('the number of threads', () => {
  tidyTest('does not change a bit of a product', () => {
    const before = deviceInfo('cpu').threads!;
    const bits = (run: () => Tensor): string => Bun.hash(noGrad(run).to('float32').dataSync()).toString();
    for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
      const [a, b, long] = [randn([300, 500], { dtype }), randn([500, 400], { dtype }), randn([12, 20_000], { dtype })];
      const [x, w] = [randn([4, 16, 20, 20], { dtype }), randn([32, 16, 3, 3], { dtype })];
      const many = randn([8, 16, 20, 20], { dtype });
      const [q, k, v] = heads(dtype) as [Tensor, Tensor, Tensor];
      const all = (): string =>
        [
          bits(() => a.matmul(b)),
          bits(() => long.matmul(long.T)),
          bits(() => F.conv2d(x, w)),
          bits(() => F.conv2d(many, w)),
          bits(() => F.scaledDotProductAttention(q, k, v)),
        ].join();
      const results = [1, 2, 3].map(count => (setNumThreads(count), all()));
      setNumThreads(before);
      expect(new Set(results).size, dtype).toBe(1);
    }
  });
});

test('a unit for bfloat16 takes subnormal numbers as zero, multiply-adds keep them', () => {
  const least = 2 ** -130;
  const unit = /vdpbf16ps|tiles/.test(deviceInfo('cpu').products!.bfloat16);
  const product = full([20, 40], least, { dtype: 'bfloat16', device: 'cpu' }).matmul(
    full([40, 20], 2 ** 100, { dtype: 'bfloat16', device: 'cpu' }),
  );
  expect(product.at(3, 3).itemSync()).toBe(unit ? 0 : 40 * 2 ** -30);
});

test('a product without elements is empty, and one of no terms is zero', () => {
  for (const dtype of ['float32', 'float16', 'bfloat16'] as const) {
    expect(zeros([0, 3], { dtype }).matmul(zeros([3, 20], { dtype })).shape).toEqual([0, 20]);
    expect(
      zeros([20, 0], { dtype })
        .matmul(zeros([0, 20], { dtype }))
        .abs()
        .max()
        .itemSync(),
    ).toBe(0);
  }
});
