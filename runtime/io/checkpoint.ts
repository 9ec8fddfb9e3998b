import { any, anyAs, checked, options, required } from '../arguments.ts';
import { GradScaler } from '../amp/gradScaler.ts';
import { shown } from '../shown.ts';
import type { ScalerState } from '../amp/scalerState.ts';
import { ArgumentError, CastorError, CheckpointError } from '../errors.ts';
import { Module } from '../nn/module.ts';
import { copyInTurns, matchState, summary } from '../nn/state.ts';
import { Optimizer, type NameOf } from '../optim/optimizer.ts';
import type { OptimizerState } from '../optim/state.ts';
import { Generator } from '../tensor/generator.ts';
import { tidy } from '../tensor/scope.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { isRecord, parseStrictly, toJson, whyNotJson } from './json.ts';
import { readTensors, writeTensors } from './tensors.ts';

/** The parts of a training run that training changes. */
export interface CheckpointParts {
  /** The model, whose parameters and buffers are saved and loaded. */
  model: Module;
  /** The optimizer, whose state is saved and loaded. */
  optimizer?: Optimizer<any>;
  /** The scaler of mixed precision training, whose state is saved and loaded. */
  scaler?: GradScaler;
  /** Generators of random numbers by name, such as those of the weights, the data order and dropout. */
  generators?: Readonly<Record<string, Generator>>;
}
/** The progress of a training run. */
export interface CheckpointProgress {
  /** The number of optimizer steps done. */
  step: number;
  /** Any data of your own that JSON can represent. */
  extra?: unknown;
}

/** The part of a checkpoint that is not tensors. */
interface State extends CheckpointProgress {
  /** Absent in files of earlier versions, which do not store the names of the optimizer's parameters. */
  version?: typeof VERSION;
  optimizer: Pick<OptimizerState, 'kind' | 'groups'> | null;
  scaler: ScalerState | null;
  generators: Record<string, ReturnType<Generator['state']>>;
}

const VERSION = 2;
/** The key of this part in the metadata of a safetensors file. */
const KEY = 'castor.checkpoint';
const SAVE = 'saveCheckpoint';
const LOAD = 'loadCheckpoint';

/** The names of parameters: those in the model, else those that the optimizer was given. */
function namesOf({ model, optimizer }: CheckpointParts): NameOf {
  const names = new Map([...model.namedTensors()].map(([name, t]) => [t, name]));
  return parameter => names.get(parameter) ?? optimizer?.nameOf(parameter);
}

/** @throws ArgumentError for a part of a wrong type */
function checkParts(op: string, parts: CheckpointParts): void {
  const { model, optimizer, scaler, generators } = (parts ?? {}) as Partial<CheckpointParts>;
  const need = (holds: boolean, what: string, value: unknown, advice: string): void => {
    if (!holds) throw new ArgumentError(`${what} is ${shown(value)}`, { op, advice });
  };
  need(model instanceof Module, 'model', model, 'Pass a module: { model, optimizer, scaler }');
  need(optimizer === undefined || optimizer instanceof Optimizer, 'optimizer', optimizer, 'Pass one of optim');
  need(scaler === undefined || scaler instanceof GradScaler, 'scaler', scaler, 'Pass a GradScaler');
  need(
    generators === undefined || (typeof generators === 'object' && generators !== null),
    'generators',
    generators,
    'Pass an object of generators by names of your choice',
  );
  for (const [name, generator] of Object.entries(generators ?? {}))
    need(generator instanceof Generator, `generator ${shown(name)}`, generator, 'Pass a Generator');
}

const parts = { model: any, optimizer: any, scaler: any, generators: any };
/**
 * Writes everything that a training run needs to continue bit for bit as if it had not stopped. The checkpoint is one
 * safetensors file, which is replaced only when the new one is complete. Call this between two steps.
 * @throws ArgumentError for a step or extra that cannot be stored exactly; CheckpointError if the file cannot be
 * written
 */
export const saveCheckpoint = checked(
  SAVE,
  { path: anyAs('the path of a file'), parts: required(options({ ...parts, step: any, extra: any })) },
  doSaveCheckpoint,
);
async function doSaveCheckpoint(path: string, parts: CheckpointParts & CheckpointProgress): Promise<void> {
  checkParts(SAVE, parts);
  const { model, optimizer, scaler, generators = {}, step, extra } = parts;
  const optimizerState = optimizer?.stateDict(namesOf(parts));
  const tensors = new Map([...model.stateDict()].map(([name, t]) => [`model.${name}`, t]));
  optimizerState?.state.forEach((own, i) => {
    for (const [name, t] of Object.entries(own ?? {})) tensors.set(`optimizer.${i}.${name}`, t);
  });
  const state: State = {
    version: VERSION,
    step,
    ...(extra === undefined ? {} : { extra }),
    optimizer: optimizerState ? { kind: optimizerState.kind!, groups: optimizerState.groups } : null,
    scaler: scaler?.stateDict() ?? null,
    generators: Object.fromEntries(Object.entries(generators).map(([name, generator]) => [name, generator.state()])),
  };
  checkState(state);
  await writeTensors(SAVE, path, tensors, { format: 'pt', [KEY]: toJson(state) });
}

/** @throws ArgumentError for values that JSON cannot store exactly */
function checkState(state: State): void {
  if (!isCount(state.step))
    throw new ArgumentError(`step ${shown(state.step)} is not an integer >= 0`, {
      op: SAVE,
      advice: 'Pass the number of optimizer steps done',
    });
  for (const [part, value] of Object.entries(state)) {
    const why = whyNotJson(value, part);
    if (why !== null)
      throw new ArgumentError(`${why}, which a file cannot store`, {
        op: SAVE,
        advice: 'Save finite numbers, strings, booleans, null, and arrays and plain objects of these',
      });
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/**
 * Loads a checkpoint into a model and, where they are given, its optimizer, scaler and generators. Everything is
 * checked first: after an error nothing has changed.
 * @throws CheckpointError if the file is missing, damaged, not a checkpoint, or of another model or optimizer
 */
export const loadCheckpoint = checked(
  LOAD,
  { path: anyAs('the path of a file'), parts: required(options(parts)) },
  doLoadCheckpoint,
);
async function doLoadCheckpoint(path: string, parts: CheckpointParts): Promise<CheckpointProgress> {
  checkParts(LOAD, parts);
  return tidy(async () => {
    const { tensors, metadata } = await readTensors(LOAD, path, deviceOf(parts));
    const state = parseState(path, metadata[KEY]);
    const nameOf = namesOf(parts);
    const model = matchState(parts.model, inside('model.', tensors), true);
    const { saved, strays } = optimizerStateOf(parts.optimizer, state, tensors);
    strays.push(...[...tensors.keys()].filter(name => !/^(model|optimizer)\./.test(name)));
    const problems = [
      ...model.problems,
      ...strays.map(name => `${name} belongs to no parameter`),
      ...optimizerProblems(parts.optimizer, state, saved, nameOf),
      ...(parts.scaler?.enabled && state.scaler === null ? ['it was saved without a gradient scaler'] : []),
      ...Object.keys(parts.generators ?? {}).flatMap(name => generatorProblems(name, state)),
    ];
    if (problems.length > 0)
      throw new CheckpointError(`${path} is from another model: ${summary(problems)}`, { op: LOAD }, problems);
    await oneByOne(async () => {
      // Nothing has been written up to here, and nothing can fail from here on.
      const optimizer = saved && parts.optimizer!.loadingOf(saved, nameOf, true);
      loadScaler(path, parts.scaler, state.scaler);
      await copyInTurns([...model.pairs, ...(optimizer?.pairs ?? [])]);
      optimizer?.finish();
      for (const [name, generator] of Object.entries(parts.generators ?? {}))
        generator.setState(state.generators[name]!);
    });
    return 'extra' in state ? { step: state.step, extra: state.extra } : { step: state.step };
  });
}

/** The last loading that was started. The next one waits for it. */
let last: Promise<void> = Promise.resolve();
/** Checkpoints that are loaded at the same time must not be mixed, so one is applied after the other. */
function oneByOne(put: () => Promise<void>): Promise<void> {
  const mine = last.then(put);
  last = mine.catch(() => {});
  return mine;
}

/** The device on which a tensor is needed, so that it is read directly to it. */
function deviceOf({ model, optimizer }: CheckpointParts): (name: string) => Tensor['device'] | undefined {
  const own = model.stateDict();
  const parameters = [...(optimizer?.parameters() ?? [])];
  return name => {
    const [, part, rest] = /^(model|optimizer)\.(.*)$/s.exec(name) ?? [];
    if (part === 'model') return own.get(rest!)?.device ?? model.device;
    return parameters[parseInt(rest ?? '', 10)]?.device;
  };
}

function parseState(path: string, json: string | undefined): State {
  const state = json === undefined ? undefined : parseStrictly(json);
  if (!isState(state))
    throw new CheckpointError(`${path} contains tensors, but is not a checkpoint`, {
      op: LOAD,
      advice: 'Read it with loadTensors()',
    });
  const { version = VERSION } = state;
  if (version !== VERSION)
    throw new CheckpointError(`${path} is a checkpoint of version ${shown(version)}, this is version ${VERSION}`, {
      op: LOAD,
      advice: 'Read it with the version of Castor that wrote it',
    });
  return state;
}

/** Are all parts present? Their contents are checked against the objects that they are loaded into. */
function isState(value: unknown): value is State {
  if (!isRecord(value)) return false;
  const { step, optimizer, scaler, generators, version } = value;
  /** Earlier versions did not store the names of a group's parameters. */
  const isGroup = (group: unknown): boolean =>
    isRecord(group) && (version === undefined || Array.isArray(group.params));
  const hasGroups = isRecord(optimizer) && Array.isArray(optimizer.groups) && optimizer.groups.every(isGroup);
  return (
    isCount(step) && isRecord(generators) && (scaler === null || isRecord(scaler)) && (optimizer === null || hasGroups)
  );
}

/** The tensors whose names begin with a prefix, by the rest of their names. */
const inside = (prefix: string, tensors: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
  new Map([...tensors].filter(([name]) => name.startsWith(prefix)).map(([name, t]) => [name.slice(prefix.length), t]));

/**
 * For each parameter number in a file, its number in the optimizer. Earlier versions did not store how many parameters
 * there were: they listed those that required a gradient.
 */
function numbersOf(optimizer: Optimizer<any>, { version, optimizer: saved }: State): number[] {
  if (version !== undefined) return saved!.groups.flatMap(({ params }) => params as unknown[]).map((_, i) => i);
  return [...optimizer.parameters()].flatMap((p, i) => (p.requiresGrad ? [i] : []));
}

/** The state of an optimizer in a file, and the tensors in it that belong to no parameter. */
function optimizerStateOf(
  optimizer: Optimizer<any> | undefined,
  state: State,
  tensors: ReadonlyMap<string, Tensor>,
): { saved: OptimizerState | null; strays: string[] } {
  if (!optimizer || !state.optimizer) return { saved: null, strays: [] };
  const { kind, groups } = state.optimizer;
  const numbers = numbersOf(optimizer, state);
  const length = state.version === undefined ? [...optimizer.parameters()].length : numbers.length;
  const own: OptimizerState['state'] = Array.from({ length }, () => null);
  const strays: string[] = [];
  for (const [name, t] of inside('optimizer.', tensors)) {
    const [, number, key] = OF_PARAMETER.exec(name) ?? [];
    const index = number === undefined ? undefined : numbers[Number(number)];
    if (index === undefined) strays.push(`optimizer.${name}`);
    else (own[index] ??= Object.create(null) as Record<string, Tensor>)[key!] = t;
  }
  return { saved: { ...(kind === undefined ? {} : { kind }), groups, state: own }, strays };
}
const OF_PARAMETER = /^(0|[1-9]\d*)\.(.+)$/s;

function optimizerProblems(
  optimizer: Optimizer<any> | undefined,
  state: State,
  saved: OptimizerState | null,
  nameOf: NameOf,
): string[] {
  if (!optimizer) return [];
  return saved === null ? ['it was saved without an optimizer'] : optimizer.mismatches(saved, nameOf);
}

function generatorProblems(name: string, { generators }: State): string[] {
  if (!Object.hasOwn(generators, name)) return [`generator ${name} is missing`];
  const own = generators[name];
  return isCount(own?.seed) && isCount(own.offset) ? [] : [`generator ${name} has no seed and offset`];
}

/** A scaler checks its state itself, and is unchanged if the state is wrong. */
function loadScaler(path: string, scaler: GradScaler | undefined, state: ScalerState | null): void {
  if (!scaler || !state) return;
  try {
    scaler.loadStateDict(state);
  } catch (error) {
    if (!(error instanceof CastorError)) throw error;
    throw new CheckpointError(`${path} has a gradient scaler that cannot be loaded: ${error.message}`, { op: LOAD });
  }
}
