import { ops, type Op } from '../registry.ts';
import type { OpName, ParamsOfOp } from '../table.ts';
import { sliceBy } from '../primitives.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { attention } from './attention.ts';
import { convolution } from './convolution.ts';
import { elementwise } from './elementwise.ts';
import type { Derivatives } from './formulas.ts';
import { indexing } from './indexing.ts';
import { losses } from './losses.ts';
import { norms } from './norms.ts';
import { products } from './products.ts';
import { reductions } from './reductions.ts';
import { views } from './views.ts';

/** The derivative of each op. A missing one is an error of the type checker. */
export const derivatives: Required<Derivatives> = {
  ...elementwise,
  ...losses,
  ...reductions,
  ...norms,
  ...indexing,
  ...products,
  ...convolution,
  ...attention,
  ...views,
};

/**
 * The ops whose result is a view, with the function that makes the same view of another tensor of the same shape, whose layout may need a
 * copy.
 */
const viewsAgain: { readonly [N in OpName]?: (t: Tensor, params: ParamsOfOp<N>) => Tensor } = {
  view: (t, { shape }) => t.reshape(shape),
  expand: (t, { shape }) => t.expand(shape),
  permute: (t, { order }) => t.permute(order),
  slice: sliceBy,
};

/** Gives each op its derivative. The index of the package imports this file after that of the methods. */
for (const op of Object.values<Op>(ops)) {
  const { name } = op as { name: OpName };
  Object.assign(op, { derivative: derivatives[name], viewAgain: viewsAgain[name] ?? null });
}
