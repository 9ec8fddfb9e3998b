import { any, boolean, callable, checkMethods, object, optional, options } from '../arguments.ts';
import { shown } from '../shown.ts';
import { requiresGrad_ } from '../autograd/autograd.ts';
import { ArgumentError, CheckpointError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Device } from '../tensor/device.ts';
import type { FloatDType } from '../tensor/dtype.ts';
import { dtype } from '../tensor/specs.ts';
import { destination } from '../ops/specs.ts';
import { moveModel, placementOf, type ModuleDestination } from './convert.ts';
import { registerModule, register, walk, type Role } from './members.ts';
import type { BufferOptions } from './parameter.ts';
import { shareState, showShared, type SharedState } from './shared.ts';
import { copyPairs, matchState, stateOf, summary, type TensorState } from './state.ts';

/** For each parameter, the name under which a module last listed it. */
const names = new WeakMap<Tensor, string>();
export const nameOfParameter = (parameter: Tensor): string | undefined => names.get(parameter);

function* tensorsOf(module: Module, kind: Role['kind']): Generator<[string, Tensor]> {
  for (const { path, value, role } of walk(module)) if (role?.kind === kind) yield [path, value as Tensor];
}

/**
 * The base class of all layers and models. A subclass defines forward(). The parts of a module are the modules, the
 * tensors made by nn.Parameter and the tensors made by nn.Buffer that are its properties, or that are in arrays, plain
 * objects, Maps and Sets that are its properties. Any other tensor in a property, such as an activation kept for later,
 * is not part of the module. Private fields (#name) and getters cannot be seen: never put a parameter there; use them
 * for what is not part of the module.
 */
export abstract class Module {
  /** Is it in training mode? train() and eval() set it, here and in all modules below. */
  training = true;

  /** A subclass calls super() first, and then makes its layers and parameters. */
  constructor() {
    registerModule(this);
  }

  /** Computes the module's output. Call it as module.forward(x); PyTorch calls the module itself. */
  abstract forward(...inputs: any[]): any;

  /** Defines a property of this name that holds a parameter or null, and nothing else. */
  registerParameter(name: string, parameter: Tensor | null): void {
    register(this, name, parameter, { kind: 'parameter', persistent: true });
  }
  /**
   * Defines a property of this name that holds a buffer or null. A tensor that is assigned to it later becomes the
   * buffer.
   */
  registerBuffer(name: string, tensor: Tensor | null, options: BufferOptions = {}): void {
    register(this, name, tensor, { kind: 'buffer', persistent: options.persistent ?? true });
  }

  /**
   * All parameters and buffers, with their names. A tensor that is used in two places is listed once, here and in all
   * following methods.
   */
  *namedTensors(): Generator<[string, Tensor]> {
    for (const { path, value, role } of walk(this)) if (role) yield [path, value as Tensor];
  }
  /** All parameters, including frozen ones, with their names. */
  *namedParameters(): Generator<[string, Tensor]> {
    for (const [path, t] of tensorsOf(this, 'parameter')) {
      names.set(t, path);
      yield [path, t];
    }
  }
  /** All parameters, including frozen ones. */
  *parameters(): Generator<Tensor> {
    for (const [, t] of this.namedParameters()) yield t;
  }
  /** All buffers, with their names. */
  *namedBuffers(): Generator<[string, Tensor]> {
    yield* tensorsOf(this, 'buffer');
  }
  /** All buffers. */
  *buffers(): Generator<Tensor> {
    for (const [, t] of this.namedBuffers()) yield t;
  }
  /** This module and all modules inside it, with their names, depth first. Its own name is ''. */
  *namedModules(): Generator<[string, Module]> {
    for (const { path, value, role } of walk(this)) if (!role) yield [path, value as Module];
  }
  /** This module and all modules inside it, depth first. */
  *modules(): Generator<Module> {
    for (const [, module] of this.namedModules()) yield module;
  }

  /** Calls fn with this module and all modules inside it. */
  apply(fn: (module: Module) => void): this {
    for (const module of this.modules()) fn(module);
    return this;
  }
  /** Sets training mode, which affects dropout and batch normalisation. */
  train(on = true): this {
    return this.apply(module => void (module.training = on));
  }
  /** Sets evaluation mode, which affects dropout and batch normalisation. */
  eval(): this {
    return this.train(false);
  }
  /** Frees all gradients. */
  zeroGrad(): void {
    for (const [, parameter] of tensorsOf(this, 'parameter')) dropGrad(parameter);
  }
  /** Freezes (false) or unfreezes (true) all parameters. */
  requiresGrad_(on = true): this {
    for (const [, parameter] of tensorsOf(this, 'parameter')) requiresGrad_(parameter, on);
    return this;
  }

  /**
   * Converts the floating parameters and buffers of the model to a floating dtype, or moves all of them to a device, or both. The tensors stay
   * the same objects, so that optimizers keep them, and their gradients are converted with them; views of them from before end. The state of
   * an optimizer keeps its dtype and its device. If memory runs out, those that were converted stay so, and a second call does the rest.
   * @param dtype the dtype, where `destination` is a device: to('cuda', 'bfloat16')
   * @throws DTypeError for a dtype that is not floating, DeviceError, GraphError in a capture
   */
  to(destination: ModuleDestination, dtype?: FloatDType): this {
    moveModel(this, placementOf(destination, dtype));
    return this;
  }
  /** Converts the floating parameters and buffers to bfloat16: to('bfloat16'). */
  bfloat16(): this {
    return this.to('bfloat16');
  }
  /** Converts the floating parameters and buffers to float16: to('float16'). */
  half(): this {
    return this.to('float16');
  }
  /** Converts the floating parameters and buffers to float32: to('float32'). */
  float(): this {
    return this.to('float32');
  }
  /** Converts the floating parameters and buffers to float64: to('float64'). */
  double(): this {
    return this.to('float64');
  }

  /** All parameters and persistent buffers by name. They are the tensors themselves, not copies. */
  stateDict(): Map<string, Tensor> {
    return new Map(stateOf(this));
  }
  /**
   * Copies tensors of the same names and shapes into this model. Everything is checked before anything is written. A
   * tensor that the model has under several names may be given under any of them.
   * @throws CheckpointError that lists the tensors that are missing, left over or of another shape
   */
  loadStateDict(state: TensorState): void {
    const op = 'loadStateDict';
    if (typeof state !== 'object' || state === null)
      throw new ArgumentError(`${shown(state)} is not a state`, { op, advice: 'Pass the result of stateDict()' });
    const { pairs, problems } = matchState(this, state instanceof Map ? state : new Map(Object.entries(state)), false);
    if (problems.length > 0)
      throw new CheckpointError(`the state is from another model: ${summary(problems)}`, { op }, problems);
    copyPairs(pairs);
  }

  /**
   * Shares the memory of all parameters and persistent buffers with other threads; nothing can write to them any more. The result can be sent
   * to Workers by postMessage(), and useShared() of a model of the same kind opens it there. This model must live until they have done so.
   * PyTorch: `share_memory`.
   */
  share(): SharedState {
    return shareState(this);
  }
  /**
   * Shows the tensors that share() of a model in another thread has described, without a copy, in place of the tensors of the same names,
   * and frees those. The memory lives until the last model that shows it is gone.
   * @throws CheckpointError that lists the tensors that are missing, left over or of another shape or dtype
   */
  useShared(state: SharedState): void {
    showShared(this, state, 'useShared');
  }

  /** The number of elements of all parameters, including frozen ones. */
  get parameterCount(): number {
    let count = 0;
    for (const [, parameter] of tensorsOf(this, 'parameter')) count += parameter.numel;
    return count;
  }
  /** The device of the model: that of its first tensor. */
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
  to: {
    destination: { ...destination, advice: "Pass 'bfloat16', 'cuda', { dtype, device } or a tensor that has both" },
    dtype: optional(dtype),
  },
  bfloat16: {},
  half: {},
  float: {},
  double: {},
  stateDict: {},
  loadStateDict: { state: optional(any) },
  share: {},
  useShared: { state: object },
});

/** Removes the gradient of a parameter and frees its memory. Clone a gradient to keep it. */
export function dropGrad(parameter: Tensor): void {
  parameter.grad?.dispose();
  parameter.grad = null;
}
