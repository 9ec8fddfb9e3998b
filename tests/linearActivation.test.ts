/** linear() with an activation gives the bits of the two functions, computed by one kernel where no gradient is wanted. */
import { describe, expect, test } from 'bun:test';
import { ArgumentError, autocast, F, nn, noGrad, randn, tensor, tidy, type FloatDType, type Tensor } from 'castor';
import { devices } from './setup.ts';

const after = {
  none: (x: Tensor): Tensor => x,
  relu: (x: Tensor): Tensor => F.relu(x),
  gelu: (x: Tensor): Tensor => F.gelu(x),
  geluTanh: (x: Tensor): Tensor => F.gelu(x, { approximate: 'tanh' }),
} as const;
type Activation = keyof typeof after;
const names = Object.keys(after) as Activation[];
const dtypes: readonly FloatDType[] = ['float32', 'float64', 'float16', 'bfloat16'];
const bits = (x: Tensor): unknown => ({ dtype: x.dtype, values: [...(x.to('float64').dataSync() as Float64Array)] });
const sizes = [
  [1, 1, 1],
  [3, 5, 7],
  [4, 33, 65],
  [40, 70, 130],
] as const;

describe.each(devices)('linear with an activation on %s', device => {
  const make = (dtype: FloatDType, [m, k, n]: readonly number[]): [Tensor, Tensor, Tensor] =>
    [[m!, k!], [n!, k!], [n!]].map(shape => randn(shape, { device }).to(dtype)) as [Tensor, Tensor, Tensor];

  test.each(dtypes.flatMap(dtype => names.map(name => [name, dtype] as const)))(
    '%s of %s is that of two functions',
    (activation, dtype) =>
      tidy(() => {
        for (const size of sizes) {
          const [x, w, b] = make(dtype, size);
          for (const bias of [b, null])
            expect(bits(F.linear(x, w, bias, { activation }))).toEqual(bits(after[activation](F.linear(x, w, bias))));
        }
      }),
  );
  test('NaN and infinities are those of two functions', () =>
    tidy(() => {
      const x = tensor([[NaN], [Infinity], [-Infinity], [0], [-0], [1e38]], { device });
      const w = tensor([[1], [-1], [0], [1e30]], { device });
      for (const activation of names)
        expect(bits(F.linear(x, w, null, { activation }))).toEqual(bits(after[activation](F.linear(x, w))));
    }));
  test.each(names)('%s has the gradients of two functions', activation =>
    tidy(() => {
      const gradients = (fn: (x: Tensor, w: Tensor, b: Tensor) => Tensor, given: readonly Tensor[]): unknown[] => {
        const [x, w, b] = given.map(t => t.detach().requiresGrad_()) as [Tensor, Tensor, Tensor];
        fn(x, w, b).square().sum().backward();
        return [x, w, b].map(t => bits(t.grad!));
      };
      const given = make('float32', [5, 6, 7]);
      expect(gradients((x, w, b) => F.linear(x, w, b, { activation }), given)).toEqual(
        gradients((x, w, b) => after[activation](F.linear(x, w, b)), given),
      );
    }),
  );
  test.each(['float16', 'bfloat16'] as const)('under autocast to %s as well', dtype =>
    tidy(() => {
      const [x, w, b] = make('float32', [5, 6, 7]);
      for (const activation of names) {
        const [one, two] = autocast({ dtype, device }, () => [
          F.linear(x, w, b, { activation }),
          after[activation](F.linear(x, w, b)),
        ]) as [Tensor, Tensor];
        expect(bits(one)).toEqual(bits(two));
      }
    }),
  );
  test('is one op of the report where no gradient is wanted', async () => {
    const model = new nn.Sequential(
      new nn.Linear(4, 8, { device }),
      new nn.ReLU(),
      new nn.Linear(8, 8, { device }),
      new nn.GELU({ approximate: 'tanh' }),
      new nn.Linear(8, 2, { device }),
    );
    const x = randn([3, 4], { device });
    const run = async (fn: () => Tensor): Promise<string[]> => {
      const { report } = await autocast.report({ dtype: 'float16', device }, fn);
      return report.ops.flatMap(({ op, count }) => Array<string>(count).fill(op));
    };
    expect((await run(() => model.forward(x))).sort()).toEqual(['geluTanh', 'linear', 'linear', 'linear', 'relu']);
    expect((await run(() => noGrad(() => model.forward(x)))).sort()).toEqual([
      'geluTanh',
      'linear',
      'linear',
      'linear',
    ]);
    expect(bits(noGrad(() => model.forward(x)))).toEqual(bits(model.forward(x)));
  });
});

test('an activation that linear() does not know is refused', () => {
  const x = randn([2, 2]);
  expect(() => F.linear(x, x, null, { activation: 'tanh' as 'relu' })).toThrow(ArgumentError);
  expect(() => F.linear(x, x, null, { activation: 'tanh' as 'relu' })).toThrow(/'relu'|relu/);
  expect(() => F.linear(x, x, null, { other: 'relu' } as never)).toThrow(ArgumentError);
});
