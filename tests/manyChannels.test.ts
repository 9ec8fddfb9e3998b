/** Convolutions of more channels than a block of the matrix product has rows give what parts of the channels give. */
import { describe, expect, test } from 'bun:test';
import { autograd, cat, F, randn, tidy, type Tensor } from 'castor';
import { devices } from './setup.ts';

describe.each(devices)('a convolution of 400 channels on %s', device => {
  const [CHANNELS, PART] = [400, 100];
  const parts = Array.from({ length: CHANNELS / PART }, (_, i) => i * PART);

  test.each([
    [3, 1],
    [2, 2],
    [1, 1],
  ])('has the gradients of its parts: kernel %d, stride %d', (kernel, stride) =>
    tidy(() => {
      const x = randn([2, CHANNELS, 6, 5], { device }).requiresGrad_();
      const weight = randn([4, CHANNELS, kernel, kernel], { device }).requiresGrad_();
      const gradients = (input: Tensor, w: Tensor): Tensor[] =>
        autograd.grad(F.conv2d(input, w, null, { stride }).sum(), [input, w]) as Tensor[];
      const whole = gradients(x, weight);
      const byParts = parts.map(first =>
        gradients(
          x.detach().narrow(1, first, PART).requiresGrad_(),
          weight.detach().narrow(1, first, PART).requiresGrad_(),
        ),
      );
      for (const i of [0, 1]) {
        const wanted = cat(
          byParts.map(grads => grads[i]!),
          1,
        );
        expect(whole[i]!.sub(wanted).abs().max().itemSync()).toBeLessThan(1e-4);
      }
    }),
  );
});
