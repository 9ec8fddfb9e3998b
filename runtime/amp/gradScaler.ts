import { noGrad } from '../autograd/autograd.ts';
import { noteScaledLoss } from '../autograd/underflow.ts';
import type { ScaleRule } from '../dispatch/multi.ts';
import { ArgumentError, GradientOverflowError, ScalerError } from '../errors.ts';
import { shown } from '../shown.ts';
import { full } from '../tensor/create.ts';
import { deviceCode, deviceName, getDefaultDevice, parse, type Device } from '../tensor/device.ts';
import { refuseInGraph } from '../tensor/recording.ts';
import { keep } from '../tensor/scope.ts';
import { format } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { isPlain } from './cast.ts';
import { checkOptions, type OptionsOf } from './options.ts';
import {
  checkOptimizer,
  nameOf,
  stepResult,
  withGradients,
  type ScalableOptimizer,
  type StepResult,
} from './scalable.ts';
import { flagOn, quietly, setWithinBounds, unscaleAll, updateAll, withoutAutocast } from './scalerMath.ts';
import { checkedRule, checkedScale, checkedState, startOf, type ScalerState } from './scalerState.ts';

/** A step that was not applied. */
export interface Skip {
  readonly optimizer: ScalableOptimizer;
  /** Number of the iteration, from 0: how many update() came before. */
  readonly iteration: number;
}

export interface GradScalerOptions extends Partial<ScaleRule> {
  /** The scale to start from; 65536. Bounds that are not given make room for it. */
  initScale?: number;
  /** false: every method hands through. */
  enabled?: boolean;
  device?: Device;
  /** Accept gradients in float16, of parameters that are float16 themselves. They are best kept in float32. */
  float16Gradients?: boolean;
  /** Called after a skipped step, once the device has answered. Reads found-inf of each step without waiting. */
  onSkip?: (skip: Skip) => void;
  /** So many skipped iterations in a row are an error: update() then throws GradientOverflowError. It looks rarely, never more often than it must. */
  maxConsecutiveSkips?: number;
}

/** A loss, or losses in arrays, objects and Maps, as deep as you like. */
export type Losses = Tensor | readonly Losses[] | { readonly [key: string]: Losses } | ReadonlyMap<unknown, Losses>;
/** The same containers; what is in them is at least float32. */
export type Scaled<T> = T extends Tensor
  ? Tensor
  : T extends ReadonlyMap<infer K, infer V>
    ? Map<K, Scaled<V>>
    : { -readonly [K in keyof T]: Scaled<T[K]> };

interface Stage {
  name: 'unscaled' | 'stepped';
  readonly foundInf: Tensor;
  /** Of each gradient, in iterations whose update() may have to name those that overflowed. */
  readonly flags: readonly { parameter: Tensor; flag: Tensor }[];
}

const known: OptionsOf<GradScalerOptions> = {
  op: 'GradScaler',
  types: {
    ...{ initScale: 'number', growthFactor: 'number', backoffFactor: 'number', growthInterval: 'number' },
    ...{ minScale: 'number', maxScale: 'number', maxConsecutiveSkips: 'number' },
    ...{ enabled: 'boolean', float16Gradients: 'boolean', device: 'any', onSkip: 'function' },
  },
  call: "new GradScaler({ device: 'cuda', initScale: 1024 })",
  error: ArgumentError,
};

/**
 * Scales the loss so that small float16 gradients do not vanish, unscales the gradients, skips steps in which one overflowed, and
 * adapts the scale. Scale, tracker and found-inf live on the device: scale, unscale, step and update never wait for it.
 * After a skip the gradients are unscaled, as after any other step.
 *
 *     scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update();
 */
export class GradScaler {
  readonly enabled: boolean;
  readonly #rule: ScaleRule;
  readonly #options: GradScalerOptions;
  readonly #scale: Tensor | null;
  readonly #tracker: Tensor | null;
  /** Steps skipped so far, and iterations skipped in a row, counted on the device. */
  readonly #skipped: Tensor | null;
  readonly #consecutive: Tensor | null;
  #stages = new Map<ScalableOptimizer, Stage>();
  #used = false;
  #iteration = 0;
  /** The first iteration in which maxConsecutiveSkips can be reached. */
  #nextLook: number;

  constructor(options: GradScalerOptions = {}) {
    checkOptions(options, known);
    this.enabled = options.enabled ?? true;
    this.#options = options;
    const { scale, rule } = startOf(options);
    this.#rule = rule;
    const { device = getDefaultDevice(), maxConsecutiveSkips: limit } = options;
    (this.enabled ? deviceCode : parse)(device, 'GradScaler');
    if (limit !== undefined && !(Number.isInteger(limit) && limit > 0))
      throw new ArgumentError(`maxConsecutiveSkips ${limit} makes no sense`, {
        op: 'GradScaler',
        advice: 'It is a whole number above 0',
      });
    this.#nextLook = limit ?? Infinity;
    const scalar = (value: number, dtype: 'float32' | 'int32' = 'float32'): Tensor | null =>
      this.enabled ? keep(full([], value, { dtype, device })) : null;
    this.#scale = scalar(scale);
    this.#tracker = scalar(0, 'int32');
    this.#skipped = scalar(0);
    this.#consecutive = scalar(0);
  }

  /**
   * Losses times the scale, in containers like the given ones. 16-bit tensors become float32 first, so that they cannot overflow.
   * Disabled, it hands its argument through.
   */
  scale<T extends Losses>(losses: T): Scaled<T> {
    return (this.enabled ? withoutAutocast(own => this.#scaled(own, []), losses) : losses) as never;
  }
  #scaled(losses: Losses, around: readonly Losses[]): Losses {
    if (isTensor(losses)) return this.#scaledLoss(losses);
    const inside = (loss: unknown): Losses => this.#scaled(loss as Losses, [...around, losses]);
    if (around.includes(losses))
      throw new ArgumentError('a container holds itself', { op: 'GradScaler.scale', advice: 'Pass each loss once' });
    if (Array.isArray(losses)) return losses.map(inside);
    if (losses instanceof Map) return new Map([...losses].map(([key, loss]) => [key, inside(loss)]));
    if (isPlain(losses)) return Object.fromEntries(Object.entries(losses).map(([key, loss]) => [key, inside(loss)]));
    throw new ArgumentError(`${shown(losses)} is neither a loss nor a container of them`, {
      op: 'GradScaler.scale',
      advice: 'Pass a tensor, or tensors in arrays, plain objects and Maps',
    });
  }
  #scaledLoss(loss: Tensor): Tensor {
    this.#used = true;
    noteScaledLoss();
    const wide = loss.info.bytes === 2 ? loss.to('float32') : loss;
    return wide.mul(this.#scaleOn(loss.storage.device));
  }
  #scaleOn(device: number): Tensor {
    return this.#scale!.storage.device === device ? this.#scale! : noGrad(() => this.#scale!.to(deviceName(device)));
  }

  /**
   * Divides the gradients of an optimizer's parameters by the scale and notes whether one is not finite, before or after. For
   * clipping before step.
   * @throws ScalerError when called twice, after step(), before the first scale(), or for float16 gradients; nothing is changed then
   */
  unscale(optimizer: ScalableOptimizer): void {
    checkOptimizer(optimizer, 'GradScaler.unscale');
    if (!this.enabled) return;
    this.#needScale('unscale');
    const stage = this.#stages.get(optimizer);
    if (stage !== undefined)
      throw new ScalerError(
        stage.name === 'unscaled'
          ? 'the gradients were already unscaled since the last update()'
          : 'unscale() after step()',
        {
          op: 'GradScaler.unscale',
          advice: 'Call unscale() once, after all backward passes of a step, then step(), then update()',
        },
      );
    const parameters = withGradients(optimizer);
    for (const parameter of parameters) this.#checkGradient(optimizer, parameter);
    const named = this.#iteration + 1 >= this.#nextLook;
    const flags = named ? parameters.map(parameter => ({ parameter, flag: flagOn(parameter.device) })) : [];
    const foundInf = flagOn(this.#scale!.device);
    quietly(unscaleAll, {
      grads: parameters.map(parameter => parameter.grad!),
      scale: this.#scale!,
      foundInf,
      flags: named ? flags.map(({ flag }) => flag) : null,
    });
    this.#stages.set(optimizer, { name: 'unscaled', foundInf, flags });
  }

  #checkGradient(optimizer: ScalableOptimizer, parameter: Tensor): void {
    const { dtype, shape } = parameter.grad!;
    if (dtype !== 'float16' || this.#options.float16Gradients) return;
    throw new ScalerError(`the gradient of ${nameOf(optimizer, parameter)} is float16: unscaled it would underflow`, {
      op: 'GradScaler.unscale',
      shapes: [shape],
      dtypes: [dtype],
      advice:
        'Keep the parameters in float32 and let autocast convert them, or construct the scaler with { float16Gradients: true }',
    });
  }

  /**
   * Unscales the gradients (unless unscale() did) and runs optimizer.step(), unless a gradient was not finite. The decision is made
   * on the device. An optimizer without stepUnless is decided on the host: then await the result, before the gradients change.
   * Without gradients nothing happens, and the step counts as applied.
   */
  step(optimizer: ScalableOptimizer, ...rest: never[]): StepResult & PromiseLike<StepResult> {
    if (rest.length > 0)
      throw new ScalerError('step() takes no closure: it would run with scaled gradients', {
        op: 'GradScaler.step',
        advice: 'Compute the loss, scale it and call backward() before step()',
      });
    checkOptimizer(optimizer, 'GradScaler.step');
    if (!this.enabled) {
      optimizer.step();
      return stepResult(() => Promise.resolve(false), null);
    }
    this.#needScale('step');
    if (this.#stages.get(optimizer)?.name === 'stepped')
      throw new ScalerError('step() was already called since the last update()', { op: 'GradScaler.step' });
    if (!this.#stages.has(optimizer)) this.unscale(optimizer);
    const stage = this.#stages.get(optimizer)!;
    stage.name = 'stepped';
    return this.#stepOn(optimizer, stage.foundInf);
  }

  #stepOn(optimizer: ScalableOptimizer, foundInf: Tensor): StepResult & PromiseLike<StepResult> {
    const { onSkip } = this.#options;
    if (onSkip || !optimizer.stepUnless)
      refuseInGraph(
        'GradScaler.step',
        `${onSkip ? 'onSkip' : 'an optimizer without stepUnless'} waits for the device, which a replay does not`,
        'Use a built-in optimizer, and ask skippedSteps() after a replay instead of onSkip',
      );
    quietly(found => this.#skipped!.add_(found), foundInf);
    const iteration = this.#iteration;
    const answer = async (): Promise<boolean> => (await foundInf.item()) !== 0;
    optimizer.stepUnless?.(foundInf);
    if (optimizer.stepUnless && !onSkip) return stepResult(answer, null);
    const decided = answer().then(skipped => {
      if (skipped) onSkip?.({ optimizer, iteration });
      else if (!optimizer.stepUnless) optimizer.step();
      return skipped;
    });
    return stepResult(() => decided, optimizer.stepUnless ? null : decided);
  }

  /**
   * Backs the scale off if a gradient overflowed since the last update, else grows it every growthInterval steps. Or sets it: a
   * number must lie within the bounds; a tensor whose value does not, or is NaN, changes nothing, for nobody waits for it here.
   * @throws GradientOverflowError after maxConsecutiveSkips skipped iterations, with the names of the parameters
   */
  update(newScale?: number | Tensor): void {
    if (!this.enabled) return;
    this.#needScale('update');
    if (this.#options.maxConsecutiveSkips !== undefined)
      refuseInGraph(
        'GradScaler.update',
        'maxConsecutiveSkips reads the device now and then, which a replay does not',
        'Construct the scaler without it, and ask skippedSteps() now and then',
      );
    const stages = this.#stages;
    if (newScale !== undefined) this.#setScale(newScale);
    else {
      if (stages.size === 0)
        throw new ScalerError('update() without a step() or unscale() since the last one', { op: 'GradScaler.update' });
      const found = [...stages.values()].map(stage => stage.foundInf);
      const state = { scale: this.#scale!, tracker: this.#tracker!, consecutive: this.#consecutive! };
      quietly(updateAll, { found, ...state, rule: this.#rule });
    }
    this.#stages = new Map();
    this.#iteration++;
    if (this.#iteration >= this.#nextLook) this.#lookForOverflows(stages);
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
        `${isTensor(scale) ? `a tensor ${format(scale.shape)} on ${scale.device}` : shown(scale)} is no new scale`,
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
    const names = [...stages].flatMap(([optimizer, { flags }]) =>
      flags.filter(({ flag }) => flag.itemSync() !== 0).map(({ parameter }) => nameOf(optimizer, parameter)),
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

  /** The scale is multiplied by it after growthInterval steps without an overflow. */
  get growthFactor(): number {
    return this.#rule.growthFactor;
  }
  set growthFactor(growthFactor: number) {
    Object.assign(this.#rule, checkedRule({ ...this.#rule, growthFactor }));
  }
  /** The scale is multiplied by it after an overflow. */
  get backoffFactor(): number {
    return this.#rule.backoffFactor;
  }
  set backoffFactor(backoffFactor: number) {
    Object.assign(this.#rule, checkedRule({ ...this.#rule, backoffFactor }));
  }
  /** In iterations. */
  get growthInterval(): number {
    return this.#rule.growthInterval;
  }
  set growthInterval(growthInterval: number) {
    Object.assign(this.#rule, checkedRule({ ...this.#rule, growthInterval }));
  }

  /** The scale now; 1 when disabled. */
  getScale = async (): Promise<number> => (this.#scale ? this.#scale.item() : 1);
  /** getScale(), waiting for the device. */
  getScaleSync = (): number => this.#scale?.itemSync() ?? 1;
  /** Steps skipped since the start. */
  skippedSteps = async (): Promise<number> => (this.#skipped ? this.#skipped.item() : 0);
  /** skippedSteps(), waiting for the device. */
  skippedStepsSync = (): number => this.#skipped?.itemSync() ?? 0;

  /** Everything a resumed training needs; null when disabled. Call it after update(). Waits for the device. */
  stateDict(): ScalerState | null {
    if (!this.enabled) return null;
    const { growthFactor, backoffFactor, growthInterval } = this.#rule;
    const [scale, growthTracker] = [this.#scale!.itemSync(), this.#tracker!.itemSync()];
    return { scale, growthTracker, growthFactor, backoffFactor, growthInterval, skippedSteps: this.skippedStepsSync() };
  }
  /** @throws ScalerError for a state with missing or absurd fields; nothing is changed then */
  loadStateDict(state: ScalerState | null): void {
    if (!this.enabled) return;
    const { scale, growthTracker, skippedSteps, ...rule } = checkedState(state, this.#rule);
    this.#scale!.fill_(scale);
    this.#tracker!.fill_(growthTracker);
    this.#skipped!.fill_(skippedSteps);
    this.#consecutive!.fill_(0);
    this.#nextLook = this.#iteration + (this.#options.maxConsecutiveSkips ?? Infinity);
    Object.assign(this.#rule, rule);
  }
}
