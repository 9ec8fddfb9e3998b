/** Dropout of the probabilities of attention, in the fused kernels and in what is computed by ops. */
import { describe, expect, test } from 'bun:test';
import {
  autocast,
  autograd,
  eye,
  F,
  full,
  Generator,
  manualSeed,
  ones,
  randn,
  tidy,
  withGenerator,
  zeros,
  type DType,
  type Tensor,
} from 'castor';
import * as graph from 'castor/graph';
import { devices } from './setup.ts';

const off: Record<string, number> = { float64: 1e-11, float32: 1e-5, float16: 1e-2, bfloat16: 5e-2 };
const SEED = 1234;

interface Options {
  mask?: Tensor;
  causal?: boolean;
  scale?: number;
}
type Operands = [Tensor, Tensor, Tensor];

/**
 * The definition, in the dtype of the operands. The factors of the probabilities are those that F.dropout gives a tensor of their shape, from
 * the same position of the generator.
 */
function composed(q: Tensor, k: Tensor, v: Tensor, p: number, { mask, causal = false, scale }: Options = {}): Tensor {
  let scores = q.matmul(k.transpose(-2, -1)).mul(scale ?? 1 / Math.sqrt(q.shape.at(-1)!));
  if (mask?.dtype === 'bool') scores = scores.maskedFill(mask.logicalNot(), -Infinity);
  else if (mask) scores = scores.add(mask.to(q.dtype));
  if (causal)
    scores = scores.maskedFill(full(scores.shape.slice(-2), 1, { dtype: 'bool', device: q.device }).triu(1), -Infinity);
  const blind = scores.eq(-Infinity).all(-1, { keepdim: true });
  const probabilities = scores.maskedFill(blind, 0).softmax(-1).maskedFill(blind, 0);
  return probabilities.mul(F.dropout(ones(scores.shape, { device: q.device, dtype: q.dtype }), p)).matmul(v);
}
const seeded = <T>(fn: () => T): T => withGenerator(new Generator(SEED), fn);
const numbers = (t: Tensor): Float64Array => Float64Array.from(t.double().dataSync() as Float64Array);

describe.each([...devices])('dropout of attention on %s', device => {
  const operands = (dtype: DType, l: number, s: number, e = 8, f = e): Operands => {
    manualSeed(5);
    return [
      [l, e],
      [s, e],
      [s, f],
    ].map(size =>
      randn([2, 2, ...size], { device })
        .to(dtype)
        .detach()
        .requiresGrad_(),
    ) as Operands;
  };
  const results = (leaves: readonly Tensor[], fn: () => Tensor, createGraph = false): Float64Array[] => {
    const out = seeded(fn);
    const weights = withGenerator(new Generator(9), () => randn(out.shape, { device })).to(out.dtype);
    return [out, ...autograd.grad(out.mul(weights).sum(), leaves, { createGraph })].map(numbers);
  };

  for (const dtype of ['float64', 'float32', 'float16', 'bfloat16'] as const)
    test(`${dtype}: the output and the gradients are those of the definition`, () => {
      for (const [l, s, e, f] of [
        [1, 1, 4, 4],
        [5, 7, 8, 3],
        [33, 64, 32, 32],
        [18, 70, 64, 40],
        [3, 101, 136, 136],
      ] as const)
        for (const kind of ['none', 'causal', 'bool', 'added'] as const)
          tidy(() => {
            const leaves = operands(dtype, l, s, e, f);
            const noise = randn([2, 1, l, s], { device });
            const hidden = noise.gt(0.3);
            hidden.at('0, 0, 0').fill_(1);
            const options: Options =
              kind === 'causal'
                ? { causal: true }
                : kind === 'bool'
                  ? { mask: hidden.logicalNot() }
                  : kind === 'added'
                    ? { mask: noise.maskedFill(hidden, -Infinity).to(dtype) }
                    : {};
            const wide = leaves.map(t => t.detach().double().requiresGrad_()) as Operands;
            const expected = results(wide, () => composed(...wide, 0.3, options));
            for (const createGraph of [false, true]) {
              const own = results(
                leaves,
                () => F.scaledDotProductAttention(...leaves, { ...options, dropoutP: 0.3 }),
                createGraph,
              );
              for (const [i, values] of own.entries())
                expect(values).toBeAllclose(expected[i]!, { atol: off[dtype]! * 4, rtol: off[dtype]! });
            }
          });
    });

  test('derivatives agree with differences, also the second ones and that of the mask', () =>
    tidy(() => {
      const leaves = [...operands('float64', 3, 5, 2), randn([3, 5], { device, dtype: 'float64' }).requiresGrad_()];
      for (const causal of [false, true])
        autograd.gradcheck(
          (q, k, v, mask) =>
            seeded(() => F.scaledDotProductAttention(q!, k!, v!, { mask: mask!, causal, dropoutP: 0.4 })),
          leaves,
          { second: true },
        );
    }));

  test('p of 0 draws nothing, and p of 1 gives 0 and passes 0 on', () =>
    tidy(() => {
      for (const dtype of ['float32', 'bfloat16'] as const) {
        const leaves = operands(dtype, 4, 9);
        const own = new Generator(1);
        const plain = numbers(F.scaledDotProductAttention(...leaves));
        expect(withGenerator(own, () => numbers(F.scaledDotProductAttention(...leaves, { dropoutP: 0 })))).toEqual(
          plain,
        );
        expect(own.state().offset).toBe(0);
        for (const values of results(leaves, () => F.scaledDotProductAttention(...leaves, { dropoutP: 1 })))
          expect(values).toEqual(new Float64Array(values.length));
      }
    }));

  test('each call draws anew, and the same position of the generator gives the same bits', () =>
    tidy(() => {
      const leaves = operands('float32', 16, 24);
      const call = (): Float64Array => numbers(F.scaledDotProductAttention(...leaves, { dropoutP: 0.5 }));
      const [first, second] = seeded(() => [call(), call()]);
      expect(second).not.toEqual(first);
      expect(seeded(() => [call(), call()])).toEqual([first!, second!]);
    }));

  test('tensors of two and three axes drop what they drop as part of four', () =>
    tidy(() => {
      const wide = operands('float32', 6, 10).map(t => t.detach().narrow(0, 0, 1)) as Operands;
      const call = (...t: Operands): Float64Array =>
        seeded(() => numbers(F.scaledDotProductAttention(...t, { dropoutP: 0.5 })));
      const expected = call(...wide);
      expect(call(...(wide.map(t => t.select(0, 0)) as Operands))).toEqual(expected);
      const one = wide.map(t => t.narrow(1, 0, 1)) as Operands;
      expect(call(...(one.map(t => t.reshape(t.shape.slice(2))) as Operands))).toEqual(call(...one));
    }));

  test('a checkpoint drops the same again', () =>
    tidy(() => {
      const leaves = operands('float32', 9, 12);
      const block = (...t: Tensor[]): Tensor =>
        F.scaledDotProductAttention(...(t as Operands), { dropoutP: 0.4 }).tanh();
      const plain = results(leaves, () => block(...leaves));
      expect(results(leaves, () => autograd.checkpoint(block, ...leaves) as Tensor)).toEqual(plain);
    }));

  test('a replay of a graph draws anew, and backward in it drops what forward dropped', () =>
    tidy(() => {
      for (const dtype of ['float32', 'float16'] as const) {
        const [q, k] = operands(dtype, 8, 20).map(t => t.detach()) as Operands;
        const v = ones([2, 2, 20, 8], { device, dtype }).requiresGrad_();
        const own = new Generator(77);
        withGenerator(own, () => {
          const forward = (): [Tensor, Tensor] => {
            const out = F.scaledDotProductAttention(q, k, v, { dropoutP: 0.5 });
            const weights = ones(out.shape, { device, dtype });
            return [out, autograd.grad(out, [v], { gradOutputs: [weights] })[0]!];
          };
          using step = graph.capture(forward, { warmup: 0 });
          const seen: Float64Array[] = [];
          for (let i = 0; i < 3; i++) {
            const state = own.state();
            const [out, grad] = (step.replay() as [Tensor, Tensor]).map(numbers) as [Float64Array, Float64Array];
            const eager = new Generator(0);
            eager.setState(state);
            const again = withGenerator(eager, forward).map(numbers);
            expect([out, grad]).toEqual(again as [Float64Array, Float64Array]);
            // With values of 1 both sums are those of the probabilities that were kept.
            const total = (x: Float64Array): number => x.reduce((a, b) => a + b, 0);
            expect(total(grad) / total(out)).toBeCloseTo(1, 2);
            seen.push(out);
          }
          expect(seen[1]).not.toEqual(seen[0]);
          expect(seen[2]).not.toEqual(seen[1]);
        });
      }
    }));

  test('under autocast', () =>
    tidy(() => {
      for (const dtype of ['float16', 'bfloat16'] as const) {
        const leaves = operands('float32', 17, 33, 16);
        const expected = results(leaves, () => composed(...leaves, 0.2));
        const own = results(leaves, () =>
          autocast({ dtype, device }, () => F.scaledDotProductAttention(...leaves, { dropoutP: 0.2 }).float()),
        );
        for (const [i, values] of own.entries())
          expect(values).toBeAllclose(expected[i]!, { atol: off[dtype]! * 4, rtol: off[dtype]! });
      }
    }));

  test('the mean stays, and the share that is dropped is p', () =>
    tidy(() => {
      for (const [dtype, keys] of [
        ['float32', 4099],
        ['bfloat16', 4096],
      ] as const)
        for (const p of [0.1, 0.5, 0.9]) {
          const [q, k] = [zeros([1, 1, 8, 4], { device, dtype }), zeros([1, 1, keys, 4], { device, dtype })];
          const out = seeded(() =>
            F.scaledDotProductAttention(q, k, ones([1, 1, keys, 4], { device, dtype }), { dropoutP: p }),
          );
          const mean = out.float().mean().itemSync() as number;
          expect(Math.abs(mean - 1)).toBeLessThan(
            5 * Math.sqrt(p / (1 - p) / (8 * keys)) + (dtype === 'bfloat16' ? 4e-3 : 0),
          );
        }
    }));

  test('what every part of a device decides is the same on the CPU', () =>
    tidy(() => {
      for (const dtype of ['float32', 'float16', 'bfloat16'] as const)
        for (const [l, s] of [
          [40, 36],
          [7, 301],
          [130, 66],
        ] as const) {
          // With an identity as values, the output is the probabilities, which are all alike for queries of zeros.
          const v = eye(s).reshape([1, 1, s, s]);
          const q = zeros([1, 1, l, s]);
          const run = (on: string): Float64Array =>
            seeded(() =>
              numbers(
                F.scaledDotProductAttention(
                  ...([q, v.zerosLike(), v].map(t => t.to(dtype).to(on as 'cpu')) as Operands),
                  { dropoutP: 0.5 },
                ).ne(0),
              ),
            );
          const kept = seeded(() => numbers(F.dropout(ones([l, s]), 0.5).ne(0)));
          expect(run(device)).toEqual(kept);
        }
    }));
});
