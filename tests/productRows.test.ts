import { afterEach, describe, expect } from 'bun:test';
import { full, randn, setFloat32MatmulPrecision, type DType, type Tensor } from 'castor';
import { devices, tidyTest } from './setup.ts';

// Products whose operands are parts of wider matrices, so that rows end inside 16 bytes that also contain other elements.
afterEach(() => setFloat32MatmulPrecision('highest'));

type Case = readonly [m: number, n: number, k: number];
/** The last one is large enough for its operands to be copied into rows of whole 16 bytes. */
const cases: readonly Case[] = [
  [72, 100, 64],
  [70, 72, 100],
  [40, 99, 101],
  [250, 261, 259],
];

/** A matrix inside one whose other elements are NaN. */
function inside(values: Tensor, rowsOf: number): Tensor {
  const [rows, columns] = values.shape as [number, number];
  const whole = full([rows, Math.ceil((columns + 1) / rowsOf) * rowsOf], NaN, {
    dtype: values.dtype,
    device: values.device,
  });
  const part = whole.narrow(1, 0, columns);
  part.copy_(values);
  return part;
}

for (const device of devices)
  describe(`products of parts of matrices on ${device}`, () => {
    for (const dtype of ['float16', 'bfloat16', 'float32'] as const satisfies readonly DType[])
      for (const [m, n, k] of cases)
        tidyTest(`${dtype} ${m} x ${n} x ${k}`, () => {
          if (dtype === 'float32') setFloat32MatmulPrecision('high');
          const a = randn([m, k], { dtype, device }),
            b = randn([k, n], { dtype, device });
          const expected = a.to('float64').matmul(b.to('float64'));
          // The error of one rounding of each factor and of the result, for sums of k terms of about 1.
          const atol = Math.sqrt(k) * (dtype === 'bfloat16' ? 2 ** -6 : 2 ** -8);
          // Memory that Castor uses for its copies has contained NaN.
          full([400_000], NaN, { dtype, device }).dispose();
          const transposed = (x: Tensor): Tensor => x.transpose(0, 1);
          const [lefts, rights] = [
            [inside(a, 8), transposed(inside(transposed(a), 8))],
            [inside(b, 8), transposed(inside(transposed(b), 8))],
          ];
          for (const left of lefts)
            for (const right of rights)
              expect(left.matmul(right).to('float64')).toBeAllclose(expected, { atol, rtol: 0 });
        });
  });
