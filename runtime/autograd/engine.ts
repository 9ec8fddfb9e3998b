import { current, withInner, type Mode } from '../context.ts';
import { graphEscapes, Scope } from '../tensor/scope.ts';
import { freedFor, track } from '../tensor/storage.ts';
import { isContiguous, sameShape } from '../tensor/shape.ts';
import { deviceName } from '../tensor/device.ts';
import { Tensor } from '../tensor/tensor.ts';
import { AutogradError } from '../errors.ts';
import { LeafNode, type Node } from './node.ts';
import { warnUnscaled } from './underflow.ts';

export interface BackwardOptions {
  /** Keep what the graph saved, so that backward can run again. Default: createGraph. */
  retainGraph?: boolean;
  /** Record the computation of the gradients, for derivatives of higher order. */
  createGraph?: boolean;
}

/** Who is told of the gradient that reaches a node, instead of leaves filling .grad. */
export type Capture = ReadonlyMap<Node, ((grad: Tensor) => void)[]>;

/** Numbers the runs, so that the marks of earlier ones need not be cleared. */
let runs = 0;

/** The nodes below the roots, each before the nodes of its inputs. */
function topological(roots: readonly Node[]): Node[] {
  const mark = ++runs;
  const sorted: Node[] = [];
  const path: Node[] = [];
  const next: number[] = [];
  const enter = (node: Node): void => {
    if (node.mark === mark) return;
    node.mark = mark;
    path.push(node);
    next.push(0);
  };
  for (const root of roots) {
    enter(root);
    while (path.length > 0) {
      const node = path[path.length - 1]!;
      const i = next[next.length - 1]!++;
      if (i < node.edges.length) {
        const edge = node.edges[i]!;
        if (edge !== null) enter(edge);
      } else {
        sorted.push(node);
        path.pop();
        next.pop();
      }
    }
  }
  return sorted.reverse();
}

/** One backward pass. What derivatives make is freed as soon as it was used; what the graph saved, as soon as its node has run. */
class Run {
  readonly retain: boolean;
  readonly createGraph: boolean;
  readonly capture: Capture | null;
  /** The mode of the caller, for code of the user's: hooks and custom functions. Backward never reads the ambient autocast. */
  readonly ambient: Mode;
  /** Owns what the node at work makes; null when the gradients get a graph of their own. */
  readonly scope: Scope | null;
  readonly inner: Mode;

  constructor(options: BackwardOptions, capture: Capture | null) {
    this.createGraph = options.createGraph ?? false;
    this.retain = options.retainGraph ?? this.createGraph;
    this.capture = capture;
    this.ambient = { ...current(), grad: this.createGraph, autocast: null };
    this.scope = this.createGraph ? null : new Scope(null);
    this.inner = this.scope ? { ...this.ambient, scope: this.scope } : this.ambient;
  }

  start(roots: readonly Node[], grads: readonly Tensor[]): void {
    const nodes = topological(roots);
    warnUnscaled(nodes);
    try {
      withInner(this.inner, () => this.walk(nodes, roots, grads), undefined);
    } finally {
      for (const node of nodes) node.clear();
      this.endScope();
    }
  }

  walk(nodes: readonly Node[], roots: readonly Node[], grads: readonly Tensor[]): void {
    roots.forEach((root, i) => this.arrive(root, grads[i]!));
    this.endScope();
    for (const node of nodes) if (node.reached) this.step(node);
  }

  step(node: Node): void {
    if (node.hooks !== null) withInner(this.ambient, () => this.runHooks(node), undefined);
    this.capture?.get(node)?.forEach(take => this.give(node.grad, take));
    if (node instanceof LeafNode) {
      if (this.capture === null)
        withInner({ ...this.ambient, scope: null }, () => this.accumulate(node.tensor, node.grad!), undefined);
    } else {
      if (node.runsUserCode) withInner(this.ambient, () => this.pass(node), undefined);
      else this.pass(node);
      this.endScope();
      if (!this.retain) node.release();
    }
    node.clear();
  }

  /** Computes the gradients of what a node was made from and sends them on. */
  pass(node: Node): void {
    let grads: ReturnType<Node['apply']>;
    try {
      grads = node.apply(node.grad!);
    } catch (error) {
      if (!freedFor(error)) throw error;
      grads = node.apply(node.grad!);
    }
    for (let i = 0; i < grads.length; i++) {
      const edge = node.edges[i]!;
      const grad = grads[i]!;
      if (edge !== null && grad !== null) this.arrive(edge, grad);
    }
  }

  /** Adds a gradient to what has arrived at a node, in the shape and dtype of its tensor. */
  arrive(node: Node, grad: Tensor): void {
    const fitted = fit(grad, node);
    const before = node.grad;
    if (before === null) {
      fitted.storage.holds++;
      node.grad = fitted;
    } else if (!this.createGraph && ownsMemory(before)) before.add_(fitted);
    else {
      node.grad = before.add(fitted);
      node.grad.storage.holds++;
      before.storage.release();
    }
  }

  runHooks(node: Node): void {
    for (const hook of node.hooks!) {
      const grad = node.grad!;
      this.adopt(grad);
      const changed = hook(grad);
      if (!changed) continue;
      changed.storage.holds++;
      node.grad = changed;
      grad.storage.release();
    }
  }

  /** Hands a gradient to the caller of autograd.grad. */
  give(grad: Tensor | null, take: (grad: Tensor) => void): void {
    if (grad === null) return;
    if (this.createGraph) {
      const own = grad.alias();
      own.node = grad.node;
      take(own);
    } else if (ownsMemory(grad)) {
      this.adopt(grad);
      take(asOwner(grad));
    } else withInner(this.ambient, () => take(grad.clone()), undefined);
  }

  /** The user may hold on to this gradient: it goes to the user's scope, or to the safety net. */
  adopt({ storage }: Tensor): void {
    if (!storage.orphan) return;
    storage.orphan = false;
    if (this.ambient.scope) this.ambient.scope.storages.push(storage);
    else track(storage);
  }

  accumulate(leaf: Tensor, grad: Tensor): void {
    if (leaf.grad !== null) {
      if (this.createGraph) leaf.grad = leaf.grad.add(grad);
      else leaf.grad.add_(grad);
    } else if (this.createGraph) leaf.grad = grad;
    else leaf.grad = ownsMemory(grad) ? asOwner(grad) : grad.clone();
    const { storage } = leaf.grad;
    storage.kept = true;
    if (this.createGraph) graphEscapes(this.ambient.scope);
    if (!storage.orphan) return;
    storage.orphan = false;
    track(storage);
  }

  /** Frees what the last node made and nobody waits for. */
  endScope(): void {
    if (this.scope === null) return;
    for (const storage of this.scope.storages) {
      if (storage.holds > 0) storage.orphan = true;
      else storage.free();
    }
    this.scope.storages.length = 0;
  }
}

/** Made by this run, held by nobody else, and nothing but this gradient: it can become .grad without a copy. */
function ownsMemory({ storage, shape, strides, offset, nbytes }: Tensor): boolean {
  return (
    storage.orphan && storage.holds === 1 && offset === 0 && storage.bytes === nbytes && isContiguous(shape, strides)
  );
}

/** Not as a view: so that disposing of it gives the memory back. */
const asOwner = (t: Tensor): Tensor =>
  t.base === null ? t : new Tensor(t.storage, t.shape, t.strides, t.offset, t.info, null);

/** A gradient in the shape (broadcast axes summed), dtype and device of the tensor it belongs to. */
function fit(grad: Tensor, { shape, info, device }: Node): Tensor {
  let fitted = sameShape(grad.shape, shape) ? grad : grad.sumTo(shape);
  if (fitted.info !== info) fitted = fitted.to(info.name);
  return fitted.storage.device === device ? fitted : fitted.to(deviceName(device));
}

/** Runs the graph of some tensors backwards from given gradients. */
export function runBackward(
  roots: readonly Tensor[],
  grads: readonly Tensor[],
  options: BackwardOptions,
  capture: Capture | null,
): void {
  const nodes = roots.map(root => {
    if (root.node === null)
      throw new AutogradError('this tensor was not computed from anything that requires a gradient', {
        op: 'backward',
        shapes: [root.shape],
        advice: 'Set requiresGrad on a tensor it depends on, and do not compute it under noGrad',
      });
    return root.node;
  });
  new Run(options, capture).start(nodes, grads);
}
