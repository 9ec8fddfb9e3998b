import { describe, expect, test } from 'bun:test';
import {
  ArgumentError,
  autocast,
  AutogradError,
  autograd,
  clearAutocastCache,
  enableGrad,
  F,
  inferenceMode,
  isGradEnabled,
  isInferenceModeEnabled,
  memory,
  nn,
  noGrad,
  ones,
  randn,
  type Tensor,
} from 'castor';
import { devices, liveStorages, tidyTest } from './setup.ts';

const refused = (fn: () => unknown, message: RegExp): AutogradError => {
  let error: unknown;
  try {
    fn();
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(AutogradError);
  expect((error as Error).message).toMatch(message);
  expect((error as AutogradError).advice).toMatch(/clone\(\)/);
  return error as AutogradError;
};

for (const device of devices)
  describe(`inference mode on ${device}`, () => {
    const weight = (): Tensor => ones([2], { requiresGrad: true, device });

    // Every line as PyTorch 2.13 does it.
    tidyTest('makes inference tensors without a graph, and leaves views of others as they are', () => {
      const [w, p] = [weight(), ones([2], { device })];
      inferenceMode(() => {
        const made = w.mul(2);
        expect([made.requiresGrad, made.isInference, made.isLeaf]).toEqual([false, true, true]);
        expect([w.reshape([2, 1]).isInference, p.reshape([2, 1]).isInference, w.detach().isInference]).toEqual(
          Array(3).fill(false),
        );
        expect(made.reshape([2, 1]).isInference).toBe(true);
        expect([isGradEnabled(), isInferenceModeEnabled()]).toEqual([false, true]);
        expect(ones([2], { requiresGrad: true, device }).requiresGrad).toBe(true);
        expect(p.add_(1).version).toBe(1);
        w.add_(1);
      });
      expect([isGradEnabled(), isInferenceModeEnabled()]).toEqual([true, false]);
      expect(w.dataSync()).toEqual(new Float32Array([2, 2]));
    });
    tidyTest('is left by inferenceMode(false), not by enableGrad()', () => {
      const w = weight();
      inferenceMode(() => {
        expect(enableGrad(() => w.mul(2)).requiresGrad).toBe(false);
        const normal = inferenceMode(false, () => w.mul(2));
        expect([normal.requiresGrad, normal.isInference]).toEqual([true, false]);
      });
      expect(noGrad(() => w.mul(2)).isInference).toBe(false);
    });
    tidyTest('its tensors enter no graph: what backward would read is refused', () => {
      const w = weight();
      const made = inferenceMode(() => w.mul(2));
      const before = liveStorages(device);
      const error = refused(() => w.mul(made), /mul: backward would read a tensor that was made in inference mode/);
      expect(error.shapes.length).toBeGreaterThan(0);
      refused(() => made.mul(w), /^mul/);
      refused(() => F.linear(made.reshape([1, 2]), ones([3, 2], { requiresGrad: true, device })), /^linear/);
      const custom = autograd.customFunction({
        name: 'Twice',
        forward: (ctx, x: Tensor, y: Tensor) => {
          ctx.saveForBackward(y);
          return x.add(y);
        },
        backward: (_, grad) => [grad, null],
      });
      refused(() => custom(w, made), /^Twice: backward would read/);
      expect(custom(w.detach(), made).requiresGrad).toBe(false);
      // What backward does not read may be mixed, and a copy is a normal tensor.
      expect(w.add(made).requiresGrad).toBe(true);
      expect([made.mul(2).isInference, made.clone().isInference]).toEqual([false, false]);
      w.mul(made.clone()).sum().backward();
      expect(w.grad).toBeAllclose([2, 2]);
      expect(liveStorages(device)).toBeGreaterThanOrEqual(before);
    });
    tidyTest('its tensors are neither written to nor made to require a gradient outside of it', () => {
      const made = inferenceMode(() => ones([2], { device }).mul(2));
      refused(() => made.add_(1), /add_: an inference tensor is changed in place in inference mode only/);
      refused(() => made.reshape([2, 1]).zero_(), /zero_/);
      refused(() => made.copy_(ones([2], { device })), /copy_/);
      refused(() => noGrad(() => made.add_(1)), /add_/);
      refused(() => made.requiresGrad_(), /requiresGrad: an inference tensor cannot require a gradient/);
      refused(() => made.version, /not counted/);
      expect(made.dataSync()).toEqual(new Float32Array([2, 2]));
      inferenceMode(() => made.add_(1));
      expect(ones([2], { device }).copy_(made)).toBeAllclose([3, 3]);
      expect(made.clone().requiresGrad_().requiresGrad).toBe(true);
    });
    test('follows async functions, and does not reach others', async () => {
      const [inside, outside] = await Promise.all([
        inferenceMode(async () => {
          await Bun.sleep(2);
          return isInferenceModeEnabled();
        }),
        Bun.sleep(1).then(isInferenceModeEnabled),
      ]);
      expect([inside, outside]).toEqual([true, false]);
    });

    describe('casts of weights', () => {
      const model = (): nn.Linear => new nn.Linear(8, 4, { device });
      const product = (layer: nn.Linear, x: Tensor, dtype: 'bfloat16' | 'float16' = 'bfloat16'): Float32Array =>
        autocast({ dtype, device }, () => Float32Array.from(layer.forward(x).dataSync() as Float32Array));
      tidyTest('are kept beyond the autocast scope, and are those of the scope to the bit', () => {
        const [layer, x] = [model(), randn([3, 8], { device })];
        const once = noGrad(() => product(layer, x));
        expect(layer.weight.cast).not.toBeNull();
        inferenceMode(() => {
          expect(product(layer, x)).toEqual(once);
          const copy = (layer.weight.cast as { copy: Tensor }).copy;
          expect(product(layer, x)).toEqual(once);
          expect((layer.weight.cast as { copy: Tensor }).copy).toBe(copy);
          expect(copy.disposed).toBe(false);
          product(layer, x, 'float16');
          expect(copy.disposed).toBe(false);
          clearAutocastCache();
        });
        inferenceMode(() => autocast({ device }, () => clearAutocastCache()));
      });
      tidyTest('are made again after a write to the weight, and after clearAutocastCache()', () => {
        const [layer, x] = [model(), randn([3, 8], { device })];
        inferenceMode(() => {
          const first = product(layer, x);
          layer.weight.mul_(2);
          layer.bias!.zero_();
          const second = product(layer, x);
          expect(second).not.toEqual(first);
          expect(second).toEqual(inferenceMode(false, () => noGrad(() => product(layer, x))));
          autocast({ device }, () => clearAutocastCache());
          expect(product(layer, x)).toEqual(second);
          autocast({ device }, () => clearAutocastCache());
        });
      });
      tidyTest('follow loadStateDict() and training', () => {
        const [layer, other, x] = [model(), model(), randn([3, 8], { device })];
        inferenceMode(() => product(layer, x));
        layer.loadStateDict(other.stateDict());
        const expected = noGrad(() => product(other, x));
        expect(inferenceMode(() => product(layer, x))).toEqual(expected);
        inferenceMode(() => autocast({ device }, () => clearAutocastCache()));
      });
      test('go with the model', async () => {
        const before = liveStorages(device);
        const use = (): void => {
          for (let i = 0; i < 20; i++)
            inferenceMode(() => {
              const [layer, x] = [model(), randn([3, 8], { device })];
              product(layer, x);
            });
        };
        use();
        for (let i = 0; i < 50 && liveStorages(device) > before + 8; i++) {
          await Bun.sleep(i);
          memory.collect();
        }
        expect(liveStorages(device)).toBeLessThanOrEqual(before + 8);
      });
    });
  });

test('inferenceMode() refuses what is no function', () => {
  expect(() => inferenceMode(1 as never)).toThrow(ArgumentError);
  expect(() => inferenceMode('x' as never, () => 1)).toThrow(/neither a function nor a boolean/);
  expect(() => inferenceMode(true, 3 as never)).toThrow(ArgumentError);
  expect(() => inferenceMode(function* () {} as never)).toThrow(ArgumentError);
});
