import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  autocast,
  AutocastError,
  autocastDtype,
  bindContext,
  customBwd,
  customFwd,
  DeviceError,
  GradScaler,
  nn,
  ones,
  optim,
  ScalerError,
  streamInContext,
  tensor,
  type CastorError,
  type Tensor,
} from 'castor';

type Wrong = [name: string, call: () => unknown, kind: typeof CastorError, message: RegExp];
const fn = (): Tensor => ones([1]);
/** Calls that types forbid, as JavaScript makes them. */
const any = (value: unknown): never => value as never;

function refuses(cases: readonly Wrong[]): void {
  test.each(cases)('%s', async (_, call, kind, message) => {
    const error = await (async () => call())().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(kind);
    expect((error as CastorError).advice).toBeDefined();
    expect((error as CastorError).message).toMatch(message);
  });
}

describe('autocast refuses', () => {
  const generator = any(function* () {
    yield autocastDtype();
  });
  const asyncGenerator = any(async function* () {
    yield autocastDtype();
  });
  refuses([
    [
      'no options',
      () => autocast(any(null), fn),
      AutocastError,
      /^autocast: null is not an options object\. Call autocast\(/,
    ],
    [
      'a device alone',
      () => autocast(any('cuda'), fn),
      AutocastError,
      /'cuda' is not an options object.*Call autocast\(\{ device: /,
    ],
    ['options behind', () => autocast(any(fn), any({})), AutocastError, /no function to run, but an object/],
    [
      'an unknown option',
      () => autocast(any({ dtpe: 'float16' }), fn),
      AutocastError,
      /no option 'dtpe'\. Did you mean 'dtype'\? The options are dtype, enabled, /,
    ],
    [
      'enabled as text',
      () => autocast({ enabled: any('false') }, fn),
      AutocastError,
      /enabled is 'false', which is not a boolean/,
    ],
    ['cacheEnabled as text', () => autocast({ cacheEnabled: any('no') }, fn), AutocastError, /cacheEnabled is 'no'/],
    [
      'overrides of null',
      () => autocast({ overrides: any(null) }, fn),
      AutocastError,
      /overrides is null, which is not an object/,
    ],
    [
      'a report that is true',
      () => autocast({ report: any(true) }, fn),
      AutocastError,
      /report is true, which is not an object/,
    ],
    ['a report that is none', () => autocast({ report: any({}) }, fn), AutocastError, /Pass new AutocastReport\(\)/],
    ['a report of nothing', () => autocast.report({}, any(3)), AutocastError, /no function to run, but 3/],
    [
      'a generator',
      () => autocast(generator),
      AutocastError,
      /Return streamInContext\(generator\(\)\) from a plain function/,
    ],
    ['an async generator', () => autocast({ dtype: 'bfloat16' }, asyncGenerator), AutocastError, /streamInContext/],
    [
      'a wrapped generator',
      () => autocast.wrap(generator),
      AutocastError,
      /^autocast\.wrap: a generator .*streamInContext/,
    ],
    ['wrap of wrong options', () => autocast.wrap(fn, { dtype: any('float32') }), AutocastError, /16 bits/],
    ['wrap of a wrong device', () => autocast.wrap(fn, { device: any('tpu') }), DeviceError, /no device 'tpu'/],
    ['method of wrong options', () => autocast.method(any({ dtpe: 1 })), AutocastError, /no option 'dtpe'/],
    [
      'a decorated class',
      () => autocast.method()(any(class {}), any({ kind: 'class' })),
      AutocastError,
      /methods only, not a class\. Put it before/,
    ],
    [
      'customFwd without options',
      () => customFwd(any(undefined), fn),
      AutocastError,
      /^customFwd: undefined is not an options object.*Call customFwd\(/,
    ],
    [
      'customFwd without a function',
      () => customFwd({}, any(undefined)),
      AutocastError,
      /no function to run, but undefined/,
    ],
    [
      'castInputs of integers',
      () => customFwd({ castInputs: any('int64') }, fn),
      AutocastError,
      /'int64' is not a floating dtype\. Use 'float32', /,
    ],
    [
      'castInputs of a method name',
      () => customFwd({ castInputs: any('toString') }, fn),
      AutocastError,
      /not a floating dtype/,
    ],
    [
      'customBwd without a function',
      () => customBwd(any(3)),
      AutocastError,
      /^customBwd: there is no function to run, but 3/,
    ],
    [
      'a stream of a number',
      () => streamInContext(any(3)),
      ArgumentError,
      /^streamInContext: it was given 3.*Call streamInContext\(generator\(\)\)/,
    ],
    ['a stream of null', () => streamInContext(any(null)), ArgumentError, /^streamInContext/],
    ['a bound number', () => bindContext(any(3)), ArgumentError, /^bindContext: .*Call bindContext\(fn\)/],
  ]);
  test('only what it must: a device that is not there yet may be wrapped, and options may be left undefined', () => {
    expect(autocast.wrap(fn, { device: 'cuda:7' })).toBeFunction();
    expect(autocast(any({ dtype: undefined, enabled: undefined, report: undefined }), fn).dtype).toBe('float32');
  });
});

describe('GradScaler refuses', () => {
  const w = nn.Parameter(ones([2]));
  const used = (): GradScaler => {
    const scaler = new GradScaler();
    scaler.scale(tensor(1));
    return scaler;
  };
  const state = new GradScaler().stateDict()!;
  const load = (changed: object) => () => new GradScaler().loadStateDict(any({ ...state, ...changed }));
  const ring: unknown[] = [];
  ring.push([ring]);
  const noOptimizer =
    /is not an optimizer\. Pass an optimizer of castor\.optim, or an object with parameters\(\) and step\(\)/;
  const given = { null: null, undefined, 'a tensor': w, 'a model': new nn.Linear(2, 2), 'only step()': { step() {} } };
  refuses([
    [
      'no options',
      () => new GradScaler(any(null)),
      ArgumentError,
      /^GradScaler: null is not an options object.*Call new GradScaler\(\{/,
    ],
    [
      'a scale alone',
      () => new GradScaler(any(1024)),
      ArgumentError,
      /1024 is not an options object\. Call new GradScaler\(\{ device/,
    ],
    [
      'an unknown option',
      () => new GradScaler(any({ init_scale: 1 })),
      ArgumentError,
      /no option 'init_scale'\. Did you mean 'initScale'\? The options are initScale, /,
    ],
    [
      'enabled as text',
      () => new GradScaler({ enabled: any('false') }),
      ArgumentError,
      /enabled is 'false'.*Pass a boolean/,
    ],
    [
      'onSkip as a number',
      () => new GradScaler({ onSkip: any(3) }),
      ArgumentError,
      /onSkip is 3, which is not a function/,
    ],
    [
      'initScale as a symbol',
      () => new GradScaler({ initScale: any(Symbol('s')) }),
      ArgumentError,
      /initScale is a symbol/,
    ],
    [
      'a device that is none',
      () => new GradScaler({ device: any('tpu') }),
      DeviceError,
      /^GradScaler: there is no device 'tpu'/,
    ],
    [
      'a device that is none, disabled',
      () => new GradScaler({ enabled: false, device: any('tpu') }),
      DeviceError,
      /^GradScaler/,
    ],
    [
      'an interval past int32',
      () => new GradScaler({ growthInterval: 2 ** 31 }),
      ArgumentError,
      /whole number from 1 to 2147483647/,
    ],
    [
      'a growth of 1',
      () => new GradScaler({ growthFactor: 1 }),
      ArgumentError,
      /growthFactor 1 is not a finite number above 1\. The default is 2/,
    ],
    [
      'a loss of null',
      () => used().scale(any(null)),
      ArgumentError,
      /null is neither a loss.*Pass a tensor, or tensors in arrays/,
    ],
    [
      'a container of itself',
      () => used().scale(any(ring)),
      ArgumentError,
      /^GradScaler\.scale: a container of losses contains itself/,
    ],
    ...Object.entries(given).flatMap(([name, value]): Wrong[] => [
      [`unscale of ${name}`, () => used().unscale(any(value)), ArgumentError, noOptimizer],
      [`step of ${name}`, () => used().step(any(value)), ArgumentError, noOptimizer],
    ]),
    ['an optimizer without step()', () => used().step(any({ parameters: () => [w] })), ArgumentError, noOptimizer],
    [
      'a disabled step of nothing',
      () => new GradScaler({ enabled: false }).step(any(null)),
      ArgumentError,
      noOptimizer,
    ],
    [
      'parameters that are none',
      () => used().step({ parameters: () => any([3]), step() {} }),
      ArgumentError,
      /parameter 0 .* is 3, not a tensor/,
    ],
    [
      'a closure',
      () =>
        used().step(
          new optim.SGD([w], { lr: 1 }),
          any(() => 1),
        ),
      ScalerError,
      /takes no closure/,
    ],
    [
      'a new scale as text',
      () => used().update(any('4')),
      ArgumentError,
      /^GradScaler\.update: '4' cannot be the new scale\. Pass a number, or a tensor of one/,
    ],
    [
      'a new scale of two',
      () => used().update(ones([2])),
      ArgumentError,
      /a tensor \[2\] on .* cannot be the new scale/,
    ],
    [
      'a scale of 2^60',
      () => new GradScaler({ maxScale: 2 ** 24 }).loadStateDict({ ...state, scale: 2 ** 60 }),
      ScalerError,
      /^GradScaler\.loadStateDict: scale 1152.*bounds of this scaler.*Nothing was loaded/,
    ],
    ['a tracker of 2^40', load({ growthTracker: 2 ** 40 }), ScalerError, /growthTracker/],
    ['an interval of 2^40', load({ growthInterval: 2 ** 40 }), ScalerError, /growthInterval/],
    ['skips of 2^60', load({ skippedSteps: 2 ** 60 }), ScalerError, /skippedSteps/],
    ['skips as a text', load({ skippedSteps: '1' }), ScalerError, /skippedSteps '1' is not a whole number/],
    [
      'a scale of 2^127',
      load({ scale: 2 ** 127 }),
      ScalerError,
      /scale 1.7.*is not a number from .*the bounds of this scaler/,
    ],
    [
      'a field that is not there',
      load({ growth_tracker: 1 }),
      ScalerError,
      /there is no field 'growth_tracker'\. Did you mean 'growthTracker'\?/,
    ],
    [
      'a field under two names',
      load({ growth_factor: 3 }),
      ScalerError,
      /growthFactor is given twice, also as growth_factor/,
    ],
    [
      'a state that is a number',
      () => new GradScaler().loadStateDict(any(3)),
      ScalerError,
      /3 is not the state of a GradScaler\. Pass what/,
    ],
    [
      'a state that is an array',
      () => new GradScaler().loadStateDict(any([1])),
      ScalerError,
      /is not the state of a GradScaler\. Pass what/,
    ],
    [
      'parameters() of a number',
      () => used().step({ parameters: () => any(3), step() {} }),
      ArgumentError,
      /parameters\(\) of the optimizer returned 3/,
    ],
    [
      'an unknown option of unscale',
      () => used().unscale(new optim.SGD([w]), any({ hand: true })),
      ArgumentError,
      /'hand'/,
    ],
    ['a scale that is a symbol', load({ scale: Symbol('s') }), ScalerError, /scale a symbol/],
    [
      'a factor without a text',
      load({ growthFactor: Object.create(null) as object }),
      ScalerError,
      /growthFactor an object/,
    ],
  ]);
});
