import type { OpInfo } from '../dispatch/op.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** The values of a call that the formula of a gradient may read. */
export interface SavedValues {
  /** The operands in their order. A number operand stays a number, which every method takes. */
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  readonly d: Tensor | null;
  readonly out: Tensor;
  /** The outputs past the first, such as the statistics of a norm. */
  extra(i: number): Tensor | null;
}
export type SavedName = keyof SavedValues;

/** The parts of a call that every formula sees. P is the type of the op's parameters. */
export interface SavedCall<P = any> {
  readonly op: OpInfo<P>;
  readonly params: P;
  /** Is the gradient of operand i wanted? */
  needs(i: number): boolean;
  /** Returns the shape of operand i, whose gradient is wanted. */
  shapeOf(i: number): Shape;
  /** Returns the dtype of the gradient of operand i: the dtype of the operand, or float32 if it is a 16-bit copy that autocast made. */
  infoOf(i: number): DTypeInfo;
}
/** A call with the values that its formula names: N is their names. */
export type Saved<P = any, N extends SavedName = SavedName> = SavedCall<P> & Pick<SavedValues, N>;

/** Computes the gradient at one operand from g, the gradient at the output. */
export type Formula<P, N extends SavedName = SavedName> = (g: Tensor, s: Saved<P, N>) => Tensor;
/** The derivative by one operand: its formula, and the saved values that it reads, as a mask. */
export interface PartialDerivative<P = any> {
  readonly reads: number;
  readonly formula: Formula<P>;
}
/** The derivatives by all operands together, if a fused kernel computes them at once or the op takes any number of operands. */
export interface JointDerivative<P = any> {
  readonly reads: number;
  readonly together: (g: Tensor, s: Saved<P>) => readonly (Tensor | null)[];
}
/** The derivative of an op: one partial for each operand, one function for all, or 'none' for ops that are not differentiable. */
export type Derivative<P = any> = 'none' | readonly PartialDerivative<P>[] | JointDerivative<P>;

/** An op with its derivative. */
export interface DifferentiableOp<P = any> extends OpInfo<P> {
  readonly derivative: Derivative<P>;
  /** Makes the same view of another tensor of the same shape, whose layout may need a copy; null for ops whose result is not a view. */
  readonly viewAgain: ((t: Tensor, params: P) => Tensor) | null;
}

const names: readonly SavedName[] = ['a', 'b', 'c', 'd', 'out', 'extra'];
const bit = (name: SavedName): number => 1 << names.indexOf(name);
/** The bits of the output and of the further outputs in a mask of values; operand i has bit 1 << i. */
export const OUT = bit('out');
export const EXTRA = bit('extra');
const maskOf = (read: readonly SavedName[]): number => read.reduce((mask, name) => mask | bit(name), 0);

/** Makes the derivative by one operand from a formula, which sees the named values and no others. */
export const on = <P, const N extends SavedName = never>(
  reads: readonly N[],
  formula: Formula<P, N>,
): PartialDerivative<P> => ({ reads: maskOf(reads), formula });

/** Makes the derivatives by all operands from one function, which sees the named values and no others. */
export const together = <P, const N extends SavedName = never>(
  reads: readonly N[],
  formulas: (g: Tensor, s: Saved<P, N>) => readonly (Tensor | null)[],
): JointDerivative<P> => ({ reads: maskOf(reads), together: formulas });
