import { checkMethods, signature, type Signature } from '../arguments.ts';
import type { BinaryLossOptions, ClassLossOptions, CrossEntropyOptions, LossOptions } from '../ops/losses.ts';
import { F } from '../ops/functional.ts';
import { argumentOf } from '../ops/define.ts';
import { tensor } from '../tensor/specs.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';

/** A module takes the options that its function takes. */
const takes = (name: string, fn: (...args: never[]) => Tensor): Signature =>
  signature(`nn.${name}`, { options: argumentOf(fn, 'options') });

/** A loss with its options. */
abstract class Loss<O> extends Module {
  /** @internal What the constructor of a subclass takes. */
  static readonly takes: Signature;
  readonly options: O;
  constructor(_options: O = {} as O) {
    super();
    this.options = (new.target.takes(arguments)[0] ?? {}) as O;
  }
  abstract override forward(input: Tensor, target: Tensor): Tensor;
}

/** Mean of squared differences. */
export class MSELoss extends Loss<LossOptions> {
  static override readonly takes = takes('MSELoss', F.mseLoss);
  forward(input: Tensor, target: Tensor): Tensor {
    return F.mseLoss(input, target, this.options);
  }
}
/** Mean of absolute differences. */
export class L1Loss extends Loss<LossOptions> {
  static override readonly takes = takes('L1Loss', F.l1Loss);
  forward(input: Tensor, target: Tensor): Tensor {
    return F.l1Loss(input, target, this.options);
  }
}
/** Cross-entropy of logits with class indices or probabilities. */
export class CrossEntropyLoss extends Loss<CrossEntropyOptions> {
  static override readonly takes = takes('CrossEntropyLoss', F.crossEntropy);
  forward(input: Tensor, target: Tensor): Tensor {
    return F.crossEntropy(input, target, this.options);
  }
}
/** Minus the log-probability of the target class. */
export class NLLLoss extends Loss<ClassLossOptions> {
  static override readonly takes = takes('NLLLoss', F.nllLoss);
  forward(input: Tensor, target: Tensor): Tensor {
    return F.nllLoss(input, target, this.options);
  }
}
/** Cross-entropy of probabilities. */
export class BCELoss extends Loss<BinaryLossOptions> {
  static override readonly takes = takes('BCELoss', F.binaryCrossEntropy);
  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropy(input, target, this.options);
  }
}
/** Binary cross-entropy of logits. */
export class BCEWithLogitsLoss extends Loss<BinaryLossOptions & { posWeight?: Tensor }> {
  static override readonly takes = takes('BCEWithLogitsLoss', F.binaryCrossEntropyWithLogits);
  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropyWithLogits(input, target, this.options);
  }
}

for (const type of [MSELoss, L1Loss, CrossEntropyLoss, NLLLoss, BCELoss, BCEWithLogitsLoss])
  checkMethods(type, { forward: { input: tensor, target: tensor } });
