import { current } from '../context.ts';
import type { OpInfo } from '../dispatch/op.ts';
import { AutogradError } from '../errors.ts';
import { full } from '../tensor/create.ts';
import { deviceName } from '../tensor/device.ts';
import { extent } from '../tensor/overlap.ts';
import { pack } from '../tensor/read.ts';
import { format, type Shape } from '../tensor/shape.ts';
import { empty, Tensor, viewOf, type Lineage } from '../tensor/tensor.ts';
import { Node } from './node.ts';
import { ownsMemory } from './owned.ts';
import { OpNode } from './record.ts';

/** The circumstances in which a view was made: with gradients recorded, inside noGrad, or in the forward of a custom function. */
type Origin = 'recorded' | 'noGrad' | 'custom';
const reasons = {
  noGrad: 'it was made inside noGrad(), so that it is not clear whether the write should be recorded',
  custom: 'it is a view that a custom function returned, whose backward knows nothing of the write',
} as const;

/** How a view was made, so that it can be recorded again when the memory it shows has got another history. */
export class ViewLineage implements Lineage {
  readonly root: Tensor;
  readonly parent: Tensor;
  /** null for an output of a custom function that is an argument handed through. */
  readonly op: OpInfo | null;
  readonly params: unknown;
  origin: Origin;
  seen: number;
  /** Does backward fill .grad of the view once it has its next node? */
  retains = false;
  /** Did the parent require a gradient when the view was made? */
  readonly #wanted: boolean;

  constructor(op: OpInfo | null, parent: Tensor, params: unknown, origin: Origin) {
    this.parent = parent;
    this.root = parent.lineage?.root ?? parent;
    this.op = op;
    this.params = params;
    // A view of a view that was made inside noGrad is no clearer than that.
    const { lineage } = parent as { lineage: ViewLineage | null };
    this.origin = lineage === null || lineage.origin === 'recorded' ? origin : lineage.origin;
    this.seen = this.root.rewrites;
    this.#wanted = parent.recorded;
  }

  /** The views between it and the root come first. */
  renew(t: Tensor): void {
    const old: Tensor[] = [];
    for (let view = t, { lineage } = view; lineage !== null && lineage.seen !== lineage.root.rewrites;) {
      old.push(view);
      view = (lineage as ViewLineage).parent;
      ({ lineage } = view);
    }
    for (const view of old.reverse()) (view.lineage as ViewLineage).#recordAgain(view);
  }
  #recordAgain(t: Tensor): void {
    const { origin, op } = this;
    if (op === null || origin === 'custom' || (origin === 'noGrad' && this.#wanted))
      throw this.refusal(t, 'was changed in place through its base or another view');
    const { node } = this.parent;
    this.seen = this.root.rewrites;
    this.retains = giveUpRetained(t) || this.retains;
    t.node = node === null ? null : new OpNode(op, [node], [this.parent], this.params, t, null);
    if (this.retains) t.node?.retain(t);
    this.retains = false;
  }

  /** This view and its memory's history cannot be brought together. */
  refusal(t: Tensor, what: string): AutogradError {
    const { origin } = this;
    return new AutogradError(
      `a view of shape ${format(t.shape)} ${what}; ${origin === 'recorded' ? '' : reasons[origin]}`,
      {
        shapes: [t.shape],
        dtypes: [t.dtype],
        advice:
          origin === 'noGrad'
            ? 'Do both, making the view and writing, inside noGrad(), or both outside; or detach() the view'
            : 'Return a clone() from forward, or use the out-of-place form',
      },
    );
  }
}

/** A view op was called: its result follows its base from now on. */
export function noteView(op: OpInfo, parent: Tensor, params: unknown, out: Tensor, grad: boolean): void {
  out.lineage = new ViewLineage(op, parent, params, grad ? 'recorded' : 'noGrad');
}

/** The output of a custom function shows memory of another tensor: neither can be written to once it has a history of its own. */
export function noteCustomView(t: Tensor, of: Tensor): void {
  if (t.lineage === null) t.lineage = new ViewLineage(null, of, null, 'custom');
  else (t.lineage as ViewLineage).origin = 'custom';
}

/** Does backward fill .grad of this tensor? From now on its node does not: the tensor gets another. */
function giveUpRetained(t: Tensor, node = t.node): boolean {
  if (!node?.retained?.includes(t)) return false;
  const left = node.retained.filter(other => other !== t);
  node.retained = left.length > 0 ? left : null;
  return true;
}

/**
 * A tensor is written to in place: it gets its new node, and so do the tensor it is a view of and, when they are next used, all other
 * views of that. Hooks stay with what the tensor was before.
 */
export function rewrite(t: Tensor, newNode: () => void): void {
  const retains = giveUpRetained(t);
  newNode();
  const { lineage } = t as { lineage: ViewLineage | null };
  if (lineage === null) {
    t.rewrites++;
    if (retains) t.node!.retain(t);
    return;
  }
  lineage.retains ||= retains;
  const { root } = lineage;
  rewrite(root, () => (root.node = new WriteNode(root, t, root.node, t.node)));
}

/** The node of a tensor that was overwritten completely: the gradient of its earlier values is zero. */
export class OverwriteNode extends Node {
  readonly name: string;
  constructor(name: string, target: Tensor, source: Node | null) {
    super([target.node, source], target);
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
  /** The view that was written to, by its place in the memory. */
  readonly #part: { readonly shape: Shape; readonly strides: Shape; readonly offset: number };
  readonly #steps: readonly ViewLineage[];
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

  /** Takes the part out of a copy of the gradient, or of the gradient itself where nobody else can see it, and leaves zeros there. */
  #inPlace(grad: Tensor): (Tensor | null)[] {
    const whole = this.#laidOut(grad);
    const part = this.#partOf(whole);
    const taken = this.needs(1) ? pack(part, part.info) : null;
    if (this.needs(0)) part.fill_(0);
    return [this.needs(0) ? whole : null, taken];
  }

  #differentiably(grad: Tensor): (Tensor | null)[] {
    const taken = this.needs(1) ? this.#steps.reduce(again, grad) : null;
    return [this.needs(0) ? grad.maskedFill(this.#mask(), 0) : null, taken];
  }

  /** true at the elements of the view. */
  #mask(): Tensor {
    const { shape, device } = this;
    const mask = this.#laidOut(full(shape, 0, { dtype: 'bool', device: deviceName(device) }));
    this.#partOf(mask).fill_(1);
    return mask;
  }

  /** The gradient with its elements in the same places of memory, relative to each other, as those of the tensor. */
  #laidOut(grad: Tensor): Tensor {
    if (this.#contiguous) return grad === this.visit?.grad && ownsMemory(grad) ? grad : pack(grad, grad.info);
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

/** How a view was made from its root, in order. */
function stepsTo(view: Tensor): ViewLineage[] {
  const steps: ViewLineage[] = [];
  for (let { lineage } = view; lineage !== null; { lineage } = (lineage as ViewLineage).parent)
    steps.push(lineage as ViewLineage);
  return steps.reverse();
}

/** The same view op on another tensor of the same shape, whose layout may need a copy. */
function again(t: Tensor, { op, params }: ViewLineage): Tensor {
  const given = params as any;
  const kind = op!.kind;
  if (kind === 'view') return t.reshape(given.shape);
  if (kind === 'expand') return t.expand(given.shape);
  return kind === 'permute' ? t.permute(given.order) : t.sliceWith(given);
}
