// Made by `npm run declare` from the table of ops and the functions of this folder; do not edit by hand.
import type { DType } from '../tensor/dtype.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Bounds } from './activations.ts';
import type { AttentionOptions } from './attention.ts';
import type { Conv1dOptions, ConvOptions } from './convolution.ts';
import type { LinearOptions } from './linear.ts';
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
  /** The sign of x: -1, 0 or 1. */
  sign(): Tensor;
  /** The sign of x: -1, 0 or 1. The result is written over this tensor. */
  sign_(): this;
  /** Computes the largest whole number <= x. */
  floor(): Tensor;
  /** Computes the largest whole number <= x. The result is written over this tensor. */
  floor_(): this;
  /** Computes the smallest whole number >= x. */
  ceil(): Tensor;
  /** Computes the smallest whole number >= x. The result is written over this tensor. */
  ceil_(): this;
  /** Rounds to the nearest whole number, halves to the even one. */
  round(): Tensor;
  /** Rounds to the nearest whole number, halves to the even one. The result is written over this tensor. */
  round_(): this;
  /** Removes the fraction: rounds towards 0. */
  trunc(): Tensor;
  /** Removes the fraction: rounds towards 0. The result is written over this tensor. */
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
  /** Computes the natural logarithm. */
  log(): Tensor;
  /** Computes the natural logarithm. The result is written over this tensor. */
  log_(): this;
  /** Computes the logarithm to base 2. */
  log2(): Tensor;
  /** Computes the logarithm to base 2. The result is written over this tensor. */
  log2_(): this;
  /** Computes the logarithm to base 10. */
  log10(): Tensor;
  /** Computes the logarithm to base 10. The result is written over this tensor. */
  log10_(): this;
  /** ln(1 + x), accurate near 0. */
  log1p(): Tensor;
  /** ln(1 + x), accurate near 0. The result is written over this tensor. */
  log1p_(): this;
  /** Computes the square root; NaN for x < 0. */
  sqrt(): Tensor;
  /** Computes the square root; NaN for x < 0. The result is written over this tensor. */
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
  /** Computes the sine of x, an angle in radians. */
  sin(): Tensor;
  /** Computes the sine of x, an angle in radians. The result is written over this tensor. */
  sin_(): this;
  /** Computes the cosine of x, an angle in radians. */
  cos(): Tensor;
  /** Computes the cosine of x, an angle in radians. The result is written over this tensor. */
  cos_(): this;
  /** Computes the tangent of x, an angle in radians. */
  tan(): Tensor;
  /** Computes the tangent of x, an angle in radians. The result is written over this tensor. */
  tan_(): this;
  /** Computes the inverse sine, in radians. */
  asin(): Tensor;
  /** Computes the inverse sine, in radians. The result is written over this tensor. */
  asin_(): this;
  /** Computes the inverse cosine, in radians. */
  acos(): Tensor;
  /** Computes the inverse cosine, in radians. The result is written over this tensor. */
  acos_(): this;
  /** Computes the inverse tangent, in radians. */
  atan(): Tensor;
  /** Computes the inverse tangent, in radians. The result is written over this tensor. */
  atan_(): this;
  /** Computes the hyperbolic sine. */
  sinh(): Tensor;
  /** Computes the hyperbolic sine. The result is written over this tensor. */
  sinh_(): this;
  /** Computes the hyperbolic cosine. */
  cosh(): Tensor;
  /** Computes the hyperbolic cosine. The result is written over this tensor. */
  cosh_(): this;
  /** Computes the hyperbolic tangent. */
  tanh(): Tensor;
  /** Computes the hyperbolic tangent. The result is written over this tensor. */
  tanh_(): this;
  /** Computes the error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x. */
  erf(): Tensor;
  /**
   * Computes the error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x. The result is written over this
   * tensor.
   */
  erf_(): this;
  /** 1 - erf(x), accurate for large x. */
  erfc(): Tensor;
  /** 1 - erf(x), accurate for large x. The result is written over this tensor. */
  erfc_(): this;
  /** Computes the inverse of erf() on (-1, 1). */
  erfinv(): Tensor;
  /** Computes the inverse of erf() on (-1, 1). The result is written over this tensor. */
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
  /** Is it 0? PyTorch: `logical_not`. */
  logicalNot(): Tensor<'bool'>;
  /** Is it 0? The result is written over this tensor. PyTorch: `logical_not_`. */
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
  /** a / b. The result is always floating. a is this tensor. */
  div(b: Tensor | number): Tensor;
  /** a / b. The result is always floating. a is this tensor, and the result is written over it. */
  div_(b: Tensor | number): this;
  /** a to the power of b. a is this tensor. */
  pow(b: Tensor | number): Tensor;
  /** a to the power of b. a is this tensor, and the result is written over it. */
  pow_(b: Tensor | number): this;
  /** Computes the larger of two numbers; NaN if either is NaN. a is this tensor. */
  maximum(b: Tensor | number): Tensor;
  /** Computes the larger of two numbers; NaN if either is NaN. a is this tensor, and the result is written over it. */
  maximum_(b: Tensor | number): this;
  /** Computes the smaller of two numbers; NaN if either is NaN. a is this tensor. */
  minimum(b: Tensor | number): Tensor;
  /** Computes the smaller of two numbers; NaN if either is NaN. a is this tensor, and the result is written over it. */
  minimum_(b: Tensor | number): this;
  /** Computes the remainder with the sign of a, as % does in JavaScript. a is this tensor. */
  fmod(b: Tensor | number): Tensor;
  /**
   * Computes the remainder with the sign of a, as % does in JavaScript. a is this tensor, and the result is written
   * over it.
   */
  fmod_(b: Tensor | number): this;
  /** Computes the remainder with the sign of b, as % does in Python. a is this tensor. */
  remainder(b: Tensor | number): Tensor;
  /**
   * Computes the remainder with the sign of b, as % does in Python. a is this tensor, and the result is written over
   * it.
   */
  remainder_(b: Tensor | number): this;
  /** floor(a / b). a is this tensor. PyTorch: `floor_divide`. */
  floorDivide(b: Tensor | number): Tensor;
  /** floor(a / b). a is this tensor, and the result is written over it. PyTorch: `floor_divide_`. */
  floorDivide_(b: Tensor | number): this;
  /** Computes the angle of the point (b, a), in radians. a is this tensor. */
  atan2(b: Tensor | number): Tensor;
  /** Computes the angle of the point (b, a), in radians. a is this tensor, and the result is written over it. */
  atan2_(b: Tensor | number): this;
  /** sqrt(a^2 + b^2), without overflow. a is this tensor. */
  hypot(b: Tensor | number): Tensor;
  /** sqrt(a^2 + b^2), without overflow. a is this tensor, and the result is written over it. */
  hypot_(b: Tensor | number): this;
  /** Are both other than 0? a is this tensor. PyTorch: `logical_and`. */
  logicalAnd(b: Tensor | number): Tensor<'bool'>;
  /** Are both other than 0? a is this tensor, and the result is written over it. PyTorch: `logical_and_`. */
  logicalAnd_(b: Tensor | number): this;
  /** Is at least one of them other than 0? a is this tensor. PyTorch: `logical_or`. */
  logicalOr(b: Tensor | number): Tensor<'bool'>;
  /**
   * Is at least one of them other than 0? a is this tensor, and the result is written over it. PyTorch: `logical_or_`.
   */
  logicalOr_(b: Tensor | number): this;
  /** Is exactly one of them other than 0? a is this tensor. PyTorch: `logical_xor`. */
  logicalXor(b: Tensor | number): Tensor<'bool'>;
  /**
   * Is exactly one of them other than 0? a is this tensor, and the result is written over it. PyTorch: `logical_xor_`.
   */
  logicalXor_(b: Tensor | number): this;
  /** Computes the bits that are set in both numbers. a is this tensor. PyTorch: `bitwise_and`. */
  bitwiseAnd(b: Tensor | number): Tensor;
  /**
   * Computes the bits that are set in both numbers. a is this tensor, and the result is written over it. PyTorch:
   * `bitwise_and_`.
   */
  bitwiseAnd_(b: Tensor | number): this;
  /** Computes the bits that are set in one or both numbers. a is this tensor. PyTorch: `bitwise_or`. */
  bitwiseOr(b: Tensor | number): Tensor;
  /**
   * Computes the bits that are set in one or both numbers. a is this tensor, and the result is written over it.
   * PyTorch: `bitwise_or_`.
   */
  bitwiseOr_(b: Tensor | number): this;
  /** Computes the bits that are set in exactly one of the numbers. a is this tensor. PyTorch: `bitwise_xor`. */
  bitwiseXor(b: Tensor | number): Tensor;
  /**
   * Computes the bits that are set in exactly one of the numbers. a is this tensor, and the result is written over it.
   * PyTorch: `bitwise_xor_`.
   */
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
  /**
   * Returns the same elements in another shape; one size may be -1. It is a view if the layout allows it, else a copy.
   */
  reshape(...sizes: Sizes): Tensor<D>;
  /** Returns a view in another shape, like reshape() without copying. @throws ShapeError if the layout needs a copy */
  view(...sizes: Sizes): Tensor<D>;
  /** Merges the axes from start to end (included) into one. Default: start = 0, end = -1. */
  flatten(start?: number, end?: number): Tensor<D>;
  /** Splits one axis into several; one size may be -1. */
  unflatten(axis: number, sizes: Shape): Tensor<D>;
  /** Returns a view with the axes in another order. */
  permute(...order: Sizes): Tensor<D>;
  /** Exchanges two axes. */
  transpose(a: number, b: number): Tensor<D>;
  /** Removes axes of size 1: all of them, or those given; given axes of another size stay. */
  squeeze(axes?: number | readonly number[]): Tensor<D>;
  /** Inserts a new axis of size 1 at a position. */
  unsqueeze(axis: number): Tensor<D>;
  /** Repeats axes of size 1 without a copy; -1 keeps a size. */
  expand(...sizes: Sizes): Tensor<D>;
  /** Repeats axes of size 1 without a copy: expand() by its NumPy name. PyTorch: `broadcast_to`. */
  broadcastTo(shape: Shape): Tensor<D>;
  /**
   * Returns the elements from start to end of an axis, every step-th. end is excluded; without it the slice goes to the
   * last element. Negative bounds count from the end, and all bounds are clipped, as in Python. Default: step = 1.
   * PyTorch: `x[..., start:end:step]`.
   */
  slice(axis: number, start?: number | null, end?: number | null, step?: number): Tensor<D>;
  /** Returns `length` elements of an axis from start. @throws ShapeError if they reach past its end */
  narrow(axis: number, start: number, length: number): Tensor<D>;
  /** Returns one position of an axis, as a view without that axis. */
  select(axis: number, index: number): Tensor<D>;
  /** Splits an axis into parts of `size` (the last may be smaller), or of the given sizes. Default: axis = 0. */
  split(size: number | readonly number[], axis?: number): Tensor<D>[];
  /**
   * Splits an axis into at most `count` parts of equal size (the last may be smaller). An empty axis gives `count`
   * empty parts. Default: axis = 0.
   */
  chunk(count: number, axis?: number): Tensor<D>[];
  /** Returns all positions of an axis, as a list of tensors without it. Default: axis = 0. */
  unbind(axis?: number): Tensor<D>[];
  /** Returns a copy with the elements of some axes in reverse order. */
  flip(axes: number | readonly number[]): Tensor<D>;
  /** Returns the tensor itself if it is row-major, else a row-major copy. */
  contiguous(): Tensor<D>;
  /** Returns a copy, through which gradients flow. */
  clone(): Tensor<D>;
  /**
   * Converts to another dtype, another device, or those of another tensor. Returns the tensor itself if nothing
   * changes. Gradients flow back through the conversion.
   */
  to<T extends Destination>(target: T): Tensor<DTypeAt<T, D>>;
  /** Converts to float32: to('float32'). */
  float(): Tensor<'float32'>;
  /** Converts to float16: to('float16'). */
  half(): Tensor<'float16'>;
  /** Converts to float64: to('float64'). */
  double(): Tensor<'float64'>;
  /** Converts to int64: to('int64'). */
  long(): Tensor<'int64'>;
  /** Sums over some axes (all unless given). Integers and bool sum to int64. */
  sum(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the mean over some axes (all unless given). */
  mean(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the product over some axes (all unless given). */
  prod(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the variance over some axes (all unless given). */
  var(axes?: Axes, options?: VarOptions): Tensor;
  /** Computes the standard deviation over some axes (all unless given). */
  std(axes?: Axes, options?: VarOptions): Tensor;
  /**
   * Computes the p-norm (sum |x|^p)^(1/p) over some axes; p may be Infinity. Default: p = 2. PyTorch:
   * `linalg.vector_norm`.
   */
  norm(p?: number, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the logarithm of the sum of e^x over some axes, without overflow. PyTorch: `logsumexp`. */
  logSumExp(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Is any element other than 0? */
  any(axes?: Axes, options?: KeepdimOptions): Tensor<'bool'>;
  /** Are all elements other than 0? */
  all(axes?: Axes, options?: KeepdimOptions): Tensor<'bool'>;
  /** Counts the elements that are not 0. PyTorch: `count_nonzero`. */
  countNonzero(axes?: Axes): Tensor<'int64'>;
  /** Computes the largest element over some axes. Elements that are equal to it share the gradient. */
  amax(axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the smallest element over some axes. Elements that are equal to it share the gradient. */
  amin(axes?: Axes, options?: ReduceOptions): Tensor;
  /**
   * Returns the position of the largest element along an axis, or among all elements in row-major order. The first one
   * counts.
   */
  argmax(axis?: number, options?: KeepdimOptions): Tensor<'int64'>;
  /**
   * Returns the position of the smallest element along an axis, or among all elements in row-major order. The first one
   * counts.
   */
  argmin(axis?: number, options?: KeepdimOptions): Tensor<'int64'>;
  /** Returns the largest of all elements; with an axis, the largest elements along it and their positions. */
  max(): Tensor;
  /** Returns the largest of all elements; with an axis, the largest elements along it and their positions. */
  max(axis: number, options?: ReduceOptions): Ranked;
  /** Returns the smallest of all elements; with an axis, the smallest elements along it and their positions. */
  min(): Tensor;
  /** Returns the smallest of all elements; with an axis, the smallest elements along it and their positions. */
  min(axis: number, options?: ReduceOptions): Ranked;
  /** Computes the running sum along an axis. */
  cumsum(axis: number, options?: { dtype?: DType }): Tensor;
  /** Computes the running product along an axis. */
  cumprod(axis: number, options?: { dtype?: DType }): Tensor;
  /** Computes e^x divided by its sum along an axis. */
  softmax(axis: number, options?: { dtype?: DType }): Tensor;
  /** Computes the logarithm of softmax(), without overflow. PyTorch: `log_softmax`. */
  logSoftmax(axis: number, options?: { dtype?: DType }): Tensor;
  /**
   * Returns the k largest (or smallest) elements along an axis, in order, and their positions. NaN counts as the
   * largest. Default: axis = -1.
   */
  topk(k: number, axis?: number, options?: { largest?: boolean }): Ranked;
  /** Sorts the elements along an axis. Equal elements keep their order. Default: axis = -1. */
  sort(axis?: number, options?: { descending?: boolean }): Ranked;
  /** Returns the positions of the elements along an axis in sorted order. Default: axis = -1. */
  argsort(axis?: number, options?: { descending?: boolean }): Tensor<'int64'>;
  /**
   * Draws numSamples positions from each row of weights (rows, n) or (n), which need not sum to 1, without replacement
   * unless given. A position of weight 0 is never drawn.
   */
  multinomial(numSamples: number, options?: { replacement?: boolean }): Tensor<'int64'>;
  /** out[.., i, ..] = x[.., index[.., i, ..], ..] along an axis. The result has the shape of the index. */
  gather(axis: number, index: Tensor): Tensor;
  /** Selects the positions of an axis that an index of one axis lists, in its order. PyTorch: `index_select`. */
  indexSelect(axis: number, index: Tensor): Tensor;
  /**
   * Returns a copy of x in which source, a tensor or one value, replaces the elements that gather() with this index
   * would read.
   */
  scatter(axis: number, index: Tensor, source: Tensor | number): Tensor;
  /**
   * Returns a copy of x in which source is added to the elements that gather() with this index would read. PyTorch:
   * `scatter_add`.
   */
  scatterAdd(axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * Returns a copy of x in which the positions of source replace the positions of an axis that the index lists.
   * PyTorch: `index_copy`.
   */
  indexCopy(axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * Returns a copy of x in which source is added at the positions of an axis that the index lists. PyTorch:
   * `index_add`.
   */
  indexAdd(axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * Indexes as NumPy and PyTorch do: at(0), at('1:, ..., ::2'), at(null, rows, ':'), at(x.gt(0)), at([0, 2]). Numbers
   * and ranges give views. Index tensors, lists and masks copy: negative positions count from the end, several tensors
   * broadcast together, and their axes stay in place if they were neighbours, else come first. Only the device knows
   * how many elements a mask selects, so reading with a mask waits for it. PyTorch: `x[index]`.
   */
  at(...items: IndexItem[]): Tensor<D>;
  /**
   * Writes a tensor or one value, converted and broadcast, to the elements of x that at() shows. Several items are
   * given as an array: set_([0, '1:'], value). A list of positions is therefore an array in an array: set_([[0, 2]],
   * value). With accumulate the value is added as often as a position is listed; without it, the result is not defined
   * if a position is listed with several values. PyTorch: `x[index] = value`.
   */
  set_(index: IndexItem | readonly IndexItem[], value: Tensor | number, how?: WriteOptions): this;
  /**
   * Computes the matrix product of (..., m, k) and (..., k, n); leading axes broadcast. A tensor of one axis is a row
   * on the left and a column on the right, and that axis is dropped from the result.
   */
  matmul(b: Tensor): Tensor;
  /**
   * x Phi(x), where Phi is the distribution function of the standard normal distribution; approximate 'tanh' is the
   * cheaper form that GPT-2 was trained with.
   */
  gelu(options?: { approximate?: 'none' | 'tanh' }): Tensor;
  /** ln(1 + e^(beta x)) / beta, or x itself if beta x > threshold. */
  softplus(options?: { beta?: number; threshold?: number }): Tensor;
  /** x if it is positive, else slope * x. Default: slope = 0.01. PyTorch: `leaky_relu`. */
  leakyRelu(slope?: number): Tensor;
  /** x if it is positive, else alpha (e^x - 1). Default: alpha = 1. */
  elu(alpha?: number): Tensor;
  /**
   * Moves the elements of x into [min, max], given as { min, max } or as clamp(min, max). Either bound may be left out.
   * Bounds with fractions make integers floating; a bound of NaN makes all elements NaN.
   */
  clamp(boundsOrMin?: Bounds | number | null, max?: number | null): Tensor;
  /** Selects elements: x where the condition is true, else other. */
  where(condition: Tensor, other: Tensor | number): Tensor;
  /**
   * Replaces elements: value where the mask is true, else x. The result has the dtype of x, which must be able to hold
   * the value; bool takes every number other than 0 for true. PyTorch: `masked_fill`.
   */
  maskedFill(mask: Tensor, value: number | Tensor): Tensor;
  /** x + value * a * b. Default: value = 1. */
  addcmul(a: Tensor | number, b: Tensor | number, value?: number): Tensor;
  /** x + value * a / b. Default: value = 1. */
  addcdiv(a: Tensor | number, b: Tensor | number, value?: number): Tensor;
  /** x + weight * (end - x). */
  lerp(end: Tensor | number, weight: Tensor | number): Tensor;
  /**
   * Keeps the lower triangle of the last two axes; the elements above the diagonal become 0. `diagonal` counts upwards
   * from the main one. Default: diagonal = 0.
   */
  tril(diagonal?: number): Tensor;
  /**
   * Keeps the upper triangle of the last two axes; the elements below the diagonal become 0. `diagonal` counts upwards
   * from the main one. Default: diagonal = 0.
   */
  triu(diagonal?: number): Tensor;
  /**
   * Makes each element 0 with probability p and divides the others by 1 - p. Returns x itself when not training.
   * Default: p = 0.5, training = true.
   */
  dropout(p?: number, training?: boolean): Tensor;
  /** Overwrites x with source, which is broadcast and converted. Gradients flow to source. */
  copy_(source: Tensor): this;
  /** Overwrites x with one value. @throws DTypeError for a value that its dtype cannot hold */
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
  /**
   * Returns the same elements in another shape; one size may be -1. It is a view if the layout allows it, else a copy.
   */
  reshape<D extends DType>(x: Tensor<D>, ...sizes: Sizes): Tensor<D>;
  /** Returns a view in another shape, like reshape() without copying. @throws ShapeError if the layout needs a copy */
  view<D extends DType>(x: Tensor<D>, ...sizes: Sizes): Tensor<D>;
  /** Merges the axes from start to end (included) into one. Default: start = 0, end = -1. */
  flatten<D extends DType>(x: Tensor<D>, start?: number, end?: number): Tensor<D>;
  /** Splits one axis into several; one size may be -1. */
  unflatten<D extends DType>(x: Tensor<D>, axis: number, sizes: Shape): Tensor<D>;
  /** Returns a view with the axes in another order. */
  permute<D extends DType>(x: Tensor<D>, ...order: Sizes): Tensor<D>;
  /** Exchanges two axes. */
  transpose<D extends DType>(x: Tensor<D>, a: number, b: number): Tensor<D>;
  /** Removes axes of size 1: all of them, or those given; given axes of another size stay. */
  squeeze<D extends DType>(x: Tensor<D>, axes?: number | readonly number[]): Tensor<D>;
  /** Inserts a new axis of size 1 at a position. */
  unsqueeze<D extends DType>(x: Tensor<D>, axis: number): Tensor<D>;
  /** Repeats axes of size 1 without a copy; -1 keeps a size. */
  expand<D extends DType>(x: Tensor<D>, ...sizes: Sizes): Tensor<D>;
  /** Repeats axes of size 1 without a copy: expand() by its NumPy name. PyTorch: `broadcast_to`. */
  broadcastTo<D extends DType>(x: Tensor<D>, shape: Shape): Tensor<D>;
  /**
   * Returns the elements from start to end of an axis, every step-th. end is excluded; without it the slice goes to the
   * last element. Negative bounds count from the end, and all bounds are clipped, as in Python. Default: step = 1.
   * PyTorch: `x[..., start:end:step]`.
   */
  slice<D extends DType>(
    x: Tensor<D>,
    axis: number,
    start?: number | null,
    end?: number | null,
    step?: number,
  ): Tensor<D>;
  /** Returns `length` elements of an axis from start. @throws ShapeError if they reach past its end */
  narrow<D extends DType>(x: Tensor<D>, axis: number, start: number, length: number): Tensor<D>;
  /** Returns one position of an axis, as a view without that axis. */
  select<D extends DType>(x: Tensor<D>, axis: number, index: number): Tensor<D>;
  /** Splits an axis into parts of `size` (the last may be smaller), or of the given sizes. Default: axis = 0. */
  split<D extends DType>(x: Tensor<D>, size: number | readonly number[], axis?: number): Tensor<D>[];
  /**
   * Splits an axis into at most `count` parts of equal size (the last may be smaller). An empty axis gives `count`
   * empty parts. Default: axis = 0.
   */
  chunk<D extends DType>(x: Tensor<D>, count: number, axis?: number): Tensor<D>[];
  /** Returns all positions of an axis, as a list of tensors without it. Default: axis = 0. */
  unbind<D extends DType>(x: Tensor<D>, axis?: number): Tensor<D>[];
  /** Returns a copy with the elements of some axes in reverse order. */
  flip<D extends DType>(x: Tensor<D>, axes: number | readonly number[]): Tensor<D>;
  /** Returns the tensor itself if it is row-major, else a row-major copy. */
  contiguous<D extends DType>(x: Tensor<D>): Tensor<D>;
  /** Returns a copy, through which gradients flow. */
  clone<D extends DType>(x: Tensor<D>): Tensor<D>;
  /**
   * Converts to another dtype, another device, or those of another tensor. Returns the tensor itself if nothing
   * changes. Gradients flow back through the conversion.
   */
  to<D extends DType, T extends Destination>(x: Tensor<D>, target: T): Tensor<DTypeAt<T, D>>;
  /** Converts to float32: to('float32'). */
  float(x: Tensor): Tensor<'float32'>;
  /** Converts to float16: to('float16'). */
  half(x: Tensor): Tensor<'float16'>;
  /** Converts to float64: to('float64'). */
  double(x: Tensor): Tensor<'float64'>;
  /** Converts to int64: to('int64'). */
  long(x: Tensor): Tensor<'int64'>;
  /** Sums over some axes (all unless given). Integers and bool sum to int64. */
  sum(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the mean over some axes (all unless given). */
  mean(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the product over some axes (all unless given). */
  prod(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the variance over some axes (all unless given). */
  var(x: Tensor, axes?: Axes, options?: VarOptions): Tensor;
  /** Computes the standard deviation over some axes (all unless given). */
  std(x: Tensor, axes?: Axes, options?: VarOptions): Tensor;
  /**
   * Computes the p-norm (sum |x|^p)^(1/p) over some axes; p may be Infinity. Default: p = 2. PyTorch:
   * `linalg.vector_norm`.
   */
  norm(x: Tensor, p?: number, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the logarithm of the sum of e^x over some axes, without overflow. PyTorch: `logsumexp`. */
  logSumExp(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Is any element other than 0? */
  any(x: Tensor, axes?: Axes, options?: KeepdimOptions): Tensor<'bool'>;
  /** Are all elements other than 0? */
  all(x: Tensor, axes?: Axes, options?: KeepdimOptions): Tensor<'bool'>;
  /** Counts the elements that are not 0. PyTorch: `count_nonzero`. */
  countNonzero(x: Tensor, axes?: Axes): Tensor<'int64'>;
  /** Computes the largest element over some axes. Elements that are equal to it share the gradient. */
  amax(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /** Computes the smallest element over some axes. Elements that are equal to it share the gradient. */
  amin(x: Tensor, axes?: Axes, options?: ReduceOptions): Tensor;
  /**
   * Returns the position of the largest element along an axis, or among all elements in row-major order. The first one
   * counts.
   */
  argmax(x: Tensor, axis?: number, options?: KeepdimOptions): Tensor<'int64'>;
  /**
   * Returns the position of the smallest element along an axis, or among all elements in row-major order. The first one
   * counts.
   */
  argmin(x: Tensor, axis?: number, options?: KeepdimOptions): Tensor<'int64'>;
  /** Returns the largest of all elements; with an axis, the largest elements along it and their positions. */
  max(x: Tensor): Tensor;
  /** Returns the largest of all elements; with an axis, the largest elements along it and their positions. */
  max(x: Tensor, axis: number, options?: ReduceOptions): Ranked;
  /** Returns the smallest of all elements; with an axis, the smallest elements along it and their positions. */
  min(x: Tensor): Tensor;
  /** Returns the smallest of all elements; with an axis, the smallest elements along it and their positions. */
  min(x: Tensor, axis: number, options?: ReduceOptions): Ranked;
  /** Computes the running sum along an axis. */
  cumsum(x: Tensor, axis: number, options?: { dtype?: DType }): Tensor;
  /** Computes the running product along an axis. */
  cumprod(x: Tensor, axis: number, options?: { dtype?: DType }): Tensor;
  /** Computes e^x divided by its sum along an axis. */
  softmax(x: Tensor, axis: number, options?: { dtype?: DType }): Tensor;
  /** Computes the logarithm of softmax(), without overflow. PyTorch: `log_softmax`. */
  logSoftmax(x: Tensor, axis: number, options?: { dtype?: DType }): Tensor;
  /**
   * Returns the k largest (or smallest) elements along an axis, in order, and their positions. NaN counts as the
   * largest. Default: axis = -1.
   */
  topk(x: Tensor, k: number, axis?: number, options?: { largest?: boolean }): Ranked;
  /** Sorts the elements along an axis. Equal elements keep their order. Default: axis = -1. */
  sort(x: Tensor, axis?: number, options?: { descending?: boolean }): Ranked;
  /** Returns the positions of the elements along an axis in sorted order. Default: axis = -1. */
  argsort(x: Tensor, axis?: number, options?: { descending?: boolean }): Tensor<'int64'>;
  /**
   * Draws numSamples positions from each row of weights (rows, n) or (n), which need not sum to 1, without replacement
   * unless given. A position of weight 0 is never drawn.
   */
  multinomial(x: Tensor, numSamples: number, options?: { replacement?: boolean }): Tensor<'int64'>;
  /** out[.., i, ..] = x[.., index[.., i, ..], ..] along an axis. The result has the shape of the index. */
  gather(x: Tensor, axis: number, index: Tensor): Tensor;
  /** Selects the positions of an axis that an index of one axis lists, in its order. PyTorch: `index_select`. */
  indexSelect(x: Tensor, axis: number, index: Tensor): Tensor;
  /**
   * Returns a copy of x in which source, a tensor or one value, replaces the elements that gather() with this index
   * would read.
   */
  scatter(x: Tensor, axis: number, index: Tensor, source: Tensor | number): Tensor;
  /**
   * Returns a copy of x in which source is added to the elements that gather() with this index would read. PyTorch:
   * `scatter_add`.
   */
  scatterAdd(x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * Returns a copy of x in which the positions of source replace the positions of an axis that the index lists.
   * PyTorch: `index_copy`.
   */
  indexCopy(x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * Returns a copy of x in which source is added at the positions of an axis that the index lists. PyTorch:
   * `index_add`.
   */
  indexAdd(x: Tensor, axis: number, index: Tensor, source: Tensor): Tensor;
  /**
   * Indexes as NumPy and PyTorch do: at(0), at('1:, ..., ::2'), at(null, rows, ':'), at(x.gt(0)), at([0, 2]). Numbers
   * and ranges give views. Index tensors, lists and masks copy: negative positions count from the end, several tensors
   * broadcast together, and their axes stay in place if they were neighbours, else come first. Only the device knows
   * how many elements a mask selects, so reading with a mask waits for it. PyTorch: `x[index]`.
   */
  at<D extends DType>(x: Tensor<D>, ...items: IndexItem[]): Tensor<D>;
  /**
   * Writes a tensor or one value, converted and broadcast, to the elements of x that at() shows. Several items are
   * given as an array: set_([0, '1:'], value). A list of positions is therefore an array in an array: set_([[0, 2]],
   * value). With accumulate the value is added as often as a position is listed; without it, the result is not defined
   * if a position is listed with several values. PyTorch: `x[index] = value`.
   */
  set_<D extends DType>(
    x: Tensor<D>,
    index: IndexItem | readonly IndexItem[],
    value: Tensor | number,
    how?: WriteOptions,
  ): Tensor<D>;
  /**
   * Computes the matrix product of (..., m, k) and (..., k, n); leading axes broadcast. A tensor of one axis is a row
   * on the left and a column on the right, and that axis is dropped from the result.
   */
  matmul(a: Tensor, b: Tensor): Tensor;
  /**
   * x Phi(x), where Phi is the distribution function of the standard normal distribution; approximate 'tanh' is the
   * cheaper form that GPT-2 was trained with.
   */
  gelu(x: Tensor, options?: { approximate?: 'none' | 'tanh' }): Tensor;
  /** ln(1 + e^(beta x)) / beta, or x itself if beta x > threshold. */
  softplus(x: Tensor, options?: { beta?: number; threshold?: number }): Tensor;
  /** x if it is positive, else slope * x. Default: slope = 0.01. PyTorch: `leaky_relu`. */
  leakyRelu(x: Tensor, slope?: number): Tensor;
  /** x if it is positive, else alpha (e^x - 1). Default: alpha = 1. */
  elu(x: Tensor, alpha?: number): Tensor;
  /**
   * Moves the elements of x into [min, max], given as { min, max } or as clamp(min, max). Either bound may be left out.
   * Bounds with fractions make integers floating; a bound of NaN makes all elements NaN.
   */
  clamp(x: Tensor, boundsOrMin?: Bounds | number | null, max?: number | null): Tensor;
  /** Selects elements: x where the condition is true, else other. */
  where(condition: Tensor, x: Tensor | number, other: Tensor | number): Tensor;
  /**
   * Replaces elements: value where the mask is true, else x. The result has the dtype of x, which must be able to hold
   * the value; bool takes every number other than 0 for true. PyTorch: `masked_fill`.
   */
  maskedFill(x: Tensor, mask: Tensor, value: number | Tensor): Tensor;
  /** x + value * a * b. Default: value = 1. */
  addcmul(x: Tensor, a: Tensor | number, b: Tensor | number, value?: number): Tensor;
  /** x + value * a / b. Default: value = 1. */
  addcdiv(x: Tensor, a: Tensor | number, b: Tensor | number, value?: number): Tensor;
  /** x + weight * (end - x). */
  lerp(x: Tensor, end: Tensor | number, weight: Tensor | number): Tensor;
  /**
   * Keeps the lower triangle of the last two axes; the elements above the diagonal become 0. `diagonal` counts upwards
   * from the main one. Default: diagonal = 0.
   */
  tril(x: Tensor, diagonal?: number): Tensor;
  /**
   * Keeps the upper triangle of the last two axes; the elements below the diagonal become 0. `diagonal` counts upwards
   * from the main one. Default: diagonal = 0.
   */
  triu(x: Tensor, diagonal?: number): Tensor;
  /**
   * Makes each element 0 with probability p and divides the others by 1 - p. Returns x itself when not training.
   * Default: p = 0.5, training = true.
   */
  dropout(x: Tensor, p?: number, training?: boolean): Tensor;
  /**
   * Joins tensors along an axis that they have; dtypes promote. As in PyTorch, tensors of shape [0] are skipped among
   * tensors of another shape. Default: axis = 0.
   */
  cat(tensors: readonly Tensor[], axis?: number): Tensor;
  /** Joins tensors of one shape along a new axis. Default: axis = 0. */
  stack(tensors: readonly Tensor[], axis?: number): Tensor;
  /** x (..., in) by the transpose of weight (out, in), plus bias (out); then an activation, if the options name one. */
  linear(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: LinearOptions): Tensor;
  /**
   * Selects the rows of weight (n, d) whose numbers are in x. The result has the shape of x, then d. @throws IndexError
   * for a row that does not exist
   */
  embedding(x: Tensor, weight: Tensor): Tensor;
  /**
   * Returns a tensor with a new last axis of size numClasses that is 1 at the class of each element, else 0. int64, as
   * in PyTorch. @throws IndexError for a class that does not exist PyTorch: `one_hot`.
   */
  oneHot(x: Tensor, numClasses: number): Tensor<'int64'>;
  /**
   * Computes the cross-correlation of input (N, C, H, W) with weight (O, C / groups, kH, kW), plus bias (O). The result
   * is (N, O, oH, oW).
   */
  conv2d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: ConvOptions): Tensor;
  /**
   * Computes the cross-correlation of input (N, C, L) with weight (O, C / groups, k), plus bias (O). The result is (N,
   * O, oL).
   */
  conv1d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: Conv1dOptions): Tensor;
  /** Computes the largest value of each window of x (N, C, H, W). PyTorch: `max_pool2d`. */
  maxPool2d(x: Tensor, kernelSize: Pair, options?: PoolOptions): Tensor;
  /** Computes the values of maxPool2d, and their positions within H * W. PyTorch: `max_pool2d(return_indices=True)`. */
  maxPool2dWithIndices(x: Tensor, kernelSize: Pair, options?: PoolOptions): { values: Tensor; indices: Tensor };
  /** Computes the mean of each window of x (N, C, H, W). PyTorch: `avg_pool2d`. */
  avgPool2d(
    x: Tensor,
    kernelSize: Pair,
    options?: Omit<PoolOptions, 'dilation'> & { countIncludePad?: boolean },
  ): Tensor;
  /**
   * Computes (x - mean) / sqrt(var + eps) over the trailing axes of normalizedShape, times weight, plus bias.
   * Statistics are float32, or float64 for float64. Default: eps = 1e-5. PyTorch: `layer_norm`.
   */
  layerNorm(x: Tensor, normalizedShape: Shape, weight?: Tensor | null, bias?: Tensor | null, eps?: number): Tensor;
  /**
   * Computes x / sqrt(mean(x^2) + eps) over the trailing axes of normalizedShape, times weight. As in PyTorch, the
   * default of eps is the distance from 1 to the next number of the dtype in which the mean is computed: 2^-52 for
   * float64, else 2^-23 (float32). PyTorch: `rms_norm`.
   */
  rmsNorm(x: Tensor, normalizedShape: Shape, weight?: Tensor | null, eps?: number): Tensor;
  /**
   * Normalises groups of channels of x (N, C, ...), each to mean 0 and variance 1. weight and bias are (C). Default:
   * eps = 1e-5. PyTorch: `group_norm`.
   */
  groupNorm(x: Tensor, groups: number, weight?: Tensor | null, bias?: Tensor | null, eps?: number): Tensor;
  /**
   * Normalises each channel of x (N, C, ...) with the statistics of the batch while training, else with the running
   * ones. PyTorch: `batch_norm`.
   */
  batchNorm(x: Tensor, options?: BatchNormOptions): Tensor;
  /** Computes the mean of (x - target)^2. PyTorch: `mse_loss`. */
  mseLoss(x: Tensor, target: Tensor, options?: LossOptions): Tensor;
  /** Computes the mean of |x - target|. PyTorch: `l1_loss`. */
  l1Loss(x: Tensor, target: Tensor, options?: LossOptions): Tensor;
  /**
   * Computes the cross-entropy of logits (C), (N, C) or (N, C, ...) and class indices (without the class axis) or
   * probabilities (of the same shape). One kernel computes softmax, logarithm and loss. The loss is float32, or float64
   * for float64. PyTorch: `cross_entropy`.
   */
  crossEntropy(x: Tensor, target: Tensor, options?: CrossEntropyOptions): Tensor;
  /**
   * Computes minus the log-probability of the target class. x holds log-probabilities as logSoftmax() returns them,
   * (C), (N, C) or (N, C, ...). PyTorch: `nll_loss`.
   */
  nllLoss(x: Tensor, target: Tensor, options?: ClassLossOptions): Tensor;
  /**
   * Computes the cross-entropy of probabilities with targets in [0, 1]. The logarithms are at least -100, as in
   * PyTorch. PyTorch: `binary_cross_entropy`.
   */
  binaryCrossEntropy(x: Tensor, target: Tensor, options?: BinaryLossOptions): Tensor;
  /**
   * Computes the binary cross-entropy of logits: (1 - t) x + ln(1 + e^-x), where the positive class has the weight
   * posWeight. PyTorch: `binary_cross_entropy_with_logits`.
   */
  binaryCrossEntropyWithLogits(x: Tensor, target: Tensor, options?: BinaryLossOptions & { posWeight?: Tensor }): Tensor;
  /**
   * Computes softmax(scale * q k^T + mask) v without storing the scores (L, S). q (..., L, E), k (..., S, E) and v
   * (..., S, F) have the same leading axes, at most two. PyTorch: `scaled_dot_product_attention`.
   */
  scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, options?: AttentionOptions): Tensor;
  /** |x|. */
  abs(x: Tensor): Tensor;
  /** -x. */
  neg(x: Tensor): Tensor;
  /** The sign of x: -1, 0 or 1. */
  sign(x: Tensor): Tensor;
  /** Computes the largest whole number <= x. */
  floor(x: Tensor): Tensor;
  /** Computes the smallest whole number >= x. */
  ceil(x: Tensor): Tensor;
  /** Rounds to the nearest whole number, halves to the even one. */
  round(x: Tensor): Tensor;
  /** Removes the fraction: rounds towards 0. */
  trunc(x: Tensor): Tensor;
  /** e^x. */
  exp(x: Tensor): Tensor;
  /** 2^x. */
  exp2(x: Tensor): Tensor;
  /** e^x - 1, accurate near 0. */
  expm1(x: Tensor): Tensor;
  /** Computes the natural logarithm. */
  log(x: Tensor): Tensor;
  /** Computes the logarithm to base 2. */
  log2(x: Tensor): Tensor;
  /** Computes the logarithm to base 10. */
  log10(x: Tensor): Tensor;
  /** ln(1 + x), accurate near 0. */
  log1p(x: Tensor): Tensor;
  /** Computes the square root; NaN for x < 0. */
  sqrt(x: Tensor): Tensor;
  /** 1 / sqrt(x). */
  rsqrt(x: Tensor): Tensor;
  /** 1 / x. */
  reciprocal(x: Tensor): Tensor;
  /** x * x. */
  square(x: Tensor): Tensor;
  /** Computes the sine of x, an angle in radians. */
  sin(x: Tensor): Tensor;
  /** Computes the cosine of x, an angle in radians. */
  cos(x: Tensor): Tensor;
  /** Computes the tangent of x, an angle in radians. */
  tan(x: Tensor): Tensor;
  /** Computes the inverse sine, in radians. */
  asin(x: Tensor): Tensor;
  /** Computes the inverse cosine, in radians. */
  acos(x: Tensor): Tensor;
  /** Computes the inverse tangent, in radians. */
  atan(x: Tensor): Tensor;
  /** Computes the hyperbolic sine. */
  sinh(x: Tensor): Tensor;
  /** Computes the hyperbolic cosine. */
  cosh(x: Tensor): Tensor;
  /** Computes the hyperbolic tangent. */
  tanh(x: Tensor): Tensor;
  /** Computes the error function 2 / sqrt(pi) * integral of exp(-t^2) from 0 to x. */
  erf(x: Tensor): Tensor;
  /** 1 - erf(x), accurate for large x. */
  erfc(x: Tensor): Tensor;
  /** Computes the inverse of erf() on (-1, 1). */
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
  /** Is it 0? PyTorch: `logical_not`. */
  logicalNot(x: Tensor): Tensor<'bool'>;
  /** a + b. Shapes broadcast; dtypes promote. */
  add(a: Tensor | number, b: Tensor | number): Tensor;
  /** a - b. */
  sub(a: Tensor | number, b: Tensor | number): Tensor;
  /** a * b. */
  mul(a: Tensor | number, b: Tensor | number): Tensor;
  /** a / b. The result is always floating. */
  div(a: Tensor | number, b: Tensor | number): Tensor;
  /** a to the power of b. */
  pow(a: Tensor | number, b: Tensor | number): Tensor;
  /** Computes the larger of two numbers; NaN if either is NaN. */
  maximum(a: Tensor | number, b: Tensor | number): Tensor;
  /** Computes the smaller of two numbers; NaN if either is NaN. */
  minimum(a: Tensor | number, b: Tensor | number): Tensor;
  /** Computes the remainder with the sign of a, as % does in JavaScript. */
  fmod(a: Tensor | number, b: Tensor | number): Tensor;
  /** Computes the remainder with the sign of b, as % does in Python. */
  remainder(a: Tensor | number, b: Tensor | number): Tensor;
  /** floor(a / b). PyTorch: `floor_divide`. */
  floorDivide(a: Tensor | number, b: Tensor | number): Tensor;
  /** Computes the angle of the point (b, a), in radians. */
  atan2(a: Tensor | number, b: Tensor | number): Tensor;
  /** sqrt(a^2 + b^2), without overflow. */
  hypot(a: Tensor | number, b: Tensor | number): Tensor;
  /** Are both other than 0? PyTorch: `logical_and`. */
  logicalAnd(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** Is at least one of them other than 0? PyTorch: `logical_or`. */
  logicalOr(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** Is exactly one of them other than 0? PyTorch: `logical_xor`. */
  logicalXor(a: Tensor | number, b: Tensor | number): Tensor<'bool'>;
  /** Computes the bits that are set in both numbers. PyTorch: `bitwise_and`. */
  bitwiseAnd(a: Tensor | number, b: Tensor | number): Tensor;
  /** Computes the bits that are set in one or both numbers. PyTorch: `bitwise_or`. */
  bitwiseOr(a: Tensor | number, b: Tensor | number): Tensor;
  /** Computes the bits that are set in exactly one of the numbers. PyTorch: `bitwise_xor`. */
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
