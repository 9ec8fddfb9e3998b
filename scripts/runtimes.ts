/**
 * Runs the tests of Castor on Deno and on Node: `bun scripts/runtimes.ts [deno] [node] [part of a file name ...]`. Each test file has a
 * process of its own. The runtimes are npm's packages of tests/runtimes/, which is installed on the first run. Without a part of a name,
 * the files that CI has time for are run. The last line is `N passed, N failed`.
 *
 *     --all            every file that is not left out
 *     --list           prints the files that are left out, each with the reason, and runs nothing
 *     --limit SECONDS  a file that takes longer counts as hanging
 */
import { join } from 'node:path';
import { denoArguments, nodeArguments } from '../tests/runtimes/commands.ts';
import { leftOut, reasonFor, slow, type Runtime } from '../tests/runtimes/leftOut.ts';
import { endedHow, endLeftovers, runLimited } from './limited.ts';
import { root, stop, testFiles } from './native.ts';
import { folder, installRuntimes, programOf } from './runtimePrograms.ts';

const wanted = process.argv.slice(2);
function flag(name: string): boolean {
  const at = wanted.indexOf(name);
  if (at >= 0) wanted.splice(at, 1);
  return at >= 0;
}
const limitAt = wanted.indexOf('--limit');
const LIMIT = limitAt < 0 ? 300 : Number(wanted.splice(limitAt, 2)[1]);
const [all, list] = [flag('--all'), flag('--list')];

const argumentsOf = { deno: denoArguments, node: nodeArguments };
const main = join(folder, 'main.ts');

interface Count {
  passed: number;
  failed: number;
}
/** A process that ends without a summary has crashed. */
async function testFile(runtime: Runtime, file: string): Promise<Count> {
  const command = [programOf(runtime), ...argumentsOf[runtime](main), file];
  const ended = await runLimited(command, { limit: LIMIT });
  // A warning may be written after it.
  const [, passed, failed] = [...ended.text.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1) ?? [];
  const how = endedHow(ended);
  const count = { passed: Number(passed ?? 0), failed: Number(failed ?? 0) };
  const crashed = passed === undefined || (how !== null && count.failed === 0);
  if (crashed || count.failed > 0) console.log(ended.text.trimEnd());
  if (crashed) console.log(`${runtime} ${file}: ${how ?? 'ended without a summary'}`);
  else console.log(`${runtime} ${file}: ${passed} passed, ${failed} failed, ${ended.seconds.toFixed(1)} s`);
  return crashed ? { ...count, failed: count.failed + 1 } : count;
}

const runtimes = (['deno', 'node'] as const).filter(name => wanted.includes(name));
const parts = wanted.filter(part => part !== 'deno' && part !== 'node');
const files = testFiles();

function chosenFor(runtime: Runtime): string[] {
  const possible = files.filter(file => reasonFor(file, runtime) === null);
  if (parts.length > 0) return possible.filter(file => parts.some(part => file.includes(part)));
  return all ? possible : possible.filter(file => !slow.some(name => file.startsWith(`tests/${name}`)));
}

if (list) {
  for (const { files: names, reason, on } of leftOut)
    console.log(`${on ?? 'deno, node'}: ${names.join(' ')}: ${reason}`);
} else {
  installRuntimes();
  const total: Count = { passed: 0, failed: 0 };
  for (const runtime of runtimes.length > 0 ? runtimes : (['deno', 'node'] as const))
    for (const file of chosenFor(runtime)) {
      const { passed, failed } = await testFile(runtime, file);
      total.passed += passed;
      total.failed += failed;
    }
  endLeftovers();
  if (total.passed + total.failed === 0) stop(`no test file has '${parts.join("' or '")}' in its name`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  process.exit(total.failed === 0 ? 0 : 1);
}
