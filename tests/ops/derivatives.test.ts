import { describe, expect, test } from 'bun:test';
import { autograd, F, fromTypedArray, tidy, type Device, type FloatDType, type Tensor } from 'castor';
import { derivatives } from '../../runtime/ops/derivatives/index.ts';

import { EXTRA, OUT } from '../../runtime/autograd/derivative.ts';
import { nodeOf, type Node } from '../../runtime/autograd/node.ts';
import { OpNode } from '../../runtime/autograd/tape.ts';
import { table, type OpName } from '../../runtime/ops/table.ts';
import { load, numberOf, toTensor, type Stored, type StoredTensor } from '../golden/load.ts';
import { rounding } from '../reference/rounding.ts';
import { devices } from '../setup.ts';
import { calls, exactly, optionsOf } from './derivativeCalls.ts';
import { exceptions, looser, type Check } from './derivativeExceptions.ts';
import { notInPyTorch, withoutGolden } from './notInPyTorch.ts';

/** A record of derivatives.py, which documents the fields. */
interface Golden {
  name: string;
  op: string;
  inputs: (string | StoredTensor)[];
  options: Record<string, unknown>;
  grad: string | StoredTensor;
  largest: boolean;
  group: number;
  out: Stored[] | null;
  truth: (Stored[] | null)[];
  errors: Record<string, (Stored[] | number | null)[] | null>;
  second: (Stored[] | null)[] | null;
}
const points = new Map<string, StoredTensor>();
const records: Golden[] = [];
for (const line of load<Golden | { name: string; points: StoredTensor }>('derivatives'))
  if ('points' in line) points.set(line.name, line.points);
  else records.push(line);
const stored = (t: string | StoredTensor): StoredTensor => exactly(typeof t === 'string' ? points.get(t)! : t);

type Low = 'float32' | 'float16' | 'bfloat16';
const formats: Record<Low, { bits: number; lowest: number }> = {
  float32: { bits: 23, lowest: -126 },
  float16: { bits: 10, lowest: -14 },
  bfloat16: { bits: 7, lowest: -126 },
};
/** The factor by which the error may be larger than PyTorch's. The error of correct rounding is always allowed. */
const FACTOR = 1.2;
/**
 * The error that is always allowed, in units of the last place: one rounding of the result, and in float32 those of the
 * functions in it.
 */
const granted = (dtype: Low, several: boolean, { name, group }: Golden): number => {
  const given = looser.find(looser => looser.name.test(name) && looser.dtypes.includes(dtype))?.units ?? 0;
  // Special points are about values: one of the roundings may be that of the result which the formula reads.
  return Math.max(given, dtype === 'float32' ? (several ? 4 : 2) : group === 1 ? 1 : 0.5);
};
/**
 * By chance, PyTorch's largest error in a group of neighbours is sometimes smaller than a few roundings usually give.
 * Therefore an error of a few roundings that PyTorch has anywhere in the record is allowed everywhere. A larger error is
 * allowed only where PyTorch has it too.
 */
const FEW_ROUNDINGS = 4;
/**
 * The precision that is lost where terms cancel, in PyTorch too, relative to the incoming gradient: in float32 one
 * rounding, or two if there are more steps, and in the float64 reference some of its own. (For 16-bit dtypes the
 * arithmetic is precise enough.)
 */
const cancelled = (dtype: FloatDType, graph: boolean): number =>
  dtype === 'float32' ? 2 ** (graph ? -22 : -23) : 1e-14;

/** The error in units of the last place of `size`. */
function errorOf(found: number, truth: number, size: number, dtype: Low): number {
  const expected = Math.abs(rounding[dtype](truth)) === Infinity ? rounding[dtype](truth) : truth;
  if (Number.isNaN(expected) || expected === found) return 0;
  const { bits, lowest } = formats[dtype];
  const error = Math.abs(found - expected) / 2 ** (Math.max(Math.floor(Math.log2(size)), lowest) - bits);
  return Number.isNaN(error) ? Infinity : error;
}

/** The operands and cases that backward went through, as names of rows and operand numbers. */
const visited = new Set<string>();
function visit(node: Node | null, seen: Set<Node>): void {
  if (node === null || seen.has(node)) return;
  seen.add(node);
  node.edges.forEach((edge, i) => {
    if (edge !== null && node instanceof OpNode) visited.add(`${node.op.name} ${i}`);
    visit(edge, seen);
  });
}

interface Trial {
  readonly device: Device;
  readonly dtype: FloatDType;
  readonly graph: boolean;
}

/** The gradients of the operands that have one, these operands, and the incoming gradient. */
function gradients(
  golden: Golden,
  { device, dtype, graph }: Trial,
): { found: Tensor[]; wanted: Tensor[]; seed: Tensor; out: Tensor } {
  const inputs = golden.inputs.map(t => toTensor(stored(t), device, dtype));
  const wanted = inputs.filter((_, i) => golden.truth[i] !== null).map(t => t.requiresGrad_());
  const out = calls[golden.op]!(inputs, optionsOf(golden.options, device, dtype));
  visit(nodeOf(out), new Set());
  const seed = toTensor(stored(golden.grad), device, dtype).to(out.dtype);
  if (graph) seed.requiresGrad_();
  if (out.node === null) return { found: wanted.map(t => t.detach().zerosLike()), wanted, seed, out };
  const found = autograd.grad([out], wanted, { gradOutputs: [seed], createGraph: graph, allowUnused: true });
  return { found: found.map((g, i) => g ?? wanted[i]!.zerosLike()), wanted, seed, out };
}

/** Describes the error of the gradient of one operand, whose elements come in groups. */
function problems(golden: Golden, operand: number, found: Tensor, { dtype, graph }: Trial): string[] {
  const truth = golden.truth[operand]!.map(numberOf);
  const values = Array.from(found.dataSync() as Float64Array, Number);
  if (values.length !== truth.length) return [`${values.length} elements, expected ${truth.length}`];
  const scale = largestOf(truth);
  const size = (t: number): number => (golden.largest ? scale : Math.abs(t));
  const incoming = stored(golden.grad).data.map(numberOf);
  const lost = (i: number): number => {
    const g = incoming.length === truth.length ? Math.abs(incoming[i]!) : largestOf(incoming);
    return Number.isFinite(g) ? cancelled(dtype, graph) * g : 0;
  };
  const wrong: string[] = [];
  const say = (i: number, more: string): void => {
    const at = golden.inputs.map(t => numberOf(stored(t).data[i] ?? NaN));
    wrong.push(`operand ${operand}, element ${i} of (${at.join(', ')}): ${values[i]}, PyTorch ${truth[i]}${more}`);
  };
  if (dtype === 'float64')
    truth.forEach((t, i) => {
      if (Number.isNaN(t) || t === values[i]) return;
      if (!(Math.abs(values[i]! - t) <= 2e-8 * size(t) + lost(i))) say(i, '');
    });
  else
    truth.forEach((t, i) => {
      if (Math.abs(values[i]! - t) <= lost(i)) return;
      const theirs = Math.max(granted(dtype, graph || golden.largest, golden), theirError(golden, dtype, operand, i));
      const error = errorOf(values[i]!, t, size(t), dtype);
      if (error > FACTOR * theirs) say(i, `, off by ${error.toPrecision(3)} units, PyTorch by ${theirs}`);
    });
  return wrong;
}
const largestOf = (values: readonly number[]): number => Math.max(0, ...values.filter(Number.isFinite).map(Math.abs));

/** In 16 bits, a formula that reads only operands is rounded once, at the end, however many roundings PyTorch needs. */
function isRoundedOnce({ op, options, largest }: Golden, dtype: Low, operand: number): boolean {
  const rule = derivatives[op as OpName];
  // The difference of the sigmoid and the target also cancels in float32, in PyTorch as well.
  if (dtype === 'float32' || largest || !Array.isArray(rule) || op === 'binaryCrossEntropyWithLogits') return false;
  return (rule[operand + (options.left === undefined ? 0 : 1)]!.reads & (OUT | EXTRA)) === 0;
}

function theirError(golden: Golden, dtype: Low, operand: number, i: number): number {
  const { errors, group } = golden;
  if (isRoundedOnce(golden, dtype, operand)) return 0;
  const own = errors[dtype]?.[operand] ?? 0;
  if (typeof own === 'number') return own;
  const every = own.map(numberOf);
  return Math.max(every[Math.floor(i / group)]!, ...every.filter(error => error <= FEW_ROUNDINGS));
}

/**
 * The allowed error of the values. For 16-bit dtypes it is that of a few roundings, for ops that are composed of
 * several.
 */
const near: Record<FloatDType, number> = { float64: 2e-8, float32: 2e-6, float16: 2e-3, bfloat16: 1.6e-2 };

/** Describes the error of the values. PyTorch's values outside the range of the dtype count as infinite. */
function valueProblems(golden: Golden, out: Tensor): string[] {
  if (golden.out === null) return [];
  const truth = golden.out.map(numberOf);
  const scale = golden.largest ? largestOf(truth) : 0;
  const dtype = out.dtype as FloatDType;
  const values = Array.from(out.dataSync() as Float64Array, Number);
  return values.flatMap((value, i) => {
    const expected = rounding[dtype](truth[i]!);
    if (Object.is(value, expected) || value === expected) return [];
    const error = Math.abs(value - truth[i]!);
    const granted = near[dtype] * Math.max(scale, Math.abs(truth[i]!)) + (dtype === 'float64' ? 1e-12 : 1e-7);
    return error <= granted ? [] : [`value ${i}: ${value}, PyTorch ${truth[i]}`];
  });
}

const weights = ({ shape, numel, dtype, device }: Tensor): Tensor =>
  fromTypedArray(
    Float64Array.from({ length: numel }, (_, i) => Math.sin(1.7 * i + 0.6) + 1.3),
    shape,
    { dtype, device },
  );

/** The derivatives of the weighted sum of the gradients. */
function secondProblems(golden: Golden, device: Device): string[] {
  const { found, wanted, seed } = gradients(golden, { device, dtype: 'float64', graph: true });
  const roots = found.filter(g => g.requiresGrad);
  for (const root of roots) visit(nodeOf(root), new Set());
  if (roots.length === 0) return ['the gradients have no graph'];
  const total = roots.map(g => g.mul(weights(g)).sum()).reduce((sum, g) => sum.add(g));
  const seconds = autograd.grad(total, [...wanted, seed], { allowUnused: true });
  const wrong: string[] = [];
  golden.second!.forEach((expected, which) => {
    if (expected === null) return;
    const truth = expected.map(numberOf);
    const scale = largestOf(truth);
    const incoming = stored(golden.grad).data.map(numberOf);
    const own = seconds[which]?.dataSync() ?? new Float64Array(truth.length);
    truth.forEach((t, i) => {
      const value = Number(own[i]);
      if (Number.isNaN(t) || t === value || Math.abs(incoming[i] ?? 0) === Infinity) return;
      const size = golden.group === 1 ? Math.abs(t) : Math.max(Math.abs(t), 1e-4 * scale);
      if (!(Math.abs(value - t) <= 2e-5 * size + 1e-8))
        wrong.push(`second derivative by ${which}, element ${i}: ${value}, PyTorch ${t}`);
    });
  });
  return wrong;
}

const excused = (golden: Golden, check: Check, text: string): boolean =>
  exceptions.some(
    ({ name, checks, text: part }) => name.test(golden.name) && checks.includes(check) && part.test(text),
  );

function check(golden: Golden, device: Device): string[] {
  const wrong: string[] = [];
  const note = (check: Check, where: string, texts: string[]): void => {
    wrong.push(...texts.filter(text => !excused(golden, check, text)).map(text => `${where}: ${text}`));
  };
  const operands = golden.truth.flatMap((truth, i) => (truth === null ? [] : [i]));
  for (const dtype of ['float64', 'float32', 'float16', 'bfloat16'] as const)
    for (const graph of [false, true])
      tidy(() => {
        const { found, out } = gradients(golden, { device, dtype, graph });
        if (!graph) note(dtype, dtype, valueProblems(golden, out.detach()));
        found.forEach((g, i) => {
          const texts = problems(golden, operands[i]!, g, { device, dtype, graph });
          note(dtype, `${dtype}${graph ? ', createGraph' : ''}`, texts);
        });
      });
  if (golden.second !== null) tidy(() => note('second', 'float64', secondProblems(golden, device)));
  return wrong;
}

describe.each([...devices])('on %s, no worse than PyTorch in range and precision:', device => {
  test.each(records.map(golden => [golden.name, golden] as const))('%s', (_, golden) => {
    expect(check(golden, device).slice(0, 6)).toEqual([]);
  });

  test.each(['float32', 'float16', 'bfloat16'] as const)('dropout, whose elements only Castor knows, in %s', dtype => {
    tidy(() => {
      const x = toTensor(points.values().next().value!, device, dtype).requiresGrad_();
      const out = F.dropout(x, 0.5);
      visit(nodeOf(out), new Set());
      const [grad] = autograd.grad([out], [x], { gradOutputs: [x.detach()] });
      expect(grad!).toBeAllclose(out.detach(), { rtol: 0, atol: 0 });
    });
  });
});

/** Operands that are not floats. */
const indices: Partial<Record<OpName, number>> = {
  where: 0,
  gather: 1,
  indexSelect: 1,
  scatter: 1,
  scatterAdd: 1,
  indexCopy: 1,
  indexAdd: 1,
};
const operandsOf = (name: OpName): number[] => {
  const rule = derivatives[name];
  if (rule === 'none') return [];
  if (name === 'cat') return [0, 1];
  if (table[name].kind === 'unary') return [0];
  const count =
    'together' in rule ? (name === 'scaledDotProductAttention' ? 4 : name === 'rmsNorm' ? 2 : 3) : rule.length;
  return Array.from({ length: count }, (_, i) => i).filter(i => i !== indices[name]);
};

test('every operand of every differentiable row is among them', () => {
  const all = (Object.keys(derivatives) as OpName[]).flatMap(name => operandsOf(name).map(i => `${name} ${i}`));
  const left = all.filter(operand => !visited.has(operand) && !(operand.split(' ')[0]! in notInPyTorch));
  expect(left, withoutGolden(left, 'derivatives', 'WHOLE, UNIT, POSITIVE or BINARY')).toEqual([]);
});
test('every record is of an op that is called here', () => {
  const unknown = [...new Set(records.map(({ op }) => op))].filter(op => !(op in calls));
  expect(unknown, `add a line to tests/ops/derivativeCalls.ts that says how to call ${unknown.join(', ')}`).toEqual([]);
});
test('every exception is for a record', () => {
  for (const { name } of [...exceptions, ...looser])
    expect(records.filter(golden => name.test(golden.name)).length).toBeGreaterThan(0);
});
