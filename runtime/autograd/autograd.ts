import { any, arrayOf, boolean, checked, nullable, optional, options, type Specs } from '../arguments.ts';
import { checkFunction, current, modeWith, runScope, type ScopeFunction } from '../context.ts';
import { ArgumentError, AutogradError, DeviceError, ShapeError } from '../errors.ts';
import { onCreate } from '../tensor/create.ts';
import { format, sameShape } from '../tensor/shape.ts';
import { noteHook } from '../tensor/scope.ts';
import { tensor, tensorOrTensors } from '../tensor/specs.ts';
import { isTensor, Tensor } from '../tensor/tensor.ts';
import { shown } from '../shown.ts';
import { asGradient } from './checks.ts';
import { asOwner } from './owned.ts';
import { runBackward, type BackwardOptions, type Capture } from './engine.ts';
import { isLeaf, LeafNode, nodeOf, ofInference, type Hook, type Node } from './node.ts';

const flags = { retainGraph: boolean, createGraph: boolean };
export const backwardSpecs: Specs = { x: tensor, grad: optional(nullable(tensor)), options: options(flags) };
const gradOptions = options({
  ...flags,
  gradOutputs: arrayOf(
    { ...nullable(optional(tensor)), accepts: g => g == null || isTensor(g) },
    'an array of gradients',
  ),
  allowUnused: boolean,
});

/** Runs fn, sync or async, without recording ops for backward: its results require no gradient. */
export const noGrad = checked('noGrad', { fn: any }, <T>(fn: () => T): T =>
  recording(false, fn, { op: 'noGrad', call: 'noGrad(() => ...)' }),
);
/** Runs fn with recording switched on, also inside of noGrad(). */
export const enableGrad = checked('enableGrad', { fn: any }, <T>(fn: () => T): T =>
  recording(true, fn, { op: 'enableGrad', call: 'enableGrad(() => ...)' }),
);
function recording<T>(grad: boolean, fn: () => T, scope: ScopeFunction): T {
  checkFunction(fn, scope);
  const mode = current();
  return runScope(scope, modeWith(mode, { grad: grad && !mode.inference }), fn);
}

const inferring: ScopeFunction = { op: 'inferenceMode', call: 'inferenceMode(() => ...)' };
function inference<T>(fn: () => T): T;
function inference<T>(enabled: boolean, fn: () => T): T;
function inference<T>(first: boolean | (() => T), second?: () => T): T {
  const bare = typeof first === 'function' && second === undefined;
  const enabled = bare ? true : first;
  if (typeof enabled !== 'boolean')
    throw new ArgumentError(`${shown(enabled)} is neither a function nor a boolean`, {
      op: inferring.op,
      advice: `Call ${inferring.call}, or inferenceMode(false, () => ...) to leave the mode`,
    });
  const fn = (bare ? first : second) as () => T;
  checkFunction(fn, inferring);
  return runScope(inferring, modeWith(current(), { grad: !enabled, inference: enabled }), fn);
}
/**
 * Runs fn, sync or async, in inference mode: as in noGrad() nothing is recorded, and the tensors that are allocated in it can never take
 * part in backward, which is an error instead of a wrong gradient. Casts that autocast makes of weights are kept beyond its scopes, until the
 * weight is written to or freed. inferenceMode(false, fn) leaves the mode. PyTorch: `torch.inference_mode`.
 */
export const inferenceMode = checked('inferenceMode', { enabled: any, fn: optional(any) }, inference);
/** Is it inference mode where this is called? */
export const isInferenceModeEnabled = checked('isInferenceModeEnabled', {}, (): boolean => current().inference);

/** Are ops recorded for backward where this is called? false inside of noGrad(). */
export const isGradEnabled = checked('isGradEnabled', {}, (): boolean => current().grad);

/** Sets whether backward computes a gradient for a leaf. @throws AutogradError for integers and for results of recorded ops */
export function requiresGrad_<T extends Tensor>(t: T, on = true): T {
  if (on && !t.isFloat)
    throw new AutogradError(`only floating tensors can require a gradient, not ${t.dtype}`, {
      op: 'requiresGrad',
      shapes: [t.shape],
      dtypes: [t.dtype],
      advice: "Convert it first with to('float32')",
    });
  if (on && t.storage.inference && !current().inference)
    throw ofInference('an inference tensor cannot require a gradient', { op: 'requiresGrad', shapes: [t.shape] });
  if (!isLeaf(t)) {
    if (on) return t;
    throw new AutogradError('the result of a recorded op always requires a gradient', {
      op: 'requiresGrad',
      advice: 'Use detach()',
    });
  }
  t.node = on ? (t.node ?? new LeafNode(t)) : null;
  return t;
}
onCreate((t, on) => requiresGrad_(t, on));

/** Returns a tensor on the same memory without history: no gradient flows through it, and it does not keep the graph of t alive. */
export function detach<T extends Tensor>(t: T): T {
  const owner = t.base ?? t;
  // If the tensor is a parameter, the parameter itself becomes the base, by which autocast finds its 16-bit copy.
  const base = isLeaf(owner) ? owner : asOwner(owner);
  return new Tensor(t.storage, t.layout, t.info, base) as T;
}

/** Returns the gradient given for an output after checking it. null, for a gradient of 1, is allowed only if the output has one element. */
function seedFor(op: string, root: Tensor, grad: Tensor | null | undefined): Tensor | null {
  if (grad === undefined || grad === null) {
    if (root.numel === 1) return null;
    throw new AutogradError(
      `backward of a tensor of shape ${format(root.shape)} needs a gradient: only that of a single number defaults to 1`,
      {
        op,
        shapes: [root.shape],
        advice: 'Pass a gradient of the same shape, or reduce it first, e.g. with sum() or mean()',
      },
    );
  }
  const seed = asGradient(grad, 'the caller', op);
  const context = { op, shapes: [seed.shape, root.shape] };
  if (!sameShape(seed.shape, root.shape))
    throw new ShapeError(
      `the gradient ${format(seed.shape)} must have the shape ${format(root.shape)} of the tensor`,
      context,
    );
  if (seed.storage.device !== root.storage.device)
    throw new DeviceError(`the gradient is on ${seed.device} and the tensor on ${root.device}`, {
      ...context,
      advice: 'Move it with to(device)',
    });
  return seed;
}

/**
 * Computes the gradients of all leaves that this tensor was computed from and adds them to their .grad. The graph is released unless
 * retainGraph is set.
 * @param grad the gradient at this tensor; it may be left out for a tensor of one element
 */
export const backward = checked('backward', backwardSpecs, uncheckedBackward);
/** Runs backward() for the method, whose arguments are checked already. */
export function uncheckedBackward(root: Tensor, grad?: Tensor | null, options: BackwardOptions = {}): void {
  runBackward([root], [seedFor('backward', root, grad)], options, null);
}

/** The options of grad(). */
export interface GradOptions extends BackwardOptions {
  /** The gradients at the outputs. Default: 1 for outputs of one element. */
  gradOutputs?: readonly (Tensor | undefined)[];
  /** Return null for inputs that the outputs do not depend on, instead of throwing. */
  allowUnused?: boolean;
}

const listOf = (t: Tensor | readonly Tensor[]): readonly Tensor[] =>
  Array.isArray(t) ? (t as readonly Tensor[]) : [t as Tensor];

/**
 * Returns the gradients of outputs with respect to inputs, instead of adding them to .grad. With createGraph they can be differentiated
 * again.
 */
export const grad = checked(
  'autograd.grad',
  { outputs: tensorOrTensors, inputs: tensorOrTensors, options: gradOptions },
  doGrad,
);
function doGrad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options?: GradOptions & { allowUnused?: false },
): Tensor[];
function doGrad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions,
): (Tensor | null)[];
function doGrad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  const roots = listOf(outputs);
  const wanted = listOf(inputs);
  const found: (Tensor | null)[] = wanted.map(() => null);
  const capture = new Map<Node, ((grad: Tensor) => void)[]>() satisfies Capture;
  wanted.forEach((input, i) => {
    const node = nodeOf(input);
    if (node === null)
      throw new AutogradError(`input ${i} does not require a gradient`, { op: 'autograd.grad', shapes: [input.shape] });
    const takers = capture.get(node) ?? [];
    takers.push(g => (found[i] = g));
    capture.set(node, takers);
  });
  const given = options.gradOutputs ?? [];
  if (given.length > roots.length)
    throw new ArgumentError(`${given.length} gradients were given for ${roots.length} outputs`, {
      op: 'autograd.grad',
      advice: 'Give one in gradOutputs for each output',
    });
  const seeds = roots.map((root, i) => seedFor('autograd.grad', root, given[i]));
  runBackward(roots, seeds, options, capture);
  const missing = found.indexOf(null);
  if (missing >= 0 && !options.allowUnused)
    throw new AutogradError(`the outputs do not depend on input ${missing}`, {
      op: 'autograd.grad',
      advice: 'Pass { allowUnused: true } to get null for it',
    });
  return found;
}

/**
 * Calls hook with the gradient of this tensor during backward; a tensor that it returns replaces the gradient. Returns a function that
 * removes the hook.
 */
export function registerHook(t: Tensor, hook: Hook): () => void {
  const node = nodeOf(t);
  if (node === null)
    throw new AutogradError('a tensor that requires no gradient has none to hook', {
      op: 'registerHook',
      shapes: [t.shape],
    });
  noteHook(t, node);
  return node.addHook(hook);
}

/**
 * Makes backward fill .grad of a tensor that is not a leaf, with the gradient after all hooks.
 * @throws AutogradError for a tensor that does not require a gradient
 */
export function retainGrad<T extends Tensor>(t: T): T {
  const node = nodeOf(t);
  if (node === null)
    throw new AutogradError('the tensor does not require a gradient, so that there is none to retain', {
      op: 'retainGrad',
      shapes: [t.shape],
    });
  if (!isLeaf(t)) node.retain(t);
  return t;
}
