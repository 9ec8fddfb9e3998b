import { current, withInner, type Mode } from '../context.ts';
import { Scope } from '../tensor/scope.ts';
import { track } from '../tensor/storage.ts';
import { isContiguous, sameShape } from '../tensor/shape.ts';
import { deviceName } from '../tensor/device.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { AutogradError } from '../errors.ts';
import { LeafNode, type Edge, type Node } from './node.ts';

export interface BackwardOptions {
  /** Keep what the graph saved, so that backward can run again. Default: createGraph. */
  retainGraph?: boolean;
  /** Record the computation of the gradients, for derivatives of higher order. */
  createGraph?: boolean;
}

/** Who is told of the gradient that reaches an output of a node, instead of leaves filling .grad. */
export type Capture = ReadonlyMap<Node, { index: number; take: (grad: Tensor) => void }[]>;

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
        if (edge !== null) enter(edge.node);
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

  start(edges: readonly Edge[], grads: readonly Tensor[]): void {
    const nodes = topological(edges.map(edge => edge.node));
    try {
      withInner(this.inner, () => edges.forEach((edge, i) => this.arrive(edge, grads[i]!)), undefined);
      this.endScope();
      for (const node of nodes) if (node.arrived.some(grad => grad !== null)) this.step(node);
    } finally {
      for (const node of nodes) this.clear(node);
      this.endScope();
    }
  }

  step(node: Node): void {
    if (node.hooks !== null) withInner(this.ambient, () => this.runHooks(node), undefined);
    this.capture?.get(node)?.forEach(({ index, take }) => this.give(node.arrived[index] ?? null, take));
    if (node instanceof LeafNode) {
      if (this.capture === null) withInner({ ...this.ambient, scope: null }, () => this.accumulate(node.tensor, node.arrived[0]!), undefined);
    } else {
      withInner(node.runsUserCode ? this.ambient : this.inner, () => this.pass(node), undefined);
      this.endScope();
      if (!this.retain) node.release();
    }
    this.clear(node);
  }

  /** Computes the gradients of a node's inputs and sends them on. */
  pass(node: Node): void {
    const grads = node.apply(node.arrived);
    for (let i = 0; i < node.edges.length; i++) {
      const edge = node.edges[i]!;
      const grad = grads[i];
      if (edge !== null && grad != null) this.arrive(edge, grad);
    }
  }

  /** Adds a gradient to what has arrived at an edge, in the shape and dtype of the input it belongs to. */
  arrive(edge: Edge, grad: Tensor): void {
    const { arrived } = edge.node;
    const fitted = fit(grad, edge);
    const before = arrived[edge.index] ?? null;
    const sum = before === null ? fitted : before.add(fitted);
    sum.storage.hold();
    arrived[edge.index] = sum;
    before?.storage.release();
  }

  runHooks(node: Node): void {
    for (const { index, hook } of node.hooks!) {
      const grad = node.arrived[index];
      if (!grad) continue;
      this.adopt(grad);
      const changed = hook(grad);
      if (!changed) continue;
      changed.storage.hold();
      node.arrived[index] = changed;
      grad.storage.release();
    }
  }

  /** Hands a gradient to the caller of autograd.grad. */
  give(grad: Tensor | null, take: (grad: Tensor) => void): void {
    if (grad === null) return;
    this.adopt(grad);
    take(grad);
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
    else leaf.grad = ownsMemory(grad) ? grad : grad.clone();
    const { storage } = leaf.grad;
    storage.kept = true;
    if (!storage.orphan) return;
    storage.orphan = false;
    track(storage);
  }

  clear(node: Node): void {
    for (let i = 0; i < node.arrived.length; i++) {
      const grad = node.arrived[i];
      node.arrived[i] = null;
      grad?.storage.release();
    }
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
  return storage.orphan && storage.holds === 1 && offset === 0 && storage.bytes === nbytes && isContiguous(shape, strides);
}

/** A gradient in the shape (broadcast axes summed), dtype and device of the input it belongs to. */
function fit(grad: Tensor, { shape, info, device }: Edge): Tensor {
  let fitted = sameShape(grad.shape, shape) ? grad : grad.sumTo(shape);
  if (fitted.info !== info) fitted = fitted.to(info.name);
  return fitted.storage.device === device ? fitted : fitted.to(deviceName(device));
}

/** Runs the graph of some tensors backwards from given gradients. */
export function runBackward(roots: readonly Tensor[], grads: readonly Tensor[], options: BackwardOptions, capture: Capture | null): void {
  const edges = roots.map(root => {
    if (root.node === null)
      throw new AutogradError('this tensor was not computed from anything that requires a gradient', {
        op: 'backward',
        shapes: [root.shape],
        advice: 'Set requiresGrad on a tensor it depends on, and do not compute it under noGrad',
      });
    return { node: root.node, index: root.outputIndex, shape: root.shape, info: root.info, device: root.storage.device };
  });
  new Run(options, capture).start(edges, grads);
}
