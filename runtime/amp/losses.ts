import { ArgumentError } from '../errors.ts';
import { shown } from '../shown.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { isPlain } from './cast.ts';

/** A loss, or losses in arrays, objects and Maps, as deep as you like. */
export type Losses = Tensor | readonly Losses[] | { readonly [key: string]: Losses } | ReadonlyMap<unknown, Losses>;
/** The same containers; what is in them is at least float32. */
export type Scaled<T> = T extends Tensor
  ? Tensor
  : T extends ReadonlyMap<infer K, infer V>
    ? Map<K, Scaled<V>>
    : { -readonly [K in keyof T]: Scaled<T[K]> };

/** Containers like the given ones, of what scale makes of each loss. @throws ArgumentError for what is neither */
export function mapLosses(losses: Losses, scale: (loss: Tensor) => Tensor, around: readonly Losses[] = []): Losses {
  if (isTensor(losses)) return scale(losses);
  const op = 'GradScaler.scale';
  if (around.includes(losses))
    throw new ArgumentError('a container holds itself', { op, advice: 'Pass each loss once' });
  const inside = (loss: unknown): Losses => mapLosses(loss as Losses, scale, [...around, losses]);
  if (Array.isArray(losses)) return losses.map(inside);
  if (losses instanceof Map) return new Map([...losses].map(([key, loss]) => [key, inside(loss)]));
  if (isPlain(losses)) return Object.fromEntries(Object.entries(losses).map(([key, loss]) => [key, inside(loss)]));
  throw new ArgumentError(`${shown(losses)} is neither a loss nor a container of them`, {
    op,
    advice: 'Pass a tensor, or tensors in arrays, plain objects and Maps',
  });
}
