/**
 * A checkpointed function may read tensors from outside. The checkpoint records them: if one was changed in place
 * before backward, the recomputation would use other values, so backward fails.
 */
import { describe, expect, test } from 'bun:test';
import { autocast, autograd, AutogradError, F, ones, tidy, zeros, type Tensor } from 'castor';
import { devices } from './setup.ts';

const { checkpoint } = autograd;

for (const device of devices)
  describe(`a tensor from outside, ${device}`, () => {
    const into = (): Tensor => zeros([4], { device });
    const mask = (): Tensor => ones([4], { device }).gt(0);
    const positions = (): Tensor => zeros([4], { device, dtype: 'int64' });
    /** x is the argument, whose gradient reads what comes out of `other`. */
    test.each<[string, (x: Tensor, other: Tensor) => Tensor]>([
      ['an operand', (x, other) => x.mul(other)],
      ['the operand of another op', (x, other) => x.mul(other.exp())],
      ['a view', (x, other) => x.mul(other.slice(0))],
      ['many views', (x, other) => x.mul(F.cat(other.split(2)))],
      ['copy_', (x, other) => x.mul(into().copy_(other))],
      ['copy_, converted', (x, other) => x.mul(into().copy_(other.double()))],
      ['in place', (x, other) => x.mul(into().add_(other))],
      ['set_ to a range', (x, other) => x.mul(into().set_('0:', other))],
      ['set_ added to a range', (x, other) => x.mul(into().set_('0:', other, { accumulate: true }))],
      ['set_ to positions', (x, other) => x.mul(into().set_([[0, 1, 2, 3]], other))],
      ['set_ added to positions', (x, other) => x.mul(into().set_([[0, 1, 2, 3]], other, { accumulate: true }))],
      ['set_ with a mask', (x, other) => x.mul(into().set_(mask(), other))],
      ['set_ with a mask, one value for all', (x, other) => x.mul(into().set_(mask(), other.slice(0, 0, 1)))],
      ['the positions of set_', (x, other) => x.mul(into().set_(other.long(), 2))],
      ['the positions of at', (x, other) => x.mul(ones([4], { device }).at(other.long().clamp({ max: 3 })))],
      ['a mask of at', (x, other) => x.mul(ones([4], { device }).at(other.gt(0)).slice(0, 0, 1))],
      ['gather', (x, other) => x.mul(other.gather(0, positions()))],
      ['where', (x, other) => x.mul(F.where(mask(), other, 0))],
      ['reshape', (x, other) => x.reshape([2, 2]).mul(other.reshape([2, 2]))],
      ['contiguous, and to another dtype', (x, other) => x.double().mul(other.contiguous().double())],
      ['a norm', (x, other) => F.layerNorm(x.mul(other), [4], other)],
      ['running statistics', (x, other) => F.batchNorm(x.reshape([1, 4]), { runningMean: other, runningVar: other })],
      [
        'running variance alone',
        (x, other) => F.batchNorm(x.reshape([1, 4]), { runningMean: into(), runningVar: other }),
      ],
      ['a linear map under autocast', (x, other) => autocast({ device }, () => F.linear(x, other.reshape([1, 4])))],
      ['a loss under autocast', (x, other) => autocast({ device }, () => F.mseLoss(x, other))],
    ])('read by %s', (_, read) =>
      tidy(() => {
        const run = (change: (other: Tensor) => void): Tensor => {
          const x = ones([4], { device, requiresGrad: true });
          const other = ones([4], { device });
          const y = checkpoint((a: Tensor) => read(a, other).sum(), x);
          change(other);
          y.backward();
          return x.grad!;
        };
        const unchanged = run(() => {});
        const x = ones([4], { device, requiresGrad: true });
        read(x, ones([4], { device }))
          .sum()
          .backward();
        expect(unchanged).toBeAllclose(x.grad!);
        expect(() => run(other => other.mul_(1))).toThrow(AutogradError);
        expect(() => run(other => other.mul_(1))).toThrow(/checkpoint: .*changed in place/);
      }),
    );
    test.each<[string, (x: Tensor, index: Tensor) => Tensor]>([
      ['set_', (x, index) => x.mul(into().set_([index], 2))],
      ['set_ with accumulate', (x, index) => x.mul(into().set_([index], 2, { accumulate: true }))],
      ['at', (x, index) => x.at(index)],
      ['at with two', (x, index) => x.reshape([2, 2]).at(index, index)],
      ['indexSelect', (x, index) => x.indexSelect(0, index)],
      ['scatter', (x, index) => x.mul(into().scatter(0, index, 2))],
      ['embedding', (x, index) => F.embedding(index, x.reshape([2, 2]))],
    ])('of positions, read by %s', (_, read) =>
      tidy(() => {
        const x = ones([4], { device, requiresGrad: true });
        const index = ones([1], { device, dtype: 'int64' });
        const y = checkpoint((a: Tensor) => read(a, index).sum(), x);
        index.mul_(1);
        expect(() => y.backward()).toThrow(/checkpoint: .*changed in place/);
      }),
    );
    test('that is only written to is the function’s own affair', () =>
      tidy(() => {
        const x = ones([4], { device, requiresGrad: true });
        const log = into();
        const y = checkpoint((a: Tensor) => {
          log.fill_(3);
          return a.mul(a).sum();
        }, x);
        log.add_(1);
        y.backward();
        expect(x.grad!.toArraySync()).toEqual([2, 2, 2, 2]);
      }));
  });
