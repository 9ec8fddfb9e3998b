import { withPersistentCasts } from '../amp/autocast.ts';
import { autocastIn, type AutocastState } from '../amp/state.ts';
import { autocast } from '../amp/autocast.ts';
import { inferenceMode } from '../autograd/autograd.ts';
import { current, modeWith, outsideOfRequests, withMode, type Mode } from '../context.ts';
import { getDefaultDevice } from '../tensor/device.ts';
import { tidy } from '../tensor/scope.ts';

/** The dtype that the matrix products of a request are computed in: float32, or one of 16 bits under autocast. */
export type Precision = 'float32' | 'bfloat16' | 'float16';
export const precisions: readonly Precision[] = ['float32', 'bfloat16', 'float16'];

/** The settings that the rows of a batch have in common. */
export interface BatchMode {
  /** Equal for rows that may share a batch. */
  readonly key: string;
  readonly mode: Mode;
  readonly precision: Precision | undefined;
}

let lastId = 0;
const ids = new WeakMap<object, number>();
function idOf(object: object | null): number {
  if (object === null) return 0;
  let id = ids.get(object);
  if (id === undefined) ids.set(object, (id = ++lastId));
  return id;
}

/** Returns a text that is equal for scopes of autocast with the same effect. A report is part of it, because it lists what its own scope did. */
function autocastKey(state: AutocastState | null): string {
  if (state === null) return '';
  const { low, chosen, cache, overrides, report } = state;
  const policies = [...(overrides ?? [])].map(([op, policy]) => `${op}=${policy}`).toSorted();
  const names = [...low, ...chosen].map(info => info?.name ?? '-');
  return `${names.join()};${cache === null ? 'uncached' : 'cached'};${policies.join()};${idOf(report)}`;
}

/**
 * Returns the mode of the running code as far as it concerns a batch: autocast and the random generator. The tidy scope of a request is
 * not part of it, because a batch belongs to several.
 */
export function batchMode(precision: Precision | undefined): BatchMode {
  const mode = current();
  const key = `${precision ?? autocastKey(autocastIn(mode))};${idOf(mode.generator)}`;
  return { key, mode, precision };
}

const plain = { scope: null, trace: null, grad: true, stream: null } as const;

/**
 * Runs fn as the rows of a batch want it, in inference mode, and frees what it leaves behind. Nothing of one request's async context
 * reaches it, other than the settings that all rows share.
 */
export function runInMode<T>({ mode, precision }: BatchMode, fn: () => Promise<T>): Promise<T> {
  const shared = modeWith(mode, plain);
  return outsideOfRequests(() =>
    withMode({ ...shared, user: null }, () => inferenceMode(() => tidy(() => inPrecision(precision, fn)))),
  );
}

function inPrecision<T>(precision: Precision | undefined, fn: () => Promise<T>): Promise<T> {
  if (precision === undefined) return withPersistentCasts(fn);
  const device = getDefaultDevice();
  if (precision === 'float32') return autocast({ enabled: false, device }, fn);
  return autocast({ dtype: precision, device }, fn);
}
