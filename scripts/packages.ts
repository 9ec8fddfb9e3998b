/**
 * Installs the packages as users would: `npm run test:packages [-- part of a file name ...]`. It makes them with the
 * library of this machine, publishes them to a registry that it starts here, and runs scripts/packages/*.test.ts. The
 * last line is `N passed, N failed`.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { endedHow, endLeftovers, runLimited } from './limited.ts';
import { build, root, stop } from './native.ts';
import { installTools, startRegistry, tools } from './packages/registry.ts';

/** The most seconds for all tests together. */
const LIMIT = 15 * 60;

const wanted = process.argv.slice(2);
const files = readdirSync(tools).filter(name => name.endsWith('.test.ts'));
const chosen = wanted.length === 0 ? files : files.filter(name => wanted.some(part => name.includes(part)));
if (chosen.length === 0) stop(`no test of packages has '${wanted.join("' or '")}' in its name`);

function make(script: string, ...args: readonly string[]): void {
  const command = [process.execPath, join(root, script), ...args];
  if (Bun.spawnSync(command, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] }).exitCode !== 0)
    stop(`${script} failed`);
}

make('scripts/release.ts', '--dry-run', '--local');
installTools();
const registry = await startRegistry();
const tarballs = [...new Bun.Glob('*.tgz').scanSync(join(build, 'release'))];
for (const name of tarballs) registry.publish(join(build, 'release', name));
// In this folder no preload of the other tests applies.
const ended = await runLimited([process.execPath, 'test', '--timeout', '180000', ...chosen.map(name => `./${name}`)], {
  limit: LIMIT,
  cwd: tools,
  env: { ...process.env, CASTOR_TEST_REGISTRY: registry.url },
  onText: text => void process.stdout.write(text),
});
await registry.stop();
endLeftovers();
const last = (word: string): number =>
  Number([...Bun.stripANSI(ended.text).matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, 'gm'))].at(-1)?.[1] ?? 0);
const how = endedHow(ended);
const failed = Math.max(last('fail'), how === null ? 0 : 1);
if (how !== null) console.log(`the runner ${how}`);
console.log(`${last('pass')} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
