import {
  any,
  callable,
  checkMethods,
  iterable,
  object,
  optional,
  options,
  required,
  signature,
  type Spec,
} from '../arguments.ts';
import { numbered, refuseScaled } from '../amp/carried.ts';
import { shown } from '../shown.ts';
import type { ScalableOptimizer } from '../amp/scalable.ts';
import { ArgumentError, CastorError, CheckpointError } from '../errors.ts';
import { dropGrad, nameOfParameter } from '../nn/module.ts';
import type { OnDevice } from '../dispatch/multi.ts';
import { copyPairs, summary, type Pair } from '../nn/state.ts';
import { atOnce } from '../context.ts';
import { zeros } from '../tensor/create.ts';
import { deviceName } from '../tensor/device.ts';
import { refuseInGraph } from '../tensor/graphCapture.ts';
import { keep } from '../tensor/scope.ts';
import { format } from '../tensor/shape.ts';
import { tensor } from '../tensor/specs.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { capturedRate } from './capturedRate.ts';
import { checkSettings, given, settingKinds, type SettingKind } from './settings.ts';
import { matchStates, type Layout, type OptimizerState, type StateTensor } from './state.ts';

/** Parameters that share settings. */
export type ParamGroup<R> = R & { params: Tensor[] };
/** A parameter, alone or with its name, as parameters() and namedParameters() yield them. */
export type Named = Tensor | readonly [name: string, parameter: Tensor];
/** Parameters, or groups of parameters with settings of their own. */
export type Params<R> = Iterable<Named> | readonly (Partial<R> & { params: Iterable<Named> | Tensor })[];

/** The definition of an optimizer. */
export interface Description<R> {
  /** The check of each setting. */
  readonly settings: Readonly<Record<keyof R & string, SettingKind>>;
  /** The tensors that it keeps for each parameter. */
  readonly tensors: Readonly<Record<string, StateTensor>>;
  /** Checks that involve several settings. @throws ArgumentError */
  readonly check?: (settings: R) => void;
}

/** The name of a parameter, from a model or from a list of names and parameters. */
export type NameOf = (parameter: Tensor) => string | undefined;

const takesOptimizer = signature('Optimizer', {
  params: any,
  defaults: object,
  options: object,
  description: required(options({ settings: required(settingKinds), tensors: required(object), check: callable })),
});
/**
 * The base class of the built-in optimizers. A step is one launch for all parameters of a group, and can be skipped on
 * the device by a flag, as a GradScaler does. The settings of a group may be changed between steps, and are checked in
 * each step.
 */
export abstract class Optimizer<R extends object> implements ScalableOptimizer {
  /** The groups of parameters with their settings, which may be changed between steps: group.lr *= 0.5. */
  readonly paramGroups: ParamGroup<R>[];
  readonly #description: Description<R>;
  readonly #defaults: R;
  readonly #state = new Map<Tensor, Record<string, Tensor>>();
  readonly #names = new Map<Tensor, string>();

  /** A subclass passes its parameters, the defaults of its settings, those that were given, and what it is. */
  constructor(params: Params<R>, defaults: R, options: Partial<R>, description: Description<R>) {
    takesOptimizer(arguments);
    this.#description = description;
    this.#defaults = { ...defaults, ...given(options) };
    this.#check(this.#defaults);
    this.paramGroups = groupsOf(params, this.#op, description.settings).map(group => ({
      ...given(this.#defaults),
      ...given(group),
      params: group.params.map((item, i) => this.#unnamed(item, i)),
    })) as ParamGroup<R>[];
    this.paramGroups.forEach(group => this.#check(group));
    this.#checkParameters();
  }

  get #op(): string {
    return this.constructor.name;
  }
  #checkParameters(): void {
    const all = [...this.parameters()];
    if (all.length === 0)
      throw new ArgumentError('there are no parameters to optimise', {
        op: this.#op,
        advice: 'Pass model.parameters() of a model that has some',
      });
    if (new Set(all).size !== all.length)
      throw new ArgumentError('a parameter is given twice', {
        op: this.#op,
        advice:
          'It would be updated twice in each step. Remove it from one of the lists or groups, or pass new Set(list)',
      });
    for (const p of all)
      if (!p.isLeaf)
        throw new ArgumentError('a parameter must be a leaf, not the result of a recorded op', {
          op: this.#op,
          shapes: [p.shape],
          advice: 'Pass the tensors that it was computed from, or make a new leaf with nn.Parameter(t.detach())',
        });
  }
  #check(settings: R): void {
    checkSettings(this.#op, settings, this.#description.settings);
    this.#description.check?.(settings);
  }
  /** The current settings of a group. @throws ArgumentError for settings that are not valid */
  #settingsOf(group: ParamGroup<R>): ParamGroup<R> {
    if (!Array.isArray(group?.params) || !group.params.every(isTensor))
      throw new ArgumentError(`a group of parameters is ${shown(group)}`, {
        op: this.#op,
        advice: 'Pass an object whose params is an array of tensors',
      });
    const settings = { ...given(this.#defaults), ...given(group) } as ParamGroup<R>;
    this.#check(settings);
    return settings;
  }

  #unnamed(item: Named, i: number): Tensor {
    const [name, parameter] = Array.isArray(item) ? (item as readonly [string, Tensor]) : [null, item as Tensor];
    if (!isTensor(parameter))
      throw new ArgumentError(`parameter ${i} is ${shown(parameter)}, not a tensor`, {
        op: this.#op,
        advice: 'Pass model.parameters(), an array of tensors, or groups { params, lr }',
      });
    const known = name ?? nameOfParameter(parameter);
    if (known !== undefined) this.#names.set(parameter, known);
    return parameter;
  }
  /** The name that a parameter was given with, or that it had in its model. */
  nameOf(parameter: Tensor): string | undefined {
    return this.#names.get(parameter);
  }

  /** The parameters of all groups, one after the other. */
  *parameters(): Generator<Tensor> {
    for (const group of this.paramGroups) yield* group.params;
  }

  /** Updates the parameters by their gradients. A parameter without a gradient is not changed. */
  step(): void {
    this.#run(null);
  }
  /** Like step(), unless foundInf (one float32 on the device) is not 0. */
  stepUnless(foundInf: Tensor): void {
    this.#run(foundInf);
  }
  /**
   * Everything that allocates memory happens before the first parameter is written: a step that runs out of memory can
   * be repeated.
   */
  #run(foundInf: Tensor | null): void {
    const groups = this.paramGroups.map(group => ({ group, settings: this.#settingsOf(group) }));
    this.#refuseScaled();
    const launches: (() => void)[] = [];
    for (const { group, settings } of groups) {
      const active = settings.params.filter(p => p.grad !== null);
      for (const [device, params] of Map.groupBy(active, p => p.storage.device)) {
        const found = foundInf && foundInf.to(deviceName(device));
        const lr = 'lr' in settings ? capturedRate(`${this.#op}.step`, () => this.#rateOf(group)) : null;
        const grads = params.map(p => p.grad!);
        const launch = this.update(settings, params, grads, { lr, foundInf: found });
        launches.push(() => {
          launch();
          if (found !== foundInf) found!.dispose();
        });
      }
    }
    for (const launch of launches) launch();
  }
  #rateOf(group: ParamGroup<R>): number {
    return (this.#settingsOf(group) as { lr?: unknown }).lr as number;
  }
  #refuseScaled(): void {
    const advice =
      'Call scaler.step(optimizer) in place of optimizer.step(), or scaler.unscale(optimizer) before. If you have divided the gradients yourself, assign them: p.grad = p.grad.div(scale)';
    const name = (p: Tensor): string => this.#names.get(p) ?? numbered(this.parameters(), p);
    for (const { params } of this.paramGroups) refuseScaled(`${this.#op}.step`, params, name, advice);
  }
  /**
   * Creates the state that is missing, and returns the single launch for the parameters of a group that have gradients
   * and are on one device. `onDevice` is what the device decides: whether to step, and in a captured graph the learning
   * rate.
   */
  protected abstract update(
    group: ParamGroup<R>,
    params: readonly Tensor[],
    grads: readonly Tensor[],
    onDevice: OnDevice,
  ): () => void;

  /** Frees all gradients, so that the next backward pass starts from zero. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) dropGrad(parameter);
  }

  /** A state tensor of each parameter, initially zeros: of the parameter's shape, or one float32 if `scalar`. */
  protected stateOf(params: readonly Tensor[], name: string, scalar = false): Tensor[] {
    return params.map(p => {
      let own = this.#state.get(p);
      if (!own?.[name])
        refuseInGraph(
          `${this.#op}.step`,
          'the optimizer has no state yet: a graph would create it again in each replay',
          'Pass a warmup of at least 1, in which every parameter gets a gradient',
        );
      if (!own) this.#state.set(p, (own = {}));
      const dtype = scalar ? 'float32' : (p.dtype as 'float32');
      return (own[name] ??= atOnce(() => keep(zeros(scalar ? [] : p.shape, { dtype, device: p.device }))));
    });
  }

  /** Settings and state, with the names of the parameters. They are the tensors themselves, not copies. */
  stateDict(nameOf: NameOf = p => this.nameOf(p)): OptimizerState {
    return {
      kind: this.#op,
      groups: this.paramGroups.map(group => ({
        ...this.#settingsOf(group),
        params: group.params.map(p => nameOf(p) ?? null),
      })),
      state: [...this.parameters()].map(p => this.#state.get(p) ?? null),
    };
  }
  #layout(nameOf: NameOf): Layout {
    const groups = this.paramGroups.map(({ params }) => ({ params, names: params.map(p => nameOf(p) ?? null) }));
    return { kind: this.#op, groups, tensors: this.#description.tensors };
  }
  /** The reasons why loadStateDict cannot load a state, one line each. */
  mismatches(saved: OptimizerState, nameOf: NameOf = p => this.nameOf(p)): string[] {
    const { order, problems } = matchStates(this.#layout(nameOf), saved);
    return order.length === 0
      ? problems
      : [...problems, ...saved.groups.flatMap((group, i) => this.#groupProblems(group, i))];
  }
  #groupProblems(group: Record<string, unknown>, i: number): string[] {
    const absent = Object.keys(this.#description.settings).filter(name => group[name] === undefined);
    if (absent.length > 0) return absent.map(name => `group ${i} has no ${name}`);
    if (Object.hasOwn(group, '__proto__')) return [`group ${i} has a setting '__proto__'`];
    try {
      this.#check(group as R);
      return [];
    } catch (error) {
      if (!(error instanceof CastorError)) throw error;
      return [`group ${i}: ${error.message}`];
    }
  }
  /**
   * Copies settings and state into the optimizer. Parameters are matched by name if all of them have different names,
   * else by position.
   * @throws CheckpointError if the state is of another model, other groups or another optimizer; then nothing is
   * changed
   */
  loadStateDict(saved: OptimizerState, nameOf: NameOf = p => this.nameOf(p)): void {
    const problems = this.mismatches(saved, nameOf);
    if (problems.length > 0)
      throw new CheckpointError(
        `the state does not fit this optimizer: ${summary(problems)}`,
        { op: 'Optimizer.loadStateDict' },
        problems,
      );
    const { pairs, finish } = this.loadingOf(saved, nameOf, false);
    copyPairs(pairs);
    finish();
  }
  /**
   * Plans the loading of a state that fits: the copies into existing tensors (which a captured graph may use), and what
   * remains to be done after them. If nothing else uses the tensors of the state (`owned`), they become those of the
   * optimizer.
   * @internal
   */
  loadingOf(saved: OptimizerState, nameOf: NameOf, owned: boolean): { pairs: Pair[]; finish: () => void } {
    const { order } = matchStates(this.#layout(nameOf), saved);
    const pairs: Pair[] = [];
    const states = [...this.parameters()].map((p, i) => {
      const own = this.#state.get(p);
      const next = Object.entries(saved.state[order[i]!] ?? {}).map(([name, t]): [string, Tensor] => {
        if (!own?.[name]) return [name, this.#placed(name, t, p, owned)];
        pairs.push([own[name], t]);
        return [name, own[name]];
      });
      return [p, next] as const;
    });
    const finish = (): void => {
      saved.groups.forEach(({ params: _, ...settings }, i) => Object.assign(this.paramGroups[i]!, given(settings)));
      for (const [p, next] of states)
        if (next.length > 0) this.#state.set(p, Object.fromEntries(next));
        else this.#state.delete(p);
    };
    return { pairs, finish };
  }
  /** A state tensor of a parameter, in its dtype, on its device and in memory of its own. */
  #placed(name: string, t: Tensor, p: Tensor, owned: boolean): Tensor {
    const there = t.detach().to(p.device);
    const right = this.#description.tensors[name]!.scalar ? there : there.to(p.dtype);
    if (right.storage !== t.storage) return keep(right);
    return keep(owned ? t : right.clone());
  }
}

/** The properties that a group may have. Any other would have no effect. */
const groupOptions = (settings: object): Spec =>
  options(Object.fromEntries(['params', ...Object.keys(settings)].map(name => [name, any])));

checkMethods(Optimizer, {
  nameOf: { parameter: any },
  parameters: {},
  step: {},
  stepUnless: { foundInf: tensor },
  zeroGrad: {},
  stateDict: { nameOf: optional(callable) },
  loadStateDict: { saved: object, nameOf: optional(callable) },
  mismatches: { saved: object, nameOf: optional(callable) },
});

type Group<R> = Partial<R> & { params: Named[] };

/** Reads the argument of an optimizer as groups of parameters. @throws ArgumentError for anything else, and for an exhausted iterator */
function groupsOf<R>(params: Params<R>, op: string, settings: object): Group<R>[] {
  const list = listOf(params as Iterable<Named | (Partial<R> & { params: Iterable<Named> })>, op);
  const grouped = list.length > 0 && list.every(item => typeof item === 'object' && item !== null && 'params' in item);
  if (!grouped) return [{ params: list as Named[] } as Group<R>];
  return (list as (Partial<R> & { params: Iterable<Named> | Tensor })[]).map(group => ({
    ...(groupOptions(settings).copy!(group, op, 'group') as typeof group),
    params: isTensor(group.params) ? [group.params] : listOf(group.params, op),
  }));
}

function listOf<T>(items: Iterable<T>, op: string): T[] {
  if (isTensor(items) || !iterable.accepts(items))
    throw new ArgumentError(`${shown(items)} is not a list of parameters`, {
      op,
      advice: 'Pass model.parameters(), an array of tensors, or groups { params, lr }',
    });
  const list = [...items];
  if (list.length === 0 && 'next' in items)
    throw new ArgumentError('the iterator yielded no parameter: it has already ended, or there are none', {
      op,
      advice: 'An iterator can be used once. Call parameters() again, or store [...model.parameters()]',
    });
  return list;
}
