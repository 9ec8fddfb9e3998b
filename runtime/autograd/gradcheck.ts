import { boolean, callable, checked, number, options } from '../arguments.ts';
import { AutogradError } from '../errors.ts';
import { shown } from '../shown.ts';
import { fromTypedArray } from '../tensor/create.ts';
import { dataSync } from '../tensor/read.ts';
import { tensors } from '../tensor/specs.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { grad, noGrad } from './autograd.ts';

/** The options of gradcheck(). */
export interface GradcheckOptions {
  /** The step eps of the central difference. */
  eps?: number;
  /** The difference that is allowed: atol + rtol * |expected|. */
  atol?: number;
  /** The relative difference that is allowed, as a factor of |expected|. */
  rtol?: number;
  /** Are the gradients of the gradients compared too? */
  second?: boolean;
}

/**
 * Compares the gradients of fn with central differences (f(x + eps) - f(x - eps)) / 2 eps, for every element of every float64
 * input that requires a gradient. A non-scalar result is weighted with fixed, uneven numbers.
 * @throws AutogradError naming the first element that differs
 */
export const gradcheck = checked(
  'gradcheck',
  { fn: callable, inputs: tensors, options: options({ eps: number, atol: number, rtol: number, second: boolean }) },
  doGradcheck,
);
function doGradcheck(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions = {},
): true {
  const scalar = (...args: Tensor[]): Tensor => {
    const result: unknown = fn(...args);
    if (!isTensor(result))
      throw new AutogradError(`fn returned ${shown(result)}, which is not a tensor`, {
        op: 'gradcheck',
        advice: 'Pass a function that returns one tensor and is not async',
      });
    return weigh(result);
  };
  compare(scalar, inputs, options, 'gradient');
  if (options.second) {
    const first = (...args: Tensor[]): Tensor => {
      const wanted = args.filter(t => t.node !== null);
      const grads = grad(scalar(...args), wanted, { createGraph: true, allowUnused: true });
      const nothing = wanted[0]!.mul(0).sum();
      return grads
        .filter(isTensor)
        .map(weigh)
        .reduce((sum, g) => sum.add(g), nothing);
    };
    compare(first, inputs, options, 'second gradient');
  }
  return true;
}

function weigh(t: Tensor): Tensor {
  const weights = Float64Array.from({ length: t.numel }, (_, i) => Math.sin(1.7 * i + 0.6) + 1.3);
  return t.mul(fromTypedArray(weights, t.shape, { dtype: 'float64', device: t.device })).sum();
}

function compare(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: GradcheckOptions,
  what: string,
): void {
  const { eps = 1e-6, atol = 1e-5, rtol = 1e-4 } = options;
  const wanted = inputs.filter(t => t.node !== null);
  for (const t of wanted)
    if (t.dtype !== 'float64')
      throw new AutogradError('gradcheck needs float64 inputs: differences drown in rounding otherwise', {
        op: 'gradcheck',
        dtypes: [t.dtype],
      });
  const analytic = grad(fn(...inputs), wanted, { allowUnused: true }).map((g, i) =>
    g === null ? new Float64Array(wanted[i]!.numel) : dataSync(g),
  );
  wanted.forEach((t, which) => {
    const values = dataSync(t) as Float64Array;
    const at = (i: number, value: number): number => {
      const moved = values.slice();
      moved[i] = value;
      const copy = fromTypedArray(moved, t.shape, { device: t.device, requiresGrad: true });
      const args = inputs.map(input => (input === t ? copy : input));
      return what === 'gradient' ? noGrad(() => fn(...args).itemSync()) : fn(...args).itemSync();
    };
    for (let i = 0; i < values.length; i++) {
      const numeric = (at(i, values[i]! + eps) - at(i, values[i]! - eps)) / (2 * eps);
      const exact = Number(analytic[which]![i]!);
      if (!(Math.abs(exact - numeric) <= atol + rtol * Math.abs(numeric)))
        throw new AutogradError(
          `${what} of input ${inputs.indexOf(t)} at element ${i} is ${exact}, finite differences say ${numeric}`,
          {
            op: 'gradcheck',
            shapes: inputs.map(input => input.shape),
          },
        );
    }
  });
}
