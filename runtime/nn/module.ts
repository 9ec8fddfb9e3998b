import { requiresGrad_ } from '../autograd/autograd.ts';
import { CheckpointError } from '../errors.ts';
import { noGrad } from '../autograd/autograd.ts';
import { format, sameShape } from '../tensor/shape.ts';
import { keep } from '../tensor/scope.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { Device } from '../tensor/device.ts';

/** What training changes when it is not frozen; buffers are not. */
const trainable = new WeakSet<Tensor>();

/** A tensor that training changes: a leaf that wants a gradient and that no tidy scope frees. */
export function Parameter<T extends Tensor>(data: T): T {
  trainable.add(data);
  return requiresGrad_(keep(data));
}

/** A tensor that belongs to the model but is not trained, such as running statistics. */
export function Buffer<T extends Tensor>(data: T): T {
  return keep(data);
}

/**
 * Base of all layers and models. Its parameters, buffers and submodules are simply its properties, also inside arrays; a subclass
 * defines forward().
 */
export abstract class Module {
  training = true;

  abstract forward(...inputs: any[]): any;

  /** Own tensors and submodules, by property name; array items as name.0, name.1 ... */
  *#members(): Generator<[string, Tensor | Module]> {
    for (const [name, value] of Object.entries(this)) {
      if (value instanceof Tensor || value instanceof Module) yield [name, value];
      else if (Array.isArray(value)) {
        for (const [i, item] of value.entries())
          if (item instanceof Tensor || item instanceof Module) yield [`${name}.${i}`, item];
      }
    }
  }

  /** All tensors of the model by path: parameters and buffers. A tensor that stands in two places is given once. */
  *namedTensors(prefix = '', seen = new Set<unknown>()): Generator<[string, Tensor]> {
    for (const [name, member] of this.#members()) {
      if (seen.has(member)) continue;
      seen.add(member);
      if (member instanceof Module) yield* member.namedTensors(`${prefix}${name}.`, seen);
      else yield [prefix + name, member];
    }
  }
  /** What is trained, by path. */
  *namedParameters(): Generator<[string, Tensor]> {
    for (const [name, t] of this.namedTensors()) if (t.requiresGrad) yield [name, t];
  }
  /** What is trained. */
  *parameters(): Generator<Tensor> {
    for (const [, t] of this.namedParameters()) yield t;
  }
  /** Itself and all modules below, depth first. */
  *modules(): Generator<Module> {
    yield this;
    for (const [, member] of this.#members()) if (member instanceof Module) yield* member.modules();
  }

  /** Calls fn with itself and all modules below. */
  apply(fn: (module: Module) => void): this {
    for (const module of this.modules()) fn(module);
    return this;
  }
  /** Sets training mode, which dropout and batch norm look at. */
  train(on = true): this {
    return this.apply(module => (module.training = on));
  }
  /** Sets evaluation mode. */
  eval(): this {
    return this.train(false);
  }
  /** Frees all gradients. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) dropGrad(parameter);
  }
  /** Freezes or unfreezes all parameters. */
  requiresGrad_(on = true): this {
    for (const [, t] of this.namedTensors()) {
      if (t.requiresGrad) trainable.add(t);
      if (trainable.has(t)) requiresGrad_(t, on);
    }
    return this;
  }

  /** All tensors by path; the tensors themselves, not copies. */
  stateDict(): Map<string, Tensor> {
    return new Map(this.namedTensors());
  }
  /**
   * Copies tensors of the same names and shapes into this model; checked as a whole before anything is written.
   * @throws CheckpointError naming what is missing, left over or of another shape
   */
  loadStateDict(state: ReadonlyMap<string, Tensor>): void {
    const own = this.stateDict();
    const problems = [
      ...[...own.keys()].filter(name => !state.has(name)).map(name => `${name} is missing`),
      ...[...state.keys()].filter(name => !own.has(name)).map(name => `${name} is not part of the model`),
      ...[...own]
        .filter(([name, t]) => state.has(name) && !sameShape(t.shape, state.get(name)!.shape))
        .map(([name, t]) => `${name} has shape ${format(state.get(name)!.shape)}, the model ${format(t.shape)}`),
    ];
    if (problems.length > 0)
      throw new CheckpointError(
        `the state is of another model: ${problems.slice(0, 5).join('; ')}${problems.length > 5 ? `; and ${problems.length - 5} more` : ''}`,
        {
          op: 'loadStateDict',
        },
      );
    noGrad(() => own.forEach((t, name) => t.copy_(state.get(name)!)));
  }

  /** Number of trained values. */
  get parameterCount(): number {
    let count = 0;
    for (const parameter of this.parameters()) count += parameter.numel;
    return count;
  }
  /** Moves nothing but says where the model lives: the device of its first tensor. */
  get device(): Device {
    for (const [, t] of this.namedTensors()) return t.device;
    return 'cpu';
  }
}

/** Gives a gradient back. Whoever wants to keep one clones it. */
export function dropGrad(parameter: Tensor): void {
  parameter.grad?.dispose();
  parameter.grad = null;
}
