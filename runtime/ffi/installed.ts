import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { packageOf } from './platform.ts';

/** A platform package that was found: the path of its library and its version. */
export interface Installed {
  readonly path: string;
  readonly version: string;
}

/**
 * What the platform packages export, in a bundle or a compiled program: Bun's bundler puts the package in the place of
 * require(). It does that only for a name that stands literally, and accepts that a package is not installed only in a
 * try of its own.
 */
const bundled: Readonly<Record<string, () => Installed | null>> = {
  'linux-x64-cuda13': () => {
    try {
      return require('@castor/linux-x64-cuda13') as Installed;
    } catch {
      return null;
    }
  },
  'linux-x64-glibc': () => {
    try {
      return require('@castor/linux-x64-glibc') as Installed;
    } catch {
      return null;
    }
  },
  'linux-x64-musl': () => {
    try {
      return require('@castor/linux-x64-musl') as Installed;
    } catch {
      return null;
    }
  },
  'linux-arm64-glibc': () => {
    try {
      return require('@castor/linux-arm64-glibc') as Installed;
    } catch {
      return null;
    }
  },
  'darwin-arm64': () => {
    try {
      return require('@castor/darwin-arm64') as Installed;
    } catch {
      return null;
    }
  },
};

/** Does this module run from its own file, and not as a part of a bundle or of a compiled program? */
function isFile(): boolean {
  const { Bun } = globalThis as { Bun?: { isStandaloneExecutable: boolean } };
  const folder = import.meta.dirname;
  return !Bun?.isStandaloneExecutable && ['installed.ts', 'installed.js'].some(name => existsSync(join(folder, name)));
}

/**
 * A package in a node_modules folder here or above. Bun's own search is not used: where there is no node_modules folder,
 * it would download the package.
 */
function above(platform: string): Installed | null {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const place = join(folder, 'node_modules', packageOf(platform));
    if (existsSync(join(place, 'package.json'))) return at(place);
    if (folder === dirname(folder)) return null;
  }
}
const at = (place: string): Installed => ({ path: join(place, 'libcastor.so'), version: versionAt(place) });
/** A package whose version cannot be told is not that of Castor. */
function versionAt(place: string): string {
  try {
    return String((JSON.parse(readFileSync(join(place, 'package.json'), 'utf8')) as { version: unknown }).version);
  } catch {
    return 'unknown';
  }
}

/** A package in whatever place Node or Deno has for it. Their modules have no require() of their own. */
function resolved(platform: string): Installed | null {
  try {
    // import.meta.url would not do: in CommonJS, which Bun's bytecode has to be, a bundle cannot contain it.
    const load = createRequire(`${import.meta.dirname}/`);
    return at(dirname(load.resolve(`${packageOf(platform)}/package.json`)));
  } catch {
    return null;
  }
}

/** The package of a platform, or null if it is not installed where this module can see it. */
export function installed(platform: string): Installed | null {
  if (!process.versions.bun) return resolved(platform);
  return isFile() ? above(platform) : (bundled[platform]?.() ?? null);
}

/**
 * The library of a bundle or compiled program that was made from a checkout of Castor: the one that was built there. Its
 * path is relative to the bundle, whose require() knows where that is.
 */
function bundledBuild(): string | null {
  if (isFile()) return null;
  try {
    const path = require('../../build/libcastor.so') as string;
    return isAbsolute(path) ? path : require.resolve(path);
  } catch {
    return null;
  }
}

/** The root of the checkout whose sources run here, or null: in the package from npm, in a bundle, in a compiled program. */
export function checkout(): string | null {
  const root = resolve(import.meta.dirname, '../..');
  const isSource = isFile() && import.meta.dirname.endsWith('/runtime/ffi');
  return isSource && existsSync(join(root, 'abi/castor.h')) ? root : null;
}

/** The library that was built in a checkout, whether it is there or not; null outside of one. */
export function built(): string | null {
  const root = checkout();
  return root === null ? bundledBuild() : join(root, 'build/libcastor.so');
}
