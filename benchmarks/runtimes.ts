import { join } from 'node:path';
import { installRuntimes, programOf } from '../scripts/runtimePrograms.ts';
import { denoArguments, nodeArguments } from '../tests/runtimes/commands.ts';
import type { Part } from './bench.ts';
import { LENGTH } from './chain.ts';
import type { Figure } from './measure.ts';

const program = join(import.meta.dirname, 'chainProgram.ts');
const commands = {
  bun: () => [process.execPath, program],
  deno: () => [programOf('deno'), ...denoArguments(program)],
  node: () => [programOf('node'), ...nodeArguments(program)],
} as const;

/** The time of an op of chain.ts on Bun, Deno and Node, each in a process of its own. */
export const runtimes: Part = async ({ rounds, tiny, clock, failed }) => {
  installRuntimes();
  const figures: Figure[] = [];
  for (const [runtime, command] of Object.entries(commands)) {
    const args = [String(rounds), tiny ? '1' : '300', clock];
    const child = Bun.spawn([...command(), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    const text = await new Response(child.stdout).text();
    if ((await child.exited) !== 0) failed(`${runtime} ended with code ${child.exitCode}`);
    else
      for (const [name, seconds] of Object.entries(JSON.parse(text) as Record<string, number>))
        figures.push({ name: `runtimes.${runtime}.${name}.us`, value: (seconds / LENGTH) * 1e6, unit: 'us' });
  }
  return figures;
};
