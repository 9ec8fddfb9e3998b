/** In place on a recorded result, an op may keep a copy of the values before. Backward frees it, not the garbage collector. */
import { describe, expect, test } from 'bun:test';
import { full, type Tensor } from 'castor';
import { devices, liveStorages } from './setup.ts';

const ops: Readonly<Record<string, (y: Tensor, other: Tensor) => Tensor>> = {
  add_: (y, other) => y.add_(other),
  mul_: (y, other) => y.mul_(other),
  div_: (y, other) => y.div_(other),
  pow_: (y, other) => y.pow_(other),
  exp_: y => y.exp_(),
  sin_: y => y.sin_(),
  log_: y => y.log_(),
  square_: y => y.square_(),
  sqrt_: y => y.sqrt_(),
  relu_: y => y.relu_(),
  tanh_: y => y.tanh_(),
  zero_: y => y.zero_(),
  copy_: (y, other) => y.copy_(other),
  'mul_ by itself': y => y.mul_(y),
  'mul_ by a number': y => y.mul_(3),
};

describe.each(devices)('in place on %s', device => {
  test.each(Object.entries(ops))('%s leaves nothing when all is disposed', (_, op) => {
    const before = liveStorages(device);
    const x = full([4], 0.5, { device, requiresGrad: true });
    const other = full([4], 2, { device, requiresGrad: true });
    const y = x.mul(2);
    op(y, other);
    const loss = y.sum();
    loss.backward();
    for (const t of [loss, y, x.grad, other.grad, x, other]) t?.dispose();
    expect(liveStorages(device)).toBe(before);
  });
});
