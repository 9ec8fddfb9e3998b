import type { Kind } from '../dispatch/kinds.ts';
import type { BoolRule, ResultRule } from '../dispatch/op.ts';

/**
 * Every primitive op: what has a kernel and a derivative. A row's kind says how it is called, its result rule which dtype comes
 * out, and its comment is the documentation of the method. Ops made of these are functions in the other files of this folder.
 */
interface Row<K extends Kind, R extends ResultRule, M extends boolean> {
  readonly kind: K;
  readonly result: R;
  /** Does the row alone make a method? Others are wrapped by a function that takes axes, options and so on. */
  readonly method: M;
  /** The op's name in the native library, where it differs. */
  readonly native?: string;
  /** 'kept' unless given. */
  readonly bool?: BoolRule;
}

const unary = <const R extends ResultRule>(result: R, bool: BoolRule = 'kept'): Row<'unary', R, true> => ({
  kind: 'unary',
  result,
  method: true,
  bool,
});
const binary = <const R extends ResultRule>(result: R, bool: BoolRule = 'kept'): Row<'binary', R, true> => ({
  kind: 'binary',
  result,
  method: true,
  bool,
});
const compare: Row<'compare', 'bool', true> = { kind: 'compare', result: 'bool', method: true };
const own = <const K extends Kind, const R extends ResultRule = 'same'>(
  kind: K,
  result?: R,
  native?: string,
): Row<K, R, false> => ({
  kind,
  result: result ?? ('same' as R),
  method: false,
  ...(native ? { native } : {}),
});

export const table = {
  /** |x|. */
  abs: unary('same', 'refused'),
  /** -x. */
  neg: unary('same', 'refused'),
  /** -1, 0 or 1. */
  sign: unary('same'),
  /** The largest whole number <= x. */
  floor: unary('same', 'refused'),
  /** The smallest whole number >= x. */
  ceil: unary('same', 'refused'),
  /** The nearest whole number, halves to even. */
  round: unary('same', 'refused'),
  /** x without its fraction. */
  trunc: unary('same', 'refused'),
  /** e^x. */
  exp: unary('float'),
  /** 2^x. */
  exp2: unary('float'),
  /** e^x - 1, accurate near 0. */
  expm1: unary('float'),
  /** Natural logarithm. */
  log: unary('float'),
  /** Logarithm to base 2. */
  log2: unary('float'),
  /** Logarithm to base 10. */
  log10: unary('float'),
  /** ln(1 + x), accurate near 0. */
  log1p: unary('float'),
  /** Square root; NaN below 0. */
  sqrt: unary('float'),
  /** 1 / sqrt(x). */
  rsqrt: unary('float'),
  /** 1 / x. */
  reciprocal: unary('float'),
  /** x * x. */
  square: unary('same', 'int64'),
  /** Sine of radians. */
  sin: unary('float'),
  /** Cosine of radians. */
  cos: unary('float'),
  /** Tangent of radians. */
  tan: unary('float'),
  /** Inverse sine, in radians. */
  asin: unary('float'),
  /** Inverse cosine, in radians. */
  acos: unary('float'),
  /** Inverse tangent, in radians. */
  atan: unary('float'),
  /** Hyperbolic sine. */
  sinh: unary('float'),
  /** Hyperbolic cosine. */
  cosh: unary('float'),
  /** Hyperbolic tangent. */
  tanh: unary('float'),
  /** The error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x. */
  erf: unary('float'),
  /** 1 - erf(x), accurate for large x. */
  erfc: unary('float'),
  /** The inverse of erf on (-1, 1). */
  erfinv: unary('float'),
  /** 1 / (1 + e^-x). */
  sigmoid: unary('float'),
  /** ln(sigmoid(x)), without overflow. */
  logSigmoid: unary('float'),
  /** max(x, 0). */
  relu: unary('same', 'refused'),
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
  /** true where x is 0. */
  logicalNot: unary('bool'),
  gelu: own('unary', 'float'),
  geluTanh: own('unary', 'float'),
  softplus: own('unary', 'float'),
  leakyRelu: own('unary', 'float'),
  elu: own('unary', 'float'),
  clamp: own('unary', 'same'),

  /** a + b. Shapes broadcast; dtypes promote. */
  add: binary('same'),
  /** a - b. */
  sub: binary('same', 'never'),
  /** a * b. */
  mul: binary('same'),
  /** a / b, always floating. */
  div: binary('float'),
  /** a to the power of b. */
  pow: binary('same', 'refused'),
  /** The larger of two; NaN if either is. */
  maximum: binary('same'),
  /** The smaller of two; NaN if either is. */
  minimum: binary('same'),
  /** The remainder with the sign of a, as % in JavaScript. */
  fmod: binary('same', 'refused'),
  /** The remainder with the sign of b, as % in Python. */
  remainder: binary('same', 'refused'),
  /** floor(a / b). */
  floorDivide: binary('same', 'refused'),
  /** The angle of the point (b, a), in radians. */
  atan2: binary('float'),
  /** sqrt(a^2 + b^2), without overflow. */
  hypot: binary('float', 'refused'),
  /** Are both other than 0? */
  logicalAnd: binary('bool'),
  /** Is one of them other than 0? */
  logicalOr: binary('bool'),
  /** Is exactly one of them other than 0? */
  logicalXor: binary('bool'),
  /** Bits set in both. */
  bitwiseAnd: binary('same'),
  /** Bits set in one or both. */
  bitwiseOr: binary('same'),
  /** Bits set in exactly one. */
  bitwiseXor: binary('same'),

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

  where: own('ternary'),
  addcmul: { ...own('ternary'), bool: 'refused' },
  addcdiv: own('ternary', 'float'),
  lerp: own('ternary', 'float'),
  binaryCrossEntropy: own('binary', 'float'),
  binaryCrossEntropyWithLogits: own('ternary', 'float'),

  dropout: own('dropout'),
  triangle: own('triangle'),

  sum: own('reduce'),
  mean: own('reduce', 'float'),
  prod: own('reduce'),
  max: own('reduce'),
  min: own('reduce'),
  argmax: own('reduce', 'int64'),
  argmin: own('reduce', 'int64'),
  any: own('reduce', 'bool'),
  all: own('reduce', 'bool'),
  norm: own('reduce', 'float'),
  var: own('reduce', 'float'),
  std: own('reduce', 'float'),
  logSumExp: own('reduce', 'float'),
  countNonzero: own('reduce', 'int64'),
  cumsum: own('scan'),
  cumprod: own('scan'),
  softmax: own('softmax', 'float'),
  logSoftmax: own('softmax', 'float'),
  sort: own('sort'),
  layerNorm: own('norm', 'float'),
  rmsNorm: own('norm', 'float'),
  batchNorm: own('channelNorm', 'float'),
  batchNormEval: own('channelNorm', 'float'),
  groupNorm: own('channelNorm', 'float'),
  crossEntropy: own('crossEntropy', 'float'),

  gather: own('gather'),
  indexSelect: own('gather'),
  scatter: own('scatter'),
  scatterAdd: own('scatter'),
  indexCopy: own('scatter'),
  indexAdd: own('scatter'),

  matmul: own('matmul'),
  linear: own('linear'),
  convolution: own('convolution', 'same', 'forward'),
  convInputGrad: own('convolution', 'same', 'inputGrad'),
  convWeightGrad: own('convolution', 'same', 'weightGrad'),
  maxPool: own('pool', 'same'),
  avgPool: own('pool', 'same'),
  avgPoolBackward: own('pool', 'same'),
  scaledDotProductAttention: own('attention'),

  copy: own('copy'),
  cat: own('cat'),
  view: own('view'),
  expand: own('expand'),
  permute: own('permute'),
  slice: own('slice'),
  unslice: own('unslice'),
} as const;

export type Table = typeof table;
export type OpName = keyof Table;
/** The kind of a named op. */
export type KindOf<N extends OpName> = Table[N]['kind'];
/** Ops whose row alone makes a method, by kind. */
export type MethodName<K extends Kind> = {
  [N in OpName]: Table[N] extends Row<K, ResultRule, true> ? N : never;
}[OpName];
