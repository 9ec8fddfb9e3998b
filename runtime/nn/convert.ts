import { forgetCasts } from '../amp/castCache.ts';
import { detach } from '../autograd/autograd.ts';
import { isLeaf, LeafNode } from '../autograd/node.ts';
import { current, modeWith, withInner } from '../context.ts';
import { forgetPanels } from '../dispatch/packed.ts';
import { AutogradError, DTypeError } from '../errors.ts';
import { to, type Placement } from '../ops/views.ts';
import { shown } from '../shown.ts';
import { deviceCode, deviceName, type Device } from '../tensor/device.ts';
import { dtypeInfo, isDType, type DType, type FloatDType } from '../tensor/dtype.ts';
import { refuseInGraph } from '../tensor/graphCapture.ts';
import { carryOn } from '../tensor/lossScale.ts';
import { replaceMemory } from '../tensor/share.ts';
import type { Storage } from '../tensor/storage.ts';
import { assertLive, isTensor, type Tensor } from '../tensor/tensor.ts';
import { walk } from './members.ts';

/** A floating dtype, a device, or both. */
export interface ModulePlacement {
  /** The dtype of floating parameters and buffers. Default: each keeps its own. */
  dtype?: FloatDType;
  /** The device of all parameters and buffers. Default: each stays where it is. */
  device?: Device;
}
/** The argument of a module's to(): a floating dtype, a device, both as an object, or a tensor that has them. */
export type ModuleDestination = FloatDType | Device | ModulePlacement | Tensor;

const OP = 'Module.to';

/** Reads the arguments of to(). @throws DTypeError for a dtype that is not floating, DeviceError for an unknown device */
export function placementOf(destination: ModuleDestination, dtype: FloatDType | undefined): Placement {
  const placement = placementIn(destination, dtype);
  if (placement.dtype !== undefined) checkFloat(placement.dtype);
  if (placement.device !== undefined) deviceCode(placement.device, OP);
  return placement;
}
function placementIn(destination: ModuleDestination, dtype: FloatDType | undefined): Placement {
  if (dtype !== undefined) {
    if (typeof destination === 'string' && !isDType(destination)) return { device: destination, dtype };
    throw new DTypeError(`a dtype cannot be the second argument after ${shown(destination)}`, {
      op: OP,
      advice: "Pass the device first, to('cuda', 'bfloat16'), or both as an object",
    });
  }
  if (isTensor(destination)) return { dtype: destination.dtype, device: destination.device };
  if (typeof destination === 'object') return { ...destination };
  return isDType(destination) ? { dtype: destination } : { device: destination as Device };
}
function checkFloat(dtype: DType): void {
  if (dtypeInfo(dtype, OP).category === 'float') return;
  throw new DTypeError(`a model cannot become ${dtype}: only its floating parameters and buffers are converted`, {
    op: OP,
    dtypes: [dtype],
    advice:
      "Pass 'float32', 'bfloat16', 'float16' or 'float64'. A single tensor converts to any dtype with its own to()",
  });
}

/** A tensor of a model, and the dtype and device that it gets. */
interface Move {
  readonly t: Tensor;
  readonly to: Required<Placement>;
}

/**
 * Converts the parameters and buffers of a model in place, each with its gradient. Everything is checked first; they are converted one after
 * the other, so that never more than one is there twice.
 */
export function moveModel(model: object, placement: Placement): void {
  refuseInGraph(
    OP,
    'a graph cannot convert a model: its replays would use the memory from before',
    'Convert it before',
  );
  const moves = [...movesOf(model, placement)];
  for (const { t } of moves) checkMovable(t);
  const users = new Users(moves);
  for (const move of moves) convert(move, users);
}

/**
 * The users of each memory: several parameters, buffers and gradients may show one, and the last that is converted frees it. Memory that none
 * of them made, because all are views of it, stays its tensor's.
 */
class Users {
  readonly #left = new Map<Storage, number>();
  readonly #own = new Set<Storage>();

  constructor(moves: readonly Move[]) {
    const gradients = moves.map(({ t }) => t.grad).filter(grad => grad !== null && !grad.recorded) as Tensor[];
    for (const { storage, base } of new Set([...moves.map(({ t }) => t), ...gradients])) {
      this.#left.set(storage, (this.#left.get(storage) ?? 0) + 1);
      if (base === null) this.#own.add(storage);
    }
  }
  /** Notes that one of them shows other memory now. */
  leave(storage: Storage): void {
    const left = this.#left.get(storage)! - 1;
    this.#left.set(storage, left);
    if (left === 0 && this.#own.has(storage)) storage.dispose();
  }
}

function* movesOf(model: object, { dtype, device }: Placement): Generator<Move> {
  for (const { value, role } of walk(model)) {
    if (role === null) continue;
    const t = value as Tensor;
    assertLive(t, OP);
    const wanted = { dtype: dtype !== undefined && t.isFloat ? dtype : t.dtype, device: device ?? t.device };
    // Another model may have the same gradient, and have converted it.
    if (!isThere(t, wanted) || (t.grad && !isThere(t.grad, wanted))) yield { t, to: wanted };
  }
}
const isThere = (t: Tensor, { dtype, device }: Required<Placement>): boolean =>
  dtype === t.dtype && deviceCode(device, OP) === t.storage.device;

function checkMovable(t: Tensor): void {
  if (t.grad) assertLive(t.grad, OP);
  if (isLeaf(t)) return;
  throw new AutogradError('a buffer that is the result of a recorded op cannot be converted in place', {
    op: OP,
    shapes: [t.shape],
    advice: 'Assign buffer.detach(), or compute it in noGrad()',
  });
}

/** Converts a tensor and its gradient, of which either may be converted already as another's gradient. Both copies are made first. */
function convert({ t, to: wanted }: Move, users: Users): void {
  const { grad } = t;
  const newGrad = grad && !isThere(grad, wanted) ? copyOf(grad, wanted) : null;
  if (!isThere(t, wanted)) replace(t, copyOf(t, wanted), users);
  if (newGrad === null) return;
  // A gradient keeps its object as well, unless it has a graph, which belongs to the values from before.
  if (grad!.recorded) t.grad = newGrad;
  else carryOn([grad!], () => replace(grad!, newGrad, users));
}

function replace(t: Tensor, made: Tensor, users: Users): void {
  const { storage, node } = t;
  replaceMemory(t, made);
  forgetCasts(t);
  forgetPanels(t);
  if (node instanceof LeafNode) t.node = node.movedTo(t);
  users.leave(storage);
}

/** Copies a tensor to another dtype or device. The memory belongs to no scope, and is there at once, whatever becomes of a stream. */
function copyOf(t: Tensor, wanted: Required<Placement>): Tensor {
  const mode = current();
  // Converting a model in inference mode leaves one that can be trained.
  const inference = mode.inference && t.storage.inference;
  const alone = { grad: false, inference, autocast: null, scope: null, trace: null, stream: null };
  const copy = withInner(modeWith(mode, { ...alone, user: mode.user ?? mode }), () => to(detach(t), wanted), undefined);
  copy.storage.kept = true;
  return copy;
}
