import { any, callable, checked, rest } from '../arguments.ts';
import { current, isGenerator, isThenable, withMode } from '../context.ts';
import { ArgumentError, AutogradError } from '../errors.ts';
import { Generator, generator } from '../tensor/generator.ts';
import { Scope, scopeHere, tidy } from '../tensor/scope.ts';
import type { Storage } from '../tensor/storage.ts';
import { sameShape } from '../tensor/shape.ts';
import { isTensor, type Tensor } from '../tensor/tensor.ts';
import { changed, restored } from './node.ts';
import { traced, type Trace, type OpNode, type Recomputed } from './tape.ts';
import { shown } from '../shown.ts';

/** Do two nodes come from the same op, with results of one shape and dtype? */
const isSameOp = (a: OpNode, b: OpNode): boolean => a.op === b.op && a.info === b.info && sameShape(a.shape, b.shape);

/** The part of a graph whose saved values are not kept but computed again when backward gets there. */
class Frame implements Recomputed {
  readonly #again: () => unknown;
  readonly #mode = current();
  readonly #random = generator().state();
  /** The tensors whose memory it holds: the arguments, and those that the function finds elsewhere, for example in its closure. */
  readonly #held: Tensor[] = [];
  /** The tensors that the function reads and did not make itself, with the version of each. */
  readonly #reads = new Map<Tensor, number>();
  #nodes: readonly OpNode[] = [];
  #waiting = 0;

  constructor(again: () => unknown, args: readonly unknown[]) {
    this.#again = again;
    for (const arg of args) if (isTensor(arg)) this.#hold(arg, arg.storage.version);
  }

  #hold(t: Tensor, version: number): void {
    t.storage.hold();
    this.#held.push(t);
    this.#reads.set(t, version);
  }

  /**
   * Takes over the nodes that the first run recorded. `made` are the storages that the run allocated and has not freed. Tensors that the
   * run read and then wrote to itself, such as running statistics, are not checked for changes.
   */
  own({ nodes, reads }: Trace, made: ReadonlySet<Storage>): void {
    for (const [t, version] of reads) {
      const { storage } = t;
      const outside = storage.handle !== 0 && !made.has(storage) && storage.version === version;
      if (outside && !this.#reads.has(t)) this.#hold(t, version);
    }
    this.#nodes = nodes.filter(node => node.saves);
    this.#waiting = this.#nodes.length;
    for (const node of this.#nodes) node.forget(this);
    if (this.#waiting === 0) this.letGo();
  }

  /** Runs the function again with the same autocast state and random numbers, and gives each node the values saved by this run. */
  recompute(): void {
    const written = [...this.#reads].filter(([t, version]) => t.storage.version !== version).map(([t]) => t);
    if (written.length > 0) throw changed('checkpoint', written);
    const differentiable = current().grad;
    const scope = new Scope(null);
    const random = new Generator(0);
    random.setState(this.#random);
    const rerun: OpNode[] = [];
    // An autocast report covers the first run only; its scope may have ended.
    const autocast = this.#mode.autocast && { ...this.#mode.autocast, report: null };
    try {
      withMode({ ...this.#mode, grad: true, autocast, scope, generator: random }, () =>
        traced({ nodes: rerun, reads: new Map() }, this.#again),
      );
      this.#giveBack(rerun.filter(node => node.saves));
    } finally {
      // With createGraph the gradients refer to the graph of this run, which is therefore kept.
      if (!differentiable) for (const node of rerun) node.release();
      scope.end({ storages: new Set(), graph: true });
    }
  }

  #giveBack(rerun: readonly OpNode[]): void {
    const same = rerun.length === this.#nodes.length && rerun.every((node, i) => isSameOp(node, this.#nodes[i]!));
    if (!same)
      throw new AutogradError('a checkpointed function did something else when it was run again', {
        op: 'checkpoint',
        advice: 'Its ops must depend on its arguments only; keep counters and caches outside',
      });
    this.#nodes.forEach((node, i) => node.take(rerun[i]!));
  }

  released(): void {
    if (--this.#waiting === 0) this.letGo();
  }
  /** Releases what it holds; a second call does nothing. */
  letGo(): void {
    for (const t of this.#held.splice(0)) t.storage.release();
    this.#reads.clear();
  }
}

/**
 * Runs fn(...args) without keeping what backward needs. Backward runs fn again with the same autocast and random numbers and takes the
 * values then, which saves memory and costs time. fn is synchronous and depends on its arguments only; tensors that it makes and does not
 * return are freed, as in tidy(). Arguments and parameters get their gradients as without checkpoint(), also those of higher order.
 * @throws AutogradError for an async function, and in backward if the second run differs from the first, or if an argument or a weight
 * was changed in place meanwhile
 */
export const checkpoint = checked('checkpoint', { fn: any, args: rest(any) }, doCheckpoint);
function doCheckpoint<Args extends readonly unknown[], T>(fn: (...args: Args) => T, ...args: Args): T {
  if (!callable.accepts(fn))
    throw new ArgumentError(`${shown(fn)} is not a function`, {
      op: 'checkpoint',
      advice: 'Call checkpoint(fn, ...args)',
    });
  if (!current().grad) return tidy(() => fn(...args));
  // The arguments are held, so that backward can read them even if the user disposes of them before.
  const again = (): T => fn(...(args.map(arg => (isTensor(arg) ? restored(arg) : arg)) as unknown as Args));
  const frame = new Frame(again, args);
  try {
    return tidy(() => {
      const trace: Trace = { nodes: [], reads: new Map() };
      const result = traced(trace, () => fn(...args));
      if (isThenable(result))
        throw new AutogradError('a checkpointed function cannot be async: backward has to run it again', {
          op: 'checkpoint',
        });
      if (isGenerator(result))
        throw new AutogradError('a checkpointed function cannot be a generator: it runs only when it is read', {
          op: 'checkpoint',
          advice: 'Return tensors, or arrays or objects of them',
        });
      frame.own(trace, new Set(scopeHere()!.storages));
      return result;
    });
  } catch (error) {
    frame.letGo();
    throw error;
  }
}
