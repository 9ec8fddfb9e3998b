import { refuseSuperfluous, signatureSpecs } from '../arguments.ts';
import { noScalars, type Scalars } from '../dispatch/elementwise.ts';
import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';
import * as activations from './activations.ts';
import * as attention from './attention.ts';
import { call } from './call.ts';
import * as convolution from './convolution.ts';
import type { Functions } from './declarations.ts';
import * as indexing from './indexing.ts';
import * as join from './join.ts';
import * as linear from './linear.ts';
import * as losses from './losses.ts';
import * as norms from './norms.ts';
import * as pooling from './pooling.ts';
import * as products from './products.ts';
import * as reductions from './reductions.ts';
import { ops, type Op } from './registry.ts';
import { binary, unary } from './specs.ts';
import * as subscripts from './subscripts.ts';
import { table, type MethodName } from './table.ts';
import * as views from './views.ts';

const { attentionProbabilities: _, ...fused } = attention;
/** The functions of a tensor that are also methods of it: F.sum(x, 1) is x.sum(1). */
export const methods = { ...views, ...reductions, ...indexing, ...subscripts, ...products, ...activations };
/** The functions that are only in F, as in PyTorch's torch.nn.functional, and those that take lists of tensors. */
const functions = { ...join, ...linear, ...convolution, ...pooling, ...norms, ...losses, ...fused };

type Elementwise = Pick<
  Functions,
  keyof Functions & (MethodName<'unary'> | MethodName<'binary'> | MethodName<'compare'>)
>;

/** The result type of a function as it is written, without the dtypes that only the declaration has. */
type Untold<R> = R extends Tensor ? Tensor : R extends Tensor[] ? Tensor[] : R;
export type Implementation<D> = D extends (...args: infer A) => infer R ? (...args: A) => Untold<R> : never;
type Implementations = { readonly [N in keyof Functions]: Implementation<Functions[N]> };

/** Divides a number by a tensor. Autocast treats it as a reciprocal, as in PyTorch. */
const quotient: Op<Scalars> = {
  ...ops.div,
  policy: ops.reciprocal.policy,
  get derivative() {
    return ops.div.derivative;
  },
};

/** Calls an op with a number before a tensor. Two numbers are refused, because JavaScript's own operators compute them. */
function callWithNumber(op: Op<Scalars>, a: number, b: Operand): Tensor {
  if (!isTensor(b))
    throw new ArgumentError(`neither ${shown(a)} nor ${shown(b)} is a tensor`, {
      op: op.name,
      advice: `Pass a tensor as one of the two, such as F.${op.name}(tensor(${a}), ${shown(b)})`,
    });
  return call(op === ops.div ? quotient : op, [a, b], noScalars);
}

function elementwise(): Elementwise {
  const rows = Object.entries(table).filter(([, row]) => row.method);
  return Object.fromEntries(
    rows.map(([name, row]) => {
      const op = ops[name as keyof typeof ops] as Op<Scalars>;
      signatureSpecs.set(name, row.kind === 'unary' ? unary : binary);
      const fn =
        row.kind === 'unary'
          ? function (x: Operand) {
              if (arguments.length > 1) refuseSuperfluous(name, unary, arguments);
              return call(op, [x], noScalars);
            }
          : function (a: Operand, b: Operand) {
              if (arguments.length > 2) refuseSuperfluous(name, binary, arguments);
              return typeof a === 'number' ? callWithNumber(op, a, b) : call(op, [a, b], noScalars);
            };
      return [name, Object.defineProperty(fn, 'name', { value: name })];
    }),
  ) as unknown as Elementwise;
}

/**
 * Selects elements: x where the condition is true, else other. The function has PyTorch's order; the method is x.where(condition, other).
 */
function where(condition: Tensor, x: Operand, other: Operand, ...more: never[]): Tensor {
  const isMask = (value: unknown): boolean => isTensor(value) && value.info.category === 'bool';
  if (!isMask(condition) && isMask(x))
    throw new ArgumentError(`the condition is ${shown(condition)}, and x is bool`, {
      op: 'where',
      advice: 'The condition comes first: F.where(condition, x, other), or x.where(condition, other)',
    });
  return (activations.where as (...args: unknown[]) => Tensor)(x, condition, other, ...more);
}

/** Every op as a function of its tensors: F.add(a, b), F.softmax(x, -1), F.crossEntropy(logits, target). */
export const F = {
  ...methods,
  ...functions,
  ...elementwise(),
  where,
} satisfies Implementations as Implementations as Functions;
/** Joins tensors along an axis that they have: F.cat(). PyTorch: `torch.cat`. */
export const cat: Functions['cat'] = F.cat;
/** Joins tensors of one shape along a new axis: F.stack(). PyTorch: `torch.stack`. */
export const stack: Functions['stack'] = F.stack;
