/**
 * The dtype of the result of an op on three operands: each combination of dtypes, as tensors with axes, tensors of rank
 * 0 and numbers, against the rule written down once more (torch.result_type).
 */
import { expect, test } from 'bun:test';
import { F, tensor, tidy, type DType, type Tensor } from 'castor';

const order: readonly DType[] = ['bool', 'uint8', 'int32', 'int64', 'float16', 'bfloat16', 'float32', 'float64'];
const category = (dtype: DType): number => (dtype === 'bool' ? 0 : order.indexOf(dtype) < 4 ? 1 : 2);
const twoOf = (a: DType, b: DType): DType => {
  if (a === b) return a;
  const both = [a, b].toSorted((p, q) => order.indexOf(p) - order.indexOf(q));
  return both.join() === 'float16,bfloat16' ? 'float32' : both[1]!;
};

interface Operand {
  readonly dtype: DType;
  readonly rank: 0 | 1;
}
const widest = (some: readonly Operand[]): DType | null =>
  some.length === 0 ? null : some.map(({ dtype }) => dtype).reduce(twoOf);
/** Tensors with axes decide. Those of rank 0 count where their category is higher. */
function common(operands: readonly Operand[]): DType {
  const axes = widest(operands.filter(({ rank }) => rank === 1));
  const scalars = widest(operands.filter(({ rank }) => rank === 0));
  if (axes === null) return scalars!;
  return scalars !== null && category(scalars) > category(axes) ? twoOf(axes, scalars) : axes;
}

const made = ({ dtype, rank }: Operand): Tensor => tensor(rank === 0 ? 1 : [1, 0], { dtype });
const kinds: readonly Operand[] = order.flatMap(dtype => [
  { dtype, rank: 0 },
  { dtype, rank: 1 },
]);

test('where() of two tensors', () => {
  const wrong = kinds.flatMap(a =>
    kinds.flatMap(b =>
      tidy(() => {
        const wanted = common([a, b]);
        const got = F.where(tensor([true, false]), made(a), made(b)).dtype;
        return got === wanted ? [] : [`${a.dtype} of rank ${a.rank}, ${b.dtype} of rank ${b.rank}: ${got}`];
      }),
    ),
  );
  expect(wrong).toEqual([]);
});

test('addcmul of three tensors', () => {
  const floats = kinds.filter(({ dtype }) => category(dtype) === 2);
  const wrong: string[] = [];
  for (const a of floats)
    for (const b of floats)
      for (const c of floats) {
        const got = tidy(() => made(a).addcmul(made(b), made(c)).dtype);
        const wanted = common([a, b, c]);
        if (got !== wanted) wrong.push(`${[a, b, c].map(x => `${x.dtype} of rank ${x.rank}`).join(', ')}: ${got}`);
      }
  expect(wrong).toEqual([]);
});

test('add() of two tensors', () => {
  const wrong = kinds.flatMap(a =>
    kinds.flatMap(b =>
      tidy(() => {
        const got = made(a).add(made(b)).dtype;
        return got === common([a, b]) ? [] : [`${a.dtype} of rank ${a.rank}, ${b.dtype} of rank ${b.rank}: ${got}`];
      }),
    ),
  );
  expect(wrong).toEqual([]);
});
