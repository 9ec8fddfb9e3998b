import { on } from '../../autograd/derivative.ts';
import { crossEntropyBackward } from '../../dispatch/axes.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { differentiating, wide, widened, zeros, type Derivatives } from './formulas.ts';

/** (x - t) / (x (1 - x)): the derivative of binaryCrossEntropy. As in PyTorch the denominator is at least 1e-12, as a constant. */
function probabilitySlope(x: Tensor, t: Tensor): Tensor {
  const divisor = x.neg().add(1).mul(x);
  if (!differentiating()) return x.sub(t).div(divisor.clamp({ min: 1e-12 }));
  const saturated = divisor.lt(1e-12);
  const slope = x.sub(t).div(divisor.maskedFill(saturated, 1));
  return x.detach().sub(t).div(1e-12).where(saturated, slope);
}

/** w sigmoid(x) - (t + w - 1): the derivative of binaryCrossEntropyWithLogits by the logits x. */
const logitSlope = (x: Tensor, t: Tensor, w: Tensor | number): Tensor =>
  w === 1 ? x.sigmoid().sub(t) : x.sigmoid().mul(w).sub(t.add(w).sub(1));

/** The derivatives of losses. */
export const losses = {
  binaryCrossEntropy: [
    wide(['a', 'b'], (g, s) => g.mul(probabilitySlope(s.a, s.b))),
    wide(['a'], (g, s) => g.mul(s.a.neg().log1p().sub(s.a.log()))),
  ],
  binaryCrossEntropyWithLogits: [
    wide(['a', 'b', 'c'], (g, s) => g.mul(logitSlope(s.a, s.b, s.c))),
    wide(['a'], (g, s) => g.mul(s.a).neg()),
    wide(['a'], (g, s) => g.mul(s.a.neg().softplus({ threshold: Infinity }))),
  ],
  crossEntropy: [
    on(['a', 'b', 'extra'], (g, s) => {
      if (!differentiating()) return crossEntropyBackward(s.op, g, s.a, s.b, s.extra(0)!, s.params);
      const { ignoreIndex, labelSmoothing } = s.params;
      const counted = s.b.ne(ignoreIndex);
      const classes = s.a.shape[1]!;
      const onehot = zeros(widened(s.a.detach())).scatter(1, s.b.maskedFill(counted.logicalNot(), 0).unsqueeze(1), 1);
      const slope = widened(s.a)
        .softmax(1)
        .sub(onehot.mul(1 - labelSmoothing))
        .sub(labelSmoothing / classes);
      return slope.mul(g.mul(counted.to(g.dtype)).unsqueeze(1));
    }),
  ],
} satisfies Derivatives;
