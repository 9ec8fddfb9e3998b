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
  ones,
  streamInContext,
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
      /^autocast: null is no options object\. Call autocast\(/,
    ],
    [
      'a device alone',
      () => autocast(any('cuda'), fn),
      AutocastError,
      /'cuda' is no options.*Call autocast\(\{ device: /,
    ],
    ['options behind', () => autocast(any(fn), any({})), AutocastError, /no function to run, but an object/],
    [
      'an unknown option',
      () => autocast(any({ dtpe: 'float16' }), fn),
      AutocastError,
      /no option 'dtpe'\. The options are dtype, enabled, /,
    ],
    [
      'enabled as text',
      () => autocast({ enabled: any('false') }, fn),
      AutocastError,
      /enabled is 'false', which is no boolean/,
    ],
    ['cacheEnabled as text', () => autocast({ cacheEnabled: any('no') }, fn), AutocastError, /cacheEnabled is 'no'/],
    [
      'overrides of null',
      () => autocast({ overrides: any(null) }, fn),
      AutocastError,
      /overrides is null, which is no object/,
    ],
    [
      'a report that is true',
      () => autocast({ report: any(true) }, fn),
      AutocastError,
      /report is true, which is no object/,
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
      /methods only, no class\. Put it before/,
    ],
    [
      'customFwd without options',
      () => customFwd(any(undefined), fn),
      AutocastError,
      /^customFwd: undefined is no options.*Call customFwd\(/,
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
      /'int64' is no floating dtype\. Use 'float32', /,
    ],
    [
      'castInputs of a method name',
      () => customFwd({ castInputs: any('toString') }, fn),
      AutocastError,
      /no floating dtype/,
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
      /^streamInContext: .*number\. Call streamInContext\(generator\(\)\)/,
    ],
    ['a stream of null', () => streamInContext(any(null)), ArgumentError, /^streamInContext/],
    ['a bound number', () => bindContext(any(3)), ArgumentError, /^bindContext: .*Call bindContext\(fn\)/],
  ]);
  test('only what it must: a device that is not there yet may be wrapped, and options may be left undefined', () => {
    expect(autocast.wrap(fn, { device: 'cuda:7' })).toBeFunction();
    expect(autocast(any({ dtype: undefined, enabled: undefined, report: undefined }), fn).dtype).toBe('float32');
  });
});
