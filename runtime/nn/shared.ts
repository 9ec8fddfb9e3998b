import { CheckpointError } from '../errors.ts';
import { fromShared, replaceMemory, share, type SharedTensor } from '../tensor/share.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { matchState, stateOf, summary } from './state.ts';

/** The shared parameters and persistent buffers of a model by name: a plain object, which postMessage() can send. */
export type SharedState = Readonly<Record<string, SharedTensor>>;

export const shareState = (model: object): SharedState =>
  Object.fromEntries([...stateOf(model)].map(([name, t]) => [name, share(t)]));

/** Shows the shared tensors in place of a model's own. Everything is checked before anything is replaced. */
export function showShared(model: object, state: SharedState, op: string): void {
  const opened = new Map<string, Tensor>();
  try {
    for (const [name, shared] of Object.entries(state)) opened.set(name, fromShared(shared));
    const { pairs, problems } = matchState(model, opened, true);
    const elsewhere = pairs.filter(([own, other]) => own.device !== other.device);
    problems.push(
      ...elsewhere.map(([own, other]) => `a tensor is on ${own.device}, the shared one on ${other.device}`),
    );
    if (problems.length > 0)
      throw new CheckpointError(`the shared state is from another model: ${summary(problems)}`, { op }, problems);
    const before = pairs.filter(([own]) => own.base === null).map(([own]) => own.storage);
    for (const [own, other] of pairs) replaceMemory(own, other);
    for (const storage of before) storage.dispose();
  } catch (error) {
    for (const t of opened.values()) t.dispose();
    throw error;
  }
}
