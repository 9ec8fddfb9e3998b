/** Makes the packages, each in a folder of its own, and packs them. */
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { packageOf } from '../../runtime/ffi/platform.ts';
import { root, stop } from '../native.ts';
import { emitJavaScript } from './javascript.ts';
import { mainManifest, project } from './manifests.ts';
import { platformFiles } from './platformPackage.ts';

const { version } = project;

/** A package in its folder, and what npm packed of it. */
export interface Packed {
  readonly name: string;
  readonly folder: string;
  readonly tarball: string;
  readonly bytes: number;
  readonly unpacked: number;
  /** The files of the tarball, as paths from the package. */
  readonly files: readonly string[];
}

/** An empty folder for a package. */
function emptied(folder: string): string {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Makes the package `castor` and the folder it lies in. */
export function makeMain(out: string, platforms: readonly string[]): string {
  const folder = emptied(join(out, 'castor'));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(mainManifest(platforms), null, 2)}\n`);
  for (const [from, to] of [
    ['LICENSE', 'LICENSE'],
    ['CHANGELOG.md', 'CHANGELOG.md'],
    ['docs/package.md', 'README.md'],
  ])
    copyFileSync(join(root, from!), join(folder, to!));
  emitJavaScript(folder);
  return folder;
}

/** Makes a platform package of a library, without its debugging symbols. */
export function makePlatform(out: string, platform: string, library: string): string {
  const folder = emptied(join(out, basename(packageOf(platform))));
  for (const [name, text] of Object.entries(platformFiles(platform))) writeFileSync(join(folder, name), text);
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  copyFileSync(library, join(folder, 'libcastor.so'));
  chmodSync(join(folder, 'libcastor.so'), 0o644);
  return folder;
}

/** Makes the package of `bun create castor`, with the version of Castor. */
export function makeTemplate(out: string): string {
  const folder = join(out, 'create-castor');
  cpSync(join(root, 'create-castor'), folder, { recursive: true });
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  const manifest = join(folder, 'package.json');
  const { name, ...rest } = JSON.parse(readFileSync(manifest, 'utf8')) as { name: string };
  writeFileSync(manifest, `${JSON.stringify({ name, version, ...rest }, null, 2)}\n`);
  return folder;
}

interface NpmPack {
  readonly name: string;
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

/** Packs the package of a folder, without running any script. */
export function pack(folder: string, out: string): Packed {
  const command = ['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', out];
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { cwd: folder });
  if (exitCode !== 0) stop(`npm pack failed in ${folder}\n${stderr.toString()}`);
  const parsed = JSON.parse(stdout.toString()) as NpmPack[] | Record<string, NpmPack>;
  const [packed] = Object.values(parsed);
  const { name, filename, size, unpackedSize, files } = packed!;
  const tarball = join(out, filename.replace('@', '').replace('/', '-'));
  return {
    name,
    folder,
    tarball,
    bytes: size,
    unpacked: unpackedSize,
    files: files.map(({ path }) => path).toSorted(),
  };
}
