import { asUser, current, modeWith, withInner, type Mode } from '../context.ts';
import { sliceOf, type SliceParams } from '../dispatch/layout.ts';
import { AutogradError } from '../errors.ts';
import { graphEscapes, ownerOf, Scope, scopeHere } from '../tensor/scope.ts';
import {
  carriedBelow,
  carriedBy,
  carriedBySum,
  carry,
  LossScale,
  UNSCALED,
  type Carried,
} from '../tensor/lossScale.ts';
import { freedFor, own, track } from '../tensor/storage.ts';
import { promote, type DType } from '../tensor/dtype.ts';
import { sameShape, type Shape } from '../tensor/shape.ts';
import { deviceName } from '../tensor/device.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { replacement } from './checks.ts';
import { LeafNode, nodeOf, Visit, type Node } from './node.ts';
import { addInto, asOwner, ownsMemory } from './owned.ts';
import { warnUnscaled } from './underflow.ts';

/** The options of backward(). */
export interface BackwardOptions {
  /** Keep the values that the graph saved, so that backward can run again. Default: createGraph. */
  retainGraph?: boolean;
  /** Record the computation of the gradients, for derivatives of higher order. */
  createGraph?: boolean;
}

/** For autograd.grad: the functions to call with the gradient of a node. Leaves then do not fill .grad. */
export type Capture = ReadonlyMap<Node, ((grad: Tensor) => void)[]>;

/**
 * One backward pass. Tensors that derivatives make are freed as soon as they were used; values that the graph saved, as soon as their
 * node has run.
 */
class Run {
  readonly retain: boolean;
  readonly createGraph: boolean;
  readonly capture: Capture | null;
  /** The mode of the caller of backward, with autocast switched off. Hooks and custom functions run in it. */
  readonly ambient: Mode;
  /** Owns the tensors that the running node makes; null if the gradients get a graph of their own. */
  readonly scope: Scope | null;
  readonly inner: Mode;
  /** A mode without a scope, for the gradients of leaves, which no scope owns. */
  readonly unowned: Mode;
  /** All nodes reachable from the roots, each after the nodes of its inputs. */
  readonly nodes: Node[] = [];

  constructor(options: BackwardOptions, capture: Capture | null) {
    this.createGraph = options.createGraph ?? false;
    this.retain = options.retainGraph ?? this.createGraph;
    this.capture = capture;
    const mode = current();
    const changes = { grad: this.createGraph, autocast: null };
    this.ambient = modeWith(mode, { ...changes, user: modeWith(mode.user ?? mode, changes) });
    this.scope = this.createGraph ? null : new Scope(null);
    this.inner = this.scope ? modeWith(this.ambient, { scope: this.scope }) : this.ambient;
    this.unowned = modeWith(this.ambient, { scope: null });
  }

  start(roots: readonly Node[], grads: readonly (Tensor | null)[]): void {
    const { nodes } = this;
    try {
      this.sort(roots);
      warnUnscaled(nodes, grads);
      withInner(this.inner, () => this.walk(roots, grads), undefined);
    } finally {
      for (const node of nodes) this.leave(node);
      this.endScope();
    }
  }

  /** Puts a visit of this run on a node. Returns false if it has one already. */
  enter(node: Node): boolean {
    const { visit } = node;
    if (visit !== null && visit.run === this) return false;
    node.visit = new Visit(this, visit);
    return true;
  }

  /** Removes the visit of this run from a node, also after an error. */
  leave(node: Node): void {
    const visit = node.visit!;
    visit.clear();
    node.visit = visit.outer;
  }

  /** Fills `nodes` by a depth-first search from the roots. */
  sort(roots: readonly Node[]): void {
    const path: Node[] = [];
    const next: number[] = [];
    for (const root of roots) {
      if (!this.enter(root)) continue;
      path.push(root);
      next.push(0);
      while (path.length > 0) {
        const last = path.length - 1;
        const node = path[last]!;
        const i = next[last]!++;
        if (i < node.edges.length) {
          const edge = node.edges[i]!;
          if (edge === null || !this.enter(edge)) continue;
          path.push(edge);
          next.push(0);
        } else {
          this.nodes.push(node);
          path.pop();
          next.pop();
          if (this.capture !== null) this.#prune(node, this.capture);
        }
      }
    }
  }

  /** For autograd.grad: marks whether a node leads to one of the requested inputs. Other nodes are neither computed nor released. */
  #prune(node: Node, capture: Capture): void {
    const visit = node.visit!;
    visit.passes = node.edges.some(edge => edge !== null && edge.visit!.wanted);
    visit.wanted = visit.passes || capture.has(node);
  }

  walk(roots: readonly Node[], grads: readonly (Tensor | null)[]): void {
    roots.forEach((root, i) => {
      const grad = grads[i] ?? null;
      this.arrive(root, grad ?? root.filled(1), grad === null ? UNSCALED : carriedBy(grad));
    });
    this.endScope();
    for (let i = this.nodes.length - 1; i >= 0; i--) {
      const node = this.nodes[i]!;
      const visit = node.visit!;
      if (visit.wanted && visit.reached) this.step(node, visit);
    }
  }

  step(node: Node, visit: Visit): void {
    if (node.rare !== null) this.show(node, visit);
    if (this.capture !== null) this.capture.get(node)?.forEach(take => this.give(visit, take));
    if (node instanceof LeafNode) {
      if (this.capture === null) withInner(this.unowned, () => this.accumulate(node, visit), undefined);
    } else if (visit.passes) {
      if (node.runsUserCode) withInner(this.ambient, () => this.passCustom(node, visit), undefined);
      else this.pass(node, visit);
      this.endScope();
      if (!this.retain) node.release();
    }
    visit.clear();
  }

  /** Passes the gradient to the hooks of a node, and then fills .grad where retainGrad() was called. */
  show(node: Node, visit: Visit): void {
    if (node.hooks !== null) withInner(this.ambient, () => this.runHooks(node, visit), undefined);
    if (node.retained !== null) for (const t of node.retained) this.fillRetained(t, visit.grad!);
  }

  /** Gives a custom function gradients in memory of their own, which it may keep and write to. */
  passCustom(node: Node, visit: Visit): void {
    visit.arrived!.forEach((grad, i, all) => {
      if (grad === null) return;
      const own = this.shown(grad);
      own.storage.hold();
      grad.storage.release();
      all[i] = own;
    });
    this.pass(node, visit);
  }

  /** Computes the gradients of a node's inputs and adds them to the visits of the nodes there. */
  pass(node: Node, visit: Visit): void {
    const carried = node.lossScale === null ? visit.carried : carriedBelow(node.lossScale, visit.carried);
    const { part, edges } = node;
    if (part !== null && this.addPart(node, part, visit.grad!, carried)) return;
    let grads: ReturnType<Node['apply']>;
    try {
      grads = node.apply(visit.grad!);
    } catch (error) {
      if (!freedFor(error)) throw error;
      grads = node.apply(visit.grad!);
    }
    for (let i = 0; i < grads.length; i++) {
      const edge = edges[i]!;
      const grad = grads[i]!;
      if (edge === null || grad === null || !edge.visit!.wanted) continue;
      this.arrive(edge, grad, carried);
      if (part !== null) edge.visit!.fresh = true;
    }
  }

  /** Adds the gradient of a slice in place to the gradient of the sliced tensor. Returns false if there is none that may be written to. */
  addPart(node: Node, part: SliceParams, grad: Tensor, carried: Carried | null): boolean {
    const visit = node.edges[0]!.visit!;
    const whole = visit.grad;
    if (whole === null || !(this.createGraph ? visit.fresh : ownsMemory(whole))) return false;
    visit.carried = carriedBySum(visit.carried, carried);
    if (this.createGraph) node.sliceOf(whole).add_(grad);
    else addInto(sliceOf(whole, part), grad);
    return true;
  }

  /** Adds a gradient to the sum that has arrived at a node, in the shape and dtype of the node's tensor. */
  arrive(node: Node, grad: Tensor, carried: Carried | null): void {
    const visit = node.visit!;
    if (carried !== visit.carried) visit.carried = visit.grad === null ? carried : carriedBySum(visit.carried, carried);
    const fitted = fit(grad, node);
    const before = visit.grad;
    if (before === null) {
      fitted.storage.hold();
      visit.grad = fitted;
    } else if (!this.createGraph && ownsMemory(before)) addInto(before, fitted);
    else {
      this.replace(visit, before.add(fitted));
      visit.fresh = true;
    }
  }

  replace(visit: Visit, grad: Tensor): void {
    const before = visit.grad!;
    grad.storage.hold();
    visit.grad = grad;
    before.storage.release();
  }

  /**
   * Runs the hooks in order, each with the gradient that the one before returned. Hooks that are added meanwhile first run in the next
   * pass.
   */
  runHooks(node: Node, visit: Visit): void {
    for (const { hook } of node.hooks!) {
      const grad = this.shown(visit.grad!);
      if (grad !== visit.grad) this.replace(visit, grad);
      // The hook gets another object on the same memory, because it may dispose of what it gets.
      const given = this.createGraph ? grad : asOwner(grad);
      const changed: unknown = asUser(() => hook(given));
      if (changed !== undefined && changed !== null) this.replace(visit, replacement(changed, hook, node));
    }
  }

  /** Fills .grad after retainGrad(), with the gradient after all hooks. The scope that owns the tensor owns its gradient too. */
  fillRetained(t: Tensor, grad: Tensor): void {
    const { ambient } = this;
    const fill = (): void => {
      const own = grad.clone();
      t.grad = t.grad === null ? own : t.grad.add(own);
    };
    withInner(modeWith(ambient, { scope: ownerOf(t.storage, scopeHere(ambient)) }), fill, undefined);
    if (this.createGraph) graphEscapes(scopeHere(ambient));
  }

  /**
   * Returns a gradient to pass to user code, which may keep it and write to it: it shares its memory with nothing else, and the run does
   * not free it. With createGraph it is the gradient itself, because a copy would not be the tensor that the graph refers to.
   */
  shown(grad: Tensor): Tensor {
    if (this.createGraph) return grad;
    const own = ownsMemory(grad) ? grad : grad.clone();
    this.adopt(own);
    return own;
  }

  /** Passes a gradient to the caller of autograd.grad, in memory that it shares with nothing else. */
  give(visit: Visit, take: (grad: Tensor) => void): void {
    const grad = visit.grad!;
    const owned = !this.createGraph && ownsMemory(grad);
    if (owned) this.adopt(grad);
    const given = owned ? asOwner(grad) : withInner(this.ambient, () => grad.clone(), undefined);
    carry(given, visit.carried);
    take(given);
  }

  /** Gives the memory of a gradient to the user's scope, or to the garbage collector's safety net if there is no scope. */
  adopt({ storage }: Tensor): void {
    if (!storage.unreachable) return;
    storage.unreachable = false;
    own(storage, scopeHere(this.ambient));
  }

  /** A model may have been converted or moved since the graph was recorded: gradients follow its parameters. */
  placedLike(leaf: Tensor, grad: Tensor): Tensor {
    const there = grad.info === leaf.info && grad.storage.device === leaf.storage.device;
    return there ? grad : grad.to({ dtype: leaf.dtype, device: leaf.device });
  }

  accumulate(node: LeafNode, visit: Visit): void {
    const leaf = node.tensor;
    const grad = this.placedLike(leaf, visit.grad!);
    const carried = leaf.grad === null ? visit.carried : carriedBySum(carriedBy(leaf.grad), visit.carried);
    if (leaf.grad !== null) {
      if (this.createGraph) leaf.grad = leaf.grad.add(grad);
      else leaf.grad.add_(grad);
    } else leaf.grad = !this.createGraph && ownsMemory(grad) ? asOwner(grad) : grad.clone();
    const noted = carry(leaf.grad, carried);
    node.lastScale = noted instanceof LossScale ? noted : null;
    const { storage } = leaf.grad;
    storage.kept = true;
    if (this.createGraph) graphEscapes(scopeHere(this.ambient));
    if (!storage.unreachable) return;
    storage.unreachable = false;
    track(storage);
  }

  /** Frees the tensors that the last node made and that no gradient needs. */
  endScope(): void {
    if (this.scope === null) return;
    const { storages } = this.scope;
    // pop() is faster than setting the length, which engines do not inline.
    while (storages.length > 0) {
      const storage = storages.pop()!;
      if (storage.refCount > 0) storage.unreachable = true;
      else storage.free();
    }
  }
}

/** Sums a gradient over the axes along which a tensor of this shape was broadcast. */
function sumToSize(grad: Tensor, shape: Shape, dtype: DType): Tensor {
  const lead = grad.rank - shape.length;
  const axes = [...grad.shape.keys()].filter(
    axis => axis < lead || (shape[axis - lead] === 1 && grad.shape[axis] !== 1),
  );
  return (axes.length === 0 ? grad : grad.sum(axes, { keepdim: true, dtype })).reshape(shape);
}

/** Returns a gradient in the shape (broadcast axes summed), dtype and device of the tensor it belongs to. */
function fit(grad: Tensor, { shape, info, device }: Node): Tensor {
  let fitted = sameShape(grad.layout.shape, shape) ? grad : sumToSize(grad, shape, promote(grad.info, info).name);
  if (fitted.info !== info) fitted = fitted.to(info.name);
  return fitted.storage.device === device ? fitted : fitted.to(deviceName(device));
}

/** Runs backward from `roots` with the gradients given for them; null stands for a gradient of ones. */
export function runBackward(
  roots: readonly Tensor[],
  grads: readonly (Tensor | null)[],
  options: BackwardOptions,
  capture: Capture | null,
): void {
  const nodes = roots.map(root => {
    const node = nodeOf(root);
    if (node === null)
      throw new AutogradError('this tensor was not computed from anything that requires a gradient', {
        op: 'backward',
        shapes: [root.shape],
        advice: 'Set requiresGrad on a tensor it depends on, and do not compute it under noGrad',
      });
    return node;
  });
  new Run(options, capture).start(nodes, grads);
}
