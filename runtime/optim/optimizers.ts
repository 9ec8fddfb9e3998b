import { multiAdam, multiSgd, type AdamRule, type SgdRule } from '../dispatch/multi.ts';
import { ArgumentError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { atLeast0, Optimizer, type ParamGroup, type Params } from './optimizer.ts';

/** Stochastic gradient descent: v = momentum v + (1 - dampening) g; p -= lr v. Nesterov steps along g + momentum v. */
export class SGD extends Optimizer<SgdRule> {
  constructor(params: Params<SgdRule>, options: Partial<SgdRule> = {}) {
    const rule: SgdRule = {
      lr: 1e-3,
      momentum: 0,
      dampening: 0,
      weightDecay: 0,
      nesterov: false,
      maximize: false,
      ...options,
    };
    atLeast0('SGD', rule);
    if (rule.nesterov && (rule.momentum === 0 || rule.dampening !== 0))
      throw new ArgumentError('nesterov needs a momentum and no dampening', { op: 'SGD' });
    super(params, rule);
  }
  protected update(
    group: ParamGroup<SgdRule>,
    params: readonly Tensor[],
    grads: readonly Tensor[],
    foundInf: Tensor | null,
  ): void {
    const momenta = group.momentum === 0 ? [] : [this.stateOf(params, 'momentumBuffer')];
    multiSgd([params, grads, ...momenta, this.stateOf(params, 'step', true)], group, foundInf);
  }
}

class AdamBase extends Optimizer<AdamRule> {
  constructor(op: string, params: Params<AdamRule>, rule: AdamRule) {
    atLeast0(op, rule);
    for (const beta of rule.betas)
      if (!(beta >= 0 && beta < 1)) throw new ArgumentError(`beta ${beta} is outside [0, 1)`, { op });
    super(params, rule);
  }
  protected update(
    group: ParamGroup<AdamRule>,
    params: readonly Tensor[],
    grads: readonly Tensor[],
    foundInf: Tensor | null,
  ): void {
    const moments = [this.stateOf(params, 'expAvg'), this.stateOf(params, 'expAvgSq')];
    const largest = group.amsgrad ? [this.stateOf(params, 'maxExpAvgSq')] : [];
    multiAdam([params, grads, ...moments, this.stateOf(params, 'step', true), ...largest], group, foundInf);
  }
}

export type AdamOptions = Partial<Omit<AdamRule, 'decoupled'>>;
const adamDefaults = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, amsgrad: false, maximize: false } as const;

/** Adam (Kingma and Ba 2015); weight decay is added to the gradient. */
export class Adam extends AdamBase {
  constructor(params: Params<AdamRule>, options: AdamOptions = {}) {
    super('Adam', params, { ...adamDefaults, weightDecay: 0, ...options, decoupled: false });
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter 2019): p -= lr * weightDecay * p. */
export class AdamW extends AdamBase {
  constructor(params: Params<AdamRule>, options: AdamOptions = {}) {
    super('AdamW', params, { ...adamDefaults, weightDecay: 0.01, ...options, decoupled: true });
  }
}
