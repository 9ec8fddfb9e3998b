import { on } from '../../autograd/derivative.ts';
import { numelOf } from '../../tensor/shape.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { matmulIn } from '../primitives.ts';
import { same, type DerivativesOf } from './formulas.ts';

const swap = (x: Tensor): Tensor => x.transpose(-2, -1);

const rows = (x: Tensor): Tensor => x.reshape([numelOf(x.shape.slice(0, -1)), x.shape.at(-1)!]);

/** The derivatives of matrix products. */
export const products = {
  matmul: [
    on(['b'], (g, s) => matmulIn(g, swap(s.b), s.infoOf(0))),
    // One matrix is multiplied by a whole batch: the batch is folded into the rows, instead of summing the products.
    on(['a'], (g, s) => {
      const folded = s.shapeOf(1).length === 2 && g.rank > 2;
      return folded ? matmulIn(swap(rows(s.a)), rows(g), s.infoOf(1)) : matmulIn(swap(s.a), g, s.infoOf(1));
    }),
  ],
  linear: [
    on(['b'], (g, s) =>
      g.rank > 1 ? matmulIn(g, s.b, s.infoOf(0)) : matmulIn(rows(g), s.b, s.infoOf(0)).reshape(s.shapeOf(0)),
    ),
    on(['a'], (g, s) => matmulIn(swap(rows(g)), rows(s.a), s.infoOf(1))),
    same,
  ],
} satisfies DerivativesOf<'matmul' | 'linear'>;
