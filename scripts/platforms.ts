/**
 * Builds the libraries that are published, one for each platform: `npm run build:platforms [-- name ...]`, without names
 * all of them. Each is checked and lies at build/platforms/NAME/libcastor.so, stripped.
 */
import { copyFileSync, readFileSync, renameSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build, root, say, stop } from './native.ts';
import { compile } from './platforms/build.ts';
import { checkLibrary } from './platforms/check.ts';
import { isOfThisMachine, platforms, type Platform } from './platforms/table.ts';

export { isOfThisMachine, platforms, type Platform };

export interface BuiltLibrary {
  readonly platform: Platform;
  /** The path of the stripped library, which has passed every check. */
  readonly file: string;
  readonly bytes: number;
  /** The bytes that it takes in a package, which is compressed by gzip. */
  readonly packed: number;
  /** The newest version of glibc that it needs. */
  readonly glibc: string | null;
}

/**
 * Builds the library of one platform; what has not changed since the last time is not compiled again.
 *
 * @throws Error if the compiler fails or the library does not pass a check
 */
export async function buildPlatform(platform: Platform): Promise<BuiltLibrary> {
  const file = join(build, 'platforms', platform.name, 'libcastor.so');
  const compiled = await compile(platform);
  const { glibc } = checkLibrary(compiled, platform);
  copyFileSync(compiled, `${file}.partial`);
  renameSync(`${file}.partial`, file);
  const bytes = readFileSync(file);
  return { platform, file, bytes: bytes.length, packed: gzipSync(bytes, { level: 9 }).length, glibc };
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

async function show(platform: Platform): Promise<void> {
  const start = performance.now();
  say(`${platform.name} is built`);
  const { file, bytes, packed, glibc } = await buildPlatform(platform);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const floor = glibc === null ? '' : `, glibc ${glibc} and later`;
  say(`${relative(root, file)}: ${megabytes(bytes)}, ${megabytes(packed)} compressed${floor}; ${seconds} s`);
}

/** The platforms that the command line names, or all. */
export function chosen(names: readonly string[]): readonly Platform[] {
  const unknown = names.find(name => !platforms.some(platform => platform.name === name));
  if (unknown !== undefined)
    stop(`there is no platform ${unknown}; there are ${platforms.map(({ name }) => name).join(', ')}`);
  return names.length === 0 ? platforms : platforms.filter(({ name }) => names.includes(name));
}

if (import.meta.main) {
  for (const platform of chosen(process.argv.slice(2)))
    await show(platform).catch((error: unknown) => stop((error as Error).message));
}
