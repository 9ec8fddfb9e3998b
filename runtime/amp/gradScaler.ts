import { noGrad } from '../autograd/autograd.ts';
import { multiUnscale, updateScale, type ScaleRule } from '../dispatch/multi.ts';
import { ArgumentError, ScalerError } from '../errors.ts';
import { full } from '../tensor/create.ts';
import { getDefaultDevice, type Device } from '../tensor/device.ts';
import { keep, tidyInner } from '../tensor/scope.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';

/** What the scaler needs of an optimizer. */
export interface ScalableOptimizer {
  /** All parameters, with their gradients where they have one. */
  parameters(): Iterable<Tensor>;
  /** Applies the gradients, unless foundInf (one float32 on the device) is not 0. Absent: the scaler waits and decides itself. */
  stepUnless?(foundInf: Tensor): void;
  step(): void;
}

export interface GradScalerOptions extends Partial<ScaleRule> {
  /** The scale to start from. */
  initScale?: number;
  /** false: every method hands through. */
  enabled?: boolean;
  device?: Device;
}

export interface ScalerState {
  scale: number;
  growthTracker: number;
  growthFactor: number;
  backoffFactor: number;
  growthInterval: number;
  skippedSteps: number;
}

/** Of one step. */
export interface StepResult {
  /** Was it skipped, because a gradient was not finite? Reading it waits for the device; training does not have to. */
  readonly skipped: Promise<boolean>;
}

interface Stage {
  name: 'unscaled' | 'stepped';
  foundInf: Tensor;
}

const positive = (value: number, name: string, holds: boolean): number => {
  if (!holds) throw new ArgumentError(`${name} ${value} makes no sense`, { op: 'GradScaler' });
  return value;
};

/**
 * Scales the loss so that small float16 gradients do not vanish, unscales the gradients, skips steps in which one overflowed, and
 * adapts the scale. Scale, tracker and found-inf live on the device: scale, unscale, step and update never wait for it.
 *
 *     scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update();
 */
export class GradScaler {
  readonly enabled: boolean;
  readonly #rule: ScaleRule;
  readonly #scale: Tensor | null;
  readonly #tracker: Tensor | null;
  /** Steps skipped so far, counted on the device. */
  readonly #skipped: Tensor | null;
  #stages = new Map<ScalableOptimizer, Stage>();
  #used = false;

  constructor(options: GradScalerOptions = {}) {
    this.enabled = options.enabled ?? true;
    const {
      growthFactor = 2,
      backoffFactor = 0.5,
      growthInterval = 2000,
      initScale = 65536,
      minScale = 2 ** -14,
      maxScale = 2 ** 24,
    } = options;
    this.#rule = {
      growthFactor: positive(growthFactor, 'growthFactor', growthFactor > 1 && Number.isFinite(growthFactor)),
      backoffFactor: positive(backoffFactor, 'backoffFactor', backoffFactor > 0 && backoffFactor < 1),
      growthInterval: positive(
        growthInterval,
        'growthInterval',
        Number.isInteger(growthInterval) && growthInterval > 0,
      ),
      minScale: positive(minScale, 'minScale', minScale > 0),
      maxScale: positive(maxScale, 'maxScale', maxScale >= minScale),
    };
    positive(initScale, 'initScale', initScale > 0 && Number.isFinite(initScale));
    const device = options.device ?? getDefaultDevice();
    const scalar = (value: number, dtype: 'float32' | 'int32' = 'float32'): Tensor | null =>
      this.enabled ? keep(full([], value, { dtype, device })) : null;
    this.#scale = scalar(initScale);
    this.#tracker = scalar(0, 'int32');
    this.#skipped = scalar(0);
  }

  /** A loss, or several, times the scale. 16-bit tensors with axes become float32 first, so that they cannot overflow. */
  scale(loss: Tensor): Tensor;
  scale(losses: readonly Tensor[]): Tensor[];
  scale(losses: Tensor | readonly Tensor[]): Tensor | Tensor[] {
    if (Array.isArray(losses)) return losses.map(loss => this.scale(loss as Tensor));
    const loss = losses as Tensor;
    if (!isTensor(loss))
      throw new ArgumentError(`${String(loss)} is neither a tensor nor a list of them`, { op: 'GradScaler.scale' });
    if (!this.enabled) return loss;
    this.#used = true;
    const wide = loss.info.bytes === 2 ? loss.to('float32') : loss;
    return wide.mul(this.#scale!);
  }

  /** Divides the gradients of an optimizer's parameters by the scale and notes whether one is not finite. For clipping before step. */
  unscale(optimizer: ScalableOptimizer): void {
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
    this.#stages.set(optimizer, { name: 'unscaled', foundInf: this.#unscaleGradients(optimizer) });
  }

  #unscaleGradients(optimizer: ScalableOptimizer): Tensor {
    const grads: Tensor[] = [];
    for (const parameter of optimizer.parameters()) if (parameter.grad) grads.push(parameter.grad);
    const device = this.#scale!.device;
    const foundInf = keep(full([], 0, { dtype: 'float32', device }));
    noGrad(() => tidyInner(unscaleAll, { grads, scale: this.#scale!, foundInf }));
    return foundInf;
  }

  /**
   * Unscales the gradients (unless unscale() did) and runs optimizer.step(), unless a gradient was not finite. The decision is made
   * on the device; an optimizer without stepUnless is decided on the host, when the device has answered. Without gradients nothing happens.
   */
  step(optimizer: ScalableOptimizer): StepResult {
    if (!this.enabled) {
      optimizer.step();
      return { skipped: Promise.resolve(false) };
    }
    this.#needScale('step');
    if (this.#stages.get(optimizer)?.name === 'stepped')
      throw new ScalerError('step() was already called since the last update()', { op: 'GradScaler.step' });
    if (!this.#stages.has(optimizer)) this.unscale(optimizer);
    const stage = this.#stages.get(optimizer)!;
    stage.name = 'stepped';
    const { foundInf } = stage;
    noGrad(() => this.#skipped!.add_(foundInf));
    if (optimizer.stepUnless) {
      optimizer.stepUnless(foundInf);
      return result(foundInf);
    }
    const decided = foundInf.item().then(found => {
      if (found === 0) optimizer.step();
      return found !== 0;
    });
    return { skipped: decided };
  }

  /** Backs the scale off if a gradient overflowed since the last update, else grows it every growthInterval steps. Or sets it. */
  update(newScale?: number): void {
    if (!this.enabled) return;
    this.#needScale('update');
    if (newScale !== undefined)
      this.#scale!.fill_(positive(newScale, 'newScale', newScale > 0 && Number.isFinite(newScale)));
    else {
      if (this.#stages.size === 0)
        throw new ScalerError('update() without a step() or unscale() since the last one', { op: 'GradScaler.update' });
      const found = [...this.#stages.values()].map(stage => stage.foundInf);
      noGrad(() => tidyInner(updateAll, { found, scale: this.#scale!, tracker: this.#tracker!, rule: this.#rule }));
    }
    this.#stages = new Map();
  }

  #needScale(method: string): void {
    if (!this.#used)
      throw new ScalerError('no loss was scaled yet', {
        op: `GradScaler.${method}`,
        advice: 'Call scaler.scale(loss).backward() first',
      });
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
  loadStateDict(state: ScalerState | null): void {
    if (!this.enabled) return;
    if (state === null)
      throw new ScalerError('the state is empty: it was saved by a disabled scaler', {
        op: 'GradScaler.loadStateDict',
      });
    this.#scale!.fill_(state.scale);
    this.#tracker!.fill_(state.growthTracker);
    this.#skipped!.fill_(state.skippedSteps);
    Object.assign(this.#rule, {
      growthFactor: state.growthFactor,
      backoffFactor: state.backoffFactor,
      growthInterval: state.growthInterval,
    });
  }
}

function unscaleAll({ grads, scale, foundInf }: { grads: readonly Tensor[]; scale: Tensor; foundInf: Tensor }): Tensor {
  // 1 / scale in float64, rounded once.
  const inverse = scale.to('float64').reciprocal().to('float32');
  multiUnscale(grads, inverse, foundInf);
  return foundInf;
}

function updateAll({
  found,
  scale,
  tracker,
  rule,
}: {
  found: readonly Tensor[];
  scale: Tensor;
  tracker: Tensor;
  rule: ScaleRule;
}): Tensor {
  updateScale(
    scale,
    tracker,
    found.reduce((a, b) => a.add(b)),
    rule,
  );
  return scale;
}

/** A result that asks the device only when somebody wants to know. */
function result(foundInf: Tensor): StepResult {
  return {
    get skipped() {
      return foundInf.item().then(found => found !== 0);
    },
  };
}
