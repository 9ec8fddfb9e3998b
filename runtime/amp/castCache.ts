import { isLeaf, Node, nodeOf } from '../autograd/node.ts';
import { current, innerMode, modeWith, withInner, type WorkStream } from '../context.ts';
import { forgetPanels } from '../dispatch/packed.ts';
import { noteDerived } from '../tensor/graphCapture.ts';
import { float32, type DTypeInfo } from '../tensor/dtype.ts';
import { contiguousCopy } from '../tensor/read.ts';
import { shownAs, type Tensor } from '../tensor/tensor.ts';
import { WeakList } from '../tensor/weakList.ts';
import type { Notes } from './report.ts';

/**
 * The graph node that leads from a copy that autocast made back to the original tensor. The gradient of the copy is float32, whatever
 * the dtype of the copy: matrix products sum in float32 and then need not round, and the gradients of several uses add up in float32.
 */
class CastNode extends Node {
  constructor(of: Tensor, copy: Tensor) {
    super([nodeOf(of)], copy, float32);
  }
  get name(): string {
    return 'ToBackward';
  }
  apply(grad: Tensor): readonly Tensor[] {
    return [grad];
  }
  release(): void {}
}

/** Records the copy that autocast made of a tensor, if `grad` is true and the tensor requires a gradient. */
export function recordCast(of: Tensor, copy: Tensor, grad: boolean): void {
  if (grad && of.node !== null) copy.node = new CastNode(of, copy);
}

/** Is a weight the whole of its memory in row-major order? Then its copy has the same strides, and a view of it has a view of the copy. */
const isWhole = (weight: Tensor): boolean => weight.isContiguous && weight.offset === 0 && !weight.disposed;

/** The copy of a weight in one dtype. `next` is a copy of the weight in another dtype. */
export interface Cast {
  readonly cache: CastCache;
  readonly info: DTypeInfo;
  version: number;
  copy: Tensor;
  /** The stream that makes the copy; null if it was made at once. A stream may be cancelled, so that no other one takes it. */
  stream: WorkStream | null;
  readonly next: Cast | null;
}

/** Is the copy there, or will it be before the work that asks for it? */
const isMade = ({ copy, stream }: Cast): boolean => !copy.disposed && (stream === null || stream === current().stream);

const isLive = ({ disposed }: Tensor): boolean => !disposed;
/** The copies that a cache made. Those that live as long as their weights, which hold them, are held weakly. */
interface Copies extends Iterable<Tensor> {
  add(copy: Tensor): void;
  delete(copy: Tensor): void;
}
/**
 * The 16-bit copies of weights. Those of an outermost autocast scope are made once in it and freed at its end. In inference mode all scopes
 * share one cache that stays: its copies are made again after a write to the weight, and freed with it.
 */
export class CastCache {
  /** #casts and #copies are null until the first copy is made, because many scopes make none. */
  #casts: WeakMap<Tensor, Cast> | null = null;
  #copies: Copies | null = null;
  #closed = false;
  /** Does it stay when a scope ends? Then it holds its copies weakly. */
  readonly #stays: boolean;

  constructor(stays = false) {
    this.#stays = stays;
  }

  /**
   * Returns the 16-bit copy of a weight: the one in the cache if the weight has not changed since, else a new one. If a gradient is
   * wanted, it is a view of the copy with a graph node of its own. null if the cache does not keep copies of this tensor.
   */
  cast(t: Tensor, info: DTypeInfo, grad: boolean, report: Notes | null): Tensor | null {
    const weight = t.base ?? t;
    const cast = weight.cast as Cast | null;
    const found = cast !== null && cast.cache === this && cast.info === info ? cast : this.#find(weight, info);
    // A cached copy is valid as long as nobody has written to the weight.
    const hit = found !== null && found.version === weight.storage.version && isMade(found) ? found.copy : null;
    if (t.disposed || (hit === null && !this.#accepts(weight)) || (t !== weight && !isWhole(weight))) return null;
    if (this.#stays) noteDerived(weight.storage, 'autocast', hit !== null);
    const copy = hit ?? this.#renew(weight, info, found);
    if (report !== null) report.noteCast(weight, copy, hit === null ? 'miss' : 'hit');
    const recorded = grad && t.node !== null;
    if (t === weight && !recorded) return copy;
    const use = shownAs(copy, t.layout);
    recordCast(t, use, grad);
    return use;
  }

  /**
   * Are copies of this tensor kept? They are for float32 leaves that require a gradient, for frozen parameters, and for views of either:
   * the copy of a transposed weight is the transpose of the copy. They are not for intermediate results, nor after the scope has ended,
   * because a stream that was made in it may still run.
   */
  #accepts(weight: Tensor): boolean {
    return !this.#closed && weight.info === float32 && isLeaf(weight) && (weight.node !== null || weight.storage.kept);
  }

  #find(weight: Tensor, info: DTypeInfo): Cast | null {
    let cast = this.#casts?.get(weight) ?? null;
    while (cast !== null && cast.info !== info) cast = cast.next;
    if (cast !== null) weight.cast = cast;
    return cast;
  }

  #renew(weight: Tensor, info: DTypeInfo, old: Cast | null): Tensor {
    const { version } = weight.storage;
    const stream = this.#stays ? null : current().stream;
    const copy = this.#copyOf(weight, info);
    if (old === null) {
      const cast: Cast = { cache: this, info, version, copy, stream, next: this.#casts?.get(weight) ?? null };
      weight.cast = cast;
      (this.#casts ??= new WeakMap()).set(weight, cast);
    } else {
      this.#drop(old.copy);
      old.version = version;
      old.copy = copy;
      old.stream = stream;
    }
    return copy;
  }

  /**
   * Makes a copy outside of every tidy scope, because the cache owns it. One that outlives the scope is made at once, because a stream may be
   * cancelled.
   */
  #copyOf(weight: Tensor, info: DTypeInfo): Tensor {
    const inner = innerMode(current(), { scope: null });
    const mode = this.#stays ? modeWith(inner, { stream: null }) : inner;
    const copy = withInner(mode, () => contiguousCopy(weight, info), undefined);
    copy.storage.kept = true;
    (this.#copies ??= this.#stays ? new WeakList<Tensor>(isLive) : new Set()).add(copy);
    return copy;
  }

  /** Frees the copies of a weight. */
  forget(weight: Tensor): void {
    for (let cast = this.#casts?.get(weight) ?? null; cast !== null; cast = cast.next) this.#drop(cast.copy);
    this.#casts?.delete(weight);
  }

  #drop(copy: Tensor): void {
    this.#copies?.delete(copy);
    forgetPanels(copy);
    copy.dispose();
  }

  /** Frees the copies. The next use of a weight makes a new one. */
  clear(): void {
    for (const copy of this.#copies ?? []) copy.dispose();
    this.#copies = null;
  }
  /** Frees the copies at the end of the scope and keeps none from then on. A cache that stays keeps them. */
  close(): void {
    if (this.#stays) return;
    this.#closed = true;
    this.clear();
  }
}

/** The cache of all scopes in inference mode. */
export const persistentCasts = new CastCache(true);

/** Frees the copies that outlive scopes of a weight whose memory has changed its dtype or device. */
export function forgetCasts(weight: Tensor): void {
  persistentCasts.forget(weight);
  weight.cast = null;
}
