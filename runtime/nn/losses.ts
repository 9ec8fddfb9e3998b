import type { BinaryLossOptions, ClassLossOptions, CrossEntropyOptions, LossOptions } from '../ops/losses.ts';
import { F } from '../ops/functional.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';

/** A loss with its options. */
abstract class Loss<O> extends Module {
  readonly options: O;
  constructor(options: O = {} as O) {
    super();
    this.options = options;
  }
  abstract override forward(input: Tensor, target: Tensor): Tensor;
}

/** Mean of squared differences. */
export class MSELoss extends Loss<LossOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.mseLoss(input, target, this.options);
  }
}
/** Mean of absolute differences. */
export class L1Loss extends Loss<LossOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.l1Loss(input, target, this.options);
  }
}
/** Cross-entropy of logits with class indices or probabilities. */
export class CrossEntropyLoss extends Loss<CrossEntropyOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.crossEntropy(input, target, this.options);
  }
}
/** Minus the log-probability of the target class. */
export class NLLLoss extends Loss<ClassLossOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.nllLoss(input, target, this.options);
  }
}
/** Cross-entropy of probabilities. */
export class BCELoss extends Loss<BinaryLossOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropy(input, target, this.options);
  }
}
/** Binary cross-entropy of logits. */
export class BCEWithLogitsLoss extends Loss<BinaryLossOptions & { posWeight?: Tensor }> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropyWithLogits(input, target, this.options);
  }
}
