import { median } from './measure.ts';
import type { Torch } from './torch.ts';

/** Functions by the names of their cases. A call of one is what is measured. */
export type Cases = Readonly<Record<string, () => void>>;

/** The seconds of a call of each case: medians. `torch` is null where PyTorch was not measured. */
export interface Times {
  readonly own: Readonly<Record<string, number>>;
  readonly torch: Readonly<Record<string, number>> | null;
}

/** Cases of Castor, with the part of cpu.py and the sizes with which PyTorch has cases of the same names. */
export interface Turns {
  readonly part: string;
  readonly sizes: object;
  readonly cases: Cases;
}

/** The way in which cases are measured. */
export interface Way {
  readonly torch: Torch | null;
  readonly threads: number;
  readonly rounds: number;
  /** Is told of a part that PyTorch could not measure. */
  readonly failed: (text: string) => void;
}

/** The seconds that the calls of one sample should take together. */
const SAMPLE = 0.02;
/** The milliseconds that PyTorch may take for one sample. */
const PATIENCE = 300_000;
/** The milliseconds between two samples. The threads of the other side spin for a short time before they sleep. */
const PAUSE = 5;

/** The seconds that each of some calls takes. */
type Sampler = (calls: number) => number | Promise<number>;

/** If there are several calls, one more comes before them, because the other side has used the caches since the last one. */
const ownSampler =
  (fn: () => void): Sampler =>
  calls => {
    if (calls > 1) fn();
    const start = performance.now();
    for (let i = 0; i < calls; i++) fn();
    return (performance.now() - start) / calls / 1000;
  };

const torchSampler =
  (torch: Torch, { part, sizes }: Turns, name: string, threads: number): Sampler =>
  async calls =>
    (await torch.measure(part, sizes, PATIENCE, { case: name, calls, threads }))['seconds']!;

/** A sampler with its number of calls, found after a call of warm-up. */
async function prepared(sampler: Sampler): Promise<() => Promise<number>> {
  await sampler(1);
  const calls = Math.max(1, Math.min(1000, Math.ceil(SAMPLE / (await sampler(1)))));
  return async () => {
    await Bun.sleep(PAUSE);
    return sampler(calls);
  };
}

/** Medians over rounds in which the samplers take turns. */
async function medians(samplers: readonly Sampler[], rounds: number): Promise<number[]> {
  const takers = [];
  for (const sampler of samplers) takers.push(await prepared(sampler));
  const times = takers.map((): number[] => []);
  for (let round = 0; round < rounds; round++) for (const [i, take] of takers.entries()) times[i]!.push(await take());
  return times.map(median);
}

/**
 * Measures cases: each round has one sample of every case from Castor and, right after it, one from PyTorch. If PyTorch
 * fails, Castor is measured alone.
 */
export async function takeTurns(turns: Turns, way: Way): Promise<Times> {
  const { torch, threads, rounds } = way;
  const names = Object.keys(turns.cases);
  const record = (values: readonly number[]): Record<string, number> =>
    Object.fromEntries(names.map((name, i) => [name, values[i]!]));
  const own = names.map(name => ownSampler(turns.cases[name]!));
  if (torch) {
    try {
      const both = names.flatMap((name, i) => [own[i]!, torchSampler(torch, turns, name, threads)]);
      const values = await medians(both, rounds);
      return { own: record(values.filter((_, i) => i % 2 === 0)), torch: record(values.filter((_, i) => i % 2 === 1)) };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (!text.startsWith('PyTorch')) throw error;
      way.failed(`${turns.part} ${JSON.stringify(turns.sizes)}: ${text}`);
    }
  }
  return { own: record(await medians(own, rounds)), torch: null };
}
