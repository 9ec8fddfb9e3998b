import { checked, number } from '../arguments.ts';
import { empty, full, rand, randint, randn, type RandomOptions, type TensorOptions } from './create.ts';
import type { DType } from './dtype.ts';
import { creationOptions, randomOptions, tensor as given } from './specs.ts';
import type { Tensor } from './tensor.ts';

/** Creation functions whose results have the shape of another tensor, and its dtype and device unless others are given. */

const like = <E extends DType>(t: Tensor, options: TensorOptions<E>): TensorOptions<E> => ({
  dtype: t.dtype as E,
  device: t.device,
  ...options,
});
/** Returns a tensor with uninitialised memory of the same shape, and of the same dtype and device unless given. */
export const emptyLike = checked(
  'emptyLike',
  { t: given, options: creationOptions },
  <D extends DType, E extends DType = D>(t: Tensor<D>, options: TensorOptions<E> = {}): Tensor<E> =>
    empty(t.shape, like(t, options)),
);
/** Returns a tensor of one value, of the same shape, and of the same dtype and device unless given. */
export const fullLike = checked(
  'fullLike',
  { t: given, value: number, options: creationOptions },
  <D extends DType, E extends DType = D>(t: Tensor<D>, value: number, options: TensorOptions<E> = {}): Tensor<E> =>
    full(t.shape, value, like(t, options)),
);
/** Returns zeros of the same shape, and of the same dtype and device unless given. */
export const zerosLike = checked(
  'zerosLike',
  { t: given, options: creationOptions },
  <D extends DType, E extends DType = D>(t: Tensor<D>, options: TensorOptions<E> = {}): Tensor<E> =>
    fullLike(t, 0, options),
);
/** Returns ones of the same shape, and of the same dtype and device unless given. */
export const onesLike = checked(
  'onesLike',
  { t: given, options: creationOptions },
  <D extends DType, E extends DType = D>(t: Tensor<D>, options: TensorOptions<E> = {}): Tensor<E> =>
    fullLike(t, 1, options),
);
/** Returns random numbers uniform in [0, 1), of the same shape, and of the same dtype and device unless given. */
export const randLike = checked(
  'randLike',
  { t: given, options: randomOptions },
  <D extends DType, E extends DType = D>(t: Tensor<D>, options: RandomOptions<E> = {}): Tensor<E> =>
    rand(t.shape, like(t, options)),
);
/** Returns normally distributed numbers (mean 0, standard deviation 1) of the same shape, and of the same dtype and device unless given. */
export const randnLike = checked(
  'randnLike',
  { t: given, options: randomOptions },
  <D extends DType, E extends DType = D>(t: Tensor<D>, options: RandomOptions<E> = {}): Tensor<E> =>
    randn(t.shape, like(t, options)),
);
/** Returns random whole numbers uniform in [low, high), of the same shape, and of the same dtype and device unless given. */
export const randintLike = checked(
  'randintLike',
  { t: given, low: number, high: number, options: randomOptions },
  <D extends DType, E extends DType = D>(
    t: Tensor<D>,
    low: number,
    high: number,
    options: RandomOptions<E> = {},
  ): Tensor<E> => randint(low, high, t.shape, like(t, options)),
);
