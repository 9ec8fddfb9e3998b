import { shown } from '../shown.ts';

/** Something that has figures for metrics(), such as a batcher. */
export interface Source {
  /** The name in its labels. */
  readonly name: string;
  /** Returns its figures in Prometheus's terms. */
  families(): readonly Family[];
}

/** Figures of one name. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number | SampledHistogram;
}
export interface SampledHistogram {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly count: number;
  readonly sum: number;
}

/** An error that serving met. */
export interface LastError {
  /** When, as an ISO 8601 date. */
  readonly time: string;
  readonly name: string;
  readonly message: string;
}

const sources = new Set<WeakRef<Source>>();
/** Adds a source, which is forgotten when nothing else refers to it. Returns a function that takes it out. */
export function register(source: Source): () => void {
  const reference = new WeakRef(source);
  sources.add(reference);
  return () => void sources.delete(reference);
}
/** The sources that are still there. */
export function* registered(): Generator<Source> {
  for (const reference of sources) {
    const source = reference.deref();
    if (source === undefined) sources.delete(reference);
    else yield source;
  }
}

/** Returns a name that no source has: the wanted one, or that with a number, because figures of equal labels could not be told apart. */
export function freeName(wanted: string): string {
  const names = new Set([...registered()].map(({ name }) => name));
  let name = wanted;
  for (let i = 2; names.has(name); i++) name = `${wanted}-${i}`;
  return name;
}

let last: LastError | null = null;
/** Notes an error that a model or a kernel threw, for health(). */
export function noteError(error: unknown): void {
  last = { time: new Date().toISOString(), ...described(error) };
}
/** The name and the message of anything that was thrown, also of a value whose own code throws when it is asked. */
export function described(error: unknown): Omit<LastError, 'time'> {
  try {
    if (error instanceof Error) return { name: String(error.name), message: String(error.message) };
    return { name: 'Error', message: String(error) };
  } catch {
    return { name: 'Error', message: shown(error) };
  }
}
export const lastError = (): LastError | null => last;
