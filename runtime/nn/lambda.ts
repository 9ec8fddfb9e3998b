import { checkMethods } from '../arguments.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';

/** A module from a function of a tensor. */
export class Lambda extends Module {
  readonly #fn: (x: Tensor) => Tensor;
  constructor(fn: (x: Tensor) => Tensor) {
    super();
    this.#fn = fn;
  }
  /** The name under which F.linear() computes it with the product; null if it does not. @internal */
  get epilogue(): 'relu' | 'gelu' | 'geluTanh' | null {
    return null;
  }
  /** The function of the module's name, applied to x. */
  forward(x: Tensor): Tensor {
    return this.#fn(x);
  }
}
checkMethods(Lambda, { forward: { x: tensor } });
