import { any, boolean, callable, number } from '../arguments.ts';
import type { ScaleRule } from '../dispatch/multi.ts';
import { ArgumentError } from '../errors.ts';
import type { Device } from '../tensor/device.ts';
import { known } from './options.ts';
import type { ScalableOptimizer } from './scalable.ts';

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
