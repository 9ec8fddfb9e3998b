import { on, type SavedCall } from '../../autograd/derivative.ts';
import { maxPoolBackward, type ConvParams } from '../../dispatch/convPool.ts';
import { promote } from '../../tensor/dtype.ts';
import { avgPoolBackward, avgPoolBy, convolutionBy, convInputGrad, convWeightGrad } from '../primitives.ts';
import { differentiating, zerosOf, type DerivativesOf } from './formulas.ts';

/** Returns the parameters of the convolution that computes the gradient of operand i. */
const convParams = (s: SavedCall<ConvParams>, i: number): ConvParams => ({
  ...s.params,
  shape: s.shapeOf(i),
  dtype: s.infoOf(i),
});

/** The derivatives of convolutions and pools. */
export const convolution = {
  convolution: [
    on(['b'], (g, s) => convInputGrad(g, s.b, convParams(s, 0))),
    on(['a'], (g, s) => convWeightGrad(s.a, g, convParams(s, 1))),
    on([], (g, s) => g.sum([0, 2, 3], { dtype: promote(g.info, s.infoOf(2)).name })),
  ],
  // The derivatives of each of the three convolution ops are the other two.
  convInputGrad: [
    on(['b'], (g, s) => convolutionBy(g, s.b, convParams(s, 0))),
    on(['a'], (g, s) => convWeightGrad(g, s.a, convParams(s, 1))),
  ],
  convWeightGrad: [
    on(['b'], (g, s) => convInputGrad(s.b, g, convParams(s, 0))),
    on(['a'], (g, s) => convolutionBy(s.a, g, convParams(s, 1))),
  ],
  maxPool: [
    on(['extra'], (g, s) => {
      const [shape, indices] = [s.shapeOf(0), s.extra(0)!];
      if (!differentiating()) return maxPoolBackward(s.op, g.contiguous(), indices, shape, s.params);
      const planes = zerosOf([shape[0]!, shape[1]!, shape[2]! * shape[3]!], g);
      return planes.scatterAdd(2, indices.flatten(2), g.flatten(2)).reshape(shape);
    }),
  ],
  avgPool: [on([], (g, s) => avgPoolBackward(g, { ...s.params, shape: s.shapeOf(0) }))],
  avgPoolBackward: [on([], (g, s) => avgPoolBy(g, { ...s.params, shape: s.shapeOf(0) }))],
} satisfies DerivativesOf<'convolution' | 'maxPool' | 'avgPool' | 'avgPoolBackward'>;
