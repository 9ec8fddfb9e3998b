/** Every op refuses a tensor whose memory was freed, whichever operand it is, and shows its shape in the message. */
import { describe, expect, test } from 'bun:test';
import { DisposedError, F, graph, noGrad, ones, optim, tidy, zeros, type Tensor } from 'castor';
import { devices } from '../setup.ts';
import { dtypesOf, layoutsOf, ownCases, tensorsOf, valuesOf } from './run.ts';

const gone = (t: Tensor): Tensor => {
  (t.base ?? t).dispose();
  return t;
};

/** Operands of which a call reads no element: op, number of the variant, number of the operand. */
const unread = new Set(['exponentialLike 0 0', 'set_ 2 1']);

describe.each([...devices])('on %s', device => {
  test.each(ownCases)('%s', (name, row) => {
    let calls = 0;
    row.variants.forEach((variant, number) => {
      const [layouts] = layoutsOf(variant);
      const trial = { name: `${name} ${number}`, dtype: dtypesOf(row, variant)[0]!, layouts: layouts!, device };
      const values = valuesOf(variant, trial);
      if (values === null) return;
      variant.operands.forEach((_, i) =>
        tidy(() => {
          const operands = tensorsOf(variant, values, trial);
          gone(operands[i]!);
          calls++;
          if (unread.has(`${name} ${number} ${i}`)) return;
          let outcome: unknown;
          try {
            const result = noGrad(() => variant.run(...operands));
            // An op that has nothing to do returns its argument.
            outcome = result === operands[i] ? 'refused' : 'nothing was thrown';
          } catch (error) {
            outcome = error instanceof DisposedError ? 'refused' : String(error);
          }
          expect([number, i, outcome]).toEqual([number, i, 'refused']);
        }),
      );
    });
    expect(calls).toBeGreaterThan(0);
  });

  const x = (): Tensor => ones([2, 3], { device });
  const dead = (...shape: number[]): Tensor => gone(zeros(shape, { device }));
  const image = (): Tensor => ones([1, 1, 4, 4], { device });
  test.each<[string, () => unknown]>([
    ['a mask of attention', () => F.scaledDotProductAttention(x(), x(), x(), { mask: dead(2, 2) })],
    ['a weight of a norm', () => F.layerNorm(x(), [3], dead(3))],
    ['a bias of a norm', () => F.layerNorm(x(), [3], null, dead(3))],
    ['a weight of channels', () => F.batchNorm(x(), { weight: dead(3), training: true })],
    ['a bias of channels', () => F.batchNorm(x(), { bias: dead(3), training: true })],
    ['a running mean', () => F.batchNorm(x(), { runningMean: dead(3), runningVar: ones([3], { device }) })],
    ['a running variance', () => F.batchNorm(x(), { runningMean: ones([3], { device }), runningVar: dead(3) })],
    ['a bias of linear', () => F.linear(x(), x(), dead(2))],
    ['a bias of a convolution', () => F.conv2d(image(), image(), dead(1))],
    ['what is copied from', () => x().copy_(dead(2, 3))],
    ['what is copied to', () => dead(2, 3).copy_(x())],
    ['what is filled', () => dead(2, 3).fill_(1)],
    ['what is drawn into', () => dead(2, 3).normal_()],
    ['what is added', () => x().add_(dead(2, 3))],
    ['what is added to', () => dead(2, 3).add_(1)],
    ['what is read', () => dead(2).dataSync()],
    ['the one number that is read', () => dead().itemSync()],
    ['what is read as arrays', () => dead(2).toArraySync()],
    ['a conversion to what it is', () => dead(2).to('float32')],
    ['a view', () => dead(2).slice(0, 1)],
    ['many views', () => dead(2).unbind()],
    ['a weight of classes', () => F.crossEntropy(x(), zeros([2], { device, dtype: 'int64' }), { weight: dead(3) })],
    [
      'a gradient of an optimizer',
      () => {
        const p = x().requiresGrad_();
        p.grad = ones([2, 3], { device });
        gone(p.grad!);
        new optim.SGD([p]).step();
      },
    ],
    [
      'a parameter of an optimizer',
      () => {
        const p = x().requiresGrad_();
        p.grad = ones([2, 3], { device });
        const optimizer = new optim.SGD([p]);
        gone(p);
        optimizer.step();
      },
    ],
    [
      'an input of a graph',
      () => {
        const input = x();
        using captured = graph.capture(() => input.add(1), { device });
        gone(input);
        captured.replay();
      },
    ],
    [
      'a graph',
      () => {
        const captured = graph.capture(() => x().add(1), { device });
        captured.dispose();
        captured.replay();
      },
    ],
  ])('%s', (_, call) => expect(() => tidy(call)).toThrow(DisposedError));
});
