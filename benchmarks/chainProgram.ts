/**
 * Prints the seconds that the chains of chain.ts take, as JSON: medians over rounds in which they take turns. It runs on every runtime:
 * `chainProgram.ts ROUNDS CALLS`.
 */
import { chains } from './chain.ts';

const [rounds, calls] = process.argv.slice(2).map(Number) as [number, number];
const cases = Object.entries(chains());
const times = new Map(cases.map(([name]) => [name, [] as number[]]));
/** The first rounds are for the compilers of the engine. */
const WARM = 3;
for (let round = 0; round < rounds + WARM; round++)
  for (const [name, run] of cases) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) run();
    if (round >= WARM) times.get(name)!.push((performance.now() - start) / 1e3 / calls);
  }
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
console.log(JSON.stringify(Object.fromEntries([...times].map(([name, values]) => [name, median(values)]))));
