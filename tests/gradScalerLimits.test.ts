/** The numbers of a GradScaler: the last value that is accepted, the first that is not, and the default. */
import { afterEach, describe, expect, test } from 'bun:test';
import { ArgumentError, CastorError, GradScaler, nn, optim, ScalerError, tidy, zeros, type Tensor } from 'castor';

const any = (value: unknown): any => value;
/** The next larger double. */
function after(value: number): number {
  const bits = new BigInt64Array(new Float64Array([value]).buffer);
  bits[0]! += 1n;
  return new Float64Array(bits.buffer)[0]!;
}
function before(value: number): number {
  const bits = new BigInt64Array(new Float64Array([value]).buffer);
  bits[0]! -= 1n;
  return new Float64Array(bits.buffer)[0]!;
}
const MOST = 2 ** 31 - 1;

let weight: Tensor | null = null;
afterEach(() => {
  weight?.dispose();
  weight = null;
});
/** A scaler whose update() takes numbers. */
function used(options: object = {}): GradScaler {
  const scaler = new GradScaler({ device: 'cpu', ...options });
  weight = nn.Parameter(zeros([1], { device: 'cpu' }));
  const optimizer = new optim.SGD([weight], { lr: 1 });
  tidy(() => {
    scaler.scale(weight!.sum()).backward();
    scaler.step(optimizer);
    scaler.update();
  });
  optimizer.zeroGrad();
  return scaler;
}
const state = (changes: object = {}): any => ({
  ...new GradScaler({ device: 'cpu' }).stateDict()!,
  ...changes,
});

test('not given, they are those of PyTorch', () => {
  const scaler = new GradScaler({ device: 'cpu' });
  expect(scaler.stateDict()).toEqual({
    scale: 65536,
    growthTracker: 0,
    growthFactor: 2,
    backoffFactor: 0.5,
    growthInterval: 2000,
    skippedSteps: 0,
  });
  expect(scaler.enabled).toBe(true);
  const off = new GradScaler({ enabled: false });
  expect([off.getScaleSync(), off.skippedStepsSync(), off.stateDict()]).toEqual([1, 0, null]);
});

const accepted: Readonly<Record<string, readonly number[]>> = {
  growthFactor: [after(1), 2, Number.MAX_VALUE],
  backoffFactor: [Number.MIN_VALUE, 0.5, before(1)],
  growthInterval: [1, MOST],
  minScale: [2 ** -126, 65536],
  maxScale: [65536, 2 ** 126],
  initScale: [2 ** -126, 2 ** 126],
  maxConsecutiveSkips: [1],
};
const refused: Readonly<Record<string, readonly unknown[]>> = {
  growthFactor: [1, 0, NaN, Infinity, '2'],
  backoffFactor: [0, 1, -0.5, NaN],
  growthInterval: [0, MOST + 1, 1.5, NaN],
  minScale: [before(2 ** -126), after(2 ** 126), 0, NaN, Infinity],
  maxScale: [before(2 ** -14), after(2 ** 126), NaN, Infinity],
  initScale: [before(2 ** -126), after(2 ** 126), 0, -1, NaN, Infinity],
  maxConsecutiveSkips: [0, 1.5, -1, NaN, Infinity],
};
describe.each(Object.keys(accepted))('%s', name => {
  test.each([...accepted[name]!])('%p is accepted', value =>
    expect(() => new GradScaler({ device: 'cpu', [name]: value })).not.toThrow(),
  );
  test.each([...refused[name]!])('%p is refused', value => {
    expect(() => new GradScaler({ device: 'cpu', [name]: any(value) })).toThrow(ArgumentError);
    expect(() => new GradScaler({ device: 'cpu', [name]: any(value) })).toThrow(name);
  });
});
test('a scale outside of bounds that are given is refused', () => {
  for (const options of [
    { initScale: 3, minScale: 4 },
    { initScale: 5, maxScale: 4 },
    { minScale: 4, maxScale: 3 },
  ])
    expect(() => new GradScaler({ device: 'cpu', ...options })).toThrow(ArgumentError);
  for (const options of [
    { initScale: 4, minScale: 4 },
    { initScale: 4, maxScale: 4 },
    { minScale: 4, maxScale: 4 },
  ])
    expect(new GradScaler({ device: 'cpu', ...options }).getScaleSync()).toBe(4);
});

test.each<[object, scale: number, least: number, most: number]>([
  [{}, 65536, 2 ** -14, 2 ** 24],
  [{ maxScale: 16 }, 16, 2 ** -14, 16],
  [{ minScale: 2 ** 20 }, 2 ** 20, 2 ** 20, 2 ** 24],
  [{ initScale: 2 ** -20 }, 2 ** -20, 2 ** -20, 2 ** 24],
  [{ initScale: 2 ** 30 }, 2 ** 30, 2 ** -14, 2 ** 30],
  [{ initScale: 1, minScale: 1, maxScale: 2 }, 1, 1, 2],
])('with %j the scale is %p, from %p to %p', (options, scale, least, most) => {
  expect(new GradScaler({ device: 'cpu', ...options }).getScaleSync()).toBe(scale);
  const scaler = used(options);
  for (const value of [least, most]) {
    scaler.update(value);
    expect(scaler.getScaleSync()).toBe(value);
  }
  for (const value of [before(least), after(most), NaN]) expect(() => scaler.update(value)).toThrow(ArgumentError);
  expect(scaler.getScaleSync()).toBe(most);
  // A tensor is not read by the host: one that is out of range changes nothing.
  for (const value of [least, most, least / 2, most * 2]) {
    tidy(() => scaler.update(zeros([1], { device: 'cpu' }).add(value)));
    expect(scaler.getScaleSync()).toBe(value < least || value > most ? most : value);
  }
});

describe('of a state', () => {
  test.each<[string, readonly number[], readonly unknown[]]>([
    ['scale', [2 ** -126, 1, 2 ** 126], [0, before(2 ** -126), after(2 ** 126), NaN, '1']],
    ['growthTracker', [0, MOST], [-1, 0.5, MOST + 1]],
    ['skippedSteps', [0, 2 ** 24], [-1, 0.5, 2 ** 24 + 1]],
    ['growthInterval', [1, MOST], [0, 1.5, MOST + 1]],
    ['growthFactor', [after(1)], [1, Infinity]],
    ['backoffFactor', [before(1)], [0, 1]],
  ])('%s', (name, right, wrong) => {
    const scaler = new GradScaler({ device: 'cpu' });
    for (const value of right) {
      scaler.loadStateDict(state({ [name]: value }));
      expect(any(scaler.stateDict())[name]).toBe(value);
    }
    const kept = scaler.stateDict();
    for (const value of wrong) {
      expect(() => scaler.loadStateDict(state({ [name]: value }))).toThrow(ScalerError);
      expect(() => scaler.loadStateDict(state({ [name]: value }))).toThrow(name);
    }
    expect(scaler.stateDict()).toEqual(kept);
  });
  test('a bound that was given stays, one that was not makes room', () => {
    const given = new GradScaler({ device: 'cpu', minScale: 1, maxScale: 2 ** 20 });
    for (const scale of [0.5, 2 ** 21]) expect(() => given.loadStateDict(state({ scale }))).toThrow(ScalerError);
    for (const scale of [1, 2 ** 20]) given.loadStateDict(state({ scale }));
    const open = used();
    for (const scale of [2 ** -30, 2 ** 30]) open.loadStateDict(state({ scale }));
    expect(open.getScaleSync()).toBe(2 ** 30);
  });
  test.each<[string, object, RegExp]>([
    ['an unknown field', { growthFaktor: 2 }, /no field 'growthFaktor'.*Did you mean 'growthFactor'/],
    ['a field given twice', { growth_factor: 2 }, /growthFactor is given twice, also as growth_factor/],
    ['a field that is undefined', { growthTracker: undefined }, /growthTracker undefined is not a whole number from 0/],
  ])('%s is refused', (_, changes, message) =>
    expect(() => new GradScaler({ device: 'cpu' }).loadStateDict(state(changes))).toThrow(message),
  );
  test('of PyTorch is taken, without a count of skipped steps', () => {
    const scaler = new GradScaler({ device: 'cpu' });
    const [factors, counts] = [
      { growth_factor: 3, backoff_factor: 0.25 },
      { growth_interval: 7, _growth_tracker: 5 },
    ];
    scaler.loadStateDict({ scale: 8, ...factors, ...counts });
    expect(scaler.stateDict()).toEqual({
      scale: 8,
      growthTracker: 5,
      growthFactor: 3,
      backoffFactor: 0.25,
      growthInterval: 7,
      skippedSteps: 0,
    });
    scaler.loadStateDict(state({ skippedSteps: undefined }));
    expect(scaler.skippedStepsSync()).toBe(0);
  });
  test.each([[null], [{}]])('%j is that of a disabled scaler', empty => {
    expect(() => new GradScaler({ device: 'cpu' }).loadStateDict(any(empty))).toThrow(/saved by a disabled scaler/);
    expect(() => new GradScaler({ enabled: false }).loadStateDict(any(empty))).not.toThrow();
  });
  test.each([[3], ['state'], [[1]]])('%j is none', given =>
    expect(() => new GradScaler({ device: 'cpu' }).loadStateDict(any(given))).toThrow(CastorError),
  );
});

test.each(['growthFactor', 'backoffFactor', 'growthInterval'] as const)('%s can be set, to what makes sense', name => {
  const scaler = new GradScaler({ device: 'cpu' });
  for (const value of accepted[name]!) {
    scaler[name] = value;
    expect(scaler[name]).toBe(value);
  }
  const kept = scaler[name];
  for (const value of refused[name]!) expect(() => (scaler[name] = any(value))).toThrow(ArgumentError);
  expect(scaler[name]).toBe(kept);
});
