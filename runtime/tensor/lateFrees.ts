import { setTimeout } from 'node:timers';
import { ffi } from '#ffi';
import { warn } from './warnings.ts';

/** The bytes that code may make without giving the event loop a turn before it is warned. */
const LIMIT = 2 ** 30;
/**
 * The bytes of an ArrayBuffer that is made to press for a collection, and the number of turns in which one is made. Several collections
 * are needed, because the first look at young objects only.
 */
const [PRESSURE, TURNS] = [64 * 2 ** 20, 24];

/**
 * The safety net where the engine does not let its collector be called. Nothing can be freed within synchronous code there. On the event
 * loop a FinalizationRegistry tells which storages are gone; and since the engine knows nothing of native memory, an ArrayBuffer in each
 * of the next turns presses it to collect.
 */
export class LateFrees {
  readonly #registry: FinalizationRegistry<number>;
  /**
   * It is created here and not when it is first needed: a timer keeps the async context in which it was created, and so every tensor of a
   * tidy scope.
   */
  readonly #turn = setTimeout(() => this.#press(), 0).unref();
  #bytes = 0;
  #turns = 0;
  #warned = false;

  /** @param free frees the storage that was at a position of the table */
  constructor(free: (slot: number) => void) {
    this.#registry = new FinalizationRegistry(free);
  }

  watch(storage: object, slot: number): void {
    this.#registry.register(storage, slot, storage);
  }
  unwatch(storage: object): void {
    this.#registry.unregister(storage);
  }

  /** Notes that so many bytes were made since the last time. */
  note(bytes: number): void {
    this.#bytes += bytes;
    this.#turns = TURNS;
    this.#turn.refresh();
    if (this.#bytes < LIMIT || this.#warned) return;
    this.#warned = true;
    warn(
      'CASTOR_NOTHING_COLLECTED',
      `${(this.#bytes / 2 ** 30).toFixed(1)} GB of tensors were made without a turn of the event loop, and this runtime frees unused tensors only there. Wrap each step in tidy(), dispose of tensors, or await a timer now and then`,
    );
  }

  #press(): void {
    this.#bytes = 0;
    if (this.#turns === 0) return;
    this.#turns--;
    new ArrayBuffer(PRESSURE);
    this.#turn.refresh();
  }
}

/** Returns null where the collector can be called. */
export const lateFrees = (free: (slot: number) => void): LateFrees | null =>
  ffi.collect === null ? new LateFrees(free) : null;
