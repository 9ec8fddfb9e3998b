import type { OpInfo } from '../dispatch/op.ts';
import { AutogradError } from '../errors.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';
import type { Saved } from './derivatives.ts';
import { edgeTo, Node, SavedTensor, type Edge } from './node.ts';

/** Bits that say what a formula reads: operands A to E, the output, and extra outputs such as statistics. */
export const A = 1;
export const B = 2;
export const C = 4;
export const D = 8;
export const OUT = 32;
export const EXTRA = 64;

/** The node of a recorded op. It is also what its derivative sees: operands, output and parameters by name. */
export class OpNode extends Node implements Saved {
  readonly op: OpInfo;
  readonly edges: readonly (Edge | null)[];
  readonly params: unknown;
  /** Operands (null where not needed), then the output and the extra outputs. null once released. */
  #saved: (SavedTensor | number | null)[] | null;
  readonly #count: number;

  constructor(op: OpInfo, edges: readonly (Edge | null)[], inputs: readonly Operand[], params: unknown, outputs: readonly Tensor[]) {
    super();
    this.op = op;
    this.edges = edges;
    this.params = params;
    this.#count = inputs.length;
    this.#saved = save(needsOf(op, edges), inputs, outputs);
  }

  get name(): string {
    return `${this.op.name[0]!.toUpperCase()}${this.op.name.slice(1)}Backward`;
  }
  get a(): Tensor {
    return this.#get(0)!;
  }
  get b(): Tensor {
    return this.#get(1)!;
  }
  get c(): Tensor {
    return this.#get(2)!;
  }
  get d(): Tensor | null {
    return this.#get(3);
  }
  get out(): Tensor {
    return this.#get(this.#count)!;
  }
  extra(i: number): Tensor | null {
    return this.#get(this.#count + 1 + i);
  }
  needs(i: number): boolean {
    return this.edges[i] != null;
  }
  shapeOf(i: number): readonly number[] {
    return this.edges[i]!.shape;
  }

  #get(i: number): Tensor | null {
    if (this.#saved === null)
      throw new AutogradError('backward was called a second time: what the graph saved was freed by the first', {
        op: this.op.name,
        advice: 'Pass { retainGraph: true } to the first call',
      });
    const saved = this.#saved[i];
    // A number operand is handed to the formula as it is: every method takes numbers.
    return saved instanceof SavedTensor ? saved.get(this.op.name) : ((saved ?? null) as unknown as Tensor | null);
  }

  apply(grads: readonly (Tensor | null)[]): readonly (Tensor | null)[] {
    if (this.#saved === null) this.#get(0);
    const { rule } = this.op;
    const grad = grads[0]!;
    if (rule === 'none') throw new AutogradError('this op has no derivative', { op: this.op.name });
    if ('together' in rule) return rule.together(grad, this as never);
    if ('each' in rule) return this.edges.map((edge, i) => (edge === null ? null : rule.each(grad, this as never, i)));
    return this.edges.map((edge, i) => (edge === null ? null : rule[i]!.formula(grad, this as never)));
  }

  release(): void {
    if (this.#saved === null) return;
    for (const saved of this.#saved) if (saved instanceof SavedTensor) saved.release();
    this.#saved = null;
  }
}

/** Which values the wanted gradients read. */
function needsOf(op: OpInfo, edges: readonly (Edge | null)[]): number {
  const { rule } = op;
  if (rule === 'none') return 0;
  if ('together' in rule) return rule.reads;
  if ('each' in rule) return 0;
  let reads = 0;
  for (let i = 0; i < edges.length; i++) if (edges[i] != null) reads |= rule[i]!.reads;
  return reads;
}

function save(reads: number, inputs: readonly Operand[], outputs: readonly Tensor[]): (SavedTensor | number | null)[] {
  if (reads === 0) return [];
  const saved: (SavedTensor | number | null)[] = [];
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]!;
    saved.push((reads & (1 << i)) === 0 ? null : isTensor(input) ? new SavedTensor(input) : input);
  }
  if (reads & (OUT | EXTRA)) saved.push(reads & OUT ? new SavedTensor(outputs[0]!) : null);
  if (reads & EXTRA) for (let i = 1; i < outputs.length; i++) saved.push(new SavedTensor(outputs[i]!));
  return saved;
}

/** Gives the output a node when an input wants a gradient and the op has a derivative. */
export function record(op: OpInfo, inputs: readonly Operand[], params: unknown, outputs: readonly Tensor[]): void {
  const out = outputs[0]!;
  if (op.rule === 'none' || out.info.category !== 'float') return;
  const edges: (Edge | null)[] = [];
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]!;
    edges.push(isTensor(input) ? edgeTo(input) : null);
  }
  out.node = new OpNode(op, edges, inputs, params, outputs);
}

/** Does any operand want a gradient? */
export function wantsGrad(inputs: readonly Operand[]): boolean {
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]!;
    if (isTensor(input) && input.node !== null) return true;
  }
  return false;
}
