/**
 * Prints the seconds that the chains of chain.ts take, as JSON: medians over rounds in which they take turns. It runs on every runtime:
 * `chainProgram.ts ROUNDS CALLS CLOCK`. With the clock `processor` it is the time in which processors worked for the process, compilers
 * and collectors of the engine included, for machines that other programs use as well.
 */
import { chains } from './chain.ts';

const [rounds, calls] = process.argv.slice(2, 4).map(Number) as [number, number];
const worked = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
const now = process.argv[4] === 'processor' ? worked : () => performance.now() / 1e3;
const cases = Object.entries(chains());
const times = new Map(cases.map(([name]) => [name, [] as number[]]));
/** The first rounds are for the compilers of the engine. */
const WARM = 3;
for (let round = 0; round < rounds + WARM; round++)
  for (const [name, run] of cases) {
    const start = now();
    for (let i = 0; i < calls; i++) run();
    if (round >= WARM) times.get(name)!.push((now() - start) / calls);
  }
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
console.log(JSON.stringify(Object.fromEntries([...times].map(([name, values]) => [name, median(values)]))));
