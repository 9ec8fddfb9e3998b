import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { ffi } from '#ffi';
import { LibraryError } from '../errors.ts';
import { assertWhole } from './elf.ts';
import { checkEnvironment } from './environment.ts';
import { symbols } from './symbols.ts';
import type { Functions } from './types.ts';

export const ABI_VERSION = 7;
const BUILD = 'Build it with: npm run build (or bun run build)';

/** The paths where the library may be, in order of preference. If CASTOR_LIBRARY names a file, that is the only one. */
export function candidates(): string[] {
  const chosen = process.env.CASTOR_LIBRARY;
  return chosen ? [resolve(chosen)] : [resolve(import.meta.dirname, '../../build/libcastor.so')];
}

/**
 * Opens the first library that exists.
 * @throws LibraryError with every path that was tried, the message of the loader, and the command that builds the
 * library
 */
export function openLibrary(paths: readonly string[]): { path: string; native: Functions<typeof symbols> } {
  const tried: string[] = [];
  for (const path of paths) {
    if (existsSync(path)) return { path, native: openAt(path) };
    tried.push(`${path} (no such file)`);
  }
  throw new LibraryError(`the native library was not found; tried: ${tried.join(', ')}`, { advice: BUILD });
}

function openAt(path: string): Functions<typeof symbols> {
  attempt(path, () => assertWhole(path));
  const version = attempt(path, () =>
    ffi.open(path, { castor_abi_version: symbols.castor_abi_version }).castor_abi_version(),
  );
  if (version !== ABI_VERSION)
    throw new LibraryError(`${path} speaks ABI version ${version}, this package needs ${ABI_VERSION}`, {
      advice: BUILD,
    });
  return attempt(path, () => ffi.open(path, symbols));
}

function attempt<T>(path: string, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    throw new LibraryError(`${path} cannot be loaded: ${(cause as Error).message}`, { advice: BUILD });
  }
}

export const { path: libraryPath, native } = openLibrary(candidates());
checkEnvironment(
  process.env,
  () => (JSON.parse(native.castor_describe(0)) as { isa: string }).isa,
  // Workers have the same environment, so only the main thread warns.
  text => ffi.isWorker || process.emitWarning(text, { type: 'CastorWarning' }),
);
// A Worker may be terminated at any time, without notice.
if (ffi.isWorker) native.castor_free_at_exit();

/** The op numbers of this library: kind -> name of the op -> number. */
export const opNumbers: ReadonlyMap<string, ReadonlyMap<string, number>> = new Map(
  native
    .castor_op_names()
    .trim()
    .split('\n')
    .map(line => {
      const [kind, ...names] = line.split(' ');
      return [kind!, new Map(names.map((name, number) => [name, number]))];
    }),
);

/** The file with a line for each op of a kind. */
const homeOf = (kind: string): string =>
  ['unary', 'binary', 'compare', 'ternary'].includes(kind) ? `kernels/${kind}.inc` : 'kernels/ops.h';

/** @throws LibraryError if the library does not have the op, because it was built from other sources or the op has no line there */
export function opNumber(kind: string, name: string): number {
  const number = opNumbers.get(kind)?.get(name);
  if (number === undefined)
    throw new LibraryError(`${libraryPath} lacks the ${kind} op '${name}'`, {
      advice: `${BUILD}. A new op needs a line in ${homeOf(kind)} before`,
    });
  return number;
}
