import type { SliceParams } from '../dispatch/layout.ts';
import { AutogradError, InternalError, type ErrorContext } from '../errors.ts';
import { full } from '../tensor/create.ts';
import { deviceName } from '../tensor/device.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import type { Carried, LossScale } from '../tensor/lossScale.ts';
import { format, type Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A hook sees the gradient of a tensor and may return another in its place. */
export type Hook = (grad: Tensor) => Tensor | void;

/**
 * The state that one run of the engine keeps for one node. Runs nest: a hook, a custom backward or a recomputation may start another
 * run over the same nodes, which puts visits of its own on top of these and takes them off when it ends.
 */
export class Visit {
  /** The run that it belongs to. */
  readonly run: object;
  /** The visit of the run around this one. */
  readonly outer: Visit | null;
  /** The sum of the gradients that have arrived. */
  grad: Tensor | null = null;
  /** Was grad made for this visit alone? Then nobody has seen or saved it yet, and gradients of slices can be added in place. */
  fresh = false;
  /** The gradients of a custom function's outputs, in their order. */
  arrived: (Tensor | null)[] | null = null;
  /** The loss scale that the gradients carry; null when it is not known. */
  carried: Carried | null = null;
  /** Does the gradient of a node below it, or of this one, matter to the run? */
  wanted = true;
  /** Does the gradient of a node below it matter to the run? */
  passes = true;

  constructor(run: object, outer: Visit | null) {
    this.run = run;
    this.outer = outer;
  }

  /** Has a gradient arrived? */
  get reached(): boolean {
    return this.grad !== null || this.arrived !== null;
  }

  /** Releases the gradients. */
  clear(): void {
    const { grad, arrived } = this;
    this.grad = this.arrived = null;
    grad?.storage.release();
    if (arrived !== null) for (const each of arrived) each?.storage.release();
  }
}

/** The fields that only few nodes need. They are kept apart because every recorded op makes a node, and a small object is faster to make. */
class RareFields {
  hooks: readonly { readonly hook: Hook }[] | null = null;
  lossScale: LossScale | null = null;
  retained: readonly Tensor[] | null = null;
}

/**
 * A node of the graph. It belongs to a tensor and computes, from the gradient of it, the gradients of the inputs that the tensor was
 * computed from.
 */
export abstract class Node {
  /** The name that gradFn shows, such as MulBackward. */
  abstract readonly name: string;
  /** The nodes of the inputs; null for inputs that require no gradient. */
  readonly edges: readonly (Node | null)[];
  /** The shape of the tensor, which is that of its gradient. */
  readonly shape: Shape;
  /** The dtype of the gradient: the dtype of the tensor, or float32 if the tensor is a 16-bit copy that autocast made. */
  readonly info: DTypeInfo;
  readonly device: number;
  /** The state that the innermost run keeps for this node; null outside of backward. */
  visit: Visit | null = null;
  /** The fields that only few nodes need, or null if this node needs none of them. */
  rare: RareFields | null = null;

  constructor(edges: readonly (Node | null)[], of: Tensor, info: DTypeInfo = of.info) {
    this.edges = edges;
    this.shape = of.layout.shape;
    this.info = info;
    this.device = of.storage.device;
  }

  /** The hooks in the order in which they were registered. The array is replaced, not changed, because a hook may add and remove hooks. */
  get hooks(): readonly { readonly hook: Hook }[] | null {
    return this.rare === null ? null : this.rare.hooks;
  }
  set hooks(hooks: readonly { readonly hook: Hook }[] | null) {
    (this.rare ??= new RareFields()).hooks = hooks;
  }
  /** If this node multiplies a loss by the scale of a GradScaler: that scale, which the gradients of all nodes below it contain. */
  get lossScale(): LossScale | null {
    return this.rare === null ? null : this.rare.lossScale;
  }
  set lossScale(lossScale: LossScale | null) {
    (this.rare ??= new RareFields()).lossScale = lossScale;
  }
  /** The tensors whose .grad backward fills because of retainGrad(). */
  get retained(): readonly Tensor[] | null {
    return this.rare === null ? null : this.rare.retained;
  }
  set retained(retained: readonly Tensor[] | null) {
    (this.rare ??= new RareFields()).retained = retained;
  }

  /** Returns the gradients of the inputs, in the order of edges. It is called once all gradients of the tensor have arrived. */
  abstract apply(grad: Tensor): readonly (Tensor | null)[];
  /** Releases the saved values; backward through this node is then an error. */
  abstract release(): void;
  /** Was it released? */
  get released(): boolean {
    return false;
  }
  /** Returns which elements of its input the tensor selects, if it is a slice, else null. The gradients of slices can be added in place. */
  get part(): SliceParams | null {
    return null;
  }
  /** Returns the same slice of another tensor, by a differentiable op, if the tensor is a slice of its input. */
  sliceOf(_: Tensor): Tensor {
    throw new InternalError('this node is not that of a slice', { op: this.name });
  }
  /** Is it the node of a custom function? Tensors that its backward makes belong to the user. */
  get runsUserCode(): boolean {
    return false;
  }
  /** Does the current run need the gradient of input i? */
  needs(i: number): boolean {
    const edge = this.edges[i];
    return edge != null && edge.visit?.wanted !== false;
  }

  /** Returns a gradient of this tensor whose elements all have one value. */
  filled(value: number): Tensor {
    return full(this.shape, value, { dtype: this.info.name, device: deviceName(this.device) });
  }

  addHook(hook: Hook): () => void {
    const entry = { hook };
    this.hooks = [...(this.hooks ?? []), entry];
    return () => {
      const left = this.hooks?.filter(other => other !== entry) ?? [];
      this.hooks = left.length > 0 ? left : null;
    };
  }

  /** Makes backward fill .grad of this tensor; a second call does nothing. */
  retain(t: Tensor): void {
    if (!this.retained?.includes(t)) this.retained = [...(this.retained ?? []), t];
  }
}

/** The end of the graph at a leaf: the engine adds the gradient to its .grad. */
export class LeafNode extends Node {
  readonly tensor: Tensor;
  /** The scale in the gradient that backward last added to this leaf; null if there was none. */
  lastScale: LossScale | null = null;
  /** Is the warning about unscaled float16 gradients settled: was it given, or has this leaf had the gradient of a scaled loss? */
  underflowKnown = false;

  constructor(tensor: Tensor) {
    super([], tensor);
    this.tensor = tensor;
  }
  get name(): string {
    return 'AccumulateGrad';
  }
  apply(): readonly Tensor[] {
    return [];
  }
  release(): void {}

  /** Returns the node of the same leaf after its dtype or device has changed. Hooks, and what removes them, stay valid. */
  movedTo(leaf: Tensor): LeafNode {
    const node = new LeafNode(leaf);
    node.rare = this.rare ??= new RareFields();
    return node;
  }
}

/** Returns the node that made a tensor; null if it requires no gradient. The node of a leaf accumulates its gradient. */
export const nodeOf = (t: Tensor): Node | null => t.node as Node | null;

/** Notes that a tensor is a loss that was multiplied by this scale. */
export function noteLossScale(t: Tensor, scale: LossScale): void {
  const node = nodeOf(t);
  if (node !== null) node.lossScale = scale;
}

export const isLeaf = (t: Tensor): boolean => t.node === null || t.node instanceof LeafNode;

/** Returns a saved tensor for use in backward, also if the user has disposed it: the node still holds its memory. */
export function restored(saved: Tensor): Tensor {
  if (!saved.disposed) return saved;
  const again = saved.alias();
  again.node = saved.node;
  return again;
}

/** Returns the error for an inference tensor in a computation that is recorded, or written to outside of inference mode. */
export const ofInference = (message: string, context: ErrorContext): AutogradError =>
  new AutogradError(message, {
    ...context,
    advice:
      'A clone() made outside of inferenceMode() is a normal tensor; noGrad() makes normal tensors without a graph',
  });

/** Returns the error for backward after one of these saved tensors was written to. */
export const changed = (op: string, saved: readonly Tensor[]): AutogradError =>
  new AutogradError(
    `a tensor that backward needs was changed in place; it is one of shape ${saved.map(t => format(t.shape)).join(', ')}`,
    {
      op,
      shapes: saved.map(t => t.shape),
      dtypes: saved.map(t => t.dtype),
      advice: 'Use the out-of-place form, or clone() it first',
    },
  );

/** Returns the error for backward through a graph whose saved tensors were released. */
export const released = (op: string): AutogradError =>
  new AutogradError('backward was called a second time: what the graph saved was freed by the first', {
    op,
    advice: 'Pass { retainGraph: true } to the first call',
  });
