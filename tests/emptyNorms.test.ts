/** Norms of a batch without samples: the gradients of weight and bias are zeros, whichever of them are wanted. */
import { describe, expect, test } from 'bun:test';
import { autograd, F, ones, tidy, zeros, type Tensor } from 'castor';
import { devices } from './setup.ts';

type Norm = (x: Tensor, weight: Tensor | null, bias: Tensor | null) => Tensor;
const norms: Readonly<Record<string, Norm>> = {
  layerNorm: (x, weight, bias) => F.layerNorm(x, [4], weight, bias),
  rmsNorm: (x, weight) => F.rmsNorm(x, [4], weight),
  groupNorm: (x, weight, bias) => F.groupNorm(x.transpose(1, 2), 2, weight, bias),
  'batchNorm in training': (x, weight, bias) => F.batchNorm(x.transpose(1, 2), { weight, bias, training: true }),
  'batchNorm in evaluation': (x, weight, bias) =>
    F.batchNorm(x.transpose(1, 2), {
      weight,
      bias,
      runningMean: zeros([4], { device: x.device }),
      runningVar: ones([4], { device: x.device }),
    }),
};
const subsets = [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]];

describe.each([...devices])('norms without samples on %s', device => {
  test.each(Object.entries(norms))('%s', (name, norm) =>
    tidy(() => {
      for (const wanted of subsets) {
        const inputs = [zeros([0, 3, 4], { device }), ones([4], { device }), zeros([4], { device })];
        const leaves = wanted.filter(i => name !== 'rmsNorm' || i < 2).map(i => inputs[i]!.requiresGrad_());
        if (leaves.length === 0) continue;
        const out = norm(inputs[0]!, inputs[1]!, inputs[2]!);
        expect(out.numel).toBe(0);
        const grads = autograd.grad([out.sum()], leaves);
        grads.forEach((grad, i) => {
          expect(grad.shape, `${name}, wanted ${wanted}`).toEqual(leaves[i]!.shape);
          expect(grad.countNonzero().itemSync()).toBe(0);
        });
      }
    }),
  );
});
