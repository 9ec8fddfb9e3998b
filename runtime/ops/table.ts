import type { Policy } from '../amp/policy.ts';
import type { kinds } from '../dispatch/kinds.ts';
import type { BoolRule, ResultRule, Run } from '../dispatch/op.ts';

export type KindName = keyof typeof kinds;

/**
 * A primitive op, which has a kernel and a derivative. The kind says how it is called, the result rule which dtype the result has, the
 * policy how autocast treats it. The comment above a row is the documentation of the method. Functions made of these ops are listed
 * below.
 */
interface Row<K extends KindName, M extends boolean, P extends Policy | null = Policy> {
  readonly kind: K;
  readonly result: ResultRule;
  /** Does the row alone make a method? The other ops are called by a function that takes axes, options and so on. */
  readonly method: M;
  /** The policy of autocast. null for ops that users cannot call: autocast leaves them alone, and its table does not list them. */
  readonly policy: P;
  /** The op's name in the native library, if it differs. */
  readonly native?: string;
  /** The treatment of bool. Default: 'kept'. */
  readonly bool?: BoolRule;
  /** For ops that refuse bool: the advice what to call instead. */
  readonly insteadOfBool?: string;
  /** Does the result wrap around in integers? Default: false. */
  readonly wraps?: boolean;
  /** For ops with the policy 'banned': the advice what to call instead. */
  readonly instead?: string;
}

const unary = (
  result: ResultRule,
  policy: Policy = 'input',
  bool: BoolRule = 'kept',
  insteadOfBool?: string,
): Row<'unary', true> => ({
  kind: 'unary',
  result,
  method: true,
  policy,
  bool,
  ...(insteadOfBool === undefined ? {} : { insteadOfBool }),
});
const binary = (result: ResultRule, more: Partial<Row<'binary', true>> = {}): Row<'binary', true> => ({
  kind: 'binary',
  result,
  method: true,
  policy: 'input',
  ...more,
});
const compare: Row<'compare', true> = { kind: 'compare', result: 'bool', method: true, policy: 'input' };
const own = <const K extends KindName>(
  kind: K,
  result: ResultRule,
  policy: Policy,
  more: Partial<Row<K, false>> = {},
): Row<K, false> => ({ kind, result, method: false, policy, ...more });
/** An op that only Castor's own functions call. */
const internal = <const K extends KindName>(kind: K, result: ResultRule, native?: string): Row<K, false, null> => ({
  kind,
  result,
  method: false,
  policy: null,
  ...(native === undefined ? {} : { native }),
});

export const table = {
  /** |x|. */
  abs: unary('same', 'input', 'refused'),
  /** -x. */
  neg: unary('same', 'input', 'refused', 'Invert a mask with logicalNot()'),
  /** The sign of x: -1, 0 or 1. */
  sign: unary('same'),
  /** Computes the largest whole number <= x. */
  floor: unary('same', 'input', 'refused'),
  /** Computes the smallest whole number >= x. */
  ceil: unary('same', 'input', 'refused'),
  /** Rounds to the nearest whole number, halves to the even one. */
  round: unary('same', 'input', 'refused'),
  /** Removes the fraction: rounds towards 0. */
  trunc: unary('same', 'input', 'refused'),
  /** e^x. */
  exp: unary('float', 'fp32'),
  /** 2^x. */
  exp2: unary('float'),
  /** e^x - 1, accurate near 0. */
  expm1: unary('float', 'fp32'),
  /** Computes the natural logarithm. */
  log: unary('float', 'fp32'),
  /** Computes the logarithm to base 2. */
  log2: unary('float', 'fp32'),
  /** Computes the logarithm to base 10. */
  log10: unary('float', 'fp32'),
  /** ln(1 + x), accurate near 0. */
  log1p: unary('float', 'fp32'),
  /** Computes the square root; NaN for x < 0. */
  sqrt: unary('float'),
  /** 1 / sqrt(x). */
  rsqrt: unary('float', 'fp32'),
  /** 1 / x. */
  reciprocal: unary('float', 'fp32'),
  /** x * x. */
  square: unary('same', 'fp32', 'int64'),
  /** Computes the sine of x, an angle in radians. */
  sin: unary('float'),
  /** Computes the cosine of x, an angle in radians. */
  cos: unary('float'),
  /** Computes the tangent of x, an angle in radians. */
  tan: unary('float', 'fp32'),
  /** Computes the inverse sine, in radians. */
  asin: unary('float', 'fp32'),
  /** Computes the inverse cosine, in radians. */
  acos: unary('float', 'fp32'),
  /** Computes the inverse tangent, in radians. */
  atan: unary('float'),
  /** Computes the hyperbolic sine. */
  sinh: unary('float', 'fp32'),
  /** Computes the hyperbolic cosine. */
  cosh: unary('float', 'fp32'),
  /** Computes the hyperbolic tangent. */
  tanh: unary('float'),
  /** Computes the error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x. */
  erf: unary('float'),
  /** 1 - erf(x), accurate for large x. */
  erfc: unary('float'),
  /** Computes the inverse of erf() on (-1, 1). */
  erfinv: unary('float', 'fp32'),
  /** 1 / (1 + e^-x). */
  sigmoid: unary('float'),
  /** ln(sigmoid(x)), without overflow. */
  logSigmoid: unary('float'),
  /** max(x, 0). */
  relu: unary('same', 'input', 'refused'),
  /** x * sigmoid(x). */
  silu: unary('float'),
  /** x * tanh(ln(1 + e^x)). */
  mish: unary('float'),
  /** Is it NaN? */
  isNaN: unary('bool'),
  /** Is it infinite? */
  isInf: unary('bool'),
  /** Is it neither infinite nor NaN? */
  isFinite: unary('bool'),
  /** Is it 0? */
  logicalNot: unary('bool'),
  gelu: own('unary', 'float', 'input'),
  geluTanh: internal('unary', 'float'),
  softplus: own('unary', 'float', 'fp32'),
  leakyRelu: own('unary', 'float', 'input'),
  elu: own('unary', 'float', 'input'),
  clamp: own('unary', 'same', 'input'),

  /** a + b. Shapes broadcast; dtypes promote. */
  add: binary('same', { wraps: true }),
  /** a - b. */
  sub: binary('same', {
    bool: 'never',
    insteadOfBool: 'Use logicalXor() for two masks, logicalNot() to invert one',
    wraps: true,
  }),
  /** a * b. */
  mul: binary('same', { wraps: true }),
  /** a / b. The result is always floating. */
  div: binary('float'),
  /** a to the power of b. */
  pow: binary('same', { policy: 'fp32', bool: 'refused', wraps: true }),
  /** Computes the larger of two numbers; NaN if either is NaN. */
  maximum: binary('same'),
  /** Computes the smaller of two numbers; NaN if either is NaN. */
  minimum: binary('same'),
  /** Computes the remainder with the sign of a, as % does in JavaScript. */
  fmod: binary('same', { bool: 'refused' }),
  /** Computes the remainder with the sign of b, as % does in Python. */
  remainder: binary('same', { bool: 'refused' }),
  /** floor(a / b). */
  floorDivide: binary('same', { bool: 'refused' }),
  /** Computes the angle of the point (b, a), in radians. */
  atan2: binary('float', { policy: 'promote' }),
  /** sqrt(a^2 + b^2), without overflow. */
  hypot: binary('float', { bool: 'refused' }),
  /** Are both other than 0? */
  logicalAnd: binary('bool'),
  /** Is at least one of them other than 0? */
  logicalOr: binary('bool'),
  /** Is exactly one of them other than 0? */
  logicalXor: binary('bool'),
  /** Computes the bits that are set in both numbers. */
  bitwiseAnd: binary('integral', { wraps: true }),
  /** Computes the bits that are set in one or both numbers. */
  bitwiseOr: binary('integral', { wraps: true }),
  /** Computes the bits that are set in exactly one of the numbers. */
  bitwiseXor: binary('integral', { wraps: true }),

  /** a == b. */
  eq: compare,
  /** a != b. */
  ne: compare,
  /** a < b. */
  lt: compare,
  /** a <= b. */
  le: compare,
  /** a > b. */
  gt: compare,
  /** a >= b. */
  ge: compare,

  where: own('where', 'same', 'input'),
  addcmul: own('ternary', 'same', 'promote', { bool: 'refused' }),
  addcdiv: own('ternary', 'float', 'promote'),
  lerp: own('ternary', 'float', 'input'),
  binaryCrossEntropy: own('binary', 'float', 'banned', {
    instead: 'Drop the sigmoid and use binaryCrossEntropyWithLogits',
  }),
  binaryCrossEntropyWithLogits: own('ternary', 'float', 'fp32'),

  dropout: own('dropout', 'same', 'input'),
  triangle: internal('triangle', 'same'),

  sum: own('reduce', 'sum', 'fp32'),
  mean: own('reduce', 'floating', 'input'),
  prod: own('reduce', 'sum', 'fp32'),
  max: own('reduce', 'same', 'input'),
  min: own('reduce', 'same', 'input'),
  argmax: own('reduce', 'int64', 'input'),
  argmin: own('reduce', 'int64', 'input'),
  any: own('reduce', 'bool', 'input'),
  all: own('reduce', 'bool', 'input'),
  norm: own('reduce', 'floating', 'fp32'),
  var: own('reduce', 'floating', 'input'),
  std: own('reduce', 'floating', 'input'),
  logSumExp: own('reduce', 'float', 'fp32'),
  countNonzero: own('reduce', 'int64', 'input'),
  cumsum: own('scan', 'sum', 'fp32'),
  cumprod: own('scan', 'sum', 'fp32'),
  softmax: own('softmax', 'floating', 'fp32'),
  logSoftmax: own('softmax', 'floating', 'fp32'),
  sort: own('sort', 'same', 'input'),
  layerNorm: own('norm', 'floating', 'fp32'),
  rmsNorm: own('norm', 'floating', 'fp32'),
  batchNorm: own('batchGroupNorm', 'floating', 'input'),
  batchNormEval: internal('batchGroupNorm', 'floating'),
  groupNorm: own('batchGroupNorm', 'floating', 'fp32'),
  crossEntropy: own('crossEntropy', 'floating', 'fp32'),

  gather: own('gather', 'same', 'input'),
  indexSelect: own('indexSelect', 'same', 'input'),
  scatter: own('scatter', 'same', 'input'),
  scatterAdd: own('scatter', 'same', 'promote'),
  indexCopy: own('scatter', 'same', 'input'),
  indexAdd: own('scatter', 'same', 'input'),

  matmul: own('matmul', 'same', 'low'),
  linear: own('linear', 'same', 'low'),
  convolution: own('convolution', 'same', 'low', { native: 'forward' }),
  convInputGrad: internal('convolution', 'same', 'inputGrad'),
  convWeightGrad: internal('convolution', 'same', 'weightGrad'),
  maxPool: internal('maxPool', 'same', 'max'),
  avgPool: internal('avgPool', 'same', 'avg'),
  avgPoolBackward: internal('avgPoolBackward', 'same', 'avg'),
  scaledDotProductAttention: own('attention', 'same', 'low'),

  copy: internal('copy', 'same'),
  cat: own('cat', 'same', 'input'),
  view: own('view', 'same', 'input'),
  expand: own('expand', 'same', 'input'),
  permute: own('permute', 'same', 'input'),
  slice: own('slice', 'same', 'input'),
  sliceBackward: internal('sliceBackward', 'same'),
} as const satisfies Readonly<Record<string, Row<KindName, boolean, Policy | null>>>;

/** A function that is made of ops. */
interface FunctionRow {
  /** The policy of autocast for the function as a whole. */
  readonly policy: Policy;
  /** 'moves': it only moves or converts elements. 'answers': it returns bool or integers. Such functions can have no other policy. */
  readonly gives?: 'moves' | 'answers';
}
const follows = (policy: Policy): FunctionRow => ({ policy });
const moves: FunctionRow = { policy: 'input', gives: 'moves' };
const answers: FunctionRow = { policy: 'input', gives: 'answers' };

/** The functions that are made of ops, except those that have the name of an op. */
export const functionTable = {
  nllLoss: follows('fp32'),
  mseLoss: follows('fp32'),
  l1Loss: follows('fp32'),
  maskedFill: follows('input'),
  amax: follows('input'),
  amin: follows('input'),
  topk: follows('input'),
  stack: follows('input'),
  tril: follows('input'),
  triu: follows('input'),
  embedding: follows('input'),
  maxPool2d: follows('input'),
  maxPool2dWithIndices: follows('input'),
  avgPool2d: follows('input'),
  argsort: answers,
  multinomial: answers,
  oneHot: answers,
  broadcastTo: moves,
  chunk: moves,
  clone: moves,
  contiguous: moves,
  flatten: moves,
  flip: moves,
  narrow: moves,
  reshape: moves,
  select: moves,
  split: moves,
  squeeze: moves,
  transpose: moves,
  unbind: moves,
  unflatten: moves,
  unsqueeze: moves,
  to: moves,
  float: moves,
  half: moves,
  double: moves,
  long: moves,
  at: moves,
  set_: moves,
} as const satisfies Readonly<Record<string, FunctionRow>>;
/** The options of a function that it writes to. */
export const writtenOptions: Readonly<Record<string, readonly string[]>> = { batchNorm: ['runningMean', 'runningVar'] };
/** The functions that autocast treats as an op of another name. */
export const policyNamesOf: Readonly<Record<string, OpName>> = { conv1d: 'convolution', conv2d: 'convolution' };

declare module '../amp/policy.ts' {
  interface PolicyNames extends Record<PublicOp | keyof typeof functionTable, unknown> {}
}
type PublicOp = { [N in OpName]: Table[N]['policy'] extends null ? never : N }[OpName];

export type Table = typeof table;
export type OpName = keyof Table;
/** The parameters that the ops of a kind take beside tensors. */
export type ParamsOf<K extends KindName> = (typeof kinds)[K]['run'] extends Run<infer P> ? P : never;
/** The parameters of the op with this name. */
export type ParamsOfOp<N extends OpName> = ParamsOf<Table[N]['kind']>;
/** The ops of a kind whose row alone makes a method. */
export type MethodName<K extends KindName> = {
  [N in OpName]: Table[N] extends Row<K, true> ? N : never;
}[OpName];
