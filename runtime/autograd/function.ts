import { checked, checkMethods, having, rest } from '../arguments.ts';
import { asUser, current } from '../context.ts';
import { AutogradError } from '../errors.ts';
import { carriedBySum } from '../tensor/lossScale.ts';
import { shown } from '../shown.ts';
import { tensor } from '../tensor/specs.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { noGrad } from './autograd.ts';
import { checkCount, fromCustom } from './checks.ts';
import { savesInference } from './tape.ts';
import { noteCustomView } from './views.ts';
import { changed, Node, nodeOf, released, restored } from './node.ts';

/** Returns the tensor among those that a context keeps that was made in inference mode. */
let savedOfInference: (ctx: FunctionContext) => Tensor | undefined;

/** The ctx argument of a custom function: forward stores values in it for backward. */
export class FunctionContext {
  #saved: { tensor: Tensor; version: number }[] = [];
  #released = false;
  /** The user's own fields, for values that are not tensors. */
  [key: string]: unknown;

  static {
    savedOfInference = ctx => ctx.#saved.find(({ tensor }) => tensor.storage.inference)?.tensor;
  }

  /** Keeps tensors for backward. Reading savedTensors throws if one of them was changed in place since. */
  saveForBackward(...tensors: Tensor[]): void {
    for (const tensor of tensors) tensor.storage.hold();
    for (const { tensor } of this.#saved) tensor.storage.release();
    this.#saved = tensors.map(tensor => ({ tensor, version: tensor.storage.version }));
  }
  /** Returns the tensors that saveForBackward() kept. @throws AutogradError if one was changed in place since, or if they were released */
  get savedTensors(): Tensor[] {
    if (this.#released) throw released('Function');
    const written = this.#saved.filter(({ tensor, version }) => tensor.storage.version !== version);
    if (written.length > 0)
      throw changed(
        'Function',
        written.map(({ tensor }) => tensor),
      );
    return this.#saved.map(({ tensor }) => restored(tensor));
  }
  /** Releases the saved tensors. Backward calls it when it has used them. */
  release(): void {
    if (!this.#released) for (const { tensor } of this.#saved) tensor.storage.release();
    this.#released = true;
  }
}

checkMethods(FunctionContext, { saveForBackward: { tensors: rest(tensor) }, release: {} });

/** A user-defined op: forward runs without recording, and backward computes gradients of the arguments from gradients of the outputs. */
export interface CustomFunction<Args extends readonly unknown[], Out extends Tensor | readonly Tensor[]> {
  /** The name in error messages and as gradFn. */
  readonly name?: string;
  /** Computes the outputs. It may keep in ctx what backward needs. */
  forward(ctx: FunctionContext, ...args: Args): Out;
  /** Returns one gradient for each argument of forward, null for those that have none. */
  backward(ctx: FunctionContext, ...grads: Tensor[]): Tensor | null | readonly (Tensor | null)[];
}

/** Runs the backward of a custom function once the gradients of all its outputs are there. */
class FunctionNode extends Node {
  readonly name: string;
  readonly #ctx: FunctionContext;
  readonly #backward: CustomFunction<any, any>['backward'];
  #released = false;
  /** One node for each output. */
  readonly outputs: readonly OutputNode[];

  constructor(
    name: string,
    edges: readonly (Node | null)[],
    ctx: FunctionContext,
    fn: CustomFunction<any, any>,
    outputs: readonly Tensor[],
  ) {
    super(edges, outputs[0]!);
    this.name = `${name}Backward`;
    this.#ctx = ctx;
    this.#backward = fn.backward.bind(fn);
    this.outputs = outputs.map((t, i) => new OutputNode(this, i, t));
  }
  override get runsUserCode(): boolean {
    return true;
  }
  /** Runs backward. An output to which no gradient has flowed gets zeros. */
  apply(): readonly (Tensor | null)[] {
    const { arrived } = this.visit!;
    const grads = this.outputs.map((output, i) => arrived![i] ?? output.filled(0));
    const given: unknown = asUser(() => this.#backward(this.#ctx, ...grads));
    const list: readonly unknown[] = Array.isArray(given) ? given : [given];
    checkCount(list, this.edges.length, this.name);
    return this.edges.map((edge, i) => {
      const grad = list[i] ?? null;
      return edge === null || grad === null ? null : fromCustom(grad, i, this.name, edge);
    });
  }
  release(): void {
    this.#released = true;
    this.#ctx.release();
  }
  override get released(): boolean {
    return this.#released;
  }
}

/** The node of one output of a custom function. It passes its gradient to the function's node. */
class OutputNode extends Node {
  readonly #fn: FunctionNode;
  readonly #index: number;
  constructor(fn: FunctionNode, index: number, output: Tensor) {
    super([fn], output);
    this.#fn = fn;
    this.#index = index;
  }
  get name(): string {
    return this.#fn.name;
  }
  apply(grad: Tensor): readonly Tensor[] {
    const visit = this.#fn.visit!;
    visit.arrived ??= this.#fn.outputs.map(() => null);
    grad.storage.hold();
    visit.arrived[this.#index] = grad;
    visit.carried = carriedBySum(visit.carried, this.visit!.carried);
    return [];
  }
  release(): void {}
  override get released(): boolean {
    return this.#fn.released;
  }
}

/**
 * Returns the tensor to return for an output. An argument that forward returns, or a recorded tensor, keeps its node: an alias is
 * returned.
 */
function own(output: Tensor, given: boolean): Tensor {
  const t = given || output.recorded ? output.alias() : output;
  if (t !== output || t.viewMeta !== null) noteCustomView(t, output);
  return t;
}

/** @throws AutogradError unless forward returned a tensor or an array of tensors */
function checkOutputs(raw: unknown, op: string): void {
  const outputs: readonly unknown[] = Array.isArray(raw) ? raw : [raw];
  const wrong = outputs.length === 0 ? raw : outputs.find(output => !isTensor(output));
  if (wrong !== undefined || outputs.includes(undefined))
    throw new AutogradError(`forward returned ${shown(wrong)}, which is not a tensor or an array of them`, {
      op,
      advice: 'Return a tensor or an array of tensors; forward cannot be async',
    });
}

/** Returns a function with a custom forward and backward. Gradients of higher order work if backward uses differentiable ops. */
export const customFunction = checked(
  'customFunction',
  { fn: having('an object with forward() and backward()', 'forward', 'backward') },
  doCustomFunction,
);
function doCustomFunction<Args extends readonly unknown[], Out extends Tensor | readonly Tensor[]>(
  fn: CustomFunction<Args, Out>,
): (...args: Args) => Out {
  const name = fn.name ?? 'Function';
  return (...args) => {
    const ctx = new FunctionContext();
    const raw = forward(fn, ctx, args);
    const list: readonly Tensor[] = isTensor(raw) ? [raw] : raw;
    const edges = args.map(arg => (isTensor(arg) ? nodeOf(arg) : null));
    if (!current().grad || edges.every(edge => edge === null) || !list.some(t => t.isFloat)) {
      ctx.release();
      return raw;
    }
    const unfit = savedOfInference(ctx);
    if (unfit !== undefined) {
      ctx.release();
      throw savesInference(unfit, name);
    }
    const outputs = list.map(t => own(t, args.includes(t)));
    const node = new FunctionNode(name, edges, ctx, fn, outputs);
    outputs.forEach((t, i) => {
      if (t.isFloat) t.node = node.outputs[i]!;
    });
    return (isTensor(raw) ? outputs[0] : outputs) as Out;
  };
}

/** Runs forward without recording. If it throws, the tensors it has saved are released. */
function forward<Args extends readonly unknown[], Out extends Tensor | readonly Tensor[]>(
  fn: CustomFunction<Args, Out>,
  ctx: FunctionContext,
  args: Args,
): Out {
  try {
    const raw = noGrad(() => fn.forward(ctx, ...args));
    checkOutputs(raw, fn.name ?? 'Function');
    return raw;
  } catch (error) {
    ctx.release();
    throw error;
  }
}
