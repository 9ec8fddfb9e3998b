/**
 * Kernels read and write tensors in any layout, and no memory outside of them. Every call of these programs is repeated
 * with its tensors in other places (tests/reference/relaid.ts), and must give the same result.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  arange,
  autograd,
  F,
  fromTypedArray,
  full,
  manualSeed,
  nn,
  optim,
  rand,
  bernoulli,
  randint,
  randn,
  tidy,
  warnings,
  type DType,
  type FloatDType,
  type Tensor,
} from 'castor';
import { Dice } from '../dice.ts';
import { relaid } from '../reference/relaid.ts';
import { onEmulator } from '../setup.ts';
import { eighths, wholeNumbers } from './drawn.ts';
import { dtypesOf, listOf, ownCases, tensorsOf, valuesOf } from './run.ts';

const floats: readonly FloatDType[] = ['float32', 'float64', 'float16', 'bfloat16'];

/** Checks that a program makes calls, and that none of them differs. */
function expectSame(seed: number, program: (dice: Dice) => void): void {
  const dice = new Dice(seed);
  const { wrong, calls } = relaid(dice, () => program(dice));
  expect(wrong.slice(0, 5)).toEqual([]);
  expect(calls).toBeGreaterThan(0);
}
const small = (shape: readonly number[], dtype: DType, dice: Dice): Tensor => {
  const values = dtype === 'uint8' || dtype === 'bool' ? wholeNumbers(shape, dice, 1) : eighths(shape, dice);
  const data = dtype === 'float32' || floats.includes(dtype as FloatDType) ? values.data : values.data.map(Math.round);
  return fromTypedArray(dtype === 'uint8' || dtype === 'bool' ? data.map(Math.abs) : data, shape, { dtype });
};
/** The first dtype, and one of the others. */
const drawnDTypes = ([first, ...others]: readonly DType[], dice: Dice): DType[] =>
  others.length === 0 ? [first!] : [first!, dice.pick(others)];
/** Calls f, and computes its gradient if it is differentiable. */
function both(f: (...inputs: Tensor[]) => Tensor, dice: Dice, ...inputs: Tensor[]): void {
  const leaves = inputs.map(t => t.detach().requiresGrad_());
  const out = f(...leaves);
  autograd.grad([out], leaves, { gradOutputs: [small(out.shape, out.dtype, dice)], allowUnused: true });
}

beforeAll(() => warnings.disable('CASTOR_FLOAT16_UNSCALED'));
afterAll(() => warnings.enable('CASTOR_FLOAT16_UNSCALED'));

// The emulator runs the kernels of the GPU. The kernels of the CPU are the same as in every build.
describe.if(!onEmulator)('in every layout', () => {
  test.each(ownCases)('%s', (name, row) => {
    expectSame(name.length, dice => {
      row.variants.forEach((variant, number) => {
        for (const dtype of drawnDTypes(dtypesOf(row, variant), dice))
          tidy(() => {
            const layouts = variant.operands.map(() => 'contiguous' as const);
            const trial = { name: `${name} ${number}`, dtype, layouts, device: 'cpu' as const };
            const values = valuesOf(variant, trial)!;
            const operands = tensorsOf(variant, values, trial).map(t => (t.isFloat ? t.requiresGrad_() : t));
            const outs = listOf(variant.run(...operands)).filter(t => t.requiresGrad);
            const leaves = operands.filter(t => t.requiresGrad);
            const gradOutputs = outs.map(t => small(t.shape, t.dtype, dice));
            if (outs.length > 0) autograd.grad(outs, leaves, { gradOutputs, allowUnused: true });
          });
      });
    });
  });

  test('reductions over any axes', () => {
    expectSame(1, dice => {
      for (const shape of [
        [9, 40],
        [40, 9],
        [3, 33, 12],
        [2, 2, 65],
        [70, 1, 3],
        [2, 600],
      ])
        for (const dtype of ['float32', 'float64', 'float16', 'int32', 'int64', 'uint8', 'bool'] as const)
          for (const axis of [...shape.keys(), undefined]) {
            if (dice.below(2)) continue;
            tidy(() => {
              const x = small(shape, dtype, dice);
              (x.sum(axis), x.any(axis), x.all(axis), x.countNonzero(axis));
              if (dtype !== 'bool') (x.amax(axis), x.amin(axis), x.argmax(axis), x.argmin(axis));
              if (!x.isFloat) return;
              (x.mean(axis), x.var(axis), x.std(axis), x.logSumExp(axis ?? [...shape.keys()]));
              for (const p of [0, 1, 2, 3, Infinity, -Infinity]) x.norm(p, axis);
            });
          }
    });
  });
  test('lines along any axis', () => {
    expectSame(2, dice => {
      for (const shape of [
        [9, 40],
        [40, 9],
        [3, 33, 12],
        [70, 3],
        [2, 1030],
        [1030, 9],
      ])
        for (const dtype of ['float32', 'float64', 'float16', 'int64'] as const)
          for (const axis of shape.keys())
            tidy(() => {
              const x = small(shape, dtype, dice);
              (x.cumsum(axis), x.cumprod(axis), x.sort(axis), x.sort(axis, { descending: true }));
              x.topk(2, axis);
              if (!x.isFloat) return;
              both(t => t.softmax(axis), dice, x);
              both(t => t.logSoftmax(axis), dice, x);
            });
    });
  });
  test('norms of rows', () => {
    expectSame(3, dice => {
      for (const shape of [
        [5, 9],
        [70, 33],
        [130, 4],
        [3, 1100],
      ])
        for (const dtype of floats)
          tidy(() => {
            const n = shape.slice(1);
            const [x, w, b] = [small(shape, dtype, dice), small(n, dtype, dice), small(n, dtype, dice)];
            both((t, u, v) => F.layerNorm(t!, n, u, v), dice, x, w, b);
            both(t => F.layerNorm(t!, n), dice, x);
            both((t, u) => F.rmsNorm(t!, n, u), dice, x, w);
          });
    });
  });
  test('norms of channels', () => {
    expectSame(4, dice => {
      for (const shape of [
        [3, 4, 5],
        [2, 6, 40],
        [5, 140, 1],
        [2, 8, 3, 9],
        [2, 70, 4],
        [1, 6, 33],
      ])
        for (const dtype of floats)
          tidy(() => {
            const c = shape[1]!;
            const [x, w, b] = [small(shape, dtype, dice), small([c], dtype, dice), small([c], dtype, dice)];
            const statistics = (): { runningMean: Tensor; runningVar: Tensor } => ({
              runningMean: small([c], 'float32', dice),
              runningVar: full([c], 2),
            });
            for (const training of [true, false]) {
              const { runningMean, runningVar } = statistics();
              both(
                (t, weight, bias) =>
                  F.batchNorm(t!, { runningMean, runningVar, weight: weight!, bias: bias!, training }),
                dice,
                x,
                w,
                b,
              );
            }
            both((t, u, v) => F.groupNorm(t!, 2, u, v), dice, x, w, b);
            both(t => F.groupNorm(t!, 1), dice, x);
          });
    });
  });
  test('cross entropy', () => {
    expectSame(5, dice => {
      for (const [rows, classes] of [
        [4, 3],
        [33, 70],
        [2, 1100],
      ] as const)
        for (const dtype of floats)
          tidy(() => {
            const target = randint(0, classes, [rows]);
            target.slice(0, 0, 1).fill_(-100);
            for (const labelSmoothing of [0, 0.1])
              both(
                t => F.crossEntropy(t!, target, { labelSmoothing, reduction: 'none' }),
                dice,
                small([rows, classes], dtype, dice),
              );
          });
    });
  });
  test('picking and putting by index', () => {
    expectSame(6, dice => {
      for (const shape of [[7], [5, 40], [40, 5], [3, 9, 12]])
        for (const dtype of ['float32', 'float16', 'float64', 'int32', 'int64', 'uint8', 'bool', 'bfloat16'] as const)
          for (const axis of shape.keys())
            tidy(() => {
              const size = shape[axis]!;
              const index = randint(-size, size, shape).to(dice.pick(['int32', 'int64'] as const));
              const line = randint(-size, size, [size + 3]).to(dice.pick(['int32', 'int64'] as const));
              const x = small(shape, dtype, dice);
              const source = small(shape.with(axis, size + 3), dtype, dice);
              (x.gather(axis, index), x.indexSelect(axis, line));
              (x.scatter(axis, index, x.clone()), x.indexCopy(axis, line, source));
              if (dtype === 'bool') return;
              (x.scatterAdd(axis, index, x.clone()), x.indexAdd(axis, line, source));
            });
    });
  });
  test('products', () => {
    expectSame(7, dice => {
      for (const [m, k, n] of [
        [1, 5, 3],
        [3, 9, 130],
        [5, 17, 9],
        [33, 7, 40],
        [9, 600, 5],
        [70, 3, 1],
      ] as const)
        for (const dtype of [...floats, 'int64'] as const)
          tidy(() => {
            small([2, m, k], dtype, dice).matmul(small([k, n], dtype, dice));
            if (dtype === 'int64') return;
            both(
              (x, w, b) => F.linear(x!, w!, b!),
              dice,
              small([m, k], dtype, dice),
              small([n, k], dtype, dice),
              small([n], dtype, dice),
            );
          });
    });
  });
  test('convolutions and pools', () => {
    expectSame(8, dice => {
      for (const [each, groups, kernel, stride, padding, dilation] of [
        [1, 1, 1, 1, 0, 1],
        [3, 1, 3, 1, 1, 1],
        [5, 2, 3, 2, 1, 1],
        [20, 1, 2, 1, 0, 2],
        [9, 3, 1, 2, 0, 1],
        [1, 4, 3, 1, 1, 1],
      ] as const)
        for (const dtype of floats)
          tidy(() => {
            const x = small([2, 2 * groups, 9, 7], dtype, dice);
            const w = small([each * groups, 2, kernel, kernel], dtype, dice);
            const options = { stride, padding, dilation, groups };
            both((t, u, b) => F.conv2d(t!, u!, b!, options), dice, x, w, small([each * groups], dtype, dice));
            const window = { stride, padding: kernel > 2 ? padding : 0 };
            both(t => F.maxPool2d(t!, kernel, window), dice, x);
            both(t => F.avgPool2d(t!, kernel, window), dice, x);
          });
    });
  });
  test('attention', () => {
    expectSame(9, dice => {
      for (const [l, s, e, f] of [
        [1, 1, 1, 1],
        [5, 9, 4, 3],
        [66, 7, 8, 5],
        [3, 260, 5, 9],
      ] as const)
        for (const dtype of floats)
          tidy(() => {
            const [q, k, v] = [
              small([2, 3, l, e], dtype, dice),
              small([2, 3, s, e], dtype, dice),
              small([2, 3, s, f], dtype, dice),
            ];
            const mask = small(
              dice.pick([
                [l, s],
                [3, 1, s],
                [2, 1, l, s],
                [l, 1],
              ]),
              dice.pick(['bool', dtype] as const),
              dice,
            );
            const causal = dice.below(2) === 1;
            both((a, b, c) => F.scaledDotProductAttention(a!, b!, c!, { mask, causal }), dice, q, k, v);
            both((a, b, c) => F.scaledDotProductAttention(a!, b!, c!), dice, q, k, v);
            both((a, b, c) => F.scaledDotProductAttention(a!, b!, c!, { mask, dropoutP: 0.4 }), dice, q, k, v);
          });
    });
  });
  test('elements of operands that broadcast', () => {
    expectSame(10, dice => {
      const shapes = [
        [[40, 33], [33]],
        [
          [5, 300],
          [5, 1],
        ],
        [[300, 5], [1]],
        [
          [3, 1, 7],
          [4, 1],
        ],
        [
          [2, 1100],
          [2, 1],
        ],
        [[1100], [1100]],
      ] as const;
      for (const [a, b] of shapes)
        for (const [left, right] of [
          ['float32', 'float32'],
          ['float16', 'float32'],
          ['float64', 'int32'],
          ['int64', 'uint8'],
          ['bfloat16', 'bfloat16'],
        ] as const)
          tidy(() => {
            const [x, y] = [small(a, left, dice), small(b, right, dice)];
            (x.add(y),
              x.mul(y),
              x.maximum(y),
              x.lt(y),
              x.neg(),
              x.pow(2),
              x.where(x.gt(y), y),
              x.to('float16'),
              x.to('float64'),
              x.to('int32'));

            (x.clone().add_(1), x.clone().copy_(x.slice(0, 0, 1)), x.clone().fill_(2));
          });
    });
  });
  test('random numbers, ranges and triangles', () => {
    expectSame(11, () => {
      for (const n of [1, 5, 1023, 1025, 2050])
        for (const dtype of floats)
          tidy(() => {
            manualSeed(3);
            (rand([n], { dtype }), randn([n], { dtype }), randn([n]).mul(2));
            (bernoulli(0.3, [n]), randint(-5, 9, [n]), arange(0, n, 1, { dtype }), arange(n));
            F.dropout(full([n], 1, { dtype }), 0.4);
          });
      for (const shape of [
        [5, 9],
        [40, 33],
        [3, 7, 7],
      ])
        for (const diagonal of [-3, 0, 2]) tidy(() => void [randn(shape).tril(diagonal), randn(shape).triu(diagonal)]);
    });
  });
  test('many tensors at once', () => {
    expectSame(12, dice => {
      const shapes = [[1], [3, 40], [1030], [2, 3, 5]];
      for (const dtype of floats)
        for (const make of [
          (p: Tensor[]) => new optim.SGD(p, { lr: 0.1 }),
          (p: Tensor[]) => new optim.SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.1 }),
          (p: Tensor[]) => new optim.Adam(p, { lr: 0.1, weightDecay: 0.1, amsgrad: true }),
          (p: Tensor[]) => new optim.AdamW(p, { lr: 0.1, maximize: true }),
        ])
          tidy(() => {
            const params = shapes.map(shape => small(shape, dtype, dice).requiresGrad_());
            const optimizer = make(params);
            for (let step = 0; step < 2; step++) {
              for (const p of params) p.grad = small(p.shape, dtype, dice);
              for (const normType of [1, 2, 3, Infinity]) nn.clipGradNorm(params, 1, { normType });
              optimizer.step();
            }
          });
    });
  });
});
