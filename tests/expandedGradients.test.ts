/** Gradients that show one element of memory at several positions, as expand() makes them: they can be read, but not be written to. */
import { describe, expect, test } from 'bun:test';
import { GradScaler, nn, optim, ShapeError, tensor, tidy, zeros, type Tensor } from 'castor';

const optimizers: Readonly<Record<string, (p: Tensor) => optim.Optimizer<any>>> = {
  SGD: p => new optim.SGD([p], { lr: 0.5 }),
  'SGD with momentum': p => new optim.SGD([p], { lr: 0.5, momentum: 0.9, weightDecay: 0.1 }),
  Adam: p => new optim.Adam([p], { lr: 0.5 }),
  'AdamW with amsgrad': p => new optim.AdamW([p], { lr: 0.5, amsgrad: true }),
};

describe('an expanded gradient', () => {
  test.each(Object.entries(optimizers))('is read by %s as its elements are', (_, make) =>
    tidy(() => {
      const [expanded, full] = [nn.Parameter(zeros([2, 3])), nn.Parameter(zeros([2, 3]))];
      const [one, other] = [make(expanded), make(full)];
      for (const value of [2, -1, 0.25]) {
        expanded.grad = tensor([[value], [2 * value]]).expand(2, 3);
        full.grad = expanded.grad.clone();
        one.step();
        other.step();
      }
      expect(expanded.toArraySync()).toEqual(full.toArraySync());
      expect(expanded.select(1, 0).toArraySync()).not.toEqual([0, 0]);
    }),
  );
  test('cannot be clipped or unscaled, which writes to it', () =>
    tidy(() => {
      const p = nn.Parameter(zeros([3]));
      p.grad = tensor([2]).expand(3);
      const scaler = new GradScaler({ initScale: 2 });
      scaler.scale(p.sum());
      const optimizer = new optim.SGD([p], { lr: 1 });
      for (const write of [
        () => nn.clipGradNorm([p], 1),
        () => nn.clipGradValue([p], 1),
        () => scaler.unscale(optimizer, { byHand: false }),
      ])
        expect(write).toThrow(ShapeError);
      expect(p.grad.toArraySync()).toEqual([2, 2, 2]);
    }));
});
