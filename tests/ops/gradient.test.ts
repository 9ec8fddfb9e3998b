import { describe, expect, test } from 'bun:test';
import { autograd, cat, fromTypedArray, tidy, type FloatDType, type Tensor } from 'castor';
import { derivatives } from '../../runtime/ops/derivatives/index.ts';
import type { OpName } from '../../runtime/ops/table.ts';
import { devices } from '../setup.ts';
import { compareArrays } from '../reference/compare.ts';
import { rounding, unit } from '../reference/rounding.ts';
import type { Values } from '../reference/values.ts';
import { floats, type Case, type Variant } from './case.ts';
import { cases } from './cases.ts';
import type { LayoutName } from './layouts.ts';
import { dtypesOf, layoutsOf, listOf, ownCases, tensorsOf, valuesOf, type Trial } from './run.ts';

const isDifferentiable = (variant: Variant, i: number): boolean =>
  variant.operands[i]!.dtype === undefined && !variant.frozen?.includes(i);
const differentiated = ({ variants }: Case): Variant[] =>
  variants.filter(variant => !variant.forwardOnly && variant.operands.some((_, i) => isDifferentiable(variant, i)));

/** The operands, as leaves if they have a gradient. */
function leaves(variant: Variant, values: readonly Values[], trial: Trial): Tensor[] {
  return tensorsOf(variant, values, trial).map((t, i) =>
    isDifferentiable(variant, i) ? t.detach().requiresGrad_() : t,
  );
}
const recorded = (result: Tensor | readonly Tensor[]): Tensor[] => listOf(result).filter(t => t.requiresGrad);
const attempt = (run: () => void): string | null => {
  try {
    tidy(run);
    return null;
  } catch (error) {
    return String(error);
  }
};

/** Whether no layout is the broadcast one, in which elements share memory. */
const independent = (layouts: readonly LayoutName[]): boolean => !layouts.includes('expanded');

function checkVariant(row: Case, variant: Variant, trial: Trial): void {
  const values = valuesOf(variant, trial);
  if (!values) return;
  const inputs = leaves(variant, values, trial);
  const outputs = recorded(variant.run(...inputs));
  if (outputs.length === 0) throw new Error('no result requires a gradient');
  const together = (...operands: Tensor[]): Tensor => cat(recorded(variant.run(...operands)).map(t => t.reshape(-1)));
  const onlyValues = (...operands: Tensor[]): Tensor =>
    cat(
      listOf(variant.run(...operands))
        .slice(0, outputs.length)
        .map(t => t.reshape(-1)),
    );
  const fn = (...operands: Tensor[]): Tensor => (autograd.isGradEnabled() ? together : onlyValues)(...operands);
  const contiguous = trial.layouts.every(layout => layout === 'contiguous');
  autograd.gradcheck(fn, inputs, { second: row.smooth === 2 && contiguous, atol: 1e-5 });
}

/** The gradients of the leaves for fixed gradients of the results. */
function gradients(variant: Variant, values: readonly Values[], trial: Trial): Tensor[] {
  const inputs = leaves(variant, values, trial);
  const outputs = recorded(variant.run(...inputs));
  const seeds = outputs.map(({ shape, dtype, device, numel }) => {
    const weights = Float64Array.from({ length: numel }, (_, i) => rounding.bfloat16(Math.sin(1.7 * i + 0.6) + 1.3));
    return fromTypedArray(weights, shape, { dtype, device });
  });
  const wanted = inputs.filter(t => t.requiresGrad);
  return autograd.grad(outputs, wanted, { gradOutputs: seeds });
}

/** The allowed error of gradients, relative to the largest of them. */
const slack: Record<FloatDType, number> = {
  float64: 0,
  float32: 64 * unit.float32,
  float16: 12 * unit.float16,
  bfloat16: 12 * unit.bfloat16,
};

function compareWithFloat64(variant: Variant, trial: Trial): void {
  const values = valuesOf(variant, trial);
  if (!values) return;
  const exact = gradients(variant, values, { ...trial, dtype: 'float64' });
  const own = gradients(variant, values, trial);
  const operands = variant.operands.filter((_, i) => isDifferentiable(variant, i));
  own.forEach((grad, i) => {
    if (grad.dtype !== trial.dtype) throw new Error(`gradient ${i} is ${grad.dtype}`);
    if (String(grad.shape) !== String(operands[i]!.shape)) throw new Error(`gradient ${i} has shape [${grad.shape}]`);
    const expected = exact[i]!.dataSync() as Float64Array;
    const largest = expected.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    const wrong = compareArrays(grad.dataSync(), expected, {
      rtol: 0,
      atol: slack[trial.dtype as FloatDType] * Math.max(largest, 0.2),
    });
    if (wrong) throw new Error(`gradient ${i}: ${wrong}`);
  });
}

const floating = ownCases.filter(([, row]) => row.dtypes.includes('float64') && differentiated(row).length > 0);
const smooth = floating.filter(([, row]) => row.smooth > 0);
const flat = floating.filter(([, row]) => row.smooth === 0);

describe.each([...devices])('on %s', device => {
  test.each(smooth)('the gradient of %s is that of finite differences', (name, row) => {
    const wrong: string[] = [];
    differentiated(row).forEach((variant, number) => {
      if (!dtypesOf(row, variant).includes('float64')) return;
      for (const layouts of layoutsOf(variant)) {
        if (!independent(layouts) || variant.skips?.some(({ layout }) => layout && layouts.includes(layout))) continue;
        const trial = { name: `${name} ${number}`, dtype: 'float64', layouts, device } as const;
        const problem = attempt(() => checkVariant(row, variant, trial));
        if (problem) wrong.push(`variant ${number}, ${layouts.join(' and ')}: ${problem}`);
      }
    });
    expect(wrong.slice(0, 4)).toEqual([]);
  });

  test.each(smooth)(
    'the gradient of %s has dtype and shape of the operand, and is near that of float64',
    (name, row) => {
      const wrong: string[] = [];
      differentiated(row).forEach((variant, number) => {
        const layouts = variant.operands.map(() => 'contiguous' as const);
        for (const dtype of dtypesOf(row, variant).filter(dtype => floats.includes(dtype) && dtype !== 'float64')) {
          const trial = { name: `${name} ${number}`, dtype, layouts, device };
          const problem = attempt(() => compareWithFloat64(variant, trial));
          if (problem) wrong.push(`variant ${number}, ${dtype}: ${problem}`);
        }
      });
      expect(wrong.slice(0, 4)).toEqual([]);
    },
  );

  test.each(flat)('the gradient of %s is zero, or there is none', (name, row) => {
    tidy(() => {
      const variant = differentiated(row)[0]!;
      const layouts = variant.operands.map(() => 'contiguous' as const);
      const trial = { name, dtype: 'float64', layouts, device } as const;
      const inputs = leaves(variant, valuesOf(variant, trial)!, trial);
      const outputs = recorded(variant.run(...inputs));
      expect(outputs.length > 0).toBe(name in derivatives && derivatives[name as OpName] !== 'none');
      for (const out of outputs)
        for (const grad of autograd.grad(out.sum(), inputs)) expect(grad.countNonzero().itemSync()).toBe(0);
    });
  });
});

test('every op with a derivative is differentiated by a case', () => {
  const done = new Set<string>(floating.map(([name]) => name));
  const isDone = (name: OpName): boolean => {
    const row = cases[name];
    return done.has('coveredBy' in row ? row.coveredBy : name);
  };
  const names = Object.keys(derivatives) as OpName[];
  expect(names.filter(name => derivatives[name] !== 'none' && !isDone(name))).toEqual([]);
});
