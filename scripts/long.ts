/**
 * The tests that take too long to run for every change: an op that is added to a copy of the project, every test file on
 * Deno and Node, ten million draws of each distribution, a long run of the fuzzer, the libraries of other platforms, threads under
 * ThreadSanitizer, and mutations of the code that the tests must notice.
 * `bun scripts/long.ts [--calls N] [--count N]` sets the number of calls of the fuzzer (default 200,000) and of mutations
 * (default 200). The last line is `N passed, N failed`, of all together.
 */
import { stop } from './native.ts';

function option(name: string, otherwise: number): string {
  const at = process.argv.indexOf(name);
  const value = at < 0 ? otherwise : Number(process.argv[at + 1]);
  return Number.isSafeInteger(value) && value > 0 ? String(value) : stop(`${name} takes a whole number above 0`);
}

const steps: readonly (readonly string[])[] = [
  ['scripts/addOp.ts'],
  ['scripts/runtimes.ts', '--all'],
  ['scripts/threads.ts'],
  ['scripts/distributions.ts'],
  ['scripts/fuzz.ts', '--calls', option('--calls', 200_000), '--seed', '1'],
  ['scripts/testPlatforms.ts', '--whole'],
  ['scripts/mutants.ts', '--count', option('--count', 200)],
];

/** Runs one script, shows its output, and returns the counts of its last line. */
async function run(command: readonly string[]): Promise<[passed: number, failed: number]> {
  console.log(`\n== ${command.join(' ')}`);
  const child = Bun.spawn([process.execPath, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of child.stdout) {
    process.stdout.write(chunk);
    text += decoder.decode(chunk, { stream: true });
  }
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(text.trimEnd().split('\n').at(-1)!) ?? [];
  const ended = (await child.exited) === 0 && passed !== undefined;
  return [Number(passed ?? 0), Number(failed ?? 0) || Number(!ended)];
}

const total = [0, 0];
for (const step of steps) (await run(step)).forEach((count, i) => (total[i]! += count));
console.log(`\n${total[0]} passed, ${total[1]} failed`);
process.exit(total[1] === 0 ? 0 : 1);
