import { checkMethods, number, optional, signature } from '../arguments.ts';
import { argumentOf } from '../ops/define.ts';
import { F } from '../ops/functional.ts';
import type { Pair } from '../ops/pair.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Lambda } from './lambda.ts';

/** Modules without parameters that are a function each: activations, and changes of shape. */

/** An activation has no options. */
const takesNothing = (name: string, args: ArrayLike<unknown>): void => void signature(`nn.${name}`, {})(args);
/** max(x, 0), element by element. */
export class ReLU extends Lambda {
  /** max(x, 0), element by element. */
  constructor() {
    super(F.relu);
    takesNothing(new.target.name, arguments);
  }
  override get epilogue(): 'relu' {
    return 'relu';
  }
}
const takesGELU = signature('nn.GELU', { options: argumentOf(F.gelu, 'options') });
/** x Phi(x), with Phi of the standard normal distribution; { approximate: 'tanh' } is the form GPT-2 was trained with. */
export class GELU extends Lambda {
  readonly #tanh: boolean;
  /** x Phi(x); { approximate: 'tanh' } is the form GPT-2 was trained with. */
  constructor(_options: { approximate?: 'none' | 'tanh' } = {}) {
    const [approximate] = takesGELU(arguments);
    super(x => F.gelu(x, approximate));
    this.#tanh = approximate?.approximate === 'tanh';
  }
  override get epilogue(): 'gelu' | 'geluTanh' {
    return this.#tanh ? 'geluTanh' : 'gelu';
  }
}
/** x * sigmoid(x), element by element. */
export class SiLU extends Lambda {
  /** x * sigmoid(x), element by element. */
  constructor() {
    super(F.silu);
    takesNothing(new.target.name, arguments);
  }
}
/** The hyperbolic tangent of each element. */
export class Tanh extends Lambda {
  /** The hyperbolic tangent of each element. */
  constructor() {
    super(F.tanh);
    takesNothing(new.target.name, arguments);
  }
}
/** 1 / (1 + e^-x), element by element. */
export class Sigmoid extends Lambda {
  /** 1 / (1 + e^-x), element by element. */
  constructor() {
    super(F.sigmoid);
    takesNothing(new.target.name, arguments);
  }
}
const takesFlatten = signature('nn.Flatten', { start: optional(number), end: optional(number) });
/** Merges the axes from start to end (included) into one: all but that of the batch, unless others are given. */
export class Flatten extends Lambda {
  /** Merges the axes from start to end (included); the axis of the batch stays unless start is 0. */
  constructor(start = 1, end = -1) {
    takesFlatten(arguments);
    super(x => F.flatten(x, start, end));
  }
}
const takesMaxPool2d = signature('nn.MaxPool2d', {
  kernelSize: argumentOf(F.maxPool2d, 'kernelSize'),
  options: argumentOf(F.maxPool2d, 'options'),
});
/** The largest value of each window of (N, C, H, W). The stride is the kernel size unless given. */
export class MaxPool2d extends Lambda {
  /** The largest value of each window of kernelSize. The stride is the kernel size unless given. */
  constructor(kernelSize: Pair, options: { stride?: Pair; padding?: Pair } = {}) {
    [kernelSize, options = {}] = takesMaxPool2d(arguments);
    super(x => F.maxPool2d(x, kernelSize, options));
  }
}
