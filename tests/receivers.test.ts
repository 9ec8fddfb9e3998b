import { describe, expect, test } from 'bun:test';
import { ArgumentError, Generator, GradScaler, nn, ones, optim } from 'castor';

/** Objects whose methods pass the gate, and a call of each. */
const objects: Record<string, { make: () => object; method: string; args: unknown[] }> = {
  SGD: { make: () => new optim.SGD([nn.Parameter(ones([1]))]), method: 'step', args: [] },
  GradScaler: { make: () => new GradScaler(), method: 'scale', args: [ones([1])] },
  Linear: { make: () => new nn.Linear(1, 1), method: 'parameters', args: [] },
  Generator: { make: () => new Generator(1), method: 'next', args: [] },
};
const call = (name: string, receiver: (object: object) => unknown): unknown => {
  const { make, method, args } = objects[name]!;
  const object = make() as Record<string, (...args: unknown[]) => unknown>;
  return object[method]!.apply(receiver(object), args);
};

describe('a method refuses, with advice, to be called on', () => {
  test.each(Object.keys(objects))('nothing, for it was taken from its object: %s', name => {
    expect(() => call(name, () => undefined)).toThrow(ArgumentError);
    expect(() => call(name, () => undefined)).toThrow(
      /called on undefined, not on a .*Pass \(\.\.\.args\) => object\./,
    );
  });
  test.each(Object.keys(objects))('another object: %s', name => {
    for (const other of [{}, [], 3, null, new Map()]) expect(() => call(name, () => other)).toThrow(ArgumentError);
  });
  test.each(Object.keys(objects))('a Proxy, as a reactive framework makes it: %s', name => {
    expect(() => call(name, object => new Proxy(object, {}))).toThrow(ArgumentError);
    expect(() => call(name, object => new Proxy(object, {}))).toThrow(/called on a Proxy of a .*markRaw/);
  });
  test.each(Object.keys(objects))('but not on its own: %s', name => {
    expect(() => call(name, object => object)).not.toThrow();
  });
});

test('the elements of a tensor are not assigned to its data', async () => {
  const x = ones([2]) as { data: unknown; copy_: (t: unknown) => unknown };
  expect(() => (x.data = ones([2]))).toThrow(ArgumentError);
  expect(() => (x.data = ones([2]))).toThrow(/data is a method.*noGrad\(\(\) => tensor\.copy_/);
  expect(await (x as ReturnType<typeof ones>).data()).toEqual(new Float32Array([1, 1]));
});

test('a tensor cannot be its own gradient', () => {
  const x = ones([1], { requiresGrad: true });
  expect(() => (x.grad = x)).toThrow(/cannot be its own gradient\. Assign a clone/);
  expect(x.grad).toBeNull();
});
