import '../methods.ts';
import {
  on,
  type Derivative,
  type Formula,
  type PartialDerivative,
  type Saved,
  type SavedCall,
  type SavedName,
} from '../../autograd/derivative.ts';
import { current } from '../../context.ts';
import type { Wanted } from '../../dispatch/axes.ts';
import type { OpInfo } from '../../dispatch/op.ts';
import type { DTypeInfo } from '../../tensor/dtype.ts';
import { full } from '../../tensor/create.ts';
import type { Shape } from '../../tensor/shape.ts';
import { isTensor, type Tensor } from '../../tensor/tensor.ts';
import type { KindName, OpName, ParamsOfOp, Table } from '../table.ts';

/** The rows of the table of derivatives. The engine sums the gradients to the operand's shape and converts them to its dtype. */
export type Derivatives = { readonly [N in OpName]?: Derivative<ParamsOfOp<N>> };
/** The rows of all ops of some kinds: where a file satisfies this, the type checker names that file when a row is missing. */
export type DerivativesOf<K extends KindName> = {
  readonly [N in OpName as Table[N]['kind'] extends K ? N : never]: Derivative<ParamsOfOp<N>>;
};

/** Converts a 16-bit float tensor to float32; returns anything else as it is. */
export const widened = <T>(x: T): T => (isTensor(x) && x.isFloat && x.info.bytes === 2 ? (x.to('float32') as T) : x);

/** The saved values of a node. Values of 16 bits are converted to float32 when they are first read. */
class Widened<P> implements Saved<P> {
  readonly #of: Saved<P>;
  readonly #known = new Map<string, unknown>();
  constructor(of: Saved<P>) {
    this.#of = of;
  }
  #get<N extends 'a' | 'b' | 'c' | 'd' | 'out'>(name: N): Saved<P>[N] {
    if (!this.#known.has(name)) this.#known.set(name, widened(this.#of[name]));
    return this.#known.get(name) as Saved<P>[N];
  }
  get op(): OpInfo {
    return this.#of.op;
  }
  get params(): P {
    return this.#of.params;
  }
  get a(): Tensor {
    return this.#get('a');
  }
  get b(): Tensor {
    return this.#get('b');
  }
  get c(): Tensor {
    return this.#get('c');
  }
  get d(): Tensor | null {
    return this.#get('d');
  }
  get out(): Tensor {
    return this.#get('out');
  }
  extra(i: number): Tensor | null {
    return this.#of.extra(i);
  }
  needs(i: number): boolean {
    return this.#of.needs(i);
  }
  shapeOf(i: number): Shape {
    return this.#of.shapeOf(i);
  }
  infoOf(i: number): DTypeInfo {
    return this.#of.infoOf(i);
  }
}

/**
 * Makes a formula of several steps. They run in float32 if the operands have 16 bits, and the engine rounds once, at the end. In 16 bits
 * an intermediate result may overflow or vanish even if the operands and the gradient do not.
 */
export const wide = <P, const N extends SavedName = never>(
  reads: readonly N[],
  formula: Formula<P, N>,
): PartialDerivative<P> => on<P, N>(reads, (g, s) => formula(widened(g), new Widened(s as Saved<P>)));

export const same: PartialDerivative = on([], g => g);

export const zerosOf = (shape: Shape, g: Tensor): Tensor => full(shape, 0, { dtype: g.dtype, device: g.device });

export const zeros = (g: Tensor): Tensor => zerosOf(g.shape, g);

export const zero: readonly PartialDerivative[] = [on([], zeros), on([], zeros)];

/** Will this gradient be differentiated again? Then formulas use differentiable ops instead of fused kernels. */
export const differentiating = (): boolean => current().grad;

/** Returns an operand as a tensor: a number becomes one of rank 0 in the dtype and on the device of `like`. */
export const tensorOf = (x: Tensor | number, like: Tensor): Tensor =>
  typeof x === 'number' ? full([], x, { dtype: like.dtype, device: like.device }) : x;

/** Returns x with zeros replaced by 1, to divide by. */
export const nonzero = (x: Tensor): Tensor => x.maskedFill(x.eq(0), 1);

/** Returns the shapes and dtypes of the gradients of x, weight and bias; null for those that are not wanted. */
export const wantedOf = (s: SavedCall): [Wanted, Wanted, Wanted] => {
  const wanted = (i: number): Wanted => (s.needs(i) ? { shape: s.shapeOf(i), info: s.infoOf(i) } : null);
  return [wanted(0), wanted(1), wanted(2)];
};

/**
 * Returns zeros in the shape of operand i, to which the gradients of parts of it are added. It is one zero in memory: an op
 * that adds to a copy of it then only has to write the copy.
 */
export const zerosFor = (s: SavedCall, i: number, g: Tensor): Tensor =>
  full([], 0, { dtype: s.infoOf(i).name, device: g.device }).expand(s.shapeOf(i));
