import type { ScaleRule } from '../dispatch/multi.ts';
import { ArgumentError, CastorError, ScalerError } from '../errors.ts';

/** What a GradScaler saves. */
export interface ScalerState {
  scale: number;
  growthTracker: number;
  growthFactor: number;
  backoffFactor: number;
  growthInterval: number;
  skippedSteps: number;
}

const whole = (value: number, least: number): boolean => Number.isInteger(value) && value >= least;
/** Its inverse is a finite float32, and so is it. */
const invertible = (value: number): boolean => value >= 2 ** -126 && value < 2 ** 126;

function need(value: number, name: string, holds: boolean): number {
  if (typeof value !== 'number' || !holds)
    throw new ArgumentError(`${name} ${value} makes no sense`, { op: 'GradScaler' });
  return value;
}

/** @throws ArgumentError for a scale that is not positive, or so large or small that its inverse is no float32 */
export const checkedScale = (scale: number, name: string): number => need(scale, name, invertible(scale));

/** A rule with defaults for what is left out. @throws ArgumentError for values that make no sense */
export function checkedRule(rule: Partial<ScaleRule>): ScaleRule {
  const {
    growthFactor = 2,
    backoffFactor = 0.5,
    growthInterval = 2000,
    minScale = 2 ** -14,
    maxScale = 2 ** 24,
  } = rule;
  return {
    growthFactor: need(growthFactor, 'growthFactor', growthFactor > 1 && Number.isFinite(growthFactor)),
    backoffFactor: need(backoffFactor, 'backoffFactor', backoffFactor > 0 && backoffFactor < 1),
    growthInterval: need(growthInterval, 'growthInterval', whole(growthInterval, 1)),
    minScale: checkedScale(minScale, 'minScale'),
    maxScale: need(checkedScale(maxScale, 'maxScale'), 'maxScale', maxScale >= minScale),
  };
}

/** @throws ScalerError for a state that was saved by a disabled scaler, lacks a field, or holds a value that makes no sense */
export function checkedState(state: ScalerState | null, rule: ScaleRule): ScalerState {
  const op = 'GradScaler.loadStateDict';
  if (state === null || typeof state !== 'object' || Object.keys(state).length === 0)
    throw new ScalerError('the state is empty: it was saved by a disabled scaler', { op });
  const { scale, growthTracker, growthFactor, backoffFactor, growthInterval, skippedSteps = 0 } = state;
  try {
    need(growthFactor, 'growthFactor', true);
    need(backoffFactor, 'backoffFactor', true);
    need(growthInterval, 'growthInterval', true);
    checkedRule({ ...rule, growthFactor, backoffFactor, growthInterval });
    checkedScale(scale, 'scale');
    need(growthTracker, 'growthTracker', whole(growthTracker, 0));
    need(skippedSteps, 'skippedSteps', whole(skippedSteps, 0));
  } catch (error) {
    if (!(error instanceof CastorError)) throw error;
    throw new ScalerError(error.message.replace(/^GradScaler: /, ''), { op, advice: 'Nothing was loaded' });
  }
  return { scale, growthTracker, growthFactor, backoffFactor, growthInterval, skippedSteps };
}
