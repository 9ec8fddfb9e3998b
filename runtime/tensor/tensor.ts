import { ArgumentError, DeviceError, DisposedError, DTypeError, ShapeError } from '../errors.ts';
import { NAMED, shown } from '../shown.ts';
import { describe } from '../ffi/view.ts';
import { deviceName, type Device } from './device.ts';
import type { DType, DTypeInfo } from './dtype.ts';
import type { Mark } from './lossScale.ts';
import { format, isContiguous, numelOf, sameShape, stridesOf, type Shape } from './shape.ts';
import { allocate, disposedWhere, noteDisposed, type Storage } from './storage.ts';

/** The node of the graph that made a tensor, as far as the tensor needs it; autograd/node.ts has the whole. */
export interface GraphNode {
  /** For messages, such as MulBackward. */
  readonly name: string;
}

/** How a tensor was made as a view of another, so that it can follow when that is written to. */
export interface ViewMeta {
  /** The tensor at the start, itself no such view: it has the history of all the memory it shows. */
  readonly root: Tensor;
  /** root.recordedWrites at the time when the view got its node. */
  readonly seen: number;
  /** The root was rewritten since: gives the view the node that it has now. */
  refresh(view: Tensor): void;
}

/** The fields that few tensors need. They are kept apart because every op makes a tensor, and a small object costs less. */
class ExtraFields {
  grad: Tensor | null = null;
  cast: object | null = null;
  mark: Mark | null = null;
  recordedWrites = 0;
}

/**
 * An n-dimensional array on a device: a view (shape, strides, offset) of a storage, with the node that made it.
 * Its operations are installed from the op table by ops/methods.ts.
 */
export class Tensor<D extends DType = DType> {
  /** The memory that it shows; views of each other share one. */
  readonly storage: Storage;
  /** The sizes of its axes. */
  readonly shape: Shape;
  /** How far apart in memory the neighbours along each axis are, in elements. */
  readonly strides: Shape;
  /** Where its first element stands in the storage, in elements. */
  readonly offset: number;
  /** What is known of its dtype: size in bytes, category, and the typed array that data() returns. */
  readonly info: DTypeInfo;
  #node: GraphNode | null = null;
  /** For a view that follows its base; null for others, detached ones too. */
  viewMeta: ViewMeta | null = null;
  /** null for most tensors. */
  extra: ExtraFields | null = null;
  /** The tensor this one is a view of. */
  readonly base: Tensor | null;
  /** Number of elements. PyTorch: `numel()`. */
  readonly numel: number;
  #disposed = false;
  /** Is it row-major without gaps? null until somebody asks. */
  #contiguous: boolean | null = null;

  /** @internal Tensors are made by tensor(), zeros(), randn() and the like. */
  constructor(storage: Storage, shape: Shape, strides: Shape, offset: number, info: DTypeInfo, base: Tensor | null) {
    this.storage = storage;
    this.shape = shape;
    this.strides = strides;
    this.offset = offset;
    this.info = info;
    this.base = base;
    this.numel = numelOf(shape);
  }

  /** The node that backward visits; null when no gradient is wanted. The node of a leaf accumulates its gradient. */
  get node(): GraphNode | null {
    const { viewMeta } = this;
    if (viewMeta !== null && viewMeta.seen !== viewMeta.root.recordedWrites) viewMeta.refresh(this);
    return this.#node;
  }
  set node(node: GraphNode | null) {
    this.#node = node;
  }
  /** Has it a node? Unlike node, this never throws, and leaves a view as it is. */
  get recorded(): boolean {
    const { viewMeta } = this;
    return viewMeta !== null && viewMeta.seen !== viewMeta.root.recordedWrites
      ? viewMeta.root.recorded
      : this.#node !== null;
  }
  /** Filled by backward for leaves (and after retainGrad). A tensor of the same shape may be assigned, or null. */
  get grad(): Tensor | null {
    return this.extra === null ? null : this.extra.grad;
  }
  set grad(grad: Tensor | null) {
    if (grad != null) (this.extra ??= new ExtraFields()).grad = asGrad(this, grad);
    else if (this.extra !== null) this.extra.grad = null;
  }
  /** The 16-bit copy of a weight that was used last: quicker at hand here than in the cache of its autocast scope. */
  get cast(): object | null {
    return this.extra === null ? null : this.extra.cast;
  }
  set cast(cast: object | null) {
    (this.extra ??= new ExtraFields()).cast = cast;
  }
  /** The mark of a gradient: the loss scale that it carries. */
  get mark(): Mark | null {
    return this.extra === null ? null : this.extra.mark;
  }
  set mark(mark: Mark | null) {
    (this.extra ??= new ExtraFields()).mark = mark;
  }
  /** How many recorded in-place writes there were to it and to the views that follow it. */
  get recordedWrites(): number {
    return this.extra === null ? 0 : this.extra.recordedWrites;
  }
  set recordedWrites(recordedWrites: number) {
    (this.extra ??= new ExtraFields()).recordedWrites = recordedWrites;
  }
  /** The type of its elements: 'float32', 'int64', 'bool' ... */
  get dtype(): D {
    return this.info.name as D;
  }
  /** Where its memory is: 'cpu', or 'cuda:0' for the first GPU. */
  get device(): Device {
    return deviceName(this.storage.device);
  }
  /** Number of axes. PyTorch: `dim()`. */
  get rank(): number {
    return this.shape.length;
  }
  /** Number of axes, by PyTorch's name. */
  get ndim(): number {
    return this.shape.length;
  }
  /** Bytes of its elements (views share the memory of their base). */
  get nbytes(): number {
    return this.numel * this.info.bytes;
  }
  /** Is it laid out row-major without gaps? PyTorch: `is_contiguous()`. */
  get isContiguous(): boolean {
    return (this.#contiguous ??= isContiguous(this.shape, this.strides));
  }
  /** Is its dtype a floating one? PyTorch: `is_floating_point()`. */
  get isFloat(): boolean {
    return this.info.category === 'float';
  }
  /** Raised by every in-place write to its memory. */
  get version(): number {
    return this.storage.version;
  }
  /** Was its memory given back? */
  get disposed(): boolean {
    return this.#disposed || this.storage.handle === 0;
  }

  /**
   * Gives the memory back now. For a view only the view ends; for the tensor that made the memory, every view of it ends too.
   * What backward still needs stays until the graph is released.
   */
  dispose(): void {
    if (this.disposed) return;
    this.#disposed = true;
    if (this.base !== null) return;
    noteDisposed(this.storage);
    this.storage.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Is it an object that this class made? A Proxy of a tensor, such as a reactive framework makes, is an instance and yet none. */
  static isGenuine(value: unknown): value is Tensor {
    return typeof value === 'object' && value !== null && #disposed in value;
  }
  /** The name of the tensor in messages. */
  get [NAMED](): string {
    return 'a tensor';
  }

  /** Another tensor object on the same memory, without history. */
  alias(): Tensor<D> {
    return viewOf(this, this.shape, this.strides, this.offset) as Tensor<D>;
  }
}

/** @throws ArgumentError, ShapeError, DTypeError, DeviceError for what cannot be the gradient of a tensor */
function asGrad(owner: Tensor, grad: Tensor): Tensor {
  const { shape, info, device } = owner;
  const op = 'Tensor.grad';
  if (grad === owner)
    throw new ArgumentError('a tensor cannot be its own gradient', { op, advice: 'Assign a clone of it' });
  if (!isTensor(grad))
    throw new ArgumentError(`a gradient cannot be ${shown(grad)}`, { op, advice: 'Assign a tensor or null' });
  const context = { op, shapes: [shape, grad.shape], dtypes: [info.name, grad.info.name] };
  if (!sameShape(shape, grad.shape))
    throw new ShapeError(`the gradient of a tensor ${format(shape)} cannot be ${format(grad.shape)}`, context);
  if (info !== grad.info)
    throw new DTypeError(`the gradient of a ${info.name} tensor cannot be ${grad.info.name}`, context);
  if (device !== grad.device)
    throw new DeviceError(`the gradient of a tensor on ${device} cannot be on ${grad.device}`, context);
  return grad;
}

/** A view of a tensor's memory in another shape; not recorded for backward. */
export const viewOf = (t: Tensor, shape: Shape, strides: Shape, offset: number): Tensor =>
  new Tensor(t.storage, shape, strides, offset, t.info, t.base ?? t);

/** New memory in row-major order, contents undefined. */
export function empty(shape: Shape, info: DTypeInfo, device: number): Tensor {
  return new Tensor(allocate(numelOf(shape) * info.bytes, device), shape, stridesOf(shape), 0, info, null);
}

/** Like another tensor, which spares computing the strides again. */
export function emptyLike(t: Tensor, info: DTypeInfo): Tensor {
  const { numel } = t;
  // Strides of a tensor without elements may be anything.
  if (numel === 0 || !t.isContiguous) return empty(t.shape, info, t.storage.device);
  return new Tensor(allocate(numel * info.bytes, t.storage.device), t.shape, t.strides, 0, info, null);
}

/** Writes the view of a tensor into a slot that a native call reads. Returns the address of the slot. @throws DisposedError */
export function writeView(slot: number, t: Tensor, op: string): number {
  if (t.disposed) assertLive(t, op);
  return describe(slot, t);
}
/** Writes the views of several tensors into the slots from `first` on. */
export const writeViews = <const T extends readonly Tensor[]>(
  tensors: T,
  op: string,
  first = 0,
): { readonly [I in keyof T]: number } =>
  tensors.map((t, i) => writeView(first + i, t, op)) as unknown as { readonly [I in keyof T]: number };

/** @throws DisposedError saying, in leak mode, where it was disposed */
export function assertLive(t: Tensor, op?: string): void {
  if (!t.disposed) return;
  const stack = disposedWhere(t.storage);
  const where = stack === null ? '' : `, disposed at\n${stack}\n`;
  throw new DisposedError(`a tensor of shape [${t.shape.join(', ')}] was used after it was disposed${where}`, {
    ...(op && { op }),
    shapes: [t.shape],
    dtypes: [t.dtype],
  });
}

/** Number, truth value or tensor as an operand; null is an operand that was left out. */
export type Operand = Tensor | number | null;
/** Is it a tensor? A Proxy of one, such as a reactive framework makes, is none. */
export const isTensor = Tensor.isGenuine;
