import type { Device, DType, FloatDType, Tensor } from 'castor';
import { rounding, smallest, unit } from '../reference/rounding.ts';
import type { Values } from '../reference/values.ts';
import { draw, floats, resultDType, type Case, type CaseName, type Result, type Variant } from './case.ts';
import { cases } from './cases.ts';
import { layoutNames, layoutOf, type LayoutName } from './layouts.ts';
import { compareArrays } from '../reference/compare.ts';

export const listOf = <T>(result: Result<T>): readonly T[] =>
  Array.isArray(result) ? (result as readonly T[]) : [result as T];

/** The rows that are not covered by others, by name. */
export const ownCases = Object.entries(cases).filter((entry): entry is [CaseName, Case] => 'variants' in entry[1]);

export const dtypesOf = (row: Case, variant: Variant): readonly DType[] =>
  row.dtypes.filter(dtype => variant.dtypes?.includes(dtype) ?? true);

/** A layout for each operand: first the same for all, then mixed. */
export function* layoutsOf(variant: Variant): Generator<LayoutName[]> {
  const { operands } = variant;
  for (const name of layoutNames) yield operands.map(() => name);
  if (operands.length > 1)
    for (const start of layoutNames.keys())
      yield operands.map((_, i) => layoutNames[(start + i) % layoutNames.length]!);
}

export interface Trial {
  readonly name: string;
  readonly dtype: DType;
  readonly layouts: readonly LayoutName[];
  readonly device: Device;
}

/** The operands of a trial as float64 values, rounded to their dtypes; null when a shape cannot be laid out so. */
export function valuesOf(variant: Variant, trial: Trial): Values[] | null {
  const { operands } = variant;
  if (!operands.every(({ shape }, i) => layoutOf(trial.layouts[i]!).fits(shape))) return null;
  return operands.map((operand, i) => {
    const drawn = draw(operand, trial.dtype, `${trial.name} ${i}`);
    const laid = layoutOf(trial.layouts[i]!).values?.(drawn) ?? drawn;
    return { shape: laid.shape, data: laid.data.map(rounding[operand.dtype ?? trial.dtype]) };
  });
}

export const tensorsOf = (variant: Variant, values: readonly Values[], trial: Trial): Tensor[] =>
  values.map((v, i) => layoutOf(trial.layouts[i]!).make(v, variant.operands[i]!.dtype ?? trial.dtype, trial.device));

/** Describes what is wrong with a result, or returns null. */
export function judge(actual: Tensor, expected: Values, dtype: DType, row: Case, input: DType): string | null {
  if (actual.dtype !== dtype) return `dtype ${actual.dtype}, expected ${dtype}`;
  if (String(actual.shape) !== String(expected.shape)) return `shape [${actual.shape}], expected [${expected.shape}]`;
  return compareArrays(actual.dataSync(), expected.data.map(rounding[dtype]), toleranceOf(row, dtype, input));
}

/**
 * The allowed error: the roundings of the result, and the errors of the arithmetic, which is float32 for 16-bit dtypes.
 */
function toleranceOf({ units, scale, roundings }: Case, dtype: DType, input: DType): { rtol: number; atol: number } {
  if (!floats.includes(dtype)) return { rtol: 0, atol: 0 };
  const precision =
    dtype === 'float64' && (input === 'float64' || !floats.includes(input)) ? unit.float64 : unit.float32;
  const rounding = roundings > 1 ? roundings * unit[input as FloatDType] : 0;
  const own = dtype as FloatDType;
  return {
    rtol: 2 * unit[own] + rounding + units * precision,
    atol: (units * precision + rounding) * scale + 2 * smallest[own],
  };
}

/** Runs a variant in one way and compares it with its reference. Expectations are shared between trials of the same values. */
export function check(row: Case, variant: Variant, trial: Trial, known: Map<string, readonly Values[]>): string | null {
  const values = valuesOf(variant, trial);
  if (!values) return null;
  const key = `${trial.dtype} ${trial.layouts.map(layout => layout === 'expanded')}`;
  const expected = known.get(key) ?? listOf(variant.reference(...values));
  known.set(key, expected);
  const actual = listOf(variant.run(...tensorsOf(variant, values, trial)));
  if (actual.length !== expected.length) return `${actual.length} results, expected ${expected.length}`;
  for (const [i, out] of actual.entries()) {
    const rule = variant.result ?? (Array.isArray(row.result) ? row.result[i]! : row.result);
    const wrong = judge(out, expected[i]!, resultDType(rule, trial.dtype), row, trial.dtype);
    if (wrong) return actual.length > 1 ? `result ${i}: ${wrong}` : wrong;
  }
  return null;
}
