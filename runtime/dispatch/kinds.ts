import { attention, type AttentionParams } from './attention.ts';
import * as axes from './axes.ts';
import { channelNorm, type ChannelNormParams } from './channelNorm.ts';
import * as elementwise from './elementwise.ts';
import { gather, scatter, type GatherParams } from './indexing.ts';
import type { Run } from './op.ts';
import { linear, matmul, type MatmulParams } from './products.ts';
import * as views from './views.ts';
import { convolution, pool, type ConvParams, type PoolParams } from './windows.ts';

type None = Record<never, never>;

/** The kinds of ops, and what each takes beside tensors. */
export interface KindParams {
  unary: elementwise.Scalars;
  binary: elementwise.Scalars;
  compare: elementwise.Scalars;
  ternary: elementwise.Scalars;
  dropout: elementwise.DropoutParams;
  triangle: elementwise.TriangleParams;
  reduce: axes.ReduceParams;
  scan: axes.AxisParams;
  softmax: axes.AxisParams;
  sort: axes.SortParams;
  norm: axes.NormParams;
  channelNorm: ChannelNormParams;
  crossEntropy: axes.CrossEntropyParams;
  gather: GatherParams;
  scatter: GatherParams;
  matmul: MatmulParams;
  linear: None;
  convolution: ConvParams;
  pool: PoolParams;
  attention: AttentionParams;
  copy: views.CopyParams;
  cat: views.CatParams;
  view: views.ShapeParams;
  expand: views.ShapeParams;
  permute: views.PermuteParams;
  slice: views.SliceParams;
  unslice: views.UnsliceParams;
}
export type Kind = keyof KindParams;

/** How each kind is computed. A missing one does not compile. */
export const kinds: { readonly [K in Kind]: Run<K> } = {
  ...{
    unary: elementwise.unary,
    binary: elementwise.binary,
    compare: elementwise.compare,
    ternary: elementwise.ternary,
  },
  ...{ dropout: elementwise.dropout, triangle: elementwise.triangle },
  ...{
    reduce: axes.reduce,
    scan: axes.scan,
    softmax: axes.softmax,
    sort: axes.sort,
    norm: axes.norm,
    crossEntropy: axes.crossEntropy,
  },
  ...{ channelNorm, gather, scatter, matmul, linear, convolution, pool, attention },
  ...{ copy: views.copy, cat: views.cat, view: views.reshape, expand: views.expand, permute: views.permute },
  ...{ slice: views.slice, unslice: views.unslice },
};

/** Kinds whose result shares the memory of their input. */
export const viewKinds: ReadonlySet<Kind> = new Set<Kind>(['view', 'expand', 'permute', 'slice']);
