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
