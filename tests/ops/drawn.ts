/** Operands of random sizes, dtypes and layouts, for tests of whole kernels. */
import { expect } from 'bun:test';
import { autograd, tidy, type Device, type DType, type FloatDType, type Tensor } from 'castor';
import type { Dice } from '../dice.ts';
import { compareArrays, type Tolerance } from '../reference/compare.ts';
import { rounding } from '../reference/rounding.ts';
import { sizeOf, type Values } from '../reference/values.ts';
import { layoutOf } from './layouts.ts';

/** The layouts in which no two elements share memory. */
const layouts = ['contiguous', 'contiguous', 'transposed', 'sliced', 'reversed'] as const;

/** Integers from -most to most. Their sums are exact, and every value occurs many times. */
export const wholeNumbers = (shape: readonly number[], dice: Dice, most = 2): Values => ({
  shape,
  data: Float64Array.from({ length: sizeOf(shape) }, () => dice.below(2 * most + 1) - most),
});
/** Eighths from -1 to 1, which every floating dtype holds exactly. */
export const eighths = (shape: readonly number[], dice: Dice): Values => {
  const whole = wholeNumbers(shape, dice, 8);
  return { shape, data: whole.data.map(v => v / 8) };
};

/** A tensor of these values in a random layout. */
export function laid(values: Values, dtype: DType, device: Device, dice: Dice): Tensor {
  const layout = layoutOf(dice.pick(layouts));
  return (layout.fits(values.shape) ? layout : layoutOf('contiguous')).make(values, dtype, device);
}
export const contiguous = (values: Values, dtype: DType, device: Device): Tensor =>
  layoutOf('contiguous').make(values, dtype, device);

/** The result must be the expected values rounded once to its dtype, unless a tolerance is given. */
export function expectValues(
  actual: Tensor,
  expected: Values,
  what: string,
  tolerance: Tolerance = { rtol: 0, atol: 0 },
): void {
  expect([what, ...actual.shape]).toEqual([what, ...expected.shape]);
  const difference = compareArrays(actual.dataSync(), expected.data.map(rounding[actual.dtype]), tolerance);
  if (difference !== null) expect(`${what}: ${difference}`).toBe('');
}

/** The allowed error of a result of some thousand operations in float32, or float64. */
const tolerances: Readonly<Record<FloatDType, Tolerance>> = {
  float64: { rtol: 1e-9, atol: 1e-9 },
  float32: { rtol: 2e-4, atol: 2e-4 },
  float16: { rtol: 4e-3, atol: 4e-3 },
  bfloat16: { rtol: 3e-2, atol: 3e-2 },
};

/** A function of tensors that one kernel computes, and the same composed of several ops. */
export interface Pair {
  readonly fused: (...inputs: Tensor[]) => Tensor;
  readonly composed: (...inputs: Tensor[]) => Tensor;
}

/**
 * Checks that the two agree in values and gradients: one in a dtype and random layouts, the other in float64 and
 * row-major order.
 */
export function expectAgreement(
  { fused, composed }: Pair,
  inputs: readonly Values[],
  dtype: FloatDType,
  device: Device,
  dice: Dice,
  what: string,
): void {
  tidy(() => {
    const leaves = inputs.map(v => laid(v, dtype, device, dice).requiresGrad_());
    const wide = inputs.map(v => contiguous(v, 'float64', device).requiresGrad_());
    const [out, wanted] = [fused(...leaves), composed(...wide)];
    const gradient = eighths(out.shape, dice);
    const grads = autograd.grad([out], leaves, { gradOutputs: [laid(gradient, out.dtype, device, dice)] });
    const wantedGrads = autograd.grad([wanted], wide, { gradOutputs: [contiguous(gradient, wanted.dtype, device)] });
    [out, ...grads].forEach((t, i) => {
      const right = [wanted, ...wantedGrads][i]!;
      const data = Float64Array.from(right.dataSync() as Float64Array);
      const size = data.reduce((most, v) => Math.max(most, Math.abs(v)), 1);
      const { rtol = 0, atol = 0 } = tolerances[dtype];
      expectValues(t, { shape: right.shape, data }, `${what} ${dtype} ${i === 0 ? 'result' : `gradient ${i - 1}`}`, {
        rtol,
        atol: atol * size,
      });
    });
  });
}
