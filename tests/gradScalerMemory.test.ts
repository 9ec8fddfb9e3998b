import { afterEach, expect, test } from 'bun:test';
import { GradScaler, memory, nn, OutOfMemoryError, ones, optim, type Tensor } from 'castor';

afterEach(() => memory.setLimit(0));

const sizes = [3, 40, 500];
/** Runs two iterations, with an overflow in one parameter of the second if requested. `call` makes each call. */
function train(call: (fn: () => void) => void, overflow: boolean): unknown[] {
  const params = sizes.map(n => nn.Parameter(ones([n])));
  const groups = params.map(p => ({ params: [p] }));
  const optimizer = new optim.AdamW(groups, { lr: 0.5, amsgrad: true });
  const shared = new optim.SGD([params[0]!], { lr: 0.25, momentum: 0.5 });
  const scaler = new GradScaler({ initScale: 8, growthInterval: 1 });
  for (let i = 0; i < 2; i++) {
    const factor = overflow && i === 1 ? Infinity : 2;
    for (const p of params) p.grad = null;
    const losses = params.map((p, k) => p.mul(k === 1 ? factor : 2).sum());
    scaler.scale(losses.reduce((a, b) => a.add(b))).backward();
    if (i === 0) call(() => scaler.unscale(optimizer));
    call(() => void scaler.step(optimizer));
    call(() => void scaler.step(shared));
    call(() => scaler.update());
  }
  const values = (t: Tensor): number[] => [...t.dataSync()].map(Number);
  return [...params.map(values), ...params.map(p => values(p.grad!)), scaler.stateDict()];
}

test.each([false, true])('a step that finds no memory changes nothing and is made again (overflow: %p)', overflow => {
  const expected = train(fn => fn(), overflow);
  let failures = 0;
  /** Makes a call with very little memory, and again with a little more, until it succeeds. */
  const scarce = (fn: () => void): void => {
    memory.collect();
    const { liveBytes } = memory.stats();
    for (let spare = 1; ; spare += 16) {
      memory.setLimit(liveBytes + spare);
      try {
        fn();
        memory.setLimit(0);
        return;
      } catch (error) {
        expect(error).toBeInstanceOf(OutOfMemoryError);
        failures++;
      }
    }
  };
  expect(train(scarce, overflow)).toEqual(expected);
  expect(failures).toBeGreaterThan(20);
});
