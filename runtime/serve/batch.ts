import { offload } from '../offload.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { answersOf, type Answers } from './answers.ts';
import { collate, type Batch } from './collate.ts';
import { runInMode } from './modes.ts';
import type { Lane } from './queue.ts';
import type { Row } from './row.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Settings } from './settings.ts';

/** The second argument of fn, which describes a batch. */
export interface BatchInfo {
  /** The number of rows that belong to requests. In invariant mode the batch has more, which are copies of the first. */
  readonly rows: number;
  /** The shape of each row before it was padded. Where requests have several items, that of the first item by name. */
  readonly shapes: readonly Shape[];
}

/** The function that a batcher serves. */
export type Served = (batch: any, info: BatchInfo) => unknown;

/** Runs fn once on rows of one lane. @throws what fn throws, or WrongResult for a result that cannot be split into rows */
export async function runBatch(
  fn: Served,
  rows: readonly Row[],
  lane: Lane,
  settings: Settings,
  signal?: AbortSignal,
): Promise<Answers> {
  const { invariant, maxBatch, pad } = settings;
  const count = invariant ? Math.max(maxBatch, rows.length) : rows.length;
  const { tensors } = rows[0]!;
  const compute = async (): Promise<{ answers: Answers; kept: Tensor | null }> => {
    const batch: Batch = collate(rows, lane.bucket, pad, count);
    const output = await fn(batch, { rows: rows.length, shapes: rows.map(({ fields }) => fields[0]!.shape) });
    // Answers that are tensors are made from the output later, so it has to outlive this scope.
    return { answers: await answersOf(output, count, tensors), kept: tensors ? (output as Tensor) : null };
  };
  const { threads } = settings;
  const offloaded = (): Promise<{ answers: Answers }> =>
    settings.offload ? offload(compute, { ...(signal && { signal }), ...(threads && { threads }) }) : compute();
  return (await runInMode(lane.mode, offloaded)).answers;
}
