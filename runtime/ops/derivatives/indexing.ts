import { on } from '../../autograd/derivative.ts';
import { same, zeros, zerosFor, type DerivativesOf } from './formulas.ts';

/** The derivatives of ops that read and write by an index. */
export const indexing = {
  gather: [on(['b'], (g, s) => zerosFor(s, 0, g).scatterAdd(s.params.axis, s.b, g)), on([], zeros)],
  // If the result has no elements, forward did not check any position, and backward must not check any either.
  indexSelect: [
    on(['b'], (g, s) => (g.numel === 0 ? zerosFor(s, 0, g) : zerosFor(s, 0, g).indexAdd(s.params.axis, s.b, g))),
    on([], zeros),
  ],
  scatter: [
    on(['b'], (g, s) => g.scatter(s.params.axis, s.b, 0)),
    on([], zeros),
    on(['b'], (g, s) => g.gather(s.params.axis, s.b)),
  ],
  scatterAdd: [same, on([], zeros), on(['b'], (g, s) => g.gather(s.params.axis, s.b))],
  indexCopy: [
    on(['b'], (g, s) => g.indexCopy(s.params.axis, s.b, zeros(g.indexSelect(s.params.axis, s.b)))),
    on([], zeros),
    on(['b'], (g, s) => g.indexSelect(s.params.axis, s.b)),
  ],
  indexAdd: [same, on([], zeros), on(['b'], (g, s) => g.indexSelect(s.params.axis, s.b))],
} satisfies DerivativesOf<'gather' | 'indexSelect' | 'scatter'>;
