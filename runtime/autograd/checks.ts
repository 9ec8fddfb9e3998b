import { ArgumentError, AutogradError, DeviceError, DTypeError, ShapeError } from '../errors.ts';
import { shown } from '../shown.ts';
import { format, sameShape } from '../tensor/shape.ts';
import { assertLive, isTensor, type Tensor } from '../tensor/tensor.ts';
import type { Node } from './node.ts';

/** Returns a gradient that user code returned, after checking it. @throws ArgumentError unless it is a tensor that has not been disposed */
export function asGradient(value: unknown, who: string, op: string): Tensor {
  if (isTensor(value)) {
    assertLive(value, op);
    return value;
  }
  const advice =
    value instanceof Promise
      ? 'Backward is synchronous: make it a function that is not async'
      : 'Return a tensor, or null or nothing if there is no gradient';
  throw new ArgumentError(`${who} returned ${shown(value)}, not a gradient`, { op, advice });
}

const isNamed = (name: string): boolean => name !== '' && name !== 'anonymous';

/**
 * Returns the gradient that a hook returned in place of another, after checking it.
 * @throws ArgumentError, ShapeError, DTypeError or DeviceError unless it is a tensor of the shape, dtype and device of the gradient it
 * replaces
 */
export function replacement(value: unknown, hook: { readonly name: string }, node: Node): Tensor {
  const op = node.name;
  const who = isNamed(hook.name) ? `hook '${hook.name}'` : 'a hook';
  const grad = asGradient(value, who, op);
  const { shape, info, device } = node;
  const context = { op, shapes: [grad.shape, shape], dtypes: [grad.dtype, info.name] };
  if (!sameShape(grad.shape, shape))
    throw new ShapeError(`${who} returned a gradient of shape ${format(grad.shape)} for a tensor of ${format(shape)}`, {
      ...context,
      advice: 'A hook must keep shape, dtype and device of the gradient',
    });
  if (grad.info !== info)
    throw new DTypeError(`${who} returned a ${grad.dtype} gradient for a ${info.name} tensor`, {
      ...context,
      advice: `Convert it with to('${info.name}')`,
    });
  if (grad.storage.device !== device)
    throw new DeviceError(`${who} returned a gradient on ${grad.device}, which is not the device of the tensor`, {
      ...context,
      advice: 'Move it back with to(device)',
    });
  return grad;
}

/** Can a gradient of this shape be summed to the shape of its tensor, as the gradient of a broadcast operand is? */
function sumsTo(from: readonly number[], to: readonly number[]): boolean {
  const lead = from.length - to.length;
  return lead >= 0 && to.every((size, i) => size === from[lead + i] || size === 1);
}

/**
 * Returns a gradient that the backward of a custom function returned for one argument, after checking it. The engine sums broadcast axes
 * and converts dtypes, as for built-in ops.
 * @throws ArgumentError, ShapeError or DeviceError if that is not possible
 */
export function fromCustom(value: unknown, i: number, op: string, { shape, device }: Node): Tensor {
  const grad = asGradient(value, `backward, for argument ${i},`, op);
  if (!sumsTo(grad.shape, shape))
    throw new ShapeError(
      `backward returned a gradient of shape ${format(grad.shape)} for argument ${i} of shape ${format(shape)}`,
      { op, shapes: [grad.shape, shape], advice: 'It must have that shape, or one that this shape broadcasts to' },
    );
  if (grad.storage.device !== device && grad.rank > 0)
    throw new DeviceError(`backward returned a gradient on ${grad.device} for argument ${i} on another device`, {
      op,
      shapes: [grad.shape],
      advice: 'Move it with to(device)',
    });
  return grad;
}

/** @throws AutogradError unless backward returned one gradient for each argument; further values must be null */
export function checkCount(grads: readonly unknown[], wanted: number, op: string): void {
  const extra = grads.slice(wanted).some(grad => grad !== null && grad !== undefined);
  if (grads.length < wanted || extra)
    throw new AutogradError(`backward returned ${grads.length} gradients for ${wanted} arguments`, {
      op,
      advice: 'Return one for each argument of forward; null for those that need none',
    });
}
