import { describe, expect, test } from 'bun:test';
import { cat, F, ones, tidy, type Device, type DType, type Tensor } from 'castor';
import { devices } from '../setup.ts';
import { load, toTensor, valuesOf, type StoredTensor } from '../golden/load.ts';

interface Promotion {
  op: string;
  ranks?: [number, number];
  left?: DType;
  scalar?: number;
  right: DType[];
  /** null if PyTorch does not have the op. */
  result: (DType | null)[];
}
interface Conversion {
  from: StoredTensor;
  to: DType;
  result: StoredTensor;
}
interface Special {
  op: keyof typeof F;
  inputs: StoredTensor[];
  result: StoredTensor;
}

const one = (dtype: DType, rank: number, device: Device): Tensor =>
  ones(Array<number>(rank).fill(2), { dtype, device });
const others: Record<string, (x: Tensor) => Tensor> = {
  cat: x => cat([one('int32', 1, x.device), x]),
  where: x => one('float32', 1, x.device).where(one('bool', 1, x.device), x),
  amax: x => x.amax(0),
  cumsum: x => x.cumsum(0),
};

function promoted(row: Promotion, right: DType, device: Device): Tensor {
  const f = F[row.op as 'add'] as (x: Tensor, y?: Tensor | number) => Tensor;
  if (row.scalar !== undefined) return f(one(right, 1, device), row.scalar);
  if (row.left !== undefined) return f(one(row.left, row.ranks![0], device), one(right, row.ranks![1], device));
  return (others[row.op] ?? f)(one(right, 1, device));
}

const title = ({ op, left, ranks, scalar }: Promotion): string =>
  `${op} ${scalar === undefined ? (left ? `${left} of rank ${ranks![0]} by rank ${ranks![1]}` : '') : `a number, ${scalar}`}`;
const promotions = load<Promotion>('promotion').map(row => [title(row), row] as const);
const conversions = load<Conversion>('conversion').map(row => [row.to, row] as const);
const specials = load<Special>('specials').map(row => [row.op, row.inputs[0]!.dtype, row] as const);

describe.each([...devices])('as in PyTorch, on %s,', device => {
  test.each(promotions)('dtypes promote: %s', (_, row) => {
    tidy(() => {
      const own = row.right.map((dtype, i) => (row.result[i] === null ? null : promoted(row, dtype, device).dtype));
      expect(own).toEqual(row.result);
    });
  });

  test.each(conversions)('values convert to %s', (_, { from, to, result }) => {
    tidy(() => {
      const x = toTensor(from, device, 'float32');
      expect([...(x.to(to).to('float64').dataSync() as Float64Array)]).toEqual([
        ...valuesOf(result).map(v => (to === 'float16' || to === 'bfloat16' ? Math.fround(v) : v)),
      ]);
    });
  });

  test.each(specials)(
    '%s of %s takes NaN, infinities, zeros and the ends of the range',
    (op, dtype, { inputs, result }) => {
      tidy(() => {
        const call = F[op] as (...operands: Tensor[]) => Tensor;
        const out = call(...inputs.map(input => toTensor(input, device, dtype))).to('float64');
        const expected = valuesOf(result);
        expect(out).toBeAllclose(
          expected,
          dtype === 'float64' ? { rtol: 1e-8, atol: 1e-308 } : { rtol: 2e-6, atol: 2e-45 },
        );
        if (signed.has(op)) expect(signs(out.dataSync() as Float64Array)).toEqual(signs(expected));
      });
    },
  );
});

/** Functions whose zeros have a sign by IEEE 754. */
const signed = new Set([
  'abs',
  'neg',
  'floor',
  'ceil',
  'round',
  'trunc',
  'sqrt',
  'reciprocal',
  'square',
  'sin',
  'tan',
  'atan',
  'add',
  'sub',
  'mul',
  'div',
  'fmod',
  'floorDivide',
  'atan2',
]);
/** A 1 for each negative zero. */
const signs = (values: Float64Array): number[] =>
  Array.from(values, (x, i) => (Object.is(x, -0) ? i : -1)).filter(i => i >= 0);
