import { refuseSuperfluous, signature, signatureSpecs, type Specs } from '../arguments.ts';
import { castArguments, refuseBanned, under } from '../amp/cast.ts';
import { policyOf, type Policy } from '../amp/policy.ts';
import { autocastHere, autocastIn, overrideIn, type AutocastState } from '../amp/state.ts';
import { current, innerMode, withInner, type Mode } from '../context.ts';
import { ArgumentError, CastorError } from '../errors.ts';
import { shown } from '../shown.ts';
import { noScalars, type Scalars } from '../dispatch/elementwise.ts';
import { contextOf } from '../dispatch/op.ts';
import { isTensor, type Operand, type Tensor } from '../tensor/tensor.ts';
import { escapeOf, Scope, scopeHere } from '../tensor/scope.ts';
import * as activations from './activations.ts';
import { call } from './call.ts';
import * as indexing from './indexing.ts';
import * as losses from './losses.ts';
import * as norms from './norms.ts';
import * as pooling from './pooling.ts';
import * as products from './products.ts';
import * as reductions from './reductions.ts';
import { ops, type Op } from './registry.ts';
import { binary, positional, signatures, unary } from './signatures.ts';
import * as subscripts from './subscripts.ts';
import { policyNamesOf, table, writtenOptions, type MethodName } from './table.ts';
import * as views from './views.ts';

type Functions = Record<string, (...args: any[]) => any>;

/** Runs fn, synchronous, under another autocast. What it makes on the way is freed when it returns, except what backward needs. */
function within<T>(mode: Mode, autocast: AutocastState | null, fn: () => T): T {
  const scope = new Scope(scopeHere(mode));
  let result: T;
  try {
    result = withInner(innerMode(mode, { scope, autocast }), fn, undefined);
  } catch (error) {
    scope.end({ storages: new Set(), graph: false });
    throw error;
  }
  scope.end(escapeOf(result));
  return result;
}

/** A composed op: under autocast it follows its policy as a whole. The gate has copied its arguments: nothing of the user's runs inside. */
function composed(name: string, fn: (...args: any[]) => any): (...args: any[]) => any {
  const policy = policyOf(name);
  return (...args) => {
    const mode = current();
    const autocast = autocastIn(mode);
    return within(mode, autocast && under(name, policy, autocast), () => fn(...args));
  };
}
const composedOf = <M extends Functions>(module: M): M =>
  Object.fromEntries(
    Object.entries(module).map(([name, fn]) => [name, typeof fn === 'function' ? composed(name, fn) : fn]),
  ) as M;

const { max, min, multinomial, ...plainReductions } = reductions;
const { oneHot, ...plainIndexing } = indexing;
const { scaledDotProductAttention, ...plainProducts } = products;

/** A call that a scope gives another policy than the function's own: its arguments are cast, and it does with them what it does. */
function overridden<T>(name: string, policy: Policy, fn: (...args: any[]) => T, args: unknown[]): T {
  const mode = current();
  const autocast = autocastIn(mode)!;
  if (policy === 'banned') refuseBanned(name, autocast);
  return within(mode, { ...autocast, force: 'input', given: policy }, () =>
    fn(...castArguments(args, policy, autocast, mode.grad, writtenOptions[name] ?? [])),
  );
}

/** Checks arguments, follows overrides, and tells errors the shapes and dtypes of the call they come from. */
export const explaining = <M extends Functions>(module: M, taken: Readonly<Record<keyof M, Specs>>): M =>
  Object.fromEntries(
    Object.entries(module).map(([name, fn]) => {
      const row = policyNamesOf[name] ?? name;
      const own = policyOf(row);
      const gate = signature(name, taken[name]!);
      const reorder = positional[name];
      const call = (...given: unknown[]): unknown => {
        let args = given;
        try {
          args = gate(reorder === undefined ? given : reorder(given));
          const autocast = autocastHere();
          const policy = autocast === null ? null : overrideIn(autocast, row);
          return policy === null || policy === own ? fn(...args) : overridden(name, policy, fn, args);
        } catch (error) {
          if (error instanceof CastorError) error.explain(contextOf({ name }, args === given ? args : args.flat()));
          throw error;
        }
      };
      return [name, Object.defineProperty(call, 'name', { value: name })];
    }),
  ) as M;

const composedSubscripts = composedOf({ at: subscripts.at, set_: subscripts.set_ });
/** Positions and ranges make nothing on the way but views: they need no scope that frees it. */
const subscript = {
  at: ((x, ...items) =>
    (subscripts.isBasic(items) ? subscripts : composedSubscripts).at(x, ...items)) as typeof subscripts.at,
  set_: ((x, index, value, options) =>
    (subscripts.isBasic(index) && !options?.accumulate ? subscripts : composedSubscripts).set_(
      x,
      index,
      value,
      options,
    )) as typeof subscripts.set_,
};

const functions = {
  ...views,
  ...plainReductions,
  ...composedOf({ max, min, multinomial, oneHot, scaledDotProductAttention }),
  ...plainIndexing,
  ...subscript,
  ...plainProducts,
  ...activations,
  ...pooling,
  ...composedOf(norms),
  ...composedOf(losses),
};
/** Functions whose arguments say more than tensors: axes, options, sizes. Those made of several ops are wrapped as composed. */
export const structured: typeof functions = explaining(functions, signatures);

type Elementwise = { readonly [N in MethodName<'unary'>]: (x: Tensor) => Tensor } & {
  readonly [N in MethodName<'binary'> | MethodName<'compare'>]: {
    (a: Tensor, b: Tensor | number): Tensor;
    (a: number, b: Tensor): Tensor;
  };
};

/** A number divided by a tensor: to autocast a reciprocal, as in PyTorch. */
const quotient: Op<Scalars> = {
  ...ops.div,
  policy: ops.reciprocal.policy,
  get derivative() {
    return ops.div.derivative;
  },
};

function elementwise(): Elementwise {
  const rows = Object.entries(table).filter(([, row]) => row.method);
  return Object.fromEntries(
    rows.map(([name, row]) => {
      const op = ops[name as keyof typeof ops] as Op<Scalars>;
      signatureSpecs.set(name, row.kind === 'unary' ? unary : binary);
      return [
        name,
        row.kind === 'unary'
          ? function (x: Operand) {
              if (arguments.length > 1) refuseSuperfluous(name, unary, arguments);
              return call(op, [x], noScalars);
            }
          : function (a: Operand, b: Operand) {
              if (arguments.length > 2) refuseSuperfluous(name, binary, arguments);
              return call(name === 'div' && typeof a === 'number' ? quotient : op, [a, b], noScalars);
            },
      ];
    }),
  ) as unknown as Elementwise;
}

/** x where the condition holds, else other: as a function in PyTorch's order, as a method x.where(condition, other). */
function where(condition: Tensor, x: Operand, other: Operand, ...more: never[]): Tensor {
  const isMask = (value: unknown): boolean => isTensor(value) && value.info.category === 'bool';
  if (!isMask(condition) && isMask(x))
    throw new ArgumentError(`the condition is ${shown(condition)}, and x is bool`, {
      op: 'where',
      advice: 'The condition comes first: F.where(condition, x, other), or x.where(condition, other)',
    });
  return (structured.where as (...args: unknown[]) => Tensor)(x, condition, other, ...more);
}

/** Every op as a function of its tensors: F.add(a, b), F.softmax(x, -1), F.crossEntropy(logits, target). */
export const F: Elementwise & Omit<typeof structured, 'where'> & { readonly where: typeof where } = {
  ...structured,
  ...elementwise(),
  where,
};
export const { cat, stack } = F;
