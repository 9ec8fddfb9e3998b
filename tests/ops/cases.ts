import type { Cases } from './case.ts';
import { binary } from './cases/binary.ts';
import { indexing } from './cases/indexing.ts';
import { lines } from './cases/lines.ts';
import { pointwise } from './cases/pointwise.ts';
import { products } from './cases/products.ts';
import { reductions } from './cases/reductions.ts';
import { rows } from './cases/rows.ts';
import { unary } from './cases/unary.ts';
import { views } from './cases/views.ts';

/** One row for each op: operands, parameters, reference, tolerance. The type checker requires a row for every op. */
export const cases: Cases = {
  ...unary,
  ...binary,
  ...pointwise,
  ...reductions,
  ...lines,
  ...rows,
  ...views,
  ...indexing,
  ...products,
  copy: { coveredBy: 'to' },
  batchNormEval: { coveredBy: 'batchNorm' },
  triangle: { coveredBy: 'tril' },
  convolution: { coveredBy: 'conv2d' },
  maxPool: { coveredBy: 'maxPool2d' },
  avgPool: { coveredBy: 'avgPool2d' },
  avgPoolBy: { coveredBy: 'avgPool2d' },
};
