import { any, boolean, callable, checkMethods, optional, options } from '../arguments.ts';
import { shown } from '../shown.ts';
import { requiresGrad_ } from '../autograd/autograd.ts';
import { ArgumentError, CheckpointError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Device } from '../tensor/device.ts';
import { registerModule, register, walk, type Role } from './members.ts';
import type { BufferOptions } from './parameter.ts';
import { copyPairs, matchState, stateOf, summary, type TensorState } from './state.ts';

/** The name under which a module listed a parameter last. */
const names = new WeakMap<Tensor, string>();
export const nameOfParameter = (parameter: Tensor): string | undefined => names.get(parameter);

function* tensorsOf(module: Module, kind: Role['kind']): Generator<[string, Tensor]> {
  for (const { path, value, role } of walk(module)) if (role?.kind === kind) yield [path, value as Tensor];
}

/**
 * Base of all layers and models; a subclass defines forward(). What belongs to it are the modules, the tensors made by nn.Parameter
 * and those made by nn.Buffer that are its properties, or lie in arrays, plain objects, Maps and Sets that are. Any other tensor
 * in a property, such as an activation kept for later, is not part of the model. Private fields (#name) and getters cannot be seen:
 * what a model should train does not go there, and what it should not have does.
 */
export abstract class Module {
  /** Is it in training mode? train() and eval() set it, here and in all modules below. */
  training = true;

  constructor() {
    registerModule(this);
  }

  /** Computes the module's output. Call it as module.forward(x); PyTorch calls the module itself. */
  abstract forward(...inputs: any[]): any;

  /** Makes a property of this name that holds a parameter or null, and takes nothing else. */
  registerParameter(name: string, parameter: Tensor | null): void {
    register(this, name, parameter, { kind: 'parameter', persistent: true });
  }
  /** Makes a property of this name that holds a buffer or null: what is assigned to it later is the buffer then. */
  registerBuffer(name: string, tensor: Tensor | null, options: BufferOptions = {}): void {
    register(this, name, tensor, { kind: 'buffer', persistent: options.persistent ?? true });
  }

  /** All parameters and buffers, by name. A tensor that stands in two places is given once, as in all that follows. */
  *namedTensors(): Generator<[string, Tensor]> {
    for (const { path, value, role } of walk(this)) if (role) yield [path, value as Tensor];
  }
  /** All parameters, frozen ones too, by name. */
  *namedParameters(): Generator<[string, Tensor]> {
    for (const [path, t] of tensorsOf(this, 'parameter')) {
      names.set(t, path);
      yield [path, t];
    }
  }
  /** All parameters, frozen ones too. */
  *parameters(): Generator<Tensor> {
    for (const [, t] of this.namedParameters()) yield t;
  }
  /** All buffers, by name. */
  *namedBuffers(): Generator<[string, Tensor]> {
    yield* tensorsOf(this, 'buffer');
  }
  /** All buffers. */
  *buffers(): Generator<Tensor> {
    for (const [, t] of this.namedBuffers()) yield t;
  }
  /** Itself and all modules below, by name, depth first. Its own name is ''. */
  *namedModules(): Generator<[string, Module]> {
    for (const { path, value, role } of walk(this)) if (!role) yield [path, value as Module];
  }
  /** Itself and all modules below, depth first. */
  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module;
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
    for (const [, parameter] of tensorsOf(this, 'parameter')) dropGrad(parameter);
  }
  /** Freezes (false) or unfreezes all parameters. */
  requiresGrad_(on = true): this {
    for (const [, parameter] of tensorsOf(this, 'parameter')) requiresGrad_(parameter, on);
    return this;
  }

  /** All parameters and persistent buffers by name; the tensors themselves, not copies. */
  stateDict(): Map<string, Tensor> {
    return new Map(stateOf(this));
  }
  /**
   * Copies tensors of the same names and shapes into this model; checked as a whole before anything is written. A tensor that the
   * model has under several names may come under any of them.
   * @throws CheckpointError naming what is missing, left over or of another shape
   */
  loadStateDict(state: TensorState): void {
    const op = 'loadStateDict';
    if (typeof state !== 'object' || state === null)
      throw new ArgumentError(`${shown(state)} is no state`, { op, advice: 'Pass what stateDict() gave' });
    const { pairs, problems } = matchState(this, state instanceof Map ? state : new Map(Object.entries(state)), false);
    if (problems.length > 0)
      throw new CheckpointError(`the state is of another model: ${summary(problems)}`, { op }, problems);
    copyPairs(pairs);
  }

  /** Number of values of all parameters, frozen ones too. */
  get parameterCount(): number {
    let count = 0;
    for (const [, parameter] of tensorsOf(this, 'parameter')) count += parameter.numel;
    return count;
  }
  /** Moves nothing but says where the model lives: the device of its first tensor. */
  get device(): Device {
    for (const [, t] of this.namedTensors()) return t.device;
    return 'cpu';
  }
}

checkMethods(Module, {
  registerParameter: { name: optional(any), parameter: optional(any) },
  registerBuffer: { name: optional(any), tensor: optional(any), options: options({ persistent: boolean }) },
  namedTensors: {},
  namedParameters: {},
  parameters: {},
  namedBuffers: {},
  buffers: {},
  namedModules: {},
  modules: {},
  apply: { fn: callable },
  train: { on: optional(boolean) },
  eval: {},
  zeroGrad: {},
  requiresGrad_: { on: optional(boolean) },
  stateDict: {},
  loadStateDict: { state: optional(any) },
});

/** Gives a gradient back. Whoever wants to keep one clones it. */
export function dropGrad(parameter: Tensor): void {
  parameter.grad?.dispose();
  parameter.grad = null;
}
