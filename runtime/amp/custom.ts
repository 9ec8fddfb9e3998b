import { any, checked, optional } from '../arguments.ts';
import type { FunctionContext } from '../autograd/function.ts';
import { checkFunction, current, modeWith, withMode } from '../context.ts';
import { AutocastError } from '../errors.ts';
import { shown } from '../shown.ts';
import { dtypes, isDType, type FloatDType } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { mapTensors } from './cast.ts';
import { known } from './options.ts';
import { autocastHere, lowFor, type AutocastState } from './state.ts';

/** The autocast state in which the forward of a custom function ran. Its backward runs in the same state. */
const states = new WeakMap<FunctionContext, AutocastState | null>();

/** The options of customFwd(). */
export interface CustomFwdOptions {
  /** Under autocast, cast floating arguments (float64 excepted) to this dtype and run forward with autocast off. */
  castInputs?: FloatDType;
}

const wrapping = { op: 'customFwd', call: "customFwd({ castInputs: 'float32' }, forward)", error: AutocastError };
const takes = known<CustomFwdOptions>(wrapping, { castInputs: any });

type Forward<Args extends readonly unknown[], R> = (ctx: FunctionContext, ...args: Args) => R;
type Backward<R> = (ctx: FunctionContext, ...grads: Tensor[]) => R;

/**
 * Wraps the forward of a custom function so that customBwd can repeat its autocast. Without castInputs, forward runs under the autocast
 * of its caller. Outside of autocast nothing is cast.
 */
export const customFwd = checked('customFwd', { options: optional(any), forward: optional(any) }, doCustomFwd);
function doCustomFwd<Args extends readonly unknown[], R>(
  options: CustomFwdOptions,
  forward: Forward<Args, R>,
): Forward<Args, R> {
  options = takes(options);
  checkFunction(forward, wrapping);
  const { castInputs } = options;
  if (castInputs !== undefined && !(isDType(castInputs) && dtypes[castInputs].category === 'float'))
    throw new AutocastError(`castInputs ${shown(castInputs)} is not a floating dtype`, {
      op: 'customFwd',
      advice: "Use 'float32', 'float16', 'bfloat16' or 'float64'",
    });
  return function (this: unknown, ctx, ...args) {
    const state = autocastHere();
    const casts = castInputs !== undefined && state !== null;
    states.set(ctx, casts ? null : state);
    if (!casts) return forward.call(this, ctx, ...args);
    const wide = (t: Tensor): Tensor => (lowFor(t, state) === null ? t : t.to(castInputs));
    const cast = mapTensors(args, wide) as Args;
    return withMode(modeWith(current(), { autocast: null }), () => forward.call(this, ctx, ...cast));
  };
}

/** Wraps the backward of a custom function, which then runs under the autocast state of its forward, wherever backward() is called. */
export const customBwd = checked('customBwd', { backward: optional(any) }, doCustomBwd);
function doCustomBwd<R>(backward: Backward<R>): Backward<R> {
  checkFunction(backward, { op: 'customBwd', call: 'customBwd(backward)', error: AutocastError });
  return function (this: unknown, ctx, ...grads) {
    if (!states.has(ctx))
      throw new AutocastError('the forward of this function did not note its autocast', {
        op: 'customBwd',
        advice: 'Wrap it with customFwd(options, forward)',
      });
    const noted = states.get(ctx)!;
    // The scope of forward may have ended: its copies are freed, and its report is complete.
    const autocast = noted && { ...noted, cache: null, report: null };
    return withMode(modeWith(current(), { autocast }), () => backward.call(this, ctx, ...grads));
  };
}
