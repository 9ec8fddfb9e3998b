import type { GradScaler } from '../amp/gradScaler.ts';
import type { ScalerState } from '../amp/scalerState.ts';
import { CheckpointError } from '../errors.ts';
import type { Module } from '../nn/module.ts';
import type { Optimizer, OptimizerState } from '../optim/optimizer.ts';
import type { Generator } from '../tensor/generator.ts';
import { tidy } from '../tensor/scope.ts';
import { format, sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { loadTensors, saveTensors } from './tensors.ts';

/** What training changes. */
export interface CheckpointParts {
  model: Module;
  optimizer?: Optimizer<any>;
  scaler?: GradScaler;
  /** Sources of random numbers by a name: weights, data order, dropout. */
  generators?: Readonly<Record<string, Generator>>;
}
export interface CheckpointProgress {
  /** Optimizer steps done. */
  step: number;
  /** Anything of your own that JSON can hold. */
  extra?: unknown;
}

/** What of a checkpoint is not tensors. */
interface State extends CheckpointProgress {
  optimizer: { kind: string; groups: OptimizerState['groups'] } | null;
  scaler: ScalerState | null;
  generators: Record<string, ReturnType<Generator['state']>>;
}

/** Names a part of the metadata of a safetensors file. */
const KEY = 'castor.checkpoint';
const OP = 'loadCheckpoint';

/**
 * Writes everything a training run needs to go on bit for bit as if it had not stopped: one safetensors file, replaced only when it is
 * complete. Call it between two steps.
 */
export async function saveCheckpoint(
  path: string,
  { model, optimizer, scaler, generators = {}, step, extra }: CheckpointParts & CheckpointProgress,
): Promise<void> {
  const optimizerState = optimizer?.stateDict();
  const tensors = new Map([...model.stateDict()].map(([name, t]) => [`model.${name}`, t]));
  optimizerState?.state.forEach((own, i) => {
    for (const [name, t] of Object.entries(own ?? {})) tensors.set(`optimizer.${i}.${name}`, t);
  });
  const state: State = {
    step,
    extra,
    optimizer: optimizer ? { kind: optimizer.constructor.name, groups: optimizerState!.groups } : null,
    scaler: scaler?.stateDict() ?? null,
    generators: Object.fromEntries(Object.entries(generators).map(([name, generator]) => [name, generator.state()])),
  };
  await saveTensors(path, tensors, { format: 'pt', [KEY]: JSON.stringify(state) });
}

/**
 * Puts a checkpoint into a model and, where they are given, its optimizer, scaler and generators. Everything is checked first: after an
 * error nothing has changed.
 * @throws CheckpointError when the file is missing, truncated, no checkpoint, or of another model or optimizer
 */
export function loadCheckpoint(path: string, parts: CheckpointParts): Promise<CheckpointProgress> {
  return tidy(async () => {
    const { tensors, metadata } = await loadTensors(path);
    const state = parseState(path, metadata[KEY]);
    const modelState = inside('model.', tensors);
    const optimizerState = optimizerStateOf(parts.optimizer, state, tensors);
    const problems = [
      ...modelProblems(parts.model, modelState),
      ...optimizerProblems(parts.optimizer, state, optimizerState),
      ...(parts.scaler?.enabled && state.scaler === null ? ['it was saved without a gradient scaler'] : []),
      ...Object.keys(parts.generators ?? {}).flatMap(name =>
        state.generators[name] ? [] : [`generator ${name} is missing`],
      ),
    ];
    if (problems.length > 0) throw new CheckpointError(`${path} is of another model: ${summary(problems)}`, { op: OP });
    parts.model.loadStateDict(modelState);
    if (optimizerState) parts.optimizer!.loadStateDict(optimizerState);
    if (state.scaler) parts.scaler?.loadStateDict(state.scaler);
    for (const [name, generator] of Object.entries(parts.generators ?? {})) generator.setState(state.generators[name]!);
    return { step: state.step, extra: state.extra };
  });
}

function parseState(path: string, json: string | undefined): State {
  try {
    const state = JSON.parse(json ?? '') as Partial<State>;
    if (Number.isSafeInteger(state.step) && state.generators) return state as State;
  } catch {
    // Falls through to the error that says so.
  }
  throw new CheckpointError(`${path} holds tensors, but is no checkpoint`, {
    op: OP,
    advice: 'Read it with loadTensors()',
  });
}

const summary = (problems: readonly string[]): string =>
  problems.slice(0, 3).join('; ') + (problems.length > 3 ? `; and ${problems.length - 3} more` : '');

/** The tensors below a prefix, without it. */
const inside = (prefix: string, tensors: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
  new Map([...tensors].filter(([name]) => name.startsWith(prefix)).map(([name, t]) => [name.slice(prefix.length), t]));

function optimizerStateOf(
  optimizer: Optimizer<any> | undefined,
  state: State,
  tensors: ReadonlyMap<string, Tensor>,
): OptimizerState | null {
  if (!optimizer || !state.optimizer) return null;
  const own = [...optimizer.parameters()].map((_, i) => inside(`optimizer.${i}.`, tensors));
  return { groups: state.optimizer.groups, state: own.map(t => (t.size > 0 ? Object.fromEntries(t) : null)) };
}

function modelProblems(model: Module, saved: ReadonlyMap<string, Tensor>): string[] {
  const own = model.stateDict();
  const missing = [...own.keys()].filter(name => !saved.has(name)).map(name => `${name} is missing`);
  const extra = [...saved.keys()].filter(name => !own.has(name)).map(name => `${name} is not part of the model`);
  const different = [...saved].flatMap(([name, t]) => difference(name, t, own.get(name)));
  return [...missing, ...extra, ...different];
}

function difference(name: string, saved: Tensor, own: Tensor | undefined): string[] {
  if (!own || (sameShape(saved.shape, own.shape) && saved.dtype === own.dtype)) return [];
  return [`${name} is ${saved.dtype} ${format(saved.shape)}, that of the model ${own.dtype} ${format(own.shape)}`];
}

function optimizerProblems(
  optimizer: Optimizer<any> | undefined,
  state: State,
  saved: OptimizerState | null,
): string[] {
  if (!optimizer) return [];
  if (!state.optimizer || !saved) return ['it was saved without an optimizer'];
  const { kind, groups } = state.optimizer;
  if (kind !== optimizer.constructor.name) return [`it was saved with ${kind}, not ${optimizer.constructor.name}`];
  if (groups?.length !== optimizer.paramGroups.length) return ['the optimizer has other parameter groups'];
  return [...optimizer.parameters()].flatMap((parameter, i) =>
    Object.entries(saved.state[i] ?? {}).flatMap(([name, t]) =>
      t.rank === 0 ? [] : difference(`${name} of parameter ${i}`, t, parameter),
    ),
  );
}
