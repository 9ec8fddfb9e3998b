import { multiAdam, multiSgd, type AdamRule, type OnDevice, type SgdRule } from '../dispatch/multi.ts';
import { ArgumentError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { takes } from './settings.ts';
import { Optimizer, type Description, type ParamGroup, type Params } from './optimizer.ts';

const sgdDefaults = { lr: 1e-3, momentum: 0, dampening: 0, weightDecay: 0, nesterov: false, maximize: false };
const sgd: Description<SgdRule> = {
  settings: {
    lr: 'number',
    momentum: 'number',
    dampening: 'number',
    weightDecay: 'number',
    nesterov: 'flag',
    maximize: 'flag',
  },
  // The momentum buffer is optional, because momentum may be switched on later.
  tensors: { step: { scalar: true }, momentumBuffer: { optional: true } },
  check({ nesterov, momentum, dampening }) {
    if (nesterov && (momentum === 0 || dampening !== 0))
      throw new ArgumentError('nesterov needs a momentum and no dampening', {
        op: 'SGD',
        advice: 'Set momentum above 0 and dampening to 0, or leave nesterov out',
      });
  },
};

const takesSgd = takes('SGD', sgd.settings);
/**
 * Stochastic gradient descent with momentum and gradient g: v = momentum v + (1 - dampening) g; p -= lr v. With
 * nesterov: p -= lr (g + momentum v).
 */
export class SGD extends Optimizer<SgdRule> {
  /** Takes parameters, or groups of them with settings of their own. Default: lr = 0.001. */
  constructor(params: Params<SgdRule>, options: Partial<SgdRule> = {}) {
    [params, options = {}] = takesSgd(arguments);
    super(params, sgdDefaults, options, sgd);
  }
  protected update(
    group: ParamGroup<SgdRule>,
    params: readonly Tensor[],
    grads: readonly Tensor[],
    onDevice: OnDevice,
  ): () => void {
    const momenta = group.momentum === 0 ? [] : [this.stateOf(params, 'momentumBuffer')];
    const lists = [params, grads, ...momenta, this.stateOf(params, 'step', true)];
    return () => multiSgd(lists, group, onDevice);
  }
}

/** The options of Adam and AdamW. */
export type AdamOptions = Partial<Omit<AdamRule, 'decoupled'>>;
const adamDefaults = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, amsgrad: false, maximize: false } as const;
const adam: Description<Omit<AdamRule, 'decoupled'>> = {
  settings: {
    lr: 'number',
    betas: 'betas',
    eps: 'number',
    weightDecay: 'number',
    amsgrad: 'flag',
    maximize: 'flag',
  },
  tensors: { step: { scalar: true }, expAvg: {}, expAvgSq: {}, maxExpAvgSq: { optional: true } },
};

abstract class AdamBase extends Optimizer<Omit<AdamRule, 'decoupled'>> {
  readonly #decoupled: boolean;

  constructor(params: Params<AdamOptions>, weightDecay: number, decoupled: boolean, options: AdamOptions) {
    super(params as Params<Omit<AdamRule, 'decoupled'>>, { ...adamDefaults, weightDecay }, options, adam);
    this.#decoupled = decoupled;
  }
  protected update(
    group: ParamGroup<Omit<AdamRule, 'decoupled'>>,
    params: readonly Tensor[],
    grads: readonly Tensor[],
    onDevice: OnDevice,
  ): () => void {
    const moments = [this.stateOf(params, 'expAvg'), this.stateOf(params, 'expAvgSq')];
    const largest = group.amsgrad ? [this.stateOf(params, 'maxExpAvgSq')] : [];
    const lists = [params, grads, ...moments, this.stateOf(params, 'step', true), ...largest];
    return () => multiAdam(lists, { ...group, decoupled: this.#decoupled }, onDevice);
  }
}

const takesAdam = takes('Adam', adam.settings);
const takesAdamW = takes('AdamW', adam.settings);
/** Adam (Kingma, Ba: Adam: a method for stochastic optimization; 2015). The weight decay is added to the gradient. */
export class Adam extends AdamBase {
  /** Takes parameters, or groups of them with settings of their own. Default: lr = 0.001, weightDecay = 0. */
  constructor(params: Params<AdamOptions>, options: AdamOptions = {}) {
    [params, options = {}] = takesAdam(arguments);
    super(params, 0, false, options);
  }
}

/**
 * Adam with decoupled weight decay, p -= lr * weightDecay * p (Loshchilov, Hutter: Decoupled weight decay
 * regularization; 2019).
 */
export class AdamW extends AdamBase {
  /** Takes parameters, or groups of them with settings of their own. Default: lr = 0.001, weightDecay = 0.01. */
  constructor(params: Params<AdamOptions>, options: AdamOptions = {}) {
    [params, options = {}] = takesAdamW(arguments);
    super(params, 0.01, true, options);
  }
}
