import { noGrad } from '../autograd/autograd.ts';
import { cut } from '../shown.ts';
import { format, sameShape } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { walk } from './members.ts';

/** Tensors by name. */
export type TensorState = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>;

/** A tensor of a model, and the one to be copied into it. */
export type Pair = readonly [own: Tensor, saved: Tensor];

/** A list of problems in one line, shortened after the first five. */
export const summary = (problems: readonly string[]): string =>
  problems.slice(0, 5).map(cut).join('; ') + (problems.length > 5 ? `; and ${problems.length - 5} more` : '');

/** The parameters and persistent buffers of a model by name, each once, or with `aliases` under all its names. */
export function* stateOf(model: object, aliases = false): Generator<[string, Tensor]> {
  for (const { path, value, role } of walk(model, aliases)) if (role?.persistent) yield [path, value as Tensor];
}

/**
 * Finds, for each tensor of a model, the tensor of a state that has one of its names. Lists the problems: tensors that
 * are missing, left over, not tensors, or of another shape (or dtype, if it has to be the same).
 */
export function matchState(
  model: object,
  state: ReadonlyMap<string, Tensor>,
  sameDType: boolean,
): { pairs: Pair[]; problems: string[] } {
  const own = new Map(stateOf(model));
  const names = [...own.keys()].every(name => state.has(name)) && state.size === own.size ? own : allNames(model, own);
  const found = [...names].filter(([name]) => state.has(name));
  const given = new Set(found.map(([, t]) => t));
  const problems = [
    ...[...own].filter(([, t]) => !given.has(t)).map(([name]) => `${name} is missing`),
    ...[...state.keys()].filter(name => !names.has(name)).map(name => `${name} is not part of the model`),
    ...found.flatMap(([name, t]) => difference(name, state.get(name), t, sameDType)),
  ];
  return { pairs: found.map(([name, t]) => [t, state.get(name)!]), problems };
}

/** All names, with the second names of shared tensors first: if a state has several of them, the first name counts. */
const allNames = (model: object, own: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
  new Map([...[...stateOf(model, true)].filter(([name]) => !own.has(name)), ...own]);

/** The reasons why a saved tensor cannot be copied into a parameter, one line each; an empty list if it can. */
export function difference(name: string, saved: unknown, own: Tensor, sameDType: boolean): string[] {
  if (!isTensor(saved)) return [`${name} is not a tensor`];
  if (saved.disposed) return [`${name} was disposed`];
  if (own.disposed) return [`${name} of the model was disposed`];
  if (!sameShape(saved.shape, own.shape))
    return [`${name} has shape ${format(saved.shape)}, the model ${format(own.shape)}`];
  if (sameDType && saved.dtype !== own.dtype) return [`${name} is ${saved.dtype}, the model ${own.dtype}`];
  return [];
}

/** Copies all pairs, even if the saved tensors are other tensors of the same model. */
export function copyPairs(pairs: readonly Pair[]): void {
  const written = new Set(pairs.map(([own]) => own.storage));
  noGrad(() => {
    const ready = pairs.map(([own, saved]) => (written.has(saved.storage) && saved !== own ? saved.clone() : saved));
    pairs.forEach(([own, saved], i) => {
      if (own !== saved) own.copy_(ready[i]!);
      if (ready[i] !== saved) ready[i]!.dispose();
    });
  });
}

/** In bytes. Copying this many takes a few milliseconds. */
const BETWEEN_TURNS = 8 * 2 ** 20;

/** Copies from tensors that share no memory with the model, in parts between which the event loop runs. */
export async function copyInTurns(pairs: readonly Pair[]): Promise<void> {
  let copied = 0;
  for (const [own, saved] of pairs)
    for (const [to, from] of slices(own, saved)) {
      noGrad(() => to.copy_(from));
      copied += to.nbytes;
      if (copied < BETWEEN_TURNS) continue;
      copied = 0;
      await new Promise(setImmediate);
    }
}

/** Divides two tensors of the same shape into slices along their first axis that are small enough. */
function* slices(own: Tensor, saved: Tensor): Generator<Pair> {
  const [size = 1] = own.shape;
  if (own.nbytes <= BETWEEN_TURNS || size === 1) return yield [own, saved];
  const rows = Math.max(1, Math.floor((BETWEEN_TURNS * size) / own.nbytes));
  for (let i = 0; i < size; i += rows) {
    const n = Math.min(rows, size - i);
    yield noGrad(() => [own.narrow(0, i, n), saved.narrow(0, i, n)] as const);
  }
}
