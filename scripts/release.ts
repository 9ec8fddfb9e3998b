/**
 * Makes the packages that are published and checks them: `npm run release -- --dry-run [platform ...]`. Their tarballs are
 * then in build/release. Nothing is published: a person does that with `npm publish` and each of the tarballs, the
 * platform packages first.
 *
 *     --dry-run   required, so that nobody takes this for the command that publishes
 *     --local     only the package of this platform, with the library that `npm run build` makes; for tests, because it may
 *                 need a newer glibc than a published one, and have the CUDA backend
 *     --built     the package with the CUDA backend gets the library that `npm run build:cuda -- --release` has made, which
 *                 is not compiled once more
 *
 * Without names of platforms, the libraries of all are compiled (scripts/platforms.ts), which takes a while the first time.
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { currentPlatform } from '../runtime/ffi/platform.ts';
import { build, root, run, say, stop } from './native.ts';
import { buildPlatform, chosen, isOfThisMachine, platforms, type Platform } from './platforms.ts';
import { mainFaults, platformFaults, templateFaults } from './release/checks.ts';
import { libraryFacts } from './release/library.ts';
import { makeMain, makePlatform, makeTemplate, pack, type Packed } from './release/pack.ts';

interface Row extends Packed {
  readonly faults: readonly string[];
  readonly notes: string;
}

const flags = process.argv.slice(2);
const isLocal = flags.includes('--local');
const isBuilt = flags.includes('--built');
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

/** A library to pack, and the newest glibc that it may need; null where that is not limited. */
interface Library {
  readonly name: string;
  readonly file: string;
  readonly glibc: string | null;
}

async function libraries(wanted: readonly Platform[]): Promise<Library[]> {
  if (isLocal) return [{ name: currentPlatform(), file: await ownLibrary(), glibc: null }];
  const built: Library[] = [];
  for (const platform of wanted) {
    const { name, glibc } = platform;
    built.push({
      name,
      glibc,
      file: isBuilt && isOfThisMachine(platform) ? await ownLibrary() : await compiled(platform),
    });
  }
  return built;
}

async function compiled(platform: Platform): Promise<string> {
  say(`the library for ${platform.name} is compiled`);
  const { file } = await buildPlatform(platform).catch((error: unknown) => stop((error as Error).message));
  return file;
}

function notesOn({ folder }: Packed): string {
  const { glibc, macos, needed, exported } = libraryFacts(join(folder, 'libcastor.so'));
  const oldest = macos ? `macOS ${macos}` : glibc ? `glibc ${glibc}` : 'no glibc';
  return `${oldest}, ${exported.length} exports, needs ${needed.join(' ')}`;
}

function platformRow({ name, file, glibc }: Library): Row {
  const packed = pack(makePlatform(out, name, file), out);
  return { ...packed, faults: platformFaults(packed, glibc, isLocal), notes: notesOn(packed) };
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
const wanted = chosen(flags.filter(flag => !flag.startsWith('--')));
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const found = await libraries(wanted);
print([...found.map(platformRow), mainRow(found.map(({ name }) => name)), templateRow()]);
const missing = platforms.filter(({ name }) => !found.some(each => each.name === name));
if (missing.length > 0) say(`not to be published: without ${missing.map(({ name }) => name).join(', ')}`);
