import { ArgumentError, AutogradError, DeviceError, DisposedError, DTypeError, ShapeError } from '../errors.ts';
import { NAMED, shown } from '../shown.ts';
import { describeIn } from '../ffi/view.ts';
import { deviceName, type Device } from './device.ts';
import type { DType, DTypeInfo } from './dtype.ts';
import type { Mark } from './lossScale.ts';
import { format, Layout, numelOf, sameShape, stridesOf, type Shape } from './shape.ts';
import { allocate, disposedWhere, noteDisposed, type Storage } from './storage.ts';

/** The part of a graph node that its tensor needs; autograd/node.ts has the whole class. */
export interface GraphNode {
  /** The name for messages, such as MulBackward. */
  readonly name: string;
}

/** The origin of a view, from which it gets a new node after the tensor that it is a view of was written to. */
export interface ViewMeta {
  /** The tensor at the start of a chain of views, which is not such a view itself: it has the history of all the memory it shows. */
  readonly root: Tensor;
  /** The value of root.recordedWrites when the view got its node. */
  readonly seen: number;
  /** Gives the view a new node, after the root was written to. */
  refresh(view: Tensor): void;
}

/** The fields that only few tensors need. They are kept apart because every op makes a tensor, and a small object is faster to make. */
class ExtraFields {
  grad: Tensor | null = null;
  cast: object | null = null;
  mark: Mark | null = null;
  recordedWrites = 0;
}

/**
 * An n-dimensional array on a device: a view (shape, strides, offset) of a storage, with the graph node that made it. Its operations are
 * installed from the op table by ops/methods.ts.
 */
export class Tensor<D extends DType = DType> {
  /** The memory that it shows. Views of each other share one storage. */
  readonly storage: Storage;
  /** The sizes, strides and offset of the tensor. Several tensors may share the object: an op gives its result the layout of an operand where it can. */
  readonly layout: Layout;
  /** The properties of its dtype: size in bytes, category, and the typed array that data() returns. */
  readonly info: DTypeInfo;
  #node: GraphNode | null = null;
  /** The origin of a view that follows writes to its base; null for other tensors, also for detached views. */
  viewMeta: ViewMeta | null = null;
  /** The fields that only few tensors need; null for most tensors. */
  extra: ExtraFields | null = null;
  /** The tensor that this one is a view of, or null. */
  readonly base: Tensor | null;
  #disposed = false;

  /** @internal Tensors are made by tensor(), zeros(), randn() and the like. */
  constructor(storage: Storage, layout: Layout, info: DTypeInfo, base: Tensor | null) {
    this.storage = storage;
    this.layout = layout;
    this.info = info;
    this.base = base;
  }

  /** The sizes of its axes. */
  get shape(): Shape {
    return this.layout.shape;
  }
  /** The distance in memory between neighbours along each axis, in elements. */
  get strides(): Shape {
    return this.layout.strides;
  }
  /** The position of its first element in the storage, in elements. */
  get offset(): number {
    return this.layout.offset;
  }
  /** The number of elements. PyTorch: `numel()`. */
  get numel(): number {
    return this.layout.numel;
  }

  /** The node that backward visits; null if it requires no gradient. The node of a leaf accumulates its gradient. */
  get node(): GraphNode | null {
    const { viewMeta } = this;
    if (viewMeta !== null && viewMeta.seen !== viewMeta.root.recordedWrites) viewMeta.refresh(this);
    return this.#node;
  }
  set node(node: GraphNode | null) {
    this.#node = node;
  }
  /** Does it have a node? Unlike node, this never throws, and leaves a view as it is. */
  get recorded(): boolean {
    const { viewMeta } = this;
    return viewMeta !== null && viewMeta.seen !== viewMeta.root.recordedWrites
      ? viewMeta.root.recorded
      : this.#node !== null;
  }
  /** The gradient, which backward adds to for leaves (and after retainGrad). A tensor of the same shape may be assigned, or null. */
  get grad(): Tensor | null {
    return this.extra === null ? null : this.extra.grad;
  }
  set grad(grad: Tensor | null) {
    if (grad != null) (this.extra ??= new ExtraFields()).grad = asGrad(this, grad);
    else if (this.extra !== null) this.extra.grad = null;
  }
  /** The 16-bit copy of a weight that was used last, which is found faster here than in the cache of its autocast scope. */
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
  /** The number of recorded in-place writes to it and to the views that follow it. */
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
  /** The device of its memory: 'cpu', or 'cuda:0' for the first GPU. */
  get device(): Device {
    return deviceName(this.storage.device);
  }
  /** The number of axes. PyTorch: `dim()`. */
  get rank(): number {
    return this.layout.shape.length;
  }
  /** The number of axes, by PyTorch's name. */
  get ndim(): number {
    return this.layout.shape.length;
  }
  /** The size of its elements in bytes. (Views share the memory of their base.) */
  get nbytes(): number {
    return this.layout.numel * this.info.bytes;
  }
  /** Is it laid out row-major without gaps? PyTorch: `is_contiguous()`. */
  get isContiguous(): boolean {
    return this.layout.contiguous;
  }
  /** Does it have a floating dtype? PyTorch: `is_floating_point()`. */
  get isFloat(): boolean {
    return this.info.category === 'float';
  }
  /** The number of in-place writes to its memory. @throws AutogradError for an inference tensor, which has no such number */
  get version(): number {
    if (this.storage.inference)
      throw new AutogradError('the writes to an inference tensor are not counted', {
        op: 'version',
        shapes: [this.shape],
        dtypes: [this.dtype],
        advice: 'Look at isInference first; a clone() made outside of inferenceMode() is a normal tensor',
      });
    return this.storage.version;
  }
  /** Was its memory allocated inside of inferenceMode()? Then it can never take part in backward. PyTorch: `is_inference()`. */
  get isInference(): boolean {
    return this.storage.inference;
  }
  /** Was its memory freed? */
  get disposed(): boolean {
    return this.#disposed || this.storage.handle === 0;
  }

  /**
   * Frees the memory now. For a view, only the view ends; for the tensor that made the memory, every view of it ends too. Memory that
   * backward still needs stays until the graph is released.
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

  /**
   * Is it an object that this class made? A Proxy of a tensor, such as a reactive framework makes, is an instance but was not made here.
   */
  static isGenuine(value: unknown): value is Tensor {
    return typeof value === 'object' && value !== null && #disposed in value;
  }
  /** Returns the name of the tensor in messages. */
  get [NAMED](): string {
    return 'a tensor';
  }

  /** Returns another tensor object on the same memory, without history. */
  alias(): Tensor<D> {
    return shownAs(this, this.layout) as Tensor<D>;
  }
}

/** Returns a tensor as the gradient of another. @throws ArgumentError, ShapeError, DTypeError, DeviceError if it cannot be the gradient */
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

/** Returns a view of a tensor's memory in another layout. It is not recorded for backward. */
export const shownAs = (t: Tensor, layout: Layout): Tensor => new Tensor(t.storage, layout, t.info, t.base ?? t);
export const viewOf = (t: Tensor, shape: Shape, strides: Shape, offset: number): Tensor =>
  shownAs(t, new Layout(shape, strides, offset));

/** Allocates a tensor in row-major order with undefined contents. */
export function empty(shape: Shape, info: DTypeInfo, device: number): Tensor {
  return new Tensor(allocate(numelOf(shape) * info.bytes, device), new Layout(shape, stridesOf(shape), 0), info, null);
}

/** Allocates a tensor of the shape of another one, and reuses its layout, which is faster than computing it. */
export function emptyLike({ layout, storage }: Tensor, info: DTypeInfo, device = storage.device): Tensor {
  if (!layout.flat) return empty(layout.shape, info, device);
  return new Tensor(allocate(layout.numel * info.bytes, device), layout, info, null);
}

/** Writes the view of a tensor into a slot that a native call reads. Returns the address of the slot. @throws DisposedError */
export function writeView(slot: number, t: Tensor, op: string): number {
  if (t.disposed) assertLive(t, op);
  const { shape, strides, offset } = t.layout;
  return describeIn(slot, t.storage.handle, t.info.code, shape, strides, offset);
}
/** Writes the views of several tensors into the slots from `first` on. Returns the addresses of the slots. */
export const writeViews = <const T extends readonly Tensor[]>(
  tensors: T,
  op: string,
  first = 0,
): { readonly [I in keyof T]: number } =>
  tensors.map((t, i) => writeView(first + i, t, op)) as unknown as { readonly [I in keyof T]: number };

/** @throws DisposedError for a disposed tensor, which in leak mode says where it was disposed */
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

/** An operand: a tensor, a number, or null for an operand that is left out. */
export type Operand = Tensor | number | null;
/** Is it a tensor? A Proxy of a tensor, such as a reactive framework makes, is not. */
export const isTensor = Tensor.isGenuine;
