import { attention } from './fusedAttention.ts';
import * as axes from './axes.ts';
import { batchGroupNorm } from './batchGroupNorm.ts';
import * as elementwise from './elementwise.ts';
import { gather, indexSelect, scatter } from './gatherScatter.ts';
import type { Kind } from './op.ts';
import { linear, matmul } from './matmul.ts';
import * as views from './layout.ts';
import * as windows from './convPool.ts';

/** Makes a kind whose ops have numbers in the native library's list of this name. */
const numbered = <P>(numbers: string, run: Kind<P>['run'], more: Partial<Kind<P>> = {}): Kind<P> => ({
  run,
  numbers,
  ...more,
});

/** The kinds of ops, each with the function that computes its ops. */
export const kinds = {
  unary: numbered('unary', elementwise.unary, { into: elementwise.unaryInto }),
  binary: numbered('binary', elementwise.binary, { into: elementwise.binaryInto }),
  compare: numbered('compare', elementwise.compare),
  ternary: numbered('ternary', elementwise.ternary),
  where: numbered('ternary', elementwise.where),
  dropout: { run: elementwise.dropout },
  triangle: { run: elementwise.triangle },
  reduce: numbered('reduce', axes.reduce),
  scan: numbered('scan', axes.scan),
  softmax: numbered('softmax', axes.softmax),
  sort: { run: axes.sort },
  norm: numbered('norm', axes.norm),
  batchGroupNorm: numbered('batchGroupNorm', batchGroupNorm),
  crossEntropy: { run: axes.crossEntropy },
  gather: numbered('gather', gather),
  indexSelect: numbered('gather', indexSelect),
  scatter: numbered('scatter', scatter),
  matmul: { run: matmul, keepsDType: true },
  linear: { run: linear, keepsDType: true },
  convolution: numbered('convolution', windows.convolution, { keepsDType: true }),
  maxPool: numbered('pool', windows.maxPool),
  avgPool: numbered('pool', windows.avgPool),
  avgPoolBackward: numbered('pool', windows.avgPoolBackward),
  attention: { run: attention, keepsDType: true },
  copy: { run: views.copy, moves: true },
  cat: { run: views.cat },
  view: { run: views.reshape, moves: true },
  expand: { run: views.expand, moves: true },
  permute: { run: views.permute, moves: true },
  slice: { run: views.slice, moves: true, slices: true },
  sliceBackward: { run: views.sliceBackward },
} satisfies Readonly<Record<string, Kind>>;
