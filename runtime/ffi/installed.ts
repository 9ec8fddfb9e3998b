import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join, resolve } from 'node:path';
import { packageOf } from './platform.ts';

/** A platform package that was found: the path of its library and its version. */
export interface Installed {
  readonly path: string;
  readonly version: string;
}

/**
 * What the platform packages export. Each name stands literally and in a try of its own, because only so does Bun's
 * bundler take the library into a bundle or a compiled program, and accept that a package is not installed.
 */
const required: Readonly<Record<string, () => Installed | null>> = {
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

/** On Node and Deno, whose modules have no require() and which do not know how to import a file as its path. */
function resolved(platform: string): Installed | null {
  try {
    // import.meta.url would not do: in CommonJS, which Bun's bytecode has to be, a bundle cannot contain it.
    const load = createRequire(`${import.meta.dirname}/`);
    const { version } = load(`${packageOf(platform)}/package.json`) as { version: string };
    return { path: load.resolve(`${packageOf(platform)}/libcastor.so`), version };
  } catch {
    return null;
  }
}

/** The package of a platform, or null if it is not installed where this module can see it. */
export const installed = (platform: string): Installed | null =>
  process.versions.bun ? (required[platform]?.() ?? null) : resolved(platform);

/**
 * The library of a bundle or compiled program that was made from a checkout of Castor: the one that was built there. Its
 * path is relative to the bundle, whose require() knows where that is.
 */
function bundled(): string | null {
  try {
    const path = require('../../build/libcastor.so') as string;
    return isAbsolute(path) ? path : require.resolve(path);
  } catch {
    return null;
  }
}

/** The root of the checkout whose sources run here, or null: in the package from npm, in a bundle, in a compiled program. */
export function checkout(): string | null {
  const folder = import.meta.dirname;
  const isSource = folder.endsWith('/runtime/ffi') && existsSync(join(folder, 'installed.ts'));
  return isSource && existsSync(join(folder, '../../abi/castor.h')) && !isCompiled() ? resolve(folder, '../..') : null;
}

/** Is this a program of `bun build --compile`? Its files are in memory. */
const isCompiled = (): boolean =>
  (globalThis as { Bun?: { isStandaloneExecutable: boolean } }).Bun?.isStandaloneExecutable === true;

/** The library that was built in a checkout, whether it is there or not; null outside of one. */
export function built(): string | null {
  const root = checkout();
  return root === null ? bundled() : join(root, 'build/libcastor.so');
}
