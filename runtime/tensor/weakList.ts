/** Objects that the list does not keep alive. The references to those that are gone are dropped when the list has doubled. */
export class WeakList<T extends object> implements Iterable<T> {
  #references: WeakRef<T>[] = [];
  #prunedAt = 64;
  readonly #lives: (item: T) => boolean;

  /** Items that do not live any more, though they are not collected, are dropped as well. */
  constructor(lives: (item: T) => boolean = () => true) {
    this.#lives = lives;
  }

  add(item: T): void {
    if (this.#references.length >= this.#prunedAt) this.#keep(() => true);
    this.#references.push(new WeakRef(item));
  }
  delete(item: T): void {
    this.#keep(other => other !== item);
  }
  #keep(stays: (item: T) => boolean): void {
    this.#references = this.#references.filter(reference => {
      const item = reference.deref();
      return item !== undefined && this.#lives(item) && stays(item);
    });
    this.#prunedAt = Math.max(64, 2 * this.#references.length);
  }
  *[Symbol.iterator](): Generator<T> {
    for (const reference of this.#references) {
      const item = reference.deref();
      if (item !== undefined) yield item;
    }
  }
}
