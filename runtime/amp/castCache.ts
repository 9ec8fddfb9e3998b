import { isLeaf, Node } from '../autograd/node.ts';
import { current, withInner } from '../context.ts';
import type { DTypeInfo } from '../tensor/dtype.ts';
import { pack } from '../tensor/read.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** The edge from one use of a cached copy back to its weight. The engine converts the gradient, so each use is summed in float32. */
class CastNode extends Node {
  constructor(weight: Tensor, copy: Tensor) {
    super([weight.node], copy);
  }
  get name(): string {
    return 'ToBackward';
  }
  apply(grad: Tensor): readonly Tensor[] {
    return [grad];
  }
  release(): void {}
}

interface Entry {
  readonly version: number;
  readonly copy: Tensor;
}

/** 16-bit copies of weights, made once in an outermost autocast scope and given back at its end. */
export class CastCache {
  readonly #byDType = new Map<DTypeInfo, WeakMap<Tensor, Entry>>();
  readonly #copies = new Set<Tensor>();

  /** float32 leaves that want a gradient, and frozen parameters; no views, no intermediate results. */
  static accepts(t: Tensor): boolean {
    return t.info.name === 'float32' && t.base === null && isLeaf(t) && (t.node !== null || t.storage.kept);
  }

  /** The copy of a weight in a dtype: made now, or found when the weight has not changed since. Data only; history is per use. */
  cast(weight: Tensor, info: DTypeInfo): Tensor {
    let entries = this.#byDType.get(info);
    if (!entries) this.#byDType.set(info, (entries = new WeakMap()));
    let entry = entries.get(weight);
    if (!entry || entry.version !== weight.storage.version || entry.copy.disposed) {
      if (entry) this.#drop(entry.copy);
      // Outside every tidy scope: the cache is its owner.
      const copy = withInner({ ...current(), scope: null }, () => pack(weight, info), undefined);
      entry = { version: weight.storage.version, copy };
      entries.set(weight, entry);
      this.#copies.add(copy);
    }
    const use = entry.copy.alias();
    if (current().grad && weight.node !== null) use.node = new CastNode(weight, use);
    return use;
  }

  #drop(copy: Tensor): void {
    this.#copies.delete(copy);
    copy.dispose();
  }

  dispose(): void {
    for (const copy of this.#copies) copy.dispose();
    this.#copies.clear();
  }
}
