import { current, modeWith, withMode } from '../context.ts';
import type { SliceParams } from '../dispatch/layout.ts';
import { AutogradError } from '../errors.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import type { Operand, Tensor } from '../tensor/tensor.ts';
import { EXTRA, OUT, type DifferentiableOp, type PartialDerivative, type Saved } from './derivative.ts';
import { changed, Node, nodeOf, ofInference, released, restored } from './node.ts';

/** Recomputes the values that the nodes of a checkpoint did not keep. */
export interface Recomputed {
  /** Gives all nodes of the checkpoint their saved values. */
  recompute(): void;
  /** Called when one of the nodes is released. */
  released(): void;
}

/** Returns the name of an op's node as gradFn shows it: mul gives MulBackward. */
export const backwardName = (op: string): string => `${op[0]!.toUpperCase()}${op.slice(1)}Backward`;

/** The node of a recorded op. Formulas of derivatives read the operands, the output and the parameters from it by name. */
export class OpNode extends Node implements Saved {
  readonly op: DifferentiableOp;
  readonly params: unknown;
  /** The operands, then the output and the extra outputs; null for values that no formula reads. The list is null once it was released. */
  #saved: readonly Operand[] | null;
  /** The sum of the versions of the saved tensors. Versions only rise, so any write raises the sum. */
  #versions: number;
  #recomputed: Recomputed | null = null;
  readonly #count: number;

  constructor(
    op: DifferentiableOp,
    edges: readonly (Node | null)[],
    inputs: readonly Operand[],
    params: unknown,
    out: Tensor,
    outputs: readonly Tensor[] | null,
  ) {
    super(edges, out);
    this.op = op;
    this.params = params;
    this.#count = inputs.length;
    this.#saved = valuesRead(readsOf(op, edges), inputs, out, outputs);
    this.#versions = holdAll(this.#saved, this.op.name);
  }

  get name(): string {
    return backwardName(this.op.name);
  }
  // A number operand is passed to the formula as it is, because every method takes numbers. An operand that is left out is null.
  get a(): Tensor {
    return this.#get(0) as Tensor;
  }
  get b(): Tensor {
    return this.#get(1) as Tensor;
  }
  get c(): Tensor {
    return this.#get(2) as Tensor;
  }
  get d(): Tensor | null {
    return this.#get(3) as Tensor | null;
  }
  get out(): Tensor {
    return this.#get(this.#count) as Tensor;
  }
  extra(i: number): Tensor | null {
    return this.#get(this.#count + 1 + i) as Tensor | null;
  }
  override get part(): SliceParams | null {
    return this.op.kind.slices ? (this.params as SliceParams) : null;
  }
  override sliceOf(t: Tensor): Tensor {
    return this.op.viewAgain!(t, this.params);
  }
  shapeOf(i: number): readonly number[] {
    return this.edges[i]!.shape;
  }
  infoOf(i: number): DTypeInfo {
    return this.edges[i]!.info;
  }
  #get(i: number): Operand {
    const saved = this.#saved![i] ?? null;
    return isSaved(saved) ? restored(saved) : saved;
  }

  apply(grad: Tensor): readonly (Tensor | null)[] {
    const { derivative, name } = this.op;
    const { edges } = this;
    if (this.#saved === null) this.#recomputed?.recompute();
    if (this.#saved === null) throw released(name);
    if (versionsOf(this.#saved) !== this.#versions) throw changed(name, this.savedTensors);
    if (derivative === 'none') throw new AutogradError('this op has no derivative', { op: name });
    if ('together' in derivative) return derivative.together(grad, this);
    if (edges.length === 2) return [this.#at(0, derivative, grad), this.#at(1, derivative, grad)];
    return edges.map((_, i) => this.#at(i, derivative, grad));
  }
  #at(i: number, partials: readonly PartialDerivative[], grad: Tensor): Tensor | null {
    return this.needs(i) ? partials[i]!.formula(grad, this) : null;
  }

  /** Returns the tensors that are kept for backward. */
  get savedTensors(): readonly Tensor[] {
    return (this.#saved ?? []).filter(isSaved);
  }

  release(): void {
    this.#drop();
    this.#recomputed?.released();
    this.#recomputed = null;
  }
  override get released(): boolean {
    return this.#saved === null && this.#recomputed === null;
  }
  #drop(): void {
    if (this.#saved === null) return;
    for (const saved of this.#saved) if (isSaved(saved)) saved.storage.release();
    this.#saved = null;
  }

  /** Does this node keep values of the forward pass? */
  get saves(): boolean {
    return this.#saved !== null && this.#saved.length > 0;
  }
  /** Releases the saved values, which `recomputed` will compute again, and keeps the graph. */
  forget(recomputed: Recomputed): void {
    this.#drop();
    this.#recomputed = recomputed;
  }
  /** Takes the values that the node of the same op saved in a second run. */
  take(other: OpNode): void {
    this.#saved = other.#saved!;
    this.#versions = other.#versions;
    holdAll(this.#saved, this.op.name);
  }
}

/** The nodes that a function records while it runs, in order, and the version that each tensor had when an op first read it. */
export interface Trace {
  readonly nodes: OpNode[];
  readonly reads: Map<Tensor, number>;
}
/** The number of running functions that are traced. While it is 0, ops need not look for a trace in their mode. */
let activeTraces = 0;
const traceHere = (): Trace | null => current().trace as Trace | null;
/** Runs fn, which is synchronous, and fills the trace. */
export function traced<T>(trace: Trace, fn: () => T): T {
  activeTraces++;
  try {
    return withMode(modeWith(current(), { trace }), fn);
  } finally {
    activeTraces--;
  }
}

/** Is a function traced anywhere? */
export const tracing = (): boolean => activeTraces > 0;

/** Adds the operands of an op, before it runs, to the trace. */
export function noteReads(inputs: readonly Operand[], from = 0): void {
  if (activeTraces === 0) return;
  const trace = traceHere();
  if (trace === null) return;
  const { reads } = trace;
  for (const input of inputs.slice(from))
    if (isSaved(input) && !reads.has(input)) reads.set(input, input.storage.version);
}

const isSaved = (saved: Operand): saved is Tensor => saved !== null && typeof saved === 'object';
const nothing: readonly Operand[] = [];

function valuesRead(
  reads: number,
  inputs: readonly Operand[],
  out: Tensor,
  outputs: readonly Tensor[] | null,
): readonly Operand[] {
  if (reads === 0) return nothing;
  if (reads === (1 << inputs.length) - 1) return inputs;
  const values: Operand[] = [];
  for (let i = 0; i < inputs.length; i++) values.push(reads & (1 << i) ? inputs[i]! : null);
  if (reads & (OUT | EXTRA)) values.push(reads & OUT ? out : null);
  if (reads & EXTRA) values.push(...outputs!.slice(1));
  return values;
}

function versionsOf(saved: readonly Operand[]): number {
  let sum = 0;
  for (let i = 0; i < saved.length; i++) {
    const value = saved[i]!;
    if (isSaved(value)) sum += value.storage.version;
  }
  return sum;
}

/** Holds the memory of saved tensors. Returns the sum of their versions. */
function holdAll(saved: readonly Operand[], op: string): number {
  let sum = 0;
  for (let i = 0; i < saved.length; i++) {
    const value = saved[i]!;
    if (!isSaved(value)) continue;
    const { storage } = value;
    if (storage.inference) {
      for (const held of saved.slice(0, i)) if (isSaved(held)) held.storage.release();
      throw savesInference(value, op);
    }
    storage.refCount++;
    sum += storage.version;
  }
  return sum;
}

/** Returns the error for an inference tensor that a node would save. */
export const savesInference = ({ shape, dtype }: Tensor, op: string): AutogradError =>
  ofInference('backward would read a tensor that was made in inference mode', {
    op,
    shapes: [shape],
    dtypes: [dtype],
  });

const edgeOf = (input: Operand): Node | null => (isSaved(input) ? nodeOf(input) : null);
// A list that is written out takes less memory than one that has grown.
const edgesOf = (inputs: readonly Operand[]): readonly (Node | null)[] =>
  inputs.length === 2 ? [edgeOf(inputs[0]!), edgeOf(inputs[1]!)] : inputs.map(edgeOf);

/** Returns which values the gradients of a call would read, as a mask with bits from that of operand a to EXTRA. */
export const readsOfCall = (op: DifferentiableOp, inputs: readonly Operand[]): number => readsOf(op, edgesOf(inputs));

/** Returns which values the wanted gradients read, as a mask. */
function readsOf({ derivative }: DifferentiableOp, edges: readonly (Node | null)[]): number {
  if (derivative === 'none') return 0;
  if ('together' in derivative) return derivative.reads;
  let reads = 0;
  for (let i = 0; i < edges.length; i++) if (edges[i] !== null) reads |= derivative[i]!.reads;
  return reads;
}

/** Gives the output a node if an input requires a gradient and the op has a derivative. */
export function record(
  op: DifferentiableOp,
  inputs: readonly Operand[],
  params: unknown,
  out: Tensor,
  outputs: readonly Tensor[] | null,
): void {
  if (op.derivative === 'none' || out.info.category !== 'float') return;
  const node = new OpNode(op, edgesOf(inputs), inputs, params, out, outputs);
  out.node = node;
  if (activeTraces > 0) traceHere()?.nodes.push(node);
}

/** Does any operand require a gradient? */
export function wantsGrad(inputs: readonly Operand[]): boolean {
  for (let i = 0; i < inputs.length; i++) {
    const input = inputs[i]!;
    if (input !== null && typeof input === 'object' && input.node !== null) return true;
  }
  return false;
}
