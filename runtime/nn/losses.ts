import { checkMethods, signature, type Signature } from '../arguments.ts';
import type { BinaryLossOptions, ClassLossOptions, CrossEntropyOptions, LossOptions } from '../ops/losses.ts';
import { F } from '../ops/functional.ts';
import { argumentOf } from '../ops/define.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';

/** A loss module takes the options of its function. */
const takes = (name: string, fn: (...args: never[]) => Tensor): Signature =>
  signature(`nn.${name}`, { options: argumentOf(fn, 'options') });

/** A loss with its options. */
abstract class Loss<O> extends Module {
  /** @internal The signature of a subclass's constructor. */
  static readonly takes: Signature;
  /** The options that the function of this loss gets at every call. */
  readonly options: O;
  /** Takes the options of the function of the same name in F. */
  constructor(_options: O = {} as O) {
    super();
    this.options = (new.target.takes(arguments)[0] ?? {}) as O;
  }
  abstract override forward(input: Tensor, target: Tensor): Tensor;
}

/** (input - target)^2, reduced to the mean or sum. */
export class MSELoss extends Loss<LossOptions> {
  static override readonly takes = takes('MSELoss', F.mseLoss);
  /** The loss of an input and a target of the same shape. */
  forward(input: Tensor, target: Tensor): Tensor {
    return F.mseLoss(input, target, this.options);
  }
}
/** |input - target|, reduced to the mean or sum. */
export class L1Loss extends Loss<LossOptions> {
  static override readonly takes = takes('L1Loss', F.l1Loss);
  /** The loss of an input and a target of the same shape. */
  forward(input: Tensor, target: Tensor): Tensor {
    return F.l1Loss(input, target, this.options);
  }
}
/** Cross-entropy of logits (N, C, ...) with class indices (N, ...) or probabilities (N, C, ...). */
export class CrossEntropyLoss extends Loss<CrossEntropyOptions> {
  static override readonly takes = takes('CrossEntropyLoss', F.crossEntropy);
  /** The loss of logits (N, C, ...) and a target: class indices (N, ...), or probabilities of the logits' shape. */
  forward(input: Tensor, target: Tensor): Tensor {
    return F.crossEntropy(input, target, this.options);
  }
}
/** Negative log-likelihood: minus the log-probability of the target class, for log-probabilities such as those of logSoftmax(). */
export class NLLLoss extends Loss<ClassLossOptions> {
  static override readonly takes = takes('NLLLoss', F.nllLoss);
  /** The loss of log-probabilities (N, C, ...) and class indices (N, ...). */
  forward(input: Tensor, target: Tensor): Tensor {
    return F.nllLoss(input, target, this.options);
  }
}
/** Binary cross-entropy of probabilities: -(t log(p) + (1 - t) log(1 - p)). */
export class BCELoss extends Loss<BinaryLossOptions> {
  static override readonly takes = takes('BCELoss', F.binaryCrossEntropy);
  /** The loss of probabilities and a target of the same shape, both from 0 to 1. */
  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropy(input, target, this.options);
  }
}
/** Binary cross-entropy of logits: that of sigmoid(x), computed without loss of precision. */
export class BCEWithLogitsLoss extends Loss<BinaryLossOptions & { posWeight?: Tensor }> {
  static override readonly takes = takes('BCEWithLogitsLoss', F.binaryCrossEntropyWithLogits);
  /** The loss of logits and a target of the same shape, from 0 to 1. */
  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropyWithLogits(input, target, this.options);
  }
}

for (const type of [MSELoss, L1Loss, CrossEntropyLoss, NLLLoss, BCELoss, BCEWithLogitsLoss])
  checkMethods(type, { forward: { input: tensor, target: tensor } });
