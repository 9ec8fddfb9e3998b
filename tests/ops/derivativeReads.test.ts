/** The values that a derivative names are saved until backward, so it must read each of them, at least in some case. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { autograd, tidy, type Tensor } from 'castor';
import type { SavedName } from '../../runtime/autograd/derivative.ts';
import { OpNode } from '../../runtime/autograd/tape.ts';
import { derivatives } from '../../runtime/ops/derivatives/index.ts';
import type { OpName } from '../../runtime/ops/table.ts';
import { listOf, ownCases, tensorsOf, valuesOf, type Trial } from './run.ts';
import type { Variant } from './case.ts';

const names: readonly SavedName[] = ['a', 'b', 'c', 'd', 'out', 'extra'];
/**
 * The values that were read for the gradient of one operand, by `op operand`; for ops with joint derivatives, by the
 * op.
 */
const reads = new Map<string, Set<SavedName>>();

const keyOf = ({ op, edges }: OpNode): string | null => {
  if (!Array.isArray(op.derivative)) return op.name;
  const wanted = [...edges.keys()].filter(i => edges[i] !== null);
  return wanted.length === 1 ? `${op.name} ${wanted[0]}` : null;
};
function note(node: OpNode, name: SavedName): void {
  const key = keyOf(node);
  if (key === null) return;
  const found = reads.get(key) ?? new Set();
  reads.set(key, found.add(name));
}

const { prototype } = OpNode;
const originals = names.map(name => Object.getOwnPropertyDescriptor(prototype, name)!);
beforeAll(() =>
  names.forEach((name, i) => {
    const { get, value } = originals[i]!;
    const noted: PropertyDescriptor = get
      ? {
          get(this: OpNode) {
            note(this, name);
            return get.call(this);
          },
        }
      : {
          value(this: OpNode, ...args: unknown[]) {
            note(this, name);
            return (value as (...given: unknown[]) => unknown).apply(this, args);
          },
        };
    Object.defineProperty(prototype, name, { ...noted, configurable: true });
  }),
);
afterAll(() => names.forEach((name, i) => Object.defineProperty(prototype, name, originals[i]!)));

/** Runs backward for each operand alone and for all together, with fused kernels and with differentiable ops. */
function backward(name: string, variant: Variant): void {
  const dtype = 'float32';
  const trial: Trial = { name, dtype, device: 'cpu', layouts: variant.operands.map(() => 'contiguous') };
  const values = valuesOf(variant, trial)!;
  const floats = [...variant.operands.keys()].filter(
    i => variant.operands[i]!.dtype === undefined && !variant.frozen?.includes(i),
  );
  for (const wanted of [...floats.map(i => [i]), floats])
    for (const createGraph of [false, true])
      tidy(() => {
        const inputs = tensorsOf(variant, values, trial);
        for (const i of wanted) inputs[i]!.requiresGrad_();
        const outputs = listOf<Tensor>(variant.run(...inputs)).filter(t => t.requiresGrad);
        const sum = outputs.map(t => t.to('float32').sum()).reduce<Tensor | null>((a, b) => (a ? a.add(b) : b), null);
        if (sum) autograd.grad([sum], wanted.map(i => inputs[i]!), { createGraph, allowUnused: true }); // prettier-ignore
      });
}

const namedBy = (mask: number): SavedName[] => names.filter((_, i) => mask & (1 << i));

describe('values that a derivative names', () => {
  test('are kept for it', () => {
    for (const [name, row] of ownCases)
      if (row.smooth > 0 && row.dtypes.includes('float32'))
        for (const variant of row.variants) if (!variant.forwardOnly) backward(name, variant);
    expect(reads.size).toBeGreaterThan(100);
  });
  const each = (Object.keys(derivatives) as OpName[]).flatMap((name): [string, number][] => {
    const rule = derivatives[name];
    if (rule === 'none') return [];
    if ('together' in rule) return [[name, rule.reads]];
    return rule.map((partial, i) => [`${name} ${i}`, partial.reads]);
  });
  test.each(each.filter(([, mask]) => mask !== 0))('%s: are read', (key, mask) => {
    expect([...(reads.get(key) ?? [])].toSorted()).toEqual(namedBy(mask).toSorted());
  });
});
