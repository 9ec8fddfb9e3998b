import type { ScalableOptimizer } from '../amp/scalable.ts';
import { ArgumentError, CheckpointError } from '../errors.ts';
import { dropGrad } from '../nn/module.ts';
import { zeros } from '../tensor/create.ts';
import { deviceName } from '../tensor/device.ts';
import { refuseInGraph } from '../tensor/recording.ts';
import { keep } from '../tensor/scope.ts';
import { sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Parameters that share their settings. */
export type ParamGroup<R> = R & { params: Tensor[] };
/** A parameter, alone or with the name that messages call it by: what parameters() and namedParameters() give. */
export type Named = Tensor | readonly [name: string, parameter: Tensor];
/** Parameters, or groups of them with settings of their own. */
export type Params<R> = Iterable<Named> | readonly (Partial<R> & { params: Iterable<Named> })[];

export interface OptimizerState {
  groups: Record<string, unknown>[];
  /** State tensors by name, one a parameter; null for parameters that had no gradient yet. */
  state: (Record<string, Tensor> | null)[];
}

/**
 * Base of the built-in optimizers: one launch for all parameters of a group, and predicated on found-inf, so that a GradScaler
 * can skip a step on the device.
 */
export abstract class Optimizer<R extends object> implements ScalableOptimizer {
  readonly paramGroups: ParamGroup<R>[];
  readonly #state = new Map<Tensor, Record<string, Tensor>>();
  readonly #names = new Map<Tensor, string>();

  constructor(params: Params<R>, defaults: R) {
    const list = [...(params as Iterable<Named | (Partial<R> & { params: Iterable<Named> })>)];
    const grouped = list.length > 0 && list.every(item => 'params' in item);
    const groups = grouped ? (list as (Partial<R> & { params: Iterable<Named> })[]) : [{ params: list as Named[] }];
    this.paramGroups = groups.map(group => ({
      ...defaults,
      ...group,
      params: [...group.params].map(item => this.#unnamed(item)),
    }));
    const all = [...this.parameters()];
    if (all.length === 0) throw new ArgumentError('there are no parameters to optimise', { op: new.target.name });
    if (new Set(all).size !== all.length)
      throw new ArgumentError('a parameter is given twice', { op: new.target.name });
    for (const p of all)
      if (!p.isLeaf || !p.requiresGrad)
        throw new ArgumentError('a parameter must be a leaf that requires a gradient', {
          op: new.target.name,
          shapes: [p.shape],
        });
  }

  #unnamed(item: Named): Tensor {
    if (!Array.isArray(item)) return item as Tensor;
    const [name, parameter] = item as readonly [string, Tensor];
    this.#names.set(parameter, name);
    return parameter;
  }
  /** The name a parameter was given with. */
  nameOf(parameter: Tensor): string | undefined {
    return this.#names.get(parameter);
  }

  *parameters(): Generator<Tensor> {
    for (const group of this.paramGroups) yield* group.params;
  }

  /** Applies the gradients. Parameters without one are left alone. */
  step(): void {
    this.#run(null);
  }
  /** Applies the gradients unless foundInf (one float32 on the device) is not 0. */
  stepUnless(foundInf: Tensor): void {
    this.#run(foundInf);
  }
  #run(foundInf: Tensor | null): void {
    for (const group of this.paramGroups) {
      const active = group.params.filter(p => p.grad !== null);
      for (const [device, params] of Map.groupBy(active, p => p.storage.device)) {
        const found = foundInf && foundInf.to(deviceName(device));
        this.update(
          group,
          params,
          params.map(p => p.grad!),
          found,
        );
        if (found !== foundInf) found!.dispose();
      }
    }
  }
  /** One launch for the parameters of a group that have gradients, and are on one device. */
  protected abstract update(
    group: ParamGroup<R>,
    params: readonly Tensor[],
    grads: readonly Tensor[],
    foundInf: Tensor | null,
  ): void;

  /** Frees all gradients, so that the next backward starts anew. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) dropGrad(parameter);
  }

  /** A state tensor of each parameter, zeros at first: of its shape, or one float32. */
  protected stateOf(params: readonly Tensor[], name: string, scalar = false): Tensor[] {
    return params.map(p => {
      let own = this.#state.get(p);
      if (!own?.[name])
        refuseInGraph(
          `${this.constructor.name}.step`,
          'the optimizer has no state yet: a graph would make it anew in each replay',
          'Capture with a warmup of at least 1, in which every parameter gets a gradient',
        );
      if (!own) this.#state.set(p, (own = {}));
      return (own[name] ??= keep(
        scalar ? zeros([], { device: p.device }) : zeros(p.shape, { dtype: p.dtype as 'float32', device: p.device }),
      ));
    });
  }

  /** Settings and state; the tensors themselves, not copies. */
  stateDict(): OptimizerState {
    return {
      groups: this.paramGroups.map(({ params: _, ...settings }) => settings),
      state: [...this.parameters()].map(p => this.#state.get(p) ?? null),
    };
  }
  /** Copies settings and state in. @throws CheckpointError when they are of another model; nothing is changed then */
  loadStateDict(saved: OptimizerState): void {
    const params = [...this.parameters()];
    const fits =
      saved.groups.length === this.paramGroups.length &&
      saved.state.length === params.length &&
      saved.state.every(
        (own, i) => own === null || Object.values(own).every(t => t.rank === 0 || sameShape(t.shape, params[i]!.shape)),
      );
    if (!fits) throw new CheckpointError('the optimizer state is of another model', { op: 'Optimizer.loadStateDict' });
    saved.groups.forEach((settings, i) => Object.assign(this.paramGroups[i]!, settings));
    params.forEach((p, i) => {
      const own = saved.state[i];
      if (own)
        this.#state.set(
          p,
          Object.fromEntries(Object.entries(own).map(([name, t]) => [name, keep(t.detach().to(p.device).clone())])),
        );
      else this.#state.delete(p);
    });
  }
}

/** @throws ArgumentError unless a setting is a number >= 0 */
export function atLeast0(op: string, settings: object): void {
  for (const [name, value] of Object.entries(settings))
    if (typeof value === 'number' && !(value >= 0)) throw new ArgumentError(`${name} ${value} must be >= 0`, { op });
}
