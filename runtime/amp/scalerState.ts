import type { ScaleRule } from '../dispatch/multi.ts';
import { ArgumentError, ScalerError } from '../errors.ts';
import { cut, didYouMean, shown } from '../shown.ts';

/** The state of a GradScaler, as stateDict() returns it. */
export interface ScalerState {
  /** The factor of losses. */
  scale: number;
  /** The number of steps in a row that were not skipped. */
  growthTracker: number;
  /** See GradScalerOptions. */
  growthFactor: number;
  /** See GradScalerOptions. */
  backoffFactor: number;
  /** See GradScalerOptions. */
  growthInterval: number;
  /** The number of all steps that were skipped. */
  skippedSteps: number;
}

/** The allowed values of a field, and for its error the words for them (`wanted`) and an advice. */
interface Check {
  readonly holds: (value: number) => boolean;
  readonly wanted: string;
  readonly advice: string;
}
const whole = (least: number, most: number, advice: string): Check => ({
  holds: value => Number.isInteger(value) && value >= least && value <= most,
  wanted: `a whole number from ${least} to ${most}`,
  advice,
});
const between = (least: number, most: number): Check => ({
  holds: value => value >= least && value <= most,
  wanted: `a number from ${least} to ${most}`,
  advice: 'A scale and its inverse must be normal float32 numbers, and minScale must not be above maxScale',
});
/** The check of a scale: the number and its inverse must be normal float32 numbers. */
const invertible = between(2 ** -126, 2 ** 126);
/** Trackers are int32 on the device, counts of skips float32. */
const checks: Readonly<Record<Exclude<keyof ScalerState, 'scale'>, Check>> = {
  growthFactor: {
    holds: value => value > 1 && Number.isFinite(value),
    wanted: 'a finite number above 1',
    advice: 'The default is 2',
  },
  backoffFactor: {
    holds: value => value > 0 && value < 1,
    wanted: 'a number above 0 and below 1',
    advice: 'The default is 0.5',
  },
  growthInterval: whole(1, 2 ** 31 - 1, 'The default is 2000'),
  growthTracker: whole(0, 2 ** 31 - 1, 'It counts the steps since the scale last grew'),
  skippedSteps: whole(0, 2 ** 24, 'It counts all steps that were skipped'),
};
const withinBounds = ({ minScale, maxScale }: ScaleRule): Check => ({
  ...between(minScale, maxScale),
  wanted: `a number from ${minScale} to ${maxScale}, the bounds of this scaler`,
  advice: 'Construct the scaler with another minScale or maxScale',
});

const holds = (value: unknown, check: Check): value is number => typeof value === 'number' && check.holds(value);
const refusal = (name: string, value: unknown, { wanted }: Check): string => `${name} ${shown(value)} is not ${wanted}`;

function need(value: unknown, name: string, check: Check, op = 'GradScaler'): number {
  if (!holds(value, check)) throw new ArgumentError(refusal(name, value, check), { op, advice: check.advice });
  return value;
}

/** A rule with defaults for what is left out; the bounds are given. @throws ArgumentError for values that make no sense */
export function checkedRule(rule: Partial<ScaleRule> & Pick<ScaleRule, 'minScale' | 'maxScale'>): ScaleRule {
  const { growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000, minScale, maxScale } = rule;
  return {
    growthFactor: need(growthFactor, 'growthFactor', checks.growthFactor),
    backoffFactor: need(backoffFactor, 'backoffFactor', checks.backoffFactor),
    growthInterval: need(growthInterval, 'growthInterval', checks.growthInterval),
    minScale: need(minScale, 'minScale', invertible),
    maxScale: need(maxScale, 'maxScale', between(minScale, 2 ** 126)),
  };
}

/** @throws ArgumentError for a scale outside the bounds of the rule */
export const checkedScale = (scale: unknown, name: string, rule: ScaleRule, op?: string): number =>
  need(scale, name, withinBounds(rule), op);

/** The first scale and the rule of a scaler. If only one of initScale and a bound is given, the default of the other adapts to it. */
export function startOf(options: Partial<ScaleRule> & { initScale?: number }): { scale: number; rule: ScaleRule } {
  const { initScale } = options;
  if (initScale !== undefined) need(initScale, 'initScale', invertible);
  const rule = checkedRule({
    ...options,
    minScale: options.minScale ?? Math.min(2 ** -14, initScale ?? 1),
    maxScale: options.maxScale ?? Math.max(2 ** 24, initScale ?? 1),
  });
  const scale = initScale ?? Math.min(Math.max(65536, rule.minScale), rule.maxScale);
  return { scale: checkedScale(scale, 'initScale', rule), rule };
}

/** The state dict of PyTorch's GradScaler. */
export interface PyTorchScalerState {
  /** The factor of losses. */
  scale: number;
  /** growthFactor of GradScalerOptions. */
  growth_factor: number;
  /** backoffFactor of GradScalerOptions. */
  backoff_factor: number;
  /** growthInterval of GradScalerOptions. */
  growth_interval: number;
  /** The number of steps in a row that were not skipped. */
  _growth_tracker: number;
}
/** The names of the fields in PyTorch, and here. */
const foreign: Readonly<Record<string, keyof ScalerState>> = {
  growth_factor: 'growthFactor',
  backoff_factor: 'backoffFactor',
  growth_interval: 'growthInterval',
  _growth_tracker: 'growthTracker',
};

const op = 'GradScaler.loadStateDict';
const refuse = (message: string, advice: string): ScalerError =>
  new ScalerError(message, { op, advice: `${advice}. Nothing was loaded` });

/** Translates a state to Castor's names. PyTorch's states and Castor's older ones have no count of skipped steps. */
function renamedState(state: object): Record<string, unknown> {
  const fields: Record<string, unknown> = { skippedSteps: 0 };
  const names = Object.keys(checks);
  for (const [given, value] of Object.entries(state)) {
    const name = Object.hasOwn(foreign, given) ? foreign[given]! : given;
    if (name !== 'scale' && !names.includes(name))
      throw refuse(
        `there is no field '${cut(given)}'`,
        `${didYouMean(given, names)}The fields are scale, ${names.join(', ')}`,
      );
    if (name !== given && Object.hasOwn(state, name))
      throw refuse(`${name} is given twice, also as ${given}`, 'Leave one of them out');
    if (value !== undefined || name !== 'skippedSteps') fields[name] = value;
  }
  return fields;
}

/** Moves a bound that the constructor was not given if a scale lies outside of it. */
const roomFor = (scale: unknown, rule: ScaleRule, given: Partial<ScaleRule>): ScaleRule =>
  holds(scale, invertible)
    ? {
        ...rule,
        minScale: given.minScale === undefined ? Math.min(rule.minScale, scale) : rule.minScale,
        maxScale: given.maxScale === undefined ? Math.max(rule.maxScale, scale) : rule.maxScale,
      }
    : rule;

/**
 * @param given the bounds the constructor was given
 * @throws ScalerError for a state of a disabled scaler, for missing or unknown fields, and for values out of range
 */
export function checkedState(
  state: ScalerState | PyTorchScalerState | null,
  rule: ScaleRule,
  given: Partial<ScaleRule>,
): ScalerState & ScaleRule {
  if (state === null || (typeof state === 'object' && Object.keys(state).length === 0))
    throw refuse(
      'the state is empty: it was saved by a disabled scaler',
      'Only an enabled scaler saves a state: keep this scaler as it was constructed',
    );
  if (typeof state !== 'object' || Array.isArray(state))
    throw refuse(`${shown(state)} is not the state of a GradScaler`, 'Pass what stateDict() returned');
  const fields = renamedState(state);
  const room = roomFor(fields.scale, rule, given);
  for (const [name, check] of Object.entries({ scale: withinBounds(room), ...checks }))
    if (!holds(fields[name], check)) throw refuse(refusal(name, fields[name], check), check.advice);
  return { ...room, ...(fields as unknown as ScalerState) };
}
