import { existsSync } from 'node:fs';
import { ffi } from '#ffi';
import { LibraryError } from '../errors.ts';
import { assertFits, assertWhole } from './elf.ts';
import { checkEnvironment } from './environment.ts';
import { candidates, remedy, type Candidate } from './locate.ts';
import { currentPlatform } from './platform.ts';
import { share, sharedAt, type Shared } from './shared.ts';
import { symbols } from './symbols.ts';
import type { Functions } from './types.ts';
import { VERSION } from './version.ts';

export const ABI_VERSION = 9;

interface Opened {
  readonly path: string;
  readonly native: Functions<typeof symbols>;
}

/**
 * Opens the library of the first place where there is one.
 * @throws LibraryError with every place that was tried, the message of the loader, and what to do
 */
export function openLibrary(places: readonly Candidate[]): Opened {
  const tried: string[] = [];
  for (const place of places) {
    if (place.path !== null && existsSync(place.path)) return { path: place.path, native: openAt(place.path, place) };
    tried.push(
      place.path === null ? `${place.from} (not installed)` : `${place.path} (no such file, from ${place.from})`,
    );
  }
  const named = places.find(({ from }) => from === 'CASTOR_LIBRARY');
  throw new LibraryError(`the native library for ${currentPlatform()} was not found; tried: ${tried.join(', ')}`, {
    advice: named ? named.remedy : remedy(),
  });
}

function openAt(path: string, place: Candidate): Functions<typeof symbols> {
  if (place.version !== undefined && place.version !== VERSION)
    throw new LibraryError(`${place.from} is version ${place.version}, and castor is version ${VERSION}`, {
      advice: place.remedy,
    });
  const attempt = <T>(open: () => T): T => attempted(path, place, open);
  attempt(() => {
    assertWhole(path);
    assertFits(path, currentPlatform());
  });
  const version = attempt(() =>
    ffi.open(path, { castor_abi_version: symbols.castor_abi_version }).castor_abi_version(),
  );
  if (version !== ABI_VERSION)
    throw new LibraryError(`${path} speaks ABI version ${version}, this package needs ${ABI_VERSION}`, {
      advice: place.remedy,
    });
  return attempt(() => ffi.open(path, symbols));
}

function attempted<T>(path: string, place: Candidate, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    const { message } = cause as Error;
    throw new LibraryError(`${path} cannot be loaded: ${message}`, { advice: hint(path, message) ?? place.remedy });
  }
}

/** Advice for messages of the loader that have another reason than the library. */
function hint(path: string, message: string): string | null {
  if (/GLIBC_[\d.]+' not found/.test(message))
    return `The glibc of this system is older than the one that this library was built with. ${remedy()}`;
  if (path.startsWith('/$bunfs/'))
    return 'A compiled program writes the library to the folder of temporary files before it loads it. Let TMPDIR (or BUN_TMPDIR) name a folder that exists, can be written to and may hold programs. A file of the same name that is damaged is used again: delete it';
  return null;
}

/** Loads the library, unless another instance of this package in this thread has done so. */
function load(): Shared {
  const places = candidates();
  const found = places.find(({ path }) => path !== null && existsSync(path));
  const known = found && sharedAt(found.path!, ABI_VERSION);
  if (known) return known;
  const { path, native } = openLibrary(places);
  return share(path, ABI_VERSION, native, ffi);
}

/** The state of the library in this thread. */
export const shared = load();
export const { path: libraryPath, native } = shared;
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
      advice: `${remedy()}. A new op needs a line in ${homeOf(kind)} before`,
    });
  return number;
}
