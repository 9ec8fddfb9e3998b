// Made by `npm run declare` from the table of ops and the functions of this folder; do not edit by hand.
import type { DType } from '../tensor/dtype.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Bounds } from './activations.ts';
import type { AttentionOptions } from './attention.ts';
import type { Conv1dOptions, ConvOptions } from './convolution.ts';
import type { BinaryLossOptions, ClassLossOptions, CrossEntropyOptions, LossOptions } from './losses.ts';
import type { BatchNormOptions } from './norms.ts';
import type { Pair } from './pair.ts';
import type { PoolOptions } from './pooling.ts';
import type { Axes, KeepdimOptions, Ranked, ReduceOptions, VarOptions } from './reductions.ts';
import type { IndexItem, WriteOptions } from './subscripts.ts';
import type { DTypeAt, Destination, Sizes } from './views.ts';

/** The methods of Tensor that are ops. */
export interface TensorMethods<D extends DType = DType> {
  /** |x|. */
  abs(): Tensor;
  /** |x|. The result is written over this tensor. */
  abs_(): this;
  /** -x. */
  neg(): Tensor;
  /** -x. The result is written over this tensor. */
  neg_(): this;
  /** -1, 0 or 1. */
  sign(): Tensor;
  /** -1, 0 or 1. The result is written over this tensor. */
  sign_(): this;
  /** The largest whole number <= x. */
  floor(): Tensor;
  /** The largest whole number <= x. The result is written over this tensor. */
  floor_(): this;
  /** The smallest whole number >= x. */
  ceil(): Tensor;
  /** The smallest whole number >= x. The result is written over this tensor. */
  ceil_(): this;
  /** The nearest whole number, halves to even. */
  round(): Tensor;
  /** The nearest whole number, halves to even. The result is written over this tensor. */
  round_(): this;
  /** x without its fraction. */
  trunc(): Tensor;
  /** x without its fraction. The result is written over this tensor. */
  trunc_(): this;
  /** e^x. */
  exp(): Tensor;
  /** e^x. The result is written over this tensor. */
  exp_(): this;
  /** 2^x. */
  exp2(): Tensor;
  /** 2^x. The result is written over this tensor. */
  exp2_(): this;
  /** e^x - 1, accurate near 0. */
  expm1(): Tensor;
  /** e^x - 1, accurate near 0. The result is written over this tensor. */
  expm1_(): this;
  /** Natural logarithm. */
  log(): Tensor;
  /** Natural logarithm. The result is written over this tensor. */
  log_(): this;
  /** Logarithm to base 2. */
  log2(): Tensor;
  /** Logarithm to base 2. The result is written over this tensor. */
  log2_(): this;
  /** Logarithm to base 10. */
  log10(): Tensor;
  /** Logarithm to base 10. The result is written over this tensor. */
  log10_(): this;
  /** ln(1 + x), accurate near 0. */
  log1p(): Tensor;
  /** ln(1 + x), accurate near 0. The result is written over this tensor. */
  log1p_(): this;
  /** Square root; NaN below 0. */
  sqrt(): Tensor;
  /** Square root; NaN below 0. The result is written over this tensor. */
  sqrt_(): this;
  /** 1 / sqrt(x). */
  rsqrt(): Tensor;
  /** 1 / sqrt(x). The result is written over this tensor. */
  rsqrt_(): this;
  /** 1 / x. */
  reciprocal(): Tensor;
  /** 1 / x. The result is written over this tensor. */
  reciprocal_(): this;
  /** x * x. */
  square(): Tensor;
  /** x * x. The result is written over this tensor. */
  square_(): this;
  /** Sine of radians. */
  sin(): Tensor;
  /** Sine of radians. The result is written over this tensor. */
  sin_(): this;
  /** Cosine of radians. */
  cos(): Tensor;
  /** Cosine of radians. The result is written over this tensor. */
  cos_(): this;
  /** Tangent of radians. */
  tan(): Tensor;
  /** Tangent of radians. The result is written over this tensor. */
  tan_(): this;
  /** Inverse sine, in radians. */
  asin(): Tensor;
  /** Inverse sine, in radians. The result is written over this tensor. */
  asin_(): this;
  /** Inverse cosine, in radians. */
  acos(): Tensor;
  /** Inverse cosine, in radians. The result is written over this tensor. */
  acos_(): this;
  /** Inverse tangent, in radians. */
  atan(): Tensor;
  /** Inverse tangent, in radians. The result is written over this tensor. */
  atan_(): this;
  /** Hyperbolic sine. */
  sinh(): Tensor;
  /** Hyperbolic sine. The result is written over this tensor. */
  sinh_(): this;
  /** Hyperbolic cosine. */
  cosh(): Tensor;
  /** Hyperbolic cosine. The result is written over this tensor. */
  cosh_(): this;
  /** Hyperbolic tangent. */
  tanh(): Tensor;
  /** Hyperbolic tangent. The result is written over this tensor. */
  tanh_(): this;
  /** The error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x. */
  erf(): Tensor;
  /** The error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x. The result is written over this tensor. */
  erf_(): this;
  /** 1 - erf(x), accurate for large x. */
  erfc(): Tensor;
  /** 1 - erf(x), accurate for large x. The result is written over this tensor. */
  erfc_(): this;
  /** The inverse of erf on (-1, 1). */
  erfinv(): Tensor;
  /** The inverse of erf on (-1, 1). The result is written over this tensor. */
  erfinv_(): this;
  /** 1 / (1 + e^-x). */
  sigmoid(): Tensor;
  /** 1 / (1 + e^-x). The result is written over this tensor. */
  sigmoid_(): this;
  /** ln(sigmoid(x)), without overflow. PyTorch: `logsigmoid`. */
  logSigmoid(): Tensor;
  /** ln(sigmoid(x)), without overflow. The result is written over this tensor. */
  logSigmoid_(): this;
  /** max(x, 0). */
  relu(): Tensor;
  /** max(x, 0). The result is written over this tensor. */
  relu_(): this;
  /** x * sigmoid(x). */
  silu(): Tensor;
  /** x * sigmoid(x). The result is written over this tensor. */
  silu_(): this;
  /** x * tanh(ln(1 + e^x)). */
  mish(): Tensor;
  /** x * tanh(ln(1 + e^x)). The result is written over this tensor. */
  mish_(): this;
  /** Is it NaN? PyTorch: `isnan`. */
  isNaN(): Tensor<'bool'>;
  /** Is it NaN? The result is written over this tensor. */
  isNaN_(): this;
  /** Is it infinite? PyTorch: `isinf`. */
  isInf(): Tensor<'bool'>;
  /** Is it infinite? The result is written over this tensor. */
  isInf_(): this;
  /** Is it neither infinite nor NaN? PyTorch: `isfinite`. */
  isFinite(): Tensor<'bool'>;
  /** Is it neither infinite nor NaN? The result is written over this tensor. */
  isFinite_(): this;
  /** true where x is 0. PyTorch: `logical_not`. */
  logicalNot(): Tensor<'bool'>;
  /** true where x is 0. The result is written over this tensor. PyTorch: `logical_not_`. */
  logicalNot_(): this;
  /** a + b. Shapes broadcast; dtypes promote. a is this tensor. */
  add(b: Tensor | number): Tensor;
  /** a + b. Shapes broadcast; dtypes promote. a is this tensor, and the result is written over it. */
  add_(b: Tensor | number): this;
  /** a - b. a is this tensor. */
  sub(b: Tensor | number): Tensor;
  /** a - b. a is this tensor, and the result is written over it. */
  sub_(b: Tensor | number): this;
  /** a * b. a is this tensor. */
  mul(b: Tensor | number): Tensor;
  /** a * b. a is this tensor, and the result is written over it. */
  mul_(b: Tensor | number): this;
  /** a / b, always floating. a is this tensor. */
  div(b: Tensor | number): Tensor;
  /** a / b, always floating. a is this tensor, and the result is written over it. */
  div_(b: Tensor | number): this;
  /** a to the power of b. a is this tensor. */
  pow(b: Tensor | number): Tensor;
  /** a to the power of b. a is this tensor, and the result is written over it. */
  pow_(b: Tensor | number): this;
  /** The larger of two; NaN if either is. a is this tensor. */
  maximum(b: Tensor | number): Tensor;
  /** The larger of two; NaN if either is. a is this tensor, and the result is written over it. */
  maximum_(b: Tensor | number): this;
  /** The smaller of two; NaN if either is. a is this tensor. */
  minimum(b: Tensor | number): Tensor;
  /** The smaller of two; NaN if either is. a is this tensor, and the result is written over it. */
  minimum_(b: Tensor | number): this;
  /** The remainder with the sign of a, as % in JavaScript. a is this tensor. */
  fmod(b: Tensor | number): Tensor;
  /** The remainder with the sign of a, as % in JavaScript. a is this tensor, and the result is written over it. */
  fmod_(b: Tensor | number): this;
  /** The remainder with the sign of b, as % in Python. a is this tensor. */
  remainder(b: Tensor | number): Tensor;
  /** The remainder with the sign of b, as % in Python. a is this tensor, and the result is written over it. */
  remainder_(b: Tensor | number): this;
  /** floor(a / b). a is this tensor. PyTorch: `floor_divide`. */
  floorDivide(b: Tensor | number): Tensor;
  /** floor(a / b). a is this tensor, and the result is written over it. PyTorch: `floor_divide_`. */
  floorDivide_(b: Tensor | number): this;
  /** The angle of the point (b, a), in radians. a is this tensor. */
  atan2(b: Tensor | number): Tensor;
  /** The angle of the point (b, a), in radians. a is this tensor, and the result is written over it. */
  atan2_(b: Tensor | number): this;
  /** sqrt(a^2 + b^2), without overflow. a is this tensor. */
  hypot(b: Tensor | number): Tensor;
  /** sqrt(a^2 + b^2), without overflow. a is this tensor, and the result is written over it. */
  hypot_(b: Tensor | number): this;
  /** Are both other than 0? a is this tensor. PyTorch: `logical_and`. */
  logicalAnd(b: Tensor | number): Tensor<'bool'>;
  /** Are both other than 0? a is this tensor, and the result is written over it. PyTorch: `logical_and_`. */
  logicalAnd_(b: Tensor | number): this;
  /** Is one of them other than 0? a is this tensor. PyTorch: `logical_or`. */
  logicalOr(b: Tensor | number): Tensor<'bool'>;
  /** Is one of them other than 0? a is this tensor, and the result is written over it. PyTorch: `logical_or_`. */
  logicalOr_(b: Tensor | number): this;
  /** Is exactly one of them other than 0? a is this tensor. PyTorch: `logical_xor`. */
  logicalXor(b: Tensor | number): Tensor<'bool'>;
  /**
   * Is exactly one of them other than 0? a is this tensor, and the result is written over it. PyTorch: `logical_xor_`.
   */
  logicalXor_(b: Tensor | number): this;
  /** Bits set in both. a is this tensor. PyTorch: `bitwise_and`. */
  bitwiseAnd(b: Tensor | number): Tensor;
  /** Bits set in both. a is this tensor, and the result is written over it. PyTorch: `bitwise_and_`. */
  bitwiseAnd_(b: Tensor | number): this;
  /** Bits set in one or both. a is this tensor. PyTorch: `bitwise_or`. */
  bitwiseOr(b: Tensor | number): Tensor;
  /** Bits set in one or both. a is this tensor, and the result is written over it. PyTorch: `bitwise_or_`. */
  bitwiseOr_(b: Tensor | number): this;
  /** Bits set in exactly one. a is this tensor. PyTorch: `bitwise_xor`. */
  bitwiseXor(b: Tensor | number): Tensor;
  /** Bits set in exactly one. a is this tensor, and the result is written over it. PyTorch: `bitwise_xor_`. */
  bitwiseXor_(b: Tensor | number): this;
  /** a == b. a is this tensor. */
  eq(b: Tensor | number): Tensor<'bool'>;
  /** a != b. a is this tensor. */
  ne(b: Tensor | number): Tensor<'bool'>;
  /** a < b. a is this tensor. */
  lt(b: Tensor | number): Tensor<'bool'>;
  /** a <= b. a is this tensor. */
  le(b: Tensor | number): Tensor<'bool'>;
  /** a > b. a is this tensor. */
  gt(b: Tensor | number): Tensor<'bool'>;
  /** a >= b. a is this tensor. */
  ge(b: Tensor | number): Tensor<'bool'>;
  /** The same elements in another shape; one size may be -1. A view where the layout allows it, else a copy. */
  reshape(...sizes: Sizes): Tensor<D>;
  /** reshape that never copies. @throws ShapeError where the layout needs a copy */
  view(...sizes: Sizes): Tensor<D>;
  /** Axes from start to end (included) merged into one. Default: start = 0, end = -1. */
  flatten(start?: number, end?: number): Tensor<D>;
  /** One axis split into several; one size may be -1. */
  unflatten(axis: number, sizes: Shape): Tensor<D>;
  /** Axes in another order. */
  permute(...order: Sizes): Tensor<D>;
  /** Two axes exchanged. */
  transpose(a: number, b: number): Tensor<D>;
  /** Axes of size 1 dropped: all, or the ones given (others of them stay). */
  squeeze(axes?: number | readonly number[]): Tensor<D>;
  /** A new axis of size 1 at a position. */
  unsqueeze(axis: number): Tensor<D>;
  /** Axes of size 1 repeated without a copy; -1 keeps a size. */
  expand(...sizes: Sizes): Tensor<D>;
  /** expand by its NumPy name. PyTorch: `broadcast_to`. */
  broadcastTo(shape: Shape): Tensor<D>;
  /**
   * Elements start to end (left out: to the last; negative: from the end) of an axis, every step-th. Bounds are
   * clipped, as in Python. Default: step = 1. PyTorch: `x[..., start:end:step]`.
   */
  slice(axis: number, start?: number | null, end?: number | null, step?: number): Tensor<D>;
  /** length elements of an axis from start. @throws ShapeError when they reach past its end */
  narrow(axis: number, start: number, length: number): Tensor<D>;
  /** One position of an axis; the axis goes. */
  select(axis: number, index: number): Tensor<D>;
  /** Parts of `size` along an axis (the last may be smaller), or of the sizes given. Default: axis = 0. */
  split(size: number | readonly number[], axis?: number): Tensor<D>[];
  /**
   * At most `count` parts of equal size along an axis (the last may be smaller). An empty axis gives `count` empty
   * parts. Default: axis = 0.
   */
  chunk(count: number, axis?: number): Tensor<D>[];
  /** All positions of an axis, as a list of tensors without it. Default: axis = 0. */
  unbind(axis?: number): Tensor<D>[];
  /** A copy with the elements of some axes in reverse order. */
  flip(axes: number | readonly number[]): Tensor<D>;
  /** Itself when row-major, else a row-major copy. */
  contiguous(): Tensor<D>;
  /** A copy, through which gradients flow. */
  clone(): Tensor<D>;
  /**
   * Another dtype, another device, or those of another tensor. Itself when nothing changes. Gradients flow back through
   * it.
   */
  to<T extends Destination>(target: T): Tensor<DTypeAt<T, D>>;
  /** to('float32'). */
  float(): Tensor<'float32'>;
  /** to('float16'). */
  half(): Tensor<'float16'>;
  /** to('float64'). */
  double(): Tensor<'float64'>;
  /** to('int64'). */
  long(): Tensor<'int64'>;
  /** Sum over some axes (all unless given). Integers and bool sum to int64. */
  sum(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Mean over some axes. */
  mean(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Product over some axes. */
  prod(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Variance over some axes. */
  var(axes?: Axes, options?: VarOptions): Tensor;
  /** Standard deviation over some axes. */
  std(axes?: Axes, options?: VarOptions): Tensor;
  /** The p-norm (sum |x|^p)^(1/p) over some axes; p may be Infinity. Default: p = 2. PyTorch: `linalg.vector_norm`. */
  norm(p?: number, axes?: Axes, options?: ReduceOptions): Tensor;
  /** ln of the sum of e^x over some axes, without overflow. PyTorch: `logsumexp`. */
  logSumExp(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Is any element other than 0? */
  any(axes?: Axes, options?: KeepdimOptions): Tensor<'bool'>;
  /** Are all elements other than 0? */
  all(axes?: Axes, options?: KeepdimOptions): Tensor<'bool'>;
  /** How many elements are other than 0? PyTorch: `count_nonzero`. */
  countNonzero(axes?: Axes): Tensor<'int64'>;
  /** The largest element over some axes. Equal ones share the gradient. */
  amax(axes?: Axes, options?: ReduceOptions): Tensor;
  /** The smallest element over some axes. Equal ones share the gradient. */
  amin(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Position of the largest element along an axis, or in row-major order of all. The first one wins. */
  argmax(axis?: number, options?: KeepdimOptions): Tensor<'int64'>;
  /** Position of the smallest element along an axis, or in row-major order of all. The first one wins. */
  argmin(axis?: number, options?: KeepdimOptions): Tensor<'int64'>;
  /** The largest of all elements; with an axis, the largest along it and where they are. */
  max(): Tensor;
  /** The largest of all elements; with an axis, the largest along it and where they are. */
  max(axis: number, options?: ReduceOptions): Ranked;
  /** The smallest of all elements; with an axis, the smallest along it and where they are. */
  min(): Tensor;
  /** The smallest of all elements; with an axis, the smallest along it and where they are. */
  min(axis: number, options?: ReduceOptions): Ranked;
  /** Running sum along an axis. */
  cumsum(axis: number, options?: { dtype?: DType }): Tensor;
  /** Running product along an axis. */
  cumprod(axis: number, options?: { dtype?: DType }): Tensor;
  /** e^x, scaled to sum 1 along an axis. */
  softmax(axis: number, options?: { dtype?: DType }): Tensor;
  /** ln of softmax, without overflow. PyTorch: `log_softmax`. */
  logSoftmax(axis: number, options?: { dtype?: DType }): Tensor;
  /** The k largest (or smallest) along an axis, in order. NaN counts as the largest. Default: axis = -1. */
  topk(k: number, axis?: number, options?: { largest?: boolean }): Ranked;
  /** All elements along an axis in order; equal ones keep theirs. Default: axis = -1. */
  sort(axis?: number, options?: { descending?: boolean }): Ranked;
  /** Where the elements in order are. Default: axis = -1. */
  argsort(axis?: number, options?: { descending?: boolean }): Tensor<'int64'>;
  /**
   * Draws numSamples positions from each row of weights (rows, n) or (n), which need not sum to 1. Without replacement
   * unless asked. A position of weight 0 is never drawn.
   */
  multinomial(numSamples: number, options?: { replacement?: boolean }): Tensor<'int64'>;
  /** out[.., i, ..] = x[.., index[.., i, ..], ..] along an axis; the result has the index's shape. */
  gather(axis: number, index: Tensor): Tensor;
  /** The positions of an axis that a one-axis index names, in its order. PyTorch: `index_select`. */
  indexSelect(axis: number, index: Tensor): Tensor;
  /** A copy of x with source, a tensor or one value, written where gather with this index would read. */
  scatter(axis: number, index: Tensor, source: Tensor | number): Tensor;
  /** A copy of x with source added where gather with this index would read. PyTorch: `scatter_add`. */
  scatterAdd(axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * A copy of x with the positions of an axis that the index names replaced by those of source. PyTorch: `index_copy`.
   */
  indexCopy(axis: number, index: Tensor, source: Tensor): Tensor;
  /** A copy of x with source added at the positions of an axis that the index names. PyTorch: `index_add`. */
  indexAdd(axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * Indexes as NumPy and PyTorch do: at(0), at('1:, ..., ::2'), at(null, rows, ':'), at(x.gt(0)), at([0, 2]). Numbers
   * and ranges give views. Index tensors, lists and masks copy: negative positions count from the end, several
   * broadcast together, and their axes stand where they stood when they were neighbours, else first. How many elements
   * a mask takes is known only to the device: reading through one waits for it. PyTorch: `x[index]`.
   */
  at(...items: IndexItem[]): Tensor<D>;
  /**
   * Writes a tensor or one value, converted and broadcast, to the part of x that at() shows. Several items are given as
   * an array: set_([0, '1:'], value); so a list of positions is an array in an array: set_([[0, 2]], value). With
   * accumulate the value is added, as often as a position is named; without, which of several values a position gets is
   * not defined. PyTorch: `x[index] = value`.
   */
  set_(index: IndexItem | readonly IndexItem[], value: Tensor | number, how?: WriteOptions): this;
  /**
   * The matrix product (..., m, k) by (..., k, n); leading axes broadcast. A tensor of one axis is a row on the left
   * and a column on the right, and that axis is dropped from the result.
   */
  matmul(b: Tensor): Tensor;
  /**
   * x Phi(x), Phi of the standard normal distribution; approximate 'tanh' is the cheaper form GPT-2 was trained with.
   */
  gelu(options?: { approximate?: 'none' | 'tanh' }): Tensor;
  /** ln(1 + e^(beta x)) / beta, and x itself where beta x > threshold. */
  softplus(options?: { beta?: number; threshold?: number }): Tensor;
  /** x where positive, else slope * x. Default: slope = 0.01. PyTorch: `leaky_relu`. */
  leakyRelu(slope?: number): Tensor;
  /** x where positive, else alpha (e^x - 1). Default: alpha = 1. */
  elu(alpha?: number): Tensor;
  /**
   * x, moved into [min, max], given as { min, max } or as clamp(min, max); either bound may be left out. Fractions as
   * bounds make integers floating; a bound of NaN makes all NaN.
   */
  clamp(boundsOrMin?: Bounds | number | null, max?: number | null): Tensor;
  /** x where the condition holds, else other. */
  where(condition: Tensor, other: Tensor | number): Tensor;
  /**
   * value where the mask holds, else x; in the dtype of x, which must be able to hold the value. Bool takes every
   * number but 0 for true. PyTorch: `masked_fill`.
   */
  maskedFill(mask: Tensor, value: number | Tensor): Tensor;
  /** x + value * a * b. Default: value = 1. */
  addcmul(a: Tensor | number, b: Tensor | number, value?: number): Tensor;
  /** x + value * a / b. Default: value = 1. */
  addcdiv(a: Tensor | number, b: Tensor | number, value?: number): Tensor;
  /** x + weight * (end - x). */
  lerp(end: Tensor | number, weight: Tensor | number): Tensor;
  /**
   * The lower triangle of the last two axes, zeros above the diagonal (counted upwards from the main one). Default:
   * diagonal = 0.
   */
  tril(diagonal?: number): Tensor;
  /**
   * The upper triangle of the last two axes, zeros below the diagonal (counted upwards from the main one). Default:
   * diagonal = 0.
   */
  triu(diagonal?: number): Tensor;
  /**
   * Zeroes each element with probability p and divides the others by 1 - p; itself when not training. Default: p = 0.5,
   * training = true.
   */
  dropout(p?: number, training?: boolean): Tensor;
  /** Overwrites x with source, broadcast and converted. Gradients flow to source. */
  copy_(source: Tensor): this;
  /** Overwrites x with one value. @throws DTypeError for one that its dtype cannot hold */
  fill_(value: number): this;
  /** Overwrites x with zeros. */
  zero_(): this;
  /** Overwrites x with numbers uniform in [from, to). Default: from = 0, to = 1. */
  uniform_(from?: number, to?: number): this;
  /** Overwrites x with normally distributed numbers. Default: mean = 0, std = 1. */
  normal_(mean?: number, std?: number): this;
}

/** The functions of F. */
export interface Functions {
  /** The same elements in another shape; one size may be -1. A view where the layout allows it, else a copy. */
  reshape<D extends DType>(x: Tensor<D>, ...sizes: Sizes): Tensor<D>;
  /** reshape that never copies. @throws ShapeError where the layout needs a copy */
  view<D extends DType>(x: Tensor<D>, ...sizes: Sizes): Tensor<D>;
  /** Axes from start to end (included) merged into one. Default: start = 0, end = -1. */
  flatten<D extends DType>(x: Tensor<D>, start?: number, end?: number): Tensor<D>;
  /** One axis split into several; one size may be -1. */
  unflatten<D extends DType>(x: Tensor<D>, axis: number, sizes: Shape): Tensor<D>;
  /** Axes in another order. */
  permute<D extends DType>(x: Tensor<D>, ...order: Sizes): Tensor<D>;
  /** Two axes exchanged. */
  transpose<D extends DType>(x: Tensor<D>, a: number, b: number): Tensor<D>;
  /** Axes of size 1 dropped: all, or the ones given (others of them stay). */
  squeeze<D extends DType>(x: Tensor<D>, axes?: number | readonly number[]): Tensor<D>;
  /** A new axis of size 1 at a position. */
  unsqueeze<D extends DType>(x: Tensor<D>, axis: number): Tensor<D>;
  /** Axes of size 1 repeated without a copy; -1 keeps a size. */
  expand<D extends DType>(x: Tensor<D>, ...sizes: Sizes): Tensor<D>;
  /** expand by its NumPy name. PyTorch: `broadcast_to`. */
  broadcastTo<D extends DType>(x: Tensor<D>, shape: Shape): Tensor<D>;
  /**
   * Elements start to end (left out: to the last; negative: from the end) of an axis, every step-th. Bounds are
   * clipped, as in Python. Default: step = 1. PyTorch: `x[..., start:end:step]`.
   */
  slice<D extends DType>(
    x: Tensor<D>,
    axis: number,
    start?: number | null,
    end?: number | null,
    step?: number,
  ): Tensor<D>;
  /** length elements of an axis from start. @throws ShapeError when they reach past its end */
  narrow<D extends DType>(x: Tensor<D>, axis: number, start: number, length: number): Tensor<D>;
  /** One position of an axis; the axis goes. */
  select<D extends DType>(x: Tensor<D>, axis: number, index: number): Tensor<D>;
  /** Parts of `size` along an axis (the last may be smaller), or of the sizes given. Default: axis = 0. */
  split<D extends DType>(x: Tensor<D>, size: number | readonly number[], axis?: number): Tensor<D>[];
  /**
   * At most `count` parts of equal size along an axis (the last may be smaller). An empty axis gives `count` empty
   * parts. Default: axis = 0.
   */
  chunk<D extends DType>(x: Tensor<D>, count: number, axis?: number): Tensor<D>[];
  /** All positions of an axis, as a list of tensors without it. Default: axis = 0. */
  unbind<D extends DType>(x: Tensor<D>, axis?: number): Tensor<D>[];
  /** A copy with the elements of some axes in reverse order. */
  flip<D extends DType>(x: Tensor<D>, axes: number | readonly number[]): Tensor<D>;
  /** Itself when row-major, else a row-major copy. */
  contiguous<D extends DType>(x: Tensor<D>): Tensor<D>;
  /** A copy, through which gradients flow. */
  clone<D extends DType>(x: Tensor<D>): Tensor<D>;
  /**
   * Another dtype, another device, or those of another tensor. Itself when nothing changes. Gradients flow back through
   * it.
   */
  to<D extends DType, T extends Destination>(x: Tensor<D>, target: T): Tensor<DTypeAt<T, D>>;
  /** to('float32'). */
  float(x: Tensor): Tensor<'float32'>;
  /** to('float16'). */
  half(x: Tensor): Tensor<'float16'>;
  /** to('float64'). */
  double(x: Tensor): Tensor<'float64'>;
  /** to('int64'). */
  long(x: Tensor): Tensor<'int64'>;
  /** Sum over some axes (all unless given). Integers and bool sum to int64. */
  sum(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Mean over some axes. */
  mean(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Product over some axes. */
  prod(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Variance over some axes. */
  var(x: Tensor, axes?: Axes, options?: VarOptions): Tensor;
  /** Standard deviation over some axes. */
  std(x: Tensor, axes?: Axes, options?: VarOptions): Tensor;
  /** The p-norm (sum |x|^p)^(1/p) over some axes; p may be Infinity. Default: p = 2. PyTorch: `linalg.vector_norm`. */
  norm(x: Tensor, p?: number, axes?: Axes, options?: ReduceOptions): Tensor;
  /** ln of the sum of e^x over some axes, without overflow. PyTorch: `logsumexp`. */
  logSumExp(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Is any element other than 0? */
  any(x: Tensor, axes?: Axes, options?: KeepdimOptions): Tensor<'bool'>;
  /** Are all elements other than 0? */
  all(x: Tensor, axes?: Axes, options?: KeepdimOptions): Tensor<'bool'>;
  /** How many elements are other than 0? PyTorch: `count_nonzero`. */
  countNonzero(x: Tensor, axes?: Axes): Tensor<'int64'>;
  /** The largest element over some axes. Equal ones share the gradient. */
  amax(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** The smallest element over some axes. Equal ones share the gradient. */
  amin(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Position of the largest element along an axis, or in row-major order of all. The first one wins. */
  argmax(x: Tensor, axis?: number, options?: KeepdimOptions): Tensor<'int64'>;
  /** Position of the smallest element along an axis, or in row-major order of all. The first one wins. */
  argmin(x: Tensor, axis?: number, options?: KeepdimOptions): Tensor<'int64'>;
  /** The largest of all elements; with an axis, the largest along it and where they are. */
  max(x: Tensor): Tensor;
  /** The largest of all elements; with an axis, the largest along it and where they are. */
  max(x: Tensor, axis: number, options?: ReduceOptions): Ranked;
  /** The smallest of all elements; with an axis, the smallest along it and where they are. */
  min(x: Tensor): Tensor;
  /** The smallest of all elements; with an axis, the smallest along it and where they are. */
  min(x: Tensor, axis: number, options?: ReduceOptions): Ranked;
  /** Running sum along an axis. */
  cumsum(x: Tensor, axis: number, options?: { dtype?: DType }): Tensor;
  /** Running product along an axis. */
  cumprod(x: Tensor, axis: number, options?: { dtype?: DType }): Tensor;
  /** e^x, scaled to sum 1 along an axis. */
  softmax(x: Tensor, axis: number, options?: { dtype?: DType }): Tensor;
  /** ln of softmax, without overflow. PyTorch: `log_softmax`. */
  logSoftmax(x: Tensor, axis: number, options?: { dtype?: DType }): Tensor;
  /** The k largest (or smallest) along an axis, in order. NaN counts as the largest. Default: axis = -1. */
  topk(x: Tensor, k: number, axis?: number, options?: { largest?: boolean }): Ranked;
  /** All elements along an axis in order; equal ones keep theirs. Default: axis = -1. */
  sort(x: Tensor, axis?: number, options?: { descending?: boolean }): Ranked;
  /** Where the elements in order are. Default: axis = -1. */
  argsort(x: Tensor, axis?: number, options?: { descending?: boolean }): Tensor<'int64'>;
  /**
   * Draws numSamples positions from each row of weights (rows, n) or (n), which need not sum to 1. Without replacement
   * unless asked. A position of weight 0 is never drawn.
   */
  multinomial(x: Tensor, numSamples: number, options?: { replacement?: boolean }): Tensor<'int64'>;
  /** out[.., i, ..] = x[.., index[.., i, ..], ..] along an axis; the result has the index's shape. */
  gather(x: Tensor, axis: number, index: Tensor): Tensor;
  /** The positions of an axis that a one-axis index names, in its order. PyTorch: `index_select`. */
  indexSelect(x: Tensor, axis: number, index: Tensor): Tensor;
  /** A copy of x with source, a tensor or one value, written where gather with this index would read. */
  scatter(x: Tensor, axis: number, index: Tensor, source: Tensor | number): Tensor;
  /** A copy of x with source added where gather with this index would read. PyTorch: `scatter_add`. */
  scatterAdd(x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * A copy of x with the positions of an axis that the index names replaced by those of source. PyTorch: `index_copy`.
   */
  indexCopy(x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor;
  /** A copy of x with source added at the positions of an axis that the index names. PyTorch: `index_add`. */
  indexAdd(x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * Indexes as NumPy and PyTorch do: at(0), at('1:, ..., ::2'), at(null, rows, ':'), at(x.gt(0)), at([0, 2]). Numbers
   * and ranges give views. Index tensors, lists and masks copy: negative positions count from the end, several
   * broadcast together, and their axes stand where they stood when they were neighbours, else first. How many elements
   * a mask takes is known only to the device: reading through one waits for it. PyTorch: `x[index]`.
   */
  at<D extends DType>(x: Tensor<D>, ...items: IndexItem[]): Tensor<D>;
  /**
   * Writes a tensor or one value, converted and broadcast, to the part of x that at() shows. Several items are given as
   * an array: set_([0, '1:'], value); so a list of positions is an array in an array: set_([[0, 2]], value). With
   * accumulate the value is added, as often as a position is named; without, which of several values a position gets is
   * not defined. PyTorch: `x[index] = value`.
   */
  set_<D extends DType>(
    x: Tensor<D>,
    index: IndexItem | readonly IndexItem[],
    value: Tensor | number,
    how?: WriteOptions,
  ): Tensor<D>;
  /**
   * The matrix product (..., m, k) by (..., k, n); leading axes broadcast. A tensor of one axis is a row on the left
   * and a column on the right, and that axis is dropped from the result.
   */
  matmul(a: Tensor, b: Tensor): Tensor;
  /**
   * x Phi(x), Phi of the standard normal distribution; approximate 'tanh' is the cheaper form GPT-2 was trained with.
   */
  gelu(x: Tensor, options?: { approximate?: 'none' | 'tanh' }): Tensor;
  /** ln(1 + e^(beta x)) / beta, and x itself where beta x > threshold. */
  softplus(x: Tensor, options?: { beta?: number; threshold?: number }): Tensor;
  /** x where positive, else slope * x. Default: slope = 0.01. PyTorch: `leaky_relu`. */
  leakyRelu(x: Tensor, slope?: number): Tensor;
  /** x where positive, else alpha (e^x - 1). Default: alpha = 1. */
  elu(x: Tensor, alpha?: number): Tensor;
  /**
   * x, moved into [min, max], given as { min, max } or as clamp(min, max); either bound may be left out. Fractions as
   * bounds make integers floating; a bound of NaN makes all NaN.
   */
  clamp(x: Tensor, boundsOrMin?: Bounds | number | null, max?: number | null): Tensor;
  /** x where the condition holds, else other. */
  where(condition: Tensor, x: Tensor | number, other: Tensor | number): Tensor;
  /**
   * value where the mask holds, else x; in the dtype of x, which must be able to hold the value. Bool takes every
   * number but 0 for true. PyTorch: `masked_fill`.
   */
  maskedFill(x: Tensor, mask: Tensor, value: number | Tensor): Tensor;
  /** x + value * a * b. Default: value = 1. */
  addcmul(x: Tensor, a: Tensor | number, b: Tensor | number, value?: number): Tensor;
  /** x + value * a / b. Default: value = 1. */
  addcdiv(x: Tensor, a: Tensor | number, b: Tensor | number, value?: number): Tensor;
  /** x + weight * (end - x). */
  lerp(x: Tensor, end: Tensor | number, weight: Tensor | number): Tensor;
  /**
   * The lower triangle of the last two axes, zeros above the diagonal (counted upwards from the main one). Default:
   * diagonal = 0.
   */
  tril(x: Tensor, diagonal?: number): Tensor;
  /**
   * The upper triangle of the last two axes, zeros below the diagonal (counted upwards from the main one). Default:
   * diagonal = 0.
   */
  triu(x: Tensor, diagonal?: number): Tensor;
  /**
   * Zeroes each element with probability p and divides the others by 1 - p; itself when not training. Default: p = 0.5,
   * training = true.
   */
  dropout(x: Tensor, p?: number, training?: boolean): Tensor;
  /**
   * Tensors one after the other along an axis; dtypes promote. As in PyTorch, tensors of shape [0] are passed over
   * among tensors of another shape. Default: axis = 0.
   */
  cat(tensors: readonly Tensor[], axis?: number): Tensor;
  /** Tensors of one shape along a new axis. Default: axis = 0. */
  stack(tensors: readonly Tensor[], axis?: number): Tensor;
  /** x (..., in) by the transpose of weight (out, in), plus bias (out). */
  linear(x: Tensor, weight: Tensor, bias?: Tensor | null): Tensor;
  /** The rows of weight (n, d) that x names: shape of x, then d. @throws IndexError for a row that is not there */
  embedding(x: Tensor, weight: Tensor): Tensor;
  /**
   * 1 at the class of each element, else 0, in a new last axis of numClasses. int64, as in PyTorch. @throws IndexError
   * PyTorch: `one_hot`.
   */
  oneHot(x: Tensor, numClasses: number): Tensor<'int64'>;
  /** Cross-correlation of input (N, C, H, W) with weight (O, C / groups, kH, kW), plus bias (O): (N, O, oH, oW). */
  conv2d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: ConvOptions): Tensor;
  /** Cross-correlation of input (N, C, L) with weight (O, C / groups, k), plus bias (O): (N, O, oL). */
  conv1d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: Conv1dOptions): Tensor;
  /** The largest value of each window of x (N, C, H, W). PyTorch: `max_pool2d`. */
  maxPool2d(x: Tensor, kernelSize: Pair, options?: PoolOptions): Tensor;
  /** maxPool2d, and the positions within H * W of the values. PyTorch: `max_pool2d(return_indices=True)`. */
  maxPool2dWithIndices(x: Tensor, kernelSize: Pair, options?: PoolOptions): { values: Tensor; indices: Tensor };
  /** The mean of each window of x (N, C, H, W). PyTorch: `avg_pool2d`. */
  avgPool2d(
    x: Tensor,
    kernelSize: Pair,
    options?: Omit<PoolOptions, 'dilation'> & { countIncludePad?: boolean },
  ): Tensor;
  /**
   * (x - mean) / sqrt(var + eps) over the trailing axes of normalizedShape, times weight, plus bias. Statistics are
   * float32. Default: eps = 1e-5. PyTorch: `layer_norm`.
   */
  layerNorm(x: Tensor, normalizedShape: Shape, weight?: Tensor | null, bias?: Tensor | null, eps?: number): Tensor;
  /**
   * x / sqrt(mean(x^2) + eps) over the trailing axes of normalizedShape, times weight. eps is, as in PyTorch, the
   * distance from 1 to the next number of the dtype that the mean is computed in: 2^-52 for float64, else 2^-23, which
   * is float32's. PyTorch: `rms_norm`.
   */
  rmsNorm(x: Tensor, normalizedShape: Shape, weight?: Tensor | null, eps?: number): Tensor;
  /**
   * Normalises groups of channels of x (N, C, ...) each to mean 0 and variance 1; weight and bias are (C). Default: eps
   * = 1e-5. PyTorch: `group_norm`.
   */
  groupNorm(x: Tensor, groups: number, weight?: Tensor | null, bias?: Tensor | null, eps?: number): Tensor;
  /**
   * Normalises each channel of x (N, C, ...): with the statistics of the batch while training, else with the running
   * ones. PyTorch: `batch_norm`.
   */
  batchNorm(x: Tensor, options?: BatchNormOptions): Tensor;
  /** Mean of (x - target)^2. PyTorch: `mse_loss`. */
  mseLoss(x: Tensor, target: Tensor, options?: LossOptions): Tensor;
  /** Mean of |x - target|. PyTorch: `l1_loss`. */
  l1Loss(x: Tensor, target: Tensor, options?: LossOptions): Tensor;
  /**
   * Cross-entropy of logits (C), (N, C) or (N, C, ...) with class indices (without the class axis) or with
   * probabilities (of the same shape). Softmax, logarithm and loss are one kernel; the loss is float32, or float64 for
   * float64. PyTorch: `cross_entropy`.
   */
  crossEntropy(x: Tensor, target: Tensor, options?: CrossEntropyOptions): Tensor;
  /**
   * Minus the log-probability of the target class; x holds log-probabilities as logSoftmax gives them, (C), (N, C) or
   * (N, C, ...). PyTorch: `nll_loss`.
   */
  nllLoss(x: Tensor, target: Tensor, options?: ClassLossOptions): Tensor;
  /**
   * Cross-entropy of probabilities with targets in [0, 1]. The logarithms are kept above -100, as in PyTorch. PyTorch:
   * `binary_cross_entropy`.
   */
  binaryCrossEntropy(x: Tensor, target: Tensor, options?: BinaryLossOptions): Tensor;
  /**
   * Binary cross-entropy of logits: (1 - t) x + ln(1 + e^-x), with the positive class counted posWeight times. PyTorch:
   * `binary_cross_entropy_with_logits`.
   */
  binaryCrossEntropyWithLogits(x: Tensor, target: Tensor, options?: BinaryLossOptions & { posWeight?: Tensor }): Tensor;
  /**
   * softmax(scale * q k^T + mask) v, without ever holding the (L, S) scores. q (..., L, E), k (..., S, E), v (..., S,
   * F) with the same leading axes, at most two. PyTorch: `scaled_dot_product_attention`.
   */
  scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options?: AttentionOptions): Tensor;
  /** |x|. */
  abs(x: Tensor): Tensor;
  /** -x. */
  neg(x: Tensor): Tensor;
  /** -1, 0 or 1. */
  sign(x: Tensor): Tensor;
  /** The largest whole number <= x. */
  floor(x: Tensor): Tensor;
  /** The smallest whole number >= x. */
  ceil(x: Tensor): Tensor;
  /** The nearest whole number, halves to even. */
  round(x: Tensor): Tensor;
  /** x without its fraction. */
  trunc(x: Tensor): Tensor;
  /** e^x. */
  exp(x: Tensor): Tensor;
  /** 2^x. */
  exp2(x: Tensor): Tensor;
  /** e^x - 1, accurate near 0. */
  expm1(x: Tensor): Tensor;
  /** Natural logarithm. */
  log(x: Tensor): Tensor;
  /** Logarithm to base 2. */
  log2(x: Tensor): Tensor;
  /** Logarithm to base 10. */
  log10(x: Tensor): Tensor;
  /** ln(1 + x), accurate near 0. */
  log1p(x: Tensor): Tensor;
  /** Square root; NaN below 0. */
  sqrt(x: Tensor): Tensor;
  /** 1 / sqrt(x). */
  rsqrt(x: Tensor): Tensor;
  /** 1 / x. */
  reciprocal(x: Tensor): Tensor;
  /** x * x. */
  square(x: Tensor): Tensor;
  /** Sine of radians. */
  sin(x: Tensor): Tensor;
  /** Cosine of radians. */
  cos(x: Tensor): Tensor;
  /** Tangent of radians. */
  tan(x: Tensor): Tensor;
  /** Inverse sine, in radians. */
  asin(x: Tensor): Tensor;
  /** Inverse cosine, in radians. */
  acos(x: Tensor): Tensor;
  /** Inverse tangent, in radians. */
  atan(x: Tensor): Tensor;
  /** Hyperbolic sine. */
  sinh(x: Tensor): Tensor;
  /** Hyperbolic cosine. */
  cosh(x: Tensor): Tensor;
  /** Hyperbolic tangent. */
  tanh(x: Tensor): Tensor;
  /** The error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x. */
  erf(x: Tensor): Tensor;
  /** 1 - erf(x), accurate for large x. */
  erfc(x: Tensor): Tensor;
  /** The inverse of erf on (-1, 1). */
  erfinv(x: Tensor): Tensor;
  /** 1 / (1 + e^-x). */
  sigmoid(x: Tensor): Tensor;
  /** ln(sigmoid(x)), without overflow. PyTorch: `logsigmoid`. */
  logSigmoid(x: Tensor): Tensor;
  /** max(x, 0). */
  relu(x: Tensor): Tensor;
  /** x * sigmoid(x). */
  silu(x: Tensor): Tensor;
  /** x * tanh(ln(1 + e^x)). */
  mish(x: Tensor): Tensor;
  /** Is it NaN? PyTorch: `isnan`. */
  isNaN(x: Tensor): Tensor<'bool'>;
  /** Is it infinite? PyTorch: `isinf`. */
  isInf(x: Tensor): Tensor<'bool'>;
  /** Is it neither infinite nor NaN? PyTorch: `isfinite`. */
  isFinite(x: Tensor): Tensor<'bool'>;
  /** true where x is 0. PyTorch: `logical_not`. */
  logicalNot(x: Tensor): Tensor<'bool'>;
  /** a + b. Shapes broadcast; dtypes promote. */
  add(a: Tensor | number, b: Tensor | number): Tensor;
  /** a - b. */
  sub(a: Tensor | number, b: Tensor | number): Tensor;
  /** a * b. */
  mul(a: Tensor | number, b: Tensor | number): Tensor;
  /** a / b, always floating. */
  div(a: Tensor | number, b: Tensor | number): Tensor;
  /** a to the power of b. */
  pow(a: Tensor | number, b: Tensor | number): Tensor;
  /** The larger of two; NaN if either is. */
  maximum(a: Tensor | number, b: Tensor | number): Tensor;
  /** The smaller of two; NaN if either is. */
  minimum(a: Tensor | number, b: Tensor | number): Tensor;
  /** The remainder with the sign of a, as % in JavaScript. */
  fmod(a: Tensor | number, b: Tensor | number): Tensor;
  /** The remainder with the sign of b, as % in Python. */
  remainder(a: Tensor | number, b: Tensor | number): Tensor;
  /** floor(a / b). PyTorch: `floor_divide`. */
  floorDivide(a: Tensor | number, b: Tensor | number): Tensor;
  /** The angle of the point (b, a), in radians. */
  atan2(a: Tensor | number, b: Tensor | number): Tensor;
  /** sqrt(a^2 + b^2), without overflow. */
  hypot(a: Tensor | number, b: Tensor | number): Tensor;
  /** Are both other than 0? PyTorch: `logical_and`. */
  logicalAnd(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** Is one of them other than 0? PyTorch: `logical_or`. */
  logicalOr(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** Is exactly one of them other than 0? PyTorch: `logical_xor`. */
  logicalXor(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** Bits set in both. PyTorch: `bitwise_and`. */
  bitwiseAnd(a: Tensor | number, b: Tensor | number): Tensor;
  /** Bits set in one or both. PyTorch: `bitwise_or`. */
  bitwiseOr(a: Tensor | number, b: Tensor | number): Tensor;
  /** Bits set in exactly one. PyTorch: `bitwise_xor`. */
  bitwiseXor(a: Tensor | number, b: Tensor | number): Tensor;
  /** a == b. */
  eq(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** a != b. */
  ne(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** a < b. */
  lt(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** a <= b. */
  le(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** a > b. */
  gt(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** a >= b. */
  ge(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
}
