import { AutogradError } from '../errors.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import { format, type Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A hook sees the gradient of a tensor and may return another in its place. */
export type Hook = (grad: Tensor) => Tensor | void;

/** What made a tensor: turns the gradient at it into gradients at what it was made from. */
export abstract class Node {
  /** As printed: MulBackward. */
  abstract readonly name: string;
  /** The nodes of what it was made from; null where no gradient is wanted. */
  readonly edges: readonly (Node | null)[];
  /** What a gradient at this tensor must look like. */
  readonly shape: Shape;
  readonly info: DTypeInfo;
  readonly device: number;
  /** The sum of the gradients that have arrived; filled and emptied by the engine. */
  grad: Tensor | null = null;
  /** Number of the engine run that last saw this node. */
  mark = 0;
  hooks: Hook[] | null = null;

  constructor(edges: readonly (Node | null)[], of: Tensor) {
    this.edges = edges;
    this.shape = of.shape;
    this.info = of.info;
    this.device = of.storage.device;
  }

  /** Gradients in the order of edges. Called once all gradients have arrived. */
  abstract apply(grad: Tensor): readonly (Tensor | null)[];
  /** Lets go of what was saved; backward through this node is then an error. */
  abstract release(): void;
  /** Custom functions: what their backward makes belongs to the user. */
  get runsUserCode(): boolean {
    return false;
  }
  /** Has any gradient arrived? */
  get reached(): boolean {
    return this.grad !== null;
  }
  clear(): void {
    const { grad } = this;
    this.grad = null;
    grad?.storage.release();
  }

  addHook(hook: Hook): () => void {
    const entry: Hook = grad => hook(grad);
    (this.hooks ??= []).push(entry);
    return () => {
      this.hooks = this.hooks!.filter(other => other !== entry);
    };
  }
}

/** The end of the graph at a leaf: the engine adds the gradient to its .grad. */
export class LeafNode extends Node {
  readonly tensor: Tensor;

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
}

export const isLeaf = (t: Tensor): boolean => t.node === null || t.node instanceof LeafNode;

/** A saved tensor for use in backward, also when the user has disposed it: its memory is still held for us. */
export function restored(saved: Tensor): Tensor {
  if (!saved.disposed) return saved;
  const again = saved.alias();
  again.node = saved.node;
  return again;
}

/** One of these saved tensors was written to since. */
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

/** Backward through a graph whose saved tensors are gone. */
export const released = (op: string): AutogradError =>
  new AutogradError('backward was called a second time: what the graph saved was freed by the first', {
    op,
    advice: 'Pass { retainGraph: true } to the first call',
  });
