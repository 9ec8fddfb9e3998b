import { any, boolean, checked, checkMethods, optional, options, rest, signature } from '../arguments.ts';
import { noGrad } from '../autograd/autograd.ts';
import { noteLossScale } from '../autograd/node.ts';
import { atOnce, isThenable } from '../context.ts';
import type { ScaleRule } from '../dispatch/multi.ts';
import { ArgumentError, GradientOverflowError, ScalerError } from '../errors.ts';
import { shown } from '../shown.ts';
import { full } from '../tensor/create.ts';
import { deviceCode, deviceName, getDefaultDevice, parse } from '../tensor/device.ts';
import { LossScale, startTracking } from '../tensor/lossScale.ts';
import { currentCapture, holdInGraph, refuseInGraph } from '../tensor/graphCapture.ts';
import { keep } from '../tensor/scope.ts';
import { format } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { refuseScaled } from './carried.ts';
import { mapLosses, type Losses, type Scaled } from './losses.ts';
import { noteDivided, planOf } from './unscaling.ts';
import { takesOptions, type GradScalerOptions } from './scalerOptions.ts';
import {
  checkOptimizer,
  nameOf,
  stepResult,
  stepsOnDevice,
  withoutScaler,
  type ScalableOptimizer,
  type StepResult,
} from './scalable.ts';
import { flagOn, quietly, setWithinBounds, unscaleAll, updateAll, withoutAutocast } from './scalerMath.ts';
import { overflowed, type Stage } from './scalerStage.ts';
import {
  checkedRule,
  checkedScale,
  checkedState,
  startOf,
  type PyTorchScalerState,
  type ScalerState,
} from './scalerState.ts';

const takesScaler = signature('GradScaler', { options: optional(any) });
/**
 * Scales the loss so that small float16 gradients do not vanish, unscales the gradients, skips steps in which one overflowed, and
 * adapts the scale. Scale, growth tracker and found-inf live on the device: scale, unscale, step and update never wait for it. After a skip
 * the gradients are unscaled, as after any other step. PyTorch: `torch.amp.GradScaler`.
 *
 *     scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update();
 */
export class GradScaler {
  /** Is the scaler enabled? A disabled one returns losses unchanged and lets every step run. PyTorch: `is_enabled()`. */
  readonly enabled: boolean;
  readonly #rule: ScaleRule;
  readonly #options: GradScalerOptions;
  readonly #scale: Tensor | null;
  readonly #growthTracker: Tensor | null;
  /** The numbers of steps skipped so far and of iterations skipped in a row, counted on the device. */
  readonly #skipped: Tensor | null;
  readonly #consecutive: Tensor | null;
  /** The scale that gradients carry until the next update(). */
  #lossScale = new LossScale(this);
  #stages = new Map<ScalableOptimizer, Stage>();
  /** The number of steps for which the host does not know yet whether they are skipped, or that an async optimizer has not finished. */
  #pending = 0;
  #used = false;
  #iteration = 0;
  /** The number of the first iteration in which maxConsecutiveSkips can have been reached. */
  #nextLook: number;

  constructor(options: GradScalerOptions = {}) {
    [options = {}] = takesScaler(arguments);
    options = takesOptions(options);
    this.enabled = options.enabled ?? true;
    this.#options = options;
    const { scale, rule } = startOf(options);
    this.#rule = rule;
    const { device = getDefaultDevice(), maxConsecutiveSkips: limit } = options;
    (this.enabled ? deviceCode : parse)(device, 'GradScaler');
    if (limit !== undefined && !(Number.isInteger(limit) && limit > 0))
      throw new ArgumentError(`maxConsecutiveSkips ${limit} is not a whole number above 0`, {
        op: 'GradScaler',
        advice: 'Leave it out for no limit',
      });
    this.#nextLook = limit ?? Infinity;
    const scalar = (value: number, dtype: 'float32' | 'int32' = 'float32'): Tensor | null =>
      this.enabled ? atOnce(() => keep(full([], value, { dtype, device }))) : null;
    [this.#scale, this.#growthTracker] = [scalar(scale), scalar(0, 'int32')];
    this.#skipped = scalar(0);
    this.#consecutive = scalar(0);
    if (this.enabled) startTracking();
  }

  /**
   * Returns the losses times the scale, in containers like the given ones. 16-bit losses become float32 first, so that they cannot
   * overflow. A disabled scaler returns its argument.
   */
  scale<T extends Losses>(losses: T): Scaled<T> {
    return (this.enabled ? mapLosses(losses, loss => this.#scaled(loss)) : losses) as never;
  }
  #scaled(loss: Tensor): Tensor {
    const scale = this.#scaleOn(loss.storage.device);
    const scaled = withoutAutocast(own => (own.info.bytes === 2 ? own.to('float32') : own).mul(scale), loss);
    noteLossScale(scaled, this.#lossScale);
    this.#used = true;
    return scaled;
  }
  #scaleOn(device: number): Tensor {
    return this.#scale!.to(deviceName(device));
  }

  /**
   * Divides the gradients of an optimizer's parameters by the scale and notes whether any of them is infinite or NaN, before or after
   * the division. Call it to clip gradients before step(). A parameter that two optimizers share is divided once. Pass { byHand: true }
   * if you have divided the gradients yourself: they are then only checked. Pass { byHand: false } if you have written to gradients
   * without dividing them: it turns the warning about that off.
   * @throws ScalerError when called twice, after step(), before the first scale(), for float16 gradients, and for gradients that do not
   * carry the scale of this iteration; nothing is changed then
   */
  unscale(optimizer: ScalableOptimizer, options: { byHand?: boolean } = {}): void {
    checkOptimizer(optimizer, 'GradScaler.unscale');
    if (!this.enabled) return;
    this.#needScale('unscale');
    this.#refuseSecond(optimizer);
    const { parameters, divide, check, foreign } = planOf(optimizer, {
      lossScale: this.#lossScale,
      byHand: options.byHand,
      float16Gradients: this.#options.float16Gradients ?? false,
    });
    const capture = currentCapture();
    const named = capture === null && this.#iteration + 1 >= this.#nextLook;
    const flags = named ? parameters.map(parameter => ({ parameter, flag: flagOn(parameter.grad!.device) })) : [];
    const foundInf = flagOn(this.#scale!.device);
    quietly(unscaleAll, {
      divide,
      check,
      scale: this.#scale!,
      foundInf,
      flags: named ? new Map(flags.map(({ parameter, flag }) => [parameter.grad!, flag])) : null,
      divided: grads => noteDivided(grads, foreign, this.#lossScale),
    });
    // Several gradients may share memory, which is divided once: the division is noted for each of them.
    if (divide.length + check.length < parameters.length)
      noteDivided(
        parameters.map(parameter => parameter.grad!),
        foreign,
        this.#lossScale,
      );
    const grads = capture && parameters.map(parameter => parameter.grad!);
    this.#stages.set(optimizer, { name: 'unscaled', counted: false, foundInf, flags, parameters, grads });
  }

  #refuseSecond(optimizer: ScalableOptimizer): void {
    const stage = this.#stages.get(optimizer);
    if (stage === undefined) return;
    const twice = stage.name === 'unscaled';
    throw new ScalerError(
      twice
        ? 'the gradients of this optimizer were already unscaled since the last update()'
        : 'unscale() was called after step()',
      {
        op: 'GradScaler.unscale',
        advice: 'Call unscale() once, after all backward passes of a step, then step(), then update()',
      },
    );
  }

  /**
   * Unscales the gradients (unless unscale() did) and runs optimizer.step(), unless a gradient is infinite or NaN. For the built-in
   * optimizers the device decides. For an optimizer that defines its own step(), the host has to wait for the answer: await the result
   * before the gradients change. Without gradients nothing happens, and the step counts as applied.
   */
  step(optimizer: ScalableOptimizer, ...rest: never[]): StepResult & PromiseLike<StepResult> {
    if (rest.some(value => value !== undefined))
      throw new ScalerError('step() takes no closure: it would run with scaled gradients', {
        op: 'GradScaler.step',
        advice: 'Compute the loss, scale it and call backward() before step()',
      });
    checkOptimizer(optimizer, 'GradScaler.step');
    if (!this.enabled) return withoutScaler(optimizer);
    this.#needScale('step');
    const before = this.#stages.get(optimizer);
    if (before?.name === 'stepped')
      throw new ScalerError('step() was already called for this optimizer since the last update()', {
        op: 'GradScaler.step',
        advice: 'Call update() once per iteration, after the steps of all optimizers',
      });
    if (before === undefined) this.unscale(optimizer);
    else this.#refuseAdded(optimizer, before.parameters);
    const stage = this.#stages.get(optimizer)!;
    stage.name = 'stepped';
    try {
      return this.#stepOn(optimizer, stage);
    } catch (error) {
      stage.name = 'unscaled';
      throw error;
    }
  }

  /** @throws ScalerError if backward has added to gradients since they were unscaled */
  #refuseAdded(optimizer: ScalableOptimizer, parameters: readonly Tensor[]): void {
    const advice = 'Call unscale() only after all backward passes of an iteration';
    refuseScaled('GradScaler.step', parameters, parameter => nameOf(optimizer, parameter), advice);
  }

  #stepOn(optimizer: ScalableOptimizer, stage: Stage): StepResult & PromiseLike<StepResult> {
    const { onSkip } = this.#options;
    const { foundInf } = stage;
    const onDevice = stepsOnDevice(optimizer);
    if (!onDevice)
      refuseInGraph(
        'GradScaler.step',
        'an optimizer that defines its own step() waits for the device, which a replay cannot do',
        'Use a built-in optimizer',
      );
    if (!stage.counted) quietly(found => this.#skipped!.add_(found), foundInf);
    stage.counted = true;
    const answer = async (): Promise<boolean> => (await foundInf.item()) !== 0;
    const told = async (): Promise<boolean> => {
      const iteration = this.#iteration;
      const skipped = await answer();
      if (skipped) await onSkip?.({ optimizer, iteration });
      return skipped;
    };
    if (onDevice) {
      const applied: unknown = optimizer.stepUnless!(foundInf);
      const capture = currentCapture();
      if (onSkip && capture) {
        holdInGraph(capture, foundInf);
        capture.after.push(() => void told());
      }
      const decided = onSkip && !capture ? told() : null;
      return stepResult(() => decided ?? answer(), isThenable(applied) ? this.#awaited(applied, stage) : null);
    }
    const decided = told().then(async skipped => {
      if (!skipped) await optimizer.step();
      return skipped;
    });
    const waited = this.#awaited(decided, stage);
    return stepResult(() => waited, waited);
  }

  /** Counts a decision as pending until it is known, so that update() refuses to run. After a failure step() may be called again. */
  async #awaited<T>(decision: PromiseLike<T>, stage: Stage): Promise<T> {
    this.#pending++;
    try {
      return await decision;
    } catch (error) {
      stage.name = 'unscaled';
      throw error;
    } finally {
      this.#pending--;
    }
  }

  /**
   * Lowers the scale if a gradient overflowed since the last update, else raises it every growthInterval updates. Given `newScale`, sets
   * the scale instead: a number must lie within the bounds; a tensor whose value is NaN or out of bounds changes nothing, because its
   * value is not read by the host.
   * @throws ScalerError while a step is not decided yet, GradientOverflowError after maxConsecutiveSkips skipped iterations, with the
   * names of the parameters
   */
  update(newScale?: number | Tensor): void {
    if (!this.enabled) return;
    this.#needScale('update');
    if (this.#pending > 0)
      throw new ScalerError('an optimizer that defines its own step() has not finished its step yet', {
        op: 'GradScaler.update',
        advice: 'Wait for it first: await scaler.step(optimizer)',
      });
    const stages = this.#stages;
    if (newScale !== undefined) this.#setScale(newScale);
    else {
      if (stages.size === 0)
        throw new ScalerError('update() without a step() or unscale() since the last one', { op: 'GradScaler.update' });
      const found = [...stages.values()].map(stage => stage.foundInf);
      const state = { scale: this.#scale!, growthTracker: this.#growthTracker!, consecutive: this.#consecutive! };
      quietly(updateAll, { found, ...state, rule: this.#rule });
    }
    this.#renew();
    const capture = currentCapture();
    if (capture === null) this.#endIteration(stages);
    else capture.after.push(() => this.#endIteration(stages));
  }
  /** Runs at the end of update(), or of each replay of it. */
  #endIteration(stages: ReadonlyMap<ScalableOptimizer, Stage>): void {
    this.#iteration++;
    if (this.#iteration >= this.#nextLook) this.#lookForOverflows(stages);
  }

  /** Starts an iteration: gradients of losses that are scaled from now on carry a new LossScale. */
  #renew(): void {
    this.#lossScale = new LossScale(this);
    this.#stages = new Map();
  }

  #setScale(scale: number | Tensor): void {
    const op = 'GradScaler.update';
    if (typeof scale === 'number') {
      this.#scale!.fill_(checkedScale(scale, 'newScale', this.#rule, op));
      return;
    }
    const { device } = this.#scale!;
    if (!isTensor(scale) || scale.numel !== 1 || scale.requiresGrad || scale.device !== device)
      throw new ArgumentError(
        `${isTensor(scale) ? `a tensor ${format(scale.shape)} on ${scale.device}` : shown(scale)} cannot be the new scale`,
        {
          op,
          advice: `Pass a number, or a tensor of one element on ${device} that needs no gradient`,
        },
      );
    quietly(setWithinBounds, { scale: this.#scale!, to: scale, rule: this.#rule });
  }

  #lookForOverflows(stages: ReadonlyMap<ScalableOptimizer, Stage>): void {
    const limit = this.#options.maxConsecutiveSkips!;
    const skips = this.#consecutive!.itemSync();
    this.#nextLook = this.#iteration + Math.max(1, limit - skips);
    if (skips < limit) return;
    const names = [...stages].flatMap(([optimizer, stage]) =>
      overflowed(stage).map(parameter => nameOf(optimizer, parameter)),
    );
    throw new GradientOverflowError(
      `${skips} iterations in a row were skipped; not finite are the gradients of ${names.join(', ')}`,
      names,
    );
  }

  #needScale(method: string): void {
    if (!this.#used)
      throw new ScalerError('no loss was scaled yet', {
        op: `GradScaler.${method}`,
        advice: 'Call scaler.scale(loss).backward() first',
      });
  }

  /** The factor by which the scale grows after growthInterval steps without an overflow. */
  get growthFactor(): number {
    return this.#rule.growthFactor;
  }
  set growthFactor(growthFactor: number) {
    Object.assign(this.#rule, checkedRule({ ...this.#rule, growthFactor }));
  }
  /** The factor by which the scale falls after an overflow. */
  get backoffFactor(): number {
    return this.#rule.backoffFactor;
  }
  set backoffFactor(backoffFactor: number) {
    Object.assign(this.#rule, checkedRule({ ...this.#rule, backoffFactor }));
  }
  /** The number of iterations in a row without an overflow after which the scale grows. */
  get growthInterval(): number {
    return this.#rule.growthInterval;
  }
  set growthInterval(growthInterval: number) {
    Object.assign(this.#rule, checkedRule({ ...this.#rule, growthInterval }));
  }

  /** Returns the scale; 1 if the scaler is disabled. */
  getScale = checked('GradScaler.getScale', {}, async (): Promise<number> => (this.#scale ? this.#scale.item() : 1));
  /** Returns the scale like getScale(), but waits for the device. */
  getScaleSync = checked('GradScaler.getScaleSync', {}, (): number => this.#scale?.itemSync() ?? 1);
  /** Returns the number of steps skipped since the start. */
  skippedSteps = checked('GradScaler.skippedSteps', {}, async (): Promise<number> =>
    this.#skipped ? this.#skipped.item() : 0,
  );
  /** Returns the number of skipped steps like skippedSteps(), but waits for the device. */
  skippedStepsSync = checked('GradScaler.skippedStepsSync', {}, (): number => this.#skipped?.itemSync() ?? 0);

  /** Returns all that a resumed training needs; null if the scaler is disabled. Call it after update(). Waits for the device. */
  stateDict(): ScalerState | null {
    if (!this.enabled) return null;
    const { growthFactor, backoffFactor, growthInterval } = this.#rule;
    const [scale, growthTracker] = [this.#scale!.itemSync(), this.#growthTracker!.itemSync()];
    return { scale, growthTracker, growthFactor, backoffFactor, growthInterval, skippedSteps: this.skippedStepsSync() };
  }
  /**
   * Loads a state that stateDict() returned, or the state dict of PyTorch's GradScaler. A bound (minScale, maxScale) that the
   * constructor was not given is moved if the loaded scale lies outside of it.
   * @throws ScalerError for a state with missing or unknown fields or values out of range; nothing is changed then
   */
  loadStateDict(state: ScalerState | PyTorchScalerState | null): void {
    if (!this.enabled) return;
    const { scale, growthTracker, skippedSteps, ...rule } = checkedState(state, this.#rule, this.#options);
    this.#scale!.fill_(scale);
    this.#growthTracker!.fill_(growthTracker);
    this.#skipped!.fill_(skippedSteps);
    this.#consecutive!.fill_(0);
    this.#nextLook = this.#iteration + (this.#options.maxConsecutiveSkips ?? Infinity);
    Object.assign(this.#rule, rule);
    this.#renew();
  }
}
checkMethods(GradScaler, {
  scale: { losses: optional(any) },
  unscale: { optimizer: optional(any), options: options({ byHand: boolean }) },
  step: { optimizer: optional(any), rest: rest(any) },
  update: { newScale: optional(any) },
  stateDict: {},
  loadStateDict: { state: optional(any) },
});
