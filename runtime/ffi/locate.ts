import { resolve } from 'node:path';
import { built, checkout, installed } from './installed.ts';
import { CUDA_PLATFORM, currentPlatform, packageOf, PLATFORMS } from './platform.ts';
import { VERSION } from './version.ts';

/** A place where the native library may be. */
export interface Candidate {
  /** Who names the place: the variable CASTOR_LIBRARY, a package, or a checkout. */
  readonly from: string;
  /** null if the package is not installed. */
  readonly path: string | null;
  /** The version of the package, which has to be the one of Castor. */
  readonly version?: string;
  /** The advice if the library that is there is not the right one. */
  readonly remedy: string;
}

const BUILD = 'Build it with: npm run build (or bun run build)';
/** The command that adds a package in exactly this version. */
const adding = (platform: string): string => `bun add ${packageOf(platform)}@${VERSION}`;
const add = (platform: string): string => `Install it again: ${adding(platform)} (or npm install, pnpm add)`;

/** The advice for a user who has no library, or the wrong one. */
export function remedy(platform = currentPlatform()): string {
  if (checkout() !== null) return BUILD;
  if (!(platform in PLATFORMS))
    return `There is no package for ${platform}, only for ${Object.keys(PLATFORMS).join(', ')}. Build the library from the sources of Castor and name its file in CASTOR_LIBRARY`;
  return `Add its package: ${adding(platform)} (or npm install, pnpm add), and install without --omit=optional or --no-optional, which leave it out. A bundle takes it in where it is made. Or name a file in CASTOR_LIBRARY`;
}

function fromPackage(platform: string): Candidate {
  const found = installed(platform);
  const from = `the package ${packageOf(platform)}`;
  return { from, path: null, remedy: add(platform), ...found };
}

/**
 * The places where the library may be, in order of preference. If CASTOR_LIBRARY names a file, that is the only one. In a
 * checkout, what is built there comes first. The package with the CUDA backend, which is installed by those who want it
 * only, comes before that of the platform.
 */
export function candidates(environment: Readonly<Record<string, string | undefined>> = process.env): Candidate[] {
  const chosen = environment.CASTOR_LIBRARY;
  if (chosen) return [named(chosen)];
  const platform = currentPlatform();
  const own = built();
  return [
    ...(own === null ? [] : [{ from: 'the build of this checkout', path: own, remedy: BUILD }]),
    ...(platform === 'linux-x64-glibc' && installed(CUDA_PLATFORM) ? [fromPackage(CUDA_PLATFORM)] : []),
    fromPackage(platform),
  ];
}

const named = (path: string): Candidate => ({
  from: 'CASTOR_LIBRARY',
  path: resolve(path),
  remedy: `CASTOR_LIBRARY names this file, in the environment or in a .env file of the current folder. Name another, or unset it to use the library of Castor. ${remedy()}`,
});
