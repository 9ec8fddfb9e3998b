import { GraphError } from '../errors.ts';

/** The part of a storage that is needed to note writes to it. */
export interface Written {
  version: number;
  /** The handle of the storage; 0 once its memory was freed. */
  readonly handle: number;
}

/** The part of a storage that is needed to keep it until its graph is freed. */
export interface Held {
  kept: boolean;
  dispose(): void;
}

/** The notes that are taken while a graph is captured. */
export interface GraphCapture {
  /** The device whose work is captured. */
  readonly device: number;
  /** The generator of its random numbers. */
  readonly generator: object;
  /** The storages that were made since the capture began. */
  readonly made: WeakSet<object>;
  /** The storages that were written to in place. */
  readonly written: Set<Written>;
  /** Functions that each replay calls before it queues the work, and after. */
  readonly before: (() => void)[];
  readonly after: (() => void)[];
  /** Storages of the graph that something other than the returned tensors reads after a replay. They are freed with the graph. */
  readonly held: Held[];
  /**
   * The weights that the graph reads in another form, packed or cast, and their versions. Whoever replays the graph makes it again after one
   * of them was written to. null: replays pack and cast the weights as they are then.
   */
  readonly derived: Map<Written, number> | null;
}

/** The capture in progress. Captures are synchronous and do not nest. */
let capture: GraphCapture | null = null;
export const currentCapture = (): GraphCapture | null => capture;
export function setCapture(to: GraphCapture | null): void {
  capture = to;
}

/** Counts an in-place write, so that backward can tell that a saved tensor has changed. */
export function noteWrite(storage: Written): void {
  storage.version++;
  capture?.written.add(storage);
}

/** Keeps the memory of a tensor that was made in the capture until the graph is freed. */
export function holdInGraph(capture: GraphCapture, { storage }: { readonly storage: Held }): void {
  storage.kept = true;
  capture.held.push(storage);
}

/** @throws GraphError while a graph is captured, for an operation that a replay could not repeat */
export function refuseInGraph(op: string, reason: string, advice: string): void {
  if (capture !== null) throw new GraphError(reason, { op, advice });
}

/**
 * Does a capture leave weights in another form to whoever replays it? Then it takes a form that is there already, and notes the weight. @throws
 * GraphError if it is not there: it cannot be made in a capture
 */
export function noteDerived(weight: Written, op: string, there: boolean): void {
  const derived = capture?.derived;
  if (!derived) return;
  if (!there)
    throw new GraphError(
      'a weight has no copy yet in the form that the kernel reads, and none can be made in a capture',
      {
        op,
        advice: 'Run the function once in the same mode before',
      },
    );
  derived.set(weight, weight.version);
}

let changes = 0;
/** The number of changes to what a graph keeps as it was: modes and parts of modules, and settings of the process. */
export const changesSoFar = (): number => changes;
export const noteChange = (): void => void changes++;

/**
 * @throws GraphError while a graph is captured, for a copy to its device of what was computed on another device since the capture began:
 * a replay does not compute that again
 */
export function expectRepeated(op: string, from: Written & { readonly device: number }, device: number): void {
  if (capture === null || device !== capture.device || from.device === device) return;
  if (capture.made.has(from) || capture.written.has(from))
    throw new GraphError(
      'what was computed on another device during the capture cannot be copied: no replay computes it again',
      {
        op,
        advice: 'Compute it before the capture, and again before a replay where it changes',
      },
    );
}
