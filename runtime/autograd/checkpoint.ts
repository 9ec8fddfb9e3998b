import { any, callable, checked, rest } from '../arguments.ts';
import { current, isGenerator, isThenable, withMode } from '../context.ts';
import { ArgumentError, AutogradError } from '../errors.ts';
import { Generator, generator } from '../tensor/generator.ts';
import { Scope, tidy } from '../tensor/scope.ts';
import type { Storage } from '../tensor/storage.ts';
import { sameShape } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { changed, restored } from './node.ts';
import { listen, type Heard, type OpNode, type Recomputed } from './record.ts';
import { shown } from '../shown.ts';

/** Do two nodes come from the same op, with results of one shape and dtype? */
const isTwin = (a: OpNode, b: OpNode): boolean => a.op === b.op && a.info === b.info && sameShape(a.shape, b.shape);

/** The part of a graph whose saved values are not kept but computed again when backward gets there. */
class Frame implements Recomputed {
  readonly #again: () => unknown;
  readonly #mode = current();
  readonly #random = generator().state();
  readonly #arguments: Tensor[];
  /** What the function reads and has not made, with its version. */
  readonly #reads = new Map<Tensor, number>();
  #nodes: readonly OpNode[] = [];
  #waiting = 0;

  constructor(again: () => unknown, args: readonly unknown[]) {
    this.#again = again;
    this.#arguments = args.filter(isTensor);
    for (const arg of this.#arguments) {
      arg.storage.hold();
      this.#reads.set(arg, arg.storage.version);
    }
  }

  /**
   * Takes over what the first run recorded. `made` are the storages of that run, freed ones left out. What it read and then wrote
   * itself, such as running statistics, is its own affair.
   */
  own({ nodes, reads }: Heard, made: ReadonlySet<Storage>): void {
    for (const [t, version] of reads) {
      const { storage } = t;
      const outside = storage.handle !== 0 && !made.has(storage) && storage.version === version;
      if (outside && !this.#reads.has(t)) this.#reads.set(t, version);
    }
    this.#nodes = nodes.filter(node => node.saves);
    this.#waiting = this.#nodes.length;
    for (const node of this.#nodes) node.forget(this);
    if (this.#waiting === 0) this.letGo();
  }

  /** Runs the function once more, as it ran: same dtypes, policy and random numbers. Every node takes what its twin saved. */
  recompute(): void {
    const written = [...this.#reads].filter(([t, version]) => t.storage.version !== version).map(([t]) => t);
    if (written.length > 0) throw changed('checkpoint', written);
    const differentiable = current().grad;
    const scope = new Scope(null);
    const random = new Generator(0);
    random.setState(this.#random);
    const twins: OpNode[] = [];
    // A report is of the scope, which may be over.
    const autocast = this.#mode.autocast && { ...this.#mode.autocast, report: null };
    try {
      withMode({ ...this.#mode, grad: true, autocast, scope, generator: random }, () =>
        listen({ nodes: twins, reads: new Map() }, this.#again),
      );
      this.#giveBack(twins.filter(node => node.saves));
    } finally {
      // A second derivative goes on through the second graph.
      if (!differentiable) for (const twin of twins) twin.release();
      scope.end({ storages: new Set(), graph: true });
    }
  }

  #giveBack(twins: readonly OpNode[]): void {
    const same = twins.length === this.#nodes.length && twins.every((twin, i) => isTwin(twin, this.#nodes[i]!));
    if (!same)
      throw new AutogradError('a checkpointed function did something else when it was run again', {
        op: 'checkpoint',
        advice: 'Its ops must depend on its arguments only; keep counters and caches outside',
      });
    this.#nodes.forEach((node, i) => node.take(twins[i]!));
  }

  released(): void {
    if (--this.#waiting === 0) this.letGo();
  }
  /** Gives the arguments back; once. */
  letGo(): void {
    for (const arg of this.#arguments.splice(0)) arg.storage.release();
    this.#reads.clear();
  }
}

/**
 * Runs fn(...args) without keeping what backward needs: backward runs it again, with the same autocast and random numbers, and
 * takes the values then. Memory for time. fn is synchronous and depends on its arguments only; what it makes and does not return
 * is freed, as in tidy(). Arguments and parameters get their gradients as ever; second derivatives work.
 * @throws AutogradError for an async function, and in backward when the second run differs from the first or would: when an
 * argument or a weight was changed in place meanwhile
 */
export const checkpoint = checked('checkpoint', { fn: any, args: rest(any) }, doCheckpoint);
function doCheckpoint<Args extends readonly unknown[], T>(fn: (...args: Args) => T, ...args: Args): T {
  if (!callable.accepts(fn))
    throw new ArgumentError(`${shown(fn)} is no function`, {
      op: 'checkpoint',
      advice: 'Call checkpoint(fn, ...args)',
    });
  if (!current().grad) return tidy(() => fn(...args));
  // The arguments are held: they are there when backward comes, also when the user has disposed of them.
  const again = (): T => fn(...(args.map(arg => (isTensor(arg) ? restored(arg) : arg)) as unknown as Args));
  const frame = new Frame(again, args);
  try {
    return tidy(() => {
      const heard: Heard = { nodes: [], reads: new Map() };
      const result = listen(heard, () => fn(...args));
      if (isThenable(result))
        throw new AutogradError('a checkpointed function cannot be async: backward has to run it again', {
          op: 'checkpoint',
        });
      if (isGenerator(result))
        throw new AutogradError('a checkpointed function cannot be a generator: it runs only when it is read', {
          op: 'checkpoint',
          advice: 'Return tensors, or arrays or objects of them',
        });
      frame.own(heard, new Set(current().scope!.storages));
      return result;
    });
  } catch (error) {
    frame.letGo();
    throw error;
  }
}
