/**
 * Makes the packages that are published and checks them: `npm run release -- --dry-run`. Their tarballs are then in
 * build/release. Nothing is published: a person does that with `npm publish` and each of the tarballs, the platform
 * packages first.
 *
 *     --dry-run   required, so that nobody takes this for the command that publishes
 *     --local     only the package of this platform, with the library that `npm run build` makes; for tests, because it may
 *                 need a newer glibc than a published one
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { currentPlatform } from '../runtime/ffi/platform.ts';
import { build, root, run, say, stop } from './native.ts';
import { mainFaults, platformFaults, templateFaults } from './release/checks.ts';
import { libraryFacts } from './release/library.ts';
import { makeMain, makePlatform, makeTemplate, pack, type Packed } from './release/pack.ts';

/** The oldest glibc that Bun runs with. A published library needs no newer one. */
const OLDEST_GLIBC = '2.17';

interface Row extends Packed {
  readonly faults: readonly string[];
  readonly notes: string;
}

const flags = process.argv.slice(2);
const isLocal = flags.includes('--local');
const out = join(build, 'release');

/** The library of this platform from `npm run build`, without symbols for debuggers. */
async function ownLibrary(): Promise<string> {
  const show = (line: string): void => console.log(line);
  if (!(await run([process.execPath, 'scripts/build.ts'], show))) stop('the build failed');
  const stripped = join(out, 'libcastor.so');
  copyFileSync(join(build, 'libcastor.so'), stripped);
  if (!(await run(['strip', '--strip-unneeded', stripped], show))) stop('strip failed');
  return stripped;
}

/** The libraries to pack, by platform. */
async function libraries(): Promise<Map<string, string>> {
  return new Map([[currentPlatform(), await ownLibrary()]]);
}

function notesOn({ folder, name }: Packed): string {
  if (name.includes('darwin')) return 'not tested';
  const { glibc, needed, exported } = libraryFacts(join(folder, 'libcastor.so'));
  return `${glibc ? `glibc ${glibc}` : 'no glibc'}, ${exported.length} exports, needs ${needed.join(' ')}`;
}

function platformRow(platform: string, library: string): Row {
  const packed = pack(makePlatform(out, platform, library), out);
  return { ...packed, faults: platformFaults(packed, isLocal ? null : OLDEST_GLIBC), notes: notesOn(packed) };
}

function mainRow(platforms: readonly string[]): Row {
  const packed = pack(makeMain(out, platforms), out);
  const modules = packed.files.filter(name => name.endsWith('.js')).length;
  return { ...packed, faults: mainFaults(packed), notes: `${modules} modules` };
}

function templateRow(): Row {
  const packed = pack(makeTemplate(out), out);
  return { ...packed, faults: templateFaults(packed), notes: 'for bun create castor' };
}

function print(rows: readonly Row[]): void {
  const kb = (bytes: number): string => `${(bytes / 1000).toFixed(0)} kB`;
  console.log(`\n${'package'.padEnd(28)}${'packed'.padStart(9)}${'unpacked'.padStart(11)}${'files'.padStart(7)}`);
  for (const { name, bytes, unpacked, files, notes } of rows)
    console.log(
      `${name.padEnd(28)}${kb(bytes).padStart(9)}${kb(unpacked).padStart(11)}${String(files.length).padStart(7)}  ${notes}`,
    );
  const faults = rows.flatMap(({ name, faults }) => faults.map(fault => `${name}: ${fault}`));
  if (faults.length > 0) stop(`not to be published:\n${faults.join('\n')}`);
  say(`${rows.length} tarballs in ${relative(root, out)}. Nothing was published`);
}

if (!flags.includes('--dry-run'))
  stop('nothing is published by a script; npm run release -- --dry-run makes the tarballs');
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const found = await libraries();
print([
  ...[...found].map(([platform, library]) => platformRow(platform, library)),
  mainRow([...found.keys()]),
  templateRow(),
]);
