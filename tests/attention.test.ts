import { describe, expect, test } from 'bun:test';
import { autocast, autograd, F, full, manualSeed, randn, tensor, tidy, zeros, type DType, type Tensor } from 'castor';
import { devices } from './setup.ts';

/** The numbers of queries and keys. */
const [L, S, WIDTH] = [5, 3, 4];

/** The keys that each query may see. Query 1 sees none. */
const seen = [
  [true, false, true],
  [false, false, false],
  [true, true, true],
  [false, true, false],
  [true, true, false],
];
/** Every way to hide keys, such that some query sees none of them. */
const masks: Readonly<Record<string, (dtype: DType) => { mask: Tensor; causal?: boolean }>> = {
  'a bool mask': () => ({ mask: tensor(seen) }),
  'a bool mask of one column': () => ({ mask: tensor(seen.map(row => [row[2]!])) }),
  'an added mask': dtype => ({
    mask: tensor(
      seen.map(row => row.map(see => (see ? 0.5 : -Infinity))),
      { dtype },
    ),
  }),
  'an added mask of a batch': dtype => ({
    mask: tensor(
      seen.map(row => row.map(see => (see ? -0.5 : -Infinity))),
      { dtype },
    ).expand([2, 1, L, S]),
  }),
  'a bool mask before causality, of more queries than keys': () => ({
    mask: tensor([[false, false, true]]).expand([L, S]),
    causal: true,
  }),
  'an added mask before causality': dtype => ({
    mask: tensor([[-Infinity, 0, 0]], { dtype }),
    causal: true,
  }),
  'a mask that hides everything': () => ({ mask: zeros([L, S], { dtype: 'bool' }) }),
};

interface Options {
  mask?: Tensor;
  causal?: boolean;
  dropoutP?: number;
}

describe.each([...devices])('attention on %s', device => {
  const inputs = (dtype: DType): Tensor[] => {
    manualSeed(11);
    return [L, S, S].map(rows => randn([2, 2, rows, WIDTH], { device }).to(dtype).detach().requiresGrad_());
  };
  const gradients = (leaves: readonly Tensor[], options: Options, createGraph: boolean): Tensor[] => {
    const [q, k, v] = leaves as [Tensor, Tensor, Tensor];
    const out = F.scaledDotProductAttention(q, k, v, options);
    const weights = full(out.shape, 0.75, { dtype: out.dtype, device });
    return [out, ...autograd.grad(out.mul(weights).sum(), leaves, { createGraph })];
  };
  const values = (list: readonly Tensor[]): Float32Array[] =>
    list.map(t => Float32Array.from(t.float().dataSync() as Float32Array));
  const off: Record<string, number> = { float64: 1e-6, float32: 1e-5, float16: 0.02, bfloat16: 0.1 };

  for (const [name, make] of Object.entries(masks))
    for (const dtype of ['float32', 'float64', 'float16', 'bfloat16'] as const)
      test(`${name}, ${dtype}: a query that sees nothing gives 0 and passes 0 on, with dropout and without`, () =>
        tidy(() => {
          const { mask, causal = false } = make(dtype);
          const leaves = inputs(dtype);
          const plain = { mask: mask.to(device), causal };
          // With so small a dropout probability no element is dropped, so the result is that without dropout.
          const dropping = { ...plain, dropoutP: 1e-9 };
          const expected = values(gradients(leaves, plain, false));
          const blind = [...Array(L).keys()].filter(i =>
            expected[0]!.slice(i * WIDTH, (i + 1) * WIDTH).every(x => x === 0),
          );
          expect(blind).not.toEqual([]);
          for (const row of blind)
            expect(expected[1]!.slice(row * WIDTH, (row + 1) * WIDTH)).toEqual(new Float32Array(WIDTH));
          for (const list of [
            gradients(leaves, plain, true),
            gradients(leaves, dropping, false),
            gradients(leaves, dropping, true),
          ])
            for (const [i, own] of values(list).entries())
              expect(own).toBeAllclose(expected[i]!, { atol: off[dtype]!, rtol: off[dtype]! });
        }));

  test('second derivatives and that of the mask are finite, with dropout and without', () =>
    tidy(() => {
      for (const dropoutP of [0, 0.4]) {
        const leaves = inputs('float32');
        const mask = masks['an added mask']!('float32').mask.to(device).requiresGrad_();
        const [q, k, v] = leaves as [Tensor, Tensor, Tensor];
        manualSeed(5);
        const out = F.scaledDotProductAttention(q, k, v, { mask, dropoutP });
        const first = autograd.grad(out.square().sum(), [...leaves, mask], { createGraph: true });
        const second = autograd.grad(
          first.map(g => g.square().sum()).reduce((a, b) => a.add(b)),
          [...leaves, mask],
        );
        for (const g of [...first, ...second]) expect(g.isFinite().all().itemSync()).toBe(1);
        // The row of the query that sees no key.
        expect(first[3]!.at(1).toArraySync()).toEqual([0, 0, 0]);
        mask.requiresGrad_(false);
      }
    }));

  test('dropout keeps the mean of what is seen, and all of nothing', () =>
    tidy(() => {
      manualSeed(2);
      const q = zeros([1, 1, 2, 1], { device });
      const v = full([1, 1, 20_000, 1], 1, { device });
      const k = v.zerosLike();
      const mask = tensor([[true], [false]]).to(device);
      const out = F.scaledDotProductAttention(q, k, v, { mask, dropoutP: 0.3 }).flatten();
      const [mean, nothing] = out.toArraySync() as [number, number];
      expect(Math.abs(mean - 1)).toBeLessThan(0.03);
      expect(nothing).toBe(0);
    }));

  test('under autocast a query that sees nothing passes 0 on as well', () =>
    tidy(() => {
      for (const dropoutP of [0, 1e-9])
        for (const dtype of ['float16', 'bfloat16'] as const) {
          const leaves = inputs('float32');
          const [q, k, v] = leaves as [Tensor, Tensor, Tensor];
          const mask = tensor(seen).to(device);
          const out = autocast({ dtype, device }, () => F.scaledDotProductAttention(q, k, v, { mask, dropoutP }));
          expect(out.dtype).toBe(dtype);
          expect(out.at('0, 0, 1').abs().sum().itemSync()).toBe(0);
          for (const g of autograd.grad(out.float().sum(), leaves)) {
            expect(g.dtype).toBe('float32');
            expect(g.isFinite().all().itemSync()).toBe(1);
          }
        }
    }));
});
