import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { isPlain } from './cast.ts';

/** A loss, or losses in arrays, plain objects and Maps of any depth. */
export type Losses = Tensor | readonly Losses[] | { readonly [key: string]: Losses } | ReadonlyMap<unknown, Losses>;
/** The type of Losses after scaling: the same containers, in which 16-bit tensors have become float32. */
export type Scaled<T> = T extends Tensor
  ? Tensor
  : T extends ReadonlyMap<infer K, infer V>
    ? Map<K, Scaled<V>>
    : { -readonly [K in keyof T]: Scaled<T[K]> };

/** Applies `scale` to each loss and returns the results in containers like the given ones. @throws ArgumentError for other values */
export function mapLosses(losses: Losses, scale: (loss: Tensor) => Tensor, around: readonly Losses[] = []): Losses {
  if (isTensor(losses)) return scale(losses);
  const op = 'GradScaler.scale';
  if (around.includes(losses))
    throw new ArgumentError('a container of losses contains itself', { op, advice: 'Pass each loss once' });
  const inside = (loss: unknown): Losses => mapLosses(loss as Losses, scale, [...around, losses]);
  if (Array.isArray(losses)) return losses.map(inside);
  if (losses instanceof Map) return new Map([...losses].map(([key, loss]) => [key, inside(loss)]));
  if (isPlain(losses)) return Object.fromEntries(Object.entries(losses).map(([key, loss]) => [key, inside(loss)]));
  throw new ArgumentError(`${shown(losses)} is neither a loss nor a container of them`, {
    op,
    advice: 'Pass a tensor, or tensors in arrays, plain objects and Maps',
  });
}
