import { AutogradError } from '../errors.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import { format, type Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** From a node to what made one of its inputs: where a gradient goes, and what it must look like there. */
export interface Edge {
  readonly node: Node;
  /** Which output of that node the input was. */
  readonly index: number;
  readonly shape: Shape;
  readonly info: DTypeInfo;
  readonly device: number;
}

/** A hook sees the gradient of a tensor and may return another in its place. */
export type Hook = (grad: Tensor) => Tensor | void;

/** One recorded step: turns the gradient at its output into gradients at its inputs. */
export abstract class Node {
  /** As printed: MulBackward. */
  abstract readonly name: string;
  /** One an input; null where no gradient is wanted. */
  abstract readonly edges: readonly (Edge | null)[];
  /** Gradients that have arrived, by output. Filled and emptied by the engine. */
  readonly arrived: (Tensor | null)[] = [null];
  /** Number of the engine run that last saw this node. */
  mark = 0;
  hooks: { index: number; hook: Hook }[] | null = null;
  /** Custom functions: what their backward makes belongs to the user. */
  readonly runsUserCode: boolean = false;

  /** Gradients of the inputs, in the order of edges. Called once all gradients have arrived. */
  abstract apply(grads: readonly (Tensor | null)[]): readonly (Tensor | null)[];
  /** Lets go of what was saved; backward through this node is then an error. */
  abstract release(): void;

  addHook(index: number, hook: Hook): () => void {
    const entry = { index, hook };
    (this.hooks ??= []).push(entry);
    return () => {
      this.hooks = this.hooks!.filter(other => other !== entry);
    };
  }
}

/** The end of the graph at a leaf: adds the gradient to its .grad. */
export class LeafNode extends Node {
  readonly name = 'AccumulateGrad';
  readonly edges: readonly Edge[] = [];
  readonly tensor: Tensor;

  constructor(tensor: Tensor) {
    super();
    this.tensor = tensor;
  }
  apply(): readonly Tensor[] {
    return [];
  }
  release(): void {}
}

export const isLeaf = (t: Tensor): boolean => t.node === null || t.node instanceof LeafNode;

/** The edge to a tensor's node, or null when it needs no gradient. */
export function edgeTo(t: Tensor): Edge | null {
  return t.node === null
    ? null
    : { node: t.node, index: t.outputIndex, shape: t.shape, info: t.info, device: t.storage.device };
}

/** A tensor kept for backward, with the version it had: its memory stays, and a change is noticed. */
export class SavedTensor {
  readonly tensor: Tensor;
  readonly version: number;

  constructor(tensor: Tensor) {
    this.tensor = tensor;
    this.version = tensor.storage.version;
    tensor.storage.hold();
  }
  /** @throws AutogradError when the tensor was written to since */
  get(op: string): Tensor {
    const { tensor } = this;
    if (tensor.storage.version !== this.version)
      throw new AutogradError(
        `a tensor of shape ${format(tensor.shape)} that backward needs was changed in place (version ${tensor.storage.version}, saved at ${this.version})`,
        { op, shapes: [tensor.shape], dtypes: [tensor.dtype], advice: 'Use the out-of-place form, or clone() it first' },
      );
    if (!tensor.disposed) return tensor;
    const again = tensor.alias();
    again.node = tensor.node;
    return again;
  }
  release(): void {
    this.tensor.storage.release();
  }
}
