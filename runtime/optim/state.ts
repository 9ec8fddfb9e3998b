import { difference } from '../nn/state.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';

/** The result of an optimizer's stateDict(). */
export interface OptimizerState {
  /** The class of the optimizer. Absent in states that earlier versions saved. */
  kind?: string;
  /** The settings of each group. `params` is the names of its parameters, with null for a parameter without a name. */
  groups: Record<string, unknown>[];
  /**
   * The state tensors by name, for each parameter in the order of the groups. null for a parameter that has had no
   * gradient yet.
   */
  state: (Record<string, Tensor> | null)[];
}

/**
 * A tensor that an optimizer keeps for each parameter: of its shape, or one float32. All tensors that are not optional
 * exist together.
 */
export interface StateTensor {
  /** It is one float32, not of the shape of the parameter. */
  readonly scalar?: boolean;
  /** It may be missing. */
  readonly optional?: boolean;
}
/** The layout of an optimizer's state, which a saved state must match. */
export interface Layout {
  readonly kind: string;
  readonly groups: readonly { readonly params: readonly Tensor[]; readonly names: readonly (string | null)[] }[];
  readonly tensors: Readonly<Record<string, StateTensor>>;
}

/** The place of a parameter: its group, and its number among the parameters of all groups. */
interface Place {
  readonly group: number;
  readonly index: number;
  readonly name: string | null;
}
function placesOf(groups: readonly (readonly (string | null)[])[]): Place[] {
  let index = 0;
  return groups.flatMap((names, group) => names.map(name => ({ group, index: index++, name })));
}
const byName = (places: readonly Place[]): Map<string, Place> | null => {
  const map = new Map(places.flatMap(place => (place.name === null ? [] : [[place.name, place] as const])));
  return map.size === places.length ? map : null;
};

/**
 * For each parameter of an optimizer, the number of its saved state; the list is empty if they cannot be compared. Also
 * returns the problems.
 */
export function matchStates(own: Layout, saved: OptimizerState): { order: number[]; problems: string[] } {
  const broken = malformed(own, saved);
  if (broken.length > 0) return { order: [], problems: broken };
  const sizes = own.groups.map(({ params }) => params.length);
  const savedNames = saved.groups.map(({ params }, i) =>
    Array.isArray(params) ? (params as (string | null)[]) : Array<null>(sizes[i]!).fill(null),
  );
  const [mine, theirs] = [placesOf(own.groups.map(({ names }) => names)), placesOf(savedNames)];
  const [mineByName, theirsByName] = [byName(mine), byName(theirs)];
  const { order, problems } =
    mineByName && theirsByName ? matchNames(mineByName, theirsByName) : matchPlaces(mine, theirs, saved);
  const params = own.groups.flatMap(group => group.params);
  const unfit = order.flatMap((at, i) =>
    at < 0 ? [] : tensorProblems(mine[i]!.name ?? `parameter ${i}`, saved.state[at] ?? null, params[i]!, own.tensors),
  );
  return { order, problems: [...problems, ...unfit] };
}

/** The problems of a saved state that are found before parameters are matched. */
function malformed(own: Layout, saved: OptimizerState): string[] {
  if (typeof saved !== 'object' || saved === null || !Array.isArray(saved.groups) || !Array.isArray(saved.state))
    return ['it is not a state of an optimizer'];
  if (saved.kind !== undefined && saved.kind !== own.kind) return [`it was saved with ${saved.kind}, not ${own.kind}`];
  const [mine, theirs] = [own.groups.length, saved.groups.length];
  if (mine !== theirs) return [`it was saved with ${theirs} parameter groups, the optimizer has ${mine}`];
  const wrong = saved.groups.findIndex(group => typeof group !== 'object' || group === null);
  return wrong >= 0 ? [`group ${wrong} is not an object`] : [];
}

function matchNames(
  mine: ReadonlyMap<string, Place>,
  theirs: ReadonlyMap<string, Place>,
): { order: number[]; problems: string[] } {
  const problems = [
    ...[...mine.keys()].filter(name => !theirs.has(name)).map(name => `the state of ${name} is missing`),
    ...[...theirs.keys()].filter(name => !mine.has(name)).map(name => `${name} is not in the optimizer`),
    ...[...mine].flatMap(([name, { group }]) => {
      const before = theirs.get(name)?.group ?? group;
      return before === group ? [] : [`${name} was in group ${before}, now it is in group ${group}`];
    }),
  ];
  return { order: [...mine.keys()].map(name => theirs.get(name)?.index ?? -1), problems };
}

/** If some parameters have no name of their own, all are matched by position. The names that exist have to agree. */
function matchPlaces(
  mine: readonly Place[],
  theirs: readonly Place[],
  saved: OptimizerState,
): { order: number[]; problems: string[] } {
  const counts = (places: readonly Place[]): string =>
    saved.groups.map((_, group) => places.filter(place => place.group === group).length).join(' + ');
  if (counts(mine) !== counts(theirs) || saved.state.length !== mine.length)
    return {
      order: [],
      problems: [
        saved.state.length === theirs.length
          ? `it was saved with ${counts(theirs)} parameters, the optimizer has ${counts(mine)}`
          : `it holds the state of ${saved.state.length} parameters, the optimizer has ${mine.length}`,
      ],
    };
  const problems = mine.flatMap(({ name }, i) => {
    const before = theirs[i]!.name;
    return name === null || before === null || name === before
      ? []
      : [`parameter ${i} was ${before}, now it is ${name}`];
  });
  return { order: mine.map(({ index }) => index), problems };
}

function tensorProblems(
  name: string,
  saved: Record<string, Tensor> | null,
  parameter: Tensor,
  tensors: Layout['tensors'],
): string[] {
  if (saved === null) return [];
  if (typeof saved !== 'object') return [`the state of ${name} is not an object`];
  const missing = Object.keys(tensors).filter(key => !tensors[key]!.optional && !Object.hasOwn(saved, key));
  return [
    ...missing.map(key => `${key} of ${name} is missing`),
    ...Object.entries(saved).flatMap(([key, t]) => {
      if (!Object.hasOwn(tensors, key)) return [`${key} of ${name} is not a state that the optimizer has`];
      if (!tensors[key]!.scalar) return difference(`${key} of ${name}`, t, parameter, false);
      const fits = isTensor(t) && !t.disposed && t.rank === 0 && t.dtype === 'float32';
      return fits ? [] : [`${key} of ${name} is not one float32`];
    }),
  ];
}
