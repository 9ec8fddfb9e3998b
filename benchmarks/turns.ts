import { clocks, type Clock } from './clocks.ts';
import { median } from './measure.ts';
import type { Torch } from './torch.ts';

/** Functions by the names of their cases. A call of one is what is measured. */
export type Cases = Readonly<Record<string, () => void>>;

/** The seconds of a call of each case: medians. `torch` is null where PyTorch was not measured, and lacks cases that it does not have. */
export interface Times {
  readonly own: Readonly<Record<string, number>>;
  readonly torch: Readonly<Record<string, number>> | null;
}

/** Cases of Castor, with the part of cpu.py and the sizes with which PyTorch has cases of the same names. */
export interface Turns {
  readonly part: string;
  readonly sizes: object;
  readonly cases: Cases;
  /** Cases that PyTorch does not have. */
  readonly alone?: readonly string[];
}

/** The way in which cases are measured. */
export interface Way {
  readonly clock: Clock;
  readonly torch: Torch | null;
  readonly threads: number;
  readonly rounds: number;
  /** The seconds that the calls of one sample should take together. */
  readonly sample: number;
  /** Called with a message when PyTorch could not measure a part. */
  readonly failed: (text: string) => void;
}

/** The milliseconds that PyTorch may take for one sample. */
const PATIENCE = 300_000;
/** The milliseconds between two samples. The threads of the other side spin for a short time before they sleep. */
const PAUSE = 5;

/** The seconds that each of some calls takes. */
type Sampler = (calls: number) => number | Promise<number>;

/** If there are several calls, one more comes before them, because the other side has used the caches since the last one. */
const ownSampler =
  (fn: () => void, now: () => number): Sampler =>
  calls => {
    if (calls > 1) fn();
    const start = now();
    for (let i = 0; i < calls; i++) fn();
    return (now() - start) / calls;
  };

const torchSampler =
  (torch: Torch, { part, sizes }: Turns, name: string, { threads, clock }: Way): Sampler =>
  async calls =>
    (await torch.measure(part, sizes, PATIENCE, { case: name, calls, threads, clock }))['seconds']!;

/** The seconds of a call from which one sample has to do: PyTorch without instructions for 16 bits takes minutes for a step. */
const SLOW = 5;

/**
 * A function that takes a sample. The number of calls is found after a call of warm-up, and one sample more lets the
 * compilers of JavaScript see what is called. A slow case has the one sample that shows it.
 */
async function prepared(sampler: Sampler, sample: number): Promise<() => Promise<number>> {
  const first = await sampler(1);
  if (first > SLOW) return () => Promise.resolve(first);
  const calls = Math.max(1, Math.min(1000, Math.ceil(sample / (await sampler(1)))));
  if (calls > 1) await sampler(calls);
  return async () => {
    await Bun.sleep(PAUSE);
    return sampler(calls);
  };
}

/** A case of Castor or of PyTorch that takes part in the turns. */
interface Entrant {
  readonly name: string;
  readonly side: 'own' | 'torch';
  readonly sampler: Sampler;
}

/** Medians over rounds in which the entrants take turns. */
async function medians(entrants: readonly Entrant[], { rounds, sample }: Way): Promise<number[]> {
  const takers = [];
  for (const { sampler } of entrants) takers.push(await prepared(sampler, sample));
  const times = takers.map((): number[] => []);
  for (let round = 0; round < rounds; round++) for (const [i, take] of takers.entries()) times[i]!.push(await take());
  return times.map(median);
}

/** Every case of Castor, and right after it that of PyTorch. */
function entrantsOf(turns: Turns, torch: Torch | null, way: Way): Entrant[] {
  const now = clocks[way.clock];
  return Object.entries(turns.cases).flatMap(([name, fn]): Entrant[] => {
    const own: Entrant = { name, side: 'own', sampler: ownSampler(fn, now) };
    if (!torch || turns.alone?.includes(name)) return [own];
    return [own, { name, side: 'torch', sampler: torchSampler(torch, turns, name, way) }];
  });
}

async function measured(turns: Turns, torch: Torch | null, way: Way): Promise<Times> {
  const entrants = entrantsOf(turns, torch, way);
  const seconds = await medians(entrants, way);
  const of = (side: Entrant['side']): Record<string, number> =>
    Object.fromEntries(entrants.flatMap((each, i) => (each.side === side ? [[each.name, seconds[i]!]] : [])));
  return { own: of('own'), torch: torch ? of('torch') : null };
}

/**
 * Measures cases: each round has one sample of every case from Castor and, right after it, one from PyTorch. If PyTorch
 * fails, Castor is measured alone.
 */
export async function takeTurns(turns: Turns, way: Way): Promise<Times> {
  try {
    return await measured(turns, way.torch, way);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (!way.torch || !text.startsWith('PyTorch')) throw error;
    way.failed(`${turns.part} ${JSON.stringify(turns.sizes)}: ${text}`);
    return measured(turns, null, way);
  }
}
