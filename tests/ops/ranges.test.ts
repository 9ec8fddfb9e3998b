import { describe, expect, test } from 'bun:test';
import { autograd, F, full, optim, tensor, tidy, type Device, type FloatDType, type Tensor } from 'castor';
import { devices, sized } from '../setup.ts';

const halves = ['float16', 'bfloat16'] as const;
/** The gradient of the sum, first without and then with a graph of its own. */
const gradients = (x: Tensor, f: (x: Tensor) => Tensor, incoming = 1): Tensor[] =>
  [false, true].map(createGraph => {
    const out = f(x);
    const [grad] = autograd.grad([out], [x], {
      gradOutputs: [full(out.shape, incoming, { dtype: out.dtype, device: x.device })],
      createGraph,
    });
    return grad!;
  });
const leaf = (values: number[] | number[][], device: Device, dtype: FloatDType = 'float32'): Tensor =>
  tensor(values, { dtype, device, requiresGrad: true });

describe.each([...devices])('on %s', device => {
  test.each([...halves])('ties are counted in integers, in %s', dtype => {
    tidy(() => {
      const n = sized(70_000, 5_000);
      const ones = full([n], 1, { dtype, device, requiresGrad: true });
      const share = tensor([1 / n], { dtype, device }).itemSync();
      for (const f of [(x: Tensor) => x.amax(), (x: Tensor) => x.amin(), (x: Tensor) => x.norm(Infinity)])
        for (const grad of gradients(ones, f)) {
          expect(grad.amax().itemSync()).toBe(share);
          expect(grad.amin().itemSync()).toBe(share);
        }
    });
  });

  test('an infinite gradient reaches the winner alone', () => {
    tidy(() => {
      const x = leaf([1, 3, 2], device);
      const other = tensor([2, 1, 2], { device });
      for (const grad of gradients(x, t => t.maximum(other), Infinity))
        expect(grad).toBeAllclose([0, Infinity, Infinity]);
      for (const grad of gradients(x, t => t.minimum(other), -Infinity))
        expect(grad).toBeAllclose([-Infinity, 0, -Infinity]);
      for (const grad of gradients(x, t => t.amax(), Infinity)) expect(grad).toBeAllclose([0, Infinity, 0]);
      for (const grad of gradients(x, t => t.amin(), Infinity)) expect(grad).toBeAllclose([Infinity, 0, 0]);
      for (const grad of gradients(x, t => t.sub(2).relu(), Infinity)) expect(grad).toBeAllclose([0, Infinity, 0]);
      for (const grad of gradients(x, t => t.clamp({ min: 0, max: 2.5 }), Infinity))
        expect(grad).toBeAllclose([Infinity, 0, Infinity]);
    });
  });

  test('NaN is told to both operands, and to all that might have won', () => {
    tidy(() => {
      const x = leaf([NaN, 1], device);
      for (const grad of gradients(x, t => t.maximum(0))) expect(grad).toBeAllclose([1, 1]);
      for (const grad of gradients(x, t => t.amax())) expect(grad).toBeAllclose([NaN, NaN]);
    });
  });

  test('quotients keep their range where squares would leave it', () => {
    tidy(() => {
      for (const size of [1e-30, 1e-25, 1e20, 1e30]) {
        const x = leaf([size], device);
        const same = tensor([size], { device });
        const inverse = 1 / size;
        const near = { rtol: 1e-5, atol: 0 };
        for (const grad of gradients(x, t => same.div(t))) expect(grad).toBeAllclose([-inverse], near);
        for (const grad of gradients(x, t => F.div(size, t))) expect(grad).toBeAllclose([-inverse], near);
        for (const grad of gradients(x, t => same.addcdiv(same, t))) expect(grad).toBeAllclose([-inverse], near);
        for (const grad of gradients(x, t => t.atan2(same))) expect(grad).toBeAllclose([inverse / 2], near);
        for (const grad of gradients(x, t => same.atan2(t))) expect(grad).toBeAllclose([-inverse / 2], near);
        for (const grad of gradients(x, t => t.hypot(same))) expect(grad).toBeAllclose([Math.SQRT1_2], near);
      }
      for (const grad of gradients(leaf([1e-30], device), t => F.div(1e-30, t), 0)) expect(grad).toBeAllclose([0]);
    });
  });

  test('angles and lengths have a gradient of 0 at the origin', () => {
    tidy(() => {
      const x = leaf([0, 0], device);
      const zeros = tensor([0, -0], { device });
      for (const f of [
        (t: Tensor) => t.atan2(zeros),
        (t: Tensor) => zeros.atan2(t),
        (t: Tensor) => t.hypot(zeros),
        (t: Tensor) => t.norm(),
      ])
        for (const grad of gradients(x, f)) expect(grad).toBeAllclose([0, 0]);
    });
  });

  test('products of zeros are right in derivatives of every order', () => {
    tidy(() => {
      for (const f of [(t: Tensor) => t.prod(), (t: Tensor) => t.cumprod(0).sum()]) {
        const x = leaf([0, 0, 0], device, 'float64');
        // The mixed third derivative of x y z is 1; those of x + x y, which the running sum adds, are 0.
        const [first] = autograd.grad(f(x), [x], { createGraph: true });
        const [second] = autograd.grad(first!.at(0), [x], { createGraph: true });
        const [third] = autograd.grad(second!.at(1), [x]);
        expect(third!).toBeAllclose([0, 0, 1]);
      }
      const none = tensor([], { device, requiresGrad: true });
      for (const f of [(t: Tensor) => t.prod(), (t: Tensor) => t.cumprod(0).sum()])
        for (const grad of gradients(none, f)) expect(grad.shape).toEqual([0]);
      const single = full([2, 1, 3], 0, { device, requiresGrad: true });
      for (const grad of gradients(single, t => t.prod(1))) expect(grad).toBeAllclose(full([2, 1, 3], 1, { device }));
      for (const grad of gradients(full([], 0, { device, requiresGrad: true }), t => t.prod()))
        expect(grad.itemSync()).toBe(1);
    });
  });

  test.each([...halves])('losses are sums in float32, in %s', dtype => {
    tidy(() => {
      const options = { dtype, device };
      const far = full([8], 300, { ...options, requiresGrad: true });
      const target = full([8], 100, options);
      const mse = F.mseLoss(far, target);
      expect(mse.dtype).toBe(dtype);
      // 200^2 is in the range of float16, but the sum of the squares is not.
      expect(mse.itemSync()).toBe(tensor([40_000], options).itemSync());
      const [grad] = autograd.grad(mse, far);
      expect(grad!).toBeAllclose(full([8], 50, options), { rtol: 0, atol: 0 });
      const n = sized(70_000, 5_000);
      const rows = full([n, 2], -1.5, options);
      const ids = full([n], 1, { dtype: 'int64', device });
      expect(F.nllLoss(rows, ids).itemSync()).toBe(1.5);
      expect(F.nllLoss(rows, ids, { weight: full([2], 0.5, options) }).itemSync()).toBe(1.5);
      expect(F.l1Loss(full([n], 3, options), full([n], 1, options)).itemSync()).toBe(2);
    });
  });

  test('a target that is ignored counts nothing, whatever stands in its row', () => {
    tidy(() => {
      const x = leaf(
        [
          [-Infinity, 0],
          [0, 0],
        ],
        device,
      );
      const ids = tensor([-100, 1], { dtype: 'int64', device });
      const weight = tensor([1, 2], { device });
      const log2 = Math.LN2;
      expect(F.nllLoss(x.detach(), ids).itemSync()).toBeCloseTo(0, 6);
      for (const options of [{}, { weight }, { labelSmoothing: 0.5 }])
        expect(F.crossEntropy(x.detach(), ids, options).itemSync()).toBeCloseTo(log2, 6);
      expect(F.crossEntropy(x.detach(), ids, { weight, labelSmoothing: 0.5 }).isFinite().itemSync()).toBe(1);
    });
  });

  test('a step on saturated probabilities leaves the weights finite', () => {
    tidy(() => {
      const weight = leaf([[1]], device);
      const optimizer = new optim.SGD([weight], { lr: 0.1 });
      const x = tensor([[1000], [-1000]], { device });
      const target = tensor([[1], [0]], { device });
      F.binaryCrossEntropy(x.matmul(weight).sigmoid(), target).backward();
      optimizer.step();
      expect(weight.itemSync()).toBe(1);
      optimizer.zeroGrad();
    });
  });
});
