import { on, together } from '../../autograd/derivative.ts';
import { sliceOf } from '../../dispatch/layout.ts';
import { sliceBackward, sliceBy } from '../primitives.ts';
import { differentiating, same, type DerivativesOf } from './formulas.ts';

/** The derivatives of ops that move elements. */
export const views = {
  copy: [same],
  cat: together([], (g, s) => {
    const { axis, sizes, stacks = false } = s.params;
    const part = differentiating() ? sliceBy : sliceOf;
    let end = 0;
    return sizes.map((size, i) => {
      const start = end;
      end += size;
      return s.needs(i) ? part(g, { axis, start, size, step: 1, drop: stacks }) : null;
    });
  }),
  view: [on([], (g, s) => g.reshape(s.shapeOf(0)))],
  expand: [same],
  permute: [on([], (g, { params }) => g.permute(params.order.map((_, axis) => params.order.indexOf(axis))))],
  slice: [on([], (g, s) => sliceBackward(g, { ...s.params, shape: s.shapeOf(0) }))],
  sliceBackward: [on([], (g, { params }) => sliceBy(g, params))],
} satisfies DerivativesOf<'copy' | 'cat' | 'view' | 'expand' | 'permute' | 'slice' | 'sliceBackward'>;
