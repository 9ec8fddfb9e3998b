import { any, boolean, callable, number } from '../arguments.ts';
import type { ScaleRule } from '../dispatch/multi.ts';
import { ArgumentError } from '../errors.ts';
import type { Device } from '../tensor/device.ts';
import { known } from './options.ts';
import type { ScalableOptimizer } from './scalable.ts';

/** A step that was not applied. */
export interface Skip {
  /** The optimizer whose step was not applied. */
  readonly optimizer: ScalableOptimizer;
  /** The number of the iteration, which is the number of update() calls before it. */
  readonly iteration: number;
}

/** The options of a GradScaler. */
export interface GradScalerOptions {
  /** The factor by which the scale grows after growthInterval steps in a row that were not skipped. Default: 2. */
  growthFactor?: number;
  /** The factor by which the scale falls after a skipped step. Default: 0.5. */
  backoffFactor?: number;
  /** The number of steps in a row that were not skipped after which the scale grows. Default: 2000. */
  growthInterval?: number;
  /** The least scale. Default: 2^-14, or initScale if that is less. */
  minScale?: number;
  /** The largest scale. Default: 2^24, or initScale if that is more. */
  maxScale?: number;
  /** The first scale; default 65536. A bound that is not given is moved if this lies outside of it. */
  initScale?: number;
  /** With false, scale() returns the loss unchanged, step() calls optimizer.step(), and all else does nothing. Default: true. */
  enabled?: boolean;
  /** The device of the losses and gradients. Default: the default device. */
  device?: Device;
  /** Accept float16 gradients, which float16 parameters have. Default: false, because such parameters are best kept in float32. */
  float16Gradients?: boolean;
  /** Called after a skipped step, as soon as the host knows of it. The host reads the found-inf flag of each step asynchronously. */
  onSkip?: (skip: Skip) => void;
  /**
   * The number of consecutive skipped iterations after which update() throws GradientOverflowError. The count is read from the device
   * as rarely as possible.
   */
  maxConsecutiveSkips?: number;
}

const call = "new GradScaler({ device: 'cuda', initScale: 1024 })";
export const takesOptions = known<GradScalerOptions>(
  { op: 'GradScaler', call, error: ArgumentError },
  {
    ...{ initScale: number, growthFactor: number, backoffFactor: number, growthInterval: number },
    ...{ minScale: number, maxScale: number, maxConsecutiveSkips: number },
    ...{ enabled: boolean, float16Gradients: boolean, device: any, onSkip: callable },
  },
);
