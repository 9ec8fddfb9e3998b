/** Attention of few queries and many keys, as in decoding: the keys are divided among blocks of a GPU or threads of the CPU. */
import { describe, expect, test } from 'bun:test';
import { F, full, manualSeed, randn, setNumThreads, tensor, tidy, zeros, type DType, type Tensor } from 'castor';
import * as graph from 'castor/graph';
import { deviceInfo } from 'castor';
import { devices, sized } from './setup.ts';

const WIDTH = 8;
const off: Record<string, number> = { float64: 1e-11, float32: 2e-5, float16: 2e-3, bfloat16: 2e-2 };

interface Options {
  mask?: Tensor;
  causal?: boolean;
}

/** Computes attention by its definition, in float64. A query that sees no key has the output 0. */
function expected(q: Tensor, k: Tensor, v: Tensor, { mask, causal = false }: Options): Tensor {
  const [a, b, c] = [q, k, v].map(t => t.double()) as [Tensor, Tensor, Tensor];
  let scores = a.matmul(b.transpose(-2, -1)).div(Math.sqrt(q.shape.at(-1)!));
  if (mask?.dtype === 'bool') scores = scores.maskedFill(mask.logicalNot(), -Infinity);
  else if (mask) scores = scores.add(mask.double());
  if (causal)
    scores = scores.maskedFill(full(scores.shape.slice(-2), 1, { dtype: 'bool', device: q.device }).triu(1), -Infinity);
  const blind = scores.eq(-Infinity).all(-1, { keepdim: true });
  return scores.maskedFill(blind, 0).softmax(-1).maskedFill(blind, 0).matmul(c);
}
const numbers = (t: Tensor): Float64Array => Float64Array.from(t.double().dataSync() as Float64Array);

describe.each([...devices])('attention of few queries on %s', device => {
  const inputs = (dtype: DType, queries: number, keys: number, width = WIDTH, heads = 2): [Tensor, Tensor, Tensor] => {
    manualSeed(7);
    return [queries, keys, keys].map(rows => randn([2, heads, rows, width], { device }).to(dtype)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
  };
  const agrees = (dtype: DType, [q, k, v]: [Tensor, Tensor, Tensor], options: Options = {}): void =>
    expect(numbers(F.scaledDotProductAttention(q, k, v, options))).toBeAllclose(numbers(expected(q, k, v, options)), {
      atol: off[dtype]!,
      rtol: off[dtype]!,
    });
  const maskOf = (kind: string, queries: number, keys: number, dtype: DType): Options => {
    if (kind === 'none') return {};
    if (kind === 'causal') return { causal: true };
    const noise = randn([2, 1, queries, keys], { device });
    // The first query of the first batch sees nothing, and that of the second one only its last key.
    const hidden = noise.gt(0.5);
    hidden.at('0, 0, 0').fill_(1);
    hidden.at('1, 0, 0').fill_(1);
    hidden.at(`1, 0, 0, ${keys - 1}`).fill_(0);
    if (kind === 'bool') return { mask: hidden.logicalNot() };
    if (kind === 'bool of each key') return { mask: hidden.logicalNot().at('1, 0, 0') };
    return { mask: noise.maskedFill(hidden, -Infinity).to(dtype) };
  };

  for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const) {
    test(`${dtype}: every kind of mask, number of queries and of keys`, () => {
      for (const keys of [1, 31, 1000, 2500].slice(0, sized(4, 3)))
        for (const queries of [1, 17, 3, 16].slice(0, sized(4, 2)))
          for (const kind of ['none', 'causal', 'bool', 'bool of each key', 'added'])
            tidy(() => agrees(dtype, inputs(dtype, queries, keys), maskOf(kind, queries, keys, dtype)));
    });
    test(`${dtype}: sizes of heads, and values of another size`, () => {
      for (const [width, values] of [
        [1, 3],
        [32, 64],
        [64, 40],
        [128, 128],
        [160, 200],
      ] as const)
        tidy(() => {
          const [q, k] = inputs(dtype, 2, 1300, width, 1);
          agrees(dtype, [q, k, randn([2, 1, 1300, values], { device }).to(dtype)]);
        });
    });
    test(`${dtype}: keys and values that are views of a cache`, () =>
      tidy(() => {
        const [q] = inputs(dtype, 1, 1);
        const cache = randn([2, 2, 1500, 2, WIDTH], { device }).to(dtype);
        const read = (part: number): Tensor => cache.select(1, part).narrow(1, 0, 1234).transpose(1, 2);
        agrees(dtype, [q, read(0), read(1)]);
        agrees(dtype, [q, read(0), read(1).flip(2)], maskOf('bool', 1, 1234, dtype));
      }));
  }

  test('70,000 keys, of which one decides', () =>
    tidy(() => {
      const keys = 70_000;
      for (const dtype of ['float32', 'bfloat16'] as const) {
        const q = full([1, 1, 1, 4], 8, { device }).to(dtype);
        const k = zeros([1, 1, keys, 4], { device, dtype });
        const v = zeros([1, 1, keys, 4], { device, dtype });
        k.select(2, 69_000).fill_(4);
        v.select(2, 69_000).fill_(3);
        const out = F.scaledDotProductAttention(q, k, v).flatten().float().toArraySync();
        expect(out).toEqual([3, 3, 3, 3]);
        // Where all scores are equal, the output is the mean of the values.
        const mean = F.scaledDotProductAttention(q, k.zerosLike(), v.onesLike());
        expect(numbers(mean)).toBeAllclose(new Float64Array(4).fill(1), { atol: 1e-2 });
      }
    }));

  test('a NaN among the scores of a query stays in its row', () =>
    tidy(() => {
      for (const dtype of ['float32', 'float16'] as const) {
        const [q, k, v] = inputs(dtype, 2, 2000);
        q.at('0, 0, 1').fill_(NaN);
        const out = F.scaledDotProductAttention(q, k, v);
        expect(out.at('0, 0, 1').isNaN().all().itemSync()).toBe(1);
        expect(out.isNaN().sum().itemSync()).toBe(WIDTH);
        q.at('0, 0, 1').fill_(1);
        k.at('1, 1, 1777').fill_(NaN);
        const hidden = F.scaledDotProductAttention(q, k, v).isNaN().sum().itemSync();
        expect(hidden).toBe(2 * WIDTH);
      }
    }));

  test('a graph does it again with new keys', () =>
    tidy(() => {
      const [q, k, v] = inputs('float16', 1, 1500);
      using step = graph.capture(() => F.scaledDotProductAttention(q, k, v));
      for (const seed of [1, 2]) {
        manualSeed(seed);
        k.copy_(randn(k.shape, { device }).half());
        const again = numbers(step.replay());
        expect(again).toEqual(numbers(F.scaledDotProductAttention(q, k, v)));
      }
    }));

  test('the gradients of few queries', () =>
    tidy(() => {
      const leaves = inputs('float64', 3, 1100).map(t => t.detach().requiresGrad_()) as [Tensor, Tensor, Tensor];
      const sum = (out: Tensor): Tensor => out.square().sum();
      sum(F.scaledDotProductAttention(...leaves)).backward();
      const own = leaves.map(t => numbers(t.grad!));
      for (const t of leaves) t.grad = null;
      sum(expected(...leaves, {})).backward();
      for (const [i, t] of leaves.entries())
        expect(own[i]!).toBeAllclose(numbers(t.grad!), { atol: 1e-10, rtol: 1e-9 });
    }));
});

test.if(devices.includes('cpu'))('on the CPU neither the number of threads nor other rows change a bit', () =>
  tidy(() => {
    const before = deviceInfo('cpu').threads!;
    try {
      for (const dtype of ['float32', 'bfloat16', 'float64'] as const)
        for (const queries of [1, 16]) {
          manualSeed(3);
          const [q, k, v] = [queries, 4097, 4097].map(rows => randn([3, 2, rows, 16]).to(dtype)) as [
            Tensor,
            Tensor,
            Tensor,
          ];
          setNumThreads(1);
          const one = F.scaledDotProductAttention(q, k, v);
          setNumThreads(3);
          const three = F.scaledDotProductAttention(q, k, v);
          expect(numbers(three)).toEqual(numbers(one));
          const alone = F.scaledDotProductAttention(
            ...([q, k, v].map(t => t.narrow(0, 1, 1)) as [Tensor, Tensor, Tensor]),
          );
          expect(numbers(alone)).toEqual(numbers(one.narrow(0, 1, 1)));
        }
    } finally {
      setNumThreads(before);
    }
  }),
);
