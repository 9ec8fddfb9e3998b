import { GraphError } from '../errors.ts';

/** A storage, as far as writing to it is concerned. */
export interface Written {
  version: number;
  /** 0 once its memory was given back. */
  readonly handle: number;
}

/** What is noted while a graph is captured. */
export interface GraphCapture {
  /** Where its random numbers come from. */
  readonly generator: object;
  /** Storages made since it began. */
  readonly made: WeakSet<object>;
  /** Storages written to in place. */
  readonly written: Set<Written>;
}

/** The capture that is under way; captures are synchronous and do not nest. */
let capture: GraphCapture | null = null;
export const currentCapture = (): GraphCapture | null => capture;
export function setCapture(to: GraphCapture | null): void {
  capture = to;
}

/** Counts an in-place write: what saved the tensor for backward will find out. */
export function noteWrite(storage: Written): void {
  storage.version++;
  capture?.written.add(storage);
}

/** @throws GraphError while a graph is captured: of what a replay could not do as the function did it */
export function refuseInGraph(op: string, reason: string, advice: string): void {
  if (capture !== null) throw new GraphError(reason, { op, advice });
}
