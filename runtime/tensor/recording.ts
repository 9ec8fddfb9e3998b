import { GraphError } from '../errors.ts';
import type { Generator } from './generator.ts';
import type { Storage } from './storage.ts';

/** What is noted while a graph is captured. */
export interface Recording {
  /** Where its random numbers come from. */
  readonly generator: Generator;
  /** Storages made since it began. */
  readonly made: WeakSet<Storage>;
  /** Storages written to in place. */
  readonly written: Set<Storage>;
}

/** The capture that is under way; captures are synchronous and do not nest. */
let recording: Recording | null = null;
export const currentRecording = (): Recording | null => recording;
export function setRecording(to: Recording | null): void {
  recording = to;
}

/** Counts an in-place write: what saved the tensor for backward will find out. */
export function noteWrite(storage: Storage): void {
  storage.version++;
  recording?.written.add(storage);
}

/** @throws GraphError while a graph is captured: of what a replay could not do as the function did it */
export function refuseInGraph(op: string, reason: string, advice: string): void {
  if (recording !== null) throw new GraphError(reason, { op, advice });
}
