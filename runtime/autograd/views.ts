import { current } from '../context.ts';
import { AutogradError } from '../errors.ts';
import { full } from '../tensor/create.ts';
import { deviceName } from '../tensor/device.ts';
import { extent } from '../tensor/overlap.ts';
import { contiguousCopy } from '../tensor/read.ts';
import { format, type Shape } from '../tensor/shape.ts';
import { empty, Tensor, viewOf, type ViewMeta } from '../tensor/tensor.ts';
import type { DifferentiableOp } from './derivative.ts';
import { Node, nodeOf } from './node.ts';
import { ownsMemory } from './owned.ts';
import { OpNode } from './tape.ts';

/** The circumstances in which a view was made: with gradients recorded, inside noGrad, or in the forward of a custom function. */
type Origin = 'recorded' | 'noGrad' | 'custom';
const reasons = {
  noGrad: 'the view was made inside noGrad(), so that it is not clear whether the write should be recorded',
  custom: 'the view was returned by a custom function, whose backward does not take the write into account',
} as const;

/** The op and the parent of a view, from which a new node is made after the shared memory was written to (as in PyTorch). */
export class DifferentiableViewMeta implements ViewMeta {
  readonly root: Tensor;
  readonly parent: Tensor;
  /** null for an output of a custom function that shares memory with an argument. */
  readonly op: DifferentiableOp | null;
  readonly params: unknown;
  origin: Origin;
  seen: number;
  /** Was retainGrad() called on the view, so that its next node has to fill .grad? */
  retains = false;
  /** Did the parent require a gradient when the view was made? */
  readonly #wanted: boolean;

  constructor(op: DifferentiableOp | null, parent: Tensor, params: unknown, origin: Origin) {
    this.parent = parent;
    this.root = parent.viewMeta?.root ?? parent;
    this.op = op;
    this.params = params;
    // A view of a view that was made inside noGrad, or by a custom function, has the same restriction.
    const { viewMeta } = parent as { viewMeta: DifferentiableViewMeta | null };
    this.origin = viewMeta === null || viewMeta.origin === 'recorded' ? origin : viewMeta.origin;
    this.seen = this.root.recordedWrites;
    this.#wanted = parent.recorded;
  }

  /** Gives the view a new node, after the views between it and the root have got theirs. */
  refresh(t: Tensor): void {
    const old: Tensor[] = [];
    for (let view = t, { viewMeta } = view; viewMeta !== null && viewMeta.seen !== viewMeta.root.recordedWrites;) {
      old.push(view);
      view = (viewMeta as DifferentiableViewMeta).parent;
      ({ viewMeta } = view);
    }
    for (const view of old.reverse()) (view.viewMeta as DifferentiableViewMeta).#recordAgain(view);
  }
  #recordAgain(t: Tensor): void {
    const { origin, op } = this;
    if (op === null || origin === 'custom' || (origin === 'noGrad' && this.#wanted))
      throw this.refusal(t, 'was changed in place through its base or another view');
    const node = nodeOf(this.parent);
    this.seen = this.root.recordedWrites;
    this.retains = giveUpRetained(t) || this.retains;
    t.node = node === null ? null : new OpNode(op, [node], [this.parent], this.params, t, null);
    if (this.retains) nodeOf(t)?.retain(t);
    this.retains = false;
  }

  /** Returns the error for a write that cannot be recorded for this view. */
  refusal(t: Tensor, what: string): AutogradError {
    const { origin } = this;
    return new AutogradError(
      `a view of shape ${format(t.shape)} ${what}; ${origin === 'recorded' ? '' : reasons[origin]}`,
      {
        shapes: [t.shape],
        dtypes: [t.dtype],
        advice:
          origin === 'noGrad'
            ? 'Make the view and write to it either both inside noGrad() or both outside; or detach() the view'
            : 'Return a clone() from forward, or use the out-of-place form',
      },
    );
  }
}

/** Notes the op that made a view, so that in-place writes to the shared memory reach its history. */
export function noteView(op: DifferentiableOp, parent: Tensor, params: unknown, out: Tensor, grad: boolean): void {
  out.viewMeta = new DifferentiableViewMeta(op, parent, params, grad ? 'recorded' : 'noGrad');
}

/** Notes that an output of a custom function shares memory with another tensor: recorded in-place writes to either are refused. */
export function noteCustomView(t: Tensor, of: Tensor): void {
  if (t.viewMeta === null) t.viewMeta = new DifferentiableViewMeta(null, of, null, 'custom');
  else (t.viewMeta as DifferentiableViewMeta).origin = 'custom';
}

/** Removes a tensor from the list of those whose .grad its node fills, before it gets another node. Returns whether it was in the list. */
function giveUpRetained(t: Tensor, node = nodeOf(t)): boolean {
  if (!node?.retained?.includes(t)) return false;
  const left = node.retained.filter(other => other !== t);
  node.retained = left.length > 0 ? left : null;
  return true;
}

/**
 * Records an in-place write. The tensor gets its new node from `newNode`; the root of a view gets one too, and all other views of the
 * root when they are next used. Hooks stay with the old node, which stands for the values before the write.
 */
export function rebaseHistory(t: Tensor, newNode: () => void): void {
  const retains = giveUpRetained(t);
  newNode();
  const { viewMeta } = t as { viewMeta: DifferentiableViewMeta | null };
  if (viewMeta === null) {
    t.recordedWrites++;
    if (retains) nodeOf(t)!.retain(t);
    return;
  }
  viewMeta.retains ||= retains;
  const { root } = viewMeta;
  rebaseHistory(root, () => (root.node = new WriteNode(root, t, nodeOf(root), nodeOf(t))));
}

/** The node of a tensor that was overwritten completely: the gradient of its earlier values is zero. */
export class OverwriteNode extends Node {
  readonly name: string;
  constructor(name: string, target: Tensor, source: Node | null) {
    super([nodeOf(target), source], target);
    this.name = name;
  }
  apply(grad: Tensor): readonly (Tensor | null)[] {
    return [this.needs(0) ? this.filled(0) : null, this.needs(1) ? grad : null];
  }
  release(): void {}
}

/** The node of a tensor after a view of it was written to: elements outside the view are unchanged, those inside come from the write. */
class WriteNode extends Node {
  readonly #strides: Shape;
  /** The view that was written to; its offset counts from that of the root. */
  readonly #part: { readonly shape: Shape; readonly strides: Shape; readonly offset: number };
  readonly #steps: readonly DifferentiableViewMeta[];
  readonly #contiguous: boolean;

  constructor(root: Tensor, part: Tensor, before: Node | null, written: Node | null) {
    super([before, written], root);
    this.#strides = root.strides;
    this.#contiguous = root.isContiguous;
    this.#part = { shape: part.shape, strides: part.strides, offset: part.offset - root.offset };
    this.#steps = stepsTo(part);
  }
  get name(): string {
    return 'WriteBackward';
  }
  release(): void {}

  apply(grad: Tensor): readonly (Tensor | null)[] {
    return current().grad ? this.#differentiably(grad) : this.#inPlace(grad);
  }

  /** Splits the gradient: a copy of the part for the view, and zeros in place of the part for the root. Copies it first if it is shared. */
  #inPlace(grad: Tensor): (Tensor | null)[] {
    const whole = this.#laidOut(grad);
    const part = this.#partOf(whole);
    const taken = this.needs(1) ? contiguousCopy(part, part.info) : null;
    if (this.needs(0)) part.fill_(0);
    return [this.needs(0) ? whole : null, taken];
  }

  #differentiably(grad: Tensor): (Tensor | null)[] {
    const taken = this.needs(1) ? this.#steps.reduce(again, grad) : null;
    return [this.needs(0) ? grad.maskedFill(this.#mask(), 0) : null, taken];
  }

  /** Returns a mask that is true at the elements of the view. */
  #mask(): Tensor {
    const { shape, device } = this;
    const mask = this.#laidOut(full(shape, 0, { dtype: 'bool', device: deviceName(device) }));
    this.#partOf(mask).fill_(1);
    return mask;
  }

  /** Returns the gradient in the memory layout (strides) of the root. */
  #laidOut(grad: Tensor): Tensor {
    if (this.#contiguous) return grad === this.visit?.grad && ownsMemory(grad) ? grad : contiguousCopy(grad, grad.info);
    const { shape } = this;
    const [first, last] = extent({ shape, strides: this.#strides, offset: 0 });
    const block = empty([last - first + 1], grad.info, grad.storage.device);
    const whole = viewOf(block, shape, this.#strides, -first);
    whole.copy_(grad);
    return whole;
  }

  #partOf(whole: Tensor): Tensor {
    const { shape, strides, offset } = this.#part;
    return viewOf(whole, shape, strides, whole.offset + offset);
  }
}

/** Returns the view ops that lead from the root to a view, in order. */
function stepsTo(view: Tensor): DifferentiableViewMeta[] {
  const steps: DifferentiableViewMeta[] = [];
  for (let { viewMeta } = view; viewMeta !== null; { viewMeta } = (viewMeta as DifferentiableViewMeta).parent)
    steps.push(viewMeta as DifferentiableViewMeta);
  return steps.reverse();
}

/** Makes the same view of another tensor of the same shape, whose layout may need a copy. */
const again = (t: Tensor, { op, params }: DifferentiableViewMeta): Tensor => op!.viewAgain!(t, params);
