import { any, boolean, checked, nullable, object, optional } from '../arguments.ts';
import { checkFunction, current, modeWith, runScope, withMode, type Mode } from '../context.ts';
import { AutocastError } from '../errors.ts';
import { cut, shown } from '../shown.ts';
import { deviceCode, getDefaultDevice, parse, type Device } from '../tensor/device.ts';
import { currentCapture } from '../tensor/graphCapture.ts';
import { bfloat16, dtypes, float16, type LowDType } from '../tensor/dtype.ts';
import { CastCache, persistentCasts } from './castCache.ts';
import { known } from './options.ts';
import { checkedOverrides, policyTable, type Overrides } from './policy.ts';
import { AutocastReport, notesOf } from './report.ts';
import { autocastHere, autocastIn, kindOf, OFF, type AutocastState } from './state.ts';

/** The options of an autocast scope. */
export interface AutocastOptions {
  /** The 16-bit dtype. Default: that of the surrounding scope; outside of scopes float16 on cuda and bfloat16 on cpu. */
  dtype?: LowDType;
  /** Is autocast on inside of the scope? Default: true. */
  enabled?: boolean;
  /** Are 16-bit copies of weights kept until the outermost scope ends? Default: as in the scope around, or true. */
  cacheEnabled?: boolean;
  /** The device whose ops are cast. Default: the default device. */
  device?: Device;
  /** The policies that replace those of some ops, such as { softmax: 'input' }. Scopes inside have them too. */
  overrides?: Overrides;
  /** The report that calls and casts are added to; autocast.report() makes one. */
  report?: AutocastReport;
}

/** The settings of autocast that are in effect, as autocast.current() returns them. */
export interface AutocastSettings {
  /** The device that these settings are for. */
  readonly device: Device;
  /** Is autocast on? */
  readonly enabled: boolean;
  /** The 16-bit dtype that matrix products and convolutions are computed in. */
  readonly dtype: LowDType;
  /** Are the 16-bit copies of weights reused? */
  readonly cacheEnabled: boolean;
  /** The ops with another policy than their own. */
  readonly overrides: Overrides;
}

function run<T>(fn: () => T): T;
function run<T>(options: AutocastOptions, fn: () => T): T;
function run<T>(first: AutocastOptions | (() => T), second?: () => T): T {
  const bare = typeof first === 'function' && second === undefined;
  const options = bare ? {} : (first as AutocastOptions);
  const fn = (bare ? first : second) as () => T;
  checkFunction(fn, casting);
  const mode = current();
  const inside = modeWith(mode, { autocast: stateOf(options, autocastIn(mode)) });
  return mode.autocast === null ? withOwnCasts(inside, fn) : runScope(casting, inside, fn);
}

const call = "autocast({ device: 'cuda', dtype: 'float16' }, () => ...)";
const casting = { op: 'autocast', call, error: AutocastError };
const takes = known<AutocastOptions>(casting, {
  ...{ dtype: any, enabled: boolean, cacheEnabled: boolean },
  ...{ device: any, overrides: object, report: object },
});

/** Runs the outermost scope. Its 16-bit copies are freed when it returns or throws, or when the promise that it returned has settled. */
const withOwnCasts = <T>(mode: Mode, fn: () => T): T => {
  const cache = autocastIn(mode)!.ownCache;
  return runScope(casting, mode, fn, () => cache.close());
};

/** Returns the state inside of a scope. @throws AutocastError for an option with a wrong value, DeviceError for an unknown device */
function stateOf(options: AutocastOptions, outer: AutocastState | null): AutocastState {
  options = takes(options);
  if (options.report !== undefined && !(options.report instanceof AutocastReport))
    throw new AutocastError('report is an object, but not an AutocastReport', {
      op: 'autocast',
      advice: 'Pass new AutocastReport(), or call autocast.report(options, fn)',
    });
  const { low, chosen, overrides, report } = outer ?? OFF;
  const { dtype, enabled = true } = options;
  const kind = kindOf(deviceCode(options.device, 'autocast'));
  const info = dtype === undefined ? chosen[kind]! : dtypes[dtype];
  const fits = info === float16 || info === bfloat16;
  if (!fits && enabled)
    throw new AutocastError(`cannot cast to ${shown(dtype)}: autocast computes in 16 bits`, {
      op: 'autocast',
      advice: "Use 'float16', 'bfloat16', or { enabled: false }",
    });
  const ownCache = outer?.ownCache ?? (keepsCasts() ? persistentCasts : new CastCache());
  const cached = options.cacheEnabled ?? (outer === null || outer.cache !== null);
  const added = options.overrides && checkedOverrides(options.overrides);
  return {
    low: replaced(low, kind, enabled ? info : null),
    chosen: fits ? replaced(chosen, kind, info) : chosen,
    cache: cached ? ownCache : null,
    ownCache,
    force: null,
    given: null,
    overrides: added ? new Map([...(overrides ?? []), ...added]) : overrides,
    report: options.report === undefined ? report : notesOf(options.report),
  };
}

/** Do casts outlive the scope? A graph makes its own in each replay, unless it leaves that to whoever replays it. */
const keepsCasts = (): boolean => current().inference && currentCapture()?.derived !== null;

/** Returns what list.with(kind, value) returns, but is faster. */
const replaced = <T>(list: readonly T[], kind: number, value: T): readonly T[] =>
  kind === 0 ? [value, list[1]!] : [list[0]!, value];

/** Runs fn with a cache of its own. A graph needs it, because each of its replays must cast the weights as they are then. */
export function withFreshCasts<T>(fn: () => T): T {
  const mode = current();
  const autocast = autocastIn(mode);
  if (autocast === null) return fn();
  const ownCache = new CastCache();
  const fresh = { ...autocast, ownCache, cache: autocast.cache && ownCache };
  return withOwnCasts(modeWith(mode, { autocast: fresh }), fn);
}

/** Runs fn with the cache whose casts outlive all scopes, in place of that of a scope which may end before fn does. */
export function withPersistentCasts<T>(fn: () => T): T {
  const mode = current();
  const autocast = autocastIn(mode);
  if (autocast === null) return fn();
  const lasting = { ...autocast, ownCache: persistentCasts, cache: autocast.cache && persistentCasts };
  return withMode(modeWith(mode, { autocast: lasting }), fn);
}

/** Returns a function that runs fn in a new scope at every call, with the same `this` and arguments. Recursion is safe. */
function wrap<This, Args extends unknown[], T>(
  fn: (this: This, ...args: Args) => T,
  options: AutocastOptions = {},
): (this: This, ...args: Args) => T {
  checkFunction(fn, { op: 'autocast.wrap', call: 'autocast.wrap(fn, options)', error: AutocastError });
  options = checkEarly(options);
  const wrapped = function (this: This, ...args: Args): T {
    return run(options, () => fn.apply(this, args));
  };
  return Object.defineProperty(wrapped, 'name', { value: fn.name });
}

/** Checks options when a function is wrapped. Whether the device is available is checked at each call, because it may change. */
function checkEarly(options: AutocastOptions): AutocastOptions {
  options = takes(options);
  if (options.device !== undefined) parse(options.device, 'autocast');
  stateOf({ ...options, device: 'cpu' }, null);
  // A copy: if the caller changes the overrides after this, the wrapped function still uses those it was given.
  return options.overrides === undefined ? options : { ...options, overrides: { ...options.overrides } };
}

function method(options: AutocastOptions = {}) {
  options = checkEarly(options);
  return <This, Args extends unknown[], T>(
    fn: (this: This, ...args: Args) => T,
    context: ClassMethodDecoratorContext<This, (this: This, ...args: Args) => T>,
  ): ((this: This, ...args: Args) => T) => {
    if (context?.kind !== 'method')
      throw new AutocastError(`it decorates methods only, not a ${cut(String(context?.kind))}`, {
        op: 'autocast.method',
        advice: 'Put it before a method, or call autocast.wrap(fn, options)',
      });
    return wrap(fn, options);
  };
}

/** Returns the settings that apply to the running code on one device. */
function settings(device: Device = getDefaultDevice()): AutocastSettings {
  const state = autocastHere();
  const { low, chosen, overrides } = state ?? OFF;
  const kind = kindOf(parse(device, 'autocast.current'));
  return {
    device,
    enabled: low[kind] !== null,
    dtype: chosen[kind]!.name as LowDType,
    cacheEnabled: state === null || state.cache !== null,
    overrides: Object.fromEntries(overrides ?? []),
  };
}

/** Runs fn in a scope and returns its result with a report. Other tasks that run meanwhile are not in the report. */
async function report<T>(
  options: AutocastOptions,
  fn: () => T,
): Promise<{ result: Awaited<T>; report: AutocastReport }> {
  const own = new AutocastReport();
  return { result: await run({ ...options, report: own }, fn), report: own };
}

const optionalAny = optional(any);
/**
 * Runs fn, sync or async, with matrix products and convolutions in a 16-bit dtype, and with ops that need more range or precision in
 * float32 (see autocast.policy()). The scope follows fn through every await and ends when fn returns, throws or rejects. Parameters and
 * their gradients stay float32.
 * @throws AutocastError for a dtype that does not have 16 bits or a wrong override, DeviceError for an unknown device
 */
export const autocast = Object.assign(checked('autocast', { options: any, fn: optionalAny }, run), {
  /** Returns a function that runs fn in an autocast scope of its own at every call. */
  wrap: checked('autocast.wrap', { fn: any, options: optionalAny }, wrap),
  /** Decorates a method, which then runs in a scope: `@autocast.method({ dtype: 'float16' }) forward(x) { ... }`. */
  method: checked('autocast.method', { options: optionalAny }, method),
  /** Runs fn in a scope and reports what autocast did in it: `const { result, report } = await autocast.report(options, fn)`. */
  report: checked('autocast.report', { options: optional(nullable(object)), fn: any }, report),
  /** Returns the autocast settings that apply where it is called. */
  current: checked('autocast.current', { device: optionalAny }, settings),
  /** Returns the policy of every op by its name. */
  policy: checked('autocast.policy', {}, policyTable),
});

/** Is autocast on for a device where this is called? */
export const isAutocastEnabled = checked(
  'isAutocastEnabled',
  { device: optional(any) },
  (device: Device = getDefaultDevice()): boolean => autocastDtype(device) !== null,
);
/** Returns the 16-bit dtype of matrix products where this is called, or null if autocast is off. */
export const autocastDtype = checked('autocastDtype', { device: optional(any) }, doAutocastDtype);
function doAutocastDtype(device: Device = getDefaultDevice()): LowDType | null {
  const kind = kindOf(parse(device, 'autocast'));
  return (autocastHere()?.low[kind]?.name ?? null) as LowDType | null;
}
/** Frees the 16-bit copies of weights that the surrounding outermost scope holds. */
export const clearAutocastCache = checked('clearAutocastCache', {}, (): void => autocastHere()?.ownCache.clear());
