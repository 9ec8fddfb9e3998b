import { current } from '../context.ts';
import { AutogradError } from '../errors.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { noGrad } from './autograd.ts';
import { edgeTo, Node, SavedTensor, type Edge } from './node.ts';

/** What forward of a custom function leaves for its backward. */
export class FunctionContext {
  #saved: SavedTensor[] = [];
  #released = false;
  /** Anything that is not a tensor. */
  [key: string]: unknown;

  /** Keeps tensors for backward; changes in place are noticed. */
  saveForBackward(...tensors: Tensor[]): void {
    this.#saved = tensors.map(t => new SavedTensor(t));
  }
  get savedTensors(): Tensor[] {
    if (this.#released)
      throw new AutogradError('backward was called a second time: what was saved is gone', { advice: 'Pass { retainGraph: true } to the first call' });
    return this.#saved.map(saved => saved.get('Function'));
  }
  release(): void {
    if (!this.#released) for (const saved of this.#saved) saved.release();
    this.#released = true;
  }
}

/** An op of the user's own: forward runs unrecorded, backward turns gradients of the outputs into gradients of the arguments. */
export interface CustomFunction<Args extends readonly unknown[], Out extends Tensor | readonly Tensor[]> {
  readonly name?: string;
  forward(ctx: FunctionContext, ...args: Args): Out;
  /** One gradient an argument; null for those that have none. */
  backward(ctx: FunctionContext, ...grads: Tensor[]): Tensor | null | readonly (Tensor | null)[];
}

class FunctionNode extends Node {
  readonly name: string;
  readonly edges: readonly (Edge | null)[];
  override readonly runsUserCode = true;
  readonly #ctx: FunctionContext;
  readonly #backward: CustomFunction<any, any>['backward'];
  readonly #outputs: readonly Tensor[];

  constructor(name: string, edges: readonly (Edge | null)[], ctx: FunctionContext, fn: CustomFunction<any, any>, outputs: readonly Tensor[]) {
    super();
    this.name = `${name}Backward`;
    this.edges = edges;
    this.#ctx = ctx;
    this.#backward = fn.backward.bind(fn);
    // Only shapes are needed of the outputs: an output without a gradient gets zeros.
    this.#outputs = outputs;
    outputs.forEach((_, i) => (this.arrived[i] = null));
  }
  apply(grads: readonly (Tensor | null)[]): readonly (Tensor | null)[] {
    const given = this.#backward(this.#ctx, ...grads.map((g, i) => g ?? this.#outputs[i]!.zerosLike()));
    const list = Array.isArray(given) ? (given as readonly (Tensor | null)[]) : [given as Tensor | null];
    if (list.length !== this.edges.length)
      throw new AutogradError(`backward gave ${list.length} gradients for ${this.edges.length} arguments`, { op: this.name });
    return list;
  }
  release(): void {
    this.#ctx.release();
  }
}

/** Makes a function of a custom forward and backward. Gradients of higher order work when backward uses differentiable ops. */
export function customFunction<Args extends readonly unknown[], Out extends Tensor | readonly Tensor[]>(fn: CustomFunction<Args, Out>): (...args: Args) => Out {
  return (...args) => {
    const ctx = new FunctionContext();
    const raw = noGrad(() => fn.forward(ctx, ...args));
    const edges = args.map(arg => (isTensor(arg) ? edgeTo(arg) : null));
    if (!current().grad || edges.every(edge => edge === null)) {
      ctx.release();
      return raw;
    }
    // An argument handed through must not lose its own history.
    const outputs = (isTensor(raw) ? [raw] : [...(raw as readonly Tensor[])]).map(t => (args.includes(t) ? t.alias() : t));
    const node = new FunctionNode(fn.name ?? 'Function', edges, ctx, fn, outputs);
    outputs.forEach((t, i) => {
      if (!t.isFloat) return;
      t.node = node;
      t.outputIndex = i;
    });
    return (isTensor(raw) ? outputs[0] : outputs) as Out;
  };
}
